//! The commands about a case that is under way, as a person types them: the real binary against a small AWS on loopback, in
//! which things happen while it is watched.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where what it needs is not there")]

mod aws;
mod stop_replay;
mod watch;

use std::process::Output;

use incident::{CaseId, ExecutionArn, InstanceId};
use serde_json::{Value, json};

const INSTANCE: &str = "i-0abc1234def567890";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

/// The case that a release gives back.
const RELEASED: &str = "i-0abc1234def567890-00000000000a";

fn id() -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap())
}

fn plan() -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": id(), "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f", "type": "Type\u{1b}[2J", "title": "t", "severity": 8.0,
            "account": "111122223333", "region": "eu-central-1"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running", "interfaces": [],
            "volumes": [], "profile": null, "spot": false, "architecture": "x86_64", "windows": false, "memoryMib": 8192,
            "metadata": null},
        "policy": {"from": "parameter", "name": "/cordon/policy", "version": 3}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "skip", "reason": "a shared role"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "the policy says so"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null, "risks": []})
}

/// `release.json` of a release that this execution makes.
fn release_plan() -> Value {
    json!({"schema": "cordon.release.v1", "releaseId": id(), "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "caseId": RELEASED, "restoredFrom": RELEASED, "reason": "a false alarm", "target": plan()["target"], "restore": [],
        "notRestorable": [], "credentials": true, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"}})
}

fn record(state: &str, note: &Value) -> (String, Value) {
    let record = json!({"schema": "cordon.record.v1", "caseId": id(), "number": 1, "phase": "outcome", "by": "f",
        "visit": {"execution": EXECUTION, "state": state, "entered": "2026-11-24T03:30:02Z", "retry": 0},
        "at": "2026-11-24T03:30:09Z", "changes": [], "note": note});
    (format!("records/20261124T033002.000Z-{state}-00-001-outcome.json"), record)
}

fn closing(reasons: &[&str]) -> Value {
    json!({"schema": "cordon.manifest.closing.v1", "caseId": id(), "execution": EXECUTION, "closedAt": "2026-11-24T04:00:30Z",
        "closedBy": "LastWord", "asPlanned": reasons.is_empty(), "reasons": reasons, "failure": null, "evidence": null, "items": [],
        "custody": {"lines": 0, "head": "0".repeat(64)}, "signing": {"key": "k", "algorithm": "ECDSA_SHA_256"}})
}

fn said(output: &Output) -> String {
    format!("{}{}", out(output), String::from_utf8_lossy(&output.stderr))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
