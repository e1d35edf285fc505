//! The copies of the snapshots at the seal: those that the plan asks for are there, locked and shared, or missing by name.

use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

const SNAPSHOT: &str = "snap-0abc1234def567890";
const COPY: &str = "snap-0c0b1234def567890";
const ITEM: &str = "copy:vol-0abc1234def567890";
const LOCK: &str = "copy-lock:snap-0c0b1234def567890";

/// What becomes of the input, the copy's state as last seen and at the seal, its lock, and what is missing then.
type Case<'a> = (&'a dyn Fn(&mut Value), &'a str, &'a str, u16, &'a [&'a str]);

/// The evidence of a case whose plan asks for copies; the copying ended with the copy in `state`.
fn copied(state: &str) -> Value {
    let copy = json!({"snapshotId": COPY, "of": SNAPSHOT, "volumeId": "vol-0abc1234def567890", "begun": "2026-11-24T03:50:03Z", "state": state, "percent": 40,
        "key": "arn:aws:kms:eu-central-1:111122223333:key/copies", "lock": {"status": "locked", "mode": "governance", "days": 30}, "sharedWith": ["444455556666"]});
    let mut input = evidence();
    input["plan"]["copies"] = json!({"shareWith": ["444455556666"], "until": "2026-11-25T03:30:00Z"});
    input["copies"] = json!({"status": "copied", "since": "2026-11-24T03:50:00Z", "pauseSeconds": 0, "copies": [copy], "missing": [], "failure": null});
    input
}

/// EC2, where the snapshot is as it should be, and the copy is in `state` and locked for `days`; what is empty or 0 is not there.
fn ec2(state: &str, days: u16) -> Stub {
    let aws = world();
    let item = |id: &str, state: &str| {
        let there = format!(
            "<item><snapshotId>{id}</snapshotId><status>{state}</status><volumeSize>8</volumeSize><encrypted>true</encrypted></item>"
        );
        if state.is_empty() { String::new() } else { there }
    };
    let lock = |id: &str, days: u16| {
        let there = format!(
            "<item><snapshotId>{id}</snapshotId><lockState>governance</lockState><lockDuration>{days}</lockDuration></item>"
        );
        if days == 0 { String::new() } else { there }
    };
    let (items, locks) = (item(SNAPSHOT, "completed") + &item(COPY, state), lock(SNAPSHOT, 30) + &lock(COPY, days));
    aws.set(
        "ec2:DescribeSnapshots",
        Answer::xml(format!("<DescribeSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>")),
    );
    aws.set(
        "ec2:DescribeLockedSnapshots",
        Answer::xml(format!(
            "<DescribeLockedSnapshotsResponse><snapshotSet>{locks}</snapshotSet></DescribeLockedSnapshotsResponse>"
        )),
    );
    aws
}

#[tokio::test]
async fn the_manifest_and_the_report_say_how_each_copy_stood() {
    let aws = ec2("completed", 30);
    let input = copied("completed");
    let sealed = run(&aws, &input).await.unwrap();
    assert_eq!(missing(&sealed), Vec::<String>::new());
    let manifest: Value = read(&aws, "manifest-evidence.json");
    let copy = &manifest["snapshots"][0]["copy"];
    assert_eq!(copy["copy"], input["copies"]["copies"][0]);
    let expected =
        json!({"state": "completed", "sizeGib": 8, "encrypted": true, "lock": {"mode": "governance", "days": 30, "until": null}});
    assert_eq!(copy["atSeal"], expected);
    let looked = &aws.calls_of("ec2:DescribeSnapshots")[0].params;
    assert_eq!(
        (&looked["Filter.1.Value.1"], &looked["Filter.1.Value.2"]),
        (&SNAPSHOT.to_owned(), &COPY.to_owned()),
        "one look at both"
    );
    run(&aws, &close(&sealed)).await.unwrap();
    let report: Value = read(&aws, "report.json");
    assert!(report["disks"][0]["copy"]["command"].as_str().unwrap().contains(COPY), "{report}");
}

#[tokio::test]
async fn what_ec2_says_of_a_copy_at_the_seal_counts() {
    let as_it_is = |_: &mut Value| {};
    let given_up = |input: &mut Value| input["copies"]["missing"] = json!([{"item": ITEM, "reason": "the deadline passed"}]);
    let none = |input: &mut Value| input["copies"]["copies"] = json!([]);
    let broke = |input: &mut Value| input["copies"] = Value::Null;
    let failed = |input: &mut Value| {
        input["copies"]["copies"] = json!([]);
        input["copies"]["failure"] = json!({"state": "CopySnapshot", "error": "Denied", "cause": "no"});
        input["copies"]["missing"] = json!([{"item": "copies", "reason": "Denied: no"}]);
    };
    let unshared = |input: &mut Value| {
        input["copies"]["missing"] = json!([{"item": "copy-share:snap-0c0b1234def567890", "reason": "not shared"}]);
    };
    let never_shared = |input: &mut Value| input["copies"]["copies"][0]["sharedWith"] = json!([]);
    let shared_by_others =
        |input: &mut Value| input["copies"]["copies"][0]["sharedWith"] = json!(["444455556666", "999900001111"]);
    let not_planned = |input: &mut Value| {
        input["plan"].as_object_mut().unwrap().remove("copies");
        input["copies"] = Value::Null;
    };
    let cases: [Case<'_>; 13] = [
        (&as_it_is, "pending", "completed", 30, &[]),
        (&given_up, "pending", "completed", 30, &[]),
        (&given_up, "pending", "pending", 30, &[ITEM]),
        (&as_it_is, "completed", "error", 30, &[ITEM]),
        (&as_it_is, "completed", "", 0, &[ITEM]),
        (&as_it_is, "completed", "completed", 0, &[LOCK]),
        (&as_it_is, "completed", "completed", 7, &[LOCK]),
        (&none, "completed", "", 0, &[ITEM]),
        (&failed, "completed", "", 0, &["copies", ITEM]),
        (&unshared, "completed", "completed", 30, &["copy-share:snap-0c0b1234def567890"]),
        // One that was under way when it was given up is shared with nobody, whatever became of it.
        (&never_shared, "pending", "completed", 30, &["copy-share:snap-0c0b1234def567890"]),
        (&shared_by_others, "completed", "completed", 30, &["copy-share:snap-0c0b1234def567890"]),
        (&not_planned, "completed", "", 0, &[]),
    ];
    for (number, (edit, seen, state, days, expected)) in cases.into_iter().enumerate() {
        let mut input = copied(seen);
        edit(&mut input);
        let sealed = run(&ec2(state, days), &input).await.unwrap();
        assert_eq!(missing(&sealed), expected, "case {number}: {sealed}");
    }
    let mut input = copied("completed");
    broke(&mut input);
    let sealed = run(&ec2("completed", 30), &input).await.unwrap();
    assert!(sealed["missing"].to_string().contains("cordon:copy="), "where nothing is known it says what to look for: {sealed}");
}
