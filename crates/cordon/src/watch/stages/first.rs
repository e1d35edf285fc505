//! The first seconds: triage, the cut, what keeps the target alive, the credentials, and the point in time of the snapshots.

use incident::evidence::{ContainmentStatus, Denial, DenialStatus};
use incident::plan::{Cut, DenialPlan};
use incident::protection::ProtectionStatus;
use serde::Deserialize as _;
use serde_json::Value;

use super::super::facts::{Facts, Trail};
use super::{Stage, State, reasons, with};
use crate::words;

pub(super) fn triage(facts: &Facts) -> Stage {
    match &facts.plan {
        Some(plan) => {
            let said = format!("{}, severity {}", plan.finding.kind, plan.finding.severity);
            Stage { began: Some(plan.opened), ..Stage::new("triage", State::Done, said) }
        }
        None if facts.over() => Stage::new("triage", State::Failed, "no plan was made"),
        None => Stage::new("triage", State::Running, ""),
    }
}

pub(super) fn isolate(facts: &Facts) -> Stage {
    const NAME: &str = "isolate";
    if let Some(Cut::AskFirst { reasons }) = facts.plan.as_ref().map(|plan| &plan.cut) {
        return Stage::left_out(NAME, format!("a person must decide: {}", reasons.join("; ")));
    }
    let trail = facts.trail(&["Convert", "Isolate", "CloseDoor", "CloseDoorAfterFailure"]);
    let told = facts.told(|told| told.containment.as_ref());
    let went = told.map(|told| (told.status, reasons(told.reasons.iter().map(String::as_str)))).or_else(|| {
        let (record, status) = trail.noted("status")?;
        Some((ContainmentStatus::deserialize(status).ok()?, noted_reasons(&record.note)))
    });
    let good = |status| matches!(status, ContainmentStatus::Contained | ContainmentStatus::NothingToCut);
    let went = went.map(|(status, why)| (good(status), with(words::containment(status), if good(status) { "" } else { &why })));
    let stage = Stage::of(NAME, &trail, went, behind(facts));
    waits_for_triage(facts, stage)
}

pub(super) fn protect(facts: &Facts) -> Stage {
    const NAME: &str = "protect";
    let trail = facts.trail(&["Protect"]);
    let told = facts.told(|told| told.protection.as_ref());
    let went = told.map(|told| (told.status, reasons(told.reasons.iter().map(String::as_str)))).or_else(|| {
        let (record, status) = trail.noted("status")?;
        Some((ProtectionStatus::deserialize(status).ok()?, noted_reasons(&record.note)))
    });
    let good = |status| matches!(status, ProtectionStatus::Protected | ProtectionStatus::NothingToProtect);
    let went = went.map(|(status, why)| (good(status), with(words::protection(status), if good(status) { "" } else { &why })));
    waits_for_triage(facts, Stage::of(NAME, &trail, went, behind(facts)))
}

/// The reasons in a note.
fn noted_reasons(note: &Value) -> String {
    reasons(note.get("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str))
}

pub(super) fn deny_credentials(facts: &Facts) -> Stage {
    const NAME: &str = "deny credentials";
    if let Some(DenialPlan::Skip { reason }) = facts.plan.as_ref().map(|plan| &plan.credentials) {
        return Stage::left_out(NAME, reason);
    }
    let trail = facts.trail(&["DenyCredentials", "DenyAllCredentials"]);
    let noted = denial(&trail);
    let told = facts.told(|told| told.denial.as_ref()).or(noted.as_ref());
    if let Some(Denial { status: DenialStatus::Withheld, reasons: why, .. }) = told {
        return Stage::left_out(NAME, reasons(why.iter().map(String::as_str)));
    }
    let went = told.map(|told| {
        let good = matches!(told.status, DenialStatus::Denied | DenialStatus::NothingToDeny);
        let why = if good { String::new() } else { reasons(told.reasons.iter().map(String::as_str)) };
        (good, with(words::denial(told), &why))
    });
    let stage = Stage::of(NAME, &trail, went, behind(facts));
    // Lock-down comes back to it, and has its own time.
    let first = facts.trail(&["DenyCredentials"]).outcome().map(|record| record.at);
    let ended = stage.ended.map(|at| first.unwrap_or(at));
    waits_for_triage(facts, Stage { ended, ..stage })
}

/// The newest word of the records.
pub(super) fn denial(trail: &Trail<'_>) -> Option<Denial> {
    let (record, status) = trail.noted("status")?;
    let field = |name: &str| record.note.get(name).cloned().unwrap_or_default();
    let denial = serde_json::json!({"status": status, "scope": field("scope"), "role": null, "readBackAt": null,
        "reasons": field("reasons"), "risks": [], "failure": null});
    serde_json::from_value(denial).ok()
}

pub(super) fn snapshot(facts: &Facts) -> Stage {
    const NAME: &str = "snapshot";
    if facts.plan.as_ref().is_some_and(|plan| plan.target.volumes.is_empty()) {
        return Stage::left_out(NAME, "the target has no EBS volumes");
    }
    let trail = facts.trail(&["Snapshot"]);
    let undone = trail.outcome().and_then(|record| record.note.get("nothingDone")).map(|why| why.as_str().unwrap_or_default());
    let went = trail.outcome().map(|_| match (undone, trail.failures().as_slice()) {
        (Some(why), _) => (false, with("NOT taken", why)),
        (None, []) => (true, "taken and locked".to_owned()),
        (None, failures) => (false, with("NOT all taken and locked", &reasons(failures.iter().copied()))),
    });
    let stage = Stage::of(NAME, &trail, went, behind(facts));
    waits_for_triage(facts, stage)
}

/// Whether the first seconds are over.
fn behind(facts: &Facts) -> bool {
    facts.contained()
}

/// The first stages begin together, with the plan, and what they say comes with their ends.
fn waits_for_triage(facts: &Facts, stage: Stage) -> Stage {
    if facts.plan.is_some() && stage.state == State::Waiting { Stage { state: State::Running, ..stage } } else { stage }
}
