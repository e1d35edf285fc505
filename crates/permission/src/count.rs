//! Who has answered, and what follows. Pure.

use incident::evidence::{AnswerRef, ObjectRef, Permission, PermissionStatus};
use incident::permission::{Answered, Decision};
use incident::text::bounded;

/// What the answers come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// How many people approve.
    pub approvals: usize,
    /// The verdict, where there is one.
    pub verdict: Option<Permission>,
}

/// Counts the answers to one manifest. A denial ends the question, whoever approved; one person counts once, and names that
/// differ in case alone are one person's, since IAM and Identity Center have no two such.
pub fn count(answers: &[(Answered, ObjectRef)], manifest: &str, needed: u8) -> Count {
    let of = |decision: Decision| {
        let mut people: Vec<AnswerRef> = Vec::new();
        for (answer, object) in answers {
            let fits = answer.statement.decision == decision && answer.statement.manifest == manifest;
            if fits && !people.iter().any(|known| known.person.eq_ignore_ascii_case(&answer.person)) {
                people.push(AnswerRef {
                    person: answer.person.clone(),
                    decision,
                    because: bounded(&answer.statement.because, 200),
                    object: object.clone(),
                });
            }
        }
        people
    };
    let (approve, deny) = (of(Decision::Approve), of(Decision::Deny));
    let approvals = approve.len();
    let status = if !deny.is_empty() {
        Some(PermissionStatus::Denied)
    } else if approvals >= usize::from(needed) {
        Some(PermissionStatus::Approved)
    } else {
        None
    };
    let answers = approve.into_iter().chain(deny).collect();
    Count { approvals, verdict: status.map(|status| Permission { status, answers, failure: None }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PermissionStatus::{Approved, Denied};
    use serde_json::json;

    fn answer(person: &str, decision: &str, manifest: &str) -> (Answered, ObjectRef) {
        let answered = json!({"schema": "cordon.answer.v1", "caseId": "i-0abc1234def567890-0123456789ab",
            "execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "person": person, "arn": "arn", "account": "1",
            "signedAt": "", "at": "2026-11-25T10:00:00Z", "by": "x:1",
            "statement": {"schema": "cordon.statement.v1", "caseId": "i-0abc1234def567890-0123456789ab", "manifest": manifest, "decision": decision,
                "waive": [], "because": "why"}});
        let object = json!({"key": person, "versionId": "1", "sha256": "", "size": 1});
        (serde_json::from_value(answered).unwrap(), serde_json::from_value(object).unwrap())
    }

    #[test]
    fn enough_people_approve_or_one_denies() {
        let (a, b, again) = (answer("a", "approve", "m"), answer("b", "approve", "m"), answer("a", "approve", "m"));
        let (deny, stale) = (answer("c", "deny", "m"), answer("d", "approve", "other"));
        for (answers, needed, approvals, status) in [
            (vec![], 1, 0, None),
            (vec![a.clone()], 1, 1, Some(Approved)),
            (vec![a.clone()], 2, 1, None),
            (vec![a.clone(), again], 2, 1, None),
            (vec![a.clone(), stale], 2, 1, None),
            (vec![a.clone(), b.clone()], 2, 2, Some(Approved)),
            (vec![a.clone(), answer("A", "approve", "m")], 2, 1, None),
            (vec![a.clone(), b, deny.clone()], 2, 2, Some(Denied)),
            (vec![deny], 1, 0, Some(Denied)),
            (vec![answer("c", "deny", "other"), a], 2, 1, None),
        ] {
            let found = count(&answers, "m", needed);
            assert_eq!(
                (found.approvals, found.verdict.map(|verdict| verdict.status)),
                (approvals, status),
                "{answers:?} of {needed}"
            );
        }
    }
}
