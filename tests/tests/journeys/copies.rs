//! Copies of the snapshots, for a forensic account.

use journeys::cloud::FORENSICS;
use journeys::{Ended, World, findings, world::until};
use serde_json::{Value, json};

/// An account whose policy asks for copies.
async fn world() -> World {
    let world = World::new().await;
    world.policy(&json!({"disposition": "quarantine", "copies": {"shareWith": [FORENSICS]}})).await;
    world
}

async fn respond(world: &World, instance: &str) -> Ended {
    world.run(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await
}

/// How long copies take, in seconds; no event tells of their end.
fn copied_after(world: &World, seconds: u32) {
    world.ask("snapshots", &json!({"events": "lost", "rules": [{"copy": true, "seconds": seconds}]}));
}

/// An execution that waits for a copy, of which no event tells.
async fn waiting(world: &World, instance: &str) -> String {
    copied_after(world, 3_600);
    let execution = world.start(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await;
    until("it waits for the copy", || async { (visits(world, "WaitForCopy") > 0).then_some(()) }).await;
    execution
}

/// The snapshots as they were sealed, in a case that verifies.
async fn sealed(world: &World, ended: &Ended, instance: &str) -> Vec<Value> {
    let case = ended.case(instance);
    world.verified(&case).await;
    world.json(&format!("cases/{case}/manifest-evidence.json")).await["snapshots"].as_array().cloned().unwrap_or_default()
}

fn missing(ended: &Ended) -> String {
    ended.output["reasons"].to_string()
}

/// How often a state's function was invoked by the state machine.
fn visits(world: &World, state: &str) -> usize {
    world.calls().iter().filter(|call| call["action"] == "lambda:Invoke" && call["state"] == state).count()
}

#[tokio::test]
async fn every_disk_is_copied_under_our_key_locked_and_shared() {
    let world = world().await;
    let instance = world.instance("web");
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    let snapshots = sealed(&world, &ended, &instance).await;
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
    let case = ended.case(&instance);
    for snapshot in &snapshots {
        let copy = &snapshot["copy"];
        assert_eq!(copy["copy"]["of"], snapshot["taken"]["snapshotId"]);
        assert_eq!(copy["copy"]["sharedWith"], json!([FORENSICS]), "{copy}");
        assert!(copy["copy"]["key"].as_str().is_some_and(|key| key.contains(":key/")), "{copy}");
        assert_eq!((&copy["atSeal"]["state"], &copy["atSeal"]["encrypted"]), (&json!("completed"), &json!(true)), "{copy}");
        assert!(copy["atSeal"]["lock"]["days"].as_u64().is_some_and(|days| days > 0), "{copy}");
    }
    let report = world.json(&format!("cases/{case}/report.json")).await.to_string();
    let shown = world.cordon(&["show", &case]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for snapshot in &snapshots {
        let id = snapshot["copy"]["copy"]["snapshotId"].as_str().unwrap();
        assert!(report.contains(&format!("--source-snapshot-id {id} ")), "the report does not say how to take {id}: {report}");
        assert!(shown.contains(id) && shown.contains(FORENSICS), "{shown}");
    }
}

#[tokio::test]
async fn where_no_event_comes_the_copies_are_seen_all_the_same() {
    let world = world().await;
    let instance = world.instance("single");
    let execution = waiting(&world, &instance).await;
    copied_after(&world, 0);
    let ended = world.ended(&execution).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    assert_eq!(
        visits(&world, "CopySnapshot"),
        visits(&world, "WaitForCopy") + 1,
        "one look to begin it, and one after each wait"
    );
    let heard = |call: &&Value| call["function"] == "cordon-wait-for-snapshot" && call["state"].is_null();
    assert_eq!(world.calls().iter().filter(heard).count(), 0, "no event came");
}

#[tokio::test]
async fn a_copy_that_fails_twice_is_missing_and_everything_else_is_there() {
    let world = world().await;
    let instance = world.instance("single");
    world.ask("snapshots", &json!({"rules": [{"copy": true, "outcome": "error"}]}));
    let ended = respond(&world, &instance).await;
    assert_eq!((ended.status.as_str(), &ended.output["asPlanned"]), ("SUCCEEDED", &json!(false)), "{}", ended.output);
    assert!(missing(&ended).contains("copy:vol-"), "{}", ended.output);
    assert_eq!(ended.text("containment"), "contained");
    let snapshots = sealed(&world, &ended, &instance).await;
    assert_eq!(snapshots[0]["atSeal"]["state"], "completed", "the snapshot itself is there: {snapshots:?}");
    assert_eq!(snapshots[0]["copy"]["atSeal"]["state"], "error");
}

#[tokio::test]
async fn more_copies_than_ec2_takes_have_their_turn() {
    let world = world().await;
    let instance = world.instance("web");
    world.ask("snapshots", &json!({"copies": 1}));
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    let snapshots = sealed(&world, &ended, &instance).await;
    assert!(snapshots.len() == 2 && snapshots.iter().all(|snapshot| snapshot["copy"]["atSeal"]["state"] == "completed"));
}

#[tokio::test]
async fn an_account_that_the_stack_does_not_name_is_given_nothing() {
    let world = World::new().await;
    let instance = world.instance("single");
    world.policy(&json!({"disposition": "quarantine", "copies": {"shareWith": ["999900001111"]}})).await;
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], false);
    assert!(missing(&ended).contains("copy-share:snap-"), "{}", ended.output);
    let snapshots = sealed(&world, &ended, &instance).await;
    assert_eq!(snapshots[0]["copy"]["copy"]["sharedWith"], json!([]));
}

#[tokio::test]
async fn where_the_copying_fails_the_snapshots_are_sealed_and_told() {
    for (skip, code) in [(0, "Denied"), (1, "Invalid")] {
        let world = world().await;
        let instance = world.instance("single");
        // So that it waits, and is woken by the event.
        world.ask("snapshots", &json!({"rules": [{"copy": true, "seconds": 2}]}));
        world.faults(
            &json!([{"action": "lambda:Invoke", "function": "copy-snapshot", "kind": "before", "code": code, "count": 1, "skip": skip}]),
        );
        let ended = respond(&world, &instance).await;
        let at = format!("visit {skip}: {} {}", ended.output, ended.cause);
        assert_eq!((ended.status.as_str(), &ended.output["asPlanned"]), ("SUCCEEDED", &json!(false)), "{at}");
        assert!(missing(&ended).contains("copies: "), "{at}");
        let snapshots = sealed(&world, &ended, &instance).await;
        assert_eq!(snapshots[0]["atSeal"]["state"], "completed", "{at}");
        world.told("closed").await;
    }
}

#[tokio::test]
async fn a_wait_that_fails_is_a_pause() {
    let world = world().await;
    let instance = world.instance("single");
    let execution = waiting(&world, &instance).await;
    // No event comes, so that the next invocation of this function is the next wait.
    let waits = visits(&world, "WaitForCopy");
    world.faults(
        &json!([{"action": "lambda:Invoke", "function": "wait-for-snapshot", "kind": "before", "code": "Denied", "count": 1}]),
    );
    until("that wait failed, and it looked again", || async { (visits(&world, "CopySnapshot") > waits + 1).then_some(()) }).await;
    copied_after(&world, 0);
    let ended = world.ended(&execution).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    let history = world.json(&format!("cases/{}/history.json", ended.case(&instance))).await.to_string();
    assert!(history.contains("PauseForCopy"), "nothing was held, so that only a wait that failed leads there: {history}");
}

#[tokio::test]
async fn a_copy_that_is_begun_twice_is_there_once() {
    for (kind, code) in [("after", "Lambda.ServiceException"), ("before", "Transient")] {
        let world = world().await;
        let instance = world.instance("web");
        world.faults(&json!([{"action": "lambda:Invoke", "function": "copy-snapshot", "kind": kind, "code": code, "count": 1}]));
        let ended = respond(&world, &instance).await;
        assert_eq!(ended.output["asPlanned"], true, "{kind}: {} {}", ended.output, ended.cause);
        let begun = world.calls().iter().filter(|call| call["action"] == "ec2:CopySnapshot").count();
        assert_eq!(begun, 2, "{kind}: one for each disk");
        sealed(&world, &ended, &instance).await;
    }
}
