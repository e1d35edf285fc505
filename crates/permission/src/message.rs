//! What people are told: the question, and answers that did not count. Pure.

use std::fmt::Write as _;

use incident::evidence::{Missing, Sealed};
use incident::permission::{Decision, Statement};
use incident::plan::{Plan, Terms};
use incident::text::{bounded, harmless};
use incident::{ExecutionArn, InstanceId, Visit};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// The most missing items that a message lists; the command names each all the same.
const MOST: usize = 20;

/// A message as people and programs get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// For programs: `cordon.notice.v1`.
    pub document: Value,
    /// For people.
    pub text: String,
}

impl Message {
    /// As SNS takes it with `MessageStructure=json`.
    pub fn structured(&self) -> String {
        let short: String = self.subject.chars().take(280).collect();
        json!({"default": self.document.to_string(), "email": self.text, "sms": short}).to_string()
    }
}

/// The question whether a target may be terminated.
pub fn question(plan: &Plan, sealed: &Sealed, terms: &Terms, visit: &Visit) -> Message {
    let target = &plan.target.instance_id;
    let until = visit.entered.checked_add(SignedDuration::from_secs(i64::from(terms.wait_seconds))).unwrap_or(visit.entered);
    let until = until.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let people = if terms.persons == 1 { "One person".to_owned() } else { format!("{} different people", terms.persons) };
    let state = format!(
        "Proposed: TERMINATE {target} for good. {people} must approve until {until}; silence means that it stays in quarantine."
    );
    let missing: Vec<String> = sealed.missing.iter().take(MOST).map(line).collect();
    let (approve, deny) = commands(plan.case_id.as_str(), &sealed.missing);
    let evidence = if sealed.complete {
        "Its evidence is complete, sealed and locked.".to_owned()
    } else {
        "Its evidence is NOT complete: who approves does without what is missing, by name.".to_owned()
    };
    let mut text = format!("Cordon: {target}: may it be terminated?\n\n{state}\n{evidence}\n");
    if !missing.is_empty() {
        text.push_str("\nMissing from the evidence:\n");
        for item in &missing {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "- {item}");
        }
        let more = sealed.missing.len().saturating_sub(MOST);
        if more > 0 {
            let _ = writeln!(text, "- and {more} more, in the evidence manifest");
        }
    }
    let finding = &plan.finding;
    let (kind, title) = (harmless(&finding.kind, 200), harmless(&finding.title, 300));
    let _ = write!(
        text,
        "\nFinding: {kind} (severity {}): {title}\n\nLook first:\n  cordon show {case}\n  cordon verify {case}\nThen answer, within your own AWS session:\n  {approve}\n  {deny}\n\nCase: {case}\nTarget account and Region: {} {}\nExecution: {}\n",
        finding.severity,
        plan.target.account,
        plan.target.region,
        console(&visit.execution),
        case = plan.case_id,
    );
    let document = json!({
        "schema": "cordon.notice.v1", "kind": "permission", "caseId": plan.case_id, "execution": visit.execution,
        "target": {"instanceId": target, "account": plan.target.account, "region": plan.target.region},
        "state": state, "complete": sealed.complete, "missing": missing, "persons": terms.persons, "until": until,
        "todo": [approve, deny], "console": console(&visit.execution),
    });
    Message { subject: format!("Cordon: {target}: may it be terminated? Answer"), document, text }
}

/// An answer that did not count.
pub fn refused(statement: &Statement, execution: Option<&ExecutionArn>, reason: &str) -> Message {
    let target: InstanceId = statement.case_id.instance();
    let what = if statement.decision == Decision::Approve { "approve" } else { "deny" };
    let reason = harmless(reason, 600);
    let state = format!("Somebody tried to {what} the termination of {target}, and it does not count: {reason}");
    let todo = "If it was you, answer again as it says. If it was nobody you know, find out in CloudTrail who invoked cordon-permission.";
    let case = &statement.case_id;
    let document = json!({
        "schema": "cordon.notice.v1", "kind": "refusedAnswer", "caseId": case, "execution": execution, "target": {"instanceId": target},
        "state": state, "todo": [todo],
    });
    let text = format!("Cordon: {target}: an answer was refused\n\n{state}\n\n{todo}\n\nCase: {case}\n");
    Message { subject: format!("Cordon: {target}: an answer was refused"), document, text }
}

fn line(missing: &Missing) -> String {
    harmless(&format!("{}: {}", missing.item, missing.reason), 500)
}

/// The exact commands of somebody who approves, or denies.
fn commands(case: &str, missing: &[Missing]) -> (String, String) {
    let mut approve = format!("cordon approve {case}");
    for missing in missing {
        approve.push_str(" --waive ");
        approve.push_str(&word(&missing.item));
    }
    if !missing.is_empty() {
        approve.push_str(" --because 'why it can be done without'");
    }
    (approve, format!("cordon deny {case} --because 'why'"))
}

/// `text` as one word of a shell, on one line.
fn word(text: &str) -> String {
    let text = bounded(text, 400);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The one link in a message: made of parsed ids alone.
fn console(execution: &ExecutionArn) -> String {
    let region = execution.region();
    format!("https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_pastes_is_one_word_whatever_it_holds() {
        for (item, expected) in [
            ("memory", "memory"),
            ("snapshot:vol-0abc", "snapshot:vol-0abc"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", r"'it'\''s'"),
            ("a\nb", "'a b'"),
            ("", "''"),
        ] {
            assert_eq!(word(item), expected);
        }
    }
}
