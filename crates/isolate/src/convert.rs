//! Convert: only where the policy asks for a pause between the two swaps. The target is open to everybody for that long.
//!
//! INVARIANT: it opens nothing that Isolate, which always comes next, does not close. Whatever fails once an interface may be
//! open is said and not thrown, so that nothing is tried again while it is.
//! INVARIANT: without an isolation group to end in, nothing is converted.

use futures_util::future;
use incident::evidence::Converted;
use incident::plan::{Cut, Plan};
use incident::{Visit, case};
use serde_json::json;

use crate::act::Run;
use crate::{Clients, Error, world};

/// Moves every interface that can be cut into the conversion group.
///
/// Fails only in the first attempt, and only before it has changed anything: an attempt whose answer was lost may have opened it.
pub(crate) async fn convert(clients: &Clients, visit: &Visit, plan: &Plan) -> Result<Converted, Error> {
    match attempt(clients, visit, plan).await {
        Err(error) if visit.retry > 0 => {
            let reason = incident::text::bounded(&error.to_string(), 600);
            Ok(Converted { interfaces: Vec::new(), reasons: vec![reason] })
        }
        other => other,
    }
}

async fn attempt(clients: &Clients, visit: &Visit, plan: &Plan) -> Result<Converted, Error> {
    if plan.cut != Cut::Now || plan.convert_pause_seconds == 0 {
        return Err(Error::Withheld(plan.case_id.clone()));
    }
    let file = clients.store.case(&plan.case_id, plan.retention);
    let (seen, saved) = future::join(world::look(&clients.ec2, plan), file.get(case::BEFORE)).await;
    let (seen, saved) = (seen?, saved?.is_some());
    if !saved {
        return Err(Error::NotSaved(plan.case_id.clone()));
    }
    let mut run = Run { contain: true, path: true, own: true, ..Run::new(clients, plan, file.recorder(visit)) };
    let interfaces = run.convert(&seen).await?;
    let mut reasons: Vec<String> = run.failures.iter().map(|error| incident::text::bounded(&error.to_string(), 600)).collect();
    reasons.truncate(40);
    let note = json!({ "converted": interfaces, "pauseSeconds": plan.convert_pause_seconds, "reasons": reasons });
    if let Err(error) = run.record(None, note).await {
        reasons.push(incident::text::bounded(&format!("the outcome could not be written to the case file: {error}"), 600));
    }
    Ok(Converted { interfaces, reasons })
}
