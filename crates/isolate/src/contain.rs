//! Contain: look, convert, cut, read back.
//!
//! Four sequential round trips where the VPC's groups exist: the look (together with the intent and the check that what was
//! there before is saved), the converts, the cuts, the read-back. What is cut has its connection tracking shortened after that,
//! and is read back again; beside it somebody looks for what the cut does not reach. Then comes the outcome record.

use futures_util::future;
use handler::AwsError;
use incident::evidence::{Containment, ContainmentStatus, InterfaceStatus};
use incident::plan::{Cut, Plan};
use incident::{Classify as _, Fault, Visit, case};
use serde_json::json;

use crate::act::{Run, first_intent};
use crate::decide::World;
use crate::{Clients, Error, verdict, world};

/// Cuts every interface that can be cut.
///
/// Fails with `Transient` where trying again may cut more, and with another fault only where nothing could be cut: the state
/// machine closes the door then. What was cut by then stays cut.
pub(crate) async fn contain(clients: &Clients, visit: &Visit, plan: &Plan) -> Result<Containment, Error> {
    if plan.cut != Cut::Now {
        return Err(Error::Withheld(plan.case_id.clone()));
    }
    let file = clients.store.case(&plan.case_id, plan.retention);
    let recorder = file.recorder(visit);
    // After a pause the interfaces are no more as the plan has them, and what is then to be changed is said after the look.
    let planned = !plan.target.interfaces.is_empty() && plan.convert_pause_seconds == 0;
    let intent = async {
        // An intent to change nothing would say nothing.
        if planned { recorder.intent(first_intent(plan)).await.map(Some) } else { Ok(None) }
    };
    let ((seen, saved), first) =
        future::join(future::join(world::look(&clients.ec2, plan), file.get(case::BEFORE)), intent).await;
    let (first, saved, seen) = (first?, saved?.is_some(), seen?);
    if !saved {
        return Err(Error::NotSaved(plan.case_id.clone()));
    }
    let mut run = Run { contain: true, path: true, own: true, ..Run::new(clients, plan, recorder) };
    let before = seen.nics.clone();
    let now = run.settle(seen, first).await?;
    let now = run.finish(now).await;
    let read_back_at = now.is_ok().then(handler::now);
    let read = now.as_ref().ok();
    let containment = output(&mut run, &before, read, now.as_ref().err(), false);
    let containment = Containment { read_back_at, ..containment };
    run.record(first, note(&containment)).await?;
    verdict_or_error(&run, containment, now.err())
}

/// The note of the outcome records.
pub(crate) fn note(containment: &Containment) -> serde_json::Value {
    let said = match containment.read_back_at {
        Some(at) => format!("flows made untracked, rules removed, read back at {at}"),
        None => "not read back".to_owned(),
    };
    json!({ "status": containment.status, "said": said, "interfaces": containment.interfaces, "reasons": containment.reasons })
}

/// What the run comes to.
pub(crate) fn output(
    run: &mut Run<'_>,
    before: &[crate::decide::Nic],
    now: Option<&World>,
    unread: Option<&AwsError>,
    withheld: bool,
) -> Containment {
    let interfaces = verdict::interfaces(run, before, now);
    let status = verdict::overall(&interfaces, now, withheld);
    let failures: Vec<String> = run.failures.iter().chain(unread).map(ToString::to_string).collect();
    let gone = |now: &World| {
        let planned = run.plan.target.interfaces.iter().map(|nic| &nic.id);
        let gone = planned.filter(|id| !now.nics.iter().any(|nic| nic.id == **id));
        gone.map(|id| format!("interface {id} is not attached to the target any more")).collect::<Vec<_>>()
    };
    let open = interfaces.iter().filter(|nic| !is_contained(nic.status));
    let open: Vec<String> = open.map(|nic| format!("interface {}: {}", nic.id, nic.reason)).collect();
    let mut reasons = std::mem::take(&mut run.reasons);
    reasons.extend(failures);
    reasons.extend(now.map(gone).unwrap_or_default());
    reasons.extend(open);
    reasons.dedup();
    // A payload has 256 KiB, and everything else of the case must fit too.
    reasons.truncate(40);
    let reasons = reasons.iter().map(|reason| incident::text::bounded(reason, 600)).collect();
    Containment { status, interfaces, read_back_at: None, reasons, risks: verdict::risks(run, now, withheld), failure: None }
}

/// Whether an interface is as containing leaves it.
pub(crate) fn is_contained(status: InterfaceStatus) -> bool {
    matches!(status, InterfaceStatus::Cut | InterfaceStatus::PathOnly)
}

fn verdict_or_error(run: &Run<'_>, containment: Containment, unread: Option<AwsError>) -> Result<Containment, Error> {
    if let Some(error) = unread {
        return if error.fault() == Fault::Transient { Err(error.into()) } else { Ok(containment) };
    }
    if matches!(containment.status, ContainmentStatus::Contained | ContainmentStatus::NothingToCut) {
        return Ok(containment);
    }
    let Some(worst) = run.worst() else { return Ok(containment) };
    let left = containment.interfaces.iter().filter(|nic| !is_contained(nic.status)).count();
    let nothing = left == containment.interfaces.len();
    if worst.fault == Fault::Transient || nothing {
        return Err(Error::NotCut { left, reason: worst.to_string(), fault: worst.fault });
    }
    Ok(containment)
}
