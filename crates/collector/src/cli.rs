//! The command line: `collector capture --plan FILE [--root DIR] [--file PATH]`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use incident::capture::{Collected, Wave};

use crate::{Options, capture, own};

const USAGE: &str = "usage: collector capture --plan FILE [--root DIR] [--file PATH]\n       collector --version";
/// The exit status for wrong usage, as `sysexits.h` has it.
const WRONG_USAGE: u8 = 64;
/// The most bytes of a plan.
pub const LONGEST_PLAN: u64 = 16 << 20;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take the memory.
    Capture {
        /// Wave 1.
        plan: PathBuf,
        /// Below which `proc` and `sys` are read.
        root: PathBuf,
        /// A file that is the memory.
        file: Option<PathBuf>,
    },
    /// Say the version.
    Version,
}

/// Runs the collector; `arguments` are without the program's name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match parse(arguments) {
        Ok(Command::Version) => {
            print(concat!("collector ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Ok(Command::Capture { plan, root, file }) => run(&plan, &Options { root, file, ..Options::default() }),
        Err(wrong) => {
            complain(&format!("{wrong}\n{USAGE}"));
            ExitCode::from(WRONG_USAGE)
        }
    }
}

fn run(plan: &Path, options: &Options) -> ExitCode {
    let offered = own::offer_to_the_kernel();
    let wave = match read_plan(plan) {
        Ok(wave) => wave,
        Err(reason) => {
            complain(&format!("the plan is of no use: {reason}"));
            return ExitCode::FAILURE;
        }
    };
    let collected = capture::run(wave, options, offered.err());
    print(&line(&collected));
    if collected.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The result as the one line that it is.
pub fn line(collected: &Collected) -> String {
    // Our own type has string keys and finite numbers, so that this cannot fail.
    serde_json::to_string(collected).unwrap_or_default()
}

fn read_plan(plan: &Path) -> Result<Wave, String> {
    let mut bytes = Vec::new();
    let file = File::open(plan).map_err(|error| error.to_string())?;
    file.take(LONGEST_PLAN + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LONGEST_PLAN) {
        return Err(format!("it has more than {LONGEST_PLAN} bytes"));
    }
    Wave::read(&bytes).map_err(|error| error.to_string())
}

/// What the command line asks for, or what is wrong with it.
pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    match arguments.next() {
        Some(first) if first == "--version" => match arguments.next() {
            None => return Ok(Command::Version),
            Some(_) => return Err("`--version` stands alone".to_owned()),
        },
        Some(first) if first == "capture" => {}
        Some(other) => return Err(format!("`{}` is no command", other.display())),
        None => return Err("say what to do".to_owned()),
    }
    let (mut plan, mut root, mut file) = (None, None, None);
    while let Some(name) = arguments.next() {
        let slot = match name.to_str() {
            Some("--plan") => &mut plan,
            Some("--root") => &mut root,
            Some("--file") => &mut file,
            _ => return Err(format!("`{}` is no option", name.display())),
        };
        let value = arguments.next().ok_or_else(|| format!("`{}` needs a value", name.display()))?;
        if slot.replace(PathBuf::from(value)).is_some() {
            return Err(format!("`{}` is given twice", name.display()));
        }
    }
    let plan = plan.ok_or("`--plan` is missing")?;
    Ok(Command::Capture { plan, root: root.unwrap_or_else(|| PathBuf::from("/")), file })
}

/// Prints a line; that nobody reads it any more changes nothing.
fn print(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Says on stderr what a person has to know.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "collector: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_understood() {
        let capture =
            |root: &str, file: Option<&str>| Command::Capture { plan: "p".into(), root: root.into(), file: file.map(Into::into) };
        for (line, expected) in [
            ("--version", Command::Version),
            ("capture --plan p", capture("/", None)),
            ("capture --root . --file memory --plan p", capture(".", Some("memory"))),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn whatever_else_it_says_is_refused_and_the_message_names_it() {
        for (line, named) in [
            ("", "say what to do"),
            ("release", "`release`"),
            ("--version now", "`--version`"),
            ("capture", "`--plan` is missing"),
            ("capture --plan", "`--plan` needs"),
            ("capture --plan p --plan q", "`--plan` is given twice"),
            ("capture --plan p --force", "`--force`"),
            ("capture p", "`p`"),
        ] {
            let message = parsed(line).unwrap_err();
            assert!(message.contains(named), "{line}: {message}");
        }
    }
}
