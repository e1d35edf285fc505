//! What a run comes to: by what was read back, and nothing else.

use handler::AwsError;
use incident::release::{ReleaseStatus, Released, Restore, RestoredItem, RestoredStatus};
use incident::text::bounded;
use incident::{Classify as _, Fault};

use crate::act::{Left, Run};
use crate::now::Now;
use crate::readback::{Standing, is_cut, standing};

/// From this retry on, what was read back is worth more than another attempt: after the last one nobody would hear of it.
pub(crate) const PATIENCE: u32 = 3;

/// The most reasons that are handed on: outputs of states are bounded [facts 82].
const MOST_REASONS: usize = 40;

/// What a run comes to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What is told.
    pub(crate) released: Released,
    /// Why trying again may give back more.
    pub(crate) again: Option<String>,
}

/// The verdict.
pub(crate) fn released(run: &Run<'_>, now: Result<&Now, &AwsError>, retry: u32) -> Ended {
    let mut again: Option<String> = None;
    let mut items = Vec::new();
    for (at, restore) in run.plan.restore.iter().enumerate() {
        let stands = match now {
            Ok(now) => standing(restore, now),
            Err(error) => Standing::Unknown(error.to_string()),
        };
        let (status, reason) = match stands {
            Standing::Restored => (RestoredStatus::Restored, String::new()),
            // AWS has taken the change by then, and nobody will look again.
            Standing::Applying if retry >= PATIENCE => (RestoredStatus::Restored, String::new()),
            Standing::Applying => (RestoredStatus::NotRestored, "AWS is still applying it".to_owned()),
            Standing::Unknown(reason) => (RestoredStatus::Unknown, reason),
            Standing::Lost(reason) => (RestoredStatus::NotRestored, reason),
            Standing::NotYet(seen) => (RestoredStatus::NotRestored, why(run, at, seen)),
        };
        if status == RestoredStatus::NotRestored && may_come(run, at, restore, now) {
            again.get_or_insert_with(|| format!("{}: {reason}", restore.subject()));
        }
        items.push(RestoredItem { restore: restore.clone(), status, reason: bounded(&reason, 300) });
    }
    let busy = [now.err(), now.ok().and_then(Now::busy), run.unclaimed.as_ref()].into_iter().flatten();
    let busy = busy.filter(|error| error.fault() == Fault::Transient).map(ToString::to_string).next();
    let status = status(run, &items);
    let settled = matches!(status, ReleaseStatus::Released | ReleaseStatus::Superseded) && run.unclaimed.is_none();
    Ended {
        again: again.or(busy).filter(|_| !settled),
        released: Released {
            status,
            reasons: reasons(run, &items, now.err()),
            read_back_at: now.is_ok().then(handler::now),
            items,
            failure: None,
        },
    }
}

/// Why a thing is not as it was: what AWS said to the call counts for more than what was seen.
fn why(run: &Run<'_>, at: usize, seen: String) -> String {
    match (run.tried.get(&at), run.left.get(&at)) {
        (Some(Err(error)), _) => error.to_string(),
        (_, Some(left)) => left.words().to_owned(),
        _ => seen,
    }
}

/// Whether trying again may give back what was not: AWS was busy, or has taken the change and does not show it yet.
fn may_come(run: &Run<'_>, at: usize, restore: &Restore, now: Result<&Now, &AwsError>) -> bool {
    if run.lost.is_some() || now.is_ok_and(|now| matches!(standing(restore, now), Standing::Lost(_))) {
        return false;
    }
    match (run.tried.get(&at), run.left.get(&at)) {
        (Some(Err(error)), _) => error.fault() == Fault::Transient,
        // Whether it could be read decides.
        (None, Some(Left::Superseded | Left::Unclaimed)) => false,
        // What failed before it may have been done all the same.
        (None, Some(Left::StillCut)) => now.is_ok_and(|now| !run.plan.restore.iter().any(|restore| is_cut(restore, now))),
        (None, Some(Left::Busy) | None) | (Some(Ok(())), _) => true,
    }
}

fn status(run: &Run<'_>, items: &[RestoredItem]) -> ReleaseStatus {
    if run.lost.is_some() {
        return ReleaseStatus::Superseded;
    }
    let of = |status| items.iter().filter(|item| item.status == status).count();
    match (of(RestoredStatus::Restored), of(RestoredStatus::Unknown)) {
        (restored, _) if restored == items.len() => ReleaseStatus::Released,
        (0, unknown) if unknown == items.len() => ReleaseStatus::Unknown,
        (0, _) => ReleaseStatus::NotReleased,
        _ => ReleaseStatus::PartlyReleased,
    }
}

fn reasons(run: &Run<'_>, items: &[RestoredItem], unread: Option<&AwsError>) -> Vec<String> {
    let mut all: Vec<String> = run.lost.clone().into_iter().collect();
    all.extend(run.unclaimed.as_ref().map(|error| format!("whose the target is could not be read: {error}")));
    all.extend(unread.map(|error| format!("the target could not be read: {error}")));
    let left = items.iter().filter(|item| item.status != RestoredStatus::Restored);
    all.extend(left.map(|item| format!("{}: {}", item.restore.subject(), item.reason)));
    all.dedup();
    all.truncate(MOST_REASONS);
    all.iter().map(|reason| bounded(reason, 400)).collect()
}
