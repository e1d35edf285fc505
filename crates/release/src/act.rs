//! Restore: gives back what the plan says, phase by phase, and reads everything back.
//!
//! First what opens nothing (metadata, tracking), then the network, then what sends the target work, and its protections last.
//! The claim is read before each phase that opens something, and at the end: a new finding takes the target at once, and then
//! nothing more is given back. What was given back by then is not taken again here, since the new case's Isolate does that.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use handler::{AwsError, Recorder};
use incident::record::{Change, ChangeResult};
use incident::release::{ReleasePlan, Released, Restore};
use incident::{CaseId, Classify as _, Fault, Visit, case};
use serde_json::json;

use crate::look::{Around, look};
use crate::now::{Now, Told};
use crate::readback::{Standing, is_cut, standing};
use crate::verdict::{self, PATIENCE};
use crate::{Clients, Error, calls, claims};

/// Why a thing was not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// The target is another's by now.
    Superseded,
    /// It could not be read whose the target is.
    Unclaimed,
    /// Something before it may still come.
    Busy,
    /// An interface is still cut off. A group replaces what it finds unhealthy: that would be the end of the target.
    StillCut,
}

impl Left {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Superseded => "not tried, since the target is not this release's any more",
            Self::Unclaimed => "not tried, since it could not be read whose the target is",
            Self::Busy => "not tried, since what comes before it could not all be given back",
            Self::StillCut => "not tried, since an interface is still cut off and the group would replace the target",
        }
    }
}

/// One run over the plan, and what it has done so far.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) clients: &'a Clients,
    /// As it is in the bucket.
    pub(crate) plan: &'a ReleasePlan,
    /// What was tried, by its place in the plan.
    pub(crate) tried: BTreeMap<usize, Told<()>>,
    /// What was not tried, and why, by its place in the plan.
    pub(crate) left: BTreeMap<usize, Left>,
    /// Whose the target is, where it is not this release's any more.
    pub(crate) lost: Option<String>,
    /// Why it could not be read whose the target is.
    pub(crate) unclaimed: Option<AwsError>,
}

/// Gives the target back.
///
/// Fails where nothing is changed yet and cannot be, and, at first, where trying again may give back more; else it says what
/// was read back.
pub(crate) async fn restore(clients: &Clients, visit: &Visit, release: &ReleasePlan) -> Result<Released, Error> {
    let handled = CaseId::new(&release.target.instance_id, &visit.execution);
    if handled != release.release_id {
        return Err(Error::OtherRelease { planned: release.release_id.clone(), handled });
    }
    let file = clients.store.case(&handled, release.retention);
    let held = claims::held(clients, &handled, &visit.execution);
    let (stored, held) = Box::pin(join(file.get(case::RELEASE), held)).await;
    // The payload is not taken for what may be given back: only what the check made durable is.
    let stored: ReleasePlan = stored?.ok_or_else(|| Error::NotChecked(handled.clone()))?.json()?;
    let mut run =
        Run { clients, plan: &stored, tried: BTreeMap::new(), left: BTreeMap::new(), lost: held?.err(), unclaimed: None };
    let recorder = clients.store.case(&stored.release_id, stored.retention).recorder(visit);
    let now = Box::pin(look(clients, &stored.target.instance_id, &around(&stored))).await;
    let intent = match &now {
        Ok(now) if run.lost.is_none() => Box::pin(run.carry_out(now, &recorder)).await?,
        Err(error) if error.fault() == Fault::Transient && visit.retry < PATIENCE => return Err(error.clone().into()),
        Ok(_) | Err(_) => None,
    };
    let now = if intent.is_some() { Box::pin(run.read_back()).await } else { now };
    let ended = verdict::released(&run, now.as_ref(), visit.retry);
    let note = json!({ "status": ended.released.status, "items": ended.released.items, "reasons": ended.released.reasons });
    match intent {
        Some((number, changes)) => recorder.outcome(number, run.outcomes(changes), note).await?,
        None => recorder.note(note).await?,
    };
    match ended.again {
        Some(reason) if visit.retry < PATIENCE => Err(Error::NotRestored(reason)),
        _ => Ok(ended.released),
    }
}

/// What to look at around the target: what the plan names.
fn around(plan: &ReleasePlan) -> Around {
    let mut around = Around::default();
    for restore in &plan.restore {
        match restore {
            Restore::TargetGroup { registration } => drop(around.target_groups.insert(registration.target_group.clone())),
            Restore::ClassicBalancer { name } => drop(around.classic.insert(name.clone())),
            _ => {}
        }
    }
    around
}

/// When a thing is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// What opens nothing by itself.
    Quiet,
    /// The network.
    Network,
    /// What sends the target work.
    Around,
    /// What keeps the target from being ended.
    Protections,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Quiet, Self::Network, Self::Around, Self::Protections];

    const fn of(restore: &Restore) -> Self {
        match restore {
            Restore::Metadata { .. } | Restore::Tracking { .. } => Self::Quiet,
            Restore::Groups { .. } => Self::Network,
            Restore::TargetGroup { .. } | Restore::ClassicBalancer { .. } | Restore::AutoScalingGroup { .. } => Self::Around,
            Restore::DeleteOnTermination { .. }
            | Restore::ShutdownBehavior { .. }
            | Restore::StopProtection { .. }
            | Restore::TerminationProtection { .. } => Self::Protections,
        }
    }
}

impl Run<'_> {
    /// Announces and makes every change that is wanting. The number of the intent and its changes; `None` where nothing was.
    async fn carry_out(&mut self, now: &Now, recorder: &Recorder) -> Result<Option<(u32, Vec<(usize, Change)>)>, Error> {
        let wanting = |(_, restore): &(usize, &Restore)| matches!(standing(restore, now), Standing::NotYet(_));
        let pending: Vec<(usize, &Restore)> = self.plan.restore.iter().enumerate().filter(wanting).collect();
        if pending.is_empty() {
            return Ok(None);
        }
        let changes: Vec<(usize, Change)> = pending.iter().map(|(at, restore)| (*at, calls::change(restore, now))).collect();
        let number = recorder.intent(changes.iter().map(|(_, change)| change.clone()).collect()).await?;
        for phase in Phase::ALL {
            let of_phase: Vec<_> = pending.iter().copied().filter(|(_, restore)| Phase::of(restore) == phase).collect();
            if of_phase.is_empty() {
                continue;
            }
            if let Some(why) = Box::pin(self.stops(phase)).await {
                self.left.extend(of_phase.iter().map(|(at, _)| (*at, why)));
                continue;
            }
            Box::pin(self.give(&of_phase, now)).await;
        }
        Ok(Some((number, changes)))
    }

    /// Why a phase is not begun, if it is not.
    async fn stops(&mut self, phase: Phase) -> Option<Left> {
        if phase == Phase::Quiet {
            // The claim was read a moment ago, and nothing of this phase opens the target.
            return None;
        }
        if self.lost.is_none() && self.unclaimed.is_none() {
            match claims::held(self.clients, &self.plan.release_id, &self.plan.execution).await {
                Ok(held) => self.lost = held.err(),
                Err(error) => self.unclaimed = Some(error),
            }
        }
        if self.lost.is_some() {
            return Some(Left::Superseded);
        }
        if self.unclaimed.is_some() {
            return Some(Left::Unclaimed);
        }
        let busy = self.tried.values().any(|tried| tried.as_ref().is_err_and(|error| error.fault() == Fault::Transient));
        (phase == Phase::Protections && busy).then_some(Left::Busy)
    }

    /// Makes every change of one phase at once.
    async fn give(&mut self, of_phase: &[(usize, &Restore)], now: &Now) {
        let cut = self.still_cut(now);
        let waits = |restore: &Restore| cut && matches!(restore, Restore::AutoScalingGroup { .. });
        let (waiting, going): (Vec<_>, Vec<_>) = of_phase.iter().copied().partition(|(_, restore)| waits(restore));
        self.left.extend(waiting.into_iter().map(|(at, _)| (at, Left::StillCut)));
        let (clients, id) = (self.clients, &self.plan.target.instance_id);
        let calls = going.into_iter().map(|(at, restore)| async move { (at, Box::pin(calls::give(clients, id, restore)).await) });
        let made = Box::pin(join_all(calls)).await;
        self.tried.extend(made);
    }

    /// Whether an interface did not get its groups back, as far as is known before the read-back.
    fn still_cut(&self, now: &Now) -> bool {
        let given = |at| self.tried.get(&at).is_some_and(Result::is_ok);
        self.plan.restore.iter().enumerate().any(|(at, restore)| is_cut(restore, now) && !given(at))
    }

    /// The target as it stands in the end, and once more whose it is: a new case may have begun while it was opened.
    async fn read_back(&mut self) -> Told<Now> {
        let around = around(self.plan);
        let looking = look(self.clients, &self.plan.target.instance_id, &around);
        let held = claims::held(self.clients, &self.plan.release_id, &self.plan.execution);
        let (now, held) = Box::pin(join(looking, held)).await;
        match held {
            Ok(held) => self.lost = self.lost.take().or(held.err()),
            Err(error) => self.unclaimed = Some(error),
        }
        now
    }

    /// The changes of the intent, each with what became of it.
    fn outcomes(&self, changes: Vec<(usize, Change)>) -> Vec<Change> {
        let with = |(at, change): (usize, Change)| {
            let result = match (self.tried.get(&at), self.left.get(&at)) {
                (Some(tried), _) => handler::recorder::result(tried),
                (None, Some(why)) => ChangeResult::Failed { fault: Fault::Refused, message: why.words().to_owned() },
                (None, None) => ChangeResult::Already,
            };
            Change { result: Some(result), ..change }
        };
        changes.into_iter().map(with).collect()
    }
}
