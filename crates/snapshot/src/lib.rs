//! Snapshot: freezes every EBS volume of the target at one point in time, and locks the snapshots while still pending.
//!
//! The set is crash-consistent: one call fixes one moment for all volumes [facts 64, 65]. Where AWS refuses the set, each
//! volume is taken by itself.
//!
//! Safe to repeat: `CreateSnapshots` has no client token, so snapshots are found again by the case's tag before anything is
//! taken, and the calls that take them are never resent by the SDK: after a lost answer the next attempt looks first.

pub mod left_out;
mod lock;
pub mod plan;
mod take;

use futures_util::future::join;
use handler::{AwsError, Store, StoreError};
use incident::evidence::{Freeze, Missing, Taken};
use incident::patience;
use incident::plan::Plan;
use incident::record::Change;
use incident::{Classify, Fault, Visit};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::plan::Found;

/// From this attempt on, what AWS could not do in passing is told as missing: the state machine tries no further, and what
/// was taken must not be lost with what was not.
const LAST_RETRY: u32 = 5;

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What may be done.
    pub plan: Box<Plan>,
}

/// What was frozen and what could not be.
pub type Output = Freeze;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The volumes and the snapshots.
    pub ec2: aws_sdk_ec2::Client,
    /// The evidence bucket.
    pub store: Store,
}

/// Why the step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed in passing, and the next attempt finds what was done.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
        }
    }
}

/// Takes a snapshot of every volume, or finds those of an earlier attempt, and locks them.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan } = input;
    let recorder = clients.store.case(&plan.case_id, plan.retention).recorder(&visit);
    // With what may follow: each is locked, and taken by itself where the set is refused.
    let to = json!({"volumes": plan.target.volumes, "orElse": "ec2:CreateSnapshot", "lock": plan.snapshot_lock});
    let intended = vec![change("ec2:CreateSnapshots", plan.target.instance_id.as_str(), to)];
    // The look changes nothing, so that the intent may be written beside it.
    let (number, found) = join(recorder.intent(intended), take::look(&clients.ec2, &plan)).await;
    let number = number?;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            // An intent without an outcome would say for ever that nobody knows what was done.
            recorder.outcome(number, Vec::new(), json!({"nothingDone": error.to_string()})).await?;
            return Err(error.into());
        }
    };
    if found.volumes.is_empty() {
        recorder.outcome(number, Vec::new(), json!({"volumes": []})).await?;
        let facts = left_out::look(&clients.ec2, &plan).await;
        let mut missing = vec![Missing::new("disks", "the instance has no EBS volumes that could be frozen")];
        missing.extend(left_out::missing(&facts));
        let risks = left_out::risks(&facts, &[], &[]);
        return Ok(Freeze { snapshots: Vec::new(), missing, risks, pauses: Vec::new(), failure: None });
    }

    let taking = Box::pin(take::missing_ones(&clients.ec2, &plan, &found)).await;
    let last = visit.retry >= LAST_RETRY;
    let taking = if last { take::given_up(taking, &found.unfrozen()) } else { taking };
    let mut taken = found.taken();
    taken.extend(taking.taken);
    // What is left out holds nothing up: it is looked for while the snapshots are locked.
    let (locks, facts) = Box::pin(join(lock::all(&clients.ec2, &plan, &mut taken), left_out::look(&clients.ec2, &plan))).await;

    let mut changes = taking.changes;
    changes.extend(locks.changes);
    recorder.outcome(number, changes, json!({"reused": found.reused()})).await?;
    // What failed in passing is tried again by the state machine: what is there is found by its tag.
    if let Some(error) = taking.transient.or(locks.transient).filter(|_| !last) {
        return Err(error.into());
    }
    let mut missing = plan::missing(&found.volumes, &taken, &taking.refused);
    missing.extend(left_out::missing(&facts));
    let risks = left_out::risks(&facts, &taken, &found.shared);
    let pauses = patience::pauses(visit.entered, plan.deadlines.snapshots, &plan.case_id);
    Ok(Freeze { snapshots: taken, missing, risks, pauses, failure: None })
}

fn change(action: &str, subject: &str, to: Value) -> Change {
    Change::intended(action, subject, Value::Null, to)
}

/// What some calls led to.
#[derive(Debug, Default)]
struct Done {
    taken: Vec<Taken>,
    changes: Vec<Change>,
    /// The volumes that could not be frozen, and why.
    refused: Vec<(incident::VolumeId, String)>,
    /// The first failure that may pass.
    transient: Option<AwsError>,
}

impl Found {
    fn reused(&self) -> usize {
        self.snapshots.len()
    }
}
