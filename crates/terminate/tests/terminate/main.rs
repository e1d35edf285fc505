//! The step against the real SDK clients, with a bucket in memory and an EC2 that remembers its instance.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

mod refused;
mod support;

use incident::evidence::TerminationStatus;
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;
use support::{
    ATTRIBUTE, INSTANCE, INSTANCES, LOCKS, SNAPSHOTS, TERMINATE, UNPROTECT, VERIFY, World, key, protection, protections,
};

#[tokio::test]
async fn what_is_permitted_is_ended_without_the_guests_shutdown_and_read_back() {
    let world = World::permitted().await;
    let ended = world.end(0).await.unwrap();
    assert_eq!((ended.status, ended.state.as_str()), (TerminationStatus::Terminated, "shutting-down"));
    assert_eq!(ended.by, ["111122223333/user/alice", "111122223333/user/bob"]);
    assert!(ended.read_back_at.is_some() && ended.refusals.is_empty() && ended.reasons.is_empty(), "{ended:?}");
    let calls = world.aws.calls_of(TERMINATE);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].param("SkipOsShutdown"), Some("true"), "what waits for a shutdown must not run");
    let verified = world.aws.calls_of(VERIFY)[0].json();
    assert_eq!(verified["KeyId"], "arn:aws:kms:eu-central-1:111122223333:key/ours", "not the key that the manifest names");
    assert_eq!((&verified["MessageType"], &verified["SigningAlgorithm"]), (&json!("DIGEST"), &json!("ECDSA_SHA_256")));

    let actions = world.aws.actions();
    let at = |wanted: &str| actions.iter().position(|action| action == wanted).unwrap();
    assert!(at("s3:PutObject") < at(TERMINATE), "the intent comes first: {actions:?}");
    let records = world.records();
    assert_eq!((records[0]["phase"].as_str(), records[1]["phase"].as_str()), (Some("intent"), Some("outcome")));
    let change = &records[1]["changes"][0];
    assert_eq!((&change["subject"], &change["result"]["status"]), (&json!(INSTANCE), &json!("done")));
    assert_eq!(change["to"]["manifest"], json!(world.manifest.sha256), "the permit cites its manifest");
}

/// A target whose protection is on until somebody takes it off.
fn protected(world: &World) {
    let off = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cleared = std::sync::Arc::clone(&off);
    world.aws.set_fn(ATTRIBUTE, move |_| protection(!cleared.load(std::sync::atomic::Ordering::Relaxed)));
    world.aws.set_fn(UNPROTECT, move |call| {
        assert_eq!((call.param("InstanceId"), call.param("DisableApiTermination.Value")), (Some(INSTANCE), Some("false")));
        off.store(true, std::sync::atomic::Ordering::Relaxed);
        Answer::xml("<ModifyInstanceAttributeResponse><return>true</return></ModifyInstanceAttributeResponse>")
    });
}

#[tokio::test]
async fn our_own_protection_is_taken_off_before_the_end_and_both_are_on_record() {
    let world = World::permitted().await;
    protected(&world);
    assert_eq!(world.end(0).await.unwrap().status, TerminationStatus::Terminated);
    let actions = world.aws.actions();
    let at = |wanted: &str| actions.iter().position(|action| action == wanted).unwrap();
    assert!(at("s3:PutObject") < at(UNPROTECT) && at(UNPROTECT) < at(TERMINATE), "{actions:?}");
    for record in world.records() {
        let changes: Vec<&str> = record["changes"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
        assert_eq!(changes, [UNPROTECT, TERMINATE], "{record}");
    }
}

#[tokio::test]
async fn a_protection_that_cannot_be_taken_off_leaves_the_target_as_it_is() {
    for (status, code, fault) in [(403, "UnauthorizedOperation", None), (503, "RequestLimitExceeded", Some(Fault::Transient))] {
        let world = World::permitted().await;
        protected(&world);
        world.aws.set(UNPROTECT, Answer::ec2_error(status, code, "no"));
        let ended = world.end(0).await;
        assert_eq!(world.aws.count(TERMINATE), 0, "{code}");
        match (ended, fault) {
            (Ok(ended), None) => {
                assert_eq!(ended.status, TerminationStatus::NotTerminated, "{code}");
                assert!(ended.reasons.iter().any(|reason| reason.contains(code)), "{ended:?}");
            }
            (Err(error), Some(fault)) => assert_eq!(error.fault(), fault, "{code}"),
            (other, _) => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn of_a_target_that_an_earlier_case_had_protected_the_protection_is_ours_too() {
    let earlier: incident::CaseId = "i-0abc1234def567890-eeeeeeeeeeee".parse().unwrap();
    for (first, ours) in [(Some(false), true), (Some(true), false), (None, false)] {
        let world = World::sealed(|sealing| {
            sealing.protected_before = Some(true);
            sealing.plan["earlierCase"] = json!(earlier);
        })
        .await;
        if let Some(before) = first {
            let key = incident::case::key(&earlier, incident::case::BEFORE_PROTECTIONS);
            world.aws.put_object_in("evidence", &key, protections(&earlier, before).to_string());
        }
        protected(&world);
        let ended = world.end(0).await.unwrap();
        assert_eq!(ended.status == TerminationStatus::Terminated, ours, "{first:?}: {ended:?}");
        assert_eq!(world.aws.count(UNPROTECT), usize::from(ours), "{first:?}");
    }
}

#[tokio::test]
async fn a_standing_permission_ends_it_by_the_policys_word() {
    let world = World::sealed(|sealing| {
        sealing.plan["disposition"]["decision"] = json!("terminate");
        sealing.approvers.clear();
    })
    .await;
    assert_eq!(world.end(0).await.unwrap().by, ["policy /cordon/policy version 7"]);
}

#[tokio::test]
async fn a_second_run_finds_its_intent_and_does_nothing_again() {
    for state in ["shutting-down", "terminated", "gone"] {
        let world = World::permitted().await;
        let first = world.end(0).await.unwrap();
        world.now(|instance| instance.state = state);
        world.aws.set(ATTRIBUTE, Answer::ec2_error(400, "IncorrectInstanceState", "it is terminated"));
        let again = world.end(1).await.unwrap();
        assert_eq!((again.status, again.by, again.state.as_str()), (first.status, first.by, state));
        assert_eq!(world.aws.count(TERMINATE), 1, "{state}");
        let result = world.records().last().unwrap()["changes"][0]["result"].clone();
        assert_eq!(result["status"], "already", "{state}");
    }
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_counts_as_read_back() {
    let world = World::permitted().await;
    world.now(|instance| instance.state = "running");
    let instance = std::sync::Arc::clone(&world.instance);
    world.aws.set_fn(TERMINATE, move |_| {
        instance.lock().unwrap().state = "shutting-down";
        Answer::lost()
    });
    assert_eq!(world.end(0).await.unwrap().status, TerminationStatus::Terminated);
}

#[tokio::test]
async fn an_end_that_the_guard_would_refuse_by_now_is_told_as_it_is() {
    let world = World::permitted().await;
    world.end(0).await.unwrap();
    world.aws.set(SNAPSHOTS, support::snapshots("error"));
    let again = world.end(1).await.unwrap();
    assert_eq!((again.status, again.refusals.len(), world.aws.count(TERMINATE)), (TerminationStatus::Terminated, 1, 1));
}

#[tokio::test]
async fn what_is_throttled_fails_as_transient_and_the_retry_ends_it() {
    for action in [INSTANCES, ATTRIBUTE, SNAPSHOTS, LOCKS, TERMINATE] {
        let world = World::permitted().await;
        world.aws.push(action, Answer::ec2_error(503, "RequestLimitExceeded", "slow down"));
        let error = world.end(0).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action}: {error}");
        assert_eq!(world.end(1).await.unwrap().status, TerminationStatus::Terminated, "{action}");
    }
    for action in ["s3:ListObjectVersions", "s3:GetObject", "s3:HeadObject", "s3:PutObject"] {
        let world = World::permitted().await;
        world.aws.push(action, Answer::s3_error(503, "SlowDown", "slow down"));
        let error = world.end(0).await.unwrap_err();
        assert_eq!((error.fault(), world.aws.count(TERMINATE)), (Fault::Transient, 0), "{action}: {error}");
        assert_eq!(world.end(1).await.unwrap().status, TerminationStatus::Terminated, "{action}");
    }
    let world = World::permitted().await;
    world.aws.push(VERIFY, Answer::json_error(400, "ThrottlingException", "slow down"));
    assert_eq!((world.end(0).await.unwrap_err().fault(), world.aws.count(TERMINATE)), (Fault::Transient, 0));
    assert_eq!(world.end(1).await.unwrap().status, TerminationStatus::Terminated);
}

#[tokio::test]
async fn what_ec2_refuses_is_not_terminated_and_the_reason_is_told() {
    for (status, code) in [(403, "UnauthorizedOperation"), (400, "OperationNotPermitted")] {
        let world = World::permitted().await;
        world.aws.set(TERMINATE, Answer::ec2_error(status, code, "no"));
        let ended = world.end(0).await.unwrap();
        assert_eq!((ended.status, ended.state.as_str()), (TerminationStatus::NotTerminated, "running"), "{code}");
        assert!(ended.reasons[0].contains(code), "{ended:?}");
        assert_eq!(world.records()[1]["changes"][0]["result"]["status"], "failed", "{code}");

        world.now(|instance| instance.state = "terminated");
        let again = world.end(1).await.unwrap();
        assert_eq!(again.status, TerminationStatus::Refused, "{code}: what was refused to us, somebody else has done: {again:?}");
    }
}

#[tokio::test]
async fn an_instance_that_still_runs_is_looked_at_again_and_at_last_not_terminated() {
    let world = World::permitted().await;
    world.now(|instance| instance.ends = false);
    for retry in 0..3 {
        let error = world.end(retry).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{error}");
        assert!(error.to_string().contains("running"), "{error}");
    }
    let ended = world.end(3).await.unwrap();
    assert_eq!((ended.status, ended.state.as_str()), (TerminationStatus::NotTerminated, "running"));
}

#[tokio::test]
async fn an_instance_that_goes_while_it_is_judged_is_not_claimed_to_be_ended() {
    let world = World::permitted().await;
    let instance = std::sync::Arc::clone(&world.instance);
    world.aws.set_fn(TERMINATE, move |_| {
        instance.lock().unwrap().state = "gone";
        Answer::ec2_error(400, "InvalidInstanceID.NotFound", "it does not exist")
    });
    let ended = world.end(0).await.unwrap();
    assert_eq!((ended.status, ended.state.as_str()), (TerminationStatus::NotTerminated, "gone"));
}

#[tokio::test]
async fn a_read_back_that_is_denied_leaves_it_unknown() {
    let world = World::permitted().await;
    let looks = std::sync::atomic::AtomicU32::new(0);
    let before = support::described(&world.instance.lock().unwrap());
    world.aws.set_fn(INSTANCES, move |_| match looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => before.clone(),
        _ => Answer::ec2_error(403, "UnauthorizedOperation", "no"),
    });
    let ended = world.end(0).await.unwrap();
    assert_eq!((ended.status, ended.state.as_str()), (TerminationStatus::Unknown, ""));
    assert!(ended.reasons[0].contains("ec2:DescribeInstances"), "{ended:?}");
}

#[tokio::test]
async fn without_an_intent_nothing_is_ended() {
    let world = World::permitted().await;
    world.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    assert_eq!(world.end(0).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!(world.aws.count(TERMINATE), 0);
}

#[tokio::test]
async fn a_case_in_many_pages_is_read_to_its_end() {
    let world = World::permitted().await;
    for n in 0..30 {
        world.aws.put_object_in("evidence", &key(&format!("findings/{n:03}.json")), "{}");
    }
    let World { aws, instance, manifest, plan } = world;
    let world = World { aws: aws.page_size(3), instance, manifest, plan };
    assert_eq!(world.end(0).await.unwrap().status, TerminationStatus::Terminated);
}
