//! Terminate: the guard, and the guarded end of a target.
//!
//! The one step that cannot be undone, so that it believes nothing that it is handed. It reads manifest, signature, plan,
//! answers, locks, snapshots, claim and instance again, each by its version; the guard judges them; and only with its permit
//! is the instance terminated. What the guard has against it is an ordinary output: the target stays in quarantine.
//!
//! Safe to repeat: terminating twice is no change, and a target that is on its way out after an intent of this execution
//! counts as ended by it.
//!
//! INVARIANT: `TerminateInstances` is called with a [`guard::Permit`] alone, which only the guard can make.
//! INVARIANT: what cannot be read is a refusal or a failure, never a permit.

pub mod approvals;
mod end;
mod facts;
pub mod guard;
mod objects;
mod standing;

use handler::{AwsError, Store, StoreError};
use incident::evidence::{Refusal, Sealed, Termination, TerminationStatus};
use incident::plan::Plan;
use incident::{CaseId, Classify, Fault, Visit};
use serde::Deserialize;
use serde_json::json;

use crate::guard::Facts;

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What was decided: read for the target's id and the records' lock. The guard judges the plan that was sealed.
    pub plan: Box<Plan>,
    /// Which evidence manifest the permission is for.
    pub sealed: Sealed,
}

/// How the end went, or what the guard has against it.
pub type Output = Termination;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The target and its snapshots.
    pub ec2: aws_sdk_ec2::Client,
    /// Checks the manifest's signature.
    pub kms: aws_sdk_kms::Client,
    /// The evidence bucket.
    pub store: Store,
    /// `SIGNING_KEY_ARN`: the key that Seal signs with. The manifest's own word about it is not taken.
    pub signing_key: String,
}

/// Why the step failed. Nothing was terminated, or the next attempt finds that it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The payload mixes cases.
    #[error("the plan is of case `{planned}`, but this execution handles `{handled}`: nothing was read or terminated")]
    OtherCase {
        /// What the plan says.
        planned: CaseId,
        /// What the execution and the target give.
        handled: CaseId,
    },
    /// EC2 took the call and does not show it yet.
    #[error("EC2 accepted to terminate the instance and still shows it as `{state}`: look again")]
    NotSeen {
        /// EC2's state.
        state: &'static str,
    },
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::OtherCase { .. } => Fault::Invalid,
            Self::NotSeen { .. } => Fault::Transient,
        }
    }
}

/// Reads everything again, judges it, and terminates the target if the guard permits it.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan, sealed } = input;
    let handled = CaseId::new(&plan.target.instance_id, &visit.execution);
    if handled != plan.case_id {
        return Err(Error::OtherCase { planned: plan.case_id, handled });
    }
    let facts = Box::pin(facts::read(clients, &handled, &visit.execution, &sealed.manifest)).await?;
    let recorder = clients.store.case(&handled, plan.retention).recorder(&visit);
    match guard::judge(&facts) {
        Ok(permit) => Box::pin(end::terminate(clients, permit, &recorder, &visit)).await,
        Err(refusals) => {
            recorder.note(json!({"refused": refusals})).await?;
            Ok(refused(&facts, refusals))
        }
    }
}

/// The most refusals that are handed on: outputs of states are bounded [facts 82]. The record has all of them.
const MOST_REFUSALS: usize = 50;

/// What the guard has against it. An earlier attempt may have ended the target all the same, and then that is told.
fn refused(facts: &Facts, mut refusals: Vec<Refusal>) -> Termination {
    let mut reasons = Vec::new();
    let ended = facts.ended_by_us();
    if ended {
        reasons.push("an earlier attempt ended the target; since then the guard has found what the refusals say".to_owned());
    }
    let more = refusals.len().saturating_sub(MOST_REFUSALS);
    if more > 0 {
        refusals.truncate(MOST_REFUSALS);
        reasons.push(format!("and {more} more refusals, all in the step's record"));
    }
    let target = facts.target.as_ref().ok();
    Termination {
        status: if ended { TerminationStatus::Terminated } else { TerminationStatus::Refused },
        by: Vec::new(),
        state: target.map(|target| standing::name(target.standing.state).to_owned()).unwrap_or_default(),
        read_back_at: target.map(|target| target.at),
        refusals,
        reasons,
        failure: None,
    }
}
