//! `cordon approve` and `cordon deny`: a person's word about the end of a case's target.
//!
//! INVARIANT: what is signed is about the manifest that was read and shown here, by its SHA-256, and about nothing else.
//! INVARIANT: neither the credentials nor the proof made with them is ever printed.

use aws_config::SdkConfig;
use incident::evidence::Missing;
use incident::manifest::EvidenceManifest;
use incident::permission::{Answer, Decision, Statement, Waiver};
use incident::text::{bounded, harmless, sha256};
use incident::{CaseId, Fault, InstanceId, case};
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::deployment::Deployment;
use crate::function::{self, Failure};
use crate::output::{coloured, document, note, say};
use crate::{Approve, Arguments, Deny, Error, deployment, exit, proof, shell, words};

/// Allows that a case's target is terminated.
pub(crate) async fn approve(arguments: &Arguments, given: &Approve) -> Result<u8, Error> {
    let because = given.because.clone().unwrap_or_default();
    let waiver = |item: &String| Waiver { item: item.clone(), because: because.clone() };
    let waive = given.waive.iter().map(waiver).collect();
    Box::pin(answer(arguments, &given.case, Word { decision: Decision::Approve, waive, because })).await
}

/// Forbids it.
pub(crate) async fn deny(arguments: &Arguments, given: &Deny) -> Result<u8, Error> {
    let word = Word { decision: Decision::Deny, waive: Vec::new(), because: given.because.clone() };
    Box::pin(answer(arguments, &given.case, word)).await
}

/// What the person said on the command line.
struct Word {
    decision: Decision,
    waive: Vec<Waiver>,
    because: String,
}

async fn answer(arguments: &Arguments, case_id: &CaseId, word: Word) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let (function, host) = takes_answers(arguments, &found)?;
    let bytes = Box::pin(Bucket::of(&config, &found).get(&case::key(case_id, case::EVIDENCE_MANIFEST))).await?;
    let bytes = bytes.ok_or_else(|| Error::NotSealed(case_id.clone()))?;
    let manifest = read(case_id, &bytes)?;
    propose(&manifest, word.decision);
    let statement = Statement {
        schema: Statement::SCHEMA.to_owned(),
        case_id: case_id.clone(),
        manifest: sha256(&bytes),
        decision: word.decision,
        waive: word.waive,
        because: word.because,
    };
    check(&statement, &manifest.missing)?;
    let taken = Box::pin(send(&config, function, host, &statement)).await?;
    let answered = Answered {
        schema: "cordon.answered.v1",
        case_id,
        decision: statement.decision,
        instance_id: &manifest.instance_id,
        account: manifest.execution.account(),
        manifest: &statement.manifest,
        missing: &manifest.missing,
        waive: &statement.waive,
        taken: &taken,
    };
    if arguments.json {
        document(&answered);
    } else {
        say(&coloured(&sentence(statement.decision, &taken), taken.follows(statement.decision)));
    }
    Ok(if taken.follows(statement.decision) { exit::OK } else { exit::FAILED })
}

/// The function and the STS endpoint, where the deployment has them.
fn takes_answers<'a>(arguments: &Arguments, found: &'a Deployment) -> Result<(&'a str, &'a str), Error> {
    found
        .permission_function
        .as_deref()
        .zip(found.sts_host.as_deref())
        .ok_or_else(|| function::older(arguments, "no function that takes answers"))
}

/// The manifest that the answer is about. Its signature is checked by the function that acts on it, and by `cordon verify`.
fn read(case_id: &CaseId, bytes: &[u8]) -> Result<EvidenceManifest, Error> {
    let unusable = |why: String| Error::Capture { file: case::EVIDENCE_MANIFEST.to_owned(), why };
    let manifest: EvidenceManifest = serde_json::from_slice(bytes).map_err(|error| unusable(error.to_string()))?;
    if manifest.case_id == *case_id && manifest.instance_id == case_id.instance() {
        Ok(manifest)
    } else {
        Err(unusable(format!("it is of the case {}", manifest.case_id)))
    }
}

/// Says what is decided about. On standard error, so that the result can be piped.
fn propose(manifest: &EvidenceManifest, decision: Decision) {
    let (instance, account, region) = (&manifest.instance_id, manifest.execution.account(), manifest.execution.region());
    let verb = match decision {
        Decision::Approve => "you allow",
        Decision::Deny => "you forbid",
    };
    note(&format!("{verb} that {instance} of account {account} in {region} is terminated (case {})", manifest.case_id));
    let contained = manifest.containment.as_ref().map(|containment| words::containment(containment.status));
    note(&format!("  containment  {}", contained.unwrap_or("nobody knows how contained it is")));
    let complete = if manifest.complete { "complete" } else { "NOT complete" };
    note(&format!("  evidence     sealed at {}, {complete}", manifest.sealed_at));
    for missing in &manifest.missing {
        note(&format!("  missing      {}: {}", harmless(&missing.item, 200), harmless(&missing.reason, 400)));
    }
}

/// Refuses at once what the function would refuse, and says what to type instead.
fn check(statement: &Statement, missing: &[Missing]) -> Result<(), Error> {
    if let Some(waiver) = statement.waive.iter().find(|waiver| !missing.iter().any(|missing| missing.item == waiver.item)) {
        return Err(Error::NotMissing(bounded(&waiver.item, 200)));
    }
    if statement.decision == Decision::Approve && !statement.unwaived(missing).is_empty() {
        note("to do without what is missing:");
        note(&waiving(&statement.case_id, missing, &statement.because));
        return Err(Error::NotWaived);
    }
    Ok(statement.check()?)
}

/// The command that waives everything that is missing.
fn waiving(case_id: &CaseId, missing: &[Missing], because: &str) -> String {
    let items: String = missing.iter().map(|missing| format!(" --waive {}", shell::word(&missing.item))).collect();
    let because = if because.trim().is_empty() { "'…'".to_owned() } else { shell::word(because) };
    format!("cordon approve {case_id}{items} --because {because}")
}

/// Signs the statement and hands it to the function.
async fn send(config: &SdkConfig, function: &str, host: &str, statement: &Statement) -> Result<Taken, Error> {
    let proof = Box::pin(proof::prove(config, host, statement)).await?;
    let text = String::from_utf8_lossy(&statement.bytes()).into_owned();
    let payload = Payload { mode: "answer", answer: Answer { statement: text, proof } };
    Box::pin(function::run(config, function, &payload)).await?.map_err(failure)
}

/// A refusal is an answer, and says what to do by itself.
fn failure(failure: Failure) -> Error {
    let Failure { error, message } = failure;
    if error == Fault::Refused.name() { Error::Refused(message) } else { Error::Function { error, message } }
}

/// What the function takes.
#[derive(Serialize)]
struct Payload {
    mode: &'static str,
    #[serde(flatten)]
    answer: Answer,
}

/// How the question stands, now that the answer is taken. Unknown fields are those of later versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Taken {
    status: Standing,
    person: String,
    arn: String,
    approvals: u32,
    needed: u32,
    #[serde(default)]
    repeated: bool,
}

/// How the question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Standing {
    Waiting,
    Approved,
    Denied,
}

impl Taken {
    /// Whether the question went the way of the answer.
    fn follows(&self, decision: Decision) -> bool {
        (self.status == Standing::Denied) == (decision == Decision::Deny)
    }
}

/// `cordon.answered.v1`: the answer as it was taken. `missing` and `waive` are those of the evidence manifest and of the
/// statement; `status` is `waiting`, `approved` or `denied`; `approvals` of `needed` people have approved; `repeated` says
/// that the same answer had been taken before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    schema: &'static str,
    case_id: &'a CaseId,
    decision: Decision,
    instance_id: &'a InstanceId,
    account: &'a str,
    manifest: &'a str,
    missing: &'a [Missing],
    waive: &'a [Waiver],
    #[serde(flatten)]
    taken: &'a Taken,
}

fn sentence(decision: Decision, taken: &Taken) -> String {
    let Taken { approvals, needed, .. } = taken;
    let person = harmless(&taken.person, 200);
    let again = if taken.repeated { " (you had said so before)" } else { "" };
    match (taken.status, decision) {
        (Standing::Waiting, _) => {
            let left = needed.saturating_sub(*approvals);
            format!("taken from {person}{again}: {approvals} of {needed} have approved, {left} more must")
        }
        (Standing::Approved, Decision::Approve) => {
            format!("approved by {person}{again}, {approvals} of {needed}: the target is terminated once the guard agrees")
        }
        (Standing::Approved, Decision::Deny) => {
            format!("too late, {person}{again}: {approvals} of {needed} had approved already")
        }
        (Standing::Denied, Decision::Deny) => format!("denied by {person}{again}: the target stays in quarantine"),
        (Standing::Denied, Decision::Approve) => {
            format!("taken from {person}{again}, but somebody has denied it: the target stays in quarantine")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_command_that_waives_names_every_item_and_is_safe_to_paste() {
        let case_id = CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap();
        let missing = [Missing::new("memory", "no path"), Missing::new("object:a'; rm -rf /", "unlocked")];
        assert_eq!(
            waiving(&case_id, &missing, "it's known"),
            r"cordon approve i-0abc1234def567890-0123456789ab --waive memory --waive 'object:a'\''; rm -rf /' --because 'it'\''s known'"
        );
        assert!(waiving(&case_id, &missing[..1], " ").ends_with("--waive memory --because '…'"));
    }

    #[test]
    fn what_the_function_says_is_bounded_and_a_refusal_is_told_from_a_failure() {
        for (payload, expected) in [
            (json!({"errorType": "Refused", "errorMessage": "too late"}), "refused: too late".to_owned()),
            (
                json!({"errorType": "Transient", "errorMessage": "a\u{1b}[2Jb"}),
                "the function that takes answers failed (Transient): a [2Jb; try again, an answer counts once".to_owned(),
            ),
            (
                json!(["what"]),
                "the function that takes answers failed (Unhandled): it said nothing that can be read; try again, an answer counts once"
                    .to_owned(),
            ),
        ] {
            assert_eq!(failure(function::failure("Unhandled", payload.to_string().as_bytes())).to_string(), expected);
        }
        let long = json!({"errorType": "Refused", "errorMessage": "x".repeat(5_000)});
        assert!(failure(function::failure("Unhandled", long.to_string().as_bytes())).to_string().len() < 1_000);
    }

    #[test]
    fn an_answer_that_the_question_did_not_follow_is_no_success() {
        use Decision::{Approve, Deny};
        for (status, decision, follows) in [
            ("waiting", Approve, true),
            ("approved", Approve, true),
            ("denied", Approve, false),
            ("denied", Deny, true),
            ("waiting", Deny, false),
            ("approved", Deny, false),
        ] {
            let taken = json!({"status": status, "person": "p", "arn": "a", "approvals": 1, "needed": 2, "case": "later"});
            let taken: Taken = serde_json::from_value(taken).unwrap();
            assert_eq!(taken.follows(decision), follows, "{status} {decision:?}");
        }
    }
}
