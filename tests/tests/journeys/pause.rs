//! A pause between the two swaps, where the policy wants one: the target is open for that long, and however the run breaks it
//! does not stay so.

use journeys::world::until;
use journeys::{World, findings};
use serde_json::json;

/// An account whose policy wants a pause of this many seconds.
async fn pausing(seconds: u8) -> World {
    let world = World::new().await;
    world.policy(&json!({"containment": {"convertPauseSeconds": seconds}})).await;
    world
}

/// The states that moved interfaces, in order.
fn states(world: &World) -> Vec<String> {
    let calls = world.calls();
    let invoked = calls.iter().filter(|call| call["action"] == "lambda:Invoke").filter_map(|call| call["state"].as_str());
    invoked.filter(|state| ["Convert", "Isolate", "CloseDoor", "Lockdown"].contains(state)).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_machine_waits_between_the_two_and_whichever_of_them_fails_the_target_ends_contained() {
    // Nothing fails; then the first half; then the second, after the pause. What fails before its effect reaches no function,
    // and so has no state in the log.
    for (skip, expected) in [(None, "Convert Isolate Lockdown"), (Some(0), "Isolate Lockdown"), (Some(1), "Convert CloseDoor")] {
        let world = pausing(1).await;
        let instance = world.instance("web");
        if let Some(skip) = skip {
            world.faults(&json!([{"action": "lambda:Invoke", "function": "isolate", "kind": "before", "code": "Denied", "count": 1, "skip": skip}]));
        }
        let ended = world.run(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient")).await;
        let at = format!("{skip:?}: {} {} {}", ended.status, ended.output, ended.cause);
        assert!(world.is_contained(&instance).await, "{at}: {:?}", world.group_roles(&instance).await);
        assert!(states(&world).join(" ").starts_with(expected), "{at}: {:?}", states(&world));
        let planned = ended.output["asPlanned"] == true;
        assert_eq!(planned, skip != Some(1), "what Isolate makes up for is no loss: {at}");
        world.verified(&ended.case(&instance)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_in_the_pause_is_closed_by_the_last_word() {
    let world = pausing(30).await;
    let instance = world.instance("single");
    let execution = world.start(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient")).await;
    until("the target is in the conversion group", || async {
        let roles = world.group_roles(&instance).await;
        (!roles.is_empty() && roles.iter().all(|roles| roles == &["conversion"])).then_some(())
    })
    .await;
    world.sfn.stop_execution().execution_arn(&execution).error("Stopped").cause("in the pause").send().await.unwrap();
    let ended = world.ended(&execution).await;
    assert_eq!(ended.status, "ABORTED");
    world.told("failed").await;
    assert!(world.is_contained(&instance).await, "{:?}", world.group_roles(&instance).await);
    world.verified(&ended.case(&instance)).await;
}
