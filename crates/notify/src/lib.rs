//! Notify: tells people that a case was opened, how it ended, that it broke, or that something needs them.
//!
//! Safe to repeat: telling twice is better than not at all.
//!
//! INVARIANT: text of findings, targets and errors is bounded and made harmless before it is sent ([`message`]).
//! INVARIANT: once a case is sealed, nothing is written into it; that people were told stands beside it.

pub mod message;
mod released;
mod said;

use handler::{AwsError, Store, failed};
use incident::context::Context;
use incident::evidence::{
    Capture, Closed, Containment, Denial, Failure, Freeze, Lockdown, Permission, Preserved, Sealed, Termination,
};
use incident::plan::Plan;
use incident::protection::Protection;
use incident::release::{Checked, Released};
use incident::said::Said;
use incident::triage::Triaged;
use incident::{Classify, ExecutionArn, Fault, Visit, case};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::message::{Kind, Notice};

/// What people are to be told.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Input {
    /// A case is open, and containment is under way.
    Opened {
        /// Where in the execution this is.
        visit: Visit,
        /// What was decided.
        plan: Box<Plan>,
    },
    /// The case is closed.
    Closed(Box<End>),
    /// The incident broke.
    Failed(Box<End>),
    /// A release ended, or was refused.
    Released(Box<ReleaseEnd>),
    /// No case is opened here, but a person must know.
    Verdict {
        /// Where in the execution this is.
        visit: Visit,
        /// What triage decided.
        triage: Box<Triaged>,
    },
}

/// Everything that is known at the end. Absent is what the incident did not get to.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What was decided.
    pub plan: Option<Plan>,
    /// How contained the target is.
    pub containment: Option<Containment>,
    /// What keeps it alive.
    pub protection: Option<Protection>,
    /// Whether its role sessions are denied.
    pub denial: Option<Denial>,
    /// What was frozen.
    pub freeze: Option<Freeze>,
    /// What Notify said at the opening.
    pub opening: Option<Value>,
    /// How the wait for the snapshots ended.
    pub preserved: Option<Preserved>,
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
    /// The end of the case.
    pub closed: Option<Closed>,
    /// What broke; absent where the case closed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The execution's input; absent where the case closed. Hostile.
    #[serde(default)]
    pub input: Value,
}

/// Everything that is known at the end of a release. Absent is what it did not get to.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseEnd {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What was asked for. Hostile: anybody who may start an execution wrote it.
    pub request: Value,
    /// Whether it was allowed, and what was to be given back.
    pub checked: Option<Checked>,
    /// Whether the target's role sessions are still denied.
    pub denial: Option<Denial>,
    /// What was given back.
    pub released: Option<Released>,
    /// The end of the release's own file.
    pub closed: Option<Closed>,
    /// What broke.
    pub failure: Option<Failure>,
}

impl End {
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
}

/// That people were told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Always: where it is not so, the step fails.
    pub told: bool,
    /// SNS's id of the message.
    pub message_id: String,
}

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Where the topic is.
    pub sns: aws_sdk_sns::Client,
    /// The evidence bucket.
    pub store: Store,
    /// `TOPIC_ARN`.
    pub topic: String,
}

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] AwsError);

impl Classify for Error {
    fn fault(&self) -> Fault {
        self.0.fault()
    }
}

/// Tells people.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let notice = message::notice(&input);
    let output = publish(clients, &notice).await?;
    match &input {
        Input::Opened { visit, plan } => note(clients, visit, plan, &output).await,
        Input::Released(end) => mark(clients, &end.visit.execution, notice.kind, &output).await,
        Input::Closed(end) | Input::Failed(end) => mark(clients, &end.visit.execution, notice.kind, &output).await,
        Input::Verdict { .. } => {}
    }
    Ok(output)
}

async fn publish(clients: &Clients, notice: &Notice) -> Result<Output, Error> {
    let publish = clients
        .sns
        .publish()
        .topic_arn(&clients.topic)
        .subject(message::subject(notice))
        .message(message::structured(notice))
        .message_structure("json");
    let answer = publish.send().await.map_err(failed("sns:Publish"))?;
    Ok(Output { told: true, message_id: answer.message_id.unwrap_or_default() })
}

/// While the case is open, that people were told belongs to it. Whoever was told stays told if it cannot be written.
async fn note(clients: &Clients, visit: &Visit, plan: &Plan, output: &Output) {
    let recorder = clients.store.case(&plan.case_id, plan.retention).recorder(visit);
    let note = json!({"told": "opened", "topic": clients.topic, "messageId": output.message_id});
    if let Err(error) = recorder.note(note).await {
        tracing::warn!(%error, "people were told of the opening, but no record of that could be written");
    }
}

/// At the end it stands beside the case, which is sealed or was never opened, so that the last word does not tell again.
async fn mark(clients: &Clients, execution: &ExecutionArn, kind: Kind, output: &Output) {
    let body = json!({"kind": kind, "messageId": output.message_id}).to_string().into_bytes();
    if let Err(error) = clients.store.put_plain(&case::told(execution), body).await {
        tracing::warn!(%error, "people were told, but that could not be noted: the last word may tell them again");
    }
}
