//! The operator's command line: start a response, follow it, and check a case.
//!
//! INVARIANT: what is printed of findings and errors has no control characters, so that nothing from outside can move a
//! terminal's cursor or hide a line.

mod case;
mod deployment;
mod digests;
mod error;
mod key;
mod output;
mod respond;
mod symbols;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use error::Error;
pub use key::{KeyError, PublicKey};

/// The exit statuses that scripts rely on.
pub mod exit {
    /// Closed as planned; a case that verifies.
    pub const OK: u8 = 0;
    /// Incomplete; a case that does not verify; a call that failed.
    pub const FAILED: u8 = 1;
    /// Cordon does not act on this.
    pub const IGNORED: u8 = 2;
    /// Another execution has a case open for this target.
    pub const JOINED: u8 = 3;
    /// Wrong usage.
    pub const USAGE: u8 = 64;
}

/// Automated incident response and forensics for EC2.
#[derive(Debug, Parser)]
#[command(name = "cordon", version, about, arg_required_else_help = true)]
pub struct Arguments {
    /// The AWS profile; the environment's by default.
    #[arg(long, global = true, env = "AWS_PROFILE")]
    profile: Option<String>,
    /// The Region; the environment's or the profile's by default.
    #[arg(long, global = true)]
    region: Option<String>,
    /// The SSM parameter that says where Cordon is.
    #[arg(long, global = true, env = "CORDON_DEPLOYMENT", default_value = "/cordon/deployment")]
    deployment: String,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Contain and preserve an instance: by its id, or by the event of a detector.
    Respond(Respond),
    /// Check every object, both signatures and the custody chain of a case.
    Verify(Verify),
    /// Make the symbol file by which volatility3 reads a case's memory image.
    Symbols(Symbols),
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["instance", "event"])))]
struct Respond {
    /// The instance.
    #[arg(requires = "reason", value_name = "INSTANCE_ID")]
    instance: Option<incident::InstanceId>,
    /// A GuardDuty or Security Hub event, or a finding, as JSON; `-` reads standard input.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["reason", "dry_run"])]
    event: Option<PathBuf>,
    /// Why, for the record.
    #[arg(long)]
    reason: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Follow the incident to its end.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
struct Verify {
    /// A case id, or the folder of a downloaded case (which needs no AWS).
    #[arg(value_name = "CASE|FOLDER")]
    case: String,
    /// The deployment's public key (PEM); by default KMS is asked for it.
    #[arg(long, value_name = "FILE", env = "CORDON_PUBLIC_KEY")]
    public_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Symbols {
    /// A case id, or the folder of a downloaded case (which needs no AWS).
    #[arg(value_name = "CASE|FOLDER")]
    case: String,
    /// Where to write it; by default `<kernel release>.json` in the current folder. What exists is not replaced.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs a command; gives the exit status.
pub async fn run(arguments: Arguments) -> u8 {
    let result = match &arguments.command {
        Command::Respond(respond) => Box::pin(respond::run(&arguments, respond)).await,
        Command::Verify(verify) => Box::pin(verify::run(&arguments, verify)).await,
        Command::Symbols(symbols) => Box::pin(symbols::run(&arguments, symbols)).await,
    };
    result.unwrap_or_else(|error| {
        output::complain(&error);
        error.exit()
    })
}

/// Prints what is wrong with the command line, or the help that was asked for; gives the exit status.
pub fn usage(error: &clap::Error) -> u8 {
    // Nothing can be done about a closed terminal.
    let _ = error.print();
    if error.use_stderr() { exit::USAGE } else { exit::OK }
}
