//! `CopySnapshot`: copies the completed snapshots of a case under a key of Cordon's own, locks the copies and shares them with
//! the forensic accounts of the plan [facts 70].
//!
//! One visit looks at the copies that there are, begins as many more as EC2 takes at once, locks them while still pending,
//! shares those that are completed, and says whether to wait: until EBS says that those under way have ended, or, where
//! nothing of ours is under way and EC2 takes no more, for a while.
//!
//! Safe to repeat: `CopySnapshot` has no client token, so copies are known by the ids that EC2 gave, and found again by the
//! case's tag where it gave none; the call is never resent, neither by the SDK nor by an attempt that follows at once: what got
//! no answer is looked for by the next visit.
//!
//! INVARIANT: what cannot be copied, locked or shared is missing by name; the snapshots themselves are there all the same.

mod begin;
mod look;
pub mod plan;
mod share;

use handler::{AwsError, Recorder, Store, StoreError};
use incident::copies::{Copies, SnapshotCopy};
use incident::evidence::{Missing, Preserved};
use incident::patience;
use incident::plan::Plan;
use incident::record::Change;
use incident::text::bounded;
use incident::{Classify, Fault, SnapshotId, Visit};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::look::Seen;
use crate::plan::{Source, There};

/// How much of an error is handed on, in characters: outputs of states are bounded, and there may be 128 of them [facts 82].
const MOST_SAID: usize = 200;

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
    /// The copies could not be looked at: nothing was changed.
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
    let (before, refused) = copies.map(|copies| (copies.copies, copies.refused)).unwrap_or_default();
    let Some(key) = clients.key.as_deref() else { return Ok(without_key(&sources, since)) };
    let with: Vec<String> = planned.accounts(&plan.target.account).map(str::to_owned).collect();

    let Seen { mut there, found, foreign } = look::look(&clients.ec2, &plan, key, &sources, &before, now).await?;
    let (begin, held) = if expired { (Vec::new(), 0) } else { plan::to_begin(&sources, &there, &refused) };
    let mut done = Done { refused, held, ..Done::default() };
    let known = current(&sources, &there, &before);
    let mut intended: Vec<Change> = begin.iter().map(|source| begin::intended(&plan, source, key)).collect();
    intended.extend(known.iter().filter(|copy| begin::is_open(copy)).map(|copy| begin::lock_intended(&plan, copy)));
    intended.extend(known.iter().filter(|copy| share::is_due(copy, &with)).flat_map(|copy| share::intended(copy, &with)));
    let recorder = clients.store.case(&plan.case_id, plan.retention).recorder(&visit);
    let number = intend(&recorder, intended).await?;
    begin::all(&clients.ec2, &plan, key, &begin, &mut there, now, &mut done).await;
    let mut copies = current(&sources, &there, &before);
    begin::lock(&clients.ec2, &plan, &mut copies, now, &mut done).await;
    share::all(&clients.ec2, &with, &mut copies, &mut done).await;
    let Done { changes, refused, held, passed } = done;
    if let Some(number) = number {
        recorder.outcome(number, changes, json!({"held": held, "found": found})).await?;
    }
    let mut missing = plan::missing(&sources, &copies, &there, &with, &refused);
    missing.extend(foreign.iter().map(|id| {
        let reason = "it has the tags of a copy of this case, and is none: find out who made it, and what is in it";
        Missing::new(format!("copy-foreign:{id}"), reason)
    }));
    let status = plan::status(&copies, held + passed, &missing, expired);
    let usual = patience::until_next_look(since, now, planned.until, &plan.case_id);
    let pause_seconds = plan::pause(status, held, passed, usual);
    let goes_on = pause_seconds > 0;
    // What may still come is not missing yet. Only what EC2 will not copy is kept of what was refused: the rest is tried again.
    let missing = if goes_on { Vec::new() } else { plan::handed_on(missing) };
    let refused = refused.into_iter().filter(|refused| sources.iter().any(|source| refused.item == source.snapshot.as_str()));
    Ok(Copies { status, since, pause_seconds, copies, refused: refused.collect(), missing, failure: None })
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

/// The plan asks for copies, and there is no key for them.
fn without_key(sources: &[Source], since: Timestamp) -> Copies {
    let reason = "the stack has no key for copies: deploy it with the parameter ForensicAccounts, then copy by hand";
    let missing: Vec<Missing> = sources.iter().map(|source| Missing::new(format!("copy:{}", source.volume), reason)).collect();
    let status = plan::status(&[], 0, &missing, true);
    Copies { status, since, pause_seconds: 0, copies: Vec::new(), refused: Vec::new(), missing, failure: None }
}

fn change(action: &str, subject: &str, to: Value) -> Change {
    Change::intended(action, subject, Value::Null, to)
}

/// What some calls led to.
#[derive(Debug, Default)]
struct Done {
    changes: Vec<Change>,
    /// The snapshots that EC2 will not copy and the copies that it will not share, and why.
    refused: Vec<Missing>,
    /// How many copies could not be begun yet.
    held: usize,
    /// How much failed in passing, or may have.
    passed: usize,
}

impl Done {
    /// The call about `id` failed.
    fn failed(&mut self, id: &SnapshotId, error: &AwsError) {
        if error.fault() == Fault::Transient {
            self.passed += 1;
        } else {
            self.refused.push(Missing::new(id.as_str(), bounded(&error.to_string(), MOST_SAID)));
        }
    }
}
