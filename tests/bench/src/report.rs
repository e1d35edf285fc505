//! The table, and which budgets hold.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use crate::machine::Spent;

/// What the rounds took, one of each for each round.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// The collector.
    pub(crate) capture: Vec<Spent>,
    /// The collector with the files beside the image.
    pub(crate) whole: Vec<Spent>,
    /// `avml` to a file.
    pub(crate) dump: Vec<Spent>,
    /// Until the file is on its disk.
    pub(crate) sync: Vec<Spent>,
    /// The file with one PUT.
    pub(crate) upload: Vec<Spent>,
    /// `sha256sum`.
    pub(crate) sum: Vec<Spent>,
    /// Both digests, and nothing else.
    pub(crate) hash: Vec<Spent>,
    /// The parts, and nothing else.
    pub(crate) sent: Vec<Spent>,
    /// The most memory that the collector took.
    pub(crate) peak_kib: u64,
}

/// What was measured so far.
pub(crate) struct Report {
    bytes: u64,
    text: String,
    one_put: f64,
    all: Spent,
}

impl Report {
    /// A report on `bytes` bytes of memory below `folder`.
    pub(crate) fn new(bytes: u64, folder: &Path) -> Self {
        let mut report = Self { bytes, text: String::new(), one_put: 0.0, all: Spent::default() };
        report.say(&format!(
            "{} MiB of memory, half random, below {}; {} cores, shared with the server",
            bytes >> 20,
            folder.display(),
            cores()
        ));
        report.say(&format!("{:<58} {:>8} {:>7} {:>7}", "", "s", "MB/s", "CPU s"));
        report
    }

    /// The rounds, whose files were below `disk`.
    pub(crate) fn rounds(&mut self, rounds: &Rounds, disk: &Path) {
        let added = |one: &[Spent], other: &[Spent]| -> Vec<Spent> {
            let add = |(one, other): (&Spent, &Spent)| Spent {
                seconds: one.seconds + other.seconds,
                cpu: one.cpu + other.cpu,
                others: one.others + other.others,
            };
            one.iter().zip(other).map(add).collect()
        };
        let by_file = added(&rounds.dump, &rounds.upload);
        let the_same = added(&by_file, &rounds.sum);
        self.row("(a) collector: dump, SHA-256, CRC-64 and upload, 2 PUTs", &rounds.capture);
        self.say(&format!("    its peak: {} MiB of memory; 0 bytes on a disk", rounds.peak_kib.div_ceil(1_024)));
        self.row("    and with this machine's own listing, types and symbols", &rounds.whole);
        self.row("(b) avml to a file, then one PUT of it", &by_file);
        self.row(&format!("    of it: avml to a file below {}, not synced", disk.display()), &rounds.dump);
        self.row("    of it: one PUT", &rounds.upload);
        self.row("    beside it: until the file is on its disk", &rounds.sync);
        self.row("(c) sha256sum", &rounds.sum);
        self.row("    (b) and (c): what gives the same as (a)", &the_same);
        self.row("(d) both digests alone", &rounds.hash);
        self.row("    upload alone, 2 PUTs", &rounds.sent);
        let slower = |(hash, sent): (&Spent, &Spent)| if hash.seconds > sent.seconds { *hash } else { *sent };
        let slower: Vec<Spent> = rounds.hash.iter().zip(&rounds.sent).map(slower).collect();
        for (what, longer, wanted) in [
            ("at least twice as fast as (b)", &by_file, 2.0),
            ("at least twice as fast as (b) and (c)", &the_same, 2.0),
            ("within 25 % of the slower of the two of (d)", &slower, 0.8),
        ] {
            let ratios: Vec<f64> = longer.iter().zip(&rounds.capture).map(|(one, ours)| one.seconds / ours.seconds).collect();
            self.budget(what, median(&ratios), wanted);
        }
        let shares: Vec<f64> = rounds.capture.iter().map(|spent| spent.cpu / cores()).collect();
        self.say(&format!(
            "    (a) cannot be faster here than {:.3} s: its CPU time and the server's, on all cores",
            median(&shares)
        ));
    }

    /// The collector where one connection is the limit.
    pub(crate) fn paced(&mut self, puts: u8, connection_mb: u64, spent: Spent) {
        self.row(
            &format!("(e) collector, {connection_mb} MB/s per connection, {puts} PUT{}", if puts == 1 { "" } else { "s" }),
            &[spent],
        );
        if puts == 1 {
            self.one_put = spent.seconds;
        } else {
            let share = self.one_put / spent.seconds / f64::from(puts);
            self.budget(&format!("{puts} PUTs at least 80 % of {puts} times as fast as one"), share, 0.8);
        }
    }

    /// Says what else the machine did.
    pub(crate) fn others(&mut self) {
        let share = 100.0 * self.all.others / (self.all.seconds * cores());
        self.say(&format!("Meanwhile others worked on the machine: {share:.0} % of its CPU time. Where that is more than a few, the times are theirs too."));
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        // Nobody has to read it.
        let _ = io::stdout().lock().write_all(self.text.as_bytes());
    }

    fn row(&mut self, what: &str, spent: &[Spent]) {
        for one in spent {
            self.all.seconds += one.seconds;
            self.all.others += one.others;
        }
        let of = |what: fn(&Spent) -> f64| median(&spent.iter().map(what).collect::<Vec<_>>());
        let (seconds, cpu) = (of(|one| one.seconds), of(|one| one.cpu));
        #[expect(clippy::cast_precision_loss, reason = "a size that fits a disk, for a rate of four digits")]
        let rate = self.bytes as f64 / 1e6 / seconds;
        self.say(&format!("{what:<58} {seconds:>8.3} {rate:>7.0} {cpu:>7.2}"));
    }

    fn budget(&mut self, what: &str, measured: f64, wanted: f64) {
        let verdict = if measured >= wanted { "holds" } else { "does not hold" };
        self.say(&format!("    -> {what}: {verdict} ({measured:.2}, wanted {wanted:.2})"));
    }

    fn say(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// How many cores there are.
fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| u32::try_from(cores.get()).map_or(1.0, f64::from))
}

/// The median.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Says why there is no report.
pub(crate) fn complain(reason: &str) {
    let _ = writeln!(io::stderr().lock(), "collector-bench: {reason}");
}
