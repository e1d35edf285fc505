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
            "interfaces": [], "volumes": [], "profile": null, "spot": false},
        "policy": {"from": "fallback", "problem": "the SSM parameter is gone"}, "cut": {"decision": "now"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": "quarantine", "deadlines": {"snapshots": "2026-11-24T05:30:00Z"}, "earlierCase": null,
        "risks": [{"kind": "vpcResolver", "advice": "the resolver, as planned"}]})
}

fn containment(status: &str) -> Value {
    json!({"status": status, "interfaces": [], "readBackAt": "2026-11-24T03:30:09Z", "reasons": [], "failure": null,
        "risks": [{"kind": "vpcResolver", "advice": "the resolver, as found"}]})
}

pub(crate) fn opened() -> Value {
    json!({"mode": "opened", "visit": visit("NotifyOpened"), "plan": plan("i-0abc1234def567890 talks to Tor")})
}

fn object(name: &str) -> Value {
    json!({"key": format!("cases/{CASE}/{name}"), "versionId": "v1", "sha256": "0".repeat(64), "size": 1})
}

pub(crate) fn closed(status: &str, missing: &Value, reasons: &Value) -> Value {
    let as_planned = reasons == &json!([]);
    json!({"mode": "closed", "visit": visit("NotifyClosed"), "plan": plan("Tor"), "containment": containment(status), "freeze": null,
        "opening": {"told": true}, "preserved": null,
        "sealed": {"manifest": object("manifest-evidence.json"), "complete": as_planned, "missing": missing},
        "closed": {"asPlanned": as_planned, "manifest": object("manifest-closing.json"), "reasons": reasons}})
}

/// Broken in `state`; without a plan the execution's input is all that is known.
pub(crate) fn failed(state: &str, plan: &Value, cause: &str, input: &Value) -> Value {
    let known = if plan.is_null() { Value::Null } else { containment("contained") };
    json!({"mode": "failed", "visit": visit("NotifyFailed"), "plan": plan, "containment": known, "freeze": null, "opening": {"told": false},
        "preserved": null, "sealed": null, "closed": null, "failure": {"state": state, "error": "Denied", "cause": cause}, "input": input})
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
