//! Release: gives a contained target back what Cordon took, and nothing else.
//!
//! `check` believes nothing that it is handed: it reads the closed case again by version, has its signature verified, follows
//! the chain to the case that saw the target before any containment, looks at the target, and says what is given back and what
//! cannot be. Only then does it claim the target and make the release's own plan durable. `restore` carries that plan out in
//! an order in which a failure leaves the target closed: the network before the balancers, the protections last.
//!
//! Safe to repeat: it looks first and changes only what is not yet so; the plan and the claim are written once.
//!
//! INVARIANT: nothing is given back from a case file that does not verify.
//! INVARIANT: only what still stands as Cordon left it is changed: what somebody else has changed since stays as it is.
//! INVARIANT: the claim is read before the network is opened and after it; once it is another's, nothing more is given back.
//! INVARIANT: nothing is changed before its present value is durable, in an intent's `from`.
//! INVARIANT: what the output says of a thing was read back, never assumed.

mod act;
mod calls;
mod check;
mod claims;
mod facts;
pub mod guard;
mod look;
pub mod now;
pub mod plan;
pub mod readback;
mod request;
pub mod saved;
pub mod sealed;
mod verdict;

use handler::{AwsError, Store, StoreError};
use incident::release::{Checked, ReleasePlan, Released};
use incident::{CaseId, Classify, Fault, Visit};
use serde::{Deserialize, Serialize};

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Input {
    /// Say whether the target may be released, and claim it if so.
    Check {
        /// Where in the execution this is.
        visit: Visit,
        /// What a person asks for: the execution's input. Hostile, whatever it is.
        request: serde_json::Value,
    },
    /// Give back what the plan says.
    Restore {
        /// Where in the execution this is.
        visit: Visit,
        /// Which release. What it gives back is read from the bucket, not from here.
        release: Box<ReleasePlan>,
    },
}

/// What was found, or done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Output {
    /// By `check`.
    Checked(Box<Checked>),
    /// By `restore`.
    Released(Released),
}

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The target, its interfaces and their groups.
    pub ec2: aws_sdk_ec2::Client,
    /// The target's Auto Scaling group.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// Classic load balancers.
    pub elb: aws_sdk_elasticloadbalancing::Client,
    /// Target groups.
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    /// Checks the signatures of closed cases.
    pub kms: aws_sdk_kms::Client,
    /// Tells whether the owner of a claim still runs.
    pub sfn: aws_sdk_sfn::Client,
    /// The evidence bucket.
    pub store: Store,
    /// `SIGNING_KEY_ARN`: the key that Seal signs with. A manifest's own word about it is not taken.
    pub signing_key: String,
}

/// Why the step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the execution was started with is no request.
    #[error("field `{field}` of the request: {reason}; see `cordon release --help`")]
    Request {
        /// Where in it.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else changed the claim at the same moment.
    #[error("the claim on the target changed while it was taken: look again")]
    Race,
    /// The payload mixes releases.
    #[error("the plan is of release `{planned}`, but this execution is `{handled}`: nothing was read or changed")]
    OtherRelease {
        /// What the plan says.
        planned: CaseId,
        /// What the execution and the target give.
        handled: CaseId,
    },
    /// Nothing says what may be given back.
    #[error("release `{0}` has no release.json, and only what a check made durable is given back: run the release again")]
    NotChecked(CaseId),
    /// Not all of it has come about yet.
    #[error("the target is not released yet, and trying again may help: {0}")]
    NotRestored(String),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Request { .. } | Self::OtherRelease { .. } => Fault::Invalid,
            Self::Race | Self::NotRestored(_) => Fault::Transient,
            Self::NotChecked(_) => Fault::Refused,
        }
    }
}

/// Checks a release, or carries it out.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    match input {
        Input::Check { visit, request } => {
            Box::pin(check::check(clients, &visit, request)).await.map(|checked| Output::Checked(Box::new(checked)))
        }
        Input::Restore { visit, release } => Box::pin(act::restore(clients, &visit, &release)).await.map(Output::Released),
    }
}
