//! Which answers of people count. Pure.
//!
//! INVARIANT: an answer counts for one manifest of one case, and a person counts once, however their name is written.

use std::collections::BTreeSet;

use incident::evidence::{Missing, Refusal, RefusalKind};
use incident::permission::{Answered, Decision, person};
use incident::{CaseId, ExecutionArn, case};

use crate::guard::against;

/// One object below `approvals/`, as S3 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its full key.
    pub key: String,
    /// How many versions it has.
    pub versions: usize,
    /// Whether it has a delete marker.
    pub deleted: bool,
    /// What it says, or why it cannot be read.
    pub answered: Result<Answered, String>,
}

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The case.
    pub case: &'a CaseId,
    /// The execution that asks.
    pub execution: &'a ExecutionArn,
    /// The target's account: people of another decide nothing here.
    pub account: &'a str,
    /// The SHA-256 of the evidence manifest, in hexadecimal.
    pub manifest: &'a str,
    /// What is missing from the evidence.
    pub missing: &'a [Missing],
    /// How many people must approve; 0 where nobody must.
    pub needed: usize,
}

/// The answers that count, and what there is against the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// The people who approved, each once.
    pub by: Vec<String>,
    /// What there is against it.
    pub refusals: Vec<Refusal>,
}

/// Counts the answers.
pub fn count(kept: &[Kept], asked: Asked<'_>) -> Counted {
    let mut counted = Counted::default();
    let mut approvals: Vec<&Answered> = Vec::new();
    for answer in kept {
        match sort(answer, asked) {
            Ok(answered) if answered.statement.decision == Decision::Approve => approvals.push(answered),
            Ok(answered) => {
                let reason = format!("they denied it: {}", answered.statement.because);
                counted.refusals.push(against(RefusalKind::Denied, &answered.person, reason));
            }
            Err(refusal) => counted.refusals.push(refusal),
        }
    }
    counted.refusals.extend(asked.missing.iter().filter_map(|missing| unwaived(missing, &approvals)));
    counted.by = once(&approvals);
    counted.refusals.extend(too_few(counted.by.len(), approvals.len(), asked.needed));
    counted
}

/// The answer, if it is one to this question.
fn sort<'a>(kept: &'a Kept, asked: Asked<'_>) -> Result<&'a Answered, Refusal> {
    let forged = |reason: String| against(RefusalKind::ApprovalForged, &kept.key, reason);
    if kept.versions != 1 || kept.deleted {
        return Err(forged("it was written twice or deleted, but an answer is write-once: find out by whom".to_owned()));
    }
    let answered = kept.answered.as_ref().map_err(|reason| forged(format!("it cannot be read: {reason}")))?;
    if let Some(reason) = forgery(&kept.key, answered, asked) {
        return Err(forged(format!("{reason}: find out who wrote it")));
    }
    let same = answered.case_id == *asked.case
        && answered.statement.case_id == *asked.case
        && answered.execution == *asked.execution
        && answered.statement.manifest == asked.manifest;
    if same {
        Ok(answered)
    } else {
        let reason = "it is an answer for another manifest, case or execution: it does not count for this one";
        Err(against(RefusalKind::ApprovalStale, &answered.person, reason))
    }
}

/// Why the permission function cannot have written this.
fn forgery(key: &str, answered: &Answered, asked: Asked<'_>) -> Option<String> {
    // Derived again: the document's own word about the person is not taken.
    let derived = match person(&answered.arn) {
        Ok(derived) => derived,
        Err(error) => return Some(format!("it is by no person: {error}")),
    };
    if answered.schema != Answered::SCHEMA {
        return Some(format!("its schema is not `{}`", Answered::SCHEMA));
    }
    if derived != answered.person {
        return Some("its person is not the one of its ARN".to_owned());
    }
    if answered.account != asked.account || !derived.starts_with(&format!("{}/", asked.account)) {
        return Some(format!("it is not of the target's account {}", asked.account));
    }
    if let Err(error) = answered.statement.check() {
        return Some(error.to_string());
    }
    let name = case::key(asked.case, &case::approval(answered.statement.decision, &derived));
    (name != key).then(|| "its name is not the one of its person and decision".to_owned())
}

/// A missing item must be waived by name by everybody who approves.
fn unwaived(missing: &Missing, approvals: &[&Answered]) -> Option<Refusal> {
    let lone = std::slice::from_ref(missing);
    let holdout = approvals.iter().find(|answered| !answered.statement.unwaived(lone).is_empty());
    let who = match (holdout, approvals) {
        (Some(answered), _) => format!("{} did not waive it by name", answered.person),
        (None, []) => "nobody has waived it by name".to_owned(),
        (None, _) => return None,
    };
    let reason = format!("it is missing ({}), and {who}", missing.reason);
    Some(against(RefusalKind::EvidenceMissing, &missing.item, reason))
}

/// The people behind the answers. IAM and Identity Center know no two names that differ in case alone, so that those are one
/// person, though as names of objects they are two.
fn once(approvals: &[&Answered]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let new = |answered: &&&Answered| seen.insert(answered.person.to_lowercase());
    let mut persons: Vec<String> = approvals.iter().filter(new).map(|answered| answered.person.clone()).collect();
    persons.sort();
    persons
}

fn too_few(persons: usize, answers: usize, needed: usize) -> Option<Refusal> {
    if persons >= needed {
        None
    } else if answers >= needed {
        let reason = format!("{answers} approvals are of {persons} people, and {needed} people must approve");
        Some(against(RefusalKind::ApprovedTwiceByOne, "", reason))
    } else {
        let reason = format!("{persons} people have approved, and {needed} must");
        Some(against(RefusalKind::ApprovalMissing, "", reason))
    }
}
