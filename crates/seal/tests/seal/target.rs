//! How the target stands at the seal, and the tag without which it may not be terminated.

use incident::manifest::EvidenceManifest;
use incident::record::{ChangeResult, Phase, Record};
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

/// The input of Seal where people are to be asked about the target's end.
fn asking() -> Value {
    let mut input = evidence();
    input["plan"]["disposition"] = json!({"decision": "ask", "persons": 1, "waitSeconds": 3600, "protectedTags": []});
    input
}

fn tagged() -> Answer {
    Answer::xml("<CreateTagsResponse><return>true</return></CreateTagsResponse>".to_owned())
}

fn tags(aws: &Stub) -> Vec<(String, String)> {
    let of = |call: &stub::Call| (call.params["Tag.1.Key"].clone(), call.params["Tag.1.Value"].clone());
    aws.calls_of("ec2:CreateTags").iter().map(of).collect()
}

/// What the records of Seal say became of the tag.
fn outcomes(aws: &Stub) -> Vec<Option<ChangeResult>> {
    let names = aws.keys().into_iter().filter(|name| name.contains("-Seal-"));
    let records = names.map(|name| serde_json::from_slice::<Record>(&aws.object(&name).unwrap()).unwrap());
    records.filter(|record| record.phase == Phase::Outcome).map(|record| record.changes[0].result.clone()).collect()
}

#[tokio::test]
async fn the_manifest_says_how_the_target_stood() {
    let aws = world();
    run(&aws, &evidence()).await.unwrap();
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    let expected = json!({"state": "running", "launched": "2026-11-20T08:00:00Z", "volumes": ["vol-0abc1234def567890"],
        "interfaces": ["eni-0abc1234def567890", "eni-0fff1234def567890"]});
    assert_eq!(serde_json::to_value(manifest.target).unwrap(), expected);
}

#[tokio::test]
async fn a_target_that_cannot_be_looked_at_is_sealed_without_it() {
    let unknown = Answer::ec2_error(400, "InvalidInstanceID.NotFound", "no");
    for answer in [unknown, Answer::ec2_error(403, "UnauthorizedOperation", "no"), described("terminated", "")] {
        let aws = world();
        aws.set("ec2:DescribeInstances", answer);
        run(&aws, &asking()).await.unwrap();
        assert!(aws.object(&key("manifest-evidence.json")).is_some());
        assert_eq!(aws.count("ec2:CreateTags"), 0, "what is not there, or not seen, is not tagged");
    }
    let aws = world();
    aws.set("ec2:DescribeInstances", Answer::ec2_error(503, "RequestLimitExceeded", "no"));
    assert_eq!(run(&aws, &asking()).await.unwrap_err().fault(), Fault::Transient);
    assert_eq!(aws.object(&key("manifest-evidence.json")), None, "the next attempt may still see it");
}

#[tokio::test]
async fn only_a_target_whose_end_is_provided_for_is_tagged_and_after_its_evidence_is_sealed() {
    let aws = world();
    run(&aws, &evidence()).await.unwrap();
    assert_eq!(tags(&aws), [], "a target that stays in quarantine is left alone");
    let aws = world().on("ec2:CreateTags", tagged());
    run(&aws, &asking()).await.unwrap();
    assert_eq!(tags(&aws), [("cordon:sealed".to_owned(), case())]);
    assert_eq!(outcomes(&aws), [Some(ChangeResult::Done)]);
    let order = aws.actions();
    let at = |action: &str| order.iter().position(|known| known == action);
    assert!(at("kms:Sign") < at("ec2:CreateTags"), "{order:?}");
}

#[tokio::test]
async fn a_target_is_tagged_once_and_the_tag_of_another_case_is_replaced() {
    let tag = |value: &str| format!("<item><key>cordon:sealed</key><value>{value}</value></item>");
    for (value, count) in [(case(), 0), ("i-0abc1234def567890-ffffffffffff".to_owned(), 1)] {
        let aws = world().on("ec2:CreateTags", tagged());
        aws.set("ec2:DescribeInstances", described("running", &tag(&value)));
        run(&aws, &asking()).await.unwrap();
        assert_eq!(aws.count("ec2:CreateTags"), count, "{value}");
    }
}

#[tokio::test]
async fn a_tag_that_fails_in_passing_is_tried_again_and_one_that_is_refused_is_told() {
    let aws = world().once("ec2:CreateTags", Answer::ec2_error(503, "RequestLimitExceeded", "no"));
    assert_eq!(run(&aws, &asking()).await.unwrap_err().fault(), Fault::Transient);
    let sealed = aws.object(&key("manifest-evidence.json")).unwrap();
    aws.set("ec2:CreateTags", tagged());
    let mut again = asking();
    again["visit"]["retry"] = json!(1);
    run(&aws, &again).await.unwrap();
    assert_eq!(aws.object(&key("manifest-evidence.json")).unwrap(), sealed);
    assert!(matches!(outcomes(&aws)[..], [Some(ChangeResult::Failed { .. }), Some(ChangeResult::Done)]), "{:?}", outcomes(&aws));

    let aws = world().on("ec2:CreateTags", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    run(&aws, &asking()).await.unwrap();
    assert!(matches!(outcomes(&aws)[..], [Some(ChangeResult::Failed { fault: Fault::Denied, .. })]), "{:?}", outcomes(&aws));
}
