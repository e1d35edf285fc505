//! The claim: the object that makes a case the only open one of its target.

use serde::{Deserialize, Serialize};

use crate::ids::{CaseId, ExecutionArn, InstanceId};

/// The body of `open/<instance-id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The open case.
    pub case_id: CaseId,
    /// The execution that owns it. A claim whose owner no longer runs may be taken over.
    pub execution_arn: ExecutionArn,
    /// The severity of the finding that opened the case; a joining finding is told only if it is worse.
    pub severity: f64,
    /// Set by Close before it counts the case's findings: nothing may join any more. See `docs/decisions/0004-joining.md`.
    #[serde(default)]
    pub closing: bool,
    /// Whether it is a release that holds the target. A new finding does not join a release: it takes the target from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub release: bool,
}

impl Claim {
    /// The key of the claim on `instance`.
    pub fn key(instance: &InstanceId) -> String {
        format!("open/{instance}.json")
    }
}
