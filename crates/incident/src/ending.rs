//! How the end of the target went: permission and termination, as the report and the notices say it. Pure.

use crate::evidence::{Permission, PermissionStatus, Refusal, Termination, TerminationStatus};
use crate::permission::Decision;
use crate::said::Said;
use crate::text::bounded;

/// The most people and refusals that are named in one sentence.
const MOST: usize = 8;

impl Said<'_> {
    /// Whether EC2 was read back as having ended the target: nothing of it is left to contain.
    pub fn terminated(&self) -> bool {
        self.termination.is_some_and(|termination| termination.status == TerminationStatus::Terminated)
    }
}

/// What was said and done about the end of the target, one sentence each; empty where nobody was to be asked.
pub fn said(said: Said<'_>) -> Vec<String> {
    let asked = said.permission.map(answered);
    let ended = said.termination.map(ended);
    asked.into_iter().chain(ended).map(|sentence| bounded(&sentence, 600)).collect()
}

/// Why the end of the target is not as planned, in one sentence. A denial and silence are as planned: it stays in quarantine.
pub fn unended(said: Said<'_>) -> Option<String> {
    let asked = said.permission.filter(|permission| permission.status == PermissionStatus::NotAsked).map(answered);
    let ended = said.termination.filter(|termination| termination.status != TerminationStatus::Terminated).map(ended);
    ended.or(asked).map(|sentence| bounded(sentence.trim_end_matches('.'), 400))
}

/// What a person must do about the end of the target; `target` is its name in a sentence.
pub fn todo(said: Said<'_>, target: &str) -> Option<String> {
    Some(match said.termination?.status {
        TerminationStatus::Terminated => return None,
        TerminationStatus::Refused => {
            format!("see to what the guard has against the end of {target}, then end it by hand, or keep it")
        }
        TerminationStatus::NotTerminated => format!("find out why EC2 did not terminate {target}"),
        TerminationStatus::Unknown => format!("look whether {target} is terminated: nobody could read it back"),
    })
}

fn answered(permission: &Permission) -> String {
    let people = |decision: Decision| {
        let who = permission.answers.iter().filter(|answer| answer.decision == decision);
        who.take(MOST).map(|answer| answer.person.as_str()).collect::<Vec<_>>().join(", ")
    };
    match permission.status {
        PermissionStatus::Approved => format!("Its termination was APPROVED by {}.", people(Decision::Approve)),
        PermissionStatus::Denied => {
            let denials = permission.answers.iter().filter(|answer| answer.decision == Decision::Deny);
            let why = denials.map(|answer| answer.because.as_str()).next().unwrap_or_default();
            format!("Its termination was DENIED by {}: {}.", people(Decision::Deny), why.trim_end_matches(['.', ' ']))
        }
        PermissionStatus::Silence => {
            "Too few people answered in time whether it may be terminated, so that it stays in quarantine.".to_owned()
        }
        PermissionStatus::NotAsked => {
            let why = permission.failure.as_ref();
            let why = why.map(|failure| format!(": {} failed with {}: {}", failure.state, failure.error, failure.cause));
            format!("Nobody could be asked whether it may be terminated{}.", why.unwrap_or_default().trim_end_matches(['.', ' ']))
        }
    }
}

fn ended(termination: &Termination) -> String {
    let why = || {
        let refusals = termination.refusals.iter().take(MOST).map(reason);
        let failure = termination.failure.iter().map(|f| format!("{} failed with {}: {}", f.state, f.error, f.cause));
        let all: Vec<String> = refusals.chain(termination.reasons.iter().cloned()).chain(failure).collect();
        if all.is_empty() { String::new() } else { format!(": {}", all.join("; ").trim_end_matches(['.', ' '])) }
    };
    match termination.status {
        TerminationStatus::Terminated => {
            format!("It is TERMINATED, by the word of {}; EC2 says {}.", termination.by.join(", "), termination.state)
        }
        TerminationStatus::Refused => format!("The guard REFUSED to terminate it{}.", why()),
        TerminationStatus::NotTerminated => format!("It is NOT terminated, though that was allowed{}.", why()),
        TerminationStatus::Unknown => format!("It is NOT KNOWN whether it is terminated{}.", why()),
    }
}

fn reason(refusal: &Refusal) -> String {
    if refusal.subject.is_empty() { refusal.reason.clone() } else { format!("{}: {}", refusal.subject, refusal.reason) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn permission(status: &str, answers: &Value) -> Permission {
        let failure = (status == "notAsked").then(|| json!({"state": "AskPermission", "error": "Denied", "cause": "no topic"}));
        serde_json::from_value(json!({"status": status, "answers": answers, "failure": failure})).unwrap()
    }

    fn answer(person: &str, decision: &str) -> Value {
        let object = json!({"key": "k", "versionId": "v", "sha256": "", "size": 1});
        json!({"person": person, "decision": decision, "because": "still needed.", "object": object})
    }

    fn termination(status: &str) -> Termination {
        serde_json::from_value(json!({
            "status": status, "by": ["1/user/alice"], "state": "shutting-down", "readBackAt": null,
            "refusals": if status == "refused" { json!([{"kind": "protected", "subject": "keep", "reason": "it has the tag"}]) } else { json!([]) },
            "reasons": if status == "notTerminated" { json!(["EC2 said no"]) } else { json!([]) },
            "failure": if status == "unknown" { json!({"state": "Terminate", "error": "Transient", "cause": "lost"}) } else { Value::Null },
        }))
        .unwrap()
    }

    #[test]
    fn people_hear_what_was_decided_and_what_came_of_it() {
        let cases = [
            (
                permission("approved", &json!([answer("1/user/a", "approve"), answer("1/user/b", "approve")])),
                "Its termination was APPROVED by 1/user/a, 1/user/b.",
                true,
            ),
            (
                permission("denied", &json!([answer("1/user/a", "approve"), answer("1/user/b", "deny")])),
                "Its termination was DENIED by 1/user/b: still needed.",
                true,
            ),
            (
                permission("silence", &json!([])),
                "Too few people answered in time whether it may be terminated, so that it stays in quarantine.",
                true,
            ),
            (
                permission("notAsked", &json!([])),
                "Nobody could be asked whether it may be terminated: AskPermission failed with Denied: no topic.",
                false,
            ),
        ];
        for (permission, expected, planned) in cases {
            let found = Said { permission: Some(&permission), ..Said::default() };
            assert_eq!(said(found), [expected]);
            assert_eq!(unended(found).is_none(), planned, "{expected}");
        }
        for (status, expected, planned) in [
            ("terminated", "It is TERMINATED, by the word of 1/user/alice; EC2 says shutting-down.", true),
            ("refused", "The guard REFUSED to terminate it: keep: it has the tag.", false),
            ("notTerminated", "It is NOT terminated, though that was allowed: EC2 said no.", false),
            ("unknown", "It is NOT KNOWN whether it is terminated: Terminate failed with Transient: lost.", false),
        ] {
            let termination = termination(status);
            let found = Said { termination: Some(&termination), ..Said::default() };
            assert_eq!(said(found), [expected]);
            assert_eq!(unended(found).is_none(), planned, "{status}");
            assert_eq!(todo(found, "i-1").is_none(), planned, "{status}");
            assert_eq!(found.terminated(), planned, "{status}");
        }
        assert_eq!((said(Said::default()), unended(Said::default()), todo(Said::default(), "")), (vec![], None, None));
    }
}
