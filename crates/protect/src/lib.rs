//! Protect: keeps the evidence alive, beside the cut.
//!
//! An instance that is cut off fails its health checks, and whatever watches them ends it [facts 18]; termination protection
//! alone does not keep an Auto Scaling group from that [facts 19]. So the target leaves its group, which keeps its capacity,
//! and its load balancers, and neither it nor its disks can be ended or deleted by others any more. Two chains run side by
//! side, so that a large account's balancers hold nothing up: protections and group, and the balancers. Each is four round
//! trips: look, save and announce, change, read back.
//!
//! Safe to repeat: it looks first and changes only what is not so yet, and what was saved by the first attempt stays.
//!
//! INVARIANT: nothing is changed before its old value is durable, in `before-protections.json`, `before-balancers.json` or an
//! intent's `from`. What could not be read is not changed.
//! INVARIANT: where the network is not cut without a person, the target stays in its group and its balancers.
//! INVARIANT: what the output says was read back, never assumed.

mod act;
mod balancers;
pub mod decide;
mod look;
pub mod places;
mod records;
mod registered;
mod verdict;

use futures_util::future::join;
use handler::{AwsError, CaseFile, Recorder, Store, StoreError};
use incident::plan::{Cut, Plan};
use incident::protection::{Protection, ProtectionStatus};
use incident::text::bounded;
use incident::{CaseId, Classify, Fault, Visit, case};
use serde::Deserialize;
use serde_json::json;

use act::Made;
use balancers::Left;

/// From this retry on, what was read back is worth more than another attempt: after the last one nobody would hear of it.
/// A hundred targets at once need more than a minute of EC2's bucket for `ModifyInstanceAttribute`.
const PATIENCE: u32 = 10;

/// What the state machine gives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What may be done.
    pub plan: Box<Plan>,
}

/// What the step gives back.
pub type Output = Protection;

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The instance and its protections.
    pub ec2: aws_sdk_ec2::Client,
    /// Its group.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// Classic load balancers.
    pub elb: aws_sdk_elasticloadbalancing::Client,
    /// Target groups.
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
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
    /// Not all of it has come about yet.
    #[error("the target is not protected yet, and trying again may help: {0}")]
    NotYet(String),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(error) => error.fault(),
            Self::Aws(error) => error.fault(),
            Self::NotSaved(_) => Fault::Refused,
            Self::NotYet(_) => Fault::Transient,
        }
    }
}

/// Protects the target, takes it out of what could replace it, and reads both back.
///
/// Fails at first where AWS was only busy, so that it is tried again; else it says what was read back.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    // Boxed, since the type of everything that may be awaited is too deep for the compiler otherwise.
    Box::pin(keep_alive(clients, input)).await
}

async fn keep_alive(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan } = input;
    let file = clients.store.case(&plan.case_id, plan.retention);
    let (withheld, retry) = (plan.cut != Cut::Now, visit.retry);
    let run = Run { clients, plan: &plan, recorder: file.recorder(&visit), file, withheld, retry };
    let (seen, before) = Box::pin(join(look::look(&run), run.file.get(case::BEFORE))).await;
    let seen = seen?;
    if before?.is_none() {
        return Err(Error::NotSaved(plan.case_id.clone()));
    }
    let Some(seen) = seen else { return run.record(nothing_left()).await };
    // Not `try_join`: a chain that breaks must not take the other one's calls, and their outcome, with it.
    let (made, left) = join(Box::pin(act::protect(&run, &seen)), Box::pin(balancers::leave(&run, &seen))).await;
    let (made, left) = match (made, left) {
        (Err(error), Err(_)) => return Err(error),
        (made, left) => (told(made, retry)?, told(left, retry)?),
    };
    let made = made.unwrap_or_else(|reason| Made::broken(&run, &seen, reason));
    let Some(now) = &made.now else { return run.record(nothing_left()).await };
    let left = left.unwrap_or_else(Left::broken);
    run.record(verdict::verdict(&run, now, &made, &left)?).await
}

/// One run over the target.
#[derive(Debug)]
struct Run<'a> {
    clients: &'a Clients,
    plan: &'a Plan,
    file: CaseFile,
    recorder: Recorder,
    /// Whether the target stays in its group and its balancers.
    withheld: bool,
    retry: u32,
}

impl Run<'_> {
    /// Writes down what was read back, also where nothing had to be changed.
    async fn record(&self, mut protection: Protection) -> Result<Protection, Error> {
        let Protection { status, measures, reasons, .. } = &protection;
        let note = self.recorder.note(json!({ "status": status, "measures": measures, "reasons": reasons })).await;
        if let Err(reason) = told(note, self.retry)? {
            protection.reasons.push(format!("the outcome could not be written to the case file: {reason}"));
        }
        Ok(protection)
    }
}

/// There is no instance any more.
fn nothing_left() -> Protection {
    Protection {
        status: ProtectionStatus::NothingToProtect,
        measures: Vec::new(),
        read_back_at: Some(handler::now()),
        reasons: Vec::new(),
        risks: Vec::new(),
        failure: None,
    }
}

/// What there is, or why not. What may pass is a failure while there is another attempt.
fn told<T, E: Classify + std::fmt::Display>(answer: Result<T, E>, retry: u32) -> Result<Result<T, String>, E> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.fault() == Fault::Transient && retry < PATIENCE => Err(error),
        Err(error) => Ok(Err(bounded(&error.to_string(), 300))),
    }
}
