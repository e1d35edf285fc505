//! The copies that this case has.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Snapshot};
use handler::{AwsError, failed};
use incident::SnapshotId;
use incident::plan::Plan;
use incident::text::bounded;

use crate::plan::There;

/// The tag that every copy has: its case. Not `"cordon:case"`, the tag of the snapshots themselves, so that none is ever taken for one.
pub(crate) const COPY: &str = "cordon:copy";
/// The tag that says what it is a copy of: EC2 does not.
pub(crate) const OF: &str = "cordon:copy-of";

/// Every copy of the case, the oldest first.
pub(crate) async fn look(ec2: &Client, plan: &Plan) -> Result<Vec<There>, AwsError> {
    let of_case = Filter::builder().name(format!("tag:{COPY}")).values(plan.case_id.as_str()).build();
    let page = ec2.describe_snapshots().owner_ids("self").filters(of_case).send().await;
    let mut snapshots = page.map_err(failed("ec2:DescribeSnapshots"))?.snapshots.unwrap_or_default();
    snapshots.sort_by_key(|snapshot| snapshot.start_time().map(aws_sdk_ec2::primitives::DateTime::secs));
    Ok(snapshots.iter().filter_map(there).collect())
}

fn there(snapshot: &Snapshot) -> Option<There> {
    let of = snapshot.tags().iter().find(|tag| tag.key() == Some(OF))?.value()?;
    let percent = snapshot.progress().and_then(|progress| progress.trim_end_matches('%').parse().ok());
    Some(There {
        id: SnapshotId::parse(snapshot.snapshot_id()?).ok()?,
        of: SnapshotId::parse(of).ok()?,
        state: snapshot.state().map_or("unknown", |state| state.as_str()).to_owned(),
        percent: percent.unwrap_or(0),
        key: snapshot.kms_key_id().map(|key| bounded(key, 200)),
        why: bounded(snapshot.state_message().unwrap_or_default(), 200),
    })
}
