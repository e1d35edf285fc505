//! The step against the real SDK clients and an account that answers.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

mod again;
mod bounds;
mod support;
mod wanting;

use std::collections::BTreeSet;

use incident::context::{ContextStatus, Source, SourceStatus};
use incident::text::sha256;
use serde_json::json;
use support::{CASE, Cloud, EXECUTION, INSTANCE, KEY, SECRET, events, outcome};

#[tokio::test]
async fn every_source_is_asked_and_kept_with_its_digest_and_its_lock() {
    let cloud = Cloud::new();
    let context = cloud.collect(0).await.unwrap();
    assert_eq!(context.status, ContextStatus::Collected, "{context:?}");
    let sources: Vec<Source> = context.sources.iter().map(|outcome| outcome.source).collect();
    assert_eq!(sources, Source::ALL, "each once, in the order in which people read them");
    for source in Source::ALL {
        let outcome = outcome(&context, source);
        // A finding started this execution.
        if source == Source::CloudTrailStart {
            assert_eq!((outcome.status, &outcome.object), (SourceStatus::Nothing, &None));
            continue;
        }
        assert_eq!((outcome.status, outcome.reason.as_str()), (SourceStatus::Taken, ""), "{source}");
        assert!(outcome.items > 0, "{source}");
        let (object, bytes) = (outcome.object.as_ref().unwrap(), cloud.kept(source).unwrap());
        assert_eq!((&object.key, &object.sha256), (&format!("cases/{CASE}/{}", source.name()), &sha256(&bytes)), "{source}");
        let headers = cloud.aws.object_headers(&object.key).unwrap();
        assert_eq!(headers["if-none-match"], "*", "{source}");
        assert_eq!(headers["x-amz-object-lock-mode"], "GOVERNANCE", "{source}");
        assert!(headers.contains_key("x-amz-checksum-sha256") && headers.contains_key("x-amz-object-lock-retain-until-date"));
    }
    let expected: BTreeSet<String> =
        Source::ALL.iter().filter(|source| **source != Source::CloudTrailStart).map(|source| source.name().to_owned()).collect();
    assert_eq!(cloud.names(), expected);
}

#[tokio::test]
async fn what_aws_said_is_kept_whole_with_what_was_asked() {
    let cloud = Cloud::new();
    cloud.collect(0).await.unwrap();
    let instance = cloud.document(Source::Instance);
    assert_eq!(instance.calls[0].action, "ec2:DescribeInstances");
    assert_eq!(instance.calls[0].asked, json!({"InstanceIds": [INSTANCE]}));
    let described = &instance.calls[0].answer["reservationSet"][0]["instancesSet"][0];
    assert_eq!(described["neverHeardOf"], "kept", "also what no type of the SDK knows");
    let findings = cloud.document(Source::GuardDutyFindings);
    assert_eq!(findings.items, 2);
    assert_eq!(findings.calls.last().unwrap().answer["findings"][0]["neverHeardOf"], 1);
    assert_eq!(cloud.document(Source::Tags).calls[0].answer["tagSet"][0]["value"], "<b>\u{202e}", "as it was chosen");
    let trail = cloud.document(Source::CloudTrailSessions);
    assert!(trail.note.contains("up to 15 minutes after"), "{}", trail.note);
    let record = trail.calls[0].answer["Events"][0]["CloudTrailEvent"].as_str().unwrap();
    assert!(record.contains("192.0.2.1"));
    assert_eq!(cloud.kept(Source::ConsoleOutput).unwrap(), b"\x1b[2Jlogin: ", "as it was printed");
    assert_eq!(cloud.kept(Source::ConsoleScreenshot).unwrap(), b"\xff\xd8\xff\xe0");
}

#[tokio::test]
async fn nothing_is_changed_but_the_case() {
    let cloud = Cloud::new();
    cloud.collect(0).await.unwrap();
    let changes: BTreeSet<String> = cloud.aws.mutations().into_iter().map(|call| call.action).collect();
    assert_eq!(changes, BTreeSet::from(["s3:PutObject".to_owned()]));
    let screenshot = &cloud.aws.calls_of("ec2:GetConsoleScreenshot")[0];
    assert_eq!(screenshot.param("WakeUp"), Some("false"), "to wake a screen is to send the target a key");
}

#[tokio::test]
async fn user_data_is_nowhere_but_in_its_object() {
    let cloud = Cloud::new();
    let context = cloud.collect(0).await.unwrap();
    assert!(!serde_json::to_string(&context).unwrap().contains(SECRET));
    let encoded = aws_smithy_types::base64::encode(format!("#!/bin/sh\nPASSWORD={SECRET}\n"));
    for key in cloud.aws.keys() {
        let bytes = cloud.aws.object(&key).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let shown = text.contains(SECRET) || text.contains(&encoded);
        assert_eq!(shown, key.ends_with(Source::UserData.name()), "{key}");
    }
}

#[tokio::test]
async fn calls_are_looked_up_by_the_target_its_sessions_and_the_findings_key_from_a_day_before() {
    let cloud = Cloud::new();
    cloud.collect(0).await.unwrap();
    let asked: Vec<_> = cloud.aws.calls_of("cloudtrail:LookupEvents").iter().map(stub::Call::json).collect();
    let by: Vec<_> = asked.iter().map(|asked| asked["LookupAttributes"].clone()).collect();
    let attribute = |key: &str, value: &str| json!([{"AttributeKey": key, "AttributeValue": value}]);
    assert_eq!(by, [attribute("ResourceName", INSTANCE), attribute("Username", INSTANCE), attribute("AccessKeyId", KEY)]);
    for asked in asked {
        let seconds = |field: &str| asked[field].as_f64().unwrap().round();
        let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        let window = (time("2026-11-23T03:20:00Z") as f64, time("2026-11-24T03:30:00Z") as f64);
        assert_eq!((seconds("StartTime"), seconds("EndTime")), window);
    }
}

#[tokio::test]
async fn the_start_of_a_manual_run_is_kept_and_no_other_start() {
    let mut cloud = Cloud::new();
    cloud.plan["finding"]["source"] = json!("manual");
    let start = |execution: &str| {
        let record = json!({"userIdentity": {"arn": "arn:aws:iam::111122223333:user/ann"}, "responseElements": {"executionArn": execution}});
        json!({"EventId": execution, "EventName": "StartExecution", "EventTime": 1_795_490_000.0, "CloudTrailEvent": record.to_string()})
    };
    let page = json!({"Events": [start(&format!("{EXECUTION}-other")), start(EXECUTION)]});
    cloud.aws.set_fn("cloudtrail:LookupEvents", move |call| {
        let starts = call.json()["LookupAttributes"][0]["AttributeValue"] == "StartExecution";
        if starts { stub::Answer::json(&page) } else { events(&[], None) }
    });
    let context = cloud.collect(0).await.unwrap();
    let started = outcome(&context, Source::CloudTrailStart);
    assert_eq!((started.status, started.items), (SourceStatus::Taken, 1), "{started:?}");
    let kept = String::from_utf8(cloud.kept(Source::CloudTrailStart).unwrap()).unwrap();
    assert!(kept.contains("user/ann") && !kept.contains(&format!("{EXECUTION}-other")));

    cloud = Cloud::new();
    cloud.plan["finding"]["source"] = json!("manual");
    let context = cloud.collect(0).await.unwrap();
    let started = outcome(&context, Source::CloudTrailStart);
    assert_eq!(started.status, SourceStatus::Nothing);
    assert!(started.reason.contains("15 minutes"), "what is not told yet is said, with what to look for: {}", started.reason);
    assert_eq!(context.status, ContextStatus::Collected);
}

#[tokio::test]
async fn the_custody_chain_gets_one_record_of_how_each_source_ended() {
    let cloud = Cloud::new();
    cloud.collect(0).await.unwrap();
    let records: Vec<String> = cloud.aws.keys().into_iter().filter(|key| key.contains("/records/")).collect();
    assert_eq!(records.len(), 1, "{records:?}");
    let record: serde_json::Value = serde_json::from_slice(&cloud.aws.object(&records[0]).unwrap()).unwrap();
    assert_eq!(record["note"]["context"], "collected");
    assert_eq!(record["note"]["sources"].as_array().unwrap().len(), Source::ALL.len());
}
