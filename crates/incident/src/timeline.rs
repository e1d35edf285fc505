//! The timeline in Timesketch's form: JSON lines with `message`, `datetime` (ISO 8601) and `timestamp_desc` [facts 79].
//!
//! INVARIANT: text from a finding or a target is bounded and without line breaks, so that it cannot forge a line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::DenialScope;
use crate::plan::Plan;
use crate::record::{ChangeResult, Phase, Record};
use crate::said::Said;
use crate::text::bounded;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What happened, in one sentence.
    pub message: String,
    /// When.
    pub datetime: Timestamp,
    /// What that time means.
    pub timestamp_desc: String,
    /// Where the line comes from: `finding`, `plan`, `record`, `history`, `containment`, `denial`, `lockdown`.
    pub source: String,
    /// The state, where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// What it concerns, where there is something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
}

/// A state and when it was entered, from the execution's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The state's name.
    pub state: String,
    /// When.
    pub at: Timestamp,
}

/// The lines of a case, by time. Times that are no times are left out: they are a detector's text.
pub fn build(plan: Option<&Plan>, said: Said<'_>, records: &[Record], history: &[Entered]) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(plan) = plan {
        let finding = &plan.finding;
        for (text, desc) in [(&finding.first_seen, "First seen"), (&finding.updated_at, "Finding updated")] {
            if let Ok(at) = text.parse() {
                lines.push(line(at, desc, "finding", "", &finding.id, &format!("{}: {}", finding.kind, finding.title)));
            }
        }
        let message = format!("case {} opened for {}", plan.case_id, plan.target.instance_id);
        lines.push(line(plan.opened, "Case opened", "plan", "Triage", plan.target.instance_id.as_str(), &message));
    }
    lines.extend(read_back(said));
    lines.extend(history.iter().map(|entered| {
        line(entered.at, "State entered", "history", &entered.state, "", &format!("state {} entered", entered.state))
    }));
    lines.extend(records.iter().flat_map(of_record));
    lines.sort_by_key(|line| line.datetime);
    lines
}

/// When each step read back what it did, with its verdict.
fn read_back(said: Said<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some((found, at)) = said.containment.and_then(|found| Some((found, found.read_back_at?))) {
        let message = format!("containment read back: {}", word(&found.status));
        lines.push(line(at, "Containment read back", "containment", "", "", &message));
    }
    if let Some((found, at)) = said.protection.and_then(|found| Some((found, found.read_back_at?))) {
        let message = format!("protection from being ended read back: {}", word(&found.status));
        lines.push(line(at, "Protection read back", "protection", "", "", &message));
    }
    if let Some((found, at)) = said.denial.and_then(|found| Some((found, found.read_back_at?))) {
        let scope = match found.scope {
            DenialScope::All => "everything",
            DenialScope::AllButSystemsManager => "all but Systems Manager",
        };
        let message = format!("denial of credentials read back: {} ({scope})", word(&found.status));
        lines.push(line(at, "Denial read back", "denial", "", found.role.as_deref().unwrap_or_default(), &message));
    }
    if let Some((found, at)) = said.lockdown.and_then(|found| Some((found, found.read_back_at?))) {
        let message = format!("lock-down read back: {}", word(&found.status));
        lines.push(line(at, "Lock-down read back", "lockdown", "", "", &message));
    }
    lines
}

/// A status as it stands in JSON.
fn word(status: &impl Serialize) -> String {
    serde_json::to_value(status).ok().and_then(|status| status.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The lines as JSONL.
pub fn to_jsonl(lines: &[Line]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        // A line has string keys only, so that this cannot fail.
        out.extend(serde_json::to_vec(line).unwrap_or_default());
        out.push(b'\n');
    }
    out
}

fn of_record(record: &Record) -> Vec<Line> {
    let state = &record.visit.state;
    let desc = match record.phase {
        Phase::Intent => "Change begun",
        Phase::Outcome => "Change ended",
    };
    let mut lines: Vec<Line> = record
        .changes
        .iter()
        .map(|change| {
            let result = match &change.result {
                None => String::new(),
                Some(ChangeResult::Done) => ": done".to_owned(),
                Some(ChangeResult::Already) => ": was so already".to_owned(),
                Some(ChangeResult::Failed { fault, message }) => format!(": failed with {fault}: {message}"),
            };
            let message = format!("{} on {}{result}", change.action, change.subject);
            line(record.at, desc, "record", state, &change.subject, &message)
        })
        .collect();
    if record.note != Value::Null {
        lines.push(line(record.at, "Noted", "record", state, "", &format!("{state}: {}", record.note)));
    }
    lines
}

fn line(datetime: Timestamp, desc: &str, source: &str, state: &str, subject: &str, message: &str) -> Line {
    Line {
        message: bounded(message, 500),
        datetime,
        timestamp_desc: desc.to_owned(),
        source: source.to_owned(),
        state: bounded(state, 80),
        subject: bounded(subject, 200),
    }
}
