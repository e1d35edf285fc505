//! The snapshots are looked at again when the evidence is sealed.

use incident::manifest::EvidenceManifest;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

const VOLUME: &str = "snapshot:vol-0abc1234def567890";
const LOCK: &str = "snapshot-lock:snap-0abc1234def567890";

/// What becomes of the input, the snapshot's state, its lock and days, and what is missing then and why.
type Case<'a> = (&'a dyn Fn(&mut Value), &'a str, &'a str, u16, &'a [(&'a str, &'a str)]);

/// The reason for which `item` is missing.
fn reason(sealed: &Value, item: &str) -> String {
    let all = sealed["missing"].as_array().unwrap();
    all.iter().find(|missing| missing["item"] == item).map(|missing| missing["reason"].to_string()).unwrap_or_default()
}

fn with(snapshot: Answer, lock: Answer) -> Stub {
    let aws = world();
    aws.set("ec2:DescribeSnapshots", snapshot);
    aws.set("ec2:DescribeLockedSnapshots", lock);
    aws
}

#[tokio::test]
async fn the_manifest_says_how_each_snapshot_stood() {
    let aws = world();
    run(&aws, &evidence()).await.unwrap();
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    let expected = json!({"state": "completed", "sizeGib": 8, "encrypted": true,
        "lock": {"mode": "governance", "days": 30, "until": "2026-12-24T03:30:00Z"}});
    assert_eq!(serde_json::to_value(&manifest.snapshots[0].at_seal).unwrap(), expected);
    assert_eq!(read::<Value>(&aws, "snapshots.json"), serde_json::to_value(&manifest.snapshots).unwrap());
    assert_eq!(aws.calls_of("ec2:DescribeSnapshots")[0].params["Filter.1.Value.1"], "snap-0abc1234def567890");
}

#[tokio::test]
async fn what_ec2_says_at_the_seal_counts_more_than_what_it_said_before() {
    let compliance = |input: &mut Value| input["plan"]["snapshotLock"] = json!({"mode": "compliance", "days": 30});
    let as_it_is = |_: &mut Value| {};
    let never_locked =
        |input: &mut Value| input["freeze"]["snapshots"][0]["lock"] = json!({"status": "notLocked", "reason": "not allowed"});
    let seen_broken = |input: &mut Value| input["preserved"] = preserved("error");
    let given_up = |input: &mut Value| {
        input["preserved"] = preserved("pending");
        input["preserved"]["missing"] = json!([{"item": VOLUME, "reason": "the deadline passed"}]);
    };
    let cases: [Case<'_>; 14] = [
        (&as_it_is, "completed", "governance", 30, &[]),
        (&seen_broken, "completed", "governance", 30, &[]),
        (&given_up, "completed", "governance", 30, &[]),
        (&given_up, "pending", "governance", 30, &[(VOLUME, "the deadline passed")]),
        (&never_locked, "completed", "governance", 30, &[]),
        (&never_locked, "completed", "", 0, &[(LOCK, "not allowed")]),
        (&as_it_is, "completed", "", 0, &[(LOCK, "find out who took it off")]),
        (&as_it_is, "completed", "expired", 30, &[(LOCK, "find out who took it off")]),
        (&as_it_is, "completed", "governance", 29, &[(LOCK, "29 days")]),
        (&as_it_is, "error", "governance", 30, &[(VOLUME, "is error")]),
        (&as_it_is, "", "", 0, &[(VOLUME, "Recycle Bin")]),
        (&compliance, "completed", "governance", 30, &[(LOCK, "compliance")]),
        (&compliance, "completed", "compliance-cooloff", 30, &[(LOCK, "compliance")]),
        (&compliance, "completed", "compliance", 30, &[]),
    ];
    for (number, (edit, state, lock, days, expected)) in cases.into_iter().enumerate() {
        let mut input = evidence();
        edit(&mut input);
        let sealed = run(&with(snapshots(state), locks(lock, days)), &input).await.unwrap();
        let items: Vec<&str> = expected.iter().map(|(item, _)| *item).collect();
        assert_eq!(missing(&sealed), items, "case {number}: {sealed}");
        for (item, why) in expected {
            assert!(
                reason(&sealed, item).contains(why),
                "case {number}: {item} is missing for another reason than `{why}`: {sealed}"
            );
        }
    }
}

#[tokio::test]
async fn what_ec2_would_not_say_is_missing_and_the_seal_is_made_all_the_same() {
    let no = || Answer::ec2_error(403, "UnauthorizedOperation", "no");
    for call in ["ec2:DescribeSnapshots", "ec2:DescribeLockedSnapshots"] {
        let aws = world();
        aws.set(call, no());
        let sealed = run(&aws, &evidence()).await.unwrap();
        assert_eq!(missing(&sealed), [VOLUME], "{call}");
        assert!(reason(&sealed, VOLUME).contains("would not say"), "{sealed}");
    }
}

#[tokio::test]
async fn a_throttled_look_is_tried_again_but_not_for_ever() {
    let aws = world();
    aws.set("ec2:DescribeSnapshots", Answer::ec2_error(503, "RequestLimitExceeded", "slow down"));
    let mut input = evidence();
    assert_eq!(run(&aws, &input).await.unwrap_err().fault(), Fault::Transient);
    assert_eq!(aws.object(&key("manifest-evidence.json")), None, "the next attempt may still see them");
    input["visit"]["retry"] = json!(2);
    assert_eq!(missing(&run(&aws, &input).await.unwrap()), [VOLUME]);
}

#[tokio::test]
async fn without_a_snapshot_nobody_is_asked() {
    let aws = world();
    let mut input = evidence();
    input["freeze"]["snapshots"] = json!([]);
    run(&aws, &input).await.unwrap();
    assert_eq!(aws.count("ec2:DescribeSnapshots"), 0, "a filter without values would ask for every snapshot that there is");
}

#[tokio::test]
async fn the_report_has_the_snapshots_as_they_were_sealed() {
    let aws = world();
    let sealed = run(&aws, &evidence()).await.unwrap();
    aws.set("ec2:DescribeSnapshots", snapshots("error"));
    run(&aws, &close(&sealed)).await.unwrap();
    let report: Value = read(&aws, "report.json");
    assert_eq!(report["snapshots"][0]["atSeal"]["state"], "completed");
}
