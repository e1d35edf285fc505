//! `cordon completions`: what a shell needs to complete our command line.

use clap::CommandFactory as _;

use crate::output::write;
use crate::{Arguments, Completions, Error, exit};

/// Prints the completions for a shell.
#[expect(clippy::unnecessary_wraps, reason = "every command's run has one form")]
pub(crate) fn run(given: &Completions) -> Result<u8, Error> {
    // Made as a whole first: the generator panics where it cannot write, and a closed pipe is no error here.
    let mut script = Vec::new();
    clap_complete::generate(given.shell, &mut Arguments::command(), "cordon", &mut script);
    write(&script);
    Ok(exit::OK)
}
