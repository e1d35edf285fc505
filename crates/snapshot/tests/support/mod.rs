//! An EC2 with volumes and snapshots behind the real client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use incident::evidence::Freeze;
use serde_json::{Value, json};
use snapshot::{Clients, Error, Input, handle};
use stub::{Answer, Call, Stub};

pub(crate) const CASE: &str = "i-0abc1234def567890-0123456789ab";
pub(crate) const ONE: &str = "vol-00000000000000001";
pub(crate) const TWO: &str = "vol-00000000000000002";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) id: String,
    pub(crate) volume: String,
    pub(crate) state: String,
    pub(crate) tags: BTreeMap<String, String>,
    /// Mode and days.
    pub(crate) lock: Option<String>,
}

#[derive(Debug, Default)]
struct Account {
    volumes: Vec<String>,
    snapshots: Vec<Snapshot>,
}

pub(crate) struct Ec2 {
    pub(crate) aws: Stub,
    account: Arc<Mutex<Account>>,
    planned: Vec<String>,
    state: &'static str,
    attempts: u32,
}

impl Ec2 {
    /// A running target with these volumes, all of them planned.
    pub(crate) fn with(volumes: &[&str]) -> Self {
        let names: Vec<String> = volumes.iter().map(ToString::to_string).collect();
        let account = Arc::new(Mutex::new(Account { volumes: names.clone(), snapshots: Vec::new() }));
        let mut aws = Stub::new();
        for action in ["DescribeSnapshots", "DescribeVolumes", "CreateSnapshots", "CreateSnapshot", "LockSnapshot"] {
            let account = Arc::clone(&account);
            aws = aws.on_fn(&format!("ec2:{action}"), move |call| account.lock().unwrap().answer(call));
        }
        // A type without instance store, which cannot hibernate.
        aws = aws.on("ec2:DescribeInstances", instance("<instanceType>t3.micro</instanceType>"));
        aws = aws.on(
            "ec2:DescribeInstanceTypes",
            Answer::xml("<DescribeInstanceTypesResponse><instanceTypeSet/></DescribeInstanceTypesResponse>"),
        );
        Self { aws, account, planned: names, state: "running", attempts: 1 }
    }

    /// Triage knew these volumes.
    pub(crate) fn planned(mut self, volumes: &[&str]) -> Self {
        self.planned = volumes.iter().map(ToString::to_string).collect();
        self
    }

    /// Triage found the target terminated.
    pub(crate) fn terminated(mut self) -> Self {
        self.state = "terminated";
        self
    }

    /// The SDK sends again what may be sent again, as it does in the function.
    pub(crate) fn resent_by_the_sdk(mut self) -> Self {
        self.attempts = 3;
        self
    }

    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        self.account.lock().unwrap().snapshots.clone()
    }

    /// How many records of this phase the case has.
    pub(crate) fn records(&self, phase: &str) -> usize {
        self.aws.keys().iter().filter(|key| key.ends_with(&format!("-{phase}.json"))).count()
    }

    /// The first intent.
    pub(crate) fn intent(&self) -> Value {
        let key = self.aws.keys().into_iter().find(|key| key.ends_with("-intent.json")).unwrap();
        serde_json::from_slice(&self.aws.object(&key).unwrap()).unwrap()
    }

    /// Refuses single snapshots of this volume.
    pub(crate) fn refuse_volume(&self, volume: &str, status: u16, code: &str) {
        let (account, volume, code) = (Arc::clone(&self.account), volume.to_owned(), code.to_owned());
        self.aws.set_fn("ec2:CreateSnapshot", move |call| {
            let ours = call.param("VolumeId") == Some(volume.as_str());
            if ours { Answer::ec2_error(status, &code, "refused by the test") } else { account.lock().unwrap().answer(call) }
        });
    }

    /// The next set is taken, but the answer does not arrive.
    pub(crate) fn lose_the_answer_of_the_next_set(&self) {
        let account = Arc::clone(&self.account);
        let lost = Mutex::new(false);
        self.aws.set_fn("ec2:CreateSnapshots", move |call| {
            let answer = account.lock().unwrap().answer(call);
            let first = !std::mem::replace(&mut *lost.lock().unwrap(), true);
            if first { Answer::lost() } else { answer }
        });
    }

    /// The snapshot of this volume goes into the state `error`; gives its id.
    pub(crate) fn fail_the_snapshot_of(&self, volume: &str) -> String {
        let mut account = self.account.lock().unwrap();
        let snapshot = account.snapshots.iter_mut().find(|snapshot| snapshot.volume == volume).unwrap();
        "error".clone_into(&mut snapshot.state);
        snapshot.id.clone()
    }

    pub(crate) async fn freeze(&self, retry: u32) -> Result<Freeze, Error> {
        let visit = json!({"execution": EXECUTION, "state": "Snapshot", "entered": "2026-11-24T03:30:00.120Z", "retry": retry});
        let input: Input = serde_json::from_value(json!({"visit": visit, "plan": self.plan()})).unwrap();
        handle(&clients(&self.aws, self.attempts), input).await
    }

    fn plan(&self) -> Value {
        let volumes: Vec<Value> = self.planned.iter().map(|id| json!({"id": id, "device": "/dev/xvda", "root": false})).collect();
        json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
                "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"},
            "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": self.state,
                "interfaces": [], "volumes": volumes, "profile": null, "spot": false, "windows": false},
            "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
            "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "quarantine", "reason": "text"}, "memory": {"decision": "skip", "because": "policy", "reason": "text"}, "credentials": {"decision": "deny"},
            "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []})
    }
}

/// EC2's answer about the target, with these fields.
pub(crate) fn instance(fields: &str) -> Answer {
    Answer::xml(format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-0abc1234def567890</instanceId>{fields}</item>\
         </instancesSet></item></reservationSet></DescribeInstancesResponse>"
    ))
}

/// The volumes that were frozen, sorted.
pub(crate) fn volumes(frozen: &Freeze) -> Vec<String> {
    let mut volumes: Vec<String> = frozen.snapshots.iter().map(|taken| taken.volume_id.to_string()).collect();
    volumes.sort();
    volumes
}

impl Account {
    fn answer(&mut self, call: &Call) -> Answer {
        match call.action.as_str() {
            "ec2:DescribeVolumes" => {
                let items: String = self.volumes.iter().map(|id| format!("<item><volumeId>{id}</volumeId></item>")).collect();
                Answer::xml(format!("<DescribeVolumesResponse><volumeSet>{items}</volumeSet></DescribeVolumesResponse>"))
            }
            "ec2:DescribeSnapshots" => {
                let items: String = self.snapshots.iter().map(item).collect();
                Answer::xml(format!("<DescribeSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>"))
            }
            "ec2:CreateSnapshots" => {
                let taken: Vec<Snapshot> = self.volumes.clone().into_iter().map(|volume| self.take(volume, call)).collect();
                let items: String = taken.iter().map(item).collect();
                Answer::xml(format!("<CreateSnapshotsResponse><snapshotSet>{items}</snapshotSet></CreateSnapshotsResponse>"))
            }
            "ec2:CreateSnapshot" => {
                let volume = call.param("VolumeId").unwrap_or_default().to_owned();
                if !self.volumes.contains(&volume) {
                    return Answer::ec2_error(400, "InvalidVolume.NotFound", "it does not exist");
                }
                let taken = self.take(volume, call);
                let inner = item(&taken).replace("<item>", "").replace("</item>", "");
                Answer::xml(format!("<CreateSnapshotResponse>{inner}</CreateSnapshotResponse>"))
            }
            _ => {
                let given = |name: &str| call.param(name).unwrap_or_default().to_owned();
                let found = self.snapshots.iter_mut().find(|snapshot| snapshot.id == given("SnapshotId"));
                let Some(snapshot) = found else { return Answer::ec2_error(400, "InvalidSnapshot.NotFound", "no") };
                snapshot.lock = Some(format!("{} {}", given("LockMode"), given("LockDuration")));
                Answer::xml("<LockSnapshotResponse></LockSnapshotResponse>")
            }
        }
    }

    fn take(&mut self, volume: String, call: &Call) -> Snapshot {
        let id = format!("snap-{:017x}", self.snapshots.len() + 1);
        let tag = |index: usize| {
            let of = |part: &str| call.param(&format!("TagSpecification.1.Tag.{index}.{part}"));
            Some((of("Key")?.to_owned(), of("Value")?.to_owned()))
        };
        let tags = (1..).map_while(tag).collect();
        let taken = Snapshot { id, volume, state: "pending".to_owned(), tags, lock: None };
        self.snapshots.push(taken.clone());
        taken
    }
}

fn item(snapshot: &Snapshot) -> String {
    let Snapshot { id, volume, state, tags, .. } = snapshot;
    let tags: String = tags.iter().map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>")).collect();
    // Descriptions say `status`, the answer of CreateSnapshots `state`.
    format!(
        "<item><snapshotId>{id}</snapshotId><volumeId>{volume}</volumeId><status>{state}</status><state>{state}</state>\
         <startTime>2026-11-24T03:30:02.000Z</startTime><tagSet>{tags}</tagSet></item>"
    )
}

fn clients(aws: &Stub, attempts: u32) -> Clients {
    let config = aws.resending(attempts);
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
    }
}
