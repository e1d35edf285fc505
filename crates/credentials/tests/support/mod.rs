//! An IAM with one profile and one role behind the real client, as strict as the real one where the step relies on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use credentials::{Clients, Error, Input, Means, Output, Settings, handle};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const CASE: &str = "i-0123456789abcdef0-0123456789ab";
pub(crate) const POLICY: &str = "arn:aws:iam::111122223333:policy/cordon-DenyPolicy-1";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/web-role";
const ACCOUNT: &str = "arn:aws:iam::111122223333";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

/// What IAM answers.
const ACTIONS: [&str; 10] = [
    "GetInstanceProfile",
    "ListAttachedRolePolicies",
    "ListRoleTags",
    "AttachRolePolicy",
    "TagRole",
    "GetRolePolicy",
    "PutRolePolicy",
    "UntagRole",
    "DetachRolePolicy",
    "DeleteRolePolicy",
];

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) attached: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) inline: BTreeMap<String, String>,
}

/// How one call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// Its action is not allowed from then on.
    Denied,
    /// In passing, before its effect.
    Throttled,
    /// Its action is throttled from then on.
    Exhausted,
    /// It has its effect, and its answer is lost.
    Lost,
    /// The role is gone from then on.
    Gone,
}

/// A call that was made, and the role after it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) call: Call,
    pub(crate) role: Option<Role>,
    /// It came to its effect.
    pub(crate) has_effect: bool,
}

pub(crate) struct Iam {
    pub(crate) aws: Stub,
    pub(crate) settings: Settings,
    /// What is changed in the plan.
    pub(crate) plan: Value,
    role: Arc<Mutex<Option<Role>>>,
}

impl Iam {
    /// A running target with the profile `web` of the role `web-role`, which has one tag and one policy of its own.
    pub(crate) fn new() -> Self {
        let role = Role {
            name: "web-role".to_owned(),
            path: "/".to_owned(),
            attached: vec![format!("{ACCOUNT}:policy/web")],
            tags: BTreeMap::from([("team".to_owned(), "web".to_owned())]),
            inline: BTreeMap::new(),
        };
        let role = Arc::new(Mutex::new(Some(role)));
        let aws = Stub::new();
        for action in ACTIONS {
            let role = Arc::clone(&role);
            aws.set_fn(&format!("iam:{action}"), move |call| answer(&mut role.lock().unwrap(), call));
        }
        let settings = Settings { policy: POLICY.to_owned(), own_prefix: "cordon-".to_owned(), means: Means::Tags };
        Self { aws, settings, plan: json!({}), role }
    }

    /// The role; it must be there.
    pub(crate) fn role(&self) -> Role {
        self.role.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Role)) {
        let mut role: MutexGuard<'_, Option<Role>> = self.role.lock().unwrap();
        change(role.as_mut().unwrap());
    }

    /// The role is deleted, and with it its place in the profile.
    pub(crate) fn delete_role(&self) {
        *self.role.lock().unwrap() = None;
    }

    /// The tag or policy that a call asks for is made, but its answer does not arrive; once.
    pub(crate) fn lose_the_next_answer(&self, action: &str) {
        let (role, lost) = (Arc::clone(&self.role), Mutex::new(false));
        self.aws.set_fn(action, move |call| {
            let answer = answer(&mut role.lock().unwrap(), call);
            if std::mem::replace(&mut *lost.lock().unwrap(), true) { answer } else { Answer::lost() }
        });
    }

    /// Before a call of this action is answered, somebody else changes the role; once.
    pub(crate) fn answers_then(&self, action: &str, change: impl FnOnce(&mut Role) + Send + 'static) {
        let (role, change) = (Arc::clone(&self.role), Mutex::new(Some(change)));
        self.aws.set_fn(action, move |call| {
            let mut role = role.lock().unwrap();
            if let (Some(change), Some(role)) = (change.lock().unwrap().take(), role.as_mut()) {
                change(role);
            }
            answer(&mut role, call)
        });
    }

    /// From the next call but `spared` on, calls of this action get this answer.
    pub(crate) fn answers_after(&self, action: &str, spared: usize, instead: impl Fn() -> Answer + Send + Sync + 'static) {
        let (role, left) = (Arc::clone(&self.role), Mutex::new(spared));
        self.aws.set_fn(action, move |call| {
            let mut left = left.lock().unwrap();
            match left.checked_sub(1) {
                Some(fewer) => {
                    *left = fewer;
                    answer(&mut role.lock().unwrap(), call)
                }
                None => instead(),
            }
        });
    }

    /// Calls of this action are answered by the role again.
    pub(crate) fn answer_as_ever(&self, action: &str) {
        let role = Arc::clone(&self.role);
        self.aws.set_fn(action, move |call| answer(&mut role.lock().unwrap(), call));
    }

    /// The `n`th call from now on fails, counted from 0 over both services; all others go through, and all are heard.
    pub(crate) fn fail_call(&self, n: Option<usize>, fault: CallFault) -> Arc<Mutex<Vec<Heard>>> {
        let (heard, struck) = (Arc::new(Mutex::new(Vec::<Heard>::new())), Arc::new(Mutex::new(None::<String>)));
        let iam = ACTIONS.iter().map(|action| format!("iam:{action}"));
        let s3 = ["GetObject", "PutObject", "DeleteObject"].iter().map(|action| format!("s3:{action}"));
        for action in iam.chain(s3) {
            let (role, heard, struck) = (Arc::clone(&self.role), Arc::clone(&heard), Arc::clone(&struck));
            self.aws.set_fn(&action, move |call| {
                let (mut role, mut heard, mut struck) = (role.lock().unwrap(), heard.lock().unwrap(), struck.lock().unwrap());
                let first = n == Some(heard.len());
                if first {
                    *struck = Some(call.action.clone());
                }
                let lasts = matches!(fault, CallFault::Denied | CallFault::Exhausted) && struck.as_ref() == Some(&call.action);
                let (answer, has_effect) = match fault {
                    fault if first || lasts => fail(fault, call, &mut role),
                    _ if call.action.starts_with("s3:") => (Answer::bucket(), true),
                    _ => (answer(&mut role, call), true),
                };
                heard.push(Heard { call: call.clone(), role: role.clone(), has_effect });
                answer
            });
        }
        heard
    }

    /// Looks show the role as it is now, whatever is changed.
    pub(crate) fn freeze_looks(&self) {
        for action in ["iam:ListAttachedRolePolicies", "iam:ListRoleTags"] {
            let role = Arc::new(Mutex::new(Some(self.role())));
            self.aws.set_fn(action, move |call| answer(&mut role.lock().unwrap(), call));
        }
    }

    pub(crate) fn claim(&self, slot: u8, instance: &str) {
        let body = json!({"instanceId": instance, "caseId": format!("{instance}-0123456789ab")});
        self.aws.put_object(&slot_key(slot), body.to_string());
    }

    pub(crate) fn claimant(&self, slot: u8) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.aws.object(&slot_key(slot))?).unwrap();
        body["instanceId"].as_str().map(str::to_owned)
    }

    /// The records of this phase, in the order of their keys.
    pub(crate) fn records(&self, phase: &str) -> Vec<Value> {
        let keys = self.aws.keys().into_iter().filter(|key| key.ends_with(&format!("-{phase}.json")));
        keys.map(|key| serde_json::from_slice(&self.aws.object(&key).unwrap()).unwrap()).collect()
    }

    pub(crate) async fn first(&self, retry: u32) -> Result<Output, Error> {
        self.run("first", "DenyCredentials", "2026-11-24T03:30:00.120Z", retry).await
    }

    pub(crate) async fn all(&self, retry: u32) -> Result<Output, Error> {
        self.run("all", "DenyAllCredentials", "2026-11-24T04:30:00.500Z", retry).await
    }

    /// A release of the target.
    pub(crate) async fn lift(&self, retry: u32) -> Result<Output, Error> {
        let plan = self.planned();
        let visit = json!({"execution": EXECUTION.replace("incident", "release"), "state": "AllowCredentials",
            "entered": "2026-11-26T03:30:00.120Z", "retry": retry});
        let release = json!({"schema": "cordon.release.v1", "releaseId": "i-0123456789abcdef0-ba9876543210", "execution": EXECUTION,
            "opened": "2026-11-26T03:30:00Z", "caseId": CASE, "restoredFrom": CASE, "reason": "text", "target": plan["target"],
            "restore": [], "notRestorable": [], "credentials": true, "retention": plan["retention"]});
        self.handle(json!({"mode": "lift", "visit": visit, "release": release})).await
    }

    async fn run(&self, mode: &str, state: &str, entered: &str, retry: u32) -> Result<Output, Error> {
        let visit = json!({"execution": EXECUTION, "state": state, "entered": entered, "retry": retry});
        self.handle(json!({"mode": mode, "visit": visit, "plan": self.planned()})).await
    }

    async fn handle(&self, input: Value) -> Result<Output, Error> {
        let input: Input = serde_json::from_value(input).unwrap();
        let config = self.aws.config();
        let store = handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() };
        let clients = Clients { iam: aws_sdk_iam::Client::new(&config), store, settings: self.settings.clone() };
        handle(&clients, input).await
    }

    fn planned(&self) -> Value {
        let mut plan = json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
                "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"},
            "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
                "interfaces": [], "volumes": [], "profile": format!("{ACCOUNT}:instance-profile/team/web"), "spot": false, "windows": false},
            "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
            "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "quarantine", "reason": "text"}, "memory": {"decision": "skip", "because": "policy", "reason": "text"},
            "credentials": {"decision": "deny"},
            "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []});
        merge(&mut plan, &self.plan);
        plan
    }
}

/// The answer to a call that fails, and whether it has its effect.
fn fail(fault: CallFault, call: &Call, role: &mut Option<Role>) -> (Answer, bool) {
    let bucket = call.action.starts_with("s3:");
    match fault {
        CallFault::Denied if bucket => (Answer::s3_error(403, "AccessDenied", "refused by the test"), false),
        CallFault::Denied => (Answer::query_error(403, "AccessDenied", "refused by the test"), false),
        CallFault::Throttled | CallFault::Exhausted if bucket => {
            (Answer::s3_error(503, "SlowDown", "refused by the test"), false)
        }
        CallFault::Throttled | CallFault::Exhausted => (Answer::query_error(400, "Throttling", "refused by the test"), false),
        CallFault::Lost if bucket => (Answer::bucket_then_lost(), true),
        CallFault::Lost => {
            answer(role, call);
            (Answer::lost(), true)
        }
        CallFault::Gone => {
            *role = None;
            (if bucket { Answer::bucket() } else { answer(role, call) }, bucket)
        }
    }
}

fn slot_key(slot: u8) -> String {
    format!("roles/111122223333/web-role/{slot}.json")
}

/// Puts what `change` has over what `value` has; a decision is replaced as a whole.
fn merge(value: &mut Value, change: &Value) {
    match (value, change) {
        (Value::Object(value), Value::Object(change)) if !change.contains_key("decision") => {
            for (key, change) in change {
                merge(value.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change.clone(),
    }
}

/// What IAM says, with its quotas: 10 managed policies, 50 tags, 10,240 characters of inline policies.
fn answer(role: &mut Option<Role>, call: &Call) -> Answer {
    let operation = call.action.strip_prefix("iam:").unwrap();
    if operation == "GetInstanceProfile" {
        return if call.param("InstanceProfileName") == Some("web") { profile(role.as_ref()) } else { none("the profile") };
    }
    let Some(role) = role.as_mut().filter(|role| call.param("RoleName") == Some(&role.name)) else { return none("the role") };
    let param = |name: &str| call.param(name).unwrap_or_default().to_owned();
    match operation {
        "ListAttachedRolePolicies" => {
            let member = |arn: &String| format!("<member><PolicyName>p</PolicyName><PolicyArn>{arn}</PolicyArn></member>");
            page(call, "ListAttachedRolePolicies", "AttachedPolicies", &role.attached.iter().map(member).collect::<Vec<_>>())
        }
        "ListRoleTags" => {
            let member = |(key, value): (&String, &String)| format!("<member><Key>{key}</Key><Value>{value}</Value></member>");
            page(call, "ListRoleTags", "Tags", &role.tags.iter().map(member).collect::<Vec<_>>())
        }
        "AttachRolePolicy" => {
            let policy = param("PolicyArn");
            if !role.attached.contains(&policy) {
                if role.attached.len() >= 10 {
                    return Answer::query_error(409, "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10");
                }
                role.attached.push(policy);
            }
            done(operation, "")
        }
        "UntagRole" => {
            for key in call.list("TagKeys") {
                role.tags.remove(key);
            }
            done(operation, "")
        }
        "DetachRolePolicy" => {
            let policy = param("PolicyArn");
            if !role.attached.contains(&policy) {
                return none("the attached policy");
            }
            role.attached.retain(|attached| *attached != policy);
            done(operation, "")
        }
        "DeleteRolePolicy" => match role.inline.remove(&param("PolicyName")) {
            Some(_) => done(operation, ""),
            None => none("the inline policy"),
        },
        "TagRole" => {
            let mut tags = role.tags.clone();
            for number in (1..).take_while(|number| call.param(&format!("Tags.member.{number}.Key")).is_some()) {
                tags.insert(param(&format!("Tags.member.{number}.Key")), param(&format!("Tags.member.{number}.Value")));
            }
            if tags.len() > 50 {
                return Answer::query_error(409, "LimitExceeded", "Cannot exceed quota for TagsPerRole: 50");
            }
            role.tags = tags;
            done(operation, "")
        }
        "GetRolePolicy" => match role.inline.get(&param("PolicyName")) {
            Some(document) => {
                let encoded = document.bytes().fold(String::new(), |mut all, byte| {
                    let _ = write!(all, "%{byte:02X}");
                    all
                });
                let names = format!("<RoleName>{}</RoleName><PolicyName>{}</PolicyName>", role.name, param("PolicyName"));
                done(operation, &format!("{names}<PolicyDocument>{encoded}</PolicyDocument>"))
            }
            None => none("the policy"),
        },
        "PutRolePolicy" => {
            let mut inline = role.inline.clone();
            inline.insert(param("PolicyName"), param("PolicyDocument"));
            if inline.values().map(String::len).sum::<usize>() > 10_240 {
                return Answer::query_error(409, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role");
            }
            role.inline = inline;
            done(operation, "")
        }
        _ => Answer::query_error(400, "InvalidAction", operation),
    }
}

fn profile(role: Option<&Role>) -> Answer {
    let created = "<CreateDate>2026-01-01T00:00:00Z</CreateDate>";
    let role = role.map_or_else(String::new, |Role { name, path, .. }| {
        format!(
            "<member><Path>{path}</Path><RoleName>{name}</RoleName><RoleId>AROA1</RoleId><Arn>{ACCOUNT}:role{path}{name}</Arn>{created}</member>"
        )
    });
    let profile = format!(
        "<Path>/team/</Path><InstanceProfileName>web</InstanceProfileName><InstanceProfileId>AIPA1</InstanceProfileId>\
         <Arn>{ACCOUNT}:instance-profile/team/web</Arn>{created}<Roles>{role}</Roles>"
    );
    done("GetInstanceProfile", &format!("<InstanceProfile>{profile}</InstanceProfile>"))
}

/// A list in pages of two.
fn page(call: &Call, operation: &str, list: &str, members: &[String]) -> Answer {
    let start: usize = call.param("Marker").and_then(|marker| marker.parse().ok()).unwrap_or_default();
    let end = (start + 2).min(members.len());
    let more = if end < members.len() {
        format!("<IsTruncated>true</IsTruncated><Marker>{end}</Marker>")
    } else {
        "<IsTruncated>false</IsTruncated>".to_owned()
    };
    done(operation, &format!("<{list}>{}</{list}>{more}", members[start..end].concat()))
}

fn done(operation: &str, result: &str) -> Answer {
    Answer::xml(format!("<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"))
}

fn none(what: &str) -> Answer {
    Answer::query_error(404, "NoSuchEntity", &format!("{what} cannot be found."))
}
