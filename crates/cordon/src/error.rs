//! What can go wrong: what, why, and what to do.

use std::path::PathBuf;

use aws_smithy_types::error::display::DisplayErrorContext;
use incident::CaseId;
use incident::permission::StatementError;
use incident::text::bounded;

use crate::exit;
use crate::key::KeyError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// AWS, or the way to it.
    #[error("{what} failed: {why}; {todo}")]
    Aws {
        /// What was asked for.
        what: &'static str,
        /// What was said.
        why: String,
        /// What to do.
        todo: &'static str,
    },
    /// No deployment was found.
    #[error(
        "the SSM parameter `{name}` does not say where Cordon is: {why}; deploy infra/template.yaml, or name another with --deployment"
    )]
    Deployment {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {why}; name another with --output", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that was captured is not what it must be.
    #[error("{file} of the case cannot be used: {why}")]
    Capture {
        /// Its name in the case.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The event is not what it must be.
    #[error("the event is {0}")]
    Event(String),
    /// A key is needed.
    #[error(
        "a downloaded case is checked with the deployment's public key: give it with --public-key (README.md says how it is written out)"
    )]
    NoKey,
    /// A key is of no use.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Neither a case nor a folder.
    #[error("`{0}` is neither a folder nor a case id (`<instance-id>-<12 hexadecimal digits>`)")]
    NoCase(String),
    /// Nothing there.
    #[error("there is no object of the case {0}: is it the right account, Region and bucket?")]
    Empty(String),
    /// There is nothing to stop.
    #[error("the execution of the case {case} is {status}, so that there is nothing to stop; see `cordon show {case}`")]
    NotRunning {
        /// The case.
        case: CaseId,
        /// How its execution stands.
        status: &'static str,
    },
    /// A second response would only join the first.
    #[error("the case {0} is still open, and a second response would only join it: `cordon watch {0}`, or `cordon stop {0}`")]
    StillOpen(CaseId),
    /// A release is no response to a finding.
    #[error(
        "{release} is a release, and no finding began it: give its target back again with `cordon release {case} --reason '…'`"
    )]
    IsRelease {
        /// The release.
        release: CaseId,
        /// The case that it gave back.
        case: CaseId,
    },
    /// There is nothing to decide about yet.
    #[error(
        "the evidence of the case {0} is not sealed yet: nobody is asked before it is; `cordon watch {0}` says how far it is"
    )]
    NotSealed(CaseId),
    /// What a person said says nothing.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Evidence is missing that nobody waived.
    #[error("the evidence is not complete: waive what is missing by its name, with the command above, or deny")]
    NotWaived,
    /// What was waived is there.
    #[error("`{0}` is not missing from the evidence: only what is missing can be waived, by its exact name")]
    NotMissing(String),
    /// The answer could not be signed.
    #[error("the answer cannot be signed: {why}; {todo}")]
    Unsigned {
        /// Why.
        why: String,
        /// What to do.
        todo: &'static str,
    },
    /// The function says no.
    #[error("refused: {0}")]
    Refused(String),
    /// The function failed.
    #[error("the function that takes answers failed ({error}): {message}; try again, an answer counts once")]
    Function {
        /// The error's name.
        error: String,
        /// What it said.
        message: String,
    },
    /// A function failed.
    #[error("the function failed ({error}): {message}; it is safe to try again")]
    Step {
        /// The error's name.
        error: String,
        /// What it said.
        message: String,
    },
    /// A folder is there already.
    #[error("{} is not an empty folder, and nothing is overwritten: name another", .0.display())]
    Exists(PathBuf),
    /// A file of an export cannot be written.
    #[error("{} cannot be written: {why}; what had come of it is removed, begin again with another folder", path.display())]
    Unsaved {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl Error {
    /// A failed call.
    pub(crate) fn aws<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> Self {
        move |error| {
            let all = DisplayErrorContext(&error).to_string();
            let todo = if all.contains("credentials") || all.contains("Credentials") {
                "set AWS_PROFILE or log in"
            } else if all.contains("region") {
                "set AWS_REGION or use --region"
            } else if all.contains("AccessDenied") || all.contains("UnauthorizedOperation") {
                "ask for the right to do this"
            } else {
                "try again, or check the network, the Region and AWS_ENDPOINT_URL"
            };
            Self::Aws { what, why: bounded(&all, 400), todo }
        }
    }

    /// The exit status.
    pub fn exit(&self) -> u8 {
        match self {
            Self::Event(_)
            | Self::NoKey
            | Self::NoCase(_)
            | Self::IsRelease { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Statement(_)
            | Self::Exists(_) => exit::USAGE,
            Self::Aws { .. }
            | Self::Capture { .. }
            | Self::Deployment { .. }
            | Self::Key(_)
            | Self::Empty(_)
            | Self::NotSealed(_)
            | Self::NotRunning { .. }
            | Self::StillOpen(_)
            | Self::NotWaived
            | Self::NotMissing(_)
            | Self::Unsigned { .. }
            | Self::Refused(_)
            | Self::Function { .. }
            | Self::Step { .. }
            | Self::Unsaved { .. } => exit::FAILED,
        }
    }
}
