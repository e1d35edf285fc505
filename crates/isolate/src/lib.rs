//! Isolate: cuts the target's network, interface by interface, and closes the door where that fails.
//!
//! `contain` moves every interface into the conversion group (allow-all, IPv4 and IPv6, both ways), which makes its flows
//! untracked, and then into the isolation group, which has no rules: an untracked flow ends with the rule that allowed it
//! [facts 1, 2]. Where memory is to be collected, the primary interface ends in the collection group instead: nothing in, and
//! out just what the collector needs. `convert` does the first half alone, where the policy wants a pause between the two. `close-door` runs after a failure and sees to it that no interface stays in the
//! wide-open group; `lockdown` leaves nothing open at all, and switches instance metadata off. Outside of incidents `prepare`
//! makes the groups beforehand, and `sweep` finds what is not as it should be.
//!
//! Safe to repeat: it looks first and changes only what is not yet so. Groups are found again by tag and name, and an
//! interface that is in its clean isolation group already is left alone.
//!
//! INVARIANT: a run never ends with an interface in an open conversion group if any call that closes it goes through.
//! INVARIANT: nothing is changed before its old value is durable, in `before.json` or in an intent's `from`.
//! INVARIANT: what the output says of an interface was read back, never assumed.

mod act;
mod around;
mod close_door;
mod contain;
mod convert;
pub mod decide;
mod groups;
mod lockdown;
mod metadata;
mod pace;
pub mod path;
mod prepare;
mod records;
pub mod sweep;
mod tracking;
mod verdict;
pub mod ways;
mod world;

use handler::{AwsError, Store, StoreError};
use incident::evidence::{Containment, Converted, Failure, Lockdown};
use incident::plan::Plan;
use incident::sweep::{Prepared, Swept};
use incident::{CaseId, Classify, Fault, Visit, VpcId};
use serde::{Deserialize, Serialize};

pub use pace::{Pace, patient};

/// What the state machine, or the last word, asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Input {
    /// Cut the network of the target.
    Contain {
        /// Where in the execution this is.
        visit: Visit,
        /// What may be done.
        plan: Box<Plan>,
    },
    /// Make the target's flows untracked some time before the cut.
    Convert {
        /// Where in the execution this is.
        visit: Visit,
        /// What may be done.
        plan: Box<Plan>,
    },
    /// Leave nothing in the conversion group.
    CloseDoor {
        /// Where in the execution this is.
        visit: Visit,
        /// What may be done.
        plan: Box<Plan>,
        /// What broke.
        failure: Failure,
    },
    /// Leave nothing open at all.
    Lockdown {
        /// Where in the execution this is.
        visit: Visit,
        /// What may be done.
        plan: Box<Plan>,
    },
    /// Make the groups that incidents need, before there is one. For `cordon prepare`.
    Prepare {
        /// The VPCs; every one of the Region where none is named.
        vpcs: Vec<VpcId>,
    },
    /// Look at everything that containment leaves behind. For `cordon doctor`.
    Sweep,
}

/// What was done, as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Output {
    /// By `contain` and `close-door`.
    Containment(Containment),
    /// By `convert`.
    Converted(Converted),
    /// By `lockdown`.
    Lockdown(Lockdown),
    /// By `prepare`.
    Prepared(Prepared),
    /// By `sweep`.
    Swept(Swept),
}

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The interfaces and the groups.
    pub ec2: aws_sdk_ec2::Client,
    /// How often the calls that move interfaces are sent again.
    pub pace: Pace,
    /// The evidence bucket.
    pub store: Store,
}

/// Why the step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The case file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// AWS said no.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// What was there before is not on record.
    #[error("case `{0}` has no before.json, and nothing may be changed before the old value is durable: run triage again")]
    NotSaved(CaseId),
    /// The plan leaves the cut to a person, or has no pause in it.
    #[error("the plan of case `{0}` does not have this done: let a person decide")]
    Withheld(CaseId),
    /// Changes were refused, and trying again, or closing the door, is up to the state machine.
    #[error("{left} of the target's interfaces are not cut: {reason}")]
    NotCut {
        /// How many interfaces are not cut.
        left: usize,
        /// What was said, by the first that failed.
        reason: String,
        /// The class of the failure.
        fault: Fault,
    },
    /// Not all of the lock-down has come about yet.
    #[error("the target is not locked down yet, and trying again may help: {0}")]
    NotLocked(String),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Aws(error) => error.fault(),
            Self::NotSaved(_) | Self::Withheld(_) => Fault::Refused,
            Self::NotCut { fault, .. } => *fault,
            Self::NotLocked(_) => Fault::Transient,
        }
    }
}

/// Cuts the network, closes the door, or locks down.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    match input {
        Input::Contain { visit, plan } => Box::pin(contain::contain(clients, &visit, &plan)).await.map(Output::Containment),
        Input::Convert { visit, plan } => Box::pin(convert::convert(clients, &visit, &plan)).await.map(Output::Converted),
        Input::CloseDoor { visit, plan, failure } => {
            Box::pin(close_door::close_door(clients, &visit, &plan, failure)).await.map(Output::Containment)
        }
        Input::Lockdown { visit, plan } => Box::pin(lockdown::lock_down(clients, &visit, &plan)).await.map(Output::Lockdown),
        Input::Prepare { vpcs } => Box::pin(prepare::prepare(clients, vpcs)).await.map(Output::Prepared),
        Input::Sweep => Box::pin(sweep::sweep(clients)).await.map(Output::Swept),
    }
}
