//! Looks for what is there, and takes what is not.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::{Filter, InstanceSpecification, ResourceType, SnapshotState, Tag, TagSpecification};
use futures_util::future::{join, join_all};
use handler::recorder::result;
use handler::{AwsError, failed};
use incident::evidence::{LockOutcome, Taken};
use incident::plan::Plan;
use incident::{Classify as _, Fault, SnapshotId, VolumeId};
use jiff::Timestamp;
use serde_json::json;

use crate::plan::{Earlier, Found};
use crate::{Done, change};

/// The tag that every snapshot of a case has, and by which it is found again.
const CASE: &str = "cordon:case";
/// The tag that says how a snapshot was taken: `set` or `volume`.
const TAKEN: &str = "cordon:taken";

/// The target's volumes and the snapshots that this case already has.
pub(crate) async fn look(ec2: &Client, plan: &Plan) -> Result<Found, AwsError> {
    let of_case = Filter::builder().name(format!("tag:{CASE}")).values(plan.case_id.as_str()).build();
    let attached = Filter::builder().name("attachment.instance-id").values(plan.target.instance_id.as_str()).build();
    let (snapshots, volumes) =
        join(ec2.describe_snapshots().owner_ids("self").filters(of_case).send(), ec2.describe_volumes().filters(attached).send())
            .await;
    let snapshots = snapshots.map_err(failed("ec2:DescribeSnapshots"))?;
    let mut known: Vec<VolumeId> = plan.target.volumes.iter().map(|volume| volume.id.clone()).collect();
    let mut shared = Vec::new();
    // The plan's volumes are enough where the look at the attached ones is refused.
    match volumes.map_err(failed("ec2:DescribeVolumes")) {
        Ok(page) => {
            for (volume, id) in
                page.volumes().iter().filter_map(|volume| Some((volume, VolumeId::parse(volume.volume_id()?).ok()?)))
            {
                if volume.attachments().len() > 1 {
                    shared.push(id.clone());
                }
                if !known.contains(&id) {
                    known.push(id);
                }
            }
        }
        Err(error) if error.fault() == Fault::Transient => return Err(error),
        Err(error) => tracing::warn!(%error, "volumes attached since triage are not known"),
    }
    let useful = snapshots
        .snapshots()
        .iter()
        .filter(|snapshot| matches!(snapshot.state(), Some(SnapshotState::Pending | SnapshotState::Completed)));
    let snapshots = useful
        .filter_map(|snapshot| {
            let set = snapshot.tags().iter().any(|tag| tag.key() == Some(TAKEN) && tag.value() == Some("set"));
            Some(Earlier {
                id: SnapshotId::parse(snapshot.snapshot_id()?).ok()?,
                volume: VolumeId::parse(snapshot.volume_id()?).ok()?,
                in_set: set,
                started_at: time(snapshot.start_time()),
            })
        })
        .collect();
    Ok(Found { volumes: known, shared, snapshots })
}

/// Takes what is missing: the set where nothing has been taken, else, or where the set is refused, volume by volume.
pub(crate) async fn missing_ones(ec2: &Client, plan: &Plan, found: &Found) -> Done {
    let mut done = Done::default();
    let mut left = found.unfrozen();
    if left.is_empty() {
        return done;
    }
    if found.takes_set() && plan.target.state.is_alive() {
        let set = Box::pin(take_set(ec2, plan)).await;
        let volumes = json!({"volumes": left});
        let noted = change("ec2:CreateSnapshots", plan.target.instance_id.as_str(), volumes);
        done.changes.push(incident::record::Change { result: Some(result(&set)), ..noted });
        match set {
            Ok(taken) => {
                left.retain(|volume| !taken.iter().any(|taken| taken.volume_id == *volume));
                done.taken = taken;
            }
            Err(error) if error.fault() == Fault::Transient => {
                done.transient = Some(error);
                return done;
            }
            Err(error) => tracing::warn!(%error, "the set was refused; taking volume by volume"),
        }
    }
    let singles = join_all(left.iter().map(|volume| take_one(ec2, plan, volume))).await;
    for (volume, single) in left.into_iter().zip(singles) {
        let noted = change("ec2:CreateSnapshot", volume.as_str(), serde_json::Value::Null);
        done.changes.push(incident::record::Change { result: Some(result(&single)), ..noted });
        match single {
            Ok(taken) => done.taken.push(taken),
            Err(error) if error.fault() == Fault::Transient => done.transient = done.transient.or(Some(error)),
            Err(error) => done.refused.push((volume, error.to_string())),
        }
    }
    done
}

/// What failed in passing, as what failed for good: after the last attempt the others must not be lost with it.
pub(crate) fn given_up(mut done: Done, left: &[VolumeId]) -> Done {
    if let Some(error) = done.transient.take() {
        let hint = match error.code.as_str() {
            // The quotas are for each volume and free themselves as its snapshots are completed [facts 68].
            "ConcurrentSnapshotLimitExceeded" | "SnapshotCreationPerVolumeRateExceeded" => {
                "; other snapshots of it are under way: find them, lock the latest, and take one of its own when they are completed"
            }
            "PendingSnapshotLimitExceeded" => "; the account has too many under way: take it by hand when some are completed",
            _ => "",
        };
        let frozen = |volume: &VolumeId| done.taken.iter().any(|taken| taken.volume_id == *volume);
        let refused: Vec<_> = left
            .iter()
            .filter(|volume| !frozen(volume) && !done.refused.iter().any(|(id, _)| id == *volume))
            .map(|volume| (volume.clone(), format!("{error}{hint}")))
            .collect();
        done.refused.extend(refused);
    }
    done
}

async fn take_set(ec2: &Client, plan: &Plan) -> Result<Vec<Taken>, AwsError> {
    let of = InstanceSpecification::builder().instance_id(plan.target.instance_id.as_str()).exclude_boot_volume(false).build();
    let call =
        ec2.create_snapshots().instance_specification(of).description(description(plan)).tag_specifications(tags(plan, "set"));
    let answer = call.customize().config_override(once()).send().await.map_err(failed("ec2:CreateSnapshots"))?;
    let taken = answer.snapshots().iter().filter_map(|info| {
        Some(Taken {
            snapshot_id: SnapshotId::parse(info.snapshot_id()?).ok()?,
            volume_id: VolumeId::parse(info.volume_id()?).ok()?,
            in_set: true,
            started_at: time(info.start_time()),
            lock: LockOutcome::not_yet(),
        })
    });
    Ok(taken.collect())
}

async fn take_one(ec2: &Client, plan: &Plan, volume: &VolumeId) -> Result<Taken, AwsError> {
    let call =
        ec2.create_snapshot().volume_id(volume.as_str()).description(description(plan)).tag_specifications(tags(plan, "volume"));
    let answer = call.customize().config_override(once()).send().await.map_err(failed("ec2:CreateSnapshot"))?;
    let id = answer.snapshot_id().and_then(|id| SnapshotId::parse(id).ok()).ok_or_else(|| AwsError {
        action: "ec2:CreateSnapshot",
        code: "UnreadableAnswer".to_owned(),
        message: "the answer names no snapshot".to_owned(),
        request_id: String::new(),
        fault: Fault::Transient,
    })?;
    Ok(Taken {
        snapshot_id: id,
        volume_id: volume.clone(),
        in_set: false,
        started_at: time(answer.start_time()),
        lock: LockOutcome::not_yet(),
    })
}

/// Never resent by the SDK: a lost answer would take a second snapshot.
fn once() -> aws_sdk_ec2::config::Builder {
    aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled())
}

fn description(plan: &Plan) -> String {
    format!("Cordon case {}", plan.case_id)
}

/// Our own tags only: those of the volume are the target's, and so hostile.
fn tags(plan: &Plan, taken: &str) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    TagSpecification::builder()
        .resource_type(ResourceType::Snapshot)
        .tags(tag(CASE, plan.case_id.as_str()))
        .tags(tag(TAKEN, taken))
        .build()
}

fn time(time: Option<&aws_sdk_ec2::primitives::DateTime>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::from_second(time.secs()).ok())
}
