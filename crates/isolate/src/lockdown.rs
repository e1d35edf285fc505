//! Lock down: nothing is open any more, not even what memory was collected through, and instance metadata is off.
//!
//! The interface on the path goes straight into the isolation group. To make its flows untracked first would open the target
//! to everybody for a moment, which is worse than a flow to S3 or Systems Manager that goes on until it is idle.
//!
//! INVARIANT: no bookkeeping holds this up, but nothing is changed whose old value is neither in `before.json` nor in an
//! intent.

use futures_util::future;
use handler::AwsError;
use incident::evidence::{Containment, ContainmentStatus, InterfaceStatus, Lockdown, LockdownStatus};
use incident::plan::{Cut, Plan};
use incident::risk::{Risk, RiskKind, merged};
use incident::{Fault, Visit, case};
use serde_json::json;

use crate::act::Run;
use crate::contain::{note, output};
use crate::metadata::{self, Service};
use crate::records::change;
use crate::{Clients, Error, world};

/// From this retry on, what was read back is worth more than another attempt: after the last one nobody would hear of it.
const PATIENCE: u32 = 3;

/// Closes the last way out and switches instance metadata off.
///
/// Fails where the interfaces could not be read (the state machine closes the path in a simpler way then), and at first where
/// AWS was only busy, so that it is tried again; else it says what was read back. What was closed by then stays closed.
pub(crate) async fn lock_down(clients: &Clients, visit: &Visit, plan: &Plan) -> Result<Lockdown, Error> {
    if let Cut::AskFirst { reasons } = &plan.cut {
        return Ok(withheld(reasons));
    }
    let file = clients.store.case(&plan.case_id, plan.retention);
    let instance = &plan.target.instance_id;
    let looks = future::join(world::look(&clients.ec2, plan), metadata::look(&clients.ec2, instance));
    let ((seen, service), saved) = future::join(looks, file.get(case::BEFORE)).await;
    if matches!(saved, Ok(None)) {
        return Err(Error::NotSaved(plan.case_id.clone()));
    }
    let mut run = Run { own: true, ..Run::new(clients, plan, file.recorder(visit)) };
    let intended = announced(&mut run, service.as_ref().ok()).await;
    let switching = async {
        match intended {
            Some((number, intended)) => Some((number, metadata::switch_off(&clients.ec2, instance, intended).await)),
            None => None,
        }
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            if let Some((number, attempt)) = switching.await {
                run.file(number, attempt);
                // The failure below tells more than a record that could not be written.
                drop(run.record(None, json!({ "said": "the interfaces could not be read" })).await);
            }
            return Err(error.into());
        }
    };
    let before = seen.nics.clone();
    let (now, switched) = future::join(run.settle(seen, None), switching).await;
    let now = run.finish(now?).await;
    let refused = switched.as_ref().and_then(|(_, attempt)| attempt.error.clone());
    let service = if switched.is_some() || service.is_err() { metadata::look(&clients.ec2, instance).await } else { service };
    if let Some((number, attempt)) = switched {
        run.file(number, attempt);
    }

    let read_back_at = (now.is_ok() && service.is_ok()).then(handler::now);
    let found = output(&mut run, &before, now.as_ref().ok(), now.as_ref().err(), false);
    let found = Containment { read_back_at, ..found };
    if let Err(error) = run.record(None, note(&found)).await {
        run.reasons.push(incident::text::bounded(&format!("the outcome could not be written to the case file: {error}"), 600));
    }
    let busy = [now.as_ref().err(), service.as_ref().err(), run.worst()].into_iter().flatten();
    let busy = busy.filter(|error| error.fault == Fault::Transient).map(ToString::to_string).next();
    let closing = matches!(service, Ok(Service::Closing)).then(|| "instance metadata is still being switched off".to_owned());
    // AWS has taken the change by then, and nobody will look again: it is off, and how it was read stays on record.
    let service = if closing.is_some() && visit.retry >= PATIENCE { Ok(Service::Off) } else { service };
    let mut lockdown = verdict(plan, found, &service, refused.as_ref());
    lockdown.reasons.append(&mut run.reasons);
    lockdown.reasons.extend(closing.iter().map(|closing| format!("{closing}, as AWS said last")));
    let settled = matches!(lockdown.status, LockdownStatus::LockedDown | LockdownStatus::NothingToLock);
    match busy.or(closing) {
        Some(reason) if !settled && visit.retry < PATIENCE => Err(Error::NotLocked(reason)),
        _ => Ok(lockdown),
    }
}

fn withheld(reasons: &[String]) -> Lockdown {
    Lockdown {
        status: LockdownStatus::Withheld,
        interfaces: Vec::new(),
        metadata_off: false,
        read_back_at: None,
        reasons: reasons.to_vec(),
        risks: Vec::new(),
        failure: None,
    }
}

/// The change of instance metadata, once its old value is durable; `None` where nothing is to be changed, or may be.
async fn announced(run: &mut Run<'_>, service: Option<&Service>) -> Option<(Option<u32>, incident::record::Change)> {
    let read = match service {
        Some(Service::Off | Service::Closing | Service::Gone) => return None,
        Some(Service::On(options)) => Some(options),
        None => None,
    };
    let old = run.plan.target.metadata.as_ref().or(read);
    let intended = change(metadata::MODIFY, &run.plan.target.instance_id, json!(old), json!({ "enabled": false }));
    match run.recorder.intent(vec![intended.clone()]).await {
        Ok(number) => Some((Some(number), intended)),
        Err(error) => {
            run.unrecorded(&error);
            // before.json has what the plan has.
            run.plan.target.metadata.is_some().then_some((None, intended))
        }
    }
}

/// What was read back, and nothing else.
fn verdict(plan: &Plan, found: Containment, service: &Result<Service, AwsError>, refused: Option<&AwsError>) -> Lockdown {
    let cut = found.interfaces.iter().any(|nic| nic.status == InterfaceStatus::Cut);
    let network = matches!(found.status, ContainmentStatus::Contained | ContainmentStatus::NothingToCut);
    let metadata_off = matches!(service, Ok(Service::Off));
    let status = match (found.status, service) {
        (ContainmentStatus::Unknown, _) | (_, Err(_)) => LockdownStatus::Unknown,
        (ContainmentStatus::NothingToCut, Ok(Service::Gone)) => LockdownStatus::NothingToLock,
        (_, Ok(Service::Gone | Service::Off)) if network => LockdownStatus::LockedDown,
        _ if network || metadata_off || cut => LockdownStatus::Partly,
        _ => LockdownStatus::NotLockedDown,
    };
    let mut reasons = found.reasons;
    let mut risks = found.risks;
    let on = match service {
        Ok(Service::Off | Service::Gone) => None,
        Ok(Service::Closing) => Some("it is still being switched off".to_owned()),
        Ok(Service::On(_)) => Some(refused.map_or_else(|| "it was read back as on".to_owned(), ToString::to_string)),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = on {
        reasons.push(incident::text::bounded(&format!("instance metadata could not be switched off for sure: {why}"), 600));
        let advice = "instance metadata still hands out the role's credentials: switch it off by hand";
        risks.push(Risk::new(RiskKind::InstanceMetadata, "", advice));
    }
    // From the plan, since an earlier attempt may have moved it.
    let on_path = plan.collection_path().filter(|path| found.interfaces.iter().any(|nic| nic.id == path.interface));
    let flows = on_path.map(|path| {
        let advice = "connections that it opened to S3 or Systems Manager while the path was open may go on until they are idle: it \
                      was not made to drop them, since that would open the target to everybody for a moment";
        Risk::new(RiskKind::AutomaticallyTrackedFlows, path.interface.as_str(), advice)
    });
    let risks = merged(&risks, flows.as_slice());
    reasons.dedup();
    Lockdown {
        status,
        interfaces: found.interfaces,
        metadata_off,
        read_back_at: found.read_back_at,
        reasons,
        risks,
        failure: None,
    }
}
