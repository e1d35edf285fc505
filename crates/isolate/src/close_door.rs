//! Close the door: however containing broke, nothing stays in the wide-open conversion group, nor on the path for memory.
//!
//! INVARIANT: no bookkeeping holds this up. Where the case file cannot be written, what is in a conversion group is closed
//! all the same, and what is in its own groups is moved only if those are on record already.

use futures_util::future;
use incident::evidence::{Containment, ContainmentStatus, Failure, InterfaceStatus};
use incident::plan::{Cut, Plan};
use incident::{Classify as _, Fault, GroupId, Visit, case};

use crate::act::Run;
use crate::contain::{note, output};
use crate::decide::{Role, Rules};
use crate::{Clients, Error, world};

/// From this retry on, what was read back is worth more than another attempt: after the last one nobody would hear of it.
const PATIENCE: u32 = 3;

/// Moves to isolation what is not there, and closes the conversion group where that fails.
///
/// Fails where nothing could be read, and at first where AWS was only busy, so that it is tried again; else it says what was
/// read back.
pub(crate) async fn close_door(clients: &Clients, visit: &Visit, plan: &Plan, failure: Failure) -> Result<Containment, Error> {
    let file = clients.store.case(&plan.case_id, plan.retention);
    let (seen, saved) = future::join(world::look(&clients.ec2, plan), file.get(case::BEFORE)).await;
    let withheld = plan.cut != Cut::Now;
    let mut run = Run {
        own: !withheld,
        // Triage writes before.json before there is a plan: where it cannot be read now, it is there.
        saved: !matches!(saved, Ok(None)),
        recording: !matches!(saved, Ok(None)),
        ..Run::new(clients, plan, file.recorder(visit))
    };
    if !run.saved {
        run.reasons.push("before.json is missing, so interfaces in their own groups were left there".to_owned());
    }
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            close_unseen(&mut run).await?;
            let mut containment = output(&mut run, &[], None, Some(&error), withheld);
            finish(&mut run, &containment).await;
            containment.reasons.append(&mut run.reasons);
            containment.failure = Some(failure);
            return if error.fault() == Fault::Transient { Err(error.into()) } else { Ok(containment) };
        }
    };
    let before = seen.nics.clone();
    let now = run.settle(seen, None).await?;
    let now = run.survey(now).await;
    let read_back_at = now.is_ok().then(handler::now);
    let mut containment = output(&mut run, &before, now.as_ref().ok(), now.as_ref().err(), withheld);
    containment.read_back_at = read_back_at;
    finish(&mut run, &containment).await;
    containment.reasons.append(&mut run.reasons);
    containment.failure = Some(failure);
    let settled = matches!(containment.status, ContainmentStatus::Contained | ContainmentStatus::NothingToCut);
    let failed = run.worst().or(now.as_ref().err());
    match failed {
        Some(worst) if !settled && worst.fault == Fault::Transient && visit.retry < PATIENCE => {
            let left = containment.interfaces.iter().filter(|nic| nic.status != InterfaceStatus::Cut).count();
            Err(Error::NotCut { left, reason: worst.to_string(), fault: Fault::Transient })
        }
        _ => Ok(containment),
    }
}

/// The interfaces cannot be read, so it is not known whether one is in a conversion group: every one in the plan's VPCs is
/// closed. Other cases lose nothing by it but a group, and make the next.
async fn close_unseen(run: &mut Run<'_>) -> Result<(), Error> {
    let groups = world::groups(&run.clients.ec2, &world::vpcs(run.plan)).await?;
    let doors = groups.into_iter().filter(|group| group.role == Role::Conversion && !group.rules.is_empty());
    let doors: Vec<(GroupId, Rules)> = doors.map(|group| (group.id, group.rules)).collect();
    if !doors.is_empty() {
        run.close(doors).await;
    }
    Ok(())
}

async fn finish(run: &mut Run<'_>, containment: &Containment) {
    if let Err(error) = run.record(None, note(containment)).await {
        run.reasons.push(incident::text::bounded(&format!("the outcome could not be written to the case file: {error}"), 600));
    }
}
