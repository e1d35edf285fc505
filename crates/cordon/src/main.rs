//! `cordon`: start a response, and check a case.

use std::process::ExitCode;

use clap::Parser as _;
use cordon::{Arguments, run, usage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => ExitCode::from(Box::pin(run(arguments)).await),
        Err(error) => ExitCode::from(usage(&error)),
    }
}
