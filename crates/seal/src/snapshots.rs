//! The snapshots at the seal: what EC2 says of each now, and its lock. What was said while they were taken is hours old.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, LockState, LockedSnapshotsInfo, Snapshot};
use handler::{AwsError, failed};
use incident::manifest::{LockAtSeal, SnapshotAtSeal};
use incident::plan::LockMode;
use incident::{Classify as _, Fault, SnapshotId, Visit};
use jiff::Timestamp;

use crate::assess::Known;
use crate::last_word::LAST_WORD;
use crate::{Clients, Error};

/// The snapshots as EC2 has them, by id; or why EC2 did not say.
pub(crate) type AtSeal = Result<BTreeMap<SnapshotId, SnapshotAtSeal>, String>;

/// How often the state machine tries again before the seal is made without this look: a seal that says what it could not see
/// is better than none.
const TRIES: u32 = 2;

/// The most values that one filter takes; a target has at most 128 volumes [facts D3], and each snapshot at most one copy.
const MOST_IN_A_FILTER: usize = 200;

/// Looks at the snapshots that were taken, and at their copies. What is throttled is tried again by the state machine; the last
/// word has no other try.
pub(crate) async fn look(clients: &Clients, visit: &Visit, known: Known<'_>) -> Result<AtSeal, Error> {
    let taken = known.freeze.iter().flat_map(|freeze| &freeze.snapshots).map(|taken| &taken.snapshot_id);
    let copies = known.copies.iter().flat_map(|copies| &copies.copies).map(|copy| &copy.snapshot_id);
    let ids: Vec<SnapshotId> = taken.chain(copies).cloned().collect();
    match all(clients, &ids).await {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.fault() == Fault::Transient && visit.retry < TRIES && visit.state != LAST_WORD => Err(error.into()),
        Err(error) => Ok(Err(error.to_string())),
    }
}

async fn all(clients: &Clients, ids: &[SnapshotId]) -> Result<BTreeMap<SnapshotId, SnapshotAtSeal>, AwsError> {
    let mut all = BTreeMap::new();
    // No ids would mean every snapshot that there is: then there is no chunk either.
    for ids in ids.chunks(MOST_IN_A_FILTER) {
        all.extend(described(clients, ids).await?);
    }
    Ok(all)
}

async fn described(clients: &Clients, ids: &[SnapshotId]) -> Result<BTreeMap<SnapshotId, SnapshotAtSeal>, AwsError> {
    // A filter, since an id that EC2 does not know would fail the whole call.
    let values = ids.iter().map(SnapshotId::to_string).collect();
    let filter = Filter::builder().name("snapshot-id").set_values(Some(values)).build();
    let page = clients.ec2.describe_snapshots().owner_ids("self").filters(filter).send().await;
    let page = page.map_err(failed("ec2:DescribeSnapshots"))?;
    let there: Vec<String> = page.snapshots().iter().filter_map(Snapshot::snapshot_id).map(str::to_owned).collect();
    let locks = locks(clients, there).await?;
    let at_seal = |id: &SnapshotId| {
        let found = page.snapshots().iter().find(|snapshot| snapshot.snapshot_id() == Some(id.as_str()));
        let at_seal = SnapshotAtSeal {
            state: found.and_then(Snapshot::state).map_or("gone", |state| state.as_str()).to_owned(),
            size_gib: found.and_then(Snapshot::volume_size),
            encrypted: found.and_then(Snapshot::encrypted),
            lock: locks.get(id.as_str()).cloned(),
        };
        (id.clone(), at_seal)
    };
    Ok(ids.iter().map(at_seal).collect())
}

async fn locks(clients: &Clients, ids: Vec<String>) -> Result<BTreeMap<String, LockAtSeal>, AwsError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let page = clients.ec2.describe_locked_snapshots().set_snapshot_ids(Some(ids)).send().await;
    let page = page.map_err(failed("ec2:DescribeLockedSnapshots"))?;
    Ok(page.snapshots().iter().filter_map(|info| Some((info.snapshot_id()?.to_owned(), lock(info)?))).collect())
}

fn lock(info: &LockedSnapshotsInfo) -> Option<LockAtSeal> {
    let mode = match info.lock_state()? {
        LockState::Compliance => LockMode::Compliance,
        LockState::Governance | LockState::ComplianceCooloff => LockMode::Governance,
        _ => return None,
    };
    let days = info.lock_duration().and_then(|days| u16::try_from(days).ok())?;
    let until = info.lock_expires_on().and_then(|time| Timestamp::from_second(time.secs()).ok());
    Some(LockAtSeal { mode, days, until })
}
