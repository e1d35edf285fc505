//! What must hold of every attempt, whatever failed in it: by the calls that were heard, and not by what the step says.

use incident::record::{Change, ChangeResult, Phase, Record};
use incident::release::ReleasePlan;
use incident::{CaseId, case};

use super::faults::{CallFault, Heard};
use super::support::CLAIM;

/// A change to the account that came about.
fn made(heard: &Heard) -> Option<&Change> {
    heard.change.as_ref().filter(|_| heard.has_effect)
}

/// Whether two changes ask for the same.
fn same(one: &Change, other: &Change) -> bool {
    (&one.action, &one.subject, &one.to) == (&other.action, &other.subject, &other.to)
}

fn is(heard: &Heard, action: &str, key: &str) -> bool {
    heard.call.action == action && heard.call.key.as_deref() == Some(key)
}

/// A claim that is gone is nobody's: whether that is so, its conditional put shows.
fn is_free(heard: &Heard) -> bool {
    is(heard, "s3:GetObject", CLAIM) && heard.fault == Some(CallFault::Gone)
}

/// The place of a change among the others: what opens nothing, the network, what sends the target work, its protections.
fn place(change: &Change) -> u8 {
    match change.action.as_str() {
        "ec2:ModifyInstanceMetadataOptions" => 0,
        "ec2:ModifyNetworkInterfaceAttribute" => u8::from(change.to.get("groups").is_some()),
        "ec2:ModifyInstanceAttribute" => 3,
        _ => 2,
    }
}

/// A check writes only once everything that a release is judged by was read, and never changes the account.
pub(crate) fn of_check(heard: &[Heard], release: &CaseId, at: &str) {
    for (n, there) in heard.iter().enumerate() {
        assert_eq!(made(there), None, "{at}: a check changes nothing of the account: see check.rs");
        if there.call.action != "s3:PutObject" {
            continue;
        }
        let (key, before) = (there.call.key.clone().unwrap(), &heard[..n]);
        assert!(key == CLAIM || key == case::key(release, case::RELEASE), "{at}: a check has no business at {key}");
        let judged = ["s3:", "kms:", "states:", "ec2:DescribeInstances", "ec2:DescribeSecurityGroups"];
        let unread: Vec<&str> = before
            .iter()
            .filter(|it| !it.is_answered() && !is_free(it) && judged.iter().any(|judged| it.call.action.starts_with(judged)))
            .map(|it| it.call.action.as_str())
            .collect();
        assert!(unread.is_empty(), "{at}: {key} was written though {unread:?} was not answered: refuse for it in guard.rs");
        for needed in ["kms:Verify", "s3:ListObjectVersions", "ec2:DescribeInstances", "ec2:DescribeSecurityGroups"] {
            assert!(before.iter().any(|it| it.call.action == needed), "{at}: {key} was written without {needed}");
        }
    }
}

/// A restore changes only what an intent of its own has announced with the value that was there, opens only what it has just
/// read to be its own, and keeps its order.
pub(crate) fn of_restore(heard: &[Heard], plan: &ReleasePlan, at: &str) {
    let planned = case::key(&plan.release_id, case::RELEASE);
    for (n, there) in heard.iter().enumerate() {
        let Some(change) = &there.change else { continue };
        let before = &heard[..n];
        let durable = before.iter().rposition(|it| it.has_effect && it.is_answered() && is_intent(it, &plan.release_id));
        let durable = durable.unwrap_or_else(|| panic!("{at}: no intent was durable before {change:?}: see act.rs"));
        let intent: Record = serde_json::from_slice(&before[durable].call.bytes).unwrap();
        // What is gone by now has no value.
        let announced = intent.changes.iter().any(|it| if there.has_effect { it == change } else { same(it, change) });
        assert!(announced, "{at}: {change:?} was not announced so: {:?}", intent.changes);
        let read = |key: &str| before.iter().filter(|it| is(it, "s3:GetObject", key)).map(Heard::is_answered).next_back();
        assert_eq!(read(&planned), Some(true), "{at}: {change:?} without release.json: only what a check made durable counts");
        assert_eq!(read(CLAIM), Some(true), "{at}: {change:?} though it was not read whose the target is: see Run::stops");
        let again = before[durable..].iter().any(|it| is(it, "s3:GetObject", CLAIM));
        assert!(again || place(change) == 0, "{at}: {change:?} on a claim from before the intent: read it again in Run::stops");
        for earlier in before {
            let Some(other) = &earlier.change else { continue };
            assert!(place(other) <= place(change), "{at}: {change:?} after {other:?}: keep the order of Phase::ALL");
            let may_come = earlier.fault.is_some_and(|fault| fault.passes() || fault == CallFault::Exhausted);
            let early = may_come && place(change) == 3 && place(other) < 3;
            assert!(!early, "{at}: a protection goes though {other:?} may still come: see Left::Busy");
        }
    }
}

fn is_intent(heard: &Heard, release: &CaseId) -> bool {
    let records = case::key(release, case::RECORDS);
    let key = heard.call.key.as_deref().unwrap_or_default();
    heard.call.action == "s3:PutObject" && key.starts_with(&records) && key.ends_with("-intent.json")
}

/// Every intent has an outcome that says what came about, unless the attempt failed because it could not be written.
pub(crate) fn of_records(records: &[Record], heard: &[Heard], retry: u32, failure: Option<&str>, at: &str) {
    let of_visit = |phase: Phase| records.iter().filter(move |it| it.visit.retry == retry && it.phase == phase);
    for intent in of_visit(Phase::Intent) {
        let Some(outcome) = of_visit(Phase::Outcome).find(|it| it.number == intent.number) else {
            let unwritten = failure.is_some_and(|failure| failure.contains("s3:PutObject"));
            assert!(unwritten, "{at}: nobody knows what became of an intent, and the step says {failure:?}: write its outcome");
            continue;
        };
        let told: Vec<Change> = outcome.changes.iter().map(|change| Change { result: None, ..change.clone() }).collect();
        assert_eq!(told, intent.changes, "{at}: an outcome is about the changes of its intent");
        for change in &outcome.changes {
            let call = heard.iter().find(|it| it.change.as_ref().is_some_and(|made| same(made, change)));
            let done = call.is_some_and(|it| it.has_effect && it.is_answered());
            let said = change.result == Some(ChangeResult::Done);
            assert_eq!(said, done, "{at}: the outcome says of {change:?} what is not so");
        }
    }
    for outcome in of_visit(Phase::Outcome).filter(|it| !it.changes.is_empty()) {
        assert!(of_visit(Phase::Intent).any(|it| it.number == outcome.number), "{at}: an outcome without an intent");
    }
}

/// No change was made a second time.
pub(crate) fn of_all(heard: &[Heard], at: &str) {
    let made: Vec<&Change> = heard.iter().filter_map(made).collect();
    for (n, change) in made.iter().enumerate() {
        assert!(!made[..n].iter().any(|it| same(it, change)), "{at}: made twice: {change:?}: look before changing");
    }
}
