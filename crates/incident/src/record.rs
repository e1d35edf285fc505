//! Records: who did what to what, when. An intent before a change, an outcome after it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::case::RECORDS;
use crate::fault::Fault;
use crate::ids::CaseId;
use crate::visit::Visit;

/// Written before a change or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// About to be done. An intent without its outcome shows that a run broke in between.
    Intent,
    /// Done, or not, as [`Change::result`] says.
    Outcome,
}

/// How one change went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase", deny_unknown_fields)]
pub enum ChangeResult {
    /// The change was made.
    Done,
    /// Nothing had to be done: the account was so already.
    Already,
    /// Not done, and why.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// The class of the failure.
        fault: Fault,
        /// What AWS or Cordon said.
        message: String,
    },
}

/// One change to one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// The API action: `ec2:ModifyNetworkInterfaceAttribute`.
    pub action: String,
    /// What is changed: an id or an ARN.
    pub subject: String,
    /// The value before, where known.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub from: Value,
    /// The value after.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub to: Value,
    /// How it went; absent in an intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ChangeResult>,
}

impl Change {
    /// A change that is about to be made.
    pub fn intended(action: &str, subject: &str, from: Value, to: Value) -> Self {
        Self { action: action.to_owned(), subject: subject.to_owned(), from, to, result: None }
    }
}

/// One write-once entry of the case file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// `cordon.record.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The visit that wrote it.
    pub visit: Visit,
    /// Counts the pairs of one visit; an outcome has the number of its intent.
    pub number: u32,
    /// Intent or outcome.
    pub phase: Phase,
    /// When it was written, by the function's clock. Nothing is decided by it.
    pub at: Timestamp,
    /// Which function and version wrote it.
    pub by: String,
    /// What is about to be changed, or was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// A fact that is no change: what was looked at, decided, or went wrong.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub note: Value,
}

impl Record {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.record.v1";

    /// The record's name in the case file. Names sort in the order in which the states were entered.
    pub fn name(&self) -> String {
        let phase = match self.phase {
            Phase::Intent => "intent",
            Phase::Outcome => "outcome",
        };
        format!("{RECORDS}{}-{}-{:02}-{:03}-{phase}.json", self.visit.stamp(), self.visit.state, self.visit.retry, self.number)
    }
}
