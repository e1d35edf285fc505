//! The documents of cases, as Cordon's functions write them.

use incident::manifest::EvidenceManifest;
use incident::plan::Plan;
use incident::release::{ReleasePlan, ReleaseReport};
use incident::text::sha256;
use incident::{CaseId, ExecutionArn, InstanceId, case};
use serde_json::{Value, json};

use crate::aws::Aws;

pub(crate) const INSTANCE: &str = "i-0abc1234def567890";

pub(crate) fn execution(name: &str) -> String {
    format!("arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:{name}")
}

/// The case of the execution of this name.
pub(crate) fn id(name: &str) -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(&execution(name)).unwrap())
}

pub(crate) fn put(aws: &Aws, name: &str, object: &str, document: &Value) {
    aws.put(&case::key(&id(name), object), document.to_string());
}

pub(crate) fn plan(name: &str) -> Value {
    let plan = json!({"schema": "cordon.plan.v1", "caseId": id(name), "execution": execution(name), "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f", "type": "UnauthorizedAccess:EC2/TorClient",
            "title": "see https://evil.example \u{1b}[2J\u{202e}now", "severity": 8.0, "account": "111122223333", "region": "eu-central-1"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running", "interfaces": [],
            "volumes": [], "profile": null, "spot": false, "architecture": "x86_64", "windows": false, "memoryMib": 8192,
            "metadata": null},
        "policy": {"from": "parameter", "name": "/cordon/policy", "version": 3}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30},
        "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "ask", "persons": 2, "waitSeconds": 86400, "protectedTags": []},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null,
        "risks": [{"kind": "vpcResolver", "advice": "DNS still answers"}]});
    serde_json::to_value(serde_json::from_value::<Plan>(plan).unwrap()).unwrap()
}

pub(crate) fn contained() -> Value {
    json!({"status": "contained", "interfaces": [], "readBackAt": null, "reasons": [], "risks": [], "failure": null})
}

/// The evidence manifest over these objects.
pub(crate) fn evidence(name: &str, missing: &[(&str, &str)], objects: &[(&str, &[u8])]) -> Value {
    let missing: Vec<Value> = missing.iter().map(|(item, reason)| json!({"item": item, "reason": reason})).collect();
    let manifest = json!({"schema": "cordon.manifest.evidence.v1", "caseId": id(name), "execution": execution(name),
        "instanceId": INSTANCE, "sealedAt": "2026-11-24T04:30:00Z", "complete": missing.is_empty(), "missing": missing,
        "target": null, "containment": contained(), "denial": null, "memory": null, "lockdown": null, "snapshots": [],
        "items": items(name, objects), "custody": {"lines": 0, "head": "0".repeat(64)},
        "risks": [], "signing": {"key": "k", "algorithm": "ECDSA_SHA_256"}});
    serde_json::from_value::<EvidenceManifest>(manifest.clone()).unwrap();
    manifest
}

/// The closing manifest over these objects.
pub(crate) fn closing(name: &str, as_planned: bool, objects: &[(&str, &[u8])]) -> Value {
    json!({"schema": "cordon.manifest.closing.v1", "caseId": id(name), "execution": execution(name),
        "closedAt": "2026-11-24T05:30:00Z", "closedBy": "Close", "asPlanned": as_planned, "reasons": [], "failure": null,
        "evidence": null, "items": items(name, objects), "custody": {"lines": 0, "head": "0".repeat(64)},
        "signing": {"key": "k", "algorithm": "ECDSA_SHA_256"}})
}

/// Each object in its first version.
fn items(name: &str, objects: &[(&str, &[u8])]) -> Vec<Value> {
    let item = |(object, bytes): &(&str, &[u8])| {
        json!({"object": {"key": case::key(&id(name), object), "versionId": "v1", "sha256": sha256(bytes), "size": bytes.len()},
            "trust": "cordon", "lock": null})
    };
    objects.iter().map(item).collect()
}

/// An execution that releases.
pub(crate) fn release_execution(name: &str) -> String {
    execution(name).replace("cordon-incident", "cordon-release")
}

/// The release of the execution with this ARN.
pub(crate) fn release_id(execution: &str) -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(execution).unwrap())
}

/// `release.json` of the execution with this ARN: of the case `one`, whose target is as it was before `first`.
pub(crate) fn release_plan(execution: &str) -> Value {
    let restore = [restores("groups"), restores("terminationProtection")];
    let plan = json!({"schema": "cordon.release.v1", "releaseId": release_id(execution), "execution": execution,
        "opened": "2026-11-25T03:30:00Z", "caseId": id("one"), "restoredFrom": id("first"),
        "reason": "see https://evil.example \u{1b}[2J\u{202e}now", "target": plan("one")["target"], "restore": restore,
        "notRestorable": [{"what": "Auto Scaling group <web>", "reason": "run `cordon release --rejoin-group`"}],
        "credentials": true, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"}});
    serde_json::to_value(serde_json::from_value::<ReleasePlan>(plan).unwrap()).unwrap()
}

fn restores(what: &str) -> Value {
    match what {
        "groups" => json!({"what": "groups", "interface": "eni-0123456789abcdef0", "to": ["sg-0123456789abcdef0"]}),
        what => json!({"what": what, "to": false}),
    }
}

/// What Restore says: the groups stand as in `groups`, the rest was given back.
pub(crate) fn released(status: &str, groups: &str) -> Value {
    json!({"status": status, "readBackAt": "2026-11-25T03:30:09Z", "failure": null,
        "items": [
            {"restore": restores("groups"), "status": groups, "reason": if groups == "restored" { "" } else { "denied by\u{1b}[2J <scp>" }},
            {"restore": restores("terminationProtection"), "status": "restored", "reason": ""},
        ],
        "reasons": if groups == "restored" { json!([]) } else { json!(["the groups are not as they were"]) }})
}

pub(crate) fn denial(status: &str, reasons: &[&str]) -> Value {
    json!({"status": status, "scope": "all", "role": "arn:aws:iam::111122223333:role/web", "readBackAt": "2026-11-25T03:30:09Z",
        "reasons": reasons, "risks": [], "failure": null})
}

/// `released.json` of the execution with this ARN.
pub(crate) fn release_report(execution: &str, released: &Value, denial: &Value) -> Value {
    let report = json!({"schema": "cordon.released.v1", "releaseId": release_id(execution), "released": released, "denial": denial,
        "failure": null});
    serde_json::from_value::<ReleaseReport>(report.clone()).unwrap();
    report
}

/// The closing manifest of a release over these objects.
pub(crate) fn release_closing(execution: &str, reasons: &[&str], objects: &[(&str, &[u8])]) -> Value {
    let mut closing = closing("one", reasons.is_empty(), &[]);
    let release = release_id(execution);
    let item = |(object, bytes): &(&str, &[u8])| {
        json!({"object": {"key": case::key(&release, object), "versionId": "v1", "sha256": sha256(bytes), "size": bytes.len()},
            "trust": "cordon", "lock": null})
    };
    closing["caseId"] = json!(release);
    closing["execution"] = json!(execution);
    closing["closedBy"] = json!("SealRelease");
    closing["reasons"] = json!(reasons);
    closing["items"] = objects.iter().map(item).collect();
    closing
}
