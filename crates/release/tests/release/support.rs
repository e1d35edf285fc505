//! A closed case whose target is contained, and the account around it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use handler::{CaseFile, Store};
use incident::manifest::{ClosingManifest, Item, Trust};
use incident::plan::Retention;
use incident::release::{Checked, ReleasePlan, Released};
use incident::{CaseId, ExecutionArn, InstanceId, case};
use release::{Clients, Error, Input, Output, handle};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use super::account::{ACTIONS, Account, Metadata, Nic};

pub(crate) const INSTANCE: &str = "i-0abc1234def567890";
/// The execution that contained the target.
pub(crate) const INCIDENT: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
/// The execution that releases it.
pub(crate) const RELEASE: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-release:one";
pub(crate) const OTHER: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:other";
pub(crate) const NIC: &str = "eni-0abc1234def567890";
pub(crate) const LATE: &str = "eni-0aaaaaaaaaaaaaaaa";
pub(crate) const WEB: &str = "sg-0aaaaaaaaaaaaaaa1";
pub(crate) const DB: &str = "sg-0aaaaaaaaaaaaaaa2";
pub(crate) const ISOLATION: &str = "sg-0ccccccccccccccc1";
pub(crate) const DISK: &str = "vol-0abc1234def567890";
pub(crate) const TARGETS: &str = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/web/1234567890abcdef";
pub(crate) const CLAIM: &str = "open/i-0abc1234def567890.json";

pub(crate) fn case_of(execution: &str) -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(execution).unwrap())
}

/// What is put into a case before it is closed.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) execution: &'static str,
    /// By name. `null` leaves an object out.
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) closed: bool,
    /// Changes the manifest before it is put.
    pub(crate) forge: fn(&mut ClosingManifest),
}

pub(crate) struct World {
    pub(crate) aws: Stub,
    pub(crate) account: Arc<Mutex<Account>>,
    /// The plan of the last check.
    pub(crate) plan: Mutex<Option<ReleasePlan>>,
    pub(crate) clients: Clients,
}

impl World {
    /// One closed case, and its target as Cordon left it.
    pub(crate) async fn contained() -> Self {
        Self::of(vec![case(INCIDENT)]).await
    }

    pub(crate) async fn of(cases: Vec<Case>) -> Self {
        let account = Arc::new(Mutex::new(contained()));
        let aws = Stub::new();
        let clients = clients(&aws);
        let world = Self { aws, account, plan: Mutex::new(None), clients };
        for case in cases {
            world.keep(case).await;
        }
        world.heal();
        world.aws.forget_calls();
        world
    }

    /// Everything is answered by the account (again).
    pub(crate) fn heal(&self) {
        for action in ACTIONS {
            let account = Arc::clone(&self.account);
            self.aws.set_fn(action, move |call| account.lock().unwrap().answer(call));
        }
    }

    /// Every call of this action is refused.
    pub(crate) fn deny(&self, action: &str) {
        self.aws.set(action, denied(action));
    }

    pub(crate) fn now(&self, change: impl FnOnce(&mut Account)) {
        change(&mut self.account.lock().unwrap());
    }

    pub(crate) fn account(&self) -> Account {
        self.account.lock().unwrap().clone()
    }

    async fn keep(&self, case: Case) {
        let retention = Retention { mode: incident::plan::LockMode::Governance, until: "2027-11-24T03:30:00Z".parse().unwrap() };
        let id = case_of(case.execution);
        let file: CaseFile = self.clients.store.case(&id, retention);
        let mut items = Vec::new();
        for (name, value) in case.objects.iter().filter(|(_, value)| !value.is_null()) {
            let object = file.put_json(name, value).await.unwrap();
            items.push(Item::hashed(object, Trust::Cordon, Some(retention)));
        }
        let mut manifest: ClosingManifest = serde_json::from_value(json!({
            "schema": "cordon.manifest.closing.v1", "caseId": id, "execution": case.execution, "closedAt": "2026-11-24T05:00:00Z",
            "closedBy": "Close", "asPlanned": true, "reasons": [], "failure": null, "evidence": null, "items": [],
            "custody": {"lines": 0, "head": "0".repeat(64)}, "signing": {"key": "theirs", "algorithm": "ECDSA_SHA_256"},
        }))
        .unwrap();
        manifest.items = items;
        (case.forge)(&mut manifest);
        if case.closed {
            file.put_json(case::CLOSING_MANIFEST, &manifest).await.unwrap();
            file.put(case::CLOSING_SIGNATURE, b"signature".to_vec()).await.unwrap();
        }
    }

    pub(crate) async fn ask(&self, request: Value, retry: u32) -> Result<Checked, Error> {
        self.ask_as(RELEASE, request, retry).await
    }

    pub(crate) async fn ask_as(&self, execution: &str, request: Value, retry: u32) -> Result<Checked, Error> {
        let visit = json!({"execution": execution, "state": "Check", "entered": "2026-11-25T08:00:00Z", "retry": retry});
        let input: Input = serde_json::from_value(json!({"mode": "check", "visit": visit, "request": request})).unwrap();
        match handle(&self.clients, input).await? {
            Output::Checked(checked) => {
                self.plan.lock().unwrap().clone_from(&checked.plan);
                Ok(*checked)
            }
            Output::Released(released) => panic!("no check: {released:?}"),
        }
    }

    pub(crate) async fn check(&self) -> Checked {
        self.ask(request(), 0).await.unwrap()
    }

    pub(crate) async fn dry_run(&self) -> Checked {
        self.ask(json!({"caseId": case_of(INCIDENT), "reason": "", "dryRun": true}), 0).await.unwrap()
    }

    /// What a dry run says of a thing that is not given back.
    pub(crate) async fn lost(&self, what: &str) -> Option<String> {
        let plan = self.dry_run().await.plan.unwrap();
        plan.not_restorable.into_iter().find(|lost| lost.what.contains(what)).map(|lost| lost.reason)
    }

    /// What is, or would be, given back: the subjects, in order.
    pub(crate) fn planned(checked: &Checked) -> Vec<String> {
        checked.plan.iter().flat_map(|plan| &plan.restore).map(incident::release::Restore::subject).collect()
    }

    pub(crate) async fn restore(&self, retry: u32) -> Result<Released, Error> {
        let plan = self.plan.lock().unwrap().clone().unwrap();
        self.restore_as(&plan, retry).await
    }

    pub(crate) async fn restore_as(&self, plan: &ReleasePlan, retry: u32) -> Result<Released, Error> {
        let visit = json!({"execution": plan.execution, "state": "Restore", "entered": "2026-11-25T08:01:00Z", "retry": retry});
        let input: Input = serde_json::from_value(json!({"mode": "restore", "visit": visit, "release": plan})).unwrap();
        match handle(&self.clients, input).await? {
            Output::Released(released) => Ok(released),
            Output::Checked(checked) => panic!("no release: {checked:?}"),
        }
    }

    /// Somebody else claims the target.
    pub(crate) fn claim(&self, execution: &str, release: bool) {
        self.aws.put_object_in("evidence", CLAIM, claim(execution, release));
    }

    /// The records of the release, in order.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.records_of(&case_of(RELEASE))
    }

    pub(crate) fn records_of(&self, release: &CaseId) -> Vec<Value> {
        let prefix = case::key(release, case::RECORDS);
        let keys = self.aws.keys().into_iter().filter(|key| key.starts_with(&prefix));
        keys.map(|key| serde_json::from_slice(&self.aws.object(&key).unwrap()).unwrap()).collect()
    }

    /// What was changed in the account, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.aws
            .mutations()
            .into_iter()
            .map(|call| call.action)
            .filter(|action| !action.starts_with("s3:") && !action.starts_with("kms:"))
            .collect()
    }
}

fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        autoscaling: aws_sdk_autoscaling::Client::new(&config),
        elb: aws_sdk_elasticloadbalancing::Client::new(&config),
        elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        kms: aws_sdk_kms::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        store: Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        signing_key: "arn:aws:kms:eu-central-1:111122223333:key/ours".to_owned(),
    }
}

pub(crate) fn claim(execution: &str, release: bool) -> String {
    json!({"caseId": case_of(execution), "executionArn": execution, "severity": 8.0, "closing": false, "release": release})
        .to_string()
}

pub(crate) fn request() -> Value {
    json!({"caseId": case_of(INCIDENT), "reason": "a false alarm", "rejoinGroup": true})
}

/// What a service answers where it is told that we may not.
pub(crate) fn denied(action: &str) -> Answer {
    refused(action, 403, "AccessDenied")
}

pub(crate) fn throttled(action: &str) -> Answer {
    refused(action, 503, "Throttling")
}

/// An error in the words of the action's service.
pub(crate) fn refused(action: &str, status: u16, code: &str) -> Answer {
    match action.split_once(':').unwrap().0 {
        "ec2" => Answer::ec2_error(status, code, "no"),
        "s3" => Answer::s3_error(status, code, "no"),
        "kms" | "states" => Answer::json_error(status, code, "no"),
        _ => Answer::query_error(status, code, "no"),
    }
}

/// The case that contained the target.
pub(crate) fn case(execution: &'static str) -> Case {
    let id = case_of(execution);
    let objects = [
        (case::PLAN.to_owned(), plan(execution)),
        (case::BEFORE.to_owned(), before(execution)),
        (
            case::BEFORE_PROTECTIONS.to_owned(),
            json!({"schema": "cordon.before-protections.v1", "caseId": id, "terminationProtection": false, "stopProtection": false,
                "shutdownBehavior": "terminate",
                "group": {"name": "web", "lifecycle": "InService", "protectedFromScaleIn": false}}),
        ),
        (
            case::BEFORE_BALANCERS.to_owned(),
            json!({"schema": "cordon.before-balancers.v1", "caseId": id, "classic": ["old"], "unseen": [],
                "targetGroups": [{"targetGroup": TARGETS, "target": INSTANCE, "port": 80},
                    {"targetGroup": TARGETS, "target": "10.0.0.7", "port": 8080}]}),
        ),
        intent(execution, "20261124T033001.000Z-Isolate-00-001", &json!([moved(NIC, &[WEB, DB]), tracked(NIC)])),
        ("finding.json".to_owned(), json!({"hostile": "text"})),
    ];
    Case { execution, objects: objects.into_iter().collect(), closed: true, forge: |_| () }
}

pub(crate) fn moved(nic: &str, groups: &[&str]) -> Value {
    json!({"action": "ec2:ModifyNetworkInterfaceAttribute", "subject": nic, "from": {"groups": groups}, "to": {"group": "isolation"}})
}

pub(crate) fn tracked(nic: &str) -> Value {
    json!({"action": "ec2:ModifyNetworkInterfaceAttribute", "subject": nic, "from": {"tracking": null}, "to": {"tracking": {}}})
}

/// An intent of a case, and its name there.
pub(crate) fn intent(execution: &str, name: &str, changes: &Value) -> (String, Value) {
    let visit = json!({"execution": execution, "state": "Isolate", "entered": "2026-11-24T03:30:01Z", "retry": 0});
    let record = json!({"schema": "cordon.record.v1", "caseId": case_of(execution), "visit": visit, "number": 1, "phase": "intent",
        "at": "2026-11-24T03:30:01Z", "by": "isolate:1", "changes": changes});
    (format!("records/{name}-intent.json"), record)
}

fn target() -> Value {
    json!({"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
        "interfaces": [{"id": NIC, "vpc": "vpc-0abc1234def567890", "groups": [WEB, DB],
            "address": {"ip": "203.0.113.7", "assigned": true}}],
        "volumes": [{"id": DISK, "device": "/dev/xvda", "root": true, "deleteOnTermination": true}],
        "profile": "arn:aws:iam::111122223333:instance-profile/web", "spot": false, "architecture": "arm64", "windows": false,
        "memoryMib": 4096, "metadata": {"enabled": true, "tokensRequired": true, "hopLimit": 2}})
}

pub(crate) fn before(execution: &str) -> Value {
    json!({"schema": "cordon.before.v1", "caseId": case_of(execution), "opened": "2026-11-24T03:30:00Z", "target": target(),
        "earlierCase": null})
}

fn plan(execution: &str) -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": case_of(execution), "execution": execution, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "manual", "id": "f1", "type": "Manual", "title": "t", "severity": 0.0, "account": "111122223333",
            "region": "eu-central-1"},
        "target": target(), "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
        "memory": {"decision": "skip", "because": "policy", "reason": "text"}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "text"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []})
}

/// The account as a case leaves it.
fn contained() -> Account {
    let text = |text: &str| text.to_owned();
    let nic = Nic {
        groups: vec![text(ISOLATION)],
        tracking: Some(["60", "60", "30"].map(str::to_owned)),
        public: Some(text("203.0.113.7")),
        private: text("10.0.0.7"),
    };
    let groups = [(WEB, "web", ""), (DB, "db", ""), (ISOLATION, "cordon-isolation", "isolation")];
    let attributes =
        [("disableApiTermination", "true"), ("disableApiStop", "true"), ("instanceInitiatedShutdownBehavior", "stop")];
    Account {
        state: text("running"),
        nics: BTreeMap::from([(text(NIC), nic)]),
        groups: groups.into_iter().map(|(id, name, role)| (text(id), (text(name), text(role)))).collect(),
        disks: BTreeMap::from([(text(DISK), (text("/dev/xvda"), false))]),
        metadata: Metadata { endpoint: text("disabled"), tokens: text("required"), hops: text("2"), pending: 0 },
        attributes: attributes.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
        member_of: None,
        scaling: BTreeMap::from([(text("web"), (2, 4))]),
        target_groups: BTreeMap::from([(text(TARGETS), Vec::new())]),
        classic: BTreeMap::from([(text("old"), false)]),
        running: false,
        signed: true,
    }
}

/// The account as it was before the case.
pub(crate) fn free() -> Account {
    let text = |text: &str| text.to_owned();
    let mut free = contained();
    let nic = free.nics.get_mut(NIC).unwrap();
    nic.groups = vec![text(WEB), text(DB)];
    nic.tracking = Some(["432000", "180", "30"].map(str::to_owned));
    free.metadata.endpoint = text("enabled");
    for (name, value) in
        [("disableApiTermination", "false"), ("disableApiStop", "false"), ("instanceInitiatedShutdownBehavior", "terminate")]
    {
        free.attributes.insert(text(name), text(value));
    }
    free.disks.get_mut(DISK).unwrap().1 = true;
    free.member_of = Some(text("web"));
    *free.target_groups.get_mut(TARGETS).unwrap() = vec![(text("10.0.0.7"), text("8080")), (text(INSTANCE), text("80"))];
    free.classic.insert(text("old"), true);
    free
}
