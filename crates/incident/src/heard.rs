//! What the context tells of times: calls in CloudTrail, and other findings. Pure.
//!
//! INVARIANT: every text is bounded by whoever makes a line of it ([`crate::timeline`]); what has no time that can be read is
//! left out, since it is somebody's text.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::context::{Document, Source};
use crate::timeline::{Line, line};

/// The most calls that are told: more than the bounds of the sources let in.
const MOST_CALLS: usize = 4_000;

/// The lines of these documents, in no order. A call that several sources have is told once.
pub fn lines(documents: &[Document], opened_by: Option<&str>) -> Vec<Line> {
    let mut seen = BTreeSet::new();
    let events = answers(documents, Source::is_trail, "Events").filter(|event| {
        let id = text(event, "/EventId");
        id.is_empty() || seen.insert(id.to_owned())
    });
    let mut lines: Vec<Line> = events.filter_map(call).take(MOST_CALLS).collect();
    let findings = answers(documents, |source| source == Source::GuardDutyFindings, "findings");
    lines.extend(findings.flat_map(|found| finding(found, opened_by)));
    lines
}

/// What stands in a list of each answer of some sources.
fn answers<'a>(documents: &'a [Document], which: impl Fn(Source) -> bool + 'a, list: &'a str) -> impl Iterator<Item = &'a Value> {
    let calls = documents.iter().filter(move |document| which(document.source)).flat_map(|document| &document.calls);
    calls.flat_map(move |call| call.answer.get(list).and_then(Value::as_array).into_iter().flatten())
}

/// One event of CloudTrail's history. The record inside is JSON text, and has more than what is around it.
fn call(event: &Value) -> Option<Line> {
    let record: Value = serde_json::from_str(text(event, "/CloudTrailEvent")).unwrap_or_default();
    let told = text(&record, "/eventTime").parse().ok();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are all that CloudTrail has")]
    let seconds = || event.get("EventTime").and_then(Value::as_f64).and_then(|time| Timestamp::from_second(time as i64).ok());
    let at: Timestamp = told.or_else(seconds)?;
    let service = text(event, "/EventSource");
    let service = service.strip_suffix(".amazonaws.com").unwrap_or(service);
    let arn = text(&record, "/userIdentity/arn");
    let who = if arn.is_empty() { text(event, "/Username") } else { arn };
    let mut message = format!("{service}:{} by {who}", text(event, "/EventName"));
    let address = text(&record, "/sourceIPAddress");
    if !address.is_empty() {
        message.push_str(" from ");
        message.push_str(address);
    }
    let refused = text(&record, "/errorCode");
    if !refused.is_empty() {
        message.push_str(": refused with ");
        message.push_str(refused);
    }
    Some(line(at, "API call", "cloudtrail", "", who, &message))
}

/// When GuardDuty first and last saw something. What opened the case is told by the plan, but for how long it went on.
fn finding(found: &Value, opened_by: Option<&str>) -> Vec<Line> {
    let id = text(found, "/id");
    let message = format!("{}: {}", text(found, "/type"), text(found, "/title"));
    let times = [("/service/eventFirstSeen", "First seen"), ("/service/eventLastSeen", "Last seen")];
    let told = |pointer: &str| opened_by == Some(id) && pointer.ends_with("FirstSeen");
    let of_time = |(pointer, desc): (&str, &str)| {
        let at = text(found, pointer).parse().ok().filter(|_| !told(pointer))?;
        Some(line(at, desc, "guardduty", "", id, &message))
    };
    times.into_iter().filter_map(of_time).collect()
}

/// The text at a pointer; empty where there is none.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(source: &str, answer: &Value) -> Document {
        serde_json::from_value(json!({"schema": Document::SCHEMA, "caseId": "i-0123456789abcdef0-0123456789ab", "source": source,
            "status": "taken", "reason": "", "note": "", "takenAt": "2026-11-24T03:31:00Z", "items": 1,
            "calls": [{"action": "a", "asked": {}, "answer": answer}]}))
        .unwrap()
    }

    fn event(id: &str, record: &Value) -> Value {
        json!({"EventId": id, "EventName": "StopLogging", "EventSource": "cloudtrail.amazonaws.com", "Username": "i-1",
            "EventTime": 1_795_490_000.9, "CloudTrailEvent": record.to_string()})
    }

    #[test]
    fn a_call_says_who_made_it_from_where_and_whether_it_was_refused_once() {
        let record = json!({"eventTime": "2026-11-24T03:21:00Z", "sourceIPAddress": "192.0.2.7", "errorCode": "AccessDenied",
            "userIdentity": {"arn": "arn:aws:sts::1:assumed-role/web/i-1"}});
        let page = json!({"Events": [event("1", &record)]});
        let both = [document("cloudTrailTarget", &page), document("cloudTrailSessions", &page)];
        let lines = lines(&both, None);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(
            lines[0].message,
            "cloudtrail:StopLogging by arn:aws:sts::1:assumed-role/web/i-1 from 192.0.2.7: refused with AccessDenied"
        );
        assert_eq!((lines[0].datetime.to_string().as_str(), lines[0].source.as_str()), ("2026-11-24T03:21:00Z", "cloudtrail"));
    }

    #[test]
    fn what_is_no_record_is_told_by_what_is_around_it_and_what_has_no_time_is_left_out() {
        let bare = json!({"EventId": "1", "EventName": "RunInstances", "Username": "ann", "EventTime": 1_795_490_000.9, "CloudTrailEvent": "{"});
        let page = json!({"Events": [bare, {"EventId": "2", "EventName": "x"}, "text", 7, null]});
        let lines = lines(&[document("cloudTrailTarget", &page)], None);
        let told: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(told, [":RunInstances by ann"]);
        assert_eq!(lines[0].datetime.as_second(), 1_795_490_000);
    }

    #[test]
    fn hostile_text_stays_on_its_line_and_within_its_bound() {
        let record = json!({"eventTime": "2026-11-24T03:21:00Z", "sourceIPAddress": format!("a\n{{\"message\":\"forged\"}}{}", "x".repeat(9_000))});
        let lines = lines(&[document("cloudTrailTarget", &json!({"Events": [event("1", &record)]}))], None);
        assert!(lines[0].message.chars().count() <= 500 && !lines[0].message.contains('\n'), "{}", lines[0].message);
    }

    #[test]
    fn other_findings_are_told_and_the_one_that_opened_the_case_only_by_how_long_it_went_on() {
        let finding = |id: &str| {
            json!({"id": id, "type": "T", "title": "t",
            "service": {"eventFirstSeen": "2026-11-24T03:00:00.000Z", "eventLastSeen": "2026-11-24T03:25:00.000Z"}})
        };
        let page = json!({"findings": [finding("ours"), finding("other"), {"id": "bare"}]});
        let lines = lines(&[document("guardDutyFindings", &page)], Some("ours"));
        let told: Vec<(&str, &str)> = lines.iter().map(|line| (line.subject.as_str(), line.timestamp_desc.as_str())).collect();
        assert_eq!(told, [("ours", "Last seen"), ("other", "First seen"), ("other", "Last seen")]);
    }
}
