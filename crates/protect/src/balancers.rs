//! The second chain: out of target groups and classic load balancers, without waiting for what drains [facts 21].
//!
//! The Auto Scaling group takes its members out of its own target groups when they leave; doing it twice is fine.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancing::types::Instance as Member;
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use futures_util::future::join;
use futures_util::{StreamExt as _, stream};
use handler::{AwsError, failed};
use incident::case;
use incident::protection::{BeforeBalancers, Measure, Registration};
use incident::record::Change;
use serde_json::{Value, json};

use crate::decide::Seen;
use crate::records::{Attempt, Planned};
use crate::registered::{AT_ONCE, Registered, look};
use crate::{Error, Run, told};

/// The action that leaves a target group.
const DEREGISTER: &str = "elasticloadbalancing:DeregisterTargets";
/// The action that leaves a classic load balancer.
const DEREGISTER_CLASSIC: &str = "elasticloadbalancing:DeregisterInstancesFromLoadBalancer";

/// What the second chain did.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Where the target was registered, by what was saved and what this attempt saw, and what was not looked through.
    pub(crate) before: Registered,
    pub(crate) attempts: Vec<Attempt>,
    /// Where it is registered still.
    pub(crate) now: Registered,
    /// What went wrong besides, one sentence each.
    pub(crate) troubles: Vec<String>,
}

impl Left {
    /// What there is where the chain broke before it changed anything.
    pub(crate) fn broken(reason: String) -> Self {
        Self { before: Registered { unlisted: vec![reason], ..Registered::default() }, ..Self::default() }
    }
}

/// One thing to leave.
#[derive(Debug, Clone)]
enum Exit {
    TargetGroup(Registration),
    Classic(String),
}

/// Finds the registrations, saves and announces, ends them, and reads back.
pub(crate) async fn leave(run: &Run<'_>, seen: &Seen) -> Result<Left, Error> {
    let found = look(run, seen, None).await?;
    let exits = if run.withheld { Vec::new() } else { exits(&found) };
    let planned: Vec<Planned> = exits.iter().map(|exit| exit.planned(run)).collect();
    // Also where there is none: then release knows that somebody looked.
    let before = BeforeBalancers {
        schema: BeforeBalancers::SCHEMA.to_owned(),
        case_id: run.plan.case_id.clone(),
        target_groups: found.targets.iter().cloned().collect(),
        classic: found.classic.iter().cloned().collect(),
        unseen: found.unseen(),
    };
    let (saved, number) = join(run.file.put_or_read(case::BEFORE_BALANCERS, before), Box::pin(run.announce(&planned))).await;
    let ((saved, _), number) = (saved?, number?);
    let mut troubles: Vec<String> = late(&found, &saved).into_iter().collect();
    // What an earlier attempt left is read back too.
    let mut before = found.clone();
    before.targets.extend(saved.target_groups);
    before.classic.extend(saved.classic);
    let Some(number) = number else { return Ok(Left { before, attempts: Vec::new(), now: found, troubles }) };
    let ending = exits.iter().zip(planned).map(|(exit, planned)| async {
        let answer = exit.take(run).await;
        planned.went(&answer)
    });
    let attempts: Vec<Attempt> = stream::iter(ending).buffered(AT_ONCE).collect().await;
    let groups: BTreeSet<String> = before.targets.iter().map(|it| it.target_group.clone()).collect();
    let (recorded, now) = join(run.outcome(number, &attempts, Vec::new()), Box::pin(look(run, seen, Some(groups)))).await;
    troubles.extend(told(recorded, run.retry)?.err());
    Ok(Left { before, attempts, now: now?, troubles })
}

fn exits(found: &Registered) -> Vec<Exit> {
    let groups = found.targets.iter().cloned().map(Exit::TargetGroup);
    groups.chain(found.classic.iter().cloned().map(Exit::Classic)).collect()
}

/// What was registered after the first attempt had saved: it is ended too, and the intent has it, but no release knows of it.
fn late(found: &Registered, saved: &BeforeBalancers) -> Option<String> {
    let targets = found.targets.iter().filter(|it| !saved.target_groups.contains(it)).count();
    let late = targets + found.classic.iter().filter(|name| !saved.classic.contains(name)).count();
    (late > 0).then(|| {
        format!("{late} registrations with load balancers came after before-balancers.json was written: a release does not bring them back, the records name them")
    })
}

impl Exit {
    fn planned(&self, run: &Run<'_>) -> Planned {
        let of = |measure, action, subject: &str, from: Value| Planned {
            measure,
            subject: subject.to_owned(),
            change: Change::intended(action, subject, json!({ "registered": from }), Value::Null),
        };
        match self {
            Self::TargetGroup(it) => of(Measure::TargetGroup, DEREGISTER, &it.target_group, json!(it)),
            Self::Classic(name) => of(Measure::ClassicBalancer, DEREGISTER_CLASSIC, name, json!(run.plan.target.instance_id)),
        }
    }

    async fn take(&self, run: &Run<'_>) -> Result<(), AwsError> {
        match self {
            Self::TargetGroup(registration) => deregister(run, registration).await,
            Self::Classic(name) => deregister_classic(run, name).await,
        }
    }
}

async fn deregister(run: &Run<'_>, registration: &Registration) -> Result<(), AwsError> {
    let target = TargetDescription::builder()
        .id(&registration.target)
        .set_port(registration.port)
        .set_availability_zone(registration.zone.clone())
        .build();
    let call = run.clients.elbv2.deregister_targets().target_group_arn(&registration.target_group).targets(target);
    match call.send().await.map_err(failed(DEREGISTER)) {
        Err(error) if error.is("TargetGroupNotFound") => Ok(()),
        other => other.map(drop),
    }
}

async fn deregister_classic(run: &Run<'_>, name: &str) -> Result<(), AwsError> {
    let member = Member::builder().instance_id(run.plan.target.instance_id.as_str()).build();
    let call = run.clients.elb.deregister_instances_from_load_balancer().load_balancer_name(name).instances(member);
    match call.send().await.map_err(failed(DEREGISTER_CLASSIC)) {
        // Gone from it, or with it, meanwhile.
        Err(error) if error.is("InvalidInstance") || error.is("LoadBalancerNotFound") => Ok(()),
        other => other.map(drop),
    }
}
