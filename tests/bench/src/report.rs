//! The table, and which budgets hold.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use crate::collector::Capture;

/// What was measured so far.
pub(crate) struct Report {
    bytes: u64,
    text: String,
    collector: f64,
    by_file: f64,
    one_put: f64,
}

impl Report {
    /// A report on `bytes` bytes of memory below `folder`.
    pub(crate) fn new(bytes: u64, folder: &Path) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let mut report = Self { bytes, text: String::new(), collector: 0.0, by_file: 0.0, one_put: 0.0 };
        report.say(&format!(
            "{} MiB of memory, half random, below {}; {cores} cores, shared with the server",
            bytes >> 20,
            folder.display()
        ));
        report.say(&format!("{:<58} {:>8} {:>7}", "", "s", "MB/s"));
        report
    }

    /// The collector, whole.
    pub(crate) fn captured(&mut self, captures: &[Capture]) {
        let seconds: Vec<f64> = captures.iter().map(|capture| capture.seconds).collect();
        self.collector = median(&seconds);
        self.row("(a) collector: dump, SHA-256, CRC-64 and upload, 2 PUTs", self.collector);
        let peak = captures.iter().map(|capture| capture.peak_kib).max().unwrap_or_default();
        self.say(&format!("    its peak: {} MiB of memory; 0 bytes on a disk", peak.div_ceil(1_024)));
    }

    /// The collector with the files beside the image.
    pub(crate) fn whole(&mut self, seconds: f64) {
        self.row("    and with this machine's own listing, types and symbols", seconds);
    }

    /// `avml` to a file, and the file uploaded.
    pub(crate) fn dumped(&mut self, folder: &Path, dump: f64, upload: f64) {
        self.by_file = dump + upload;
        self.row("(b) avml to a file, then one PUT of it", self.by_file);
        self.row(&format!("    of it: avml to a file below {}, not synced", folder.display()), dump);
        self.row("    of it: one PUT", upload);
    }

    /// `sha256sum`.
    pub(crate) fn summed(&mut self, seconds: f64) {
        self.row("(c) sha256sum", seconds);
        self.row("    (b) and (c): what gives the same as (a)", self.by_file + seconds);
        self.budget("at least twice as fast as (b)", self.by_file / self.collector, 2.0);
        self.budget("at least twice as fast as (b) and (c)", (self.by_file + seconds) / self.collector, 2.0);
    }

    /// Hashing alone, and upload alone.
    pub(crate) fn bounds(&mut self, hash: f64, upload: f64) {
        self.row("(d) both digests alone", hash);
        self.row("    upload alone, 2 PUTs", upload);
        self.budget("within 25 % of the slower of the two", hash.max(upload) / self.collector, 0.8);
    }

    /// The collector where one connection is the limit.
    pub(crate) fn paced(&mut self, puts: u8, connection_mb: u64, capture: &Capture) {
        self.row(
            &format!("(e) collector, {connection_mb} MB/s per connection, {puts} PUT{}", if puts == 1 { "" } else { "s" }),
            capture.seconds,
        );
        if puts == 1 {
            self.one_put = capture.seconds;
        } else {
            let share = self.one_put / capture.seconds / f64::from(puts);
            self.budget(&format!("{puts} PUTs at least 80 % of {puts} times as fast as one"), share, 0.8);
        }
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        // Nobody has to read it.
        let _ = io::stdout().lock().write_all(self.text.as_bytes());
    }

    fn row(&mut self, what: &str, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "a size that fits a disk, for a rate of four digits")]
        let rate = self.bytes as f64 / 1e6 / seconds;
        self.say(&format!("{what:<58} {seconds:>8.3} {rate:>7.0}"));
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

/// Measures `runs` times.
pub(crate) fn repeat<T>(runs: u64, mut measure: impl FnMut() -> Result<T, String>) -> Result<Vec<T>, String> {
    (0..runs).map(|_| measure()).collect()
}

/// The median.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Says why there is no report.
pub(crate) fn complain(reason: &str) {
    let _ = writeln!(io::stderr().lock(), "collector-bench: {reason}");
}
