//! The copies that this case has.
//!
//! What was begun is known by its id. Beside that EC2 is asked for what has the case's tags: a copy whose call got no answer.
//! Tags can be set by others, so that what is only found by them counts where it is what our call makes, and nothing else is.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Snapshot};
use futures_util::future::try_join;
use handler::{AwsError, failed};
use incident::copies::SnapshotCopy;
use incident::plan::Plan;
use incident::progress::percent;
use incident::text::bounded;
use incident::{SnapshotId, patience};
use jiff::Timestamp;

use crate::plan::{Source, There};

/// The tag that every copy has: its case. Not `"cordon:case"`, the tag of the snapshots themselves, so that none is ever taken
/// for one.
pub(crate) const COPY: &str = "cordon:copy";
/// The tag that says what it is a copy of: EC2 does not.
pub(crate) const OF: &str = "cordon:copy-of";
/// The most values that one filter takes; a case has at most 128 snapshots [facts D3].
const MOST_IN_A_FILTER: usize = 200;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The copies of the case, the oldest first.
    pub(crate) there: Vec<There>,
    /// Those of them that were found by their tags alone.
    pub(crate) found: Vec<SnapshotId>,
    /// What has the tags of a copy of the case, and is none.
    pub(crate) foreign: Vec<SnapshotId>,
}

/// Looks for what `before` names, and for what has the case's tags.
pub(crate) async fn look(
    ec2: &Client,
    plan: &Plan,
    key: &str,
    sources: &[Source],
    before: &[SnapshotCopy],
    now: Timestamp,
) -> Result<Seen, AwsError> {
    let of_case = Filter::builder().name(format!("tag:{COPY}")).values(plan.case_id.as_str()).build();
    let (tagged, known) = try_join(described(ec2, of_case), by_id(ec2, before)).await?;
    let mut seen = Seen::default();
    for copy in before {
        let id = copy.snapshot_id.as_str();
        let found = known.iter().chain(&tagged).find(|snapshot| snapshot.snapshot_id() == Some(id));
        seen.there.extend(match found {
            Some(snapshot) => there(snapshot, copy.of.clone(), copy.begun),
            // EC2 may not show yet what it has just begun; and what is deleted is no copy any more.
            None => patience::may_be_unseen(copy.begun, now).then(|| unseen(copy)),
        });
    }
    for snapshot in &tagged {
        let Some(id) = snapshot.snapshot_id().and_then(|id| SnapshotId::parse(id).ok()) else { continue };
        if before.iter().any(|copy| copy.snapshot_id == id) {
            continue;
        }
        let of = snapshot.tags().iter().find(|tag| tag.key() == Some(OF)).and_then(|tag| SnapshotId::parse(tag.value()?).ok());
        let source = of.and_then(|of| sources.iter().find(|source| source.snapshot == of));
        match source.filter(|source| is_ours(snapshot, key, source)) {
            Some(source) => {
                let begun = snapshot.start_time().and_then(|time| Timestamp::from_second(time.secs()).ok()).unwrap_or(now);
                seen.there.extend(there(snapshot, source.snapshot.clone(), begun));
                seen.found.push(id);
            }
            None => seen.foreign.push(id),
        }
    }
    seen.there.sort_by_key(|copy| copy.begun);
    Ok(seen)
}

/// Whether it is what our call makes of `source`: under our key, and as large. While it is under way, or has failed, EC2 may not
/// say its key.
fn is_ours(snapshot: &Snapshot, key: &str, source: &Source) -> bool {
    let completed = snapshot.state().is_some_and(|state| state.as_str() == "completed");
    let ours = match snapshot.kms_key_id() {
        Some(id) => id == key && snapshot.encrypted() == Some(true),
        None => !completed,
    };
    ours && source.size_gib.is_none_or(|size| snapshot.volume_size().is_none_or(|of| of == size))
}

fn there(snapshot: &Snapshot, of: SnapshotId, begun: Timestamp) -> Option<There> {
    Some(There {
        id: SnapshotId::parse(snapshot.snapshot_id()?).ok()?,
        of,
        begun,
        state: snapshot.state().map_or("unknown", |state| state.as_str()).to_owned(),
        percent: snapshot.progress().map_or(0, percent),
        key: snapshot.kms_key_id().map(|key| bounded(key, 200)),
        why: bounded(snapshot.state_message().unwrap_or_default(), 200),
    })
}

fn unseen(copy: &SnapshotCopy) -> There {
    There {
        id: copy.snapshot_id.clone(),
        of: copy.of.clone(),
        begun: copy.begun,
        state: "pending".to_owned(),
        percent: copy.percent,
        key: copy.key.clone(),
        why: String::new(),
    }
}

async fn by_id(ec2: &Client, before: &[SnapshotCopy]) -> Result<Vec<Snapshot>, AwsError> {
    let mut all = Vec::new();
    // No ids would mean every snapshot that there is: then there is no chunk either.
    for copies in before.chunks(MOST_IN_A_FILTER) {
        let ids = copies.iter().map(|copy| copy.snapshot_id.to_string()).collect();
        all.extend(described(ec2, Filter::builder().name("snapshot-id").set_values(Some(ids)).build()).await?);
    }
    Ok(all)
}

async fn described(ec2: &Client, filter: Filter) -> Result<Vec<Snapshot>, AwsError> {
    let mut all = Vec::new();
    let mut token = None;
    loop {
        let call = ec2.describe_snapshots().owner_ids("self").filters(filter.clone()).set_next_token(token);
        let mut page = call.send().await.map_err(failed("ec2:DescribeSnapshots"))?;
        all.extend(page.snapshots.take().unwrap_or_default());
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(all);
        }
    }
}
