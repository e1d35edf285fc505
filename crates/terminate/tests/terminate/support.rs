//! A sealed case that two people have approved, and the EC2 and KMS around it.

use std::sync::{Arc, Mutex};

use handler::{CaseFile, Store};
use incident::evidence::{ObjectRef, Termination};
use incident::permission::{Answered, Decision, Statement, person};
use incident::plan::Retention;
use incident::{CaseId, ExecutionArn, InstanceId, case};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};
use terminate::{Clients, Error, Input, handle};

pub(crate) const INSTANCE: &str = "i-0abc1234def567890";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
const SNAPSHOT: &str = "snap-0abc1234def567890";
const VOLUME: &str = "vol-0abc1234def567890";

pub(crate) const UNPROTECT: &str = "ec2:ModifyInstanceAttribute";
pub(crate) const TERMINATE: &str = "ec2:TerminateInstances";
pub(crate) const INSTANCES: &str = "ec2:DescribeInstances";
pub(crate) const ATTRIBUTE: &str = "ec2:DescribeInstanceAttribute";
pub(crate) const SNAPSHOTS: &str = "ec2:DescribeSnapshots";
pub(crate) const LOCKS: &str = "ec2:DescribeLockedSnapshots";
pub(crate) const VERIFY: &str = "kms:Verify";

pub(crate) fn id() -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap())
}

/// The target as EC2 has it.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    /// EC2's word; `gone` where it does not know it.
    pub(crate) state: &'static str,
    pub(crate) launched: &'static str,
    pub(crate) tags: Vec<(String, String)>,
    /// Whether `TerminateInstances` has any effect.
    pub(crate) ends: bool,
}

/// What is put into the case, before it is.
#[derive(Debug, Clone)]
pub(crate) struct Sealing {
    pub(crate) plan: Value,
    pub(crate) manifest: Value,
    pub(crate) approvers: Vec<&'static str>,
    pub(crate) denies: bool,
    /// The manifest that the answers are for; the sealed one where `None`.
    pub(crate) answers_for: Option<String>,
    pub(crate) locked: bool,
    /// What Protect saved of the protection against termination; nothing where it saved nothing.
    pub(crate) protected_before: Option<bool>,
}

pub(crate) struct World {
    pub(crate) aws: Stub,
    pub(crate) instance: Arc<Mutex<Instance>>,
    pub(crate) manifest: ObjectRef,
    /// The plan that is handed on.
    pub(crate) plan: Value,
}

impl World {
    /// Permitted in every way.
    pub(crate) async fn permitted() -> Self {
        Self::sealed(|_| ()).await
    }

    /// Permitted, but for what `change` changes before it is sealed.
    pub(crate) async fn sealed(change: impl FnOnce(&mut Sealing)) -> Self {
        let mut sealing = Sealing {
            plan: plan(),
            manifest: manifest(),
            approvers: vec!["alice", "bob"],
            denies: false,
            answers_for: None,
            locked: true,
            protected_before: Some(false),
        };
        change(&mut sealing);
        let tags = vec![("cordon:sealed".to_owned(), id().to_string()), ("Name".to_owned(), "<web>".to_owned())];
        let instance = Instance { state: "running", launched: "2026-11-01T00:00:00.000Z", tags, ends: true };
        let instance = Arc::new(Mutex::new(instance));
        let aws = around(&instance);
        let manifest = keep(&aws, &sealing).await;
        aws.forget_calls();
        Self { aws, instance, manifest, plan: sealing.plan }
    }

    pub(crate) fn now(&self, change: impl FnOnce(&mut Instance)) {
        change(&mut self.instance.lock().unwrap());
    }

    /// The state machine hands on another plan than the sealed one.
    pub(crate) fn hand_on(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.plan);
    }

    /// One attempt of the step.
    pub(crate) async fn end(&self, retry: u32) -> Result<Termination, Error> {
        let visit = json!({"execution": EXECUTION, "state": "Terminate", "entered": "2026-11-24T06:00:00Z", "retry": retry});
        let sealed = json!({"manifest": self.manifest, "complete": true, "missing": []});
        let input: Input = serde_json::from_value(json!({"visit": visit, "plan": self.plan, "sealed": sealed})).unwrap();
        handle(&clients(&self.aws), input).await
    }

    /// The records that this step wrote, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        let keys = self.aws.keys().into_iter().filter(|key| key.contains("-Terminate-"));
        keys.map(|key| serde_json::from_slice(&self.aws.object(&key).unwrap()).unwrap()).collect()
    }
}

/// What Protect saves of a target that was, or was not, protected against termination before.
pub(crate) fn protections(case: &incident::CaseId, before: bool) -> Value {
    json!({"schema": "cordon.before-protections.v1", "caseId": case, "terminationProtection": before, "stopProtection": false,
        "shutdownBehavior": "stop", "group": null})
}

pub(crate) fn key(name: &str) -> String {
    case::key(&id(), name)
}

pub(crate) fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        kms: aws_sdk_kms::Client::new(&config),
        store: Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        signing_key: "arn:aws:kms:eu-central-1:111122223333:key/ours".to_owned(),
    }
}

/// Puts the case as triage, seal and permission do; gives the manifest.
async fn keep(aws: &Stub, sealing: &Sealing) -> ObjectRef {
    let retention: Retention = serde_json::from_value(sealing.plan["retention"].clone()).unwrap();
    let file = clients(aws).store.case(&id(), retention);
    let mut items = Vec::new();
    let protections = sealing.protected_before.map(|before| ("before-protections.json", protections(&id(), before)));
    let known = [("plan.json", sealing.plan.clone()), ("finding.json", json!({"any": "thing"}))];
    for (name, value) in known.iter().chain(&protections) {
        let object = if sealing.locked {
            file.put_json(name, value).await.unwrap()
        } else {
            aws.put_object_in("evidence", &key(name), value.to_string());
            clients(aws).store.get(&key(name)).await.unwrap().unwrap().object()
        };
        items.push(json!({"object": object, "trust": "cordon", "lock": retention}));
    }
    let mut manifest = sealing.manifest.clone();
    manifest["items"] = items.into();
    let manifest = file.put_json(case::EVIDENCE_MANIFEST, &manifest).await.unwrap();
    file.put(case::EVIDENCE_SIGNATURE, b"DER".to_vec()).await.unwrap();
    let digest = sealing.answers_for.clone().unwrap_or_else(|| manifest.sha256.clone());
    for user in &sealing.approvers {
        answer(&file, Decision::Approve, user, &digest).await;
    }
    if sealing.denies {
        answer(&file, Decision::Deny, "erin", &digest).await;
    }
    let claim = json!({"caseId": id(), "executionArn": EXECUTION, "severity": 8.0, "closing": false});
    aws.put_object_in("evidence", &format!("open/{INSTANCE}.json"), claim.to_string());
    manifest
}

async fn answer(file: &CaseFile, decision: Decision, user: &str, digest: &str) {
    let arn = format!("arn:aws:iam::111122223333:user/{user}");
    let person = person(&arn).unwrap();
    let statement = Statement {
        schema: Statement::SCHEMA.to_owned(),
        case_id: id(),
        manifest: digest.to_owned(),
        decision,
        waive: Vec::new(),
        because: "because of the finding".to_owned(),
    };
    let answered = Answered {
        schema: Answered::SCHEMA.to_owned(),
        case_id: id(),
        execution: ExecutionArn::parse(EXECUTION).unwrap(),
        statement,
        person: person.clone(),
        arn,
        account: "111122223333".to_owned(),
        signed_at: "20261124T050000Z".to_owned(),
        at: "2026-11-24T05:00:00Z".parse().unwrap(),
        by: "permission:1".to_owned(),
    };
    file.put_json(&case::approval(decision, &person), &answered).await.unwrap();
}

/// EC2 and KMS.
fn around(instance: &Arc<Mutex<Instance>>) -> Stub {
    let (seen, ended) = (Arc::clone(instance), Arc::clone(instance));
    Stub::new()
        .on(VERIFY, Answer::json(json!({"SignatureValid": true})))
        .on(ATTRIBUTE, protection(false))
        .on(SNAPSHOTS, snapshots("completed"))
        .on(LOCKS, locks("governance", 30))
        .on_fn(INSTANCES, move |_| described(&seen.lock().unwrap()))
        .on_fn(TERMINATE, move |call| end(&mut ended.lock().unwrap(), call))
}

fn end(instance: &mut Instance, call: &Call) -> Answer {
    assert_eq!(call.list("InstanceId"), [INSTANCE]);
    if instance.ends {
        instance.state = "shutting-down";
    }
    Answer::xml("<TerminateInstancesResponse><instancesSet/></TerminateInstancesResponse>")
}

pub(crate) fn described(instance: &Instance) -> Answer {
    if instance.state == "gone" {
        return Answer::ec2_error(400, "InvalidInstanceID.NotFound", "it does not exist");
    }
    let escaped = |text: &str| text.replace('<', "&lt;").replace('>', "&gt;");
    let tag = |(key, value): &(String, String)| format!("<item><key>{key}</key><value>{}</value></item>", escaped(value));
    let tags: String = instance.tags.iter().map(tag).collect();
    let attached = if ["shutting-down", "terminated"].contains(&instance.state) {
        String::new()
    } else {
        format!(
            "<blockDeviceMapping><item><ebs><volumeId>{VOLUME}</volumeId></ebs></item></blockDeviceMapping>\
             <networkInterfaceSet><item><networkInterfaceId>eni-0abc1234def567890</networkInterfaceId></item></networkInterfaceSet>"
        )
    };
    Answer::xml(format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>{INSTANCE}</instanceId>\
         <instanceState><code>0</code><name>{}</name></instanceState><launchTime>{}</launchTime>{attached}\
         <tagSet>{tags}</tagSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>",
        instance.state, instance.launched
    ))
}

pub(crate) fn protection(on: bool) -> Answer {
    Answer::xml(format!(
        "<DescribeInstanceAttributeResponse><instanceId>{INSTANCE}</instanceId>\
         <disableApiTermination><value>{on}</value></disableApiTermination></DescribeInstanceAttributeResponse>"
    ))
}

pub(crate) fn snapshots(state: &str) -> Answer {
    Answer::xml(format!(
        "<DescribeSnapshotsResponse><snapshotSet><item><snapshotId>{SNAPSHOT}</snapshotId><volumeId>{VOLUME}</volumeId>\
         <status>{state}</status></item></snapshotSet></DescribeSnapshotsResponse>"
    ))
}

pub(crate) fn locks(state: &str, days: u16) -> Answer {
    Answer::xml(format!(
        "<DescribeLockedSnapshotsResponse><snapshotSet><item><snapshotId>{SNAPSHOT}</snapshotId><lockState>{state}</lockState>\
         <lockDuration>{days}</lockDuration></item></snapshotSet></DescribeLockedSnapshotsResponse>"
    ))
}

fn plan() -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": id(), "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
            "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [], "volumes": [{"id": VOLUME, "device": "/dev/xvda", "root": true}], "profile": null, "spot": false,
            "windows": false},
        "policy": {"from": "parameter", "name": "/cordon/policy", "version": 7}, "cut": {"decision": "now"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "ask", "persons": 2, "waitSeconds": 3600, "protectedTags": [{"key": "keep", "value": null}]},
        "memory": {"decision": "skip", "because": "policy", "reason": "text"}, "credentials": {"decision": "deny"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []})
}

fn manifest() -> Value {
    json!({"schema": "cordon.manifest.evidence.v1", "caseId": id(), "execution": EXECUTION, "instanceId": INSTANCE,
        "sealedAt": "2026-11-24T04:00:00Z", "complete": true, "missing": [],
        "target": {"state": "running", "launched": "2026-11-01T00:00:00Z", "interfaces": ["eni-0abc1234def567890"], "volumes": [VOLUME]},
        "containment": null, "denial": null, "memory": null, "lockdown": null, "items": [],
        "snapshots": [{"taken": {"snapshotId": SNAPSHOT, "volumeId": VOLUME, "inSet": true, "startedAt": null,
            "lock": {"status": "locked", "mode": "governance", "days": 30}}, "look": null}],
        "custody": {"lines": 0, "head": "0".repeat(64)}, "risks": [], "signing": {"key": "theirs", "algorithm": "ECDSA_SHA_256"}})
}
