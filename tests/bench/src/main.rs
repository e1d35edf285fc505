//! How fast the collector is, beside what it replaces: a dump to a file, its digest, and its upload.
//!
//! Everything runs in one go on the same file, and against the same server in this process, which takes and discards. On a
//! machine with few cores the kernel's part of that takes a share of what the others could have; how much is shown. So is what
//! others worked on the machine meanwhile. A budget that does not hold is shown and fails nothing: times are those of the
//! machine.

mod collector;
mod machine;
mod memory;
mod others;
mod report;
mod sink;

use std::path::PathBuf;
use std::process::ExitCode;

use collector::{Beside, Collector};
use machine::spent;
use report::{Report, Rounds};
use sink::Sink;

const USAGE: &str = "usage: collector-bench [--mib N] [--runs N] [--connection-mb N] [--collector PATH]";

/// What is measured.
struct Options {
    /// The size of the file that stands for memory.
    mib: u64,
    /// How many rounds there are; the median counts.
    runs: u64,
    /// How much one connection takes per second where it is the limit, in MB.
    connection_mb: u64,
    /// The collector's binary.
    collector: PathBuf,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(report) => {
            report.print();
            ExitCode::SUCCESS
        }
        Err(reason) => {
            report::complain(&reason);
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("collector");
    let mut options = Options { mib: 512, runs: 5, connection_mb: 50, collector: beside };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        let number =
            || value.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{value}` is no number\n{USAGE}"));
        match name.as_str() {
            "--mib" => options.mib = number()?,
            "--runs" => options.runs = number()?,
            "--connection-mb" => options.connection_mb = number()?,
            "--collector" => options.collector = PathBuf::from(&value),
            _ => return Err(format!("`{name}` is no option\n{USAGE}")),
        }
    }
    if !options.collector.is_file() {
        return Err(format!(
            "there is no collector at `{}`: build it with `cargo build --release -p collector`, or name it with --collector",
            options.collector.display()
        ));
    }
    Ok(options)
}

fn run(options: &Options) -> Result<Report, String> {
    let (folder, memory) = memory::make(options.mib)?;
    let bytes = options.mib << 20;
    let sink = Sink::start(None)?;
    let mut report = Report::new(bytes, folder.path());
    let collector = Collector { binary: options.collector.clone(), memory: memory.clone() };
    // Where a responder would put it: on a disk, if the temporary folder is on one.
    let disk = tempfile::tempdir().map_err(|error| format!("there is no temporary folder: {error}"))?;
    let image = disk.path().join("image.lime");

    let mut rounds = Rounds::default();
    // All of them in each round, so that whatever else the machine does meets them all alike.
    for _ in 0..options.runs {
        let (capture, took) = spent(|| collector.capture(&sink, 2, Beside::Nothing))?;
        rounds.capture.push(took);
        rounds.peak_kib = rounds.peak_kib.max(capture.peak_kib);
        rounds.whole.push(spent(|| collector.capture(&sink, 2, Beside::Files))?.1);
        rounds.dump.push(spent(|| others::dump(&memory, &image))?.1);
        rounds.sync.push(spent(|| others::sync(&image))?.1);
        rounds.upload.push(spent(|| others::upload_file(&image, &sink))?.1);
        let (by_file, took) = spent(|| others::sha256sum(&image))?;
        rounds.sum.push(took);
        if by_file != capture.sha256 {
            return Err(format!("the collector's image has the SHA-256 {}, and that of the file is {by_file}", capture.sha256));
        }
        rounds.hash.push(spent(|| others::hash(&memory))?.1);
        rounds.sent.push(spent(|| others::upload_parts(capture.bytes, &sink))?.1);
    }
    report.rounds(&rounds, disk.path());

    let slow = Sink::start(Some(options.connection_mb * 1_000_000))?;
    for puts in [1, 2, 4] {
        report.paced(puts, options.connection_mb, spent(|| collector.capture(&slow, puts, Beside::Nothing))?.1);
    }
    report.others();
    Ok(report)
}
