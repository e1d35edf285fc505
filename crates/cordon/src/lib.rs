//! The operator's command line: start a response, follow it, decide about its end, and check a case.
//!
//! INVARIANT: what is printed of findings and errors has no control characters, so that nothing from outside can move a
//! terminal's cursor or hide a line.

mod answer;
mod bucket;
mod case;
mod completions;
mod deployment;
mod digests;
mod doctor;
mod error;
mod export;
mod function;
mod key;
mod list;
mod output;
mod proof;
mod release;
mod replay;
mod respond;
mod shell;
mod show;
mod stop;
mod symbols;
mod verify;
mod watch;
mod words;

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
    /// The cases, the newest first.
    List(List),
    /// What is known of a case: the target, what was done, what is missing, what to do.
    Show(Show),
    /// Follow a case or a release: how far each stage is, and how long it may still take.
    Watch(Watch),
    /// Start the response to a case's finding once more, as a new case.
    Replay(Replay),
    /// End a case's waits, keep its target contained, and close it.
    Stop(Stop),
    /// Allow that a case's target is terminated.
    Approve(Approve),
    /// Forbid that a case's target is terminated: it stays in quarantine.
    Deny(Deny),
    /// Give a contained target back: what Cordon changed, as it was before the case.
    Release(Release),
    /// Make the groups that containment needs beforehand, so that a VPC's first incident is as fast as the next.
    Prepare(Prepare),
    /// Look for what containment left behind, in any case, and say what to run.
    Doctor(Doctor),
    /// Check every object, both signatures and the custody chain of a case.
    Verify(Verify),
    /// Download a case into a folder, checked as it arrives, with the public key beside it.
    Export(Export),
    /// Make the symbol file by which volatility3 reads a case's memory image.
    Symbols(Symbols),
    /// Print the completions for a shell.
    Completions(Completions),
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

#[derive(Debug, Args)]
struct List {
    /// Open cases only.
    #[arg(long)]
    open: bool,
    /// The most cases to print.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
}

#[derive(Debug, Args)]
struct Show {
    /// The case.
    case: incident::CaseId,
}

#[derive(Debug, Args)]
struct Watch {
    /// The case.
    case: incident::CaseId,
    /// Print how it stands once, and end.
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Args)]
struct Replay {
    /// The case whose finding is responded to once more.
    case: incident::CaseId,
    /// Follow the new incident to its end.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
struct Stop {
    /// The case.
    case: incident::CaseId,
    /// Why, for the record.
    #[arg(long)]
    because: String,
}

#[derive(Debug, Args)]
struct Approve {
    /// The case.
    case: incident::CaseId,
    /// An item that is missing from the evidence and can be done without, by its name; repeat it for each.
    #[arg(long, value_name = "ITEM", requires = "because")]
    waive: Vec<String>,
    /// Why; needed where something is waived.
    #[arg(long)]
    because: Option<String>,
}

#[derive(Debug, Args)]
struct Deny {
    /// The case.
    case: incident::CaseId,
    /// Why, for the record.
    #[arg(long)]
    because: String,
}

#[derive(Debug, Args)]
struct Release {
    /// The closed case.
    case: incident::CaseId,
    /// Why, for the record.
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Say what would be given back and what cannot be, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Put the target back into its Auto Scaling group, where the group's maximum allows it.
    #[arg(long)]
    rejoin_group: bool,
}

#[derive(Debug, Args)]
struct Prepare {
    /// A VPC; repeat it for each. Every VPC of the Region where none is named.
    #[arg(long, value_name = "VPC")]
    vpc: Vec<incident::VpcId>,
}

#[derive(Debug, Args)]
struct Doctor {
    /// Containment alone. Without it every check is made; today that is this one.
    #[arg(long)]
    containment: bool,
}

#[derive(Debug, Args)]
struct Export {
    /// The case.
    case: incident::CaseId,
    /// The folder to make; it must not exist, or be empty.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, Args)]
struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Runs a command; gives the exit status.
pub async fn run(arguments: Arguments) -> u8 {
    let result = match &arguments.command {
        Command::Respond(respond) => Box::pin(respond::run(&arguments, respond)).await,
        Command::List(list) => Box::pin(list::run(&arguments, list)).await,
        Command::Show(show) => Box::pin(show::run(&arguments, show)).await,
        Command::Watch(watch) => Box::pin(watch::run(&arguments, watch)).await,
        Command::Replay(replay) => Box::pin(replay::run(&arguments, replay)).await,
        Command::Stop(stop) => Box::pin(stop::run(&arguments, stop)).await,
        Command::Approve(approve) => Box::pin(answer::approve(&arguments, approve)).await,
        Command::Deny(deny) => Box::pin(answer::deny(&arguments, deny)).await,
        Command::Release(release) => Box::pin(release::run(&arguments, release)).await,
        Command::Prepare(prepare) => Box::pin(doctor::prepare(&arguments, prepare)).await,
        Command::Doctor(doctor) => Box::pin(doctor::run(&arguments, doctor)).await,
        Command::Verify(verify) => Box::pin(verify::run(&arguments, verify)).await,
        Command::Export(export) => Box::pin(export::run(&arguments, export)).await,
        Command::Symbols(symbols) => Box::pin(symbols::run(&arguments, symbols)).await,
        Command::Completions(completions) => completions::run(completions),
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
