//! What can go wrong: what, why, and what to do.

use std::path::PathBuf;

use aws_smithy_types::error::display::DisplayErrorContext;
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
            Self::Event(_) | Self::NoKey | Self::NoCase(_) | Self::Unreadable { .. } | Self::Unwritable { .. } => exit::USAGE,
            Self::Aws { .. } | Self::Capture { .. } | Self::Deployment { .. } | Self::Key(_) | Self::Empty(_) => exit::FAILED,
        }
    }
}
