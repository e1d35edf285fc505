//! Lock down: nothing is open any more, not even what memory was collected through, and instance metadata is off.
//!
//! The interface on the path goes straight into the isolation group. To make its flows untracked first would open the target
//! to everybody for a moment, which is worse than a flow to S3 or Systems Manager that goes on until it is idle.
//!
//! INVARIANT: no bookkeeping holds this up, but nothing is changed whose old value is not in `before.json`.

use aws_sdk_ec2::types::{InstanceMetadataEndpointState, Reservation};
use futures_util::future;
use handler::{AwsError, failed};
use incident::evidence::{Containment, ContainmentStatus, InterfaceStatus, Lockdown, LockdownStatus};
use incident::plan::{Cut, Plan};
use incident::record::Change;
use incident::risk::{Risk, RiskKind};
use incident::{Fault, Visit, case};
use serde_json::json;

use crate::act::Run;
use crate::contain::{note, output};
use crate::decide::{Role, World};
use crate::records::{Attempt, change};
use crate::{Clients, Error, world};

/// From this retry on, what was read back is worth more than another attempt: after the last one nobody would hear of it.
const PATIENCE: u32 = 3;
/// The action that switches instance metadata off.
const METADATA: &str = "ec2:ModifyInstanceMetadataOptions";

/// Closes the last way out and switches instance metadata off.
///
/// Fails where nothing could be read, and at first where AWS was only busy, so that it is tried again; else it says what was
/// read back. What was closed by then stays closed.
pub(crate) async fn lock_down(clients: &Clients, visit: &Visit, plan: &Plan) -> Result<Lockdown, Error> {
    if let Cut::AskFirst { reasons } = &plan.cut {
        return Ok(withheld(reasons));
    }
    let file = clients.store.case(&plan.case_id, plan.retention);
    let (seen, saved) = future::join(world::look(&clients.ec2, plan), file.get(case::BEFORE)).await;
    if matches!(saved, Ok(None)) {
        return Err(Error::NotSaved(plan.case_id.clone()));
    }
    let mut run = Run::new(clients, plan, file.recorder(visit));
    run.own = true;
    let seen = seen?;
    let before = seen.nics.clone();
    let on_path = before.iter().filter(|nic| seen.wears(nic, Role::Collection)).map(|nic| nic.id.clone()).collect::<Vec<_>>();

    let intended = change(METADATA, &plan.target.instance_id, json!(plan.target.metadata), json!({ "enabled": false }));
    let number = match run.recorder.intent(vec![intended.clone()]).await {
        Ok(number) => Some(number),
        Err(error) => {
            run.unrecorded(&error);
            None
        }
    };
    let (now, metadata) = future::join(run.settle(seen, None), switch_off(clients, plan, intended)).await;
    let now = now?;
    run.file(number, metadata.clone());
    let off = is_off(clients, plan).await;

    let read_back_at = (now.is_ok() && off.is_ok()).then(handler::now);
    let containment = output(&mut run, &before, now.as_ref().ok(), now.as_ref().err(), false);
    let containment = Containment { read_back_at, ..containment };
    if let Err(error) = run.record(None, note(&containment)).await {
        run.reasons.push(incident::text::bounded(&format!("the outcome could not be written to the case file: {error}"), 600));
    }
    let troubles = [metadata.error.as_ref(), now.as_ref().err(), off.as_ref().err(), run.worst()];
    let busy = troubles.into_iter().flatten().find(|error| error.fault == Fault::Transient).cloned();
    let mut lockdown = verdict(containment, now.as_ref().ok(), &off, &metadata);
    lockdown.reasons.append(&mut run.reasons);
    lockdown.risks.extend(on_path.iter().map(|id| {
        let advice = "connections that it opened to S3 or Systems Manager while the path was open may go on until they are idle";
        Risk::new(RiskKind::AutomaticallyTrackedFlows, id.as_str(), advice)
    }));
    match busy {
        Some(error) if lockdown.status != LockdownStatus::LockedDown && visit.retry < PATIENCE => Err(error.into()),
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

/// An instance that is gone, or on its way, has no metadata to switch off.
async fn switch_off(clients: &Clients, plan: &Plan, intended: Change) -> Attempt {
    let call = clients.ec2.modify_instance_metadata_options().instance_id(plan.target.instance_id.as_str());
    let result = call.http_endpoint(InstanceMetadataEndpointState::Disabled).send().await.map_err(failed(METADATA));
    let mut attempt = Attempt::new(intended, result, &[]);
    if attempt.error.as_ref().is_some_and(is_gone) {
        attempt.error = None;
    }
    attempt
}

fn is_gone(error: &AwsError) -> bool {
    error.is("InvalidInstanceID.NotFound") || error.is("IncorrectInstanceState")
}

/// Whether instance metadata is off; `None` where there is no instance any more. A change that is still `pending` counts as
/// what it will be.
async fn is_off(clients: &Clients, plan: &Plan) -> Result<Option<bool>, AwsError> {
    let call = clients.ec2.describe_instances().instance_ids(plan.target.instance_id.as_str()).send().await;
    let answer = match call.map_err(failed("ec2:DescribeInstances")) {
        Err(error) if is_gone(&error) => return Ok(None),
        other => other?,
    };
    let mut instances = answer.reservations().iter().flat_map(Reservation::instances);
    let Some(instance) = instances.next() else { return Ok(None) };
    let gone = instance.state().and_then(|state| state.name()).is_some_and(|name| name.as_str() == "terminated");
    let endpoint = instance.metadata_options().and_then(|options| options.http_endpoint());
    Ok((!gone).then(|| endpoint == Some(&InstanceMetadataEndpointState::Disabled)))
}

/// What was read back, and nothing else.
fn verdict(found: Containment, now: Option<&World>, off: &Result<Option<bool>, AwsError>, metadata: &Attempt) -> Lockdown {
    let cut = found.interfaces.iter().filter(|nic| nic.status == InterfaceStatus::Cut).count();
    let network = matches!(found.status, ContainmentStatus::Contained | ContainmentStatus::NothingToCut);
    let metadata_off = matches!(off, Ok(Some(true)));
    let status = match (now, off) {
        (None, _) | (_, Err(_)) => LockdownStatus::Unknown,
        (Some(world), Ok(None)) if world.nics.is_empty() => LockdownStatus::NothingToLock,
        (_, Ok(None | Some(true))) if network => LockdownStatus::LockedDown,
        _ if network || metadata_off || cut > 0 => LockdownStatus::Partly,
        _ => LockdownStatus::NotLockedDown,
    };
    let mut reasons = found.reasons;
    reasons.extend(off.as_ref().err().map(ToString::to_string));
    let mut risks: Vec<Risk> = found.risks;
    if matches!(off, Ok(Some(false)) | Err(_)) {
        let why = metadata.error.as_ref().map_or_else(|| "it was read back as on".to_owned(), ToString::to_string);
        reasons.push(incident::text::bounded(&format!("instance metadata could not be switched off: {why}"), 600));
        let advice = "instance metadata still hands out the role's credentials: switch it off by hand";
        risks.push(Risk::new(RiskKind::InstanceMetadata, "", advice));
    }
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
