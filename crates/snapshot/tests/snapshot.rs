//! The step against the real SDK clients and an EC2 that remembers its snapshots.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

mod support;

use incident::evidence::LockOutcome;
use incident::plan::LockMode;
use incident::risk::RiskKind;
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;
use support::{Ec2, ONE, TWO, instance, volumes};

const SET: &str = "ec2:CreateSnapshots";
const SINGLE: &str = "ec2:CreateSnapshot";
const LOCK: &str = "ec2:LockSnapshot";

#[tokio::test]
async fn the_set_is_taken_tagged_and_locked_while_pending() {
    let ec2 = Ec2::with(&[ONE, TWO]);
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!(volumes(&frozen), [ONE, TWO]);
    assert!(frozen.missing.is_empty() && frozen.snapshots.iter().all(|taken| taken.in_set), "{frozen:?}");
    assert_eq!((ec2.aws.count(SET), ec2.aws.count(SINGLE), ec2.aws.count(LOCK)), (1, 0, 2));
    for snapshot in ec2.snapshots() {
        assert_eq!(snapshot.tags["cordon:case"], support::CASE);
        assert_eq!(snapshot.tags["cordon:taken"], "set");
        assert_eq!(snapshot.lock.as_deref(), Some("governance 30"), "with the mode and the days of the plan");
    }
    for taken in &frozen.snapshots {
        assert_eq!(taken.lock, LockOutcome::Locked { mode: LockMode::Governance, days: 30 });
    }
    let actions = ec2.aws.actions();
    let intent = actions.iter().position(|action| action == "s3:PutObject").unwrap();
    assert!(intent < actions.iter().position(|action| action == SET).unwrap(), "the intent comes first: {actions:?}");
    assert_eq!((ec2.records("intent"), ec2.records("outcome")), (1, 1));
    let announced = ec2.intent()["changes"][0]["to"].clone();
    let lock = json!({"mode": "governance", "days": 30});
    assert_eq!(
        (&announced["lock"], &announced["orElse"]),
        (&lock, &json!("ec2:CreateSnapshot")),
        "all that may be done comes first"
    );
}

#[tokio::test]
async fn a_second_run_finds_what_the_first_took() {
    let ec2 = Ec2::with(&[ONE, TWO]);
    let first = ec2.freeze(0).await.unwrap();
    let again = ec2.freeze(1).await.unwrap();
    assert_eq!(again, first, "the same result, so that later steps see no difference");
    assert_eq!((ec2.aws.count(SET), ec2.aws.count(SINGLE)), (1, 0), "nothing is taken twice");
}

#[tokio::test]
async fn a_set_that_is_refused_is_taken_volume_by_volume() {
    for code in ["UnsupportedOperation", "InvalidParameterValue", "UnauthorizedOperation"] {
        let ec2 = Ec2::with(&[ONE, TWO]);
        ec2.aws.set(SET, Answer::ec2_error(if code == "UnauthorizedOperation" { 403 } else { 400 }, code, "no set"));
        let frozen = ec2.freeze(0).await.unwrap();
        assert_eq!(volumes(&frozen), [ONE, TWO], "{code}");
        assert!(frozen.snapshots.iter().all(|taken| !taken.in_set), "{code}: no longer one point in time: {frozen:?}");
        assert!(ec2.snapshots().iter().all(|snapshot| snapshot.tags["cordon:taken"] == "volume"), "{code}");
        assert!(ec2.snapshots().iter().all(|snapshot| snapshot.lock.is_some()), "{code}: locked all the same");
    }
}

#[tokio::test]
async fn a_volume_that_cannot_be_frozen_is_missing_with_its_reason_and_the_others_are_frozen() {
    let ec2 = Ec2::with(&[ONE, TWO]);
    ec2.aws.set(SET, Answer::ec2_error(400, "UnsupportedOperation", "no set"));
    ec2.refuse_volume(TWO, 403, "UnauthorizedOperation");
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!(volumes(&frozen), [ONE]);
    assert_eq!((frozen.missing.len(), frozen.missing[0].item.clone()), (1, format!("snapshot:{TWO}")));
    assert!(frozen.missing[0].reason.contains("UnauthorizedOperation"), "{:?}", frozen.missing);

    let none = Ec2::with(&[ONE, TWO]);
    none.aws.set(SET, Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    none.aws.set(SINGLE, Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let frozen = none.freeze(0).await.unwrap();
    assert_eq!((frozen.snapshots.len(), frozen.missing.len()), (0, 2), "an incident goes on without disks: {frozen:?}");
}

#[tokio::test]
async fn a_lock_that_is_refused_is_told_and_the_snapshot_stays() {
    let ec2 = Ec2::with(&[ONE]);
    ec2.aws.set(LOCK, Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!(volumes(&frozen), [ONE]);
    let LockOutcome::NotLocked { reason } = &frozen.snapshots[0].lock else { panic!("{frozen:?}") };
    assert!(reason.contains("ec2:LockSnapshot") && reason.contains("UnauthorizedOperation"), "{reason}");
}

#[tokio::test]
async fn whatever_is_throttled_fails_as_transient_and_the_retry_ends_with_one_snapshot_each() {
    for action in ["ec2:DescribeSnapshots", "ec2:DescribeVolumes", SET, LOCK] {
        let ec2 = Ec2::with(&[ONE, TWO]);
        ec2.aws.push(action, Answer::ec2_error(503, "RequestLimitExceeded", "slow down"));
        let error = ec2.freeze(0).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action}: {error}");
        let frozen = ec2.freeze(1).await.unwrap();
        assert_eq!(volumes(&frozen), [ONE, TWO], "{action}");
        assert!(frozen.snapshots.iter().all(|taken| matches!(taken.lock, LockOutcome::Locked { .. })), "{action}: {frozen:?}");
        assert_eq!(ec2.snapshots().len(), 2, "{action}: no volume twice");
        assert_eq!(ec2.records("intent"), ec2.records("outcome"), "{action}: each intent has its outcome");
    }
}

#[tokio::test]
async fn a_set_whose_answer_is_lost_is_found_and_never_asked_for_twice() {
    let ec2 = Ec2::with(&[ONE, TWO]).resent_by_the_sdk();
    ec2.lose_the_answer_of_the_next_set();
    let error = ec2.freeze(0).await.unwrap_err();
    assert_eq!((error.fault(), ec2.aws.count(SET)), (Fault::Transient, 1), "the SDK must not send it again: {error}");
    let frozen = ec2.freeze(1).await.unwrap();
    assert_eq!((volumes(&frozen), ec2.aws.count(SET), ec2.snapshots().len()), (vec![ONE.to_owned(), TWO.to_owned()], 1, 2));
    assert!(frozen.snapshots.iter().all(|taken| taken.in_set && matches!(taken.lock, LockOutcome::Locked { .. })), "{frozen:?}");
}

#[tokio::test]
async fn a_volume_that_was_attached_after_triage_is_frozen_too() {
    let ec2 = Ec2::with(&[ONE, TWO]).planned(&[ONE]);
    assert_eq!(volumes(&ec2.freeze(0).await.unwrap()), [ONE, TWO]);
}

#[tokio::test]
async fn the_volumes_of_a_terminated_target_are_frozen_one_by_one_where_they_still_exist() {
    let ec2 = Ec2::with(&[ONE]).planned(&[ONE, TWO]).terminated();
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!((volumes(&frozen), ec2.aws.count(SET)), (vec![ONE.to_owned()], 0));
    assert_eq!((frozen.missing.len(), frozen.missing[0].item.clone()), (1, format!("snapshot:{TWO}")));
    assert!(frozen.missing[0].reason.contains("InvalidVolume.NotFound"), "{:?}", frozen.missing);
}

#[tokio::test]
async fn a_target_without_volumes_is_no_failure() {
    let ec2 = Ec2::with(&[]).planned(&[]);
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!((frozen.snapshots.len(), frozen.missing[0].item.as_str()), (0, "disks"));
    assert_eq!(ec2.aws.count(SET) + ec2.aws.count(SINGLE), 0);
}

#[tokio::test]
async fn a_snapshot_that_failed_is_taken_again() {
    let ec2 = Ec2::with(&[ONE, TWO]);
    ec2.freeze(0).await.unwrap();
    let failed = ec2.fail_the_snapshot_of(TWO);
    let frozen = ec2.freeze(1).await.unwrap();
    assert_eq!(volumes(&frozen), [ONE, TWO]);
    assert!(frozen.snapshots.iter().all(|taken| taken.snapshot_id.as_str() != failed), "{frozen:?}");
    assert_eq!((ec2.aws.count(SET), ec2.aws.count(SINGLE)), (1, 1), "only the one that failed");
}

#[tokio::test]
async fn without_an_intent_nothing_is_taken() {
    let ec2 = Ec2::with(&[ONE]);
    ec2.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    assert_eq!(ec2.freeze(0).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!(ec2.snapshots().len(), 0);
}

#[tokio::test]
async fn what_is_in_no_snapshot_is_missing_by_name_and_holds_nothing_up() {
    let ec2 = Ec2::with(&[ONE, TWO]);
    let hibernates = "<hibernationOptions><configured>true</configured></hibernationOptions>";
    ec2.aws.set("ec2:DescribeInstances", instance(&format!("<instanceType>m5d.large</instanceType>{hibernates}")));
    let storage = "<instanceStorageInfo><totalSizeInGB>75</totalSizeInGB></instanceStorageInfo>";
    ec2.aws.set(
        "ec2:DescribeInstanceTypes",
        Answer::xml(format!(
            "<DescribeInstanceTypesResponse><instanceTypeSet><item>{storage}</item></instanceTypeSet></DescribeInstanceTypesResponse>"
        )),
    );
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!(volumes(&frozen), [ONE, TWO]);
    assert_eq!((frozen.missing.len(), frozen.missing[0].item.as_str()), (1, "instance-store"), "{:?}", frozen.missing);
    assert!(frozen.missing[0].reason.contains("75 GB"), "{:?}", frozen.missing);
    let kinds: Vec<RiskKind> = frozen.risks.iter().map(|risk| risk.kind).collect();
    assert_eq!(kinds, [RiskKind::InstanceStore, RiskKind::Hibernation]);
    let order = ec2.aws.actions();
    let at = |action: &str| order.iter().position(|called| called == action).unwrap();
    assert!(at(SET) < at("ec2:DescribeInstances"), "the moment of the disks comes first: {order:?}");

    for (status, code) in [(403, "UnauthorizedOperation"), (503, "RequestLimitExceeded")] {
        let ec2 = Ec2::with(&[ONE]);
        ec2.aws.set("ec2:DescribeInstances", Answer::ec2_error(status, code, "no"));
        let frozen = ec2.freeze(0).await.unwrap();
        assert_eq!((volumes(&frozen), frozen.missing.len(), frozen.risks.len()), (vec![ONE.to_owned()], 0, 0), "{code}");
    }
}

#[tokio::test]
async fn a_quota_that_does_not_free_itself_in_time_costs_its_volume_and_no_other() {
    for code in ["ConcurrentSnapshotLimitExceeded", "SnapshotCreationPerVolumeRateExceeded", "PendingSnapshotLimitExceeded"] {
        let ec2 = Ec2::with(&[ONE, TWO]);
        ec2.aws.set(SET, Answer::ec2_error(400, "UnsupportedOperation", "no set"));
        ec2.refuse_volume(TWO, 400, code);
        for retry in 0..5 {
            assert_eq!(ec2.freeze(retry).await.unwrap_err().fault(), Fault::Transient, "{code}: tried again");
        }
        let frozen = ec2.freeze(5).await.unwrap();
        assert_eq!((volumes(&frozen), frozen.missing.len()), (vec![ONE.to_owned()], 1), "{code}: {frozen:?}");
        assert!(
            frozen.missing[0].reason.contains(code) && frozen.missing[0].reason.contains("completed"),
            "{:?}",
            frozen.missing
        );
        assert!(matches!(frozen.snapshots[0].lock, LockOutcome::Locked { .. }), "{frozen:?}");
        assert_eq!(ec2.snapshots().len(), 1, "{code}: nothing is taken twice");
    }
}

#[tokio::test]
async fn a_hundred_and_twenty_eight_volumes_are_one_set_with_a_lock_each() {
    let all: Vec<String> = (0..128).map(|n| format!("vol-{n:017x}")).collect();
    let ec2 = Ec2::with(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let frozen = ec2.freeze(0).await.unwrap();
    assert_eq!((frozen.snapshots.len(), frozen.missing.len(), ec2.aws.count(SET)), (128, 0, 1));
    assert!(frozen.snapshots.iter().all(|taken| taken.in_set && matches!(taken.lock, LockOutcome::Locked { .. })));
    // What a state hands on may have 256 KiB, the plan and every other result with it.
    let size = serde_json::to_string(&frozen).unwrap().len();
    assert!(size < 40_000, "{size}");
}
