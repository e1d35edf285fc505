//! Memory capture: begins, feeds and finishes the capture of the target's memory. One look per call.
//!
//! A look begins what is not begun (multipart uploads, the first wave of URLs, the command that runs the collector), or sees
//! how far it has come and hands out more URLs, or ends it: completes the uploads, locks what they made, and compares what
//! the collector said with what S3 has.
//!
//! Safe to repeat at every point: what the first attempt began is written down with the first writer winning ([`work`]), the
//! command is found again by its comment [facts 60], and an upload that is gone was completed by an earlier attempt.
//!
//! INVARIANT: nothing here waits. The state machine does, for as long as the look says.
//! INVARIANT: no AWS credential is ever in anything that goes to the target or to Systems Manager; what goes there are
//! presigned URLs, each for one action on one key ([`sign`]).
//! INVARIANT: the target can make no object of the case. It puts parts; only this function completes an upload.
//! INVARIANT: nothing is said captured that S3 does not confirm ([`compare`]).

mod begin;
pub mod compare;
pub mod decide;
pub mod document;
mod finish;
pub mod parts;
pub mod preflight;
mod running;
mod sign;
pub mod statement;
mod store;
mod systems_manager;
mod wave;
mod work;

use handler::{AwsError, CaseFile, Fatal, Recorder, Store, StoreError, env};
use incident::capture::Progress;
use incident::evidence::{Capture, CaptureStatus};
use incident::plan::{MemoryPlan, Plan};
use incident::progress::Stage;
use incident::record::Change;
use incident::text::bounded;
use incident::{Classify, Fault, Visit};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What the state machine asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// Where in the execution this is.
    pub visit: Visit,
    /// What may be done, and until when.
    pub plan: Box<Plan>,
    /// What the look before this one said; absent for the first.
    pub previous: Option<Box<Capture>>,
}

/// How the capture stands, or what it ended with.
pub type Output = Capture;

/// What was deployed for captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The ARN of the role whose sessions sign the URLs.
    pub role: String,
    /// The name of the SSM document.
    pub document: String,
    /// The SHA-256 of the collector for `x86_64`, in hexadecimal; empty where there is none.
    pub collector_x86: String,
    /// The SHA-256 of the collector for `arm64`, in hexadecimal; empty where there is none.
    pub collector_arm64: String,
    /// What the document adds to the collector's command line; empty but in the local cloud.
    pub arguments: String,
    /// The ARN of the KMS key that encrypts the evidence, where there is one.
    pub key: Option<String>,
}

impl Deployment {
    /// What the environment says.
    pub fn from_env() -> Result<Self, Fatal> {
        Ok(Self {
            role: env::required("UPLOAD_ROLE_ARN")?,
            document: env::required("CAPTURE_DOCUMENT")?,
            collector_x86: env::optional("COLLECTOR_SHA256_X86").unwrap_or_default(),
            collector_arm64: env::optional("COLLECTOR_SHA256_ARM64").unwrap_or_default(),
            arguments: env::optional("COLLECTOR_ARGUMENTS").unwrap_or_default(),
            key: env::optional("EVIDENCE_KEY_ARN"),
        })
    }

    /// The partition: `aws`, `aws-cn`.
    fn partition(&self) -> &str {
        self.role.split(':').nth(1).unwrap_or("aws")
    }
}

/// What the step talks to.
#[derive(Debug, Clone)]
pub struct Clients {
    /// The document, the agent and the command.
    pub ssm: aws_sdk_ssm::Client,
    /// The sessions that sign URLs.
    pub sts: aws_sdk_sts::Client,
    /// The evidence bucket.
    pub store: Store,
    /// What the clients that sign are made from: each has the credentials of its own session.
    pub config: aws_config::SdkConfig,
    /// What was deployed.
    pub deployment: Deployment,
}

/// Why the look failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed in passing, and the next attempt finds what was done.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The case file could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A command runs, and nobody knows for which uploads.
    #[error("`{key}` is gone, so that what the target uploads cannot be found: look for its multipart uploads in the bucket")]
    Lost {
        /// The key.
        key: String,
    },
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Lost { .. } => Fault::Missing,
        }
    }
}

/// Looks once.
pub async fn handle(clients: &Clients, input: Input) -> Result<Output, Error> {
    let Input { visit, plan, previous } = input;
    if let MemoryPlan::Skip { reason, .. } = &plan.memory {
        return Ok(not_captured(reason));
    }
    let progress = match previous {
        Some(previous) if previous.status != CaptureStatus::Running => return Ok(*previous),
        Some(previous) => previous.progress,
        None => None,
    };
    let recorder = clients.store.case(&plan.case_id, plan.retention).recorder(&visit);
    let case = Case { clients, plan: &plan, visit: &visit, recorder: &recorder };
    let progress = progress.unwrap_or_else(|| Progress {
        begun: case.now(),
        command_id: None,
        wave: None,
        parts: 0,
        bytes: 0,
        percent: 0,
        moved: case.now(),
    });
    let begun = progress.begun;
    let capture = if progress.command_id.is_none() {
        Box::pin(begin::look(&case, progress)).await
    } else {
        let work = work::Work::read(&clients.store, &plan.case_id).await?;
        Box::pin(running::look(&case, progress, work)).await
    }?;
    clients.store.say_progress(&plan.case_id, &how_far(&case, begun, &capture)).await;
    Ok(capture)
}

/// The look as those see it who watch.
fn how_far(case: &Case<'_>, begun: Timestamp, capture: &Capture) -> incident::progress::Progress {
    let size = capture.image.as_ref().map(|image| image.size);
    let said = match capture.status {
        CaptureStatus::Running => "running",
        CaptureStatus::Captured => "captured",
        CaptureStatus::Partial => "partial",
        CaptureStatus::NotCaptured => "not captured",
    };
    let ended = capture.status != CaptureStatus::Running;
    incident::progress::Progress {
        schema: incident::progress::Progress::SCHEMA.to_owned(),
        stage: Stage::Memory,
        since: begun,
        at: case.now(),
        percent: capture
            .progress
            .as_ref()
            .map_or(if capture.status == CaptureStatus::Captured { 100 } else { 0 }, |now| now.percent),
        done_bytes: capture.progress.as_ref().map(|now| now.bytes).or(size),
        of_bytes: size.filter(|_| ended).or(case.plan.target.memory_mib.map(|mib| mib << 20)),
        said: said.to_owned(),
        ended,
    }
}

/// One look at one case.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    clients: &'a Clients,
    plan: &'a Plan,
    visit: &'a Visit,
    /// One for the whole look, since it counts the records of the visit.
    recorder: &'a Recorder,
}

impl Case<'_> {
    /// The time that decides: when the state was entered.
    fn now(&self) -> Timestamp {
        self.visit.entered
    }

    fn deadline(&self) -> Timestamp {
        self.plan.deadlines.memory
    }

    fn file(&self) -> CaseFile {
        self.clients.store.case(&self.plan.case_id, self.plan.retention)
    }
}

/// Look again in so many seconds.
fn running(progress: Progress, pause_seconds: u32) -> Capture {
    Capture {
        status: CaptureStatus::Running,
        pause_seconds,
        progress: Some(progress),
        image: None,
        files: Vec::new(),
        reason: String::new(),
        failure: None,
    }
}

/// There is no image, and why.
fn not_captured(reason: &str) -> Capture {
    Capture {
        status: CaptureStatus::NotCaptured,
        pause_seconds: 0,
        progress: None,
        image: None,
        files: Vec::new(),
        reason: bounded(reason, 600),
        failure: None,
    }
}

fn change(action: &str, subject: &str, to: Value) -> Change {
    Change::intended(action, subject, Value::Null, to)
}
