//! The Lambda shell around a step: configuration, errors that the state machine can act on, and the case file.
//!
//! INVARIANT: this is the only crate that names `lambda_runtime`, reads the environment, or reads the clock.

pub mod aws;
pub mod case_file;
pub mod env;
mod progress;
pub mod recorder;
mod serve;
mod versions;

pub use aws::{AwsError, aws_config, failed, told};
pub use case_file::{CaseFile, Store, StoreError, Written};
pub use recorder::Recorder;
pub use serve::{Fatal, answer, serve};
pub use versions::{Versions, by_key};

/// The time now, for records and for read-backs. Nothing is decided by it: what decides is the visit.
pub fn now() -> jiff::Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock, for what was observed when")]
    jiff::Timestamp::now()
}
