//! Permission: asks people whether a target may be terminated, and records who answered.
//!
//! `ask` keeps the task's token where only this function can read it, and tells people what is proposed and how to answer.
//! `answer` finds out from STS whose word an answer is, writes it down once, and wakes the execution when enough people have
//! approved, or one has denied.
//!
//! Safe to repeat: a newer token replaces an older one and never the other way round; one person's answer is written once,
//! and the same answer again goes on where the first attempt ended.
//!
//! INVARIANT: no answer counts but one whose signer STS has named, for this very case, manifest, decision and statement.
//! INVARIANT: the execution is woken only after what wakes it is durable.
//! INVARIANT: neither a token nor a proof is ever in a record, a notice, a message or a log.

pub mod answer;
mod ask;
mod asking;
pub mod count;
pub mod message;
pub mod proof;
mod refusal;
mod sts;
mod tell;

use handler::{AwsError, Store, StoreError};
use incident::evidence::Sealed;
use incident::permission::{Proof, StatementError};
use incident::plan::Plan;
use incident::{Classify, Fault, Visit};
use serde::Deserialize;
use serde_json::Value;

pub use refusal::Refusal;

/// What the state machine or the command line asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Input {
    /// Ask people.
    Ask {
        /// Where in the execution this is.
        visit: Visit,
        /// The task's token: whoever has it and the right to send it may wake the execution.
        token: String,
        /// What was decided.
        plan: Box<Plan>,
        /// The evidence manifest, and what is missing.
        sealed: Sealed,
    },
    /// Take a person's answer. Hostile until STS has said whose it is.
    Answer {
        /// What the person says: the text whose SHA-256 was signed.
        statement: String,
        /// Whose word it is.
        proof: Proof,
    },
}

/// What the function works with.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Says who signed.
    pub sts: aws_sdk_sts::Client,
    /// Where the execution waits.
    pub sfn: aws_sdk_sfn::Client,
    /// Where people are told.
    pub sns: aws_sdk_sns::Client,
    /// The evidence bucket.
    pub store: Store,
    /// What the template sets.
    pub settings: Settings,
}

/// What the template sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TOPIC_ARN`.
    pub topic: String,
    /// `STS_HOST`: the host that a proof must be signed for.
    pub sts_host: String,
    /// `OWN_ROLE_PREFIX`: how the names of Cordon's own roles begin.
    pub own_role_prefix: String,
}

/// Why people could not be asked, or an answer not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The statement cannot be read.
    #[error("the statement cannot be read at `{path}`: {reason}")]
    Unreadable {
        /// Where in it.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The statement says nothing.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The plan provides for no end of the target.
    #[error("the plan does not provide for an end of the target: nobody is asked")]
    NotProvidedFor,
    /// The answer does not count.
    #[error("the answer does not count: {0}")]
    Refused(#[from] Refusal),
}

impl Classify for Error {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Unreadable { .. } | Self::Statement(_) => Fault::Invalid,
            Self::NotProvidedFor | Self::Refused(_) => Fault::Refused,
        }
    }
}

/// Asks, or takes an answer. What `ask` gives is for the log alone: the state waits for its token.
pub async fn handle(clients: &Clients, input: Input) -> Result<Value, Error> {
    match input {
        Input::Ask { visit, token, plan, sealed } => Box::pin(ask::ask(clients, &visit, token, &plan, &sealed)).await,
        Input::Answer { statement, proof } => {
            let taken = Box::pin(answer::take(clients, &statement, &proof)).await?;
            Ok(serde_json::to_value(taken).unwrap_or_default())
        }
    }
}
