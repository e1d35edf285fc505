//! What cannot be done is said, and the rest is done.

use journeys::{Ended, World, findings};
use serde_json::json;

async fn respond(world: &World, instance: &str) -> Ended {
    world.run(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await
}

/// What is missing in a case's evidence, as `item: reason` lines.
async fn missing(world: &World, case: &str) -> String {
    let manifest = world.json(&format!("cases/{case}/manifest-evidence.json")).await;
    let items = manifest["missing"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| format!("{}: {}", item["item"], item["reason"])).collect::<Vec<_>>().join("\n")
}

/// An incident whose evidence is incomplete still ends in a closed, verified case, with people told.
async fn closed_incomplete(world: &World, ended: &Ended, instance: &str, item: &str) {
    assert_eq!(ended.status, "SUCCEEDED", "{}", ended.cause);
    assert_eq!(ended.output["asPlanned"], false, "{}", ended.output);
    let case = ended.case(instance);
    let missing = missing(world, &case).await;
    assert!(missing.contains(item), "`{item}` must be among what is missing:\n{missing}");
    world.verified(&case).await;
    assert!(world.kinds().contains(&"closed".to_owned()), "{:?}", world.kinds());
}

#[tokio::test]
async fn a_terminated_target_still_gets_a_case_that_says_so() {
    let world = World::new().await;
    let instance = world.instance("terminated");
    let ended = respond(&world, &instance).await;
    closed_incomplete(&world, &ended, &instance, "").await;
}

#[tokio::test]
async fn a_target_that_aws_does_not_know_still_gets_a_case_that_says_so() {
    let world = World::new().await;
    let instance = "i-0123456789abcdef0";
    let ended = respond(&world, instance).await;
    closed_incomplete(&world, &ended, instance, "").await;
}

#[tokio::test]
async fn a_spot_instance_is_contained_and_frozen_and_its_risk_is_told() {
    let world = World::new().await;
    let instance = world.instance("spot");
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    assert!(world.is_contained(&instance).await);
    let manifest = world.json(&format!("cases/{}/manifest-evidence.json", ended.case(&instance))).await;
    assert!(manifest["risks"].to_string().contains("spotInterruption"), "{}", manifest["risks"]);
}

#[tokio::test]
async fn a_snapshot_that_errors_is_named_and_the_rest_goes_on() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.ask("snapshots", &json!({"rules": [{"outcome": "error", "seconds": 0.2}]}));
    let ended = respond(&world, &instance).await;
    assert!(world.is_contained(&instance).await);
    closed_incomplete(&world, &ended, &instance, "snapshot:vol-").await;
}

#[tokio::test]
async fn a_refused_set_is_taken_volume_by_volume() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.faults(&json!([{"action": "ec2:CreateSnapshots", "kind": "before", "code": "InvalidParameterCombination", "status": 400, "count": -1}]));
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    let manifest = world.json(&format!("cases/{}/manifest-evidence.json", ended.case(&instance))).await;
    let snapshots = manifest["snapshots"].as_array().cloned().unwrap_or_default();
    assert_eq!(snapshots.len(), 2, "{manifest}");
    assert!(snapshots.iter().all(|s| s["taken"]["inSet"] == false), "{snapshots:?}");
}

#[tokio::test]
async fn a_lost_answer_to_create_snapshots_makes_no_second_set() {
    let world = World::new().await;
    let instance = world.instance("web");
    world
        .faults(&json!([{"action": "ec2:CreateSnapshots", "kind": "after", "code": "InternalError", "status": 500, "count": 1}]));
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    assert_eq!(world.snapshots(&ended.case(&instance)).await, 2, "one snapshot for each volume");
}

#[tokio::test]
async fn a_silent_topic_stops_no_containment_and_the_failure_raises_the_alarm() {
    let world = World::new().await;
    let instance = world.instance("single");
    world.faults(&json!([{"action": "sns:Publish", "kind": "before", "code": "InternalError", "status": 500, "count": -1}]));
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.status, "FAILED", "an end that nobody was told of must raise the alarm: {}", ended.output);
    assert!(world.is_contained(&instance).await);
    world.verified(&ended.case(&instance)).await;
}

#[tokio::test]
async fn a_protected_target_is_preserved_and_told_but_not_cut() {
    let world = World::new().await;
    let instance = world.instance("single");
    world.policy(&json!({"schema": "cordon.policy.v1", "protectedTags": [{"key": "critical"}]})).await;
    let tag = aws_sdk_ec2::types::Tag::builder().key("critical").value("yes").build();
    world.ec2.create_tags().resources(&instance).tags(tag).send().await.unwrap();
    let ended = respond(&world, &instance).await;
    assert_eq!((ended.status.as_str(), ended.text("containment")), ("SUCCEEDED", "withheld"), "{} {}", ended.output, ended.cause);
    assert!(!world.is_contained(&instance).await);
    let changes = world.changes();
    assert!(
        changes.contains(&"ec2:CreateSnapshots".to_owned())
            && !changes.contains(&"ec2:ModifyNetworkInterfaceAttribute".to_owned()),
        "{changes:?}"
    );
    assert!(world.notices().iter().any(|notice| notice.to_string().contains("critical")), "{:?}", world.notices());
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_means_contain_preserve_quarantine_and_say_so() {
    let world = World::new().await;
    let instance = world.instance("single");
    world.policy(&json!({"schema": "cordon.policy.v1", "minimumSeverity": "high"})).await;
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["containment"], "contained", "{} {}", ended.output, ended.cause);
    let plan = world.json(&format!("cases/{}/plan.json", ended.case(&instance))).await;
    assert_eq!(plan["policy"]["from"], "fallback", "{}", plan["policy"]);
    assert!(plan["policy"]["problem"].to_string().contains("minimumSeverity"), "the field must be named: {}", plan["policy"]);
    assert!(world.notices().iter().any(|notice| notice.to_string().contains("minimumSeverity")), "{:?}", world.notices());
}

#[tokio::test]
async fn beyond_the_brake_targets_are_preserved_but_not_cut() {
    let world = World::new().await;
    world.policy(&json!({"schema": "cordon.policy.v1", "brake": {"targetsPerHour": 2}})).await;
    let made = world.ask("targets", &json!({"count": 3}));
    let instances: Vec<String> = made["instances"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    let mut statuses = Vec::new();
    for instance in &instances {
        let ended = respond(&world, instance).await;
        statuses.push(ended.text("containment").to_owned());
    }
    assert_eq!(statuses, ["contained", "contained", "withheld"], "the third in an hour is beyond a brake of two");
    // A person's word releases the brake for one target.
    let ended = world.run(&json!({"instanceId": instances[2], "reason": "I have looked: cut it"})).await;
    assert_eq!(ended.text("containment"), "contained", "{} {}", ended.output, ended.cause);
}
