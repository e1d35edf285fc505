//! The end: the seal, the question to people, the end of the target, and the close.

use std::collections::BTreeSet;

use incident::evidence::{Missing, PermissionStatus, TerminationStatus};
use incident::permission::{Answered, Decision};
use incident::plan::{DispositionPlan, Terms};
use incident::record::{ChangeResult, Phase};
use incident::{CaseId, case};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::facts::Facts;
use super::{Question, Stage, State, reasons, with};
use crate::{shell, words};

/// The most missing items that are spelled out in the command. Where there are more, the command itself says which.
const MOST_ITEMS: usize = 6;

pub(super) fn seal(facts: &Facts) -> Stage {
    const NAME: &str = "seal";
    match &facts.sealed {
        Some(sealed) => {
            let missing = reasons(sealed.told.missing.iter().map(|missing| missing.item.as_str()));
            let said = if sealed.told.complete { "complete".to_owned() } else { with("NOT complete", &missing) };
            // A seal that says what is missing is as good a seal.
            Stage { ended: sealed.told.sealed_at, ..Stage::new(NAME, State::Done, said) }
        }
        None if facts.over() => Stage::new(NAME, State::Failed, "the evidence was not sealed"),
        None if facts.names.contains(case::EVIDENCE_MANIFEST) => Stage::new(NAME, State::Running, ""),
        None => Stage::new(NAME, State::Waiting, ""),
    }
}

/// Whether the target may be terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permitted {
    /// Nobody knows yet.
    Open,
    /// By people, or by the policy.
    Yes,
    /// It stays in quarantine.
    No,
}

pub(super) fn permission(case_id: &CaseId, facts: &Facts) -> (Stage, Permitted) {
    const NAME: &str = "permission";
    let terms = match facts.plan.as_ref().map(|plan| &plan.disposition) {
        Some(DispositionPlan::Quarantine { .. }) => {
            return (Stage::left_out(NAME, "the target stays in quarantine"), Permitted::No);
        }
        Some(DispositionPlan::Terminate(_)) if facts.sealed.as_ref().is_some_and(|sealed| sealed.told.complete) => {
            return (Stage::left_out(NAME, "nothing is missing, so that the policy's permission counts"), Permitted::Yes);
        }
        Some(DispositionPlan::Ask(terms) | DispositionPlan::Terminate(terms)) => terms,
        None if facts.over() => return (Stage::left_out(NAME, "there is no plan"), Permitted::No),
        None => return (Stage::new(NAME, State::Waiting, ""), Permitted::Open),
    };
    let Some(sealed) = &facts.sealed else {
        let closed = (Stage::left_out(NAME, "the evidence was not sealed"), Permitted::No);
        return if facts.over() { closed } else { (Stage::new(NAME, State::Waiting, ""), Permitted::Open) };
    };
    let asked = facts.trail(&["AskPermission"]).began();
    let about = facts.answers.values().filter(|answer| answer.statement.manifest == sealed.manifest);
    let answers: Vec<&Answered> = about.collect();
    let (stage, permitted) = answered(facts, terms, &answers);
    let question = (stage.state == State::Running).then(|| Question {
        approved: approved(&answers).len(),
        needed: terms.persons,
        until: asked.and_then(|asked| until(asked, terms)),
        command: command(case_id, &sealed.told.missing),
    });
    (Stage { began: asked, question, ..stage }, permitted)
}

/// How the question stands.
fn answered(facts: &Facts, terms: &Terms, answers: &[&Answered]) -> (Stage, Permitted) {
    let by = |decision: Decision| answers.iter().filter(move |answer| answer.statement.decision == decision);
    let begun = !facts.trail(&["Terminate"]).0.is_empty();
    let needed = usize::from(terms.persons);
    let last = answers.iter().map(|answer| answer.at).max();
    let status = facts.report.permission.as_ref().map(|permission| permission.status);
    let (state, permitted, ended, said) = match (status, by(Decision::Deny).next()) {
        (Some(status @ PermissionStatus::NotAsked), _) => {
            (State::Failed, Permitted::No, None, words::permission(status).to_owned())
        }
        // As planned: silence means quarantine.
        (Some(status @ PermissionStatus::Silence), _) => (State::Done, Permitted::No, None, words::permission(status).to_owned()),
        (_, Some(denial)) => {
            let said = with(&format!("denied by {}", denial.person), &denial.statement.because);
            (State::Done, Permitted::No, Some(denial.at), said)
        }
        _ if begun || status == Some(PermissionStatus::Approved) || approved(answers).len() >= needed => {
            let people: Vec<&str> = approved(answers).into_iter().collect();
            (State::Done, Permitted::Yes, last, format!("approved by {}", people.join(", ")))
        }
        _ if facts.over() => {
            let said = format!("the execution ended with {} of {needed} approvals", approved(answers).len());
            (State::Failed, Permitted::No, None, said)
        }
        _ => (State::Running, Permitted::Open, None, String::new()),
    };
    (Stage { ended, ..Stage::new("permission", state, said) }, permitted)
}

/// Who has approved: one person counts once.
fn approved<'a>(answers: &[&'a Answered]) -> BTreeSet<&'a str> {
    let approvals = answers.iter().filter(|answer| answer.statement.decision == Decision::Approve);
    approvals.map(|answer| answer.person.as_str()).collect()
}

fn until(asked: Timestamp, terms: &Terms) -> Option<Timestamp> {
    asked.checked_add(SignedDuration::from_secs(i64::from(terms.wait_seconds))).ok()
}

/// The command that approves, line by line; what is missing must be waived by name.
fn command(case_id: &CaseId, missing: &[Missing]) -> Vec<String> {
    let approve = format!("cordon approve {case_id}");
    if missing.is_empty() || missing.len() > MOST_ITEMS {
        return vec![approve];
    }
    let items = missing.iter().map(|missing| format!("--waive {}", shell::word(&missing.item)));
    std::iter::once(approve).chain(items).chain(["--because '…'".to_owned()]).collect()
}

pub(super) fn terminate(facts: &Facts, permitted: Permitted) -> Stage {
    const NAME: &str = "terminate";
    if let Some(DispositionPlan::Quarantine { reason }) = facts.plan.as_ref().map(|plan| &plan.disposition) {
        return Stage::left_out(NAME, reason);
    }
    let trail = facts.trail(&["Terminate"]);
    if trail.0.is_empty() && facts.report.termination.is_none() {
        return match (permitted, facts.over()) {
            (Permitted::No, _) => Stage::left_out(NAME, "it is not permitted: the target stays in quarantine"),
            (_, true) => Stage::new(NAME, State::Failed, "no record says how it went"),
            (Permitted::Yes, false) => Stage::new(NAME, State::Running, ""),
            (Permitted::Open, false) => Stage::new(NAME, State::Waiting, ""),
        };
    }
    let told = facts.report.termination.as_ref().map(|told| {
        let why = told.refusals.iter().map(|refusal| refusal.reason.as_str()).chain(told.reasons.iter().map(String::as_str));
        let good = told.status == TerminationStatus::Terminated;
        (good, with(words::termination(told.status), &if good { String::new() } else { reasons(why) }), true)
    });
    let refused = || {
        // Either the guard refused, or the target was ended: the newest outcome tells.
        let refusals = trail.outcome()?.note.get("refused")?.as_array()?;
        let why = refusals.iter().filter_map(|refusal| refusal.get("reason").and_then(Value::as_str));
        Some((false, with(words::termination(TerminationStatus::Refused), &reasons(why)), true))
    };
    let ended = || {
        let change = trail.outcome()?.changes.first()?;
        Some(match change.result.as_ref()? {
            ChangeResult::Failed { message, .. } => {
                (false, with(words::termination(TerminationStatus::NotTerminated), message), false)
            }
            ChangeResult::Done | ChangeResult::Already => {
                (true, words::termination(TerminationStatus::Terminated).to_owned(), true)
            }
        })
    };
    let went = told.or_else(refused).or_else(ended);
    let open = trail.0.last().is_some_and(|record| record.phase == Phase::Intent);
    let behind = facts.over() || (!open && went.as_ref().is_some_and(|(.., last)| *last));
    Stage::of(NAME, &trail, went.map(|(good, said, _)| (good, said)), behind)
}

/// The close, which begins when the stage before it is `last`.
pub(super) fn close(facts: &Facts, last: &Stage) -> Stage {
    const NAME: &str = "close";
    match (facts.closing.as_ref().filter(|_| facts.closed()), &facts.ended) {
        (Some(closing), _) => {
            let state = if closing.as_planned { State::Done } else { State::Failed };
            let words = if closing.as_planned { "as planned" } else { "NOT as planned" };
            let said = with(words, &reasons(closing.reasons.iter().map(String::as_str)));
            Stage { ended: Some(closing.closed_at), ..Stage::new(NAME, state, said) }
        }
        (None, Some(how)) => {
            Stage::new(NAME, State::Running, format!("the execution has ended ({how}): the last word closes the case"))
        }
        (None, None) if (facts.sealed.is_some() || facts.release.is_some()) && last.is_over() => {
            Stage::new(NAME, State::Running, "")
        }
        (None, None) => Stage::new(NAME, State::Waiting, ""),
    }
}
