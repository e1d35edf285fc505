//! What triage decided, in the form in which the state machine hands it on.

use serde::{Deserialize, Serialize};

use crate::ids::{CaseId, ExecutionArn};
use crate::plan::{FindingSummary, Plan};

/// The verdict on one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// This execution owns a case: contain, preserve, seal.
    Respond,
    /// It must not act; nothing was changed.
    Ignored,
    /// Another execution's open case has taken the finding.
    Joined,
    /// The finding is about another account or Region; nothing was changed.
    Elsewhere,
    /// The plan was made for a person to read; nothing was written.
    DryRun,
    /// One execution was started for each of several instances.
    FannedOut,
    /// More instances than may be handled without a person; nothing was started.
    Ask,
}

/// Triage's output. Every field is always there, null rather than absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Triaged {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether people must be told although no case is opened here.
    pub tell: bool,
    /// Why, in one sentence. It may quote the finding, so it is hostile text.
    pub reason: String,
    /// The case, where there is one.
    pub case_id: Option<CaseId>,
    /// The plan, for `respond` and `dryRun`.
    pub plan: Option<Plan>,
    /// What was found.
    pub finding: Option<FindingSummary>,
    /// The execution that owns the case that was joined.
    pub owner: Option<ExecutionArn>,
    /// The ARNs of the executions that were started, one for each instance.
    pub executions: Vec<String>,
}
