//! The steps as their functions run them, one after the other as the state machines would, against one account.

use std::sync::{Arc, Mutex, MutexGuard};

use handler::Store;
use incident::{CaseId, Classify, ExecutionArn, Fault, InstanceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::account::{ACCOUNT, Account, INSTANCE, REGION};
use crate::answers::ACTIONS;
use crate::targets::{Case, DENY, SIBLING};

/// How often the machines try again what AWS was too busy for.
const RETRIES: u32 = 5;

pub(crate) struct World {
    account: Arc<Mutex<Account>>,
    pub(crate) aws: Stub,
}

impl World {
    pub(crate) fn new(case: &Case) -> Self {
        let account = Arc::new(Mutex::new(case.account.clone()));
        let pause = if case.pause { 5 } else { 0 };
        let policy = json!({ "disposition": "quarantine", "memory": { "capture": case.memory },
            "containment": { "convertPauseSeconds": pause } });
        let policy = policy.to_string();
        let aws = Stub::new();
        let calls = Arc::new(Mutex::new(0));
        for action in ACTIONS {
            let (account, policy, calls, busy) = (Arc::clone(&account), policy.clone(), Arc::clone(&calls), case.busy.clone());
            aws.set_fn(action, move |call| {
                let mut calls = calls.lock().unwrap();
                *calls += 1;
                if busy.contains(&*calls) { throttled(action) } else { account.lock().unwrap().answer(call, &policy) }
            });
        }
        let claim = json!({ "instanceId": SIBLING, "caseId": format!("{SIBLING}-0123456789ab") });
        if case.account.role.as_ref().is_some_and(|role| role.tags.contains_key("cordon-deny-3")) {
            aws.put_object("roles/111122223333/web-role/3.json", claim.to_string());
        }
        Self { account, aws }
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// An incident from its finding to the end of its case. `attach` is what happens after triage has looked.
    pub(crate) async fn contain(&self, name: &str, attach: impl FnOnce(&mut Account)) -> Contained {
        let execution = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:cordon-incident:{name}");
        let visit = |state: &str, retry: u32| visit(&execution, state, retry);
        let input = json!({ "instanceId": INSTANCE, "reason": "a property" });
        let triaged: Value = tried(async |retry| {
            let input = parsed(json!({ "visit": visit("Triage", retry), "input": input }));
            triage::handle(&self.triage(), input).await
        })
        .await;
        assert_eq!(triaged["verdict"], "respond", "{triaged}");
        let plan = &triaged["plan"];
        attach(&mut self.account());
        let isolate = async |mode: &str, state: &str| -> Value {
            tried(async |retry| {
                let input = parsed(json!({ "mode": mode, "visit": visit(state, retry), "plan": plan }));
                isolate::handle(&self.isolate(), input).await
            })
            .await
        };
        let deny = async |mode: &str, state: &str| -> Value {
            tried(async |retry| {
                let input = parsed(json!({ "mode": mode, "visit": visit(state, retry), "plan": plan }));
                credentials::handle(&self.credentials(), input).await
            })
            .await
        };
        if plan["convertPauseSeconds"] != 0 {
            isolate("convert", "Convert").await;
        }
        let containment = isolate("contain", "Isolate").await;
        let protection: Value = tried(async |retry| {
            let input = parsed(json!({ "visit": visit("Protect", retry), "plan": plan }));
            protect::handle(&self.protect(), input).await
        })
        .await;
        let first = deny("first", "DenyCredentials").await;
        let cut = self.account().clone();
        let lockdown = isolate("lockdown", "Lockdown").await;
        let denial = deny("all", "DenyAllCredentials").await;
        let known = json!({ "plan": plan, "containment": containment, "protection": protection, "denial": denial, "freeze": null,
            "opening": { "told": true }, "preserved": null, "memory": null, "lockdown": lockdown });
        let with = |more: Value| {
            let mut all = known.clone();
            let all_of = all.as_object_mut().unwrap();
            all_of.extend(more.as_object().unwrap().clone());
            all
        };
        let sealed: Value = tried(async |retry| {
            let input = parsed(with(json!({ "mode": "evidence", "visit": visit("Seal", retry) })));
            seal::handle(&self.seal(), input).await
        })
        .await;
        let closed: Value = tried(async |retry| {
            let more = json!({ "mode": "close", "visit": visit("Close", retry), "sealed": sealed, "permission": null,
                "termination": null, "failure": null, "input": input });
            seal::handle(&self.seal(), parsed(with(more))).await
        })
        .await;
        assert!(!closed["manifest"].is_null(), "the case must be closed: {closed}");
        Contained { case: case_of(&execution), plan: plan.clone(), containment, protection, denial, first, lockdown, cut }
    }

    /// The release of a closed case, to its own end.
    pub(crate) async fn release(&self, name: &str, case: &CaseId, rejoin: bool) -> Released {
        let execution = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:cordon-release:{name}");
        let visit = |state: &str, retry: u32| visit(&execution, state, retry);
        let request = json!({ "caseId": case, "reason": "a property", "rejoinGroup": rejoin });
        let checked: Value = tried(async |retry| {
            let input = parsed(json!({ "mode": "check", "visit": visit("Check", retry), "request": request }));
            release::handle(&self.release_clients(), input).await
        })
        .await;
        assert_eq!(checked["verdict"], "release", "{checked}");
        let plan = checked["plan"].clone();
        let denial: Value = tried(async |retry| {
            let input = parsed(json!({ "mode": "lift", "visit": visit("AllowCredentials", retry), "release": plan }));
            credentials::handle(&self.credentials(), input).await
        })
        .await;
        let released: Value = tried(async |retry| {
            let input = parsed(json!({ "mode": "restore", "visit": visit("Restore", retry), "release": plan }));
            release::handle(&self.release_clients(), input).await
        })
        .await;
        let closed: Value = tried(async |retry| {
            let input = json!({ "mode": "release", "visit": visit("SealRelease", retry), "release": plan, "released": released,
                "denial": denial, "failure": null });
            seal::handle(&self.seal(), parsed(input)).await
        })
        .await;
        Released { plan, denial, restored: released, closed }
    }

    fn ec2(&self) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(&self.aws.config())
    }

    fn store(&self) -> Store {
        Store { s3: aws_sdk_s3::Client::new(&self.aws.config()), bucket: "evidence".to_owned() }
    }

    fn triage(&self) -> triage::Clients {
        let config = self.aws.config();
        triage::Clients {
            ec2: self.ec2(),
            sfn: aws_sdk_sfn::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            store: self.store(),
            policy_parameter: "/cordon/policy".to_owned(),
        }
    }

    fn isolate(&self) -> isolate::Clients {
        isolate::Clients { ec2: self.ec2(), store: self.store(), pace: isolate::Pace::once() }
    }

    fn protect(&self) -> protect::Clients {
        let config = self.aws.config();
        protect::Clients {
            ec2: self.ec2(),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            elb: aws_sdk_elasticloadbalancing::Client::new(&config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            store: self.store(),
        }
    }

    fn credentials(&self) -> credentials::Clients {
        let settings =
            credentials::Settings { policy: DENY.to_owned(), own_prefix: "cordon-".to_owned(), means: credentials::Means::Tags };
        credentials::Clients { iam: aws_sdk_iam::Client::new(&self.aws.config()), store: self.store(), settings }
    }

    fn seal(&self) -> seal::Clients {
        let config = self.aws.config();
        seal::Clients {
            ec2: self.ec2(),
            kms: aws_sdk_kms::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            store: self.store(),
            settings: seal::Settings {
                signing_key: KEY.to_owned(),
                close_door: None,
                notify: None,
                evidence_days: 365,
                most_hashed: incident::manifest::MOST_HASHED,
            },
        }
    }

    fn release_clients(&self) -> release::Clients {
        let config = self.aws.config();
        release::Clients {
            ec2: self.ec2(),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            elb: aws_sdk_elasticloadbalancing::Client::new(&config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            kms: aws_sdk_kms::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            store: self.store(),
            signing_key: KEY.to_owned(),
        }
    }
}

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/k";

/// What the steps said of an incident.
#[derive(Debug)]
pub(crate) struct Contained {
    pub(crate) case: CaseId,
    pub(crate) plan: Value,
    pub(crate) containment: Value,
    pub(crate) protection: Value,
    pub(crate) first: Value,
    pub(crate) denial: Value,
    pub(crate) lockdown: Value,
    /// The account between the cut and lock-down.
    pub(crate) cut: Account,
}

/// What the steps said of a release.
#[derive(Debug)]
pub(crate) struct Released {
    pub(crate) plan: Value,
    pub(crate) denial: Value,
    pub(crate) restored: Value,
    pub(crate) closed: Value,
}

/// What the machine makes of a step: another attempt while AWS is busy.
async fn tried<T: Serialize, E: Classify + std::fmt::Display>(step: impl AsyncFn(u32) -> Result<T, E>) -> Value {
    let mut retry = 0;
    loop {
        match step(retry).await {
            Ok(output) => return serde_json::to_value(output).unwrap(),
            Err(error) if error.fault() == Fault::Transient && retry < RETRIES => retry += 1,
            Err(error) => panic!("{} after {retry} retries: {error}", error.fault().name()),
        }
    }
}

fn parsed<T: DeserializeOwned>(payload: Value) -> T {
    serde_json::from_value(payload).unwrap()
}

/// Each state is entered later than the one before it, and at the same time however often it is tried.
fn visit(execution: &str, state: &str, retry: u32) -> Value {
    let order = [
        "Triage",
        "Convert",
        "Isolate",
        "Protect",
        "DenyCredentials",
        "Lockdown",
        "DenyAllCredentials",
        "Seal",
        "Close",
        "Check",
        "AllowCredentials",
        "Restore",
        "SealRelease",
    ];
    let minute = order.iter().position(|it| *it == state).unwrap();
    // The second incident, and every release, is on a later day.
    let day = if execution.ends_with("one") { 24 } else { 25 };
    let hour = if execution.contains("release") { 8 } else { 3 };
    json!({ "execution": execution, "state": state, "entered": format!("2026-11-{day}T0{hour}:{minute:02}:00Z"), "retry": retry })
}

fn case_of(execution: &str) -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(execution).unwrap())
}

/// What a service says that is asked too often.
fn throttled(action: &str) -> Answer {
    match action.split_once(':').unwrap().0 {
        "ec2" => Answer::ec2_error(503, "RequestLimitExceeded", "slow down"),
        "kms" | "states" | "ssm" => Answer::json_error(400, "ThrottlingException", "slow down"),
        _ => Answer::query_error(400, "Throttling", "slow down"),
    }
}
