//! Credentials: denies the sessions of the target's role, and of nobody else's, in two phases.
//!
//! The template makes one policy that only denies, and aims at the instances that the role's tags name. This step attaches
//! that policy and sets those tags: so it can take rights away and never give any. `first` leaves Systems Manager's agent
//! alive, so that memory can be captured [facts 29, 31]; `all` denies that too. `lift` takes the denial back for a release.
//!
//! A session of an instance carries the instance's id in `aws:userid` and `ec2:SourceInstanceARN` wherever it is used
//! [facts 28, D12], so that also credentials that were taken away are denied, and those that instance metadata hands out
//! later.
//!
//! Safe to repeat: it looks first and changes only what is not yet so.
//!
//! INVARIANT: nothing is changed before its old value is durable, in an intent's `from`.
//! INVARIANT: a tag that names another instance is never written, and a slot is never shared.
//! INVARIANT: what the output says is denied was read back, never assumed.

pub mod decide;
mod deny;
pub mod documents;
mod lift;
mod means;
pub mod obstacle;
mod records;
mod role;
mod settings;
mod slots;
mod verdict;

use handler::{AwsError, Store, StoreError};
use incident::evidence::{Denial, DenialScope};
use incident::plan::Plan;
use incident::release::ReleasePlan;
use incident::{Classify, Fault, Visit};
use serde::Deserialize;

pub use settings::{Means, Settings};

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Input {
    /// Deny everything but what Systems Manager's agent needs.
    First {
        /// Where in the execution this is.
        visit: Visit,
        /// What may be done.
        plan: Box<Plan>,
    },
    /// Deny everything.
    All {
        /// Where in the execution this is.
        visit: Visit,
        /// What may be done.
        plan: Box<Plan>,
    },
    /// Deny nothing any more, for this target alone: it is released.
    Lift {
        /// Where in the execution this is.
        visit: Visit,
        /// What is given back.
        release: Box<ReleasePlan>,
    },
}

/// What was done, as it was read back.
pub type Output = Denial;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The role.
    pub iam: aws_sdk_iam::Client,
    /// The evidence bucket.
    pub store: Store,
    /// How to deny.
    pub settings: Settings,
}

/// Why the step failed. What AWS refuses is no failure: the output says it, with what a person should do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The case file, or the claim of a slot, could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An AWS call failed in passing, and the next attempt goes on from what was done.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// Every change went through, and the role does not show it yet.
    #[error("role `{0}` does not show the denial yet, although every change went through: try again")]
    NotYetRead(String),
    /// Every change went through, and the role still shows the denial.
    #[error("role `{0}` still shows the denial, although every change went through: try again")]
    NotYetLifted(String),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Aws(error) => error.fault(),
            Self::NotYetRead(_) | Self::NotYetLifted(_) => Fault::Transient,
        }
    }
}

/// Denies as far as the phase says, or lifts the denial, and reads back.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let (visit, plan, scope) = match input {
        Input::First { visit, plan } => (visit, plan, DenialScope::AllButSystemsManager),
        Input::All { visit, plan } => (visit, plan, DenialScope::All),
        Input::Lift { visit, release } => return Box::pin(lift::lift(clients, &visit, &release)).await,
    };
    Box::pin(deny::deny(clients, &visit, &plan, scope)).await
}
