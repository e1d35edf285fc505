//! Making it durable: the brake's marks, the first case of a target, and the case file's first objects.

use futures_util::future::try_join4;
use incident::before::{Before, FirstCase};
use incident::case::{BEFORE, BRAKE, FINDING, PLAN, brake_mark, first_case};
use incident::plan::Plan;
use incident::visit::stamp;
use incident::{CaseId, Visit};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::look::{Seen, wears_ours};
use crate::{Clients, Error};

/// Marks that a target is about to be contained without a person. The mark stays where the brake then withholds the cut:
/// while findings keep pouring in, the brake holds.
pub(crate) async fn mark(clients: &Clients, visit: &Visit, case: &CaseId) -> Result<(), Error> {
    clients.store.put_if(&brake_mark(visit.entered, case), b"{}".to_vec(), None).await?;
    Ok(())
}

/// How many other targets were marked in the hour before this visit. By target, not by case: a second finding on the same
/// target is no second target.
pub(crate) async fn marked(clients: &Clients, visit: &Visit, case: &CaseId) -> Result<usize, Error> {
    let own = brake_mark(visit.entered, case);
    let since = visit.entered.checked_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
    let keys = clients.store.keys(BRAKE, &format!("{BRAKE}{}", stamp(since))).await?;
    let target = |key: &String| {
        let (_, case) = key.strip_prefix(BRAKE)?.split_once('-')?;
        CaseId::parse(case).ok().map(|case| case.instance())
    };
    let others: std::collections::BTreeSet<_> =
        keys.iter().filter(|key| **key < own).filter_map(target).filter(|instance| *instance != case.instance()).collect();
    Ok(others.len())
}

/// The case whose `before.json` holds the true groups, where the target wears ours already.
pub(crate) async fn earlier_case(clients: &Clients, seen: &Seen, case: &CaseId) -> Result<Option<CaseId>, Error> {
    if !wears_ours(clients, seen).await? {
        return Ok(None);
    }
    let there = clients.store.get(&first_case(&case.instance())).await?;
    let first = there.map(|there| there.json::<FirstCase>()).transpose()?;
    Ok(first.map(|first| first.first_case).filter(|first| first != case))
}

/// Writes the case file's first objects, and gives the plan that is there: an earlier attempt's wins.
pub(crate) async fn all(clients: &Clients, visit: &Visit, input: &Value, plan: Plan) -> Result<Plan, Error> {
    let file = clients.store.case(&plan.case_id, plan.retention);
    let before = Before {
        schema: Before::SCHEMA.to_owned(),
        case_id: plan.case_id.clone(),
        opened: visit.entered,
        target: plan.target.clone(),
        earlier_case: plan.earlier_case.clone(),
    };
    let (case, earlier) = (plan.case_id.clone(), plan.earlier_case.clone());
    let (_, _, (plan, _), ()) = try_join4(
        async { file.put(FINDING, handler::case_file::to_json(input)).await.map_err(Error::from) },
        async { file.put_or_read(BEFORE, before).await.map_err(Error::from) },
        async { file.put_or_read(PLAN, plan).await.map_err(Error::from) },
        remember(clients, case, earlier),
    )
    .await?;
    Ok(plan)
}

/// Names this case the first of its target, unless the target wears our groups from an earlier one. What a case that was
/// released left behind is replaced.
async fn remember(clients: &Clients, case: CaseId, earlier: Option<CaseId>) -> Result<(), Error> {
    if earlier.is_some() {
        return Ok(());
    }
    let key = first_case(&case.instance());
    let body = handler::case_file::to_json(&FirstCase { first_case: case });
    if clients.store.put_if(&key, body.clone(), None).await? {
        return Ok(());
    }
    let Some(there) = clients.store.get(&key).await? else { return Err(Error::Race) };
    if there.bytes != body && !clients.store.put_if(&key, body, Some(&there.etag)).await? {
        return Err(Error::Race);
    }
    Ok(())
}
