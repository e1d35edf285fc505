//! Denies: look, claim a slot, announce, attach and tag, read back, record.

use handler::{AwsError, Recorder};
use incident::evidence::{Denial, DenialScope};
use incident::plan::Plan;
use incident::{Fault, Visit};
use serde_json::{Value, json};

use crate::decide::{Look, covers, refused, withheld};
use crate::means::{By, Way};
use crate::obstacle::Obstacle;
use crate::verdict::Verdict;
use crate::{Clients, Error, Means, documents, role, slots, verdict};

/// Until this retry, changes that went through and are not seen yet are waited for: IAM shows them a little later. Then
/// what is known is worth more than another attempt.
pub(crate) const PATIENCE: u32 = 3;

/// Fails where trying again may help, or where the case file cannot be written; everything else is said in the output.
pub(crate) async fn deny(clients: &Clients, visit: &Visit, plan: &Plan, scope: DenialScope) -> Result<Denial, Error> {
    if let Some(reason) = withheld(plan) {
        return Ok(verdict::withheld(scope, &reason));
    }
    let Some(profile) = &plan.target.profile else { return Ok(verdict::nothing(plan, scope)) };
    let recorder = clients.store.case(&plan.case_id, plan.retention).recorder(visit);
    let mut verdict = Verdict::new(&plan.target.instance_id, &clients.settings.policy, scope);
    match prepare(clients, visit, plan, profile, &mut verdict).await {
        Ok((way, seen)) => carry_out(&recorder, visit, &way, seen, verdict).await,
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Obstacle(obstacle)) => {
            verdict.obstacles.push(obstacle);
            let denial = verdict.denial();
            recorder.note(note(&denial, &verdict)).await?;
            Ok(denial)
        }
    }
}

/// Why nothing is changed.
#[derive(Debug)]
enum Stop {
    /// The step fails.
    Failed(Error),
    /// It is said in the output.
    Obstacle(Obstacle),
}

/// A look that failed in passing fails the step; any other failure is said.
impl From<AwsError> for Stop {
    fn from(error: AwsError) -> Self {
        if error.fault == Fault::Transient { Self::Failed(error.into()) } else { Self::Obstacle(Obstacle::Unread(error)) }
    }
}

/// The way to deny, and what is there before anything is changed.
async fn prepare<'a>(
    clients: &'a Clients,
    visit: &Visit,
    plan: &'a Plan,
    profile: &str,
    verdict: &mut Verdict<'a>,
) -> Result<(Way<'a>, Look), Stop> {
    let Clients { iam, store, settings } = clients;
    let role = role::of_profile(iam, profile).await?.map_err(Stop::Obstacle)?;
    verdict.role = Some(role.clone());
    if let Some(obstacle) = refused(&role, settings) {
        return Err(Stop::Obstacle(obstacle));
    }
    verdict.means = settings.means.for_role(&role);
    let (instance, scope) = (&plan.target.instance_id, verdict.scope);
    let way = |by| Way { iam, role: role.clone(), instance, scope, by };
    if verdict.means == Means::Tags {
        let seen = role::look(iam, &role).await?;
        let Some(slot) = slots::claim(store, plan, &role, &seen).await.map_err(Stop::Failed)? else {
            // An earlier case may have denied this target all the same.
            verdict.read(seen.reached(&settings.policy, instance));
            return Err(Stop::Obstacle(Obstacle::NoSlot));
        };
        verdict.slot = Some(slot);
        return Ok((way(By::Tags { policy: &settings.policy, slot }), seen));
    }
    let seen = role::look_inline(iam, &role, &documents::name(instance)).await?;
    let issued_before = matches!(verdict.means, Means::AllSessions { .. }).then(|| {
        // The second phase keeps the time of the first: it would else hit siblings whose sessions were renewed meanwhile.
        seen.inline.as_ref().and_then(documents::issued_before).unwrap_or(visit.entered)
    });
    // A later case never gives back what an earlier one has denied.
    let wanted = documents::reached(seen.inline.as_ref(), instance).filter(|there| covers(Some(*there), scope)).unwrap_or(scope);
    Ok((way(By::Inline { document: documents::inline(instance, wanted, issued_before) }), seen))
}

async fn carry_out(
    recorder: &Recorder,
    visit: &Visit,
    way: &Way<'_>,
    seen: Look,
    mut verdict: Verdict<'_>,
) -> Result<Denial, Error> {
    let number = recorder.intent(way.changes(&seen)).await?;
    let attempts = way.apply(&seen).await;
    let (changes, errors): (Vec<_>, Vec<_>) = attempts.into_iter().map(|attempt| (attempt.change, attempt.error)).unzip();
    let errors: Vec<AwsError> = errors.into_iter().flatten().collect();
    let transient = errors.iter().find(|error| error.fault == Fault::Transient).cloned();
    let now = way.look().await;
    let failed = match &now {
        Ok(look) => {
            verdict.read(way.reached(look));
            let late = errors.is_empty() && !covers(verdict.reached, verdict.scope);
            if late {
                verdict.obstacles.push(Obstacle::NotYetRead);
            }
            (late && visit.retry < PATIENCE).then(|| Error::NotYetRead(way.role.name.clone()))
        }
        Err(error) if error.fault == Fault::Transient => Some(error.clone().into()),
        Err(error) => {
            verdict.obstacles.push(Obstacle::Unread(error.clone()));
            None
        }
    };
    verdict.obstacles.extend(errors.into_iter().map(Obstacle::Refused));
    let denial = verdict.denial();
    recorder.outcome(number, changes, note(&denial, &verdict)).await?;
    // What was read back counts: a change whose answer was lost may have been made.
    let reached = covers(verdict.reached, verdict.scope);
    match failed.or(transient.filter(|_| !reached).map(Error::Aws)) {
        Some(error) => Err(error),
        None => Ok(denial),
    }
}

fn note(denial: &Denial, verdict: &Verdict<'_>) -> Value {
    json!({
        "status": denial.status, "scope": denial.scope, "role": denial.role, "slot": verdict.slot.map(|slot| slot.number),
        "readBackAt": denial.read_back_at, "reasons": denial.reasons,
    })
}
