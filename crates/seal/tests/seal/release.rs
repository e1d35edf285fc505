//! The end of a release: a file of its own, chained and signed, and a target that is free again.

use incident::evidence::Closed;
use incident::manifest::ClosingManifest;
use incident::release::ReleaseReport;
use incident::{CaseId, ExecutionArn, InstanceId, case, custody};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

fn id() -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap())
}

fn release() -> Value {
    let plan = plan();
    json!({"schema": "cordon.release.v1", "releaseId": id(), "execution": EXECUTION, "opened": "2026-11-25T03:30:00Z",
        "caseId": "i-0abc1234def567890-ffffffffffff", "restoredFrom": "i-0abc1234def567890-ffffffffffff", "reason": "a false alarm",
        "target": plan["target"], "restore": [], "notRestorable": [], "credentials": true, "retention": plan["retention"]})
}

fn input(released: &Value, denial: &Value, failure: &Value) -> Value {
    json!({"mode": "release", "visit": visit("SealRelease"), "release": release(), "released": released, "denial": denial, "failure": failure})
}

fn released(status: &str) -> Value {
    json!({"status": status, "items": [], "readBackAt": "2026-11-25T03:31:00Z", "reasons": [], "failure": null})
}

/// A release that is under way: its plan and one record are there, and it holds the target.
fn under_way() -> Stub {
    let aws = Stub::new().on("kms:Sign", Answer::json(json!({"Signature": "MAYCAQECAQE="})));
    aws.put_object(&case::key(&id(), case::RELEASE), release().to_string());
    let record = json!({"schema": "cordon.record.v1", "caseId": id(), "visit": visit("Restore"), "number": 1, "phase": "outcome",
        "at": "2026-11-25T03:31:00Z", "by": "release"});
    aws.put_object(&case::key(&id(), "records/20261125T033100.000Z-Restore-00-001-outcome.json"), record.to_string());
    let claim = json!({"caseId": id(), "executionArn": EXECUTION, "severity": 0.0, "closing": false, "release": true});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
    aws
}

fn closed(said: Value) -> Closed {
    serde_json::from_value(said).unwrap()
}

#[tokio::test]
async fn a_release_is_chained_listed_and_signed_and_its_target_is_free() {
    let aws = under_way();
    let input = input(&released("released"), &denial("lifted", "all"), &Value::Null);
    let said = closed(run(&aws, &input).await.unwrap());
    let locks = |reason: &String| reason.starts_with("lock:");
    assert!(said.reasons.iter().all(locks), "only what the test put without a lock is wrong: {:?}", said.reasons);
    let key = |name: &str| case::key(&id(), name);
    let manifest: ClosingManifest = serde_json::from_slice(&aws.object(&key(case::CLOSING_MANIFEST)).unwrap()).unwrap();
    assert_eq!((manifest.evidence, manifest.closed_by.as_str()), (None, "SealRelease"));
    let mut named: Vec<String> = manifest.items.into_iter().map(|item| item.object.key).collect();
    named.extend([key(case::CLOSING_MANIFEST), key(case::CLOSING_SIGNATURE)]);
    named.sort();
    assert_eq!(named, aws.keys().into_iter().filter(|key| key.starts_with("cases/")).collect::<Vec<_>>());
    let chain = aws.object(&key(case::CUSTODY_CLOSING)).unwrap();
    let (lines, _) = custody::check(&chain, &incident::manifest::Chain { lines: 0, head: "0".repeat(64) }).unwrap();
    assert_eq!(lines.len(), 1, "the record is in the chain");
    let report: ReleaseReport = serde_json::from_slice(&aws.object(&key(case::RELEASED)).unwrap()).unwrap();
    assert!(report.released.is_some() && report.denial.is_some());
    assert_eq!(aws.object(&format!("open/{INSTANCE}.json")), None, "the claim is gone");

    aws.forget_calls();
    assert_eq!(closed(run(&aws, &input).await.unwrap()), said, "a second time nothing is written anew");
    assert_eq!(aws.mutations().len(), 0, "{:?}", aws.actions());
}

#[tokio::test]
async fn a_claim_that_a_new_finding_took_is_left_to_it() {
    let aws = under_way();
    let taken = json!({"caseId": "i-0abc1234def567890-eeeeeeeeeeee", "executionArn": EXECUTION, "severity": 8.0}).to_string();
    aws.put_object(&format!("open/{INSTANCE}.json"), taken.clone());
    let said = closed(run(&aws, &input(&released("superseded"), &Value::Null, &Value::Null)).await.unwrap());
    assert!(!said.as_planned && said.reasons.iter().any(|reason| reason.contains("new finding")), "{:?}", said.reasons);
    assert_eq!(aws.object(&format!("open/{INSTANCE}.json")), Some(taken.into_bytes()));
}

#[tokio::test]
async fn what_was_not_given_back_is_not_as_planned() {
    let failure = json!({"state": "Restore", "error": "Denied", "cause": "no"});
    for (restored, lifted, failure, expected) in [
        (released("partlyReleased"), Value::Null, Value::Null, "only partly released"),
        (released("notReleased"), Value::Null, Value::Null, "nothing of the target was released"),
        (released("unknown"), Value::Null, Value::Null, "could not be read back"),
        (Value::Null, Value::Null, failure, "Restore failed with Denied: no"),
        (released("released"), denial("unknown", "all"), Value::Null, "credentials are still denied, or nobody knows"),
    ] {
        let said = closed(run(&under_way(), &input(&restored, &lifted, &failure)).await.unwrap());
        assert!(
            !said.as_planned && said.reasons.iter().any(|reason| reason.contains(expected)),
            "{expected}: {:?}",
            said.reasons
        );
    }
}

#[tokio::test]
async fn the_last_word_closes_a_release_that_died_and_tells_and_shuts_no_door() {
    let aws = under_way();
    aws.set("lambda:Invoke", Answer::bytes(200, "{\"told\":true}"));
    let request =
        json!({"caseId": "i-0abc1234def567890-ffffffffffff", "reason": "a false alarm", "dryRun": false, "rejoinGroup": false});
    let event = ended(&json!(request.to_string()));
    assert_eq!(run(&aws, &event).await.unwrap(), json!({"spoke": true}));
    let told = aws.calls_of("lambda:Invoke")[0].json();
    assert_eq!(aws.count("lambda:Invoke"), 1);
    assert_eq!(
        (&told["mode"], &told["checked"]["plan"]["releaseId"], &told["closed"]["asPlanned"]),
        (&json!("released"), &json!(id()), &json!(false))
    );
    assert_eq!(aws.object(&format!("open/{INSTANCE}.json")), None, "the claim is gone");
    aws.put_object(&case::told(&ExecutionArn::parse(EXECUTION).unwrap()), "{}");
    aws.forget_calls();
    assert_eq!(run(&aws, &event).await.unwrap(), json!({"spoke": false}), "whom the run told is not told again");
    assert!(aws.mutations().is_empty(), "{:?}", aws.actions());
}

#[tokio::test]
async fn a_release_whose_seal_failed_is_closed_by_the_last_word_though_people_were_told() {
    let aws = under_way();
    aws.put_object(&case::told(&ExecutionArn::parse(EXECUTION).unwrap()), "{}");
    let request = json!({"caseId": "i-0abc1234def567890-ffffffffffff", "reason": "a false alarm"});
    assert_eq!(run(&aws, &ended(&json!(request.to_string()))).await.unwrap(), json!({"spoke": false}));
    assert!(aws.object(&case::key(&id(), case::CLOSING_SIGNATURE)).is_some(), "{:?}", aws.keys());
    assert_eq!(aws.object(&format!("open/{INSTANCE}.json")), None, "the claim is gone");
}

#[tokio::test]
async fn a_release_that_was_refused_has_nothing_to_close() {
    let aws = world();
    let mut input = input(&Value::Null, &Value::Null, &Value::Null);
    input["release"] = Value::Null;
    let before = aws.keys();
    assert!(!closed(run(&aws, &input).await.unwrap()).as_planned);
    assert_eq!(aws.keys(), before);
}
