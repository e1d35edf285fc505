//! What people are told, as data and as text. Pure.
//!
//! The text is read at 3 a.m.: first the state that the target is in, then what was not done, then what to do.

use std::fmt::Write as _;

use incident::evidence::{ContainmentStatus, InterfaceStatus, Missing};
use incident::plan::{Cut, FindingSummary, Plan, PolicySource};
use incident::risk::Risk;
use incident::said::{Said, risks as remaining};
use incident::triage::{Triaged, Verdict};
use incident::{CaseId, ExecutionArn, InstanceId, finding, report};
use serde::{Deserialize, Serialize};

use crate::{End, Input, released, said};
use incident::text::harmless;

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A case was opened.
    Opened,
    /// A case was closed.
    Closed,
    /// An incident broke.
    Failed,
    /// A finding is about another account or Region.
    Elsewhere,
    /// A worse finding joined an open case.
    Joined,
    /// More targets at once than may be handled without a person.
    Ask,
    /// A release ended, or was refused.
    Released,
}

/// The target, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticeTarget {
    /// The instance; absent where it is not known.
    pub instance_id: Option<InstanceId>,
    /// The account.
    pub account: String,
    /// The Region.
    pub region: String,
}

/// The JSON message. All text in it has been made harmless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// `cordon.notice.v1`.
    pub schema: String,
    /// Why people are told.
    pub kind: Kind,
    /// The case, where there is one.
    pub case_id: Option<CaseId>,
    /// The execution.
    pub execution: ExecutionArn,
    /// The target.
    pub target: NoticeTarget,
    /// What was found.
    pub finding: Option<FindingSummary>,
    /// The state that the target is in, in one sentence.
    pub state: String,
    /// What else was done to it and taken from it, or will be, one sentence each.
    #[serde(default)]
    pub also: Vec<String>,
    /// Whether everything went as planned; absent while it is not known.
    pub as_planned: Option<bool>,
    /// What was not done, or is missing, one sentence each.
    pub not_done: Vec<String>,
    /// What remains, one sentence each.
    pub risks: Vec<String>,
    /// What to do, one sentence each.
    pub todo: Vec<String>,
    /// The execution in the console.
    pub console: String,
}

/// The most sentences in each list: a message is bounded, and people read the first ones.
const MOST: usize = 20;

/// What people are told.
pub fn notice(input: &Input) -> Notice {
    match input {
        Input::Opened { visit, plan } => opened(&visit.execution, plan),
        Input::Closed(end) => ended(Kind::Closed, end),
        Input::Failed(end) => ended(Kind::Failed, end),
        Input::Released(end) => released::notice(end),
        Input::Verdict { visit, triage } => verdict(&visit.execution, triage),
    }
}

/// The subject: `Cordon: i-… contained, case closed`. Nothing of it comes from a finding.
pub fn subject(notice: &Notice) -> String {
    let target = notice.target.instance_id.as_ref().map_or("an unknown target", InstanceId::as_str);
    let what = match (notice.kind, notice.as_planned) {
        (Kind::Opened, _) => "case opened",
        (Kind::Closed, Some(true)) => "case closed as planned",
        (Kind::Closed, _) => "case closed, NOT as planned: act",
        (Kind::Failed, _) => "INCIDENT BROKE: act now",
        (Kind::Elsewhere, _) => "finding about another account or Region: act",
        (Kind::Joined, _) => "a worse finding joined the open case",
        (Kind::Released, Some(true)) => "released",
        (Kind::Released, _) => "release NOT as asked for: look",
        (Kind::Ask, _) => "too many targets at once: decide",
    };
    incident::text::subject(&format!("Cordon: {target}: {what}"))
}

/// The message as SNS takes it with `MessageStructure=json`: the JSON document for programs, the text for people.
pub fn structured(notice: &Notice) -> String {
    let document = serde_json::to_string(notice).unwrap_or_default();
    let text = text(notice);
    let short: String = format!("{} {}", subject(notice), notice.state).chars().take(280).collect();
    serde_json::json!({"default": document, "email": text, "sms": short}).to_string()
}

/// The short text.
pub fn text(notice: &Notice) -> String {
    let mut out = format!("{}\n\n{}\n", subject(notice), notice.state);
    for sentence in &notice.also {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "{sentence}");
    }
    if let Some(finding) = &notice.finding {
        let _ = writeln!(out, "\nFinding: {} (severity {}): {}", finding.kind, finding.severity, finding.title);
    }
    for (title, lines) in
        [("Not done or missing", &notice.not_done), ("What remains", &notice.risks), ("What to do", &notice.todo)]
    {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}:");
            for line in lines {
                let _ = writeln!(out, "- {line}");
            }
        }
    }
    let case = notice.case_id.as_ref().map_or("none", CaseId::as_str);
    let _ = write!(
        out,
        "\nCase: {case}\nTarget account and Region: {} {}\nExecution: {}\n",
        notice.target.account, notice.target.region, notice.console
    );
    out
}

fn opened(execution: &ExecutionArn, plan: &Plan) -> Notice {
    let (state, mut todo) = match &plan.cut {
        Cut::Now => (
            "Containment is under way: the network is being cut and the disks are being frozen.".to_owned(),
            vec!["Wait for the closing notice; the console shows the progress.".to_owned()],
        ),
        Cut::AskFirst { .. } => (
            "The network has NOT been cut; the disks are being frozen. A person must decide about the cut.".to_owned(),
            vec![format!("To cut it, run: cordon respond {} --reason 'why'", plan.target.instance_id)],
        ),
    };
    if !plan.target.state.is_alive() {
        todo.push("The instance is terminated or unknown: only what AWS still has can be preserved.".to_owned());
    }
    let mut not_done = asked(plan);
    not_done.extend(lines(&said::not_planned(plan)));
    Notice {
        state,
        also: lines(&said::planned(plan)),
        not_done,
        risks: risks(Some(plan), Said::default()),
        todo,
        ..about(Kind::Opened, execution, Some(plan))
    }
}

fn ended(kind: Kind, end: &End) -> Notice {
    let plan = end.plan.as_ref();
    let said = end.said();
    let mut not_done: Vec<String> = Vec::new();
    if let Some(failure) = &end.failure {
        not_done.push(format!("{} failed with {}: {}", failure.state, failure.error, failure.cause));
    }
    not_done.extend(plan.map(asked).unwrap_or_default());
    match (&end.closed, &end.sealed) {
        (Some(closed), _) => not_done.extend(closed.reasons.iter().cloned()),
        (None, Some(sealed)) => not_done.extend(sealed.missing.iter().map(sentence)),
        (None, None) => not_done.push("the case could not be closed".to_owned()),
    }
    if plan.is_some() && end.opening.as_ref().and_then(|opening| opening.get("told")) == Some(&serde_json::Value::Bool(false)) {
        not_done.push("nobody was told when the case was opened".to_owned());
    }
    let mut seen = Vec::new();
    not_done.retain(|line| {
        !seen.contains(line) && {
            seen.push(line.clone());
            true
        }
    });

    let mut todo = report::todo(plan, said, end.sealed.as_ref(), end.failure.as_ref());
    let mut notice = about(kind, &end.visit.execution, plan);
    if plan.is_none() {
        notice.target.instance_id = finding::target_of(&end.input);
        notice.case_id =
            end.closed.as_ref().and_then(|closed| closed.manifest.as_ref()).and_then(|manifest| case_in(&manifest.key));
        todo.push("Look at the execution's input, correct it, and start it again.".to_owned());
    }
    if let Some(case) = &notice.case_id {
        todo.push(format!("Check the case: cordon verify {case}"));
    }
    Notice {
        state: state(said, plan),
        also: plan.map(|plan| lines(&said::done(plan, said))).unwrap_or_default(),
        as_planned: Some(kind == Kind::Closed && end.closed.as_ref().is_some_and(|closed| closed.as_planned)),
        not_done: lines(&not_done),
        risks: risks(plan, said),
        todo: lines(&todo),
        ..notice
    }
}

fn verdict(execution: &ExecutionArn, triage: &Triaged) -> Notice {
    let (kind, state, todo) = match triage.verdict {
        Verdict::Elsewhere => (
            Kind::Elsewhere,
            "Nothing was done: the finding is about an instance that this deployment does not answer for.",
            "Respond where the instance is: Cordon acts only in its own account and Region.",
        ),
        Verdict::Joined => (
            Kind::Joined,
            "The target's open case goes on; a worse finding about it has joined.",
            "Look at the open case with this finding in mind.",
        ),
        _ => (
            Kind::Ask,
            "Nothing was done: the finding names more targets than may be handled without a person.",
            "Look at the finding, and start a response for each target that needs one: cordon respond INSTANCE --reason 'why'",
        ),
    };
    let mut notice = about(kind, execution, triage.plan.as_ref());
    notice.case_id.clone_from(&triage.case_id);
    if let Some(finding) = &triage.finding {
        notice.target.account = harmless(&finding.account, 40);
        notice.target.region = harmless(&finding.region, 40);
        notice.finding = Some(safe(finding));
    }
    Notice {
        state: state.to_owned(),
        not_done: lines(std::slice::from_ref(&triage.reason)),
        todo: vec![todo.to_owned()],
        ..notice
    }
}

/// What is known from the plan, or from the execution alone.
pub(crate) fn about(kind: Kind, execution: &ExecutionArn, plan: Option<&Plan>) -> Notice {
    let region = execution.region();
    Notice {
        schema: "cordon.notice.v1".to_owned(),
        kind,
        case_id: plan.map(|plan| plan.case_id.clone()),
        execution: execution.clone(),
        target: NoticeTarget {
            instance_id: plan.map(|plan| plan.target.instance_id.clone()),
            account: execution.account().to_owned(),
            region: region.to_owned(),
        },
        finding: plan.map(|plan| safe(&plan.finding)),
        state: String::new(),
        also: Vec::new(),
        as_planned: None,
        not_done: Vec::new(),
        risks: Vec::new(),
        todo: Vec::new(),
        // The one link in a message: made of parsed ids alone.
        console: format!(
            "https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"
        ),
    }
}

/// The state that the target is in.
fn state(said: Said<'_>, plan: Option<&Plan>) -> String {
    if said.terminated() {
        return "The target is TERMINATED, with permission: its evidence is sealed in the case.".to_owned();
    }
    let text = match said.containment.map(|containment| containment.status) {
        Some(ContainmentStatus::Contained) if said.path_left().is_some() => {
            "The target is CONTAINED but for the path for memory, to Systems Manager and S3, which is still open: close it by hand now."
        }
        Some(ContainmentStatus::Contained) if said.interfaces().iter().any(|nic| nic.status == InterfaceStatus::Open) => {
            "The target is CONTAINED but for interfaces that an AWS service manages, which it alone can change: see what remains."
        }
        Some(ContainmentStatus::Contained) => {
            "The target is CONTAINED: flows made untracked, rules removed, every interface read back in its isolation group."
        }
        Some(_) if said.cut_late() => {
            "The target is CONTAINED by now: the first cut missed something, lock-down read every interface back in its isolation group."
        }
        Some(ContainmentStatus::PartlyContained) => {
            "The target is only PARTLY contained: some of its interfaces are open. Isolate them by hand now."
        }
        Some(ContainmentStatus::NotContained) => "The target is NOT contained: isolate it by hand now.",
        Some(ContainmentStatus::Withheld) => {
            "The target is NOT contained: its network was deliberately not cut, and a person must decide."
        }
        Some(ContainmentStatus::NothingToCut) => "There was no network interface to cut.",
        Some(ContainmentStatus::Unknown) => "It is NOT KNOWN whether the target is contained: look at its interfaces now.",
        None if plan.is_some() => {
            "The incident broke before it could say whether the target is contained: look at its interfaces now."
        }
        None => "The target is NOT contained: the incident broke before it had a plan, and nothing was changed.",
    };
    text.to_owned()
}

/// What the plan leaves to a person, and what is wrong with the policy.
fn asked(plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    if let Cut::AskFirst { reasons } = &plan.cut {
        all.extend(reasons.iter().map(|reason| format!("the network was not cut: {reason}")));
    }
    if let PolicySource::Fallback { problem } = &plan.policy {
        all.push(format!("the policy could not be used, so that the default was: {problem}"));
    }
    lines(&all)
}

fn risks(plan: Option<&Plan>, said: Said<'_>) -> Vec<String> {
    let line = |risk: &Risk| match risk.subject.as_str() {
        "" => risk.advice.clone(),
        subject => format!("{subject}: {}", risk.advice),
    };
    let all: Vec<String> = remaining(plan, said).iter().map(line).collect();
    lines(&all)
}

fn sentence(missing: &Missing) -> String {
    format!("{}: {}", missing.item, missing.reason)
}

/// Sentences made harmless, and not too many.
pub(crate) fn lines(all: &[String]) -> Vec<String> {
    let more = all.len().saturating_sub(MOST);
    let mut kept: Vec<String> = all.iter().take(MOST).map(|line| harmless(line, 500)).collect();
    if more > 0 {
        kept.push(format!("and {more} more, in the report of the case"));
    }
    kept
}

fn safe(finding: &FindingSummary) -> FindingSummary {
    FindingSummary {
        source: finding.source,
        id: harmless(&finding.id, 200),
        kind: harmless(&finding.kind, 200),
        title: harmless(&finding.title, 300),
        severity: finding.severity,
        account: harmless(&finding.account, 40),
        region: harmless(&finding.region, 40),
        first_seen: harmless(&finding.first_seen, 40),
        updated_at: harmless(&finding.updated_at, 40),
    }
}

/// The case that a key of it names.
fn case_in(key: &str) -> Option<CaseId> {
    CaseId::parse(key.strip_prefix("cases/")?.split('/').next()?).ok()
}
