//! What is missing from the evidence, and what did not go as planned. Pure.

use std::collections::BTreeMap;

use incident::copies::{Copies, CopyPlan, SnapshotCopy};
use incident::evidence::{
    Closed, Containment, ContainmentStatus, Failure, Freeze, LockOutcome, Missing, Preserved, Sealed, Taken,
};
use incident::manifest::{SealedCopy, SealedSnapshot, SnapshotAtSeal};
use incident::plan::{Cut, LockMode, Plan};
use incident::record::Record;
use incident::said::{self, Said};
use incident::text::bounded;
use incident::{SnapshotId, ending};

use crate::gaps;

/// What the branches said. Absent where a run broke before it could say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// What was done to the target, and what was taken from it.
    pub said: Said<'a>,
    /// What was frozen.
    pub freeze: Option<&'a Freeze>,
    /// How the wait for the snapshots ended.
    pub preserved: Option<&'a Preserved>,
    /// How the copying of the snapshots ended.
    pub copies: Option<&'a Copies>,
}

/// Everything that should be there and is not, each item once. A containment that was withheld by plan is among it: it is
/// as planned, but a target that is not contained must not count as fully preserved. So is memory that there was no way to.
pub fn missing(plan: &Plan, known: Known<'_>, snapshots: &[SealedSnapshot], records: &[Record]) -> Vec<Missing> {
    let mut all = Vec::new();
    if !plan.target.state.is_alive() {
        all.push(Missing::new("target", "the instance is terminated or AWS does not know it: nothing of it could be contained"));
    }
    all.extend(uncontained(known.said.containment));
    all.extend(said::unlocked(plan, known.said.lockdown));
    all.extend(said::uncaptured(plan, known.said.memory));
    // One that was given up, and came after all, is there.
    let came = |missing: &Missing| {
        let mut completed = snapshots.iter().filter(|sealed| sealed.at_seal.as_ref().is_some_and(SnapshotAtSeal::is_completed));
        completed.any(|sealed| missing.item == format!("snapshot:{}", sealed.taken.volume_id))
    };
    all.extend(known.preserved.iter().flat_map(|preserved| preserved.missing.clone()).filter(|missing| !came(missing)));
    all.extend(known.freeze.iter().flat_map(|freeze| freeze.missing.clone()));
    all.extend(unfrozen(plan, known, snapshots));
    all.extend(uncopied(plan, known, snapshots));
    all.extend(gaps::unanswered(known, records));
    all.extend(gaps::lost(records));
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

fn unfrozen(plan: &Plan, known: Known<'_>, snapshots: &[SealedSnapshot]) -> Vec<Missing> {
    let mut all = Vec::new();
    for volume in &plan.target.volumes {
        let item = format!("snapshot:{}", volume.id);
        let Some(snapshot) = snapshots.iter().find(|sealed| sealed.taken.volume_id == volume.id) else {
            let reason = match known.freeze.map(|freeze| &freeze.failure) {
                Some(Some(failure)) => format!("{} failed with {}: {}", failure.state, failure.error, failure.cause),
                Some(None) => "no snapshot of it was taken".to_owned(),
                None => format!("the run broke before it could say: look for snapshots tagged cordon:case={}", plan.case_id),
            };
            all.push(Missing::new(item, reason));
            continue;
        };
        all.extend(uncompleted(known, snapshot).map(|reason| Missing::new(item, reason)));
        let item = format!("snapshot-lock:{}", snapshot.taken.snapshot_id);
        all.extend(lock_wanting(plan, snapshot.at_seal.as_ref(), &snapshot.taken.lock).map(|reason| Missing::new(item, reason)));
    }
    all
}

/// What is missing of the copies that the plan asks for: of every snapshot that is there, and as EC2 has them now.
fn uncopied(plan: &Plan, known: Known<'_>, snapshots: &[SealedSnapshot]) -> Vec<Missing> {
    let Some(copies) = &plan.copies else { return Vec::new() };
    // One that was given up, and came after all, is there.
    let came = |missing: &Missing| {
        let mut completed = snapshots.iter().filter(|sealed| copy_at_seal(sealed).is_some_and(SnapshotAtSeal::is_completed));
        completed.any(|sealed| missing.item == format!("copy:{}", sealed.taken.volume_id))
    };
    let said = known.copies.iter().flat_map(|copies| copies.missing.clone());
    let mut all: Vec<Missing> = said.filter(|missing| !came(missing)).collect();
    for sealed in snapshots.iter().filter(|sealed| sealed.is_completed()) {
        let item = format!("copy:{}", sealed.taken.volume_id);
        match &sealed.copy {
            None => {
                let why = match known.copies.map(|copies| &copies.failure) {
                    Some(Some(failure)) => format!("{} failed with {}: {}", failure.state, failure.error, failure.cause),
                    Some(None) => format!("no copy of {} was begun: copy it by hand", sealed.taken.snapshot_id),
                    None => format!("the run broke before it could say: look for snapshots tagged cordon:copy={}", plan.case_id),
                };
                all.push(Missing::new(item, why));
            }
            Some(SealedCopy { copy, at_seal: Some(now) }) if !now.is_completed() => {
                all.push(Missing::new(item, format!("{} is {} when the evidence is sealed", copy.snapshot_id, now.state)));
            }
            Some(SealedCopy { copy, at_seal: None }) if !copy.is_completed() => {
                all.push(Missing::new(item, format!("{} is {} at {} %", copy.snapshot_id, copy.state, copy.percent)));
            }
            Some(SealedCopy { copy, at_seal }) => {
                let item = format!("copy-lock:{}", copy.snapshot_id);
                all.extend(lock_wanting(plan, at_seal.as_ref(), &copy.lock).map(|reason| Missing::new(item, reason)));
                all.extend(unshared(plan, copies, copy));
            }
        }
    }
    all
}

/// Whom a copy is not shared with and should be, and the other way round.
fn unshared(plan: &Plan, copies: &CopyPlan, copy: &SnapshotCopy) -> Option<Missing> {
    let planned: Vec<&str> = copies.accounts(&plan.target.account).collect();
    let without: Vec<&str> = planned.iter().copied().filter(|account| !copy.shared_with.iter().any(|id| id == account)).collect();
    let others: Vec<&str> = copy.shared_with.iter().map(String::as_str).filter(|id| !planned.contains(id)).collect();
    let without = (!without.is_empty()).then(|| format!("it is not shared with {}", without.join(", ")));
    let others = (!others.is_empty())
        .then(|| format!("it is shared with {}, which the plan does not name: find out who did that", others.join(", ")));
    let said: Vec<String> = without.into_iter().chain(others).collect();
    (!said.is_empty()).then(|| Missing::new(format!("copy-share:{}", copy.snapshot_id), said.join("; ")))
}

fn copy_at_seal(sealed: &SealedSnapshot) -> Option<&SnapshotAtSeal> {
    sealed.copy.as_ref().and_then(|copy| copy.at_seal.as_ref())
}

/// Why a snapshot does not count as completed.
fn uncompleted(known: Known<'_>, snapshot: &SealedSnapshot) -> Option<String> {
    let id = &snapshot.taken.snapshot_id;
    match (&snapshot.at_seal, &snapshot.look) {
        (Some(now), _) if now.is_completed() => None,
        (Some(now), _) if now.state == "gone" => Some(format!(
            "{id} was taken, and EC2 does not know it any more: look for it in the Recycle Bin, and for who deleted it"
        )),
        (Some(now), look) => {
            let percent =
                look.as_ref().map_or_else(String::new, |look| format!(", at {} % when it was last looked at", look.percent));
            Some(format!("{id} is {}{percent}", now.state))
        }
        (None, Some(look)) if look.state == "completed" => {
            Some(format!("{id} was completed, but EC2 would not say how it stood when the evidence was sealed"))
        }
        (None, Some(look)) => Some(format!("{id} is {} at {} %", look.state, look.percent)),
        (None, None) => {
            let failure = known.preserved.and_then(|preserved| preserved.failure.as_ref());
            let why =
                failure.map_or_else(|| "nobody looked".to_owned(), |failure| format!("{}: {}", failure.error, failure.cause));
            Some(format!("{id} was not seen completed ({why})"))
        }
    }
}

/// What is wrong with a snapshot's lock, by the plan; what EC2 says now counts more than what was said when it was locked.
fn lock_wanting(plan: &Plan, now: Option<&SnapshotAtSeal>, locked: &LockOutcome) -> Option<String> {
    let lock = match (now, locked) {
        (Some(now), _) if now.state == "gone" => return None,
        (Some(now), taken) => match (&now.lock, taken) {
            (Some(lock), _) => (lock.mode, lock.days),
            (None, LockOutcome::NotLocked { reason }) => return Some(reason.clone()),
            (None, LockOutcome::Locked { .. }) => {
                return Some("it was locked, and has no lock any more: lock it again, and find out who took it off".to_owned());
            }
        },
        (None, LockOutcome::NotLocked { reason }) => return Some(reason.clone()),
        (None, LockOutcome::Locked { mode, days }) => (*mode, *days),
    };
    let planned = plan.snapshot_lock;
    match lock {
        (_, days) if days < planned.days => Some(format!("it is locked for {days} days, the plan says {}", planned.days)),
        (mode, _) if planned.mode == LockMode::Compliance && mode != LockMode::Compliance => {
            Some("it is locked in governance mode, the plan says compliance".to_owned())
        }
        _ => None,
    }
}

/// Each snapshot with the last look at it, and with what EC2 says of it now, where it does.
pub fn snapshots(known: Known<'_>, now: Option<&BTreeMap<SnapshotId, SnapshotAtSeal>>) -> Vec<SealedSnapshot> {
    let looks = known.preserved.map(|preserved| preserved.snapshots.as_slice()).unwrap_or_default();
    let taken = known.freeze.map(|freeze| freeze.snapshots.as_slice()).unwrap_or_default();
    let copies = known.copies.map(|copies| copies.copies.as_slice()).unwrap_or_default();
    let at_seal = |id: &SnapshotId| now.and_then(|now| now.get(id)).cloned();
    let sealed = |taken: &Taken| SealedSnapshot {
        taken: taken.clone(),
        look: looks.iter().find(|look| look.snapshot_id == taken.snapshot_id).cloned(),
        at_seal: at_seal(&taken.snapshot_id),
        copy: copies
            .iter()
            .find(|copy| copy.of == taken.snapshot_id)
            .map(|copy| SealedCopy { copy: copy.clone(), at_seal: at_seal(&copy.snapshot_id) }),
    };
    taken.iter().map(sealed).collect()
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
    all.extend(plan.and_then(|plan| said::uncollected(plan, said.context)));
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
