//! The report as data: what happened, what was done and not done, what remains, and what to do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::disks::Disk;
use crate::ending;
use crate::evidence::{
    Capture, Containment, ContainmentStatus, Denial, DenialScope, DenialStatus, Failure, InterfaceStatus, Lockdown, Missing,
    Permission, Sealed, Termination,
};
use crate::ids::{CaseId, ExecutionArn, InstanceId};
use crate::manifest::SealedSnapshot;
use crate::plan::Plan;
use crate::protection::{MeasureStatus, Protection};
use crate::record::{Change, Phase, Record};
use crate::risk::Risk;
use crate::said::{self, Said};
use crate::text::bounded;

/// `report.json`. Text of findings and targets in it is hostile: whoever shows it must escape it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// `cordon.report.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The target.
    pub instance_id: InstanceId,
    /// The execution.
    pub execution: ExecutionArn,
    /// When closing was begun.
    pub closed_at: Timestamp,
    /// The state that closed it.
    pub closed_by: String,
    /// Whether it ended as planned.
    pub as_planned: bool,
    /// What is not as planned, one sentence each.
    pub reasons: Vec<String>,
    /// What broke, where something did.
    pub failure: Option<Failure>,
    /// What to do now, one sentence each.
    pub todo: Vec<String>,
    /// How long things took.
    pub metrics: Metrics,
    /// The finding, the target and what was decided; absent where triage broke before it could decide.
    pub plan: Option<Plan>,
    /// How each interface ended.
    pub containment: Option<Containment>,
    /// What keeps it alive.
    #[serde(default)]
    pub protection: Option<Protection>,
    /// Whether its role sessions were denied.
    pub denial: Option<Denial>,
    /// How the capture of its memory ended.
    pub memory: Option<Capture>,
    /// Whether anything of it was still open.
    pub lockdown: Option<Lockdown>,
    /// What AWS knows about it, source by source.
    #[serde(default)]
    pub context: Option<Context>,
    /// How the question ended whether it may be terminated; absent where nobody was to be asked.
    pub permission: Option<Permission>,
    /// How its end went; absent where it was not to be.
    pub termination: Option<Termination>,
    /// The snapshots.
    pub snapshots: Vec<SealedSnapshot>,
    /// How to look into them.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// What is missing from the evidence.
    pub missing: Vec<Missing>,
    /// What remains.
    pub risks: Vec<Risk>,
    /// What was changed, in order, with how it went.
    pub actions: Vec<Action>,
}

impl Report {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.report.v1";
}

/// How long things took, in seconds; absent where a time is unknown [facts 110, 111].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metrics {
    /// When the behaviour was first seen, where the detector wrote a time.
    pub first_seen: Option<Timestamp>,
    /// When triage began.
    pub opened: Option<Timestamp>,
    /// When the containment was read back.
    pub contained: Option<Timestamp>,
    /// From first seen to opened.
    pub seconds_to_open: Option<i64>,
    /// From opened to contained.
    pub seconds_to_contain: Option<i64>,
    /// From first seen to contained.
    pub seconds_exposed: Option<i64>,
}

/// One change that was made, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Action {
    /// When its outcome was written.
    pub at: Timestamp,
    /// In which state.
    pub state: String,
    /// What, and how it went.
    pub change: Change,
}

/// How long things took.
pub fn metrics(plan: Option<&Plan>, containment: Option<&Containment>) -> Metrics {
    let first_seen = plan.and_then(|plan| plan.finding.first_seen.parse::<Timestamp>().ok());
    let opened = plan.map(|plan| plan.opened);
    let contained = containment
        .filter(|containment| containment.status == ContainmentStatus::Contained)
        .and_then(|containment| containment.read_back_at);
    let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.as_second() - from?.as_second());
    Metrics {
        first_seen,
        opened,
        contained,
        seconds_to_open: between(first_seen, opened),
        seconds_to_contain: between(opened, contained),
        seconds_exposed: between(first_seen, contained),
    }
}

/// The changes of every outcome, in the order of the records.
pub fn actions(records: &[Record]) -> Vec<Action> {
    let outcomes = records.iter().filter(|record| record.phase == Phase::Outcome);
    let of =
        |record: &Record, change: &Change| Action { at: record.at, state: record.visit.state.clone(), change: change.clone() };
    outcomes.flat_map(|record| record.changes.iter().map(|change| of(record, change)).collect::<Vec<_>>()).collect()
}

/// What a person must do now, the most urgent first.
pub fn todo(plan: Option<&Plan>, said: Said<'_>, sealed: Option<&Sealed>, failure: Option<&Failure>) -> Vec<String> {
    let target = plan.map_or_else(|| "the target".to_owned(), |plan| plan.target.instance_id.to_string());
    if said.terminated() {
        let credentials = plan.and_then(|plan| credentials(plan, said, &target));
        return credentials.into_iter().chain(failure.map(find_out)).map(|line| bounded(&line, 400)).collect();
    }
    let mut all: Vec<String> = ending::todo(said, &target).into_iter().collect();
    let status = said.containment.map(|containment| containment.status);
    match status {
        Some(ContainmentStatus::Contained | ContainmentStatus::NothingToCut) => {}
        Some(ContainmentStatus::Withheld) => all.push(format!("decide whether to cut the network of {target}: it is still open")),
        Some(_) if said.cut_late() => {
            all.push(format!("check the flow logs of {target}: flows that the first cut missed may still be tracked and go on"));
        }
        Some(_) => all.push(format!("isolate {target} by hand: not every interface was read back as cut")),
        None if plan.is_none() => {
            all.push("contain the target by hand, or start the response again: nothing has been done to it".to_owned());
        }
        None => all.push(format!("look at the interfaces of {target}: nobody knows how contained it is")),
    }
    if let Some(left) = said.path_left() {
        all.push(format!(
            "close the path for memory by hand: {} can still reach Systems Manager and S3, put it into the isolation group",
            left.id
        ));
    }
    if let Some(plan) = plan {
        all.extend(open(plan, said, &target));
    }
    all.extend(failure.map(find_out));
    if let Some(plan) = plan.filter(|plan| plan.target.state.is_alive())
        && said::uncaptured(plan, said.memory).is_some()
    {
        all.push(format!(
            "capture the memory of {target} by hand before it is stopped or terminated, or decide to do without: a stop loses it"
        ));
    }
    if plan.is_some() && sealed.is_none_or(|sealed| !sealed.complete) {
        all.push(
            "get what is missing from the evidence while it is still there, before the target is changed or terminated"
                .to_owned(),
        );
    }
    all.extend(plan.and_then(|plan| said::uncollected(plan, said.context).map(|_| gather(said.context, &target))));
    // Last, since whoever terminates it first loses what the lines above are about.
    if status == Some(ContainmentStatus::Contained) || said.cut_late() {
        all.push(format!("{target} stays in quarantine: decide whether to release or to terminate it"));
    }
    all.iter().map(|line| bounded(line, 400)).collect()
}

/// What of the context a person should get.
fn gather(context: Option<&Context>, target: &str) -> String {
    let wanting: Vec<String> = context.iter().flat_map(|context| context.wanting()).map(|it| it.source.to_string()).collect();
    let what = if wanting.is_empty() { "what AWS knows about it".to_owned() } else { wanting.join(", ") };
    format!("get by hand what is missing of the context of {target}, some of which AWS forgets when the target is gone: {what}")
}

fn find_out(failure: &Failure) -> String {
    format!("find out why {} failed ({}): {}", failure.state, failure.error, failure.cause)
}

/// What lock-down and the denial of credentials left open.
fn open(plan: &Plan, said: Said<'_>, target: &str) -> Vec<String> {
    let mut all = Vec::new();
    if said::unlocked(plan, said.lockdown).is_some() {
        // Where containment is known to be wanting, that is said already.
        let other = |status| !matches!(status, InterfaceStatus::Cut | InterfaceStatus::PathOnly);
        if said.lockdown.is_some_and(|lockdown| lockdown.interfaces.iter().any(|interface| other(interface.status))) {
            all.push(format!("look at the interfaces of {target}: lock-down did not read each of them back as cut"));
        }
        if !said.lockdown.is_some_and(|lockdown| lockdown.metadata_off) {
            all.push(format!("switch the instance metadata of {target} off by hand: it was not read back as off"));
        }
    }
    all.extend(protections(plan, said, target));
    all.extend(credentials(plan, said, target));
    all
}

/// What may still end the target.
fn protections(plan: &Plan, said: Said<'_>, target: &str) -> Option<String> {
    said::unprotected(plan, said.protection)?;
    let wanting = |status| matches!(status, MeasureStatus::NotHeld | MeasureStatus::Unknown);
    let measures = said.protection.map(|protection| protection.measures.as_slice()).unwrap_or_default();
    let left: Vec<String> = measures
        .iter()
        .filter(|measure| wanting(measure.status))
        .map(|measure| measure.measure.words(&measure.subject))
        .collect();
    Some(if left.is_empty() {
        format!(
            "protect {target} by hand: take it out of its Auto Scaling group and load balancers, and set termination protection"
        )
    } else {
        format!("see to it by hand that others cannot end {target}: {}", left.join(", "))
    })
}

/// What the denial of credentials left open.
fn credentials(plan: &Plan, said: Said<'_>, target: &str) -> Option<String> {
    said::undenied(plan, said.denial)?;
    let role = said.denial.and_then(|denial| denial.role.clone()).unwrap_or_else(|| format!("the role of {target}"));
    Some(match said.denial.map(|denial| (denial.status, denial.scope)) {
        Some((DenialStatus::Denied, DenialScope::AllButSystemsManager)) => {
            format!("revoke the sessions of {role} by hand: they may still do what Systems Manager's agent needs")
        }
        Some((DenialStatus::Denied | DenialStatus::NothingToDeny | DenialStatus::Withheld, _)) => {
            format!("look at the policies and sessions of {role}: the denial did not end well")
        }
        Some((DenialStatus::NotDenied | DenialStatus::Lifted, _)) => {
            format!("revoke the sessions of {role} by hand: they are still good, also those taken from the target")
        }
        Some((DenialStatus::Unknown, _)) | None => {
            format!("revoke the sessions of {role} by hand: nobody knows whether they are denied")
        }
    })
}
