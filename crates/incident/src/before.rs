//! What release needs: the target as it was before anything was changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::CaseId;
use crate::plan::Target;

/// The body of `before.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Before {
    /// `cordon.before.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// When triage began.
    pub opened: Timestamp,
    /// The target: its interfaces with their groups, its profile, its state.
    pub target: Target,
    /// The case whose `before.json` holds the true groups, where the target already wore ours.
    pub earlier_case: Option<CaseId>,
}

impl Before {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.before.v1";
}

/// The body of `targets/<instance-id>.json`: the first case of a target that wears our groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstCase {
    /// The case.
    pub first_case: CaseId,
}
