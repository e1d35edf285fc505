//! One look at all snapshots of a case.

use aws_sdk_ec2::types::{Filter, Snapshot};
use handler::{AwsError, failed};
use incident::evidence::{LookStatus, Preserved, SnapshotLook, Taken};
use incident::patience;
use incident::progress::{Progress, percent};
use jiff::Timestamp;

use crate::waiting::Waiting;
use crate::{Clients, progress};

/// The most values that one filter takes; a target has at most 128 volumes [facts D3].
const MOST_IN_A_FILTER: usize = 200;

/// Looks once, as it was `now` for the deadline, and says beside the case how far it is at the time `at`.
pub(crate) async fn all(clients: &Clients, waiting: &Waiting, now: Timestamp, at: Timestamp) -> Result<Preserved, AwsError> {
    let described = describe(&clients.ec2, &waiting.snapshots).await?;
    let seen = waiting.snapshots.iter().map(|taken| one(taken, &described, may_be_unseen(waiting, taken, at))).collect();
    let preserved = progress::assess(seen, now >= waiting.deadline);
    clients.store.say_progress(&waiting.case_id, &how_far(&preserved, waiting, at)).await;
    Ok(preserved)
}

/// The look as those see it who watch.
fn how_far(preserved: &Preserved, waiting: &Waiting, at: Timestamp) -> Progress {
    let said = match preserved.status {
        LookStatus::Pending => "pending",
        LookStatus::Completed => "completed",
        LookStatus::Incomplete => "incomplete",
    };
    Progress {
        schema: Progress::SCHEMA.to_owned(),
        stage: waiting.stage,
        since: waiting.begun,
        at,
        percent: preserved.percent,
        done_bytes: None,
        of_bytes: None,
        said: said.to_owned(),
        ended: !preserved.is_pending(),
    }
}

/// EC2's description of the snapshots. By a filter, not by their ids: one id that EC2 does not know would hide the others,
/// and a filtered call takes from the larger of its buckets.
async fn describe(ec2: &aws_sdk_ec2::Client, taken: &[Taken]) -> Result<Vec<Snapshot>, AwsError> {
    let mut described = Vec::new();
    // No ids would mean every snapshot that there is: then there is no chunk either.
    for taken in taken.chunks(MOST_IN_A_FILTER) {
        let ids = taken.iter().map(|taken| taken.snapshot_id.to_string()).collect();
        let filter = Filter::builder().name("snapshot-id").set_values(Some(ids)).build();
        let page = ec2.describe_snapshots().owner_ids("self").filters(filter).send().await;
        described.extend(page.map_err(failed("ec2:DescribeSnapshots"))?.snapshots.unwrap_or_default());
    }
    Ok(described)
}

/// Whether EC2 may not show yet what it has begun: it is looked for soon after.
fn may_be_unseen(waiting: &Waiting, taken: &Taken, at: Timestamp) -> bool {
    patience::may_be_unseen(taken.started_at.unwrap_or(waiting.begun), at)
}

fn one(taken: &Taken, described: &[Snapshot], may_be_unseen: bool) -> SnapshotLook {
    let unseen = if may_be_unseen { "pending" } else { "gone" };
    let found = described.iter().find(|snapshot| snapshot.snapshot_id() == Some(taken.snapshot_id.as_str()));
    SnapshotLook {
        snapshot_id: taken.snapshot_id.clone(),
        volume_id: taken.volume_id.clone(),
        state: found.and_then(Snapshot::state).map_or(unseen, |state| state.as_str()).to_owned(),
        percent: found.and_then(Snapshot::progress).map_or(0, percent),
        size_gib: found.and_then(Snapshot::volume_size),
        completed_at: found.and_then(Snapshot::completion_time).and_then(|time| Timestamp::from_second(time.secs()).ok()),
    }
}
