//! The timeline in Timesketch's form: JSON lines with `message`, `datetime` (ISO 8601) and `timestamp_desc` [facts 79].
//!
//! INVARIANT: text from a finding or a target is bounded and without line breaks, so that it cannot forge a line.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::Document;
use crate::evidence::DenialScope;
use crate::heard;
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
    /// Where the line comes from: `finding`, `plan`, `record`, `history`, `containment`, `protection`, `denial`, `lockdown`,
    /// `cloudtrail`, `guardduty`.
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

/// The lines of a case, by time. Times that are no times are left out: they are a detector's text. `context` is what was
/// collected of calls and findings.
pub fn build(plan: Option<&Plan>, said: Said<'_>, records: &[Record], history: &[Entered], context: &[Document]) -> Vec<Line> {
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
    lines.extend(heard::lines(context, plan.map(|plan| plan.finding.id.as_str())));
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

/// A line with its texts bounded.
pub(crate) fn line(datetime: Timestamp, desc: &str, source: &str, state: &str, subject: &str, message: &str) -> Line {
    Line {
        message: bounded(message, 500),
        datetime,
        timestamp_desc: desc.to_owned(),
        source: source.to_owned(),
        state: bounded(state, 80),
        subject: bounded(subject, 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    /// Reads JSON lines as Timesketch's importer does: each line is an object with the three fields that it must have, and a
    /// `datetime` that becomes microseconds since 1970; a line without them ends the import.
    fn imported(jsonl: &[u8]) -> Vec<(Map<String, Value>, i64)> {
        let text = std::str::from_utf8(jsonl).unwrap();
        let read = |line: &str| {
            let object: Map<String, Value> = serde_json::from_str(line).unwrap();
            for field in ["message", "datetime", "timestamp_desc"] {
                assert!(object.get(field).is_some_and(Value::is_string), "{field}: {line}");
            }
            assert!(!object.contains_key("tag"), "Timesketch takes this name for labels of its own");
            let at: Timestamp = object["datetime"].as_str().unwrap().parse().unwrap();
            (object, at.as_microsecond())
        };
        // Python ends a line of a file at these, and at nothing else.
        text.split(['\n', '\r']).filter(|line| !line.is_empty()).map(read).collect()
    }

    fn records() -> Vec<Record> {
        let hostile = "line one\nline two\r\n{\"message\": \"forged\", \"datetime\": \"2020-01-01T00:00:00Z\"}\u{2028}";
        let record = json!({"schema": "cordon.record.v1", "caseId": "i-0123456789abcdef0-0123456789ab",
            "visit": {"execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "state": "Isolate",
                "entered": "2026-11-24T03:30:00Z", "retry": 0},
            "number": 1, "phase": "outcome", "at": "2026-11-24T03:30:01.5Z", "by": "isolate:1",
            "changes": [{"action": "ec2:ModifyNetworkInterfaceAttribute", "subject": hostile, "result": {"status": "done"}}],
            "note": {"said": hostile.repeat(200)}});
        vec![serde_json::from_value(record).unwrap()]
    }

    fn context() -> Vec<Document> {
        let call = |name: &str, time: &str| {
            json!({"EventId": name, "EventName": name, "EventSource": "sts.amazonaws.com",
            "CloudTrailEvent": json!({"eventTime": time, "userAgent": "a\nb"}).to_string()})
        };
        let finding =
            json!({"id": "f", "type": "T", "title": "\u{1b}[2J\n", "service": {"eventFirstSeen": "2026-11-24T03:10:00.000Z"}});
        let document = |source: &str, answer: Value| {
            json!({"schema": Document::SCHEMA, "caseId": "i-0123456789abcdef0-0123456789ab",
            "source": source, "status": "taken", "reason": "", "note": "", "takenAt": "2026-11-24T03:31:00Z", "items": 1,
            "calls": [{"action": "a", "asked": {}, "answer": answer}]})
        };
        let events =
            json!({"Events": [call("AssumeRole", "2026-11-24T03:20:00Z"), call("GetCallerIdentity", "2026-11-24T03:30:02Z")]});
        let documents = [document("cloudTrailSessions", events), document("guardDutyFindings", json!({"findings": [finding]}))];
        documents.into_iter().map(|document| serde_json::from_value(document).unwrap()).collect()
    }

    #[test]
    fn every_line_is_one_that_timesketch_imports_whatever_stands_in_it() {
        let entered = [Entered { state: "Seal".to_owned(), at: "2026-11-24T03:40:00.123456789Z".parse().unwrap() }];
        let lines = build(None, Said::default(), &records(), &entered, &context());
        let imported = imported(&to_jsonl(&lines));
        assert_eq!(imported.len(), lines.len(), "no text has made a line of its own");
        let sources: Vec<&str> = imported.iter().filter_map(|(object, _)| object["source"].as_str()).collect();
        assert_eq!(sources, ["guardduty", "cloudtrail", "record", "record", "cloudtrail", "history"], "merged by time");
        assert!(imported.is_sorted_by_key(|(_, micros)| *micros));
        assert!(imported.iter().all(|(object, _)| object["message"].as_str().unwrap().chars().count() <= 500));
    }
}
