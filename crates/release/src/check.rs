//! Check: may the target be released, and what would be given back?
//!
//! INVARIANT: a refusal and a dry run write nothing at all.

use incident::plan::Retention;
use incident::release::{CheckVerdict, Checked, ReleasePlan, ReleaseRequest};
use incident::text::bounded;
use incident::{CaseId, Visit, case};
use jiff::SignedDuration;
use serde_json::Value;

use crate::facts::Found;
use crate::guard::judge;
use crate::plan::{World, draft};
use crate::saved::saved;
use crate::sealed::Case;
use crate::{Clients, Error, claims, facts, request};

/// The most reasons that are handed on: outputs of states are bounded [facts 82].
const MOST_REASONS: usize = 40;
/// How much of the case's lock must be left for the release to share it.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);

/// Reads, judges and plans; claims the target and makes the plan durable where it may be released.
pub(crate) async fn check(clients: &Clients, visit: &Visit, request: Value) -> Result<Checked, Error> {
    let request = request::parse(&request)?;
    let found = Box::pin(facts::read(clients, visit, &request)).await?;
    let mut reasons = judge(&found.facts);
    let more = reasons.len().saturating_sub(MOST_REASONS);
    reasons.truncate(MOST_REASONS);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    let plan = plan(&found, visit, &request);
    let plan = match plan {
        _ if request.dry_run => return Ok(Checked { verdict: CheckVerdict::DryRun, reasons, plan }),
        Some(plan) if reasons.is_empty() => plan,
        _ => {
            if reasons.is_empty() {
                reasons.push(format!("what was before case {} could not be made out", request.case_id));
            }
            return Ok(Checked { verdict: CheckVerdict::Refused, reasons, plan: None });
        }
    };
    claims::take(clients, visit, &plan.release_id, &found.facts.holder).await?;
    let file = clients.store.case(&plan.release_id, plan.retention);
    // An earlier attempt's plan wins: what it decided is what is given back.
    let (plan, _) = file.put_or_read(case::RELEASE, plan).await?;
    if plan.restore.is_empty() {
        reasons.push("nothing is left to restore".to_owned());
    }
    Ok(Checked { verdict: CheckVerdict::Release, reasons, plan: Some(plan) })
}

/// What is, or would be, given back; `None` where that cannot be made out.
fn plan(found: &Found, visit: &Visit, request: &ReleaseRequest) -> Option<ReleasePlan> {
    let facts = &found.facts;
    let cases = facts.cases()?;
    let (earliest, asked) = (cases.first()?, cases.last()?);
    let (now, groups) = (facts.target.as_ref().ok()?, facts.groups.as_ref().ok()?);
    if !now.state.is_alive() {
        return None;
    }
    let saved = saved(&cases, groups)?;
    let draft = draft(&World { saved: &saved, now, groups, capacity: &found.capacity, request });
    Some(ReleasePlan {
        schema: ReleasePlan::SCHEMA.to_owned(),
        release_id: CaseId::new(&asked.id.instance(), &visit.execution),
        execution: visit.execution.clone(),
        opened: visit.entered,
        case_id: asked.id.clone(),
        restored_from: earliest.id.clone(),
        reason: bounded(&request.reason, 400),
        credentials: saved.target.profile.is_some(),
        target: saved.target,
        restore: draft.restore,
        not_restorable: draft.not_restorable,
        retention: retention(asked, visit),
    })
}

/// As the case's. S3 takes no lock that has ended: where the case's has, the release's is as long, from now on.
fn retention(case: &Case, visit: &Visit) -> Retention {
    let Retention { mode, until } = case.plan.retention;
    if until.duration_since(visit.entered) > A_DAY {
        return Retention { mode, until };
    }
    let again = visit.entered.checked_add(until.duration_since(case.plan.opened).max(A_DAY));
    Retention { mode, until: again.unwrap_or(until) }
}
