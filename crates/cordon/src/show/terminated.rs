//! How the end of a target went, from the records of a case that has no report yet. Pure.

use incident::evidence::{Refusal, Termination, TerminationStatus};
use incident::record::{Change, ChangeResult, Phase, Record};
use incident::text::bounded;
use serde_json::Value;

/// The state whose records tell.
const STATE: &str = "Terminate";
/// The one change that ends a target.
const ACTION: &str = "ec2:TerminateInstances";

/// What the records say; none where nobody began.
pub(super) fn from(records: &[Record]) -> Option<Termination> {
    let of_the_end: Vec<&Record> = records.iter().filter(|record| record.visit.state == STATE).collect();
    let last = of_the_end.last()?;
    let change = |record: &&&Record| record.changes.iter().any(|change| change.action == ACTION);
    let outcome = of_the_end.iter().rfind(|record| record.phase == Phase::Outcome && change(record));
    let refusals = refusals(&last.note);
    let mut reasons = Vec::new();
    let status = match outcome.and_then(|outcome| outcome.changes.iter().find(|change| change.action == ACTION)) {
        Some(Change { result: Some(ChangeResult::Done | ChangeResult::Already), .. }) => TerminationStatus::Terminated,
        Some(Change { result: Some(ChangeResult::Failed { message, .. }), .. }) => {
            reasons.push(bounded(message, 400));
            TerminationStatus::NotTerminated
        }
        _ if !refusals.is_empty() => TerminationStatus::Refused,
        _ => {
            reasons.push("it was begun, and no record says how it went".to_owned());
            TerminationStatus::Unknown
        }
    };
    Some(Termination { status, by: Vec::new(), state: String::new(), read_back_at: None, refusals, reasons, failure: None })
}

/// The refusals that a note lists.
fn refusals(note: &Value) -> Vec<Refusal> {
    note.get("refused").and_then(|refusals| serde_json::from_value(refusals.clone()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(state: &str, phase: &str, result: &Value, note: &Value) -> Record {
        let mut change = json!({"action": ACTION, "subject": "i-0abc1234def567890"});
        if !result.is_null() {
            change["result"] = result.clone();
        }
        let changes = if note.is_null() { json!([change]) } else { json!([]) };
        serde_json::from_value(json!({"schema": "cordon.record.v1", "caseId": "i-0abc1234def567890-0123456789ab",
            "visit": {"execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "state": state,
                "entered": "2026-11-24T03:30:00Z", "retry": 0},
            "number": 1, "phase": phase, "at": "2026-11-24T03:30:01Z", "by": "terminate", "changes": changes, "note": note}))
        .unwrap()
    }

    #[test]
    fn the_records_say_no_more_than_was_done() {
        let none = Value::Null;
        let intent = record(STATE, "intent", &none, &none);
        let outcome = |result: Value| record(STATE, "outcome", &result, &Value::Null);
        let refused = json!({"refused": [{"kind": "evidenceMissing", "subject": "memory", "reason": "not waived"}]});
        for (records, expected) in [
            (vec![], None),
            (vec![record("Isolate", "outcome", &json!({"status": "done"}), &none)], None),
            (vec![intent.clone()], Some(TerminationStatus::Unknown)),
            (vec![intent.clone(), outcome(json!({"status": "done"}))], Some(TerminationStatus::Terminated)),
            (vec![intent.clone(), outcome(json!({"status": "already"}))], Some(TerminationStatus::Terminated)),
            (
                vec![intent, outcome(json!({"status": "failed", "fault": "Denied", "message": "no"}))],
                Some(TerminationStatus::NotTerminated),
            ),
            (vec![record(STATE, "outcome", &none, &refused)], Some(TerminationStatus::Refused)),
            (vec![record(STATE, "outcome", &none, &json!("looked"))], Some(TerminationStatus::Unknown)),
        ] {
            assert_eq!(from(&records).map(|termination| termination.status), expected, "{records:?}");
        }
    }
}
