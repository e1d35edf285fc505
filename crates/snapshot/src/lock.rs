//! Locks every snapshot as the plan says, while still pending: a locked one cannot be deleted, also not by an attacker
//! with the account's credentials. The duration counts from completion [facts 69].

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types;
use futures_util::future::join_all;
use handler::recorder::result;
use handler::{AwsError, failed};
use incident::evidence::{LockOutcome, Taken};
use incident::plan::{LockMode, Plan};
use incident::record::Change;
use incident::text::bounded;
use incident::{Classify as _, Fault, SnapshotId};
use serde_json::json;

use crate::{Done, change};

/// Locks all of `taken`, at once, and says in each how it went.
pub(crate) async fn all(ec2: &Client, plan: &Plan, taken: &mut [Taken]) -> Done {
    let ids: Vec<SnapshotId> = taken.iter().map(|taken| taken.snapshot_id.clone()).collect();
    let mut done = Done::default();
    let outcomes = join_all(ids.iter().map(|id| lock(ec2, plan, id))).await;
    for (taken, outcome) in taken.iter_mut().zip(outcomes) {
        let to = json!({"mode": plan.snapshot_lock.mode, "days": plan.snapshot_lock.days});
        let noted = change("ec2:LockSnapshot", taken.snapshot_id.as_str(), to);
        done.changes.push(Change { result: Some(result(&outcome)), ..noted });
        taken.lock = match outcome {
            Ok(()) => LockOutcome::Locked { mode: plan.snapshot_lock.mode, days: plan.snapshot_lock.days },
            Err(error) => {
                // Outputs of states are bounded, and there may be 128 of them [facts 82].
                let reason = bounded(&error.to_string(), 200);
                if error.fault() == Fault::Transient {
                    done.transient = done.transient.or(Some(error));
                }
                LockOutcome::NotLocked { reason }
            }
        };
    }
    done
}

/// Locking twice with the same duration is no change.
async fn lock(ec2: &Client, plan: &Plan, id: &SnapshotId) -> Result<(), AwsError> {
    let mode = match plan.snapshot_lock.mode {
        LockMode::Governance => types::LockMode::Governance,
        LockMode::Compliance => types::LockMode::Compliance,
    };
    let call = ec2.lock_snapshot().snapshot_id(id.as_str()).lock_mode(mode).lock_duration(i32::from(plan.snapshot_lock.days));
    call.send().await.map_err(failed("ec2:LockSnapshot")).map(drop)
}
