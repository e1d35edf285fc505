//! Asks people.

use incident::Visit;
use incident::evidence::Sealed;
use incident::plan::Plan;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::{Clients, Error, message, tell};

/// Keeps the token, tells people, and says so in the case. A question that reaches nobody fails, and is asked again.
pub(crate) async fn ask(clients: &Clients, visit: &Visit, token: String, plan: &Plan, sealed: &Sealed) -> Result<Value, Error> {
    let terms = plan.disposition.terms().ok_or(Error::NotProvidedFor)?;
    let asking = Asking {
        schema: Asking::SCHEMA.to_owned(),
        case_id: plan.case_id.clone(),
        execution: visit.execution.clone(),
        instance_id: plan.target.instance_id.clone(),
        account: plan.target.account.clone(),
        visit: visit.clone(),
        token,
        retention: plan.retention,
        manifest: sealed.manifest.clone(),
        missing: sealed.missing.clone(),
        persons: terms.persons,
    };
    // First, since an answer may come as soon as people know.
    asking.keep(&clients.store).await?;
    let question = message::question(plan, sealed, terms, visit);
    let id = tell::publish(clients, &question).await?;
    let note = json!({"told": "permission", "topic": clients.settings.topic, "messageId": id, "persons": terms.persons,
        "waitSeconds": terms.wait_seconds, "manifest": sealed.manifest});
    // Whoever was told stays told if that cannot be written.
    if let Err(error) = asking.file(&clients.store).recorder(visit).note(note).await {
        tracing::warn!(%error, "people were asked, but no record of that could be written");
    }
    Ok(json!({"asked": true, "messageId": id}))
}
