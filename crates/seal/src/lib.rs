//! Seal: chains the records, signs what is there, closes the case, and has the last word about a run that died.
//!
//! `evidence` makes the evidence manifest, complete or with what is missing, and tags the target whose end is provided for. `failure` writes down what broke. `close` takes
//! in what joined, writes the report and signs the exact set of objects. The last word does the same for an execution that
//! failed, timed out or was aborted, after it has closed the door, and tells people. `release` closes the file of a release.
//!
//! Safe to repeat: every object is write-once and the first writer wins, so that an attempt whose answer was lost is found
//! again and gone on with; a manifest that is there is signed as it is, never made anew.
//!
//! INVARIANT: nothing is written into a case after its closing manifest but that manifest's signature.
//! INVARIANT: a manifest names every version of every object that S3 lists; what could not be read is missing by name.
//! INVARIANT: the claim is released only when the closing manifest is there, and only if it is still ours.

pub mod assess;
mod close;
mod evidence;
mod failure;
mod gaps;
mod history;
mod inbox;
mod last_word;
mod locate;
mod objects;
mod release;
mod sign;
mod snapshots;
mod target;

use handler::{AwsError, Store, StoreError};
use incident::context::Context;
use incident::copies::Copies;
use incident::custody::CustodyError;
use incident::evidence::{Capture, Containment, Denial, Failure, Freeze, Lockdown, Permission, Preserved, Sealed, Termination};
use incident::plan::Plan;
use incident::protection::Protection;
use incident::release::{ReleasePlan, Released};
use incident::said::Said;
use incident::{Classify, Fault, Visit};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use assess::Known;

pub use last_word::Event;

/// What the state machine asks for, or the event of an execution that ended badly: the two are told apart by `detail-type`.
#[derive(Debug, Clone)]
pub enum Input {
    /// A state of the state machine.
    Step(Box<Step>),
    /// EventBridge's "Step Functions Execution Status Change".
    LastWord(Box<Event>),
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let parsed = if value.get("detail-type").is_some() {
            serde_json::from_value(value).map(Self::LastWord)
        } else {
            serde_json::from_value(value).map(Self::Step)
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// Seal the evidence.
    Evidence {
        /// Where in the execution this is.
        visit: Visit,
        /// What was decided.
        plan: Box<Plan>,
        /// How contained the target is.
        containment: Option<Box<Containment>>,
        /// What keeps it alive.
        protection: Option<Box<Protection>>,
        /// Whether its role sessions are denied.
        denial: Option<Box<Denial>>,
        /// What was frozen.
        freeze: Option<Box<Freeze>>,
        /// What Notify said at the opening.
        opening: Value,
        /// How the wait for the snapshots ended.
        preserved: Option<Box<Preserved>>,
        /// How the copying of the snapshots ended; absent where they are not copied.
        copies: Option<Box<Copies>>,
        /// How the capture of memory ended.
        memory: Option<Box<Capture>>,
        /// Whether anything is still open.
        lockdown: Option<Box<Lockdown>>,
        /// What AWS knows about the target.
        context: Option<Box<Context>>,
    },
    /// Write down what broke.
    Failure {
        /// Where in the execution this is.
        visit: Visit,
        /// What was decided, where triage came that far.
        plan: Option<Box<Plan>>,
        /// What broke.
        failure: Failure,
        /// The execution's input. Hostile.
        input: Value,
    },
    /// Close the case.
    Close(Box<CloseInput>),
    /// Close the file of a release.
    Release {
        /// Where in the execution this is.
        visit: Visit,
        /// What was to be given back.
        release: Option<Box<ReleasePlan>>,
        /// What was.
        released: Option<Box<Released>>,
        /// Whether the target's role sessions are still denied.
        denial: Option<Box<Denial>>,
        /// What broke.
        failure: Option<Failure>,
    },
}

/// What is known of an incident at its end. All of it may be absent: the run may have broken anywhere.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloseInput {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What was decided.
    pub plan: Option<Box<Plan>>,
    /// How contained the target is.
    pub containment: Option<Containment>,
    /// What keeps it alive.
    pub protection: Option<Protection>,
    /// Whether its role sessions are denied.
    pub denial: Option<Denial>,
    /// What was frozen.
    pub freeze: Option<Freeze>,
    /// What Notify said at the opening.
    pub opening: Value,
    /// How the wait for the snapshots ended.
    pub preserved: Option<Preserved>,
    /// How the copying of the snapshots ended; absent where they are not copied.
    pub copies: Option<Copies>,
    /// How the capture of memory ended.
    pub memory: Option<Capture>,
    /// Whether anything is still open.
    pub lockdown: Option<Lockdown>,
    /// What AWS knows about the target.
    pub context: Option<Context>,
    /// The evidence manifest.
    pub sealed: Option<Sealed>,
    /// How the question ended whether the target may be terminated; absent where nobody was to be asked.
    pub permission: Option<Permission>,
    /// How its end went; absent where it was not to be.
    pub termination: Option<Termination>,
    /// What broke.
    pub failure: Option<Failure>,
    /// The execution's input. Hostile.
    pub input: Value,
}

/// What the function works with.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Tells how the target stands, and tags it.
    pub ec2: aws_sdk_ec2::Client,
    /// Signs the manifests.
    pub kms: aws_sdk_kms::Client,
    /// Tells the execution's history.
    pub sfn: aws_sdk_sfn::Client,
    /// The last word runs `CloseDoor` and Notify.
    pub lambda: aws_sdk_lambda::Client,
    /// The evidence bucket.
    pub store: Store,
    /// What the template sets.
    pub settings: Settings,
}

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `SIGNING_KEY_ARN`: an `ECC_NIST_P256` key.
    pub signing_key: String,
    /// `CLOSE_DOOR_FUNCTION_ARN`; only the last word has it.
    pub close_door: Option<String>,
    /// `NOTIFY_FUNCTION_ARN`; only the last word has it.
    pub notify: Option<String>,
    /// `EVIDENCE_DAYS` (365): the retention, in days, of a case that broke before it had a plan.
    pub evidence_days: u16,
    /// The largest object below `memory/` that is hashed here, in bytes: [`incident::manifest::MOST_HASHED`], less in tests.
    pub most_hashed: u64,
}

impl CloseInput {
    /// What was done to the target, and what was taken from it.
    fn said(&self) -> Said<'_> {
        Said {
            containment: self.containment.as_ref(),
            protection: self.protection.as_ref(),
            denial: self.denial.as_ref(),
            memory: self.memory.as_ref(),
            lockdown: self.lockdown.as_ref(),
            context: self.context.as_ref(),
            permission: self.permission.as_ref(),
            termination: self.termination.as_ref(),
        }
    }

    /// All that the branches said.
    fn known(&self) -> Known<'_> {
        Known {
            said: self.said(),
            freeze: self.freeze.as_ref(),
            preserved: self.preserved.as_ref(),
            copies: self.copies.as_ref(),
        }
    }
}

/// Why the case could not be sealed or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The custody chain that is there does not hold.
    #[error("`{key}` does not hold, so nothing can be chained to it: find out who wrote it")]
    Custody {
        /// The chain's name.
        key: String,
        /// Where.
        source: CustodyError,
    },
    /// A function that the last word needs failed.
    #[error("the {function} function failed: {message}; look at its log and do by hand what it could not")]
    Function {
        /// Which.
        function: &'static str,
        /// What it said, bounded.
        message: String,
    },
    /// The template does not name a function.
    #[error("{0} is not set: deploy the function with infra/template.yaml")]
    NotSet(&'static str),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Custody { .. } => Fault::Refused,
            Self::Function { .. } => Fault::Transient,
            Self::NotSet(_) => Fault::Invalid,
        }
    }
}

/// Seals, closes, or has the last word. The answer is [`Sealed`], `{"caseId"}`, [`incident::evidence::Closed`] or `{"spoke"}`.
pub async fn handle(clients: &Clients, input: Input) -> Result<Value, Error> {
    match input {
        Input::LastWord(event) => {
            Box::pin(last_word::speak(clients, *event)).await.map(|spoke| serde_json::json!({ "spoke": spoke }))
        }
        Input::Step(step) => match *step {
            Step::Evidence {
                visit,
                plan,
                containment,
                protection,
                denial,
                freeze,
                opening: _,
                preserved,
                copies,
                memory,
                lockdown,
                context,
            } => {
                let case = locate::planned(clients, (*plan).clone());
                let said = Said {
                    containment: containment.as_deref(),
                    protection: protection.as_deref(),
                    denial: denial.as_deref(),
                    memory: memory.as_deref(),
                    lockdown: lockdown.as_deref(),
                    context: context.as_deref(),
                    ..Said::default()
                };
                let known = Known { said, freeze: freeze.as_deref(), preserved: preserved.as_deref(), copies: copies.as_deref() };
                let target = Box::pin(target::look(clients, &plan)).await?;
                let standing = target.as_ref().map(|target| target.standing.clone());
                let sealed = Box::pin(evidence::seal(clients, &case, &plan, &visit, known, standing)).await?;
                Box::pin(target::mark(clients, &case, &plan, &visit, target.as_ref())).await?;
                Ok(json(&sealed))
            }
            Step::Failure { visit, plan, failure, input } => {
                let case = Box::pin(failure::record(clients, &visit, plan.map(|plan| *plan), &failure, &input)).await?;
                Ok(serde_json::json!({ "caseId": case }))
            }
            Step::Close(input) => Box::pin(close::close(clients, *input)).await.map(|closed| json(&closed)),
            Step::Release { visit, release, released, denial, failure } => {
                let (release, released, denial) = (release.map(|it| *it), released.map(|it| *it), denial.map(|it| *it));
                let end = release::End { visit, release, released, denial, failure };
                Box::pin(release::close(clients, end)).await.map(|closed| json(&closed))
            }
        },
    }
}

/// Our own types have string keys and finite numbers, so that this cannot fail.
fn json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
