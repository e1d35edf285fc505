//! A case that waits for two snapshots, and AWS as it answers.

use incident::evidence::Preserved;
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};
use wait_for_snapshot::{Clients, Error, Input, handle};

pub(crate) const CASE: &str = "i-0abc1234def567890-0123456789ab";
pub(crate) const ONE: &str = "snap-00000000000000001";
pub(crate) const TWO: &str = "snap-00000000000000002";
pub(crate) const LOOK: &str = "ec2:DescribeSnapshots";
pub(crate) const WAKE: &str = "states:SendTaskSuccess";

pub(crate) async fn run(aws: &Stub, input: &Value) -> Result<Value, Error> {
    let config = aws.config();
    let store = handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() };
    let clients = Clients { ec2: aws_sdk_ec2::Client::new(&config), sfn: aws_sdk_sfn::Client::new(&config), store };
    let input: Input = serde_json::from_value(input.clone()).unwrap();
    handle(&clients, input).await
}

/// What the state machine asks for `minutes` after the snapshots were begun, after so many looks; the deadline is after 120.
pub(crate) fn wait(snapshots: &[&str], minutes: u32, looks: u32) -> Value {
    let taken = |id: &&str| {
        let lock = json!({"status": "locked", "mode": "governance", "days": 30});
        json!({"snapshotId": id, "volumeId": id.replace("snap", "vol"), "inSet": true, "startedAt": "2026-11-24T03:00:00Z", "lock": lock})
    };
    let execution = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
    let entered = format!("2026-11-24T{:02}:{:02}:00Z", 3 + minutes / 60, minutes % 60);
    json!({
        "visit": {"execution": execution, "state": "WaitForSnapshot", "entered": entered, "retry": 0},
        "token": format!("token-{minutes}"),
        "plan": plan(execution),
        "freeze": {"snapshots": snapshots.iter().map(taken).collect::<Vec<Value>>(), "missing": [], "pauses": [300, 300], "failure": null},
        "looks": looks,
    })
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

/// The event of a set whose members have ended in `state`.
pub(crate) fn event(snapshots: &[&str], state: &str) -> Value {
    let arn = |id: &str| format!("arn:aws:ec2::eu-central-1:snapshot/{id}");
    let member =
        |id: &&str| json!({"snapshot_id": arn(id), "source": "arn:aws:ec2::eu-central-1:volume/vol-00000001", "status": state});
    json!({"version": "0", "id": "e1", "detail-type": "EBS Multi-Volume Snapshots Completion Status", "source": "aws.ec2", "account": "111122223333",
        "time": "2026-11-24T03:40:00Z", "region": "eu-central-1", "resources": snapshots.iter().map(|id| arn(id)).collect::<Vec<_>>(),
        "detail": {"event": "createSnapshots", "result": "succeeded", "cause": "", "request-id": "", "startTime": "2026-11-24T03:00:00Z",
            "endTime": "2026-11-24T03:40:00Z", "snapshots": snapshots.iter().map(member).collect::<Vec<Value>>()}})
}

/// The event of a snapshot that was taken by itself.
pub(crate) fn single(snapshot: &str) -> Value {
    json!({"version": "0", "id": "e2", "detail-type": "EBS Snapshot Notification", "source": "aws.ec2", "account": "111122223333",
        "time": "2026-11-24T03:40:00Z", "region": "eu-central-1", "resources": [],
        "detail": {"event": "createSnapshot", "result": "succeeded", "cause": "", "request-id": "",
            "snapshot_id": format!("arn:aws:ec2::eu-central-1:snapshot/{snapshot}"), "source": "arn:aws:ec2::eu-central-1:volume/vol-00000001"}})
}

/// EC2's answer about these snapshots: id, state, progress.
pub(crate) fn described(snapshots: &[(&str, &str, &str)]) -> Answer {
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

pub(crate) fn completed() -> Answer {
    described(&[(ONE, "completed", "100%"), (TWO, "completed", "100%")])
}

pub(crate) fn pending() -> Answer {
    described(&[(ONE, "pending", "40%"), (TWO, "pending", "60%")])
}

/// AWS where both snapshots are as `answer` says.
pub(crate) fn aws(answer: Answer) -> Stub {
    Stub::new().on(LOOK, answer).on(WAKE, Answer::json(json!({})))
}

/// AWS where the case waits, with the token `token-0`.
pub(crate) async fn waiting() -> Stub {
    let aws = aws(pending());
    assert_eq!(run(&aws, &wait(&[ONE, TWO], 0, 0)).await.unwrap()["woken"], false);
    aws.forget_calls();
    aws
}

/// With which token, and with what, the execution was woken.
pub(crate) fn woken(aws: &Stub) -> Vec<(String, Preserved)> {
    let sent = |call: &Call| {
        let (token, output) = (call.json()["taskToken"].clone(), call.json()["output"].clone());
        (token.as_str().unwrap().to_owned(), serde_json::from_str(output.as_str().unwrap()).unwrap())
    };
    aws.calls_of(WAKE).iter().map(sent).collect()
}
