//! AWS as the step finds it, and its inputs.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ObjectLockMode};
use handler::Store;
use incident::manifest::{Chain, ClosingManifest};
use incident::{CaseId, ExecutionArn, InstanceId, custody};
use seal::{Clients, Error, Input, Settings, handle};
use serde_json::{Value, json};
use stub::{Answer, Stub};

pub(crate) const INSTANCE: &str = "i-0abc1234def567890";

pub(crate) const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

pub(crate) fn case() -> String {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap()).to_string()
}

pub(crate) fn key(name: &str) -> String {
    format!("cases/{}/{name}", case())
}

pub(crate) fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        kms: aws_sdk_kms::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        lambda: aws_sdk_lambda::Client::new(&config),
        store: Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        settings: Settings {
            signing_key: "arn:aws:kms:eu-central-1:111122223333:key/k".to_owned(),
            close_door: Some("close-door:1".to_owned()),
            notify: Some("notify:1".to_owned()),
            evidence_days: 365,
            most_hashed: 1_000,
        },
    }
}

/// AWS as it is when an incident is open: claim, finding, plan and the records of one finished change.
pub(crate) fn world() -> Stub {
    let aws = Stub::new()
        .on("ec2:DescribeInstances", described("running", ""))
        .on("ec2:DescribeSnapshots", snapshots("completed"))
        .on("ec2:DescribeLockedSnapshots", locks("governance", 30))
        .on("kms:Sign", Answer::json(json!({"Signature": "MAYCAQECAQE="})))
        .on("states:GetExecutionHistory", Answer::json(json!({"events": [
            {"id": 1, "previousEventId": 0, "timestamp": 1_795_491_000.5, "type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Triage"}},
        ]})));
    let claim = json!({"caseId": case(), "executionArn": EXECUTION, "severity": 8.0, "closing": false});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
    put(&aws, "finding.json", &json!({"any": "thing"}));
    put(&aws, "plan.json", &plan());
    put(&aws, "records/20261124T033000.000Z-Isolate-00-001-intent.json", &record("Isolate", 0, "intent"));
    put(&aws, "records/20261124T033000.000Z-Isolate-00-001-outcome.json", &record("Isolate", 0, "outcome"));
    aws
}

/// EC2's answer about the target, with these tags.
pub(crate) fn described(state: &str, tags: &str) -> Answer {
    let interface = |id: &str| format!("<item><networkInterfaceId>{id}</networkInterfaceId></item>");
    let volume = |id: &str| format!("<item><deviceName>/dev/{id}</deviceName><ebs><volumeId>{id}</volumeId></ebs></item>");
    Answer::xml(format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>{INSTANCE}</instanceId>\
         <instanceState><name>{state}</name></instanceState><launchTime>2026-11-20T08:00:00.000Z</launchTime>\
         <networkInterfaceSet>{}{}</networkInterfaceSet><blockDeviceMapping>{}</blockDeviceMapping><tagSet>{tags}</tagSet>\
         </item></instancesSet></item></reservationSet></DescribeInstancesResponse>",
        interface("eni-0fff1234def567890"),
        interface("eni-0abc1234def567890"),
        volume("vol-0abc1234def567890"),
    ))
}

/// EC2's answer about the snapshot; no answer about it where it has no state.
pub(crate) fn snapshots(state: &str) -> Answer {
    let snapshot = format!(
        "<item><snapshotId>snap-0abc1234def567890</snapshotId><volumeId>vol-0abc1234def567890</volumeId><status>{state}</status>\
         <volumeSize>8</volumeSize><encrypted>true</encrypted></item>"
    );
    let found = if state.is_empty() { String::new() } else { snapshot };
    Answer::xml(format!("<DescribeSnapshotsResponse><snapshotSet>{found}</snapshotSet></DescribeSnapshotsResponse>"))
}

/// EC2's answer about the snapshot's lock; there is none where it has no state.
pub(crate) fn locks(state: &str, days: u16) -> Answer {
    let lock = format!(
        "<item><snapshotId>snap-0abc1234def567890</snapshotId><lockState>{state}</lockState><lockDuration>{days}</lockDuration>\
         <lockExpiresOn>2026-12-24T03:30:00.000Z</lockExpiresOn></item>"
    );
    let found = if state.is_empty() { String::new() } else { lock };
    Answer::xml(format!("<DescribeLockedSnapshotsResponse><snapshotSet>{found}</snapshotSet></DescribeLockedSnapshotsResponse>"))
}

/// Puts an object of the case without a lock; the memory bucket is asked over HTTP where a lock matters.
pub(crate) fn put(aws: &Stub, name: &str, value: &Value) {
    aws.put_object_in("evidence", &key(name), value.to_string());
}

pub(crate) fn record(state: &str, retry: u32, phase: &str) -> Value {
    json!({"schema": "cordon.record.v1", "caseId": case(), "number": 1, "phase": phase, "at": "2026-11-24T03:30:01Z", "by": "x:1",
        "visit": {"execution": EXECUTION, "state": state, "entered": "2026-11-24T03:30:00Z", "retry": retry},
        "changes": [{"action": "ec2:ModifyNetworkInterfaceAttribute", "subject": "eni-0abc1234def567890"}]})
}

pub(crate) fn plan() -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": case(), "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f1", "type": "UnauthorizedAccess:EC2/TorClient", "title": "Tor\n\u{1b}[31m", "severity": 8.0,
            "account": "111122223333", "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [{"id": "eni-0abc1234def567890", "vpc": "vpc-0abc1234def567890", "groups": ["sg-0abc1234def567890"]}],
            "volumes": [{"id": "vol-0abc1234def567890", "device": "/dev/xvda", "root": true}], "profile": "arn:aws:iam::111122223333:instance-profile/web",
            "spot": false, "architecture": "x86_64", "windows": false, "memoryMib": 8192,
            "metadata": {"enabled": true, "tokensRequired": false, "hopLimit": 2}},
        "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "text"}, "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"},
        "earlierCase": null, "risks": [{"kind": "memoryNotCaptured", "advice": "memory is not captured yet"},
            {"kind": "instanceMetadata", "advice": "metadata"}, {"kind": "roleCredentials", "advice": "credentials"}]})
}

pub(crate) fn containment(status: &str) -> Value {
    json!({"status": status, "interfaces": [], "readBackAt": "2026-11-24T03:30:09Z", "reasons": [], "risks": [], "failure": null})
}

pub(crate) fn protection(status: &str) -> Value {
    json!({"status": status, "measures": [], "readBackAt": "2026-11-24T03:30:03Z", "reasons": [], "risks": [], "failure": null})
}

pub(crate) fn denial(status: &str, scope: &str) -> Value {
    json!({"status": status, "scope": scope, "role": "arn:aws:iam::111122223333:role/web", "readBackAt": "2026-11-24T03:50:00Z",
        "reasons": [], "risks": [], "failure": null})
}

pub(crate) fn lockdown(status: &str) -> Value {
    json!({"status": status, "interfaces": [], "metadataOff": status == "lockedDown", "readBackAt": "2026-11-24T03:49:00Z",
        "reasons": [], "risks": [], "failure": null})
}

/// A context whose sources ended so.
pub(crate) fn context(status: &str, user_data: &str) -> Value {
    json!({"status": status, "failure": null, "sources": [
        {"source": "instance", "status": "taken", "object": null, "items": 1, "reason": ""},
        {"source": "userData", "status": user_data, "object": null, "items": 0, "reason": "AccessDenied"}]})
}

/// A capture that ended without an image.
pub(crate) fn memory(status: &str, reason: &str) -> Value {
    json!({"status": status, "pauseSeconds": 0, "progress": null, "image": null, "files": [], "reason": reason, "failure": null})
}

pub(crate) const IMAGE: &str = "memory/image.lime";

/// Puts what a capture leaves in the case, each with S3's own checksum and the plan's lock; gives the capture, whose
/// collector says `sha256` of the image.
pub(crate) async fn captured(aws: &Stub, image: &[u8], sha256: &str) -> Value {
    let until = "2027-11-24T03:30:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    for (name, bytes) in [("memory/volatile.json", b"{}".as_slice()), ("memory/capture.json", b"{\"capture\":1}"), (IMAGE, image)]
    {
        let put = clients(aws).store.s3.put_object().bucket("evidence").key(key(name)).if_none_match("*");
        let put = put.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).body(bytes.to_vec().into());
        let put = put.object_lock_mode(ObjectLockMode::Governance).object_lock_retain_until_date(DateTime::from_secs(until));
        put.send().await.unwrap();
    }
    let head = clients(aws).store.s3.head_object().bucket("evidence").key(key(IMAGE)).checksum_mode(ChecksumMode::Enabled);
    let head = head.send().await.unwrap();
    json!({"status": "captured", "pauseSeconds": 0, "progress": null, "files": [], "reason": "", "failure": null,
        "image": {"key": key(IMAGE), "versionId": head.version_id(), "size": image.len(), "parts": 1,
            "crc64nvme": head.checksum_crc64_nvme(), "sha256": sha256, "format": "lime", "source": "/proc/kcore"}})
}

pub(crate) fn freeze() -> Value {
    json!({"snapshots": [{"snapshotId": "snap-0abc1234def567890", "volumeId": "vol-0abc1234def567890", "inSet": true,
        "startedAt": "2026-11-24T03:30:02Z", "lock": {"status": "locked", "mode": "governance", "days": 30}}], "missing": [], "failure": null})
}

pub(crate) fn preserved(state: &str) -> Value {
    json!({"status": "completed", "percent": 100, "missing": [], "failure": null, "snapshots": [
        {"snapshotId": "snap-0abc1234def567890", "volumeId": "vol-0abc1234def567890", "state": state, "percent": 100, "sizeGib": 8, "completedAt": null}]})
}

pub(crate) fn visit(state: &str) -> Value {
    json!({"execution": EXECUTION, "state": state, "entered": "2026-11-24T04:00:00Z", "retry": 0})
}

pub(crate) fn evidence() -> Value {
    json!({"mode": "evidence", "visit": visit("Seal"), "plan": plan(), "containment": containment("contained"),
        "protection": protection("protected"), "denial": denial("denied", "all"), "freeze": freeze(), "opening": {"told": true}, "preserved": preserved("completed"),
        "memory": memory("captured", ""), "lockdown": lockdown("lockedDown"), "context": context("collected", "nothing")})
}

pub(crate) fn close(sealed: &Value) -> Value {
    json!({"mode": "close", "visit": visit("Close"), "plan": plan(), "containment": containment("contained"),
        "protection": protection("protected"), "denial": denial("denied", "all"), "freeze": freeze(), "opening": {"told": true}, "preserved": preserved("completed"),
        "memory": memory("captured", ""), "lockdown": lockdown("lockedDown"), "context": context("collected", "nothing"), "sealed": sealed, "failure": null,
        "input": {"instanceId": INSTANCE}})
}

pub(crate) fn ended(input: &Value) -> Value {
    json!({"version": "0", "detail-type": "Step Functions Execution Status Change", "source": "aws.states", "time": "2026-11-24T04:10:00Z",
        "detail": {"executionArn": EXECUTION, "status": "ABORTED", "input": input, "error": null, "cause": null}})
}

pub(crate) async fn run(aws: &Stub, input: &Value) -> Result<Value, Error> {
    let input: Input = serde_json::from_value(input.clone()).expect("the payload must parse: compare it with incident.asl.json");
    handle(&clients(aws), input).await
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(aws: &Stub, name: &str) -> T {
    let bytes = aws.object(&key(name)).unwrap_or_else(|| panic!("{name} must be written; there is {:?}", aws.keys()));
    serde_json::from_slice(&bytes).unwrap()
}

/// What is missing but for the locks of the objects that the test itself put without one.
pub(crate) fn missing(sealed: &Value) -> Vec<String> {
    let items = sealed["missing"].as_array().unwrap().iter().map(|missing| missing["item"].as_str().unwrap().to_owned());
    items.filter(|item| !item.starts_with("lock:")).collect()
}

/// Both chains hold and name every record; the closing manifest names exactly the objects that are there, once.
pub(crate) fn assert_whole(aws: &Stub) {
    let manifest: ClosingManifest = read(aws, "manifest-closing.json");
    let mut named: Vec<String> = manifest.items.iter().map(|item| item.object.key.clone()).collect();
    named.extend([key("manifest-closing.json"), key("manifest-closing.json.sig")]);
    named.sort();
    let there: Vec<String> = aws.keys().into_iter().filter(|key| key.starts_with("cases/")).collect();
    assert_eq!(named, there, "the closing manifest must name each object of the case once");
    for item in &manifest.items {
        let bytes = aws.object(&item.object.key).unwrap();
        assert_eq!(incident::text::sha256(&bytes), item.object.sha256, "{}", item.object.key);
    }
    let first = aws.object(&key("custody.jsonl")).unwrap_or_default();
    let (lines, chain) = custody::check(&first, &Chain::start()).unwrap();
    let (later, chain) = custody::check(&aws.object(&key("custody-closing.jsonl")).unwrap(), &chain).unwrap();
    assert_eq!(chain, manifest.custody);
    let mut chained: Vec<String> = lines.into_iter().chain(later).map(|line| line.key).collect();
    chained.sort();
    let records: Vec<String> = there.into_iter().filter(|name| name.starts_with(&key("records/"))).collect();
    assert_eq!(chained, records, "every record must be in one of the chains, once");
}
