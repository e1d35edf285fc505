//! A new finding claims the target: from then on nothing more is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use incident::release::{ReleaseStatus, RestoredStatus};
use incident::{Classify as _, Fault};
use stub::{Answer, Call};

use super::support::{CLAIM, ISOLATION, NIC, OTHER, RELEASE, World, case_of, claim, denied, throttled};

async fn checked() -> World {
    let world = World::contained().await;
    world.check().await;
    world.aws.forget_calls();
    world
}

/// From the first call of `action` on that fits, another case has the target.
fn claimed_during(world: &World, action: &str, fits: fn(&Call) -> bool) {
    let account = Arc::clone(&world.account);
    let taken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&taken);
    world.aws.set_fn(action, move |call| {
        taken.fetch_or(fits(call), Ordering::SeqCst);
        account.lock().unwrap().answer(call)
    });
    world.aws.set_fn("s3:GetObject", move |call| {
        if seen.load(Ordering::SeqCst) && call.key.as_deref() == Some(CLAIM) {
            Answer::bytes(200, claim(OTHER, false)).header("etag", "\"theirs\"")
        } else {
            Answer::bucket()
        }
    });
}

#[tokio::test]
async fn a_target_that_another_case_has_is_not_touched() {
    for claim in [Some((OTHER, false)), Some((OTHER, true)), Some((RELEASE, false)), None] {
        let world = checked().await;
        if let Some((execution, release)) = claim {
            world.claim(execution, release);
        } else {
            let s3 = aws_sdk_s3::Client::new(&world.aws.config());
            s3.delete_object().bucket("evidence").key(CLAIM).send().await.unwrap();
            world.aws.forget_calls();
        }
        let released = world.restore(0).await.unwrap();
        assert_eq!((released.status, world.changes().len()), (ReleaseStatus::Superseded, 0), "{claim:?}");
        assert!(released.items.iter().all(|item| item.status == RestoredStatus::NotRestored), "{claim:?}");
        assert!(released.reasons[0].contains("claim"), "{:?}", released.reasons);
        assert_eq!(world.records().len(), 1, "what was found is on record");
    }
}

#[tokio::test]
async fn a_claim_before_the_network_is_opened_keeps_it_closed() {
    let world = checked().await;
    claimed_during(&world, "ec2:ModifyInstanceMetadataOptions", |_| true);
    let released = world.restore(0).await.unwrap();
    assert_eq!(released.status, ReleaseStatus::Superseded);
    assert!(released.reasons[0].contains(case_of(OTHER).as_str()), "{:?}", released.reasons);
    let account = world.account();
    assert_eq!(
        (account.nics[NIC].groups.as_slice(), account.metadata.endpoint.as_str()),
        ([ISOLATION.to_owned()].as_slice(), "enabled")
    );
    assert!(!world.changes().iter().any(|action| action.contains(":Register") || action == "ec2:ModifyInstanceAttribute"));
    let outcome = world.records().pop().unwrap();
    let changes = outcome["changes"].as_array().unwrap();
    assert_eq!(changes.iter().filter(|change| change["result"]["status"] == "done").count(), 2, "metadata and tracking");
    assert_eq!(changes.iter().filter(|change| change["result"]["fault"] == "Refused").count(), 9);
}

#[tokio::test]
async fn a_claim_while_the_network_is_opened_stops_everything_after_it() {
    let world = checked().await;
    // Only the groups, not the tracking before them, bring the new case in.
    claimed_during(&world, "ec2:ModifyNetworkInterfaceAttribute", |call| !call.list("SecurityGroupId").is_empty());
    let released = world.restore(0).await.unwrap();
    assert_eq!(released.status, ReleaseStatus::Superseded);
    let changes = world.changes();
    assert!(!changes.iter().any(|action| action.contains(":Register") || action.ends_with(":AttachInstances")), "{changes:?}");
    assert!(!changes.contains(&"ec2:ModifyInstanceAttribute".to_owned()));
    assert_eq!(
        changes.iter().filter(|action| *action == "ec2:ModifyNetworkInterfaceAttribute").count(),
        2,
        "nothing is cut again here"
    );
}

#[tokio::test]
async fn a_claim_during_the_last_phase_is_told() {
    let world = checked().await;
    claimed_during(&world, "ec2:ModifyInstanceAttribute", |_| true);
    assert_eq!(world.restore(0).await.unwrap().status, ReleaseStatus::Superseded);
}

#[tokio::test]
async fn while_it_cannot_be_read_whose_the_target_is_the_network_stays_closed() {
    for (answer, fault) in [(throttled("s3:GetObject"), Some(Fault::Transient)), (denied("s3:GetObject"), None)] {
        let world = checked().await;
        let account = Arc::clone(&world.account);
        let changed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&changed);
        world.aws.set_fn("ec2:ModifyInstanceMetadataOptions", move |call| {
            changed.store(true, Ordering::SeqCst);
            account.lock().unwrap().answer(call)
        });
        world.aws.set_fn("s3:GetObject", move |_| if seen.load(Ordering::SeqCst) { answer.clone() } else { Answer::bucket() });
        let ended = world.restore(0).await;
        assert_eq!(world.account().nics[NIC].groups, [ISOLATION]);
        match (ended, fault) {
            (Err(error), Some(fault)) => assert_eq!(error.fault(), fault),
            (Ok(released), None) => {
                assert_eq!(released.status, ReleaseStatus::PartlyReleased);
                assert!(released.reasons[0].contains("whose the target is"), "{:?}", released.reasons);
            }
            (ended, fault) => panic!("{fault:?}: {ended:?}"),
        }
        world.heal();
        assert_eq!(world.restore(1).await.unwrap().status, ReleaseStatus::Released);
    }
}
