//! One look at the snapshots of a case: pending (and how long to wait for the next look), completed, or not coming.
//!
//! Safe to repeat: it only looks, and says beside the case how far it is.
//!
//! INVARIANT: nothing here waits. The state machine does, for as long as the look says.

pub mod progress;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Snapshot};
use handler::{AwsError, Store, failed};
use incident::evidence::{Freeze, LookStatus, Preserved, SnapshotLook, Taken};
use incident::plan::Plan;
use incident::progress::{Progress, Stage};
use incident::{Classify, Fault, Visit};
use jiff::Timestamp;
use serde::Deserialize;

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What may be done, and until when.
    pub plan: Box<Plan>,
    /// The snapshots to look at.
    pub freeze: Freeze,
    /// How many looks there have been.
    pub looks: u32,
}

/// What the look says.
pub type Output = Preserved;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The snapshots.
    pub ec2: Client,
    /// The evidence bucket.
    pub store: Store,
}

/// Why the look failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] AwsError);

impl Classify for Error {
    fn fault(&self) -> Fault {
        self.0.fault()
    }
}

/// Looks once.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan, freeze, looks } = input;
    let described = describe(&clients.ec2, &plan, &freeze.snapshots).await?;
    let seen = freeze.snapshots.iter().map(|taken| look(taken, &described)).collect();
    // The plan's opening stands in for a start that AWS did not tell.
    let begun = freeze.snapshots.iter().filter_map(|taken| taken.started_at).min().unwrap_or(plan.opened);
    let clock = progress::Clock { now: visit.entered, begun, deadline: plan.deadlines.snapshots };
    let preserved = progress::assess(seen, looks, clock);
    clients.store.say_progress(&plan.case_id, &how_far(&preserved, clock)).await;
    Ok(preserved)
}

/// The look as those see it who watch.
fn how_far(preserved: &Preserved, clock: progress::Clock) -> Progress {
    let said = match preserved.status {
        LookStatus::Pending => "pending",
        LookStatus::Completed => "completed",
        LookStatus::Incomplete => "incomplete",
    };
    Progress {
        schema: Progress::SCHEMA.to_owned(),
        stage: Stage::Snapshots,
        since: clock.begun,
        at: clock.now,
        percent: preserved.percent,
        done_bytes: None,
        of_bytes: None,
        said: said.to_owned(),
        ended: preserved.status != LookStatus::Pending,
    }
}

/// EC2's description of the snapshots. One id that EC2 does not know fails the whole call by ids; then they are looked for
/// by the case's tag, so that the others are still seen.
async fn describe(ec2: &Client, plan: &Plan, taken: &[Taken]) -> Result<Vec<Snapshot>, AwsError> {
    // No ids would mean every snapshot that there is.
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let ids = taken.iter().map(|taken| taken.snapshot_id.to_string()).collect();
    let by_ids = ec2.describe_snapshots().set_snapshot_ids(Some(ids)).send().await.map_err(failed("ec2:DescribeSnapshots"));
    match by_ids {
        Ok(page) => Ok(page.snapshots.unwrap_or_default()),
        Err(error) if error.is("InvalidSnapshot.NotFound") => {
            let of_case = Filter::builder().name("tag:cordon:case").values(plan.case_id.as_str()).build();
            let page = ec2.describe_snapshots().owner_ids("self").filters(of_case).send().await;
            Ok(page.map_err(failed("ec2:DescribeSnapshots"))?.snapshots.unwrap_or_default())
        }
        Err(error) => Err(error),
    }
}

fn look(taken: &Taken, described: &[Snapshot]) -> SnapshotLook {
    let found = described.iter().find(|snapshot| snapshot.snapshot_id() == Some(taken.snapshot_id.as_str()));
    let percent = found.and_then(Snapshot::progress).map_or(0, progress::percent);
    SnapshotLook {
        snapshot_id: taken.snapshot_id.clone(),
        volume_id: taken.volume_id.clone(),
        state: found.and_then(Snapshot::state).map_or("gone", |state| state.as_str()).to_owned(),
        percent,
        size_gib: found.and_then(Snapshot::volume_size),
        completed_at: found.and_then(Snapshot::completion_time).and_then(|time| Timestamp::from_second(time.secs()).ok()),
    }
}
