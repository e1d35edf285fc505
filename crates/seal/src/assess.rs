//! What is missing from the evidence, and what did not go as planned. Pure.

use incident::ending;
use incident::evidence::{
    CaptureStatus, Closed, Containment, ContainmentStatus, DenialScope, DenialStatus, Failure, Freeze, LockOutcome,
    LockdownStatus, Missing, Preserved, Sealed, Taken,
};
use incident::manifest::SealedSnapshot;
use incident::plan::{Cut, LockMode, Plan};
use incident::protection::ProtectionStatus;
use incident::record::{Phase, Record};
use incident::said::{self, Said};
use incident::text::bounded;

/// What the branches said. Absent where a run broke before it could say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// What was done to the target, and what was taken from it.
    pub said: Said<'a>,
    /// What was frozen.
    pub freeze: Option<&'a Freeze>,
    /// How the wait for the snapshots ended.
    pub preserved: Option<&'a Preserved>,
}

/// Everything that should be there and is not, each item once. A containment that was withheld by plan is among it: it is
/// as planned, but a target that is not contained must not count as fully preserved. So is memory that there was no way to.
pub fn missing(plan: &Plan, known: Known<'_>, records: &[Record]) -> Vec<Missing> {
    let mut all = Vec::new();
    if !plan.target.state.is_alive() {
        all.push(Missing::new("target", "the instance is terminated or AWS does not know it: nothing of it could be contained"));
    }
    all.extend(uncontained(known.said.containment));
    all.extend(said::unlocked(plan, known.said.lockdown));
    all.extend(said::uncaptured(plan, known.said.memory));
    all.extend(known.preserved.iter().flat_map(|preserved| preserved.missing.clone()));
    all.extend(known.freeze.iter().flat_map(|freeze| freeze.missing.clone()));
    all.extend(unfrozen(plan, known));
    all.extend(gaps(known, records));
    once(all)
}

/// The first of each item.
pub fn once(all: Vec<Missing>) -> Vec<Missing> {
    let mut kept: Vec<Missing> = Vec::with_capacity(all.len());
    for missing in all {
        if !kept.iter().any(|there| there.item == missing.item) {
            kept.push(missing);
        }
    }
    kept
}

fn uncontained(containment: Option<&Containment>) -> Option<Missing> {
    let said = match containment.map(|containment| containment.status) {
        Some(ContainmentStatus::Contained | ContainmentStatus::NothingToCut) => return None,
        Some(ContainmentStatus::Withheld) => "the network was deliberately not cut: a person must decide",
        Some(ContainmentStatus::PartlyContained) => "some interfaces are not in their isolation group",
        Some(ContainmentStatus::NotContained) => "no interface is in its isolation group",
        Some(ContainmentStatus::Unknown) => "the interfaces could not be read back",
        None => "the run broke before it could say how contained the target is: look at its interfaces",
    };
    let why = containment.map(|containment| containment.reasons.join("; ")).unwrap_or_default();
    Some(Missing::new("containment", if why.is_empty() { said.to_owned() } else { format!("{said}: {why}") }))
}

fn unfrozen(plan: &Plan, known: Known<'_>) -> Vec<Missing> {
    let mut all = Vec::new();
    let taken = known.freeze.map(|freeze| freeze.snapshots.as_slice()).unwrap_or_default();
    for volume in &plan.target.volumes {
        let item = format!("snapshot:{}", volume.id);
        let Some(snapshot) = taken.iter().find(|taken| taken.volume_id == volume.id) else {
            let reason = match known.freeze.map(|freeze| &freeze.failure) {
                Some(Some(failure)) => format!("{} failed with {}: {}", failure.state, failure.error, failure.cause),
                Some(None) => "no snapshot of it was taken".to_owned(),
                None => format!("the run broke before it could say: look for snapshots tagged cordon:case={}", plan.case_id),
            };
            all.push(Missing::new(item, reason));
            continue;
        };
        let look = known
            .preserved
            .and_then(|preserved| preserved.snapshots.iter().find(|look| look.snapshot_id == snapshot.snapshot_id));
        match look {
            Some(look) if look.state == "completed" => {}
            Some(look) => all.push(Missing::new(item, format!("{} is {} at {} %", look.snapshot_id, look.state, look.percent))),
            None => {
                let failure = known.preserved.and_then(|preserved| preserved.failure.as_ref());
                let why =
                    failure.map_or_else(|| "nobody looked".to_owned(), |failure| format!("{}: {}", failure.error, failure.cause));
                all.push(Missing::new(item, format!("{} was not seen completed ({why})", snapshot.snapshot_id)));
            }
        }
        all.extend(unlocked(plan, snapshot));
    }
    all
}

fn unlocked(plan: &Plan, snapshot: &Taken) -> Option<Missing> {
    let reason = match &snapshot.lock {
        LockOutcome::NotLocked { reason } => reason.clone(),
        LockOutcome::Locked { days, .. } if *days < plan.snapshot_lock.days => {
            format!("it is locked for {days} days, the plan says {}", plan.snapshot_lock.days)
        }
        LockOutcome::Locked { mode, .. } if plan.snapshot_lock.mode == LockMode::Compliance && *mode != LockMode::Compliance => {
            "it is locked in governance mode, the plan says compliance".to_owned()
        }
        LockOutcome::Locked { .. } => return None,
    };
    Some(Missing::new(format!("snapshot-lock:{}", snapshot.snapshot_id), reason))
}

/// The intents whose outcome nobody knows. A later outcome of the same state (a retry looks first), or a result of that
/// step that was read back, says how the change went.
fn gaps(known: Known<'_>, records: &[Record]) -> Vec<Missing> {
    let said = known.said;
    let denied = |all: bool| {
        let far = |scope| scope == DenialScope::All || !all;
        said.denial.is_some_and(|found| found.status == DenialStatus::Denied && far(found.scope))
    };
    let read_back = |state: &str| match state {
        "Isolate" | "CloseDoor" => said.containment.is_some_and(|found| found.status == ContainmentStatus::Contained),
        "Snapshot" => known.freeze.is_some_and(|found| found.failure.is_none()),
        "MemoryCapture" => said.memory.is_some_and(|found| found.status != CaptureStatus::Running && found.failure.is_none()),
        "Lockdown" => said.lockdown.is_some_and(|found| found.status == LockdownStatus::LockedDown),
        "Protect" => said.protection.is_some_and(|found| found.status == ProtectionStatus::Protected),
        "DenyCredentials" => denied(false),
        "DenyAllCredentials" => denied(true),
        _ => false,
    };
    let answered = |intent: &Record| {
        records.iter().any(|other| {
            other.phase == Phase::Outcome
                && other.visit.state == intent.visit.state
                && (other.visit == intent.visit && other.number == intent.number
                    || (other.visit.entered, other.visit.retry) > (intent.visit.entered, intent.visit.retry))
        })
    };
    records
        .iter()
        .filter(|record| record.phase == Phase::Intent && !answered(record) && !read_back(&record.visit.state))
        .map(|record| {
            let actions: Vec<&str> = record.changes.iter().map(|change| change.action.as_str()).collect();
            let reason = format!("{} was begun and no outcome is known: look at what it concerns", actions.join(", "));
            Missing::new(format!("outcome:{}", record.name()), reason)
        })
        .collect()
}

/// Each snapshot with the last look at it.
pub fn snapshots(known: Known<'_>) -> Vec<SealedSnapshot> {
    let looks = known.preserved.map(|preserved| preserved.snapshots.as_slice()).unwrap_or_default();
    let taken = known.freeze.map(|freeze| freeze.snapshots.as_slice()).unwrap_or_default();
    let look = |taken: &Taken| looks.iter().find(|look| look.snapshot_id == taken.snapshot_id).cloned();
    taken.iter().map(|taken| SealedSnapshot { taken: taken.clone(), look: look(taken) }).collect()
}

/// The longest list of reasons: outputs of states are bounded [facts 82].
const MOST_REASONS: usize = 40;

/// What did not go as planned, one sentence each; empty where all did. What is missing by plan (a cut that was withheld,
/// memory that there was no way to) is as planned.
pub fn reasons(plan: Option<&Plan>, said: Said<'_>, sealed: Option<&Sealed>, failure: Option<&Failure>) -> Vec<String> {
    let withheld = plan.is_some_and(|plan| matches!(plan.cut, Cut::AskFirst { .. }))
        && said.containment.is_some_and(|containment| containment.status == ContainmentStatus::Withheld);
    let skipped = plan.is_some_and(said::memory_skipped);
    let planned = |item: &str| (withheld && item == "containment") || (skipped && item == "memory");
    let mut all: Vec<String> = failure
        .map(|failure| format!("{} failed with {}: {}", failure.state, failure.error, failure.cause))
        .into_iter()
        .collect();
    let missing = match sealed {
        None => {
            all.push("the evidence was not sealed before the case was closed".to_owned());
            let mut missing: Vec<Missing> = uncontained(said.containment).into_iter().collect();
            missing.extend(plan.and_then(|plan| said::unlocked(plan, said.lockdown)));
            missing.extend(plan.and_then(|plan| said::uncaptured(plan, said.memory)));
            missing
        }
        Some(sealed) => sealed.missing.clone(),
    };
    let missing = missing.iter().filter(|missing| !planned(&missing.item));
    all.extend(missing.map(|missing| format!("{}: {}", missing.item, missing.reason)));
    all.extend(plan.and_then(|plan| said::unprotected(plan, said.protection)));
    all.extend(plan.and_then(|plan| said::undenied(plan, said.denial)));
    all.extend(ending::unended(said));
    all.iter().map(|reason| bounded(reason, 400)).collect()
}

/// Bounds the reasons of a closed case.
pub fn bounded_reasons(mut closed: Closed) -> Closed {
    let more = closed.reasons.len().saturating_sub(MOST_REASONS);
    if more > 0 {
        closed.reasons.truncate(MOST_REASONS);
        closed.reasons.push(format!("and {more} more, in the report"));
    }
    closed
}
