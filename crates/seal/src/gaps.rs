//! Where the records do not tell everything: an intent without its outcome, and records that were never written or are gone. Pure.

use std::collections::{BTreeMap, BTreeSet};

use incident::evidence::{CaptureStatus, ContainmentStatus, DenialScope, DenialStatus, LockdownStatus, Missing};
use incident::protection::ProtectionStatus;
use incident::record::{Phase, Record};

use crate::assess::Known;

/// The intents whose outcome nobody knows. A later outcome of the same state (a retry looks first), or a result of that
/// step that was read back, says how the change went.
pub(crate) fn unanswered(known: Known<'_>, records: &[Record]) -> Vec<Missing> {
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

/// The records that should be there by those that are. A visit counts its pairs from 1, so that a number that is passed over
/// was given to a record that could not be written, or was lost with the process that wrote it; and an outcome that tells of
/// changes comes after its intent. Of a visit whose last record is lost nothing but the state's own failure tells.
pub(crate) fn lost(records: &[Record]) -> Vec<Missing> {
    let mut visits: BTreeMap<_, BTreeMap<u32, Vec<&Record>>> = BTreeMap::new();
    for record in records {
        let visit = (record.visit.entered, record.visit.state.as_str(), record.visit.retry);
        visits.entry(visit).or_default().entry(record.number).or_default().push(record);
    }
    let mut all = Vec::new();
    for numbers in visits.values() {
        let Some((last, any)) = numbers.last_key_value().and_then(|(last, of)| Some((*last, *of.first()?))) else { continue };
        let given: BTreeSet<u32> = numbers.keys().copied().collect();
        // As many as a visit can have: a number comes from a document, and only as such is it believed.
        for number in (1..last).filter(|number| !given.contains(number)).take(MOST_LOST) {
            let name = Record { number, phase: Phase::Intent, ..any.clone() }.name();
            let reason = "its number was given and no such record is there: it could not be written, or it was lost in a crash; look \
                          at what CloudTrail has of that minute";
            all.push(Missing::new(format!("record:{name}"), reason));
        }
        for pair in numbers.values() {
            let intended = pair.iter().any(|record| record.phase == Phase::Intent);
            if let Some(outcome) = pair.iter().find(|record| !intended && !record.changes.is_empty()) {
                let reason = "it tells of changes, and the intent before them is not there: it was lost, or never written";
                all.push(Missing::new(format!("intent:{}", outcome.name()), reason));
            }
        }
    }
    all
}

/// The most records of a visit that are named as lost.
const MOST_LOST: usize = 20;
