//! A case for a person to read.
//!
//! INVARIANT: every text that is not ours is bounded and made harmless here.

use incident::context::{Context, Outcome, SourceStatus};
use incident::evidence::{LockOutcome, Refusal};
use incident::manifest::{SealedCopy, SealedSnapshot, SnapshotAtSeal};
use incident::permission::Decision;
use incident::plan::{Cut, DispositionPlan, MemoryPlan, Plan, PolicySource, Source};
use incident::record::ChangeResult;
use incident::text::harmless;
use serde::Serialize;

use super::Known;
use crate::output::{coloured, say};
use crate::words;

/// How many of the last changes are printed.
const LAST: usize = 10;

/// Prints what is known.
pub(super) fn print(known: &Known) {
    let status = coloured(known.status.words(), known.status.is_good());
    say(&format!("{}: {status}", known.case_id));
    for (label, text) in lines(known) {
        say(&format!("  {label:<12} {text}"));
    }
}

/// What is printed, line by line, each with its label.
fn lines(known: &Known) -> Vec<(&'static str, String)> {
    let told = &known.told;
    let mut all = Vec::new();
    if let Some(plan) = &told.plan {
        planned(&mut all, plan);
    }
    all.extend(told.closed_at.map(|at| ("closed", at.to_string())));
    all.extend(told.reasons.iter().map(|reason| ("not planned", harmless(reason, 400))));
    let failure = told.failure.as_ref().map(|failure| format!("{} failed ({}): {}", failure.state, failure.error, failure.cause));
    all.extend(failure.map(|failure| ("failure", harmless(&failure, 600))));
    done(&mut all, known);
    evidence(&mut all, known);
    end(&mut all, known);
    all.extend(told.risks.iter().map(|risk| ("risk", about(&risk.subject, &risk.advice))));
    all.extend(told.todo.iter().map(|todo| ("to do", harmless(todo, 400))));
    all
}

/// What was found and decided.
fn planned(all: &mut Vec<(&'static str, String)>, plan: &Plan) {
    let (finding, target) = (&plan.finding, &plan.target);
    let source = match finding.source {
        Source::GuardDuty => "GuardDuty",
        Source::SecurityHub => "Security Hub",
        Source::SecurityHubAction => "a person in Security Hub",
        Source::Manual => "a person",
    };
    all.push(("finding", format!("{} (severity {}, by {source})", harmless(&finding.kind, 200), finding.severity)));
    all.push(("", harmless(&finding.title, 400)));
    let state = words::state(target.state);
    let (id, account, region) = (&target.instance_id, harmless(&target.account, 20), harmless(&target.region, 40));
    all.push(("target", format!("{id} of account {account} in {region}, {state} when the case was opened")));
    all.push(("opened", plan.opened.to_string()));
    let cut = match &plan.cut {
        Cut::Now => "cut the network at once".to_owned(),
        Cut::AskFirst { reasons } => format!("leave the network open: {}", harmless(&reasons.join("; "), 400)),
    };
    let memory = match &plan.memory {
        MemoryPlan::Capture { .. } => format!("capture memory until {}", plan.deadlines.memory),
        MemoryPlan::Skip { reason, .. } => format!("no capture of memory: {}", harmless(reason, 300)),
    };
    let disposition = match &plan.disposition {
        DispositionPlan::Quarantine { reason } => format!("quarantine: {}", harmless(reason, 300)),
        DispositionPlan::Ask(terms) => {
            format!("terminate if people approve ({} needed, within {} hours)", terms.persons, terms.wait_seconds / 3_600)
        }
        DispositionPlan::Terminate(_) => "terminate, if nothing at all is missing from the evidence".to_owned(),
    };
    all.push(("plan", cut));
    all.push(("", memory));
    all.push(("", disposition));
    all.push((
        "policy",
        match &plan.policy {
            PolicySource::Parameter { name, version } => format!("{}, version {version}", harmless(name, 200)),
            PolicySource::Fallback { problem } => format!("none that can be used: {}", harmless(problem, 300)),
        },
    ));
}

/// What was done to the target.
fn done(all: &mut Vec<(&'static str, String)>, known: &Known) {
    let told = &known.told;
    let mut part = |label: &'static str, text: Option<&str>, reasons: &[String]| {
        all.extend(text.map(|text| (label, text.to_owned())));
        all.extend(reasons.iter().map(|reason| ("", harmless(reason, 400))));
    };
    let reasons = |reasons: Option<&Vec<String>>| reasons.cloned().unwrap_or_default();
    let containment = told.containment.as_ref();
    let unknown = (told.plan.is_some() && containment.is_none()).then_some("not known yet");
    let text = containment.map(|containment| words::containment(containment.status)).or(unknown);
    part("containment", text, &reasons(containment.map(|containment| &containment.reasons)));
    let protection = told.protection.as_ref();
    part(
        "protection",
        protection.map(|protection| words::protection(protection.status)),
        &reasons(protection.map(|protection| &protection.reasons)),
    );
    let lockdown = told.lockdown.as_ref();
    part(
        "lock-down",
        lockdown.map(|lockdown| words::lockdown(lockdown.status)),
        &reasons(lockdown.map(|lockdown| &lockdown.reasons)),
    );
    let denial = told.denial.as_ref();
    part("credentials", denial.map(words::denial), &reasons(denial.map(|denial| &denial.reasons)));
    if let Some(memory) = &told.memory {
        let size = memory.image.as_ref().map(|image| format!(" ({})", words::size(image.size))).unwrap_or_default();
        part("memory", Some(&format!("{}{size}", words::capture(memory.status))), &[]);
        part("", None, &Some(memory.reason.clone()).filter(|reason| !reason.is_empty()).into_iter().collect::<Vec<_>>());
    }
    for sealed in &told.snapshots {
        all.push(("snapshot", snapshot(sealed)));
        all.extend(sealed.copy.as_ref().map(|copy| ("", copied(copy))));
    }
    if let Some(context) = &told.context {
        all.push(("context", gathered(context)));
        all.extend(context.sources.iter().filter_map(source).map(|text| ("", text)));
    }
    if known.told.closed_at.is_none() {
        let skipped = told.actions.len().saturating_sub(LAST);
        for action in told.actions.iter().skip(skipped) {
            let result = match &action.change.result {
                Some(ChangeResult::Done) => "done".to_owned(),
                Some(ChangeResult::Already) => "nothing to do".to_owned(),
                Some(ChangeResult::Failed { fault, message }) => format!("FAILED ({fault}): {}", harmless(message, 300)),
                None => "no result".to_owned(),
            };
            let (what, subject) = (harmless(&action.change.action, 80), harmless(&action.change.subject, 200));
            all.push(("change", format!("{} {what} {subject}: {result}", action.at.strftime("%H:%M:%S"))));
        }
    }
}

fn snapshot(sealed: &SealedSnapshot) -> String {
    let state = sealed.at_seal.as_ref().map(|now| &now.state).or(sealed.look.as_ref().map(|look| &look.state));
    let state = state.map_or_else(|| "nobody looked".to_owned(), |state| harmless(state, 40));
    let lock = lock(sealed.at_seal.as_ref(), &sealed.taken.lock);
    format!("{} of {}: {state}, {lock}", sealed.taken.snapshot_id, sealed.taken.volume_id)
}

fn copied(sealed: &SealedCopy) -> String {
    let copy = &sealed.copy;
    let state = harmless(sealed.at_seal.as_ref().map_or(&copy.state, |now| &now.state), 40);
    let shared: Vec<String> = copy.shared_with.iter().map(|account| harmless(account, 20)).collect();
    let shared = if shared.is_empty() { "NOT shared".to_owned() } else { format!("shared with {}", shared.join(", ")) };
    format!("copied as {}: {state}, {}, {shared}", copy.snapshot_id, lock(sealed.at_seal.as_ref(), &copy.lock))
}

fn lock(now: Option<&SnapshotAtSeal>, locked: &LockOutcome) -> String {
    match (now, locked) {
        (Some(SnapshotAtSeal { lock: Some(lock), .. }), _) => format!("locked for {} days", lock.days),
        (Some(SnapshotAtSeal { lock: None, .. }), LockOutcome::Locked { .. }) => "NOT locked any more".to_owned(),
        (_, LockOutcome::Locked { days, .. }) => format!("locked for {days} days"),
        (_, LockOutcome::NotLocked { reason }) => format!("NOT locked: {}", harmless(reason, 300)),
    }
}

/// What is sealed, and what is missing.
fn evidence(all: &mut Vec<(&'static str, String)>, known: &Known) {
    all.push((
        "evidence",
        match &known.sealed {
            Some(seal) => format!("sealed at {}, {}", seal.at, if seal.complete { "complete" } else { "NOT complete" }),
            None => "not sealed".to_owned(),
        },
    ));
    all.extend(known.told.missing.iter().map(|missing| ("missing", about(&missing.item, &missing.reason))));
}

/// Who decided about the end of the target, and how it went.
fn end(all: &mut Vec<(&'static str, String)>, known: &Known) {
    let told = &known.told;
    all.extend(told.permission.as_ref().map(|permission| ("permission", words::permission(permission.status).to_owned())));
    for answer in &known.answers {
        let verb = match answer.statement.decision {
            Decision::Approve => "approved",
            Decision::Deny => "denied",
        };
        let current = known.sealed.as_ref().is_some_and(|seal| seal.manifest == answer.statement.manifest);
        let other = if current { "" } else { ", about ANOTHER manifest" };
        let because = Some(&answer.statement.because).filter(|because| !because.trim().is_empty());
        let because = because.map(|because| format!(": {}", harmless(because, 400))).unwrap_or_default();
        all.push(("answer", format!("{verb} by {} at {}{other}{because}", harmless(&answer.person, 200), answer.at)));
        let waived = answer.statement.waive.iter();
        all.extend(waived.map(|waiver| ("", format!("does without {}", about(&waiver.item, &waiver.because)))));
    }
    let unreadable = known.unreadable_answers.iter();
    all.extend(unreadable.map(|name| ("answer", format!("{} CANNOT be read", harmless(name, 200)))));
    if let Some(termination) = &told.termination {
        let by = harmless(&termination.by.join(", "), 400);
        let by = if by.is_empty() { by } else { format!(" (by the word of {by})") };
        all.push(("end", format!("{}{by}", words::termination(termination.status))));
        all.extend(termination.refusals.iter().map(|refusal| ("", refused(refusal))));
        all.extend(termination.reasons.iter().map(|reason| ("", harmless(reason, 400))));
    }
}

/// How much AWS told, and what counts in it.
fn gathered(context: &Context) -> String {
    let counts = incident::said::counted(context);
    let word = words::context(context.status);
    if counts.is_empty() { word.to_owned() } else { format!("{word}: {counts}") }
}

/// A source that is not all there, and why.
fn source(outcome: &Outcome) -> Option<String> {
    let word = match outcome.status {
        SourceStatus::Taken | SourceStatus::Nothing => return None,
        SourceStatus::Bounded => "not all of it",
        SourceStatus::Partly => "only PARTLY had",
        SourceStatus::NotTaken => "NOT had",
    };
    Some(format!("{}: {word}: {}", outcome.source, harmless(&outcome.reason, 300)))
}

fn refused(refusal: &Refusal) -> String {
    format!("{}: {}", name(&refusal.kind), about(&refusal.subject, &refusal.reason))
}

/// A thing and what is said of it.
fn about(subject: &str, said: &str) -> String {
    if subject.is_empty() { harmless(said, 400) } else { format!("{}: {}", harmless(subject, 200), harmless(said, 400)) }
}

/// The name that a kind has in documents.
fn name(kind: &impl Serialize) -> String {
    serde_json::to_value(kind).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
