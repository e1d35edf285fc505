//! Calls in CloudTrail's event history: about the target, by its role sessions, with the finding's access keys, and the one that
//! started the execution.
//!
//! The history has the management events of 90 days, also without a trail. A lookup takes one attribute and gives 50 events at
//! most; an account may look up twice in a second and Region.

use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use handler::{AwsError, failed};
use incident::plan::Source as FindingSource;
use incident::{case, finding};
use serde_json::{Value, json};

use super::{Found, not_sent};
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;
use crate::window::{self, Window};

const ACTION: &str = "cloudtrail:LookupEvents";
/// The most pages of one question, 50 events each.
const MOST_PAGES: usize = 8;
/// The most access keys that are looked up.
const MOST_KEYS: usize = 2;

/// What whoever reads the answers must know.
const NOTE: &str = "CloudTrail tells of a call up to 15 minutes after it was made, so that the newest may not be here. Later, \
    `aws cloudtrail lookup-events` with what stands in `asked` tells the rest. It has management events of this Region and of \
    90 days, and no data events; calls to global services such as IAM are in the history of us-east-1. Names, agents and \
    parameters in them were chosen by the caller.";

/// Calls that name the instance.
pub(super) async fn target(run: &Run<'_>) -> Result<Found, AwsError> {
    let mut answers = Answers::default();
    let by = (LookupAttributeKey::ResourceName, run.plan.target.instance_id.as_str());
    lookup(run, &mut answers, by, window::around_the_finding(run.plan), MOST_PAGES, |_| true).await?;
    Ok(Found::Answers(answers, NOTE))
}

/// Calls by the role sessions that instance metadata handed out: each is named after the instance.
pub(super) async fn sessions(run: &Run<'_>) -> Result<Found, AwsError> {
    let mut answers = Answers::default();
    let by = (LookupAttributeKey::Username, run.plan.target.instance_id.as_str());
    lookup(run, &mut answers, by, window::around_the_finding(run.plan), MOST_PAGES, |_| true).await?;
    Ok(Found::Answers(answers, NOTE))
}

/// Calls with the access keys that the finding names, whoever made them, and from wherever.
pub(super) async fn access_keys(run: &Run<'_>) -> Result<Found, AwsError> {
    let finding = run.file.get(case::FINDING).await?;
    let finding: Value = finding.and_then(|fetched| serde_json::from_slice(&fetched.bytes).ok()).unwrap_or_default();
    let keys = finding::access_keys(&finding);
    if keys.is_empty() {
        return Ok(Found::Nothing("the finding names no access key".to_owned()));
    }
    let mut answers = Answers::default();
    for key in keys.iter().take(MOST_KEYS) {
        let by = (LookupAttributeKey::AccessKeyId, key.as_str());
        lookup(run, &mut answers, by, window::around_the_finding(run.plan), MOST_PAGES, |_| true).await?;
    }
    if keys.len() > MOST_KEYS {
        answers.there_is_more();
    }
    Ok(Found::Answers(answers, NOTE))
}

/// The call that started the execution, which says who asked for the response.
pub(super) async fn start(run: &Run<'_>) -> Result<Found, AwsError> {
    if run.plan.finding.source != FindingSource::Manual {
        return Ok(Found::Nothing("no person started the execution".to_owned()));
    }
    let execution = run.plan.execution.as_str();
    let mut answers = Answers::default();
    let by = (LookupAttributeKey::EventName, "StartExecution");
    let ours = |event: &Value| starts(event, execution);
    lookup(run, &mut answers, by, window::of_the_start(run.plan), MOST_PAGES, ours).await?;
    if answers.items == 0 && answers.stop.is_none() {
        let reason =
            "CloudTrail does not tell of it yet: in 15 minutes, look for the event StartExecution with this execution's ARN";
        return Ok(Found::Nothing(reason.to_owned()));
    }
    Ok(Found::Answers(answers, NOTE))
}

/// Whether an event is the start of this execution.
fn starts(event: &Value, execution: &str) -> bool {
    let record = event.get("CloudTrailEvent").and_then(Value::as_str).unwrap_or_default();
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    record.pointer("/responseElements/executionArn").and_then(Value::as_str) == Some(execution)
}

/// Looks up the events with one attribute, and keeps those that count.
async fn lookup(
    run: &Run<'_>,
    answers: &mut Answers,
    (key, value): (LookupAttributeKey, &str),
    window: Window,
    most: usize,
    counts: impl Fn(&Value) -> bool,
) -> Result<(), AwsError> {
    let attribute = LookupAttribute::builder().attribute_key(key.clone()).attribute_value(value).build();
    // Without it, it would be everything that happened in the account.
    let attribute = attribute.map_err(|error| not_sent(ACTION, &error.to_string()))?;
    let (from, to) = (DateTime::from_secs(window.from.as_second()), DateTime::from_secs(window.to.as_second()));
    let asked = json!({"LookupAttributes": {key.as_str(): value}, "StartTime": window.from, "EndTime": window.to});
    let ask = async |next| {
        let raw = Raw::default();
        let lookup = run.clients.cloudtrail.lookup_events().lookup_attributes(attribute.clone()).start_time(from).end_time(to);
        let lookup = lookup.max_results(50).set_next_token(next).customize().interceptor(raw.clone());
        let answer = lookup.send().await.map_err(failed("cloudtrail:LookupEvents"))?;
        let mut page = Page { items: 0, answer: raw.json(), next: answer.next_token };
        if let Some(events) = page.answer.value.get_mut("Events").and_then(Value::as_array_mut) {
            events.retain(&counts);
            page.items = events.len();
        }
        Ok(page)
    };
    answers.pages((ACTION, asked), most, ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_start_of_this_execution_is_kept() {
        let execution = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
        let event = |record: &str| json!({ "CloudTrailEvent": record });
        for (event, ours) in [
            (event(&json!({"responseElements": {"executionArn": execution}}).to_string()), true),
            (event(&json!({"responseElements": {"executionArn": format!("{execution}-2")}}).to_string()), false),
            (event(&json!({"requestParameters": {"name": execution}}).to_string()), false),
            (event("{"), false),
            (json!({}), false),
            (json!("text"), false),
        ] {
            assert_eq!(starts(&event, execution), ours, "{event}");
        }
    }
}
