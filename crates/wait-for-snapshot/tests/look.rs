//! One look against the real SDK client.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use incident::evidence::{LookStatus, Preserved};
use incident::progress::Progress;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};
use wait_for_snapshot::{Clients, Error, Input, handle};

const CASE: &str = "i-0abc1234def567890-0123456789ab";
const ONE: &str = "snap-00000000000000001";
const TWO: &str = "snap-00000000000000002";

/// A look at these snapshots, `minutes` after they were begun; the plan's deadline is after 120.
async fn look(aws: &Stub, snapshots: &[&str], minutes: u32) -> Result<Preserved, Error> {
    let taken = |id: &&str| {
        let lock = json!({"status": "locked", "mode": "governance", "days": 30});
        json!({"snapshotId": id, "volumeId": id.replace("snap", "vol"), "inSet": true, "startedAt": "2026-11-24T03:00:00Z", "lock": lock})
    };
    let execution = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
    let entered = format!("2026-11-24T{:02}:{:02}:00Z", 3 + minutes / 60, minutes % 60);
    let input: Input = serde_json::from_value(json!({
        "visit": {"execution": execution, "state": "WaitForSnapshot", "entered": entered, "retry": 0},
        "plan": plan(execution),
        "freeze": {"snapshots": snapshots.iter().map(taken).collect::<Vec<Value>>(), "missing": [], "failure": null},
        "looks": 0,
    }))
    .unwrap();
    let config = aws.config();
    let store = handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() };
    handle(&Clients { ec2: aws_sdk_ec2::Client::new(&config), store }, input).await
}

fn plan(execution: &str) -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": execution, "opened": "2026-11-24T02:59:00Z",
        "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
            "region": "eu-central-1", "firstSeen": "2026-11-24T02:00:00Z", "updatedAt": "2026-11-24T02:50:00Z"},
        "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [], "volumes": [], "profile": null, "spot": false, "windows": false},
        "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "text"}, "memory": {"decision": "skip", "because": "policy", "reason": "text"}, "credentials": {"decision": "deny"},
            "deadlines": {"snapshots": "2026-11-24T05:00:00Z", "memory": "2026-11-24T05:00:00Z"}, "earlierCase": null, "risks": []})
}

/// EC2's answer about these snapshots: id, state, progress.
fn described(snapshots: &[(&str, &str, &str)]) -> Answer {
    let item = |(id, state, progress): &(&str, &str, &str)| {
        format!(
            "<item><snapshotId>{id}</snapshotId><volumeId>{}</volumeId><status>{state}</status><progress>{progress}</progress>\
             <volumeSize>8</volumeSize><startTime>2026-11-24T03:00:00.000Z</startTime></item>",
            id.replace("snap", "vol")
        )
    };
    let items: String = snapshots.iter().map(item).collect();
    Answer::xml(format!("<DescribeSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>"))
}

#[tokio::test]
async fn a_look_says_what_ec2_says() {
    let cases = [
        (vec![(ONE, "completed", "100%"), (TWO, "completed", "100%")], 10, LookStatus::Completed, 100, vec![]),
        (vec![(ONE, "completed", "100%"), (TWO, "pending", "40%")], 10, LookStatus::Pending, 40, vec![]),
        (vec![(ONE, "completed", "100%"), (TWO, "error", "12%")], 10, LookStatus::Incomplete, 12, vec!["failed"]),
        (vec![(ONE, "completed", "100%"), (TWO, "recoverable", "100%")], 10, LookStatus::Incomplete, 99, vec!["recycle bin"]),
        (vec![(ONE, "completed", "100%")], 10, LookStatus::Incomplete, 0, vec!["does not exist"]),
        (vec![(ONE, "pending", "10%"), (TWO, "pending", "60%")], 121, LookStatus::Incomplete, 10, vec!["deadline", "deadline"]),
        (vec![(ONE, "pending", ""), (TWO, "pending", "n/a")], 1, LookStatus::Pending, 0, vec![]),
    ];
    for (snapshots, minutes, status, percent, missing) in cases {
        let aws = Stub::new().on("ec2:DescribeSnapshots", described(&snapshots));
        let seen = look(&aws, &[ONE, TWO], minutes).await.unwrap();
        assert_eq!((seen.status, seen.percent), (status, percent), "{snapshots:?}: {seen:?}");
        assert_eq!(seen.pause_seconds > 0, status == LookStatus::Pending, "{snapshots:?}");
        assert_eq!(seen.missing.len(), missing.len(), "{snapshots:?}: {seen:?}");
        for (missing, says) in seen.missing.iter().zip(missing) {
            assert!(missing.reason.contains(says), "{snapshots:?}: {missing:?}");
        }
        assert_eq!(aws.count("ec2:DescribeSnapshots"), 1, "a look costs one call");
        let changed: Vec<String> = aws.mutations().iter().map(|call| call.action.clone()).collect();
        assert_eq!(changed, ["s3:PutObject"], "a look changes nothing but what it says of itself");
        let said = aws.object(&format!("work/{CASE}/progress/snapshots.json")).unwrap();
        let said: Progress = serde_json::from_slice(&said).unwrap();
        assert_eq!((said.percent, said.ended), (percent, status != LookStatus::Pending), "{snapshots:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_snapshot_that_ec2_does_not_know_does_not_hide_the_others() {
    let aws = Stub::new().on_fn("ec2:DescribeSnapshots", |call: &Call| {
        let by_tag = call.params.values().any(|value| value == "tag:cordon:case");
        if by_tag {
            return described(&[(ONE, "completed", "100%")]);
        }
        Answer::ec2_error(400, "InvalidSnapshot.NotFound", "one of them")
    });
    let seen = look(&aws, &[ONE, TWO], 10).await.unwrap();
    assert_eq!(seen.status, LookStatus::Incomplete);
    assert_eq!(seen.snapshots[0].state, "completed");
    assert_eq!((seen.missing.len(), seen.missing[0].item.as_str()), (1, "snapshot:vol-00000000000000002"));
}

#[tokio::test]
async fn nothing_to_look_at_asks_ec2_nothing() {
    // No ids would mean every snapshot of the Region.
    let aws = Stub::new();
    let seen = look(&aws, &[], 10).await.unwrap();
    assert_eq!((seen.status, aws.count("ec2:DescribeSnapshots")), (LookStatus::Completed, 0));
}

#[tokio::test]
async fn what_ec2_refuses_is_told_apart() {
    for (status, code, fault) in [
        (503, "RequestLimitExceeded", Fault::Transient),
        (500, "InternalError", Fault::Transient),
        (403, "UnauthorizedOperation", Fault::Denied),
    ] {
        let aws = Stub::new().on("ec2:DescribeSnapshots", Answer::ec2_error(status, code, "no"));
        let error = look(&aws, &[ONE], 10).await.unwrap_err();
        assert_eq!(error.fault(), fault, "{code}: {error}");
        assert!(error.to_string().contains("ec2:DescribeSnapshots"), "the message must name the call: {error}");
    }
}
