//! The context in the seal and in what is told at the end: never what the evidence waits for, always said where it is wanting.

use incident::manifest::{EvidenceManifest, Item, Trust};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::{close, context, evidence, key, missing, read, run, world};

/// Lays down what Context keeps; the test's own objects have no lock.
fn collected(aws: &Stub) {
    for (name, bytes) in [
        ("context/instance.json", "{}"),
        ("context/guardduty-findings.json", "{}"),
        ("context/user-data.bin", "PASSWORD=hunter2"),
        ("context/console-output.txt", "login:"),
        ("context/of-somebody-else.json", "{}"),
    ] {
        aws.put_object(&key(name), bytes);
    }
}

#[tokio::test]
async fn each_source_is_sealed_with_whose_word_it_is() {
    let aws = world();
    collected(&aws);
    run(&aws, &evidence()).await.unwrap();
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    let trust = |name: &str| {
        let of = |item: &&Item| item.object.key == key(name);
        manifest.items.iter().find(of).map(|item| item.trust)
    };
    assert_eq!(trust("context/instance.json"), Some(Trust::Aws));
    assert_eq!(trust("context/guardduty-findings.json"), Some(Trust::AsReceived));
    assert_eq!(trust("context/user-data.bin"), Some(Trust::TargetsOwn), "marked: it may hold secrets");
    assert_eq!(trust("context/console-output.txt"), Some(Trust::TargetsWord));
    assert_eq!(trust("context/of-somebody-else.json"), Some(Trust::AsReceived), "no source of ours has that name");
    assert_eq!(manifest.context.map(|context| context.sources.len()), Some(2));
    assert!(!String::from_utf8(aws.object(&key("manifest-evidence.json")).unwrap()).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn a_context_that_is_wanting_is_not_as_planned_and_blocks_nothing() {
    let failure = json!({"state": "Context", "error": "States.Timeout", "cause": ""});
    let broken = json!({"status": "unknown", "sources": [], "failure": failure});
    for (found, said) in [
        (context("partly", "notTaken"), "not all of the target's context is there: its user data: AccessDenied"),
        (context("notCollected", "notTaken"), "nothing of the target's context is there"),
        (broken, "nobody knows how much of the target's context is there: Context failed with States.Timeout"),
        (Value::Null, "the run broke before it could say how much of the target's context is there"),
    ] {
        let aws = world();
        let mut input = evidence();
        input["context"] = found.clone();
        let sealed = run(&aws, &input).await.unwrap();
        assert_eq!(missing(&sealed), [""; 0], "{found}: a permit needs no context");
        let mut input = close(&sealed);
        input["context"] = found.clone();
        let closed = run(&aws, &input).await.unwrap();
        assert_eq!(closed["asPlanned"], false);
        let reasons = closed["reasons"].to_string();
        assert!(reasons.contains(said), "{said}: {reasons}");
        let report: Value = read(&aws, "report.json");
        assert!(report["todo"].to_string().contains("get by hand what is missing of the context"), "{}", report["todo"]);
    }
    let aws = world();
    let sealed = run(&aws, &evidence()).await.unwrap();
    let closed = run(&aws, &close(&sealed)).await.unwrap();
    assert!(!closed["reasons"].to_string().contains("context"), "{closed}");
}

#[tokio::test]
async fn calls_and_findings_of_the_context_are_in_the_timeline_and_what_cannot_be_read_is_left_out() {
    let document = |source: &str, answer: &Value| {
        json!({"schema": "cordon.context.v1", "caseId": crate::support::case(), "source": source, "status": "taken", "reason": "", "note": "",
            "takenAt": "2026-11-24T03:31:00Z", "items": 1, "calls": [{"action": "a", "asked": {}, "answer": answer}]})
        .to_string()
    };
    let record = json!({"eventTime": "2026-11-24T03:21:00Z", "sourceIPAddress": "192.0.2.7", "userIdentity": {"arn": "arn:aws:iam::1:user/a\n"}});
    let event = json!({"EventId": "1", "EventName": "StopLogging", "EventSource": "cloudtrail.amazonaws.com", "CloudTrailEvent": record.to_string()});
    let finding = json!({"id": "other", "type": "T", "title": "t", "service": {"eventFirstSeen": "2026-11-24T03:00:00Z"}});
    let aws = world();
    aws.put_object(&key("context/cloudtrail-sessions.json"), document("cloudTrailSessions", &json!({"Events": [event]})));
    aws.put_object(&key("context/cloudtrail-target.json"), "not what Cordon wrote");
    aws.put_object(&key("context/guardduty-findings.json"), document("guardDutyFindings", &json!({"findings": [finding]})));
    run(&aws, &close(&Value::Null)).await.unwrap();
    let text = String::from_utf8(aws.object(&key("timeline.jsonl")).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |source: &str| lines.iter().filter(|line| line["source"] == source).count();
    assert_eq!((of("cloudtrail"), of("guardduty")), (1, 1), "{text}");
    assert!(
        lines.iter().any(|line| line["message"] == "cloudtrail:StopLogging by arn:aws:iam::1:user/a  from 192.0.2.7"),
        "{text}"
    );
}

#[tokio::test]
async fn the_timeline_does_without_what_may_not_be_read() {
    let aws = world();
    aws.put_object(&key("context/cloudtrail-target.json"), "{}");
    aws.set_fn("s3:GetObject", |call| {
        let plain = call.query("versionId").is_none() && call.path.ends_with("cloudtrail-target.json");
        if plain { Answer::s3_error(403, "AccessDenied", "no") } else { Answer::bucket() }
    });
    run(&aws, &close(&Value::Null)).await.unwrap();
    assert!(aws.object(&key("timeline.jsonl")).is_some());
}
