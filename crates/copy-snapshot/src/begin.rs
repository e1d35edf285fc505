//! Begins copies, under Cordon's own key, and locks them while still pending.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::types::{LockMode as Mode, ResourceType, Tag, TagSpecification};
use futures_util::future::join_all;
use handler::recorder::result;
use handler::{AwsError, failed};
use incident::copies::SnapshotCopy;
use incident::evidence::LockOutcome;
use incident::plan::{LockMode, Plan};
use incident::record::Change;
use incident::text::bounded;
use incident::{Classify as _, Fault, SnapshotId, patience};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::look::{COPY, OF};
use crate::plan::{Source, There};
use crate::{Done, MOST_SAID, change};

/// What EC2 says where it has as many copies under way as it takes.
const FULL: &str = "ResourceLimitExceeded";

/// The change that a copy is, with its lock.
pub(crate) fn intended(plan: &Plan, source: &Source, key: &str) -> Change {
    change("ec2:CopySnapshot", source.snapshot.as_str(), json!({"key": key, "lock": plan.snapshot_lock}))
}

/// The change that a lock is.
pub(crate) fn lock_intended(plan: &Plan, copy: &SnapshotCopy) -> Change {
    let to = json!({"mode": plan.snapshot_lock.mode, "days": plan.snapshot_lock.days});
    change("ec2:LockSnapshot", copy.snapshot_id.as_str(), to)
}

/// Whether a copy is to be locked: it is not known to be.
pub(crate) fn is_open(copy: &SnapshotCopy) -> bool {
    (copy.is_pending() || copy.is_completed()) && matches!(copy.lock, LockOutcome::NotLocked { .. })
}

/// Begins a copy of each of `sources`, and adds it to `there`.
///
/// What gets no answer, or one that is no answer, may have been begun. It is not tried again by this visit's attempts, since EC2
/// may not show yet what it has begun, but looked for by the next visit.
pub(crate) async fn all(
    ec2: &Client,
    plan: &Plan,
    key: &str,
    sources: &[Source],
    there: &mut Vec<There>,
    now: Timestamp,
    done: &mut Done,
) {
    let begun = join_all(sources.iter().map(|source| one(ec2, plan, key, source))).await;
    for (source, begun) in sources.iter().zip(begun) {
        let made = begun.as_ref().map_or(Value::Null, |id| json!(id));
        let noted = intended(plan, source, key);
        let to = json!({"key": key, "lock": plan.snapshot_lock, "copy": made});
        done.changes.push(Change { to, result: Some(result(&begun)), ..noted });
        match begun {
            Ok(id) => there.push(There {
                id,
                of: source.snapshot.clone(),
                begun: now,
                state: "pending".to_owned(),
                percent: 0,
                key: None,
                why: String::new(),
            }),
            // Others copy too: it has its turn when theirs have ended.
            Err(error) if error.is(FULL) => done.held += 1,
            Err(error) => done.failed(&source.snapshot, &error),
        }
    }
}

async fn one(ec2: &Client, plan: &Plan, key: &str, source: &Source) -> Result<SnapshotId, AwsError> {
    let region = plan.target.region.as_str();
    let call = ec2.copy_snapshot().source_region(region).source_snapshot_id(source.snapshot.as_str());
    let call = call.encrypted(true).kms_key_id(key).tag_specifications(tags(plan, source));
    let call = call.description(format!("Cordon case {}: copy of {} of {}", plan.case_id, source.snapshot, source.volume));
    // Never resent by the SDK: there is no client token, and a lost answer would make a second copy.
    let once = aws_sdk_ec2::config::Builder::new().retry_config(RetryConfig::disabled());
    let answer = call.customize().config_override(once).send().await.map_err(failed("ec2:CopySnapshot"))?;
    answer.snapshot_id().and_then(|id| SnapshotId::parse(id).ok()).ok_or_else(|| AwsError {
        action: "ec2:CopySnapshot",
        code: "UnreadableAnswer".to_owned(),
        message: "the answer names no snapshot".to_owned(),
        request_id: String::new(),
        fault: Fault::Transient,
    })
}

fn tags(plan: &Plan, source: &Source) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    TagSpecification::builder()
        .resource_type(ResourceType::Snapshot)
        .tags(tag(COPY, plan.case_id.as_str()))
        .tags(tag(OF, source.snapshot.as_str()))
        .build()
}

/// Locks those of `copies` that are not known to be, as the snapshots are locked: pending ones too, so that nobody can delete
/// what is under way [facts 69].
pub(crate) async fn lock(ec2: &Client, plan: &Plan, copies: &mut [SnapshotCopy], now: Timestamp, done: &mut Done) {
    let mut open: Vec<&mut SnapshotCopy> = copies.iter_mut().filter(|copy| is_open(copy)).collect();
    let outcomes = join_all(open.iter().map(|copy| lock_one(ec2, plan, &copy.snapshot_id))).await;
    for (copy, outcome) in open.iter_mut().zip(outcomes) {
        done.changes.push(Change { result: Some(result(&outcome)), ..lock_intended(plan, copy) });
        match outcome {
            Ok(()) => copy.lock = LockOutcome::Locked { mode: plan.snapshot_lock.mode, days: plan.snapshot_lock.days },
            Err(error) => {
                copy.lock = LockOutcome::NotLocked { reason: bounded(&error.to_string(), MOST_SAID) };
                // EC2 may not know yet what it has just begun.
                if error.fault() == Fault::Transient
                    || error.fault() == Fault::Missing && patience::may_be_unseen(copy.begun, now)
                {
                    done.passed += 1;
                }
            }
        }
    }
}

async fn lock_one(ec2: &Client, plan: &Plan, id: &SnapshotId) -> Result<(), AwsError> {
    let mode = match plan.snapshot_lock.mode {
        LockMode::Governance => Mode::Governance,
        LockMode::Compliance => Mode::Compliance,
    };
    let call = ec2.lock_snapshot().snapshot_id(id.as_str()).lock_mode(mode).lock_duration(i32::from(plan.snapshot_lock.days));
    call.send().await.map_err(failed("ec2:LockSnapshot")).map(drop)
}
