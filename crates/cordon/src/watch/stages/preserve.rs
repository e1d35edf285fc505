//! The long waits: memory, and the lock-down after it; the snapshots beside them, and what AWS knows.

use incident::context::{Context, ContextStatus, SourceStatus};
use incident::evidence::{CaptureStatus, ContainmentStatus, LockdownStatus};
use incident::manifest::{SealedCopy, SealedSnapshot};
use incident::plan::{Cut, MemoryPlan};
use incident::progress::Progress;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::super::estimate;
use super::super::facts::Facts;
use super::{Bar, Stage, State, reasons, with};
use crate::words;

pub(super) fn memory(facts: &Facts) -> Stage {
    const NAME: &str = "memory";
    if let Some(MemoryPlan::Skip { reason, .. }) = facts.plan.as_ref().map(|plan| &plan.memory) {
        return Stage::left_out(NAME, reason);
    }
    let trail = facts.trail(&["MemoryCapture"]);
    let told = facts.told(|told| told.memory.as_ref());
    let told = told.map(|told| (told.status, told.image.as_ref().map(|image| image.size), told.reason.clone()));
    let went = told.or_else(|| {
        let (record, status) = trail.noted("memory")?;
        let why = record.note.get("reason").and_then(Value::as_str).unwrap_or_default();
        let size = facts.memory.last().filter(|look| look.ended).and_then(|look| look.done_bytes);
        Some((CaptureStatus::deserialize(status).ok()?, size, why.to_owned()))
    });
    let went = went.filter(|(status, ..)| *status != CaptureStatus::Running).map(|(status, size, why)| {
        let size = size.filter(|size| *size > 0).map(|size| format!(", {}", words::size(size))).unwrap_or_default();
        (status == CaptureStatus::Captured, with(&format!("{}{size}", words::capture(status)), &why))
    });
    // A note says how it ended: nothing is tried after it.
    let behind = went.is_some() || locking(facts) || facts.preserved();
    let stage = Stage::of(NAME, &trail, went, behind);
    under_way(stage, &facts.memory, facts.plan.as_ref().map(|plan| plan.deadlines.memory))
}

/// Whether lock-down has begun, which comes when the capture is over.
fn locking(facts: &Facts) -> bool {
    !facts.trail(&["Lockdown", "ClosePath", "DenyAllCredentials"]).0.is_empty()
}

pub(super) fn lock_down(facts: &Facts) -> Stage {
    const NAME: &str = "lock-down";
    if matches!(facts.plan.as_ref().map(|plan| &plan.cut), Some(Cut::AskFirst { .. })) {
        return Stage::left_out(NAME, "the network is not cut either");
    }
    let trail = facts.trail(&["Lockdown", "ClosePath"]);
    let good = |status| matches!(status, LockdownStatus::LockedDown | LockdownStatus::NothingToLock);
    let told = facts.told(|told| told.lockdown.as_ref()).map(|told| {
        let why = if good(told.status) { String::new() } else { reasons(told.reasons.iter().map(String::as_str)) };
        (good(told.status), with(words::lockdown(told.status), &why))
    });
    let went = told.or_else(|| {
        let status = ContainmentStatus::deserialize(trail.noted("status")?.1).ok()?;
        // Its records say how the interfaces stand, and how the change of the metadata service went.
        let failures = trail.failures();
        let cut = matches!(status, ContainmentStatus::Contained | ContainmentStatus::NothingToCut);
        let closed = trail.outcome().is_some_and(|record| record.visit.state == "ClosePath");
        Some(match (cut, failures.as_slice(), closed) {
            (true, [], false) => (true, words::lockdown(LockdownStatus::LockedDown).to_owned()),
            (true, failures, _) => (false, with(words::lockdown(LockdownStatus::Partly), &reasons(failures.iter().copied()))),
            (false, ..) => (false, words::containment(status).to_owned()),
        })
    });
    Stage::of(NAME, &trail, went, facts.preserved())
}

pub(super) fn snapshots(facts: &Facts) -> Stage {
    const NAME: &str = "snapshots";
    if facts.plan.as_ref().is_some_and(|plan| plan.target.volumes.is_empty()) {
        return Stage::left_out(NAME, "the target has no EBS volumes");
    }
    let began = facts.trail(&["Snapshot"]).outcome().map(|record| record.at).filter(|_| facts.contained());
    let sealed = facts.report.snapshots.iter().chain(facts.sealed.iter().flat_map(|sealed| &sealed.told.snapshots));
    let looks: Vec<_> = sealed.map(|sealed| sealed.look.as_ref()).collect();
    let completed = |state: &str| state == "completed";
    let last = facts.snapshots.last();
    let went = if looks.is_empty() {
        last.filter(|last| last.ended).map(|last| (completed(&last.said), Some(last.at)))
    } else {
        let all = looks.iter().all(|look| look.is_some_and(|look| completed(&look.state)));
        Some((all, looks.iter().filter_map(|look| look.and_then(|look| look.completed_at)).max()))
    };
    let (state, said, ended) = match went {
        Some((true, at)) => (State::Done, "completed", at),
        Some((false, at)) => (State::Failed, "NOT all completed", at),
        None if facts.preserved() => (State::Failed, "NOT seen completed", None),
        None if began.is_some() || last.is_some() => (State::Running, "", None),
        None => (State::Waiting, "", None),
    };
    let known = Stage { began, ended, ..Stage::new(NAME, state, said) };
    under_way(known, &facts.snapshots, facts.plan.as_ref().map(|plan| plan.deadlines.snapshots))
}

/// The copies for forensic accounts, where the plan asks for them.
pub(super) fn copies(facts: &Facts) -> Option<Stage> {
    const NAME: &str = "copies";
    let planned = facts.plan.as_ref()?.copies.as_ref()?;
    let trail = facts.trail(&["CopySnapshot"]);
    let sealed: Vec<_> =
        facts.report.snapshots.iter().chain(facts.sealed.iter().flat_map(|sealed| &sealed.told.snapshots)).collect();
    let accounts: Vec<&str> = planned.accounts(&facts.plan.as_ref()?.target.account).collect();
    let shared = |copy: &SealedCopy| accounts.iter().all(|account| copy.copy.shared_with.iter().any(|id| id == account));
    let wanting = |sealed: &&SealedSnapshot| !sealed.copy.as_ref().is_some_and(|copy| copy.is_completed() && shared(copy));
    let went = (!sealed.is_empty()).then(|| match sealed.iter().copied().filter(wanting).count() {
        0 => (true, format!("completed, shared with {}", accounts.join(", "))),
        1 => (false, "1 snapshot has NO copy that is completed and shared as planned".to_owned()),
        wanting => (false, format!("{wanting} snapshots have NO copy that is completed and shared as planned")),
    });
    let stage = Stage::of(NAME, &trail, went, facts.preserved());
    Some(under_way(stage, &facts.copies, Some(planned.until)))
}

pub(super) fn context(facts: &Facts) -> Stage {
    const NAME: &str = "context";
    let trail = facts.trail(&["Context"]);
    let good = |status| status == ContextStatus::Collected;
    let told = facts.told(|told| told.context.as_ref()).map(|told: &Context| {
        let why = reasons(told.wanting().map(|outcome| outcome.source.words()));
        let said = if good(told.status) { incident::said::counted(told) } else { why };
        (good(told.status), with(words::context(told.status), &said))
    });
    let went = told.or_else(|| {
        let (record, status) = trail.noted("context")?;
        let status = ContextStatus::deserialize(status).ok()?;
        let sources = record.note.get("sources").and_then(Value::as_array).into_iter().flatten();
        let bad = |source: &&Value| {
            let status = source.get("status").and_then(|status| SourceStatus::deserialize(status).ok());
            status.is_some_and(|status| !status.is_good())
        };
        let wanting = sources.filter(bad).filter_map(|source| source.get("source").and_then(Value::as_str));
        Some((good(status), with(words::context(status), &reasons(wanting))))
    });
    // Its one record comes with its end, and nothing is tried after it.
    let stage = Stage::of(NAME, &trail, went.clone(), went.is_some() || facts.preserved());
    if stage.state == State::Waiting && facts.contained() { Stage { state: State::Running, ..stage } } else { stage }
}

/// How far a wait is, as long as it is under way.
fn under_way(stage: Stage, looks: &[Progress], until: Option<Timestamp>) -> Stage {
    let (Some(last), Some(until), false) = (looks.last(), until, stage.is_over()) else { return stage };
    let bar = Bar {
        percent: last.percent.min(100),
        done_bytes: last.done_bytes,
        of_bytes: last.of_bytes,
        at: last.at,
        due: estimate::due(looks),
        until,
    };
    let said = if stage.said.is_empty() { last.said.clone() } else { stage.said };
    Stage { state: State::Running, said, progress: Some(bar), ..stage }
}
