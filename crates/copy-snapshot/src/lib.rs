//! `CopySnapshot`: copies the completed snapshots of a case under a key of Cordon's own, locks the copies and shares them with
//! the forensic accounts of the plan [facts 70].
//!
//! One visit looks at the copies that there are, begins as many more as EC2 takes at once, locks them while still pending,
//! shares those that are completed, and says whether to wait: until EBS says that those under way have ended, or, where
//! nothing of ours is under way and EC2 takes no more, for a while.
//!
//! Safe to repeat: `CopySnapshot` has no client token, so copies are found again by the case's tag before any is begun, and
//! the call is never resent by the SDK: after a lost answer the next attempt looks first.
//!
//! INVARIANT: what cannot be copied, locked or shared is missing by name; the snapshots themselves are there all the same.

mod begin;
mod look;
pub mod plan;
mod share;

use handler::{AwsError, Recorder, Store, StoreError};
use incident::copies::{Copies, CopyPlan, CopyStatus, SnapshotCopy};
use incident::evidence::{Missing, Preserved};
use incident::patience;
use incident::plan::Plan;
use incident::record::Change;
use incident::{Classify, Fault, SnapshotId, Visit};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::plan::{Source, There};

/// From this attempt on, what AWS could not do in passing is left to the next look: the state machine tries no further, and
/// what was begun must not be lost with what was not.
const LAST_RETRY: u32 = 5;

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What may be done.
    pub plan: Box<Plan>,
    /// How the wait for the snapshots ended.
    pub preserved: Preserved,
    /// What the last visit said; absent in the first.
    pub copies: Option<Copies>,
}

/// How the copying stands.
pub type Output = Copies;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The snapshots.
    pub ec2: aws_sdk_ec2::Client,
    /// The evidence bucket.
    pub store: Store,
    /// `COPY_KEY_ARN`: the key of the copies; absent where the stack has no forensic accounts.
    pub key: Option<String>,
}

/// Why the step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed in passing, and the next attempt finds what was done; or the copies could not be looked at.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan does not ask for copies.
    #[error("the plan asks for no copies: the policy's `copies.shareWith` names no account")]
    NotPlanned,
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::NotPlanned => Fault::Invalid,
        }
    }
}

/// Brings the copies as far as they come now, and says whether to wait for more.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan, preserved, copies } = input;
    let planned = plan.copies.as_ref().ok_or(Error::NotPlanned)?;
    let now = visit.entered;
    let expired = now >= planned.until;
    let sources = plan::sources(&preserved);
    let since = copies.as_ref().map_or(now, |copies| copies.since);
    let before = copies.map(|copies| copies.copies).unwrap_or_default();
    let Some(key) = clients.key.as_deref() else { return Ok(without_key(&sources, since)) };
    // The owner of a snapshot can read it anyway.
    let with: Vec<String> = planned.share_with.iter().filter(|account| **account != plan.target.account).cloned().collect();

    let mut there = look::look(&clients.ec2, &plan).await?;
    let (begin, held) = if expired { (Vec::new(), 0) } else { plan::to_begin(&sources, &there) };
    let mut done = Done { held, ..Done::default() };
    let known = current(&sources, &there, &before);
    let mut intended: Vec<Change> = begin.iter().map(|source| begin::intended(source, key)).collect();
    // A copy that is begun now is locked with it, as the snapshots are.
    intended.extend(known.iter().filter(|copy| begin::is_open(copy)).map(|copy| begin::lock_intended(&plan, copy)));
    intended.extend(known.iter().filter(|copy| share::is_due(copy, &with)).map(|copy| share::intended(copy, &with)));
    let recorder = clients.store.case(&plan.case_id, plan.retention).recorder(&visit);
    let number = intend(&recorder, intended).await?;
    begin::all(&clients.ec2, &plan, key, &begin, &mut there, &mut done).await;
    let mut copies = current(&sources, &there, &before);
    begin::lock(&clients.ec2, &plan, &mut copies, &mut done).await;
    share::all(&clients.ec2, &with, &mut copies, &mut done).await;
    let Done { changes, refused, held, transient, passed } = done;
    if let Some(number) = number {
        recorder.outcome(number, changes, json!({"held": held})).await?;
    }
    // What failed in passing is tried again by the state machine: what is there is found by its tag.
    if let Some(error) = transient.filter(|_| visit.retry < LAST_RETRY) {
        return Err(error.into());
    }
    let missing = plan::missing(&sources, &copies, &there, &with, &refused);
    let status = plan::status(&copies, held + passed, &missing, expired);
    Ok(said(&plan, planned, status, (since, now), copies, missing))
}

/// Writes the intent, where there is anything to do: most looks only look.
async fn intend(recorder: &Recorder, intended: Vec<Change>) -> Result<Option<u32>, StoreError> {
    if intended.is_empty() {
        return Ok(None);
    }
    recorder.intent(intended).await.map(Some)
}

/// The copy of each source that counts.
fn current(sources: &[Source], there: &[There], before: &[SnapshotCopy]) -> Vec<SnapshotCopy> {
    sources.iter().filter_map(|source| Some(plan::current(source, there)?.as_copy(source, before))).collect()
}

fn said(
    plan: &Plan,
    planned: &CopyPlan,
    status: CopyStatus,
    (since, now): (Timestamp, Timestamp),
    copies: Vec<SnapshotCopy>,
    missing: Vec<Missing>,
) -> Copies {
    let goes_on = matches!(status, CopyStatus::Copying | CopyStatus::Held);
    let pause_seconds = if goes_on { patience::until_next_look(since, now, planned.until, &plan.case_id) } else { 0 };
    // What may still come is not missing yet.
    let missing = if goes_on { Vec::new() } else { missing };
    Copies { status, since, pause_seconds, copies, missing, failure: None }
}

/// The plan asks for copies, and there is no key for them.
fn without_key(sources: &[Source], since: Timestamp) -> Copies {
    let reason = "the stack has no key for copies: deploy it with the parameter ForensicAccounts, then copy by hand";
    let missing: Vec<Missing> = sources.iter().map(|source| Missing::new(format!("copy:{}", source.volume), reason)).collect();
    let status = plan::status(&[], 0, &missing, true);
    Copies { status, since, pause_seconds: 0, copies: Vec::new(), missing, failure: None }
}

fn change(action: &str, subject: &str, to: Value) -> Change {
    Change::intended(action, subject, Value::Null, to)
}

/// What some calls led to.
#[derive(Debug, Default)]
struct Done {
    changes: Vec<Change>,
    /// What could not be copied or shared, and why.
    refused: Vec<(SnapshotId, String)>,
    /// How many copies could not be begun yet.
    held: usize,
    /// The first failure that may pass, and how many there were.
    transient: Option<AwsError>,
    passed: usize,
}

impl Done {
    fn failed_in_passing(&mut self, error: AwsError) {
        self.passed += 1;
        self.transient.get_or_insert(error);
    }
}
