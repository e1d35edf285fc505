//! Waits for the snapshots of a case: looks, and leaves the execution to wait by a task token until it is woken.
//!
//! The state machine asks for `wait`: the token is kept where this function alone may read it, and only then is looked, so
//! that nothing that ends between the two goes unseen. EventBridge brings what EBS says of snapshots that have ended: whose
//! they are is found by a key, all of that case's snapshots are looked at, and where none of them is pending any more, the
//! execution is woken with what was seen. An event that never comes costs time and nothing else: the state's own time-out,
//! ever longer, brings the next look ([`incident::patience`]).
//!
//! Safe to repeat: a look changes nothing; a newer token replaces an older one and never the other way round; who was woken
//! already is not woken again, which is no error.
//!
//! INVARIANT: an event only wakes. What is true is what EC2 says when it is asked, before anybody is woken.
//! INVARIANT: nothing here waits, and no token is ever in a log, a record or the case.

pub mod event;
mod hear;
mod look;
pub mod progress;
mod waiting;

use handler::{AwsError, Store, StoreError};
use incident::copies::Copies;
use incident::evidence::Freeze;
use incident::plan::Plan;
use incident::{Classify, Fault, SnapshotId, Visit};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use waiting::Waiting;

/// What the state machine asks for, or the event of a snapshot that has ended: the two are told apart by `detail-type`.
#[derive(Debug, Clone)]
pub enum Input {
    /// A state of the state machine.
    Wait(Box<Wait>),
    /// EventBridge's "EBS Snapshot Notification" or "EBS Multi-Volume Snapshots Completion Status".
    Event(Value),
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.get("detail-type").is_some() {
            return Ok(Self::Event(value));
        }
        serde_json::from_value(value).map(Self::Wait).map_err(serde::de::Error::custom)
    }
}

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wait {
    /// Where in the execution this is.
    pub visit: Visit,
    /// The task's token: whoever has it and the right to send it may wake the execution.
    pub token: String,
    /// What may be done, and until when.
    pub plan: Box<Plan>,
    /// The snapshots to wait for.
    pub freeze: Freeze,
    /// The copies to wait for, once the snapshots are there.
    pub copies: Option<Copies>,
    /// How many looks there have been.
    pub looks: u32,
}

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The snapshots.
    pub ec2: aws_sdk_ec2::Client,
    /// Where the execution waits.
    pub sfn: aws_sdk_sfn::Client,
    /// The evidence bucket.
    pub store: Store,
}

/// Why the snapshots could not be looked at, or nobody be woken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// EC2 lags behind its own event. Lambda brings an event again whose function has failed, a minute later.
    #[error("EC2 does not show yet that `{0}` has ended, as its event says")]
    NotYetShown(SnapshotId),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::NotYetShown(_) => Fault::Transient,
        }
    }
}

/// Waits, or hears. What this gives is for the log alone: the state waits for its token.
pub async fn handle(clients: &Clients, input: Input) -> Result<Value, Error> {
    match input {
        Input::Wait(wait) => self::wait(clients, *wait).await,
        Input::Event(event) => hear::hear(clients, &event).await,
    }
}

/// Keeps the token, looks, and ends the wait at once where there is nothing left to wait for.
async fn wait(clients: &Clients, input: Wait) -> Result<Value, Error> {
    let Wait { visit, token, plan, freeze, copies, looks } = input;
    let now = visit.entered;
    let waiting = match copies {
        Some(copies) => Waiting::for_copies(visit, token, &plan, &copies),
        None => Waiting::new(visit, token, &plan, freeze.snapshots),
    };
    if looks == 0 {
        waiting.say_whose(&clients.store).await?;
    }
    // Before the look: whatever ends after it is heard of, and finds the token.
    waiting.keep(&clients.store).await?;
    let preserved = look::all(clients, &waiting, now, now).await?;
    let woken = !preserved.is_pending() && waiting.wake(&clients.sfn, &preserved).await?;
    Ok(json!({"status": preserved.status, "percent": preserved.percent, "woken": woken}))
}
