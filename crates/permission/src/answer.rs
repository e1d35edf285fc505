//! Takes a person's answer.

use handler::{StoreError, Written, case_file, failed};
use incident::evidence::{ObjectRef, PermissionStatus};
use incident::permission::{Answered, Decision, Proof, Statement, person};
use incident::text::bounded;
use incident::{CaseId, Visit, case};
use serde::Serialize;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::count::{Count, count};
use crate::refusal::Refusal;
use crate::sts::{Signer, signer};
use crate::{Clients, Error, message, proof, tell};

/// The longest statement, in bytes: a hundred waivers with a reason each, and one more.
const LONGEST_STATEMENT: usize = 256 * 1024;

/// What became of an answer that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// `approved`, `denied`, or `waiting` for further people.
    pub status: &'static str,
    /// The case.
    pub case: CaseId,
    /// Who answered, as one person.
    pub person: String,
    /// Who answered, as STS says.
    pub arn: String,
    /// How many people approve by now.
    pub approvals: usize,
    /// How many must.
    pub needed: u8,
    /// Whether the very same answer was there already.
    pub repeated: bool,
}

/// Takes an answer, or refuses it, and then says so in the case and to people.
pub(crate) async fn take(clients: &Clients, text: &str, given: &Proof) -> Result<Taken, Error> {
    let statement = read(text)?;
    let asking = Asking::of(&clients.store, &statement.case_id).await?;
    let taken = match &asking {
        Some(asking) if !asking.is_over(&clients.store).await? => {
            Box::pin(counted(clients, asking, text, &statement, given)).await
        }
        _ => Err(Refusal::NotAsking(statement.case_id.to_string()).into()),
    };
    if let Err(Error::Refused(refusal)) = &taken {
        Box::pin(refused(clients, asking.as_ref(), &statement, refusal)).await;
    }
    taken
}

fn read(text: &str) -> Result<Statement, Error> {
    if text.len() > LONGEST_STATEMENT {
        return Err(Error::Unreadable { path: ".".to_owned(), reason: format!("it is longer than {LONGEST_STATEMENT} bytes") });
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let statement: Statement = serde_path_to_error::deserialize(&mut reader).map_err(|error| Error::Unreadable {
        path: bounded(&error.path().to_string(), 100),
        reason: bounded(&error.inner().to_string(), 200),
    })?;
    reader.end().map_err(|error| Error::Unreadable { path: ".".to_owned(), reason: bounded(&error.to_string(), 200) })?;
    statement.check()?;
    Ok(statement)
}

/// Finds out whose answer it is, writes it down, and wakes the execution if it was the last one needed.
async fn counted(clients: &Clients, asking: &Asking, text: &str, statement: &Statement, given: &Proof) -> Result<Taken, Error> {
    if statement.manifest != asking.manifest.sha256 {
        return Err(Refusal::OtherManifest.into());
    }
    let headers = proof::headers(given, text, statement, &clients.settings.sts_host).map_err(Refusal::from)?;
    let signer = match signer(&clients.sts, headers).await? {
        Ok(signer) => signer,
        Err(error) => return Err(Refusal::NotSigned(bounded(&error.code, 80)).into()),
    };
    let person = decides(clients, asking, &signer)?;
    waived(asking, statement)?;
    let repeated = written(clients, asking, statement, &signer, &person, given).await?;
    let Count { approvals, verdict } = count(&answers(clients, asking).await?, &asking.manifest.sha256, asking.persons);
    let status = match verdict {
        Some(verdict) => {
            wake(clients, asking, &verdict).await?;
            if verdict.status == PermissionStatus::Denied { "denied" } else { "approved" }
        }
        None => "waiting",
    };
    let (case, needed) = (asking.case_id.clone(), asking.persons);
    Ok(Taken { status, case, person, arn: signer.arn, approvals, needed, repeated })
}

/// The person behind a signature, if one of those who may decide.
fn decides(clients: &Clients, asking: &Asking, signer: &Signer) -> Result<String, Refusal> {
    let arn = bounded(&signer.arn, 300);
    if signer.account != asking.account {
        return Err(Refusal::OtherAccount(arn));
    }
    let role = signer.arn.split_once(":assumed-role/").map_or("", |(_, role)| role);
    if role.starts_with(&clients.settings.own_role_prefix) {
        return Err(Refusal::OwnRole(arn));
    }
    person(&signer.arn).map_err(|why| Refusal::NotAPerson { arn, why })
}

/// Each missing item is waived by name, and nothing else is. A denial waives nothing.
fn waived(asking: &Asking, statement: &Statement) -> Result<(), Refusal> {
    if statement.decision == Decision::Deny {
        return Ok(());
    }
    let left: Vec<String> =
        statement.unwaived(&asking.missing).iter().map(|missing| format!("`{}`", bounded(&missing.item, 200))).collect();
    if !left.is_empty() {
        return Err(Refusal::NotWaived(left.join(", ")));
    }
    let missing = |item: &str| asking.missing.iter().any(|missing| missing.item == item);
    match statement.waive.iter().find(|waiver| !missing(&waiver.item)) {
        Some(waiver) => Err(Refusal::NotMissing(bounded(&waiver.item, 200))),
        None => Ok(()),
    }
}

/// Writes the answer; gives whether the very same one was there already.
async fn written(
    clients: &Clients,
    asking: &Asking,
    statement: &Statement,
    signer: &Signer,
    person: &str,
    given: &Proof,
) -> Result<bool, Error> {
    let answered = Answered {
        schema: Answered::SCHEMA.to_owned(),
        case_id: asking.case_id.clone(),
        execution: asking.execution.clone(),
        statement: statement.clone(),
        person: person.to_owned(),
        arn: signer.arn.clone(),
        account: signer.account.clone(),
        signed_at: given.date.clone(),
        at: handler::now(),
        by: handler::env::function(),
    };
    let name = case::approval(statement.decision, person);
    match asking.file(&clients.store).put(&name, case_file::to_json(&answered)).await? {
        Written::New(_) => Ok(false),
        Written::Same(_) => Ok(true),
        Written::Other { bytes, .. } => match serde_json::from_slice::<Answered>(&bytes) {
            Ok(there) if there.statement == *statement && there.person == person => Ok(true),
            Ok(_) => Err(Refusal::AnsweredAlready(bounded(person, 200)).into()),
            Err(_) => Err(StoreError::Conflict { key: case::key(&asking.case_id, &name) }.into()),
        },
    }
}

/// Every answer in the case.
async fn answers(clients: &Clients, asking: &Asking) -> Result<Vec<(Answered, ObjectRef)>, Error> {
    let prefix = case::key(&asking.case_id, case::APPROVALS);
    let mut all = Vec::new();
    for key in clients.store.keys(&prefix, "").await? {
        if let Some(fetched) = clients.store.get(&key).await? {
            all.push((fetched.json()?, fetched.object()));
        }
    }
    Ok(all)
}

async fn wake(clients: &Clients, asking: &Asking, verdict: &incident::evidence::Permission) -> Result<(), Error> {
    let output = serde_json::to_string(verdict).unwrap_or_default();
    let send = clients.sfn.send_task_success().task_token(&asking.token).output(output);
    match send.send().await.map_err(failed("states:SendTaskSuccess")) {
        Ok(_) => Ok(()),
        Err(error) if ["TaskDoesNotExist", "TaskTimedOut", "InvalidToken"].iter().any(|code| error.is(code)) => {
            Err(Refusal::TooLate(asking.case_id.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says in the case, while it still asks, and to people that an answer was refused. The caller hears it either way.
async fn refused(clients: &Clients, asking: Option<&Asking>, statement: &Statement, refusal: &Refusal) {
    let reason = bounded(&refusal.to_string(), 600);
    if let Some(asking) = asking.filter(|_| !matches!(refusal, Refusal::NotAsking(_) | Refusal::TooLate(_))) {
        // Not a state of the machine: the time is the function's own, and only orders the records.
        let visit =
            Visit { execution: asking.execution.clone(), state: "Permission".to_owned(), entered: handler::now(), retry: 0 };
        let note = json!({"refusedAnswer": {"decision": statement.decision, "manifest": statement.manifest, "reason": reason}});
        if let Err(error) = asking.file(&clients.store).recorder(&visit).note(note).await {
            tracing::warn!(%error, "an answer was refused, but no record of that could be written");
        }
    }
    let told: Result<Value, Error> =
        tell::publish(clients, &message::refused(statement, asking.map(|asking| &asking.execution), &reason))
            .await
            .map(Value::from);
    if let Err(error) = told {
        tracing::warn!(%error, "an answer was refused, but nobody could be told");
    }
}
