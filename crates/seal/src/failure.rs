//! What broke, written into the case.

use incident::evidence::Failure;
use incident::plan::Plan;
use incident::{CaseId, Visit, case};
use serde_json::{Value, json};

use crate::{Clients, Error, locate};

/// Writes down what broke, unless the case is closed or being closed: then the closing manifest says it.
pub(crate) async fn record(
    clients: &Clients,
    visit: &Visit,
    plan: Option<Plan>,
    failure: &Failure,
    input: &Value,
) -> Result<Option<CaseId>, Error> {
    let Some(case) = locate::find(clients, visit, plan, input).await? else { return Ok(None) };
    let closing = [case::CLOSING_MANIFEST, case::CUSTODY_CLOSING];
    for name in closing {
        if case.file.get(name).await?.is_some() {
            return Ok(Some(case.file.case().clone()));
        }
    }
    case.file.recorder(visit).note(json!({ "failure": failure })).await?;
    Ok(Some(case.file.case().clone()))
}
