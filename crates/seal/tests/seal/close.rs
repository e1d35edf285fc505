//! The end of a case.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use incident::manifest::ClosingManifest;
use incident::{Classify, Fault};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

#[tokio::test]
async fn sealing_and_closing_twice_gives_the_same_and_writes_nothing_new() {
    let aws = world();
    let sealed = run(&aws, &evidence()).await.unwrap();
    let closed = run(&aws, &close(&sealed)).await.unwrap();
    assert_whole(&aws);
    let keys = aws.keys();
    assert!(!keys.contains(&format!("open/{INSTANCE}.json")), "the claim must be released");
    assert_eq!(run(&aws, &evidence()).await.unwrap(), sealed);
    assert_eq!(run(&aws, &close(&sealed)).await.unwrap(), closed);
    assert_eq!(aws.keys(), keys);
    assert_eq!(aws.count("kms:Sign"), 2, "a signature that is there is not made again");
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_found_again_wherever_it_is() {
    for lost in 0..12 {
        let aws = world();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        aws.set_fn("s3:PutObject", move |_| {
            if counter.fetch_add(1, Ordering::Relaxed) == lost { Answer::bucket_then_lost() } else { Answer::bucket() }
        });
        let mut failures = 0;
        for step in [evidence(), close(&Value::Null)] {
            while let Err(error) = run(&aws, &step).await {
                failures += 1;
                assert_eq!((error.fault(), failures), (Fault::Transient, 1), "put {lost}: {error}");
            }
        }
        assert_whole(&aws);
        let closing: ClosingManifest = read(&aws, "manifest-closing.json");
        assert!(!closing.reasons.iter().any(|reason| reason.contains("claim")), "put {lost}: {:?}", closing.reasons);
    }
}

#[tokio::test]
async fn findings_that_joined_are_taken_in_and_the_claim_of_another_stays() {
    let aws = world();
    aws.put_object_in("evidence", &format!("joined/{}/f2-t2.json", case()), "{}");
    let other =
        json!({"caseId": format!("{INSTANCE}-0123456789ab"), "executionArn": EXECUTION.replace("one", "two"), "severity": 1.0});
    aws.put_object(&format!("open/{INSTANCE}.json"), other.to_string());
    let closed = run(&aws, &close(&Value::Null)).await.unwrap();
    assert_whole(&aws);
    assert_eq!(aws.object(&key("findings/f2-t2.json")).unwrap(), b"{}");
    assert!(closed["reasons"].to_string().contains("took it over"), "{closed}");
    assert!(aws.object(&format!("open/{INSTANCE}.json")).is_some());
}

#[tokio::test]
async fn a_history_that_is_denied_stops_no_closing() {
    let aws = world();
    aws.set("states:GetExecutionHistory", Answer::json_error(400, "AccessDeniedException", "no"));
    run(&aws, &close(&Value::Null)).await.unwrap();
    let history: Value = read(&aws, "history.json");
    assert!(history["problem"].as_str().unwrap().contains("AccessDenied"), "{history}");
    assert_whole(&aws);
}

#[tokio::test]
async fn the_timeline_has_one_line_per_fact_and_the_report_its_times() {
    let aws = world();
    run(&aws, &close(&Value::Null)).await.unwrap();
    let text = String::from_utf8(aws.object(&key("timeline.jsonl")).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().all(|line| ["message", "datetime", "timestamp_desc"].iter().all(|name| line[name].is_string())),
        "{text}"
    );
    assert!(lines.is_sorted_by_key(|line| line["datetime"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()), "{text}");
    assert!(!text.contains("\\n") && !text.contains("\\u001b"), "hostile text must be made safe: {text}");
    for desc in ["Containment read back", "Denial read back", "Lock-down read back"] {
        assert_eq!(lines.iter().filter(|line| line["timestamp_desc"] == desc).count(), 1, "{desc}: {text}");
    }
    let report: Value = read(&aws, "report.json");
    let known = ["memory", "lockdown", "denial", "context"].map(|step| report[step]["status"].as_str().unwrap());
    assert_eq!(known, ["captured", "lockedDown", "denied", "collected"]);
    assert_eq!(report["risks"], json!([]), "what was read back as gone is no risk any more");
    let disks = report["disks"].as_array().unwrap();
    assert_eq!(disks.len(), report["snapshots"].as_array().unwrap().len());
    let commands = disks[0]["commands"].to_string();
    assert!(commands.contains(disks[0]["snapshotId"].as_str().unwrap()) && commands.contains("attach-volume"), "{commands}");
    assert_eq!(
        (report["metrics"]["secondsToOpen"].as_i64(), report["metrics"]["secondsToContain"].as_i64()),
        (Some(1_800), Some(9))
    );
}

#[tokio::test]
async fn a_failure_is_recorded_in_the_case_of_its_execution_only() {
    let failure = json!({"mode": "failure", "visit": visit("RecordFailure"), "plan": null, "input": {"instanceId": INSTANCE},
        "failure": {"state": "Triage", "error": "Denied", "cause": "no"}});
    let aws = world();
    assert_eq!(run(&aws, &failure).await.unwrap(), json!({"caseId": case()}));
    assert!(aws.keys().iter().any(|key| key.contains("RecordFailure")), "{:?}", aws.keys());
    run(&aws, &close(&Value::Null)).await.unwrap();
    let keys = aws.keys();
    run(&aws, &failure).await.unwrap();
    assert_eq!(aws.keys(), keys, "nothing may be written into a closed case");
    let empty = Stub::new();
    assert_eq!(run(&empty, &failure).await.unwrap(), json!({"caseId": null}));
    assert!(empty.mutations().is_empty());
}

#[tokio::test]
async fn a_case_without_a_plan_is_closed_from_its_claim() {
    let aws = Stub::new()
        .on("kms:Sign", Answer::json(json!({"Signature": "MAYCAQECAQE="})))
        .on("states:GetExecutionHistory", Answer::json(json!({"events": []})));
    let claim = json!({"caseId": case(), "executionArn": EXECUTION, "severity": 8.0});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
    let mut input = close(&Value::Null);
    for field in ["plan", "containment", "denial", "freeze", "preserved", "opening", "memory", "lockdown", "context"] {
        input[field] = Value::Null;
    }
    input["failure"] = json!({"state": "Triage", "error": "Denied", "cause": "no"});
    let closed = run(&aws, &input).await.unwrap();
    assert!(closed["asPlanned"] == false && closed["manifest"].is_object(), "{closed}");
    assert_whole(&aws);
    assert_eq!(run(&aws, &input).await.unwrap(), closed);
    input["input"] = json!("garbage");
    let closed = run(&Stub::new(), &input).await.unwrap();
    assert!(closed["manifest"].is_null() && closed["reasons"].to_string().contains("Triage failed"), "{closed}");
}
