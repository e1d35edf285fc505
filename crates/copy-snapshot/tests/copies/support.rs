//! An EC2 that copies snapshots, behind the real client.

use std::sync::{Arc, Mutex};

use copy_snapshot::{Clients, Error, Input, handle};
use incident::copies::Copies;
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const CASE: &str = "i-0abc1234def567890-0123456789ab";
pub(crate) const FORENSICS: &str = "444455556666";
pub(crate) const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/copies";
pub(crate) const COPY: &str = "ec2:CopySnapshot";
pub(crate) const LOCK: &str = "ec2:LockSnapshot";
pub(crate) const SHARE: &str = "ec2:ModifySnapshotAttribute";
pub(crate) const LOOK: &str = "ec2:DescribeSnapshots";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

/// A copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) of: String,
    pub(crate) case: String,
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) why: String,
    /// In GiB.
    pub(crate) size: u32,
    /// Mode and days.
    pub(crate) lock: Option<String>,
    pub(crate) shared: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) copies: Vec<Made>,
    /// How many more copies EC2 has under way, of others.
    pub(crate) of_others: usize,
    /// Whether EC2 shows no copy yet.
    pub(crate) lagging: bool,
}

pub(crate) struct Ec2 {
    pub(crate) aws: Stub,
    account: Arc<Mutex<Account>>,
    volumes: usize,
    pub(crate) share_with: Vec<String>,
    pub(crate) key: Option<String>,
}

impl Ec2 {
    /// A case with so many completed snapshots.
    pub(crate) fn with(volumes: usize) -> Self {
        let account = Arc::new(Mutex::new(Account::default()));
        let mut aws = Stub::new();
        for action in [LOOK, COPY, LOCK, SHARE, "ec2:DescribeSnapshotAttribute"] {
            let account = Arc::clone(&account);
            aws = aws.on_fn(action, move |call| account.lock().unwrap().answer(call));
        }
        Self { aws, account, volumes, share_with: vec![FORENSICS.to_owned()], key: Some(KEY.to_owned()) }
    }

    pub(crate) fn account(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// Every copy that is under way goes into this state.
    pub(crate) fn end(&self, state: &str) {
        for copy in self.account().copies.iter_mut().filter(|copy| copy.state == "pending") {
            state.clone_into(&mut copy.state);
        }
    }

    /// The call takes effect, and its answer does not arrive, once.
    pub(crate) fn lose_an_answer_of(&self, action: &str) {
        let (account, lost) = (Arc::clone(&self.account), Mutex::new(false));
        self.aws.set_fn(action, move |call| {
            let answer = account.lock().unwrap().answer(call);
            let first = !std::mem::replace(&mut *lost.lock().unwrap(), true);
            if first { Answer::lost() } else { answer }
        });
    }

    /// Shares nothing with this account.
    pub(crate) fn refuse_account(&self, refused: &'static str) {
        let account = Arc::clone(&self.account);
        self.aws.set_fn(SHARE, move |call| {
            let theirs = call.param("UserId.1") == Some(refused);
            if theirs {
                Answer::ec2_error(403, "UnauthorizedOperation", "not this one")
            } else {
                account.lock().unwrap().answer(call)
            }
        });
    }

    /// How many records of this phase the case has.
    pub(crate) fn records(&self, phase: &str) -> usize {
        self.aws.keys().iter().filter(|key| key.ends_with(&format!("-{phase}.json"))).count()
    }

    /// One visit, so many minutes after the copying was to begin; it has 24 hours.
    pub(crate) async fn visit(&self, minutes: i64, before: Option<&Copies>, retry: u32) -> Result<Copies, Error> {
        let begin: jiff::Timestamp = "2026-11-24T03:30:00Z".parse().unwrap();
        let entered = begin + jiff::SignedDuration::from_mins(minutes);
        let look = |n: usize| json!({"snapshotId": snapshot(n), "volumeId": volume(n), "state": "completed", "percent": 100, "sizeGib": 8, "completedAt": null});
        let pending = json!({"snapshotId": snapshot(900), "volumeId": volume(900), "state": "pending", "percent": 40, "sizeGib": 8, "completedAt": null});
        let looks: Vec<Value> = (0..self.volumes).map(look).chain([pending]).collect();
        let input: Input = serde_json::from_value(json!({
            "visit": {"execution": EXECUTION, "state": "CopySnapshot", "entered": entered, "retry": retry}, "plan": self.plan(),
            "preserved": {"status": "incomplete", "percent": 40, "snapshots": looks, "missing": [], "failure": null}, "copies": before,
        }))
        .unwrap();
        let config = self.aws.config();
        let store = handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() };
        handle(&Clients { ec2: aws_sdk_ec2::Client::new(&config), store, key: self.key.clone() }, input).await
    }

    fn plan(&self) -> Value {
        json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333", "region": "eu-central-1"},
            "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running",
                "interfaces": [], "volumes": [], "profile": null, "spot": false, "windows": false},
            "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"}, "snapshotLock": {"mode": "governance", "days": 30},
            "copies": {"shareWith": self.share_with, "until": "2026-11-25T03:30:00Z"}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "quarantine", "reason": "text"}, "memory": {"decision": "skip", "because": "policy", "reason": "text"},
            "credentials": {"decision": "deny"}, "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"},
            "earlierCase": null, "risks": []})
    }
}

pub(crate) fn snapshot(n: usize) -> String {
    format!("snap-{n:017x}")
}

pub(crate) fn volume(n: usize) -> String {
    format!("vol-{n:017x}")
}

impl Account {
    fn answer(&mut self, call: &Call) -> Answer {
        let given = |name: &str| call.param(name).unwrap_or_default().to_owned();
        let id = given("SnapshotId");
        match call.action.as_str() {
            LOOK => {
                let by_id: Vec<&str> = (1..).map_while(|n| call.param(&format!("Filter.1.Value.{n}"))).collect();
                let asked = |copy: &&Made| by_id.contains(&copy.id.as_str()) || by_id.contains(&copy.case.as_str());
                let items: String = self.copies.iter().filter(asked).filter(|_| !self.lagging).map(item).collect();
                Answer::xml(format!("<DescribeSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>"))
            }
            COPY => self.copy(call),
            LOCK => self.change("LockSnapshot", &id, |copy| {
                copy.lock = Some(format!("{} {}", given("LockMode"), given("LockDuration")));
            }),
            SHARE => self.change("ModifySnapshotAttribute", &id, |copy| {
                assert_eq!(given("OperationType"), "add");
                copy.shared.push(given("UserId.1"));
            }),
            _ => {
                let shared = self.copies.iter().find(|copy| copy.id == id).map(|copy| copy.shared.clone()).unwrap_or_default();
                let items: String = shared.iter().map(|account| format!("<item><userId>{account}</userId></item>")).collect();
                Answer::xml(format!(
                    "<DescribeSnapshotAttributeResponse><snapshotId>{id}</snapshotId><createVolumePermission>{items}</createVolumePermission></DescribeSnapshotAttributeResponse>"
                ))
            }
        }
    }

    fn copy(&mut self, call: &Call) -> Answer {
        let given = |name: &str| call.param(name).unwrap_or_default().to_owned();
        let pending = self.copies.iter().filter(|copy| copy.state == "pending").count();
        if pending + self.of_others >= 20 {
            return Answer::ec2_error(
                400,
                "ResourceLimitExceeded",
                "Too many snapshot copies in progress. The limit is 20 for this destination region.",
            );
        }
        assert_eq!((given("Encrypted").as_str(), given("SourceRegion").as_str()), ("true", "eu-central-1"));
        let tag = |name: &str| {
            let at = (1..4).find(|at| call.param(&format!("TagSpecification.1.Tag.{at}.Key")) == Some(name));
            at.map(|at| given(&format!("TagSpecification.1.Tag.{at}.Value"))).unwrap_or_default()
        };
        let id = snapshot(1_000 + self.copies.len());
        assert_eq!(tag("cordon:copy-of"), given("SourceSnapshotId"));
        self.copies.push(Made {
            id: id.clone(),
            of: tag("cordon:copy-of"),
            case: tag("cordon:copy"),
            key: given("KmsKeyId"),
            state: "pending".to_owned(),
            size: 8,
            ..Made::default()
        });
        Answer::xml(format!("<CopySnapshotResponse><snapshotId>{id}</snapshotId></CopySnapshotResponse>"))
    }

    fn change(&mut self, what: &str, id: &str, with: impl FnOnce(&mut Made)) -> Answer {
        let Some(copy) = self.copies.iter_mut().find(|copy| copy.id == id) else {
            return Answer::ec2_error(400, "InvalidSnapshot.NotFound", "it does not exist");
        };
        with(copy);
        Answer::xml(format!("<{what}Response><return>true</return></{what}Response>"))
    }
}

fn item(copy: &Made) -> String {
    let Made { id, of, case, key, state, why, size, .. } = copy;
    let progress = if state == "completed" { "100%" } else { "40%" };
    format!(
        "<item><snapshotId>{id}</snapshotId><volumeId>vol-ffffffff</volumeId><status>{state}</status><statusMessage>{why}</statusMessage>\
         <progress>{progress}</progress><encrypted>true</encrypted><volumeSize>{size}</volumeSize><kmsKeyId>{key}</kmsKeyId><startTime>2026-11-24T03:30:02.000Z</startTime><tagSet>\
         <item><key>cordon:copy</key><value>{case}</value></item><item><key>cordon:copy-of</key><value>{of}</value></item></tagSet></item>"
    )
}
