//! What a restore changes, in which order, and what it says of it.

use incident::release::{ReleaseStatus, RestoredStatus};
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use super::support::{INSTANCE, NIC, OTHER, TARGETS, World, case_of, denied, free, request, throttled};

/// A case that was checked, and may be released.
async fn checked() -> World {
    let world = World::contained().await;
    world.check().await;
    world.aws.forget_calls();
    world
}

const CHANGES: [&str; 6] = [
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ModifyNetworkInterfaceAttribute",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
    "autoscaling:AttachInstances",
    "ec2:ModifyInstanceAttribute",
];

#[tokio::test]
async fn the_target_is_as_it_was_before_and_everything_was_read_back() {
    let world = checked().await;
    let released = world.restore(0).await.unwrap();
    assert_eq!((released.status, released.reasons.as_slice()), (ReleaseStatus::Released, [].as_slice()));
    assert!(released.read_back_at.is_some() && released.failure.is_none());
    assert!(released.items.len() == 11 && released.items.iter().all(|item| item.status == RestoredStatus::Restored));
    assert_eq!(world.account(), free());

    let actions = world.aws.actions();
    let first = |wanted: &dyn Fn(&str) -> bool| actions.iter().position(|action| wanted(action)).unwrap();
    let last = |wanted: &dyn Fn(&str) -> bool| actions.iter().rposition(|action| wanted(action)).unwrap();
    let around = |action: &str| action.contains(":Register") || action.ends_with(":AttachInstances");
    assert!(first(&|action| action == "s3:PutObject") < first(&|action| CHANGES.contains(&action)), "the intent comes first");
    let calls = world.aws.calls_of("ec2:ModifyNetworkInterfaceAttribute");
    assert_eq!((calls.len(), calls[0].list("SecurityGroupId").len()), (2, 0), "tracking before groups");
    assert!(last(&|action| action == "ec2:ModifyNetworkInterfaceAttribute") < first(&around), "the network before the balancers");
    assert!(last(&around) < first(&|action| action == "ec2:ModifyInstanceAttribute"), "the protections last");
    let claims = world.aws.calls_of("s3:GetObject").into_iter().filter(|call| call.key.as_deref() == Some(super::support::CLAIM));
    assert_eq!(claims.count(), 5, "first, before each phase that opens something, and at the end");
}

#[tokio::test]
async fn every_change_is_announced_with_what_it_was_and_recorded_with_what_became_of_it() {
    let world = checked().await;
    world.restore(0).await.unwrap();
    let records = world.records();
    assert_eq!(records.len(), 2);
    let (intent, outcome) = (&records[0], &records[1]);
    assert_eq!((&intent["phase"], &outcome["phase"]), (&json!("intent"), &json!("outcome")));
    let changes = intent["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 11);
    let of = |action: &str, subject: &str, key: &str| -> Value {
        let found = changes.iter().find(|c| c["action"] == action && c["subject"] == subject && !c["to"][key].is_null()).unwrap();
        json!([found["from"][key], found["to"][key]])
    };
    assert_eq!(of("ec2:ModifyInstanceMetadataOptions", INSTANCE, "enabled"), json!([false, true]));
    let groups = of("ec2:ModifyNetworkInterfaceAttribute", NIC, "groups");
    assert_eq!(groups, json!([[super::support::ISOLATION], [super::support::WEB, super::support::DB]]));
    assert_eq!(of("ec2:ModifyNetworkInterfaceAttribute", NIC, "tracking")[0]["tcpEstablished"], json!(60));
    assert_eq!(of("elasticloadbalancing:RegisterTargets", TARGETS, "registered")[0], json!(false));
    assert_eq!(of("ec2:ModifyInstanceAttribute", INSTANCE, "disableApiTermination"), json!([true, false]));
    assert!(changes.iter().all(|change| change["from"] != json!(null)), "{changes:?}");
    let done = outcome["changes"].as_array().unwrap();
    assert!(done.len() == 11 && done.iter().all(|change| change["result"]["status"] == "done"));
    assert_eq!(outcome["note"]["status"], json!("released"));
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_says_the_same() {
    let world = checked().await;
    let first = world.restore(0).await.unwrap();
    world.aws.forget_calls();
    let again = world.restore(1).await.unwrap();
    assert_eq!((again.status, again.items), (first.status, first.items));
    assert!(world.changes().is_empty());
    let records = world.records();
    assert_eq!((records.len(), &records[2]["note"]["status"]), (3, &json!("released")), "what was found is on record too");
}

#[tokio::test]
async fn what_is_throttled_fails_as_transient_and_the_retry_gives_back_the_rest() {
    for action in CHANGES {
        let world = checked().await;
        world.aws.push(action, throttled(action));
        let error = world.restore(0).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action}: {error}");
        assert!(error.to_string().contains(action), "{error}");
        let protected = world.account().attributes["disableApiTermination"] == "true";
        assert_eq!(protected, action != "ec2:ModifyInstanceAttribute", "{action}: the protections come last");
        let records = world.records();
        assert_eq!(records.len(), 2, "{action}: the outcome is written in every case");
        world.aws.forget_calls();
        assert_eq!(world.restore(1).await.unwrap().status, ReleaseStatus::Released, "{action}");
        assert_eq!(world.account(), free(), "{action}");
    }
    for action in ["ec2:DescribeInstances", "s3:GetObject", "s3:PutObject"] {
        let world = checked().await;
        world.aws.push(action, throttled(action));
        assert_eq!(world.restore(0).await.unwrap_err().fault(), Fault::Transient, "{action}");
        assert!(world.changes().is_empty(), "{action}");
        assert_eq!(world.restore(1).await.unwrap().status, ReleaseStatus::Released, "{action}");
    }
}

#[tokio::test]
async fn the_protections_stay_while_something_before_them_may_still_come() {
    let world = checked().await;
    world.aws.set("elasticloadbalancing:RegisterTargets", throttled("elasticloadbalancing:RegisterTargets"));
    for retry in 0..3 {
        assert_eq!(world.restore(retry).await.unwrap_err().fault(), Fault::Transient);
        assert_eq!(world.aws.count("ec2:ModifyInstanceAttribute"), 0);
    }
    let released = world.restore(3).await.unwrap();
    assert_eq!((released.status, world.aws.count("ec2:ModifyInstanceAttribute")), (ReleaseStatus::PartlyReleased, 0));
    let left = released.items.iter().filter(|item| item.status == RestoredStatus::NotRestored);
    let reasons: Vec<&str> = left.map(|item| item.reason.as_str()).collect();
    assert_eq!(reasons.len(), 6, "two registrations and four protections");
    assert!(reasons[0].contains("Throttling") && reasons[5].contains("not tried"), "{reasons:?}");
    let outcome = world.records().pop().unwrap();
    let failed = outcome["changes"].as_array().unwrap().iter().filter(|change| change["result"]["status"] == "failed");
    assert_eq!(failed.count(), 6);
}

#[tokio::test]
async fn a_denied_call_costs_only_its_item() {
    for (action, items) in [
        ("ec2:ModifyInstanceMetadataOptions", 1),
        ("elasticloadbalancing:RegisterTargets", 2),
        ("elasticloadbalancing:RegisterInstancesWithLoadBalancer", 1),
        ("autoscaling:AttachInstances", 1),
        ("ec2:ModifyInstanceAttribute", 4),
        // Tracking and groups; and the Auto Scaling group, which would replace a target that is still cut off.
        ("ec2:ModifyNetworkInterfaceAttribute", 3),
    ] {
        let world = checked().await;
        world.aws.set(action, denied(action));
        let released = world.restore(0).await.unwrap();
        assert_eq!(released.status, ReleaseStatus::PartlyReleased, "{action}");
        let left: Vec<_> = released.items.iter().filter(|item| item.status == RestoredStatus::NotRestored).collect();
        assert_eq!(left.len(), items, "{action}: {left:?}");
        assert!(left[0].reason.contains("AccessDenied"), "{action}: {left:?}");
        assert!(released.reasons[0].contains("AccessDenied"), "{action}: {:?}", released.reasons);
    }
}

#[tokio::test]
async fn a_target_that_is_still_cut_off_does_not_join_a_group_that_would_replace_it() {
    let world = checked().await;
    world.deny("ec2:ModifyNetworkInterfaceAttribute");
    let released = world.restore(0).await.unwrap();
    assert_eq!(world.aws.count("autoscaling:AttachInstances"), 0);
    let item = released.items.iter().find(|item| item.restore.subject() == "Auto Scaling group web").unwrap();
    assert!(item.reason.contains("still cut off"), "{item:?}");
}

#[tokio::test]
async fn an_interface_that_was_detached_meanwhile_does_not_keep_the_target_out_of_its_group() {
    let world = checked().await;
    world.now(|account| account.nics.clear());
    let released = world.restore(0).await.unwrap();
    let left = released.items.iter().filter(|item| item.status != RestoredStatus::Restored);
    let reasons: Vec<&str> = left.map(|item| item.reason.as_str()).collect();
    assert_eq!(reasons, ["the interface is not attached any more"; 2], "its groups and its tracking, and nothing else");
    assert_eq!(world.account().member_of.as_deref(), Some("web"));
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_counts_as_it_is_read_back() {
    for action in CHANGES {
        let world = checked().await;
        let account = std::sync::Arc::clone(&world.account);
        world.aws.set_fn(action, move |call| {
            account.lock().unwrap().answer(call);
            Answer::lost()
        });
        match world.restore(0).await {
            // What comes after it waits, and is given back by the retry.
            Err(error) => assert_eq!(error.fault(), Fault::Transient, "{action}"),
            // Nothing comes after the protections.
            Ok(released) => {
                assert_eq!((released.status, action), (ReleaseStatus::Released, "ec2:ModifyInstanceAttribute"), "{released:?}");
            }
        }
        world.heal();
        assert_eq!(world.restore(1).await.unwrap().status, ReleaseStatus::Released, "{action}");
        assert_eq!(world.account(), free(), "{action}");
    }
}

#[tokio::test]
async fn metadata_that_is_still_being_applied_is_looked_at_again_and_at_last_taken_as_done() {
    let world = checked().await;
    world.now(|account| account.metadata.pending = 2);
    let error = world.restore(0).await.unwrap_err();
    assert!(error.fault() == Fault::Transient && error.to_string().contains("still applying"), "{error}");
    assert_eq!(world.restore(1).await.unwrap_err().fault(), Fault::Transient);
    assert_eq!(world.restore(2).await.unwrap().status, ReleaseStatus::Released);
    assert_eq!(world.aws.count("ec2:ModifyInstanceMetadataOptions"), 1);

    let world = checked().await;
    world.now(|account| account.metadata.pending = 100);
    assert_eq!(world.restore(3).await.unwrap().status, ReleaseStatus::Released);
}

#[tokio::test]
async fn a_change_that_was_taken_and_is_not_seen_is_looked_at_again_and_then_told() {
    let world = checked().await;
    world.aws.set_fn("elasticloadbalancing:RegisterInstancesWithLoadBalancer", |_| {
        Answer::xml(
            "<RegisterInstancesWithLoadBalancerResponse><RegisterInstancesWithLoadBalancerResult/></RegisterInstancesWithLoadBalancerResponse>",
        )
    });
    assert_eq!(world.restore(0).await.unwrap_err().fault(), Fault::Transient);
    let released = world.restore(3).await.unwrap();
    assert_eq!(released.status, ReleaseStatus::PartlyReleased);
    assert!(released.reasons[0].contains("read back as not registered"), "{:?}", released.reasons);
}

#[tokio::test]
async fn a_target_that_ended_meanwhile_is_not_touched() {
    for state in ["terminated", "shutting-down", "gone"] {
        let world = checked().await;
        world.now(|account| account.state = state.to_owned());
        let released = world.restore(0).await.unwrap();
        assert_eq!((released.status, world.changes().len()), (ReleaseStatus::NotReleased, 0), "{state}");
        assert!(released.reasons[0].contains("the target is gone"), "{:?}", released.reasons);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_changed_and_not_called_released() {
    let world = checked().await;
    world.deny("ec2:DescribeInstances");
    let released = world.restore(0).await.unwrap();
    assert_eq!((released.status, released.read_back_at, world.changes().len()), (ReleaseStatus::Unknown, None, 0));

    let world = checked().await;
    world.deny("ec2:DescribeInstanceAttribute");
    let released = world.restore(0).await.unwrap();
    assert_eq!(released.status, ReleaseStatus::PartlyReleased);
    assert_eq!(released.items.iter().filter(|item| item.status == RestoredStatus::Unknown).count(), 3);
    assert_eq!(world.account().attributes["disableApiTermination"], "true", "its old value could not be written down");
}

#[tokio::test]
async fn without_an_intent_nothing_is_changed() {
    let world = checked().await;
    world.deny("s3:PutObject");
    assert_eq!(world.restore(0).await.unwrap_err().fault(), Fault::Denied);
    assert!(world.changes().is_empty());
}

#[tokio::test]
async fn only_what_the_check_made_durable_is_given_back() {
    let world = checked().await;
    let mut forged = world.plan.lock().unwrap().clone().unwrap();
    forged.restore =
        serde_json::from_value(json!([{"what": "groups", "interface": NIC, "to": ["sg-0bad0bad0bad0bad0"]}])).unwrap();
    assert_eq!(world.restore_as(&forged, 0).await.unwrap().status, ReleaseStatus::Released);
    assert_eq!(world.account(), free(), "the payload is not taken for it");

    let world = World::contained().await;
    world.claim(super::support::RELEASE, true);
    let error = world.restore_as(&forged, 0).await.unwrap_err();
    assert!(error.fault() == Fault::Refused && error.to_string().contains("no release.json"), "{error}");

    forged.release_id = case_of(OTHER);
    assert_eq!(checked().await.restore_as(&forged, 0).await.unwrap_err().fault(), Fault::Invalid);
}

#[tokio::test]
async fn a_plan_with_nothing_to_give_back_is_released() {
    let world = World::contained().await;
    world.now(|account| *account = free());
    world.ask(request(), 0).await.unwrap();
    let released = world.restore(0).await.unwrap();
    assert_eq!((released.status, world.changes().len(), world.records().len()), (ReleaseStatus::Released, 0, 1));
}
