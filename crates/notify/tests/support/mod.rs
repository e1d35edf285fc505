//! Inputs as the definition hands them over, and the clients.

use notify::{Clients, Error, Input, Output, handle};
use serde_json::{Value, json};
use stub::{Answer, Stub};

pub(crate) const CASE: &str = "i-0abc1234def567890-0123456789ab";
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-central-1:111122223333:cordon";
pub(crate) const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

fn visit(state: &str) -> Value {
    json!({"execution": EXECUTION, "state": state, "entered": "2026-11-24T03:40:00Z", "retry": 0})
}

fn finding(title: &str) -> Value {
    json!({"source": "guardDuty", "id": "f1", "type": "UnauthorizedAccess:EC2/TorClient", "title": title, "severity": 8.0,
        "account": "111122223333", "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"})
}

pub(crate) fn plan(title: &str) -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z", "finding": finding(title),
        "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [], "volumes": [], "profile": "arn:aws:iam::111122223333:instance-profile/web", "spot": false,
            "architecture": "x86_64", "windows": false, "memoryMib": 16384, "metadata": null},
        "policy": {"from": "fallback", "problem": "the SSM parameter is gone"}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": {"interface": "eni-0abc1234def567890", "endpoints": ["sg-0abc1234def567890"],
            "s3": "pl-0abc1234def567890", "evidenceBucketOnly": false}},
        "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "text"}, "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null,
        "risks": [{"kind": "vpcResolver", "advice": "the resolver, as planned"},
            {"kind": "instanceMetadata", "advice": "instance metadata still hands out the role's credentials"},
            {"kind": "roleCredentials", "advice": "the role's credentials stay valid"},
            {"kind": "memoryNotCaptured", "advice": "memory is not captured yet: do not stop the instance before it is"}]})
}

/// With the path for memory still open, as Isolate leaves it.
fn containment(status: &str) -> Value {
    json!({"status": status, "interfaces": [interface("pathOnly")], "readBackAt": "2026-11-24T03:30:09Z", "reasons": [], "failure": null,
        "risks": [{"kind": "vpcResolver", "advice": "the resolver, as found"},
            {"kind": "s3Path", "advice": "while memory is collected the target can reach any bucket of the Region"}]})
}

fn interface(status: &str) -> Value {
    json!({"id": "eni-0abc1234def567890", "status": status, "groupsBefore": [], "groupsNow": []})
}

pub(crate) fn protection(status: &str) -> Value {
    json!({"status": status, "measures": [], "readBackAt": "2026-11-24T03:30:03Z", "reasons": [], "risks": [], "failure": null})
}

pub(crate) fn denial(status: &str, scope: &str) -> Value {
    json!({"status": status, "scope": scope, "role": "arn:aws:iam::111122223333:role/web", "readBackAt": null, "reasons": [], "risks": [],
        "failure": null})
}

pub(crate) fn lockdown(status: &str, interface_status: &str, metadata_off: bool) -> Value {
    json!({"status": status, "interfaces": [interface(interface_status)], "metadataOff": metadata_off, "readBackAt": null, "reasons": [],
        "risks": [], "failure": null})
}

/// A capture with an image of `size` bytes, or none for 0.
pub(crate) fn memory(status: &str, size: u64, reason: &str) -> Value {
    let image = json!({"key": format!("cases/{CASE}/memory/image.lime"), "versionId": "v", "size": size, "parts": 9, "crc64nvme": "x",
        "sha256": "0".repeat(64), "format": "lime", "source": "/proc/kcore"});
    json!({"status": status, "pauseSeconds": 0, "progress": null, "image": if size > 0 { image } else { Value::Null }, "files": [],
        "reason": reason, "failure": null})
}

/// A context of two sources that were taken, and one whose reason quotes what AWS said.
pub(crate) fn context(status: &str) -> Value {
    let object = json!({"key": "k", "versionId": "v", "sha256": "s", "size": 1});
    let taken =
        |source: &str, items: u32| json!({"source": source, "status": "taken", "object": object, "items": items, "reason": ""});
    let quoted =
        json!({"source": "userData", "status": "notTaken", "object": null, "items": 0, "reason": "<b>not for a notice</b>"});
    json!({"status": status, "failure": null, "sources": [taken("cloudTrailSessions", 3), taken("guardDutyFindings", 2), quoted]})
}

pub(crate) fn opened() -> Value {
    json!({"mode": "opened", "visit": visit("NotifyOpened"), "plan": plan("i-0abc1234def567890 talks to Tor")})
}

fn object(name: &str) -> Value {
    json!({"key": format!("cases/{CASE}/{name}"), "versionId": "v1", "sha256": "0".repeat(64), "size": 1})
}

pub(crate) fn closed(status: &str, missing: &Value, reasons: &Value) -> Value {
    let as_planned = reasons == &json!([]);
    json!({"mode": "closed", "visit": visit("NotifyClosed"), "plan": plan("Tor"), "containment": containment(status),
        "protection": protection("protected"), "denial": denial("denied", "all"), "freeze": null, "opening": {"told": true}, "preserved": null,
        "memory": memory("captured", 16_642_998_272, ""), "lockdown": lockdown("lockedDown", "cut", true), "context": context("collected"),
        "sealed": {"manifest": object("manifest-evidence.json"), "complete": as_planned, "missing": missing},
        "closed": {"asPlanned": as_planned, "manifest": object("manifest-closing.json"), "reasons": reasons}})
}

/// Broken in `state`; without a plan the execution's input is all that is known.
pub(crate) fn failed(state: &str, plan: &Value, cause: &str, input: &Value) -> Value {
    let known = if plan.is_null() { Value::Null } else { containment("contained") };
    json!({"mode": "failed", "visit": visit("NotifyFailed"), "plan": plan, "containment": known, "denial": null, "freeze": null,
        "opening": {"told": false}, "preserved": null, "memory": null, "lockdown": null, "sealed": null, "closed": null, "failure": {"state": state, "error": "Denied", "cause": cause}, "input": input})
}

/// A release of everything, with nothing said of how it went yet.
pub(crate) fn released() -> Value {
    let plan = plan("Tor");
    let of_plan = |field: &str| plan.get(field).cloned().unwrap_or_default();
    let release = json!({"schema": "cordon.release.v1", "releaseId": "i-0abc1234def567890-ba9876543210", "execution": of_plan("execution"),
        "opened": "2026-11-25T03:30:00Z", "caseId": CASE, "restoredFrom": CASE, "reason": "a false alarm", "target": of_plan("target"),
        "restore": [], "notRestorable": [{"what": "connections", "reason": "they do not come back"}], "credentials": true,
        "retention": of_plan("retention")});
    json!({"mode": "released", "visit": visit("NotifyReleased"), "request": {"caseId": CASE, "reason": "a false alarm"},
        "checked": {"verdict": "release", "reasons": [], "plan": release}, "denial": null, "released": null,
        "closed": {"asPlanned": true, "manifest": null, "reasons": []}, "failure": null})
}

pub(crate) fn verdict(verdict: &str, reason: &str) -> Value {
    json!({"mode": "verdict", "visit": visit("NotifyVerdict"), "triage": {"verdict": verdict, "tell": true, "reason": reason,
        "caseId": null, "plan": null, "finding": finding("Tor"), "owner": null, "executions": []}})
}

pub(crate) fn parse(input: &Value) -> Input {
    serde_json::from_value(input.clone()).expect("the payload must parse: compare it with incident.asl.json")
}

/// A topic that takes everything.
pub(crate) fn topic() -> Stub {
    Stub::new().on("sns:Publish", published())
}

pub(crate) fn published() -> Answer {
    Answer::xml("<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>")
}

pub(crate) async fn tell(aws: &Stub, input: &Value) -> Result<Output, Error> {
    let config = aws.config();
    let store = handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() };
    let clients = Clients { sns: aws_sdk_sns::Client::new(&config), store, topic: TOPIC.to_owned() };
    handle(&clients, parse(input)).await
}
