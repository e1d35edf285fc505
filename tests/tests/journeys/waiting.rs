//! The wait for the snapshots: woken by their event, and right without it.

use aws_sdk_ec2::types::Filter;
use journeys::{Ended, World, findings, world::until};
use serde_json::{Value, json};

/// How long a snapshot takes here that takes 40 minutes for the steps: waits are a hundredth of their length.
const FORTY_MINUTES: f64 = 24.0;

async fn respond(world: &World, instance: &str) -> Ended {
    world.run(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await
}

/// An incident that has looked once and waits: its snapshots end when the test says so.
async fn waiting(world: &World, instance: &str) -> String {
    world.ask("snapshots", &json!({"seconds": 3_600}));
    let execution = world.start(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await;
    until("it waits", || async { (looks(world) == 1).then_some(()) }).await;
    execution
}

/// The invocations of the function that waits: those by the state machine, or those by events.
fn invoked(world: &World, by_state: bool) -> Vec<Value> {
    let ours = |call: &Value| {
        call["action"] == "lambda:Invoke"
            && call["function"] == "cordon-wait-for-snapshot"
            && call["state"].is_string() == by_state
    };
    world.calls().into_iter().filter(ours).collect()
}

/// How often the state machine looked.
fn looks(world: &World) -> usize {
    invoked(world, true).len()
}

/// The transitions of the branch that waits: whether to, each look, and between two of them whether to look again.
fn transitions(world: &World) -> usize {
    1 + 2 * looks(world) - 1
}

/// An incident that was as planned, with every snapshot completed, in a case that verifies.
async fn as_planned(world: &World, ended: &Ended, instance: &str) {
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    let case = ended.case(instance);
    let manifest = world.json(&format!("cases/{case}/manifest-evidence.json")).await;
    let snapshots = manifest["snapshots"].as_array().cloned().unwrap_or_default();
    assert!(!snapshots.is_empty() && snapshots.iter().all(|snapshot| snapshot["look"]["state"] == "completed"), "{snapshots:?}");
    world.verified(&case).await;
}

/// The event of these snapshots as EBS sends it.
fn event(source: &str, snapshots: &[String]) -> Value {
    let member = |id: &String| json!({"snapshot_id": format!("arn:aws:ec2::us-east-1:snapshot/{id}"), "source": "", "status": "completed"});
    json!({"source": source, "detail-type": "EBS Multi-Volume Snapshots Completion Status", "detail": {
        "event": "createSnapshots", "result": "succeeded", "cause": "", "snapshots": snapshots.iter().map(member).collect::<Vec<_>>()}})
}

/// The snapshots of a case, as soon as there are any.
async fn snapshots(world: &World, case: &str) -> Vec<String> {
    until("the snapshots are taken", || async {
        let of_case = Filter::builder().name("tag:cordon:case").values(case).build();
        let page = world.ec2.describe_snapshots().owner_ids("self").filters(of_case).send().await.ok()?;
        let ids: Vec<String> = page.snapshots().iter().filter_map(|snapshot| snapshot.snapshot_id().map(str::to_owned)).collect();
        (!ids.is_empty()).then_some(ids)
    })
    .await
}

#[tokio::test]
async fn a_wait_of_forty_minutes_costs_four_transitions_when_the_event_comes() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.ask("snapshots", &json!({"seconds": FORTY_MINUTES}));
    let ended = respond(&world, &instance).await;
    as_planned(&world, &ended, &instance).await;
    assert_eq!((looks(&world), transitions(&world)), (2, 4), "{:?}", invoked(&world, true));
    assert_eq!(invoked(&world, false).len(), 1, "one set, one event");
}

#[tokio::test]
async fn where_no_event_comes_the_slow_poll_is_enough() {
    let world = World::new().await;
    let instance = world.instance("web");
    let execution = waiting(&world, &instance).await;
    world.ask("snapshots", &json!({"seconds": 0, "events": "lost"}));
    let ended = world.ended(&execution).await;
    as_planned(&world, &ended, &instance).await;
    assert_eq!((looks(&world), transitions(&world)), (2, 4));
    assert_eq!(invoked(&world, false), Vec::<Value>::new());
}

#[tokio::test]
async fn forty_minutes_without_an_event_cost_far_less_than_forty_transitions() {
    let world = World::new().await;
    let instance = world.instance("single");
    world.ask("snapshots", &json!({"seconds": FORTY_MINUTES, "events": "lost"}));
    let ended = respond(&world, &instance).await;
    as_planned(&world, &ended, &instance).await;
    assert_eq!((looks(&world), transitions(&world)), (3, 6));
}

#[tokio::test]
async fn an_event_that_comes_twice_wakes_once() {
    let world = World::new().await;
    let instance = world.instance("web");
    let execution = waiting(&world, &instance).await;
    world.ask("snapshots", &json!({"seconds": 0, "events": "twice"}));
    let ended = world.ended(&execution).await;
    as_planned(&world, &ended, &instance).await;
    let heard = until("both events are heard", || async {
        let heard = invoked(&world, false);
        (heard.len() == 2).then_some(heard)
    })
    .await;
    assert!(heard.iter().all(|call| call["error"].is_null()), "an event too many is no error: {heard:?}");
    assert_eq!(looks(&world), 1);
}

#[tokio::test]
async fn an_event_before_the_token_is_stored_is_made_up_for_by_the_look_after_it() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.ask("snapshots", &json!({"seconds": 0}));
    let ended = respond(&world, &instance).await;
    as_planned(&world, &ended, &instance).await;
    assert_eq!((looks(&world), transitions(&world)), (1, 2));
    let (heard, looked) = (invoked(&world, false), invoked(&world, true));
    let began = |call: &Value| call["t"].as_f64().unwrap();
    assert!(began(&heard[0]) < began(&looked[0]), "the event must have come first: {heard:?} {looked:?}");
    assert!(heard[0]["error"].is_null(), "{heard:?}");
}

#[tokio::test]
async fn an_event_ahead_of_ec2_comes_again_and_wakes() {
    let world = World::new().await;
    let instance = world.instance("web");
    // Long enough that it waits by then.
    world.ask("snapshots", &json!({"seconds": 8, "events": "early"}));
    let ended = respond(&world, &instance).await;
    as_planned(&world, &ended, &instance).await;
    let heard = invoked(&world, false);
    assert!(heard.len() >= 2 && heard[0]["error"] == "Transient", "{heard:?}");
    assert!(heard.last().is_some_and(|call| call["error"].is_null()), "{heard:?}");
    assert_eq!(looks(&world), 2, "the third look would have been much later: it must have been woken");
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_replaced_and_an_event_after_the_end_does_nothing() {
    let world = World::new().await;
    let instance = world.instance("web");
    let execution = waiting(&world, &instance).await;
    // The token of the first look is dead when the event comes.
    until("it has looked again", || async { (looks(&world) == 2).then_some(()) }).await;
    world.ask("snapshots", &json!({"seconds": 0}));
    let ended = world.ended(&execution).await;
    as_planned(&world, &ended, &instance).await;
    assert_eq!((looks(&world), invoked(&world, false).len()), (2, 1));
    let changed = world.changes();
    let ids = snapshots(&world, &ended.case(&instance)).await;
    world.event(&event("aws.ec2", &ids));
    let heard = until("the late event is heard", || async {
        let heard = invoked(&world, false);
        (heard.len() == 2).then_some(heard)
    })
    .await;
    assert!(heard.iter().all(|call| call["error"].is_null()), "{heard:?}");
    assert_eq!(world.changes(), changed);
    world.verified(&ended.case(&instance)).await;
}

#[tokio::test]
async fn snapshots_in_error_wake_and_are_told() {
    let world = World::new().await;
    let instance = world.instance("web");
    let execution = waiting(&world, &instance).await;
    world.ask("snapshots", &json!({"rules": [{"outcome": "error", "seconds": 0}]}));
    let ended = world.ended(&execution).await;
    assert_eq!(ended.output["asPlanned"], false, "{}", ended.output);
    assert_eq!(looks(&world), 1, "the event of a failure wakes as well");
    let manifest = world.json(&format!("cases/{}/manifest-evidence.json", ended.case(&instance))).await;
    assert!(manifest["missing"].to_string().contains("take it again by hand"), "{}", manifest["missing"]);
    world.verified(&ended.case(&instance)).await;
}

#[tokio::test]
async fn a_snapshot_in_the_recycle_bin_says_nothing_and_is_found_by_the_next_look() {
    let world = World::new().await;
    let instance = world.instance("single");
    let execution = waiting(&world, &instance).await;
    world.ask("snapshots", &json!({"rules": [{"outcome": "recoverable", "seconds": 0}]}));
    let ended = world.ended(&execution).await;
    assert_eq!(ended.output["asPlanned"], false, "{}", ended.output);
    assert_eq!((looks(&world), invoked(&world, false).len()), (2, 0));
    let manifest = world.json(&format!("cases/{}/manifest-evidence.json", ended.case(&instance))).await;
    assert!(manifest["missing"].to_string().contains("recycle bin"), "{}", manifest["missing"]);
    world.verified(&ended.case(&instance)).await;
}

#[tokio::test]
async fn snapshots_that_were_taken_one_by_one_wake_with_the_last_one() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.faults(&json!([{"action": "ec2:CreateSnapshots", "kind": "before", "code": "InvalidParameterCombination", "status": 400, "count": -1}]));
    let execution = waiting(&world, &instance).await;
    world.ask("snapshots", &json!({"seconds": 0}));
    let ended = world.ended(&execution).await;
    as_planned(&world, &ended, &instance).await;
    assert_eq!(looks(&world), 1);
    until("both events are heard", || async { (invoked(&world, false).len() == 2).then_some(()) }).await;
}

#[tokio::test]
async fn events_that_are_none_of_ours_do_nothing_and_nobody_reads_a_token() {
    let world = World::new().await;
    let instance = world.instance("web");
    let execution = waiting(&world, &instance).await;
    let started = Ended { execution: execution.clone(), status: String::new(), output: Value::Null, cause: String::new() };
    let case = started.case(&instance);
    let ids = snapshots(&world, &case).await;

    // From another source, which the rule does not take; and of snapshots that nobody waits for.
    world.event(&event("cordon.drill", &ids));
    world.event(&event("aws.ec2", &["snap-0123456789abcdef0".to_owned()]));
    let heard = until("the foreign event is heard", || async {
        let heard = invoked(&world, false);
        (!heard.is_empty()).then_some(heard)
    })
    .await;
    assert!(heard.len() == 1 && heard[0]["error"].is_null(), "{heard:?}");

    // Somebody whom IAM allows everything.
    let s3 = world.s3_as(&world.person(&json!({"user": "admin", "everything": true})));
    let key = format!("waiting/{case}.json");
    let read = s3.get_object().bucket(world.bucket()).key(&key).send().await.expect_err("the token is nobody's to read");
    assert_eq!(read.raw_response().map(|answer| answer.status().as_u16()), Some(403));
    let put = s3.put_object().bucket(world.bucket()).key(&key).body(b"{}".to_vec().into()).send().await;
    let put = put.expect_err("nor to replace");
    assert_eq!(put.raw_response().map(|answer| answer.status().as_u16()), Some(403));

    // They end after all, and the event of that wakes.
    world.ask("snapshots", &json!({"seconds": 0}));
    let ended = world.ended(&execution).await;
    as_planned(&world, &ended, &instance).await;
}
