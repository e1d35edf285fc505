//! One run of the collector's own binary.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use incident::CaseId;
use incident::capture::{Collected, FILES, FileSlot, RESULT, Settings, Wave};

use crate::sink::Sink;

/// The size of a part, in bytes.
pub(crate) const PART: u64 = 8 << 20;

/// The collector.
pub(crate) struct Collector {
    pub(crate) binary: PathBuf,
    pub(crate) memory: PathBuf,
}

/// What is taken beside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Only the result is sent.
    Nothing,
    /// The listing, the kernel's version, types and symbols.
    Files,
}

/// What a run gave.
pub(crate) struct Capture {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) peak_kib: u64,
}

impl Collector {
    /// Captures with `puts` uploads at once.
    pub(crate) fn capture(&self, sink: &Sink, puts: u8, beside: Beside) -> Result<Capture, String> {
        let case = CaseId::parse("i-0123456789abcdef0-0123456789ab").map_err(|error| error.to_string())?;
        let plan = self.memory.with_file_name("plan");
        std::fs::write(&plan, self.plan(&case, sink, puts, beside)?.with_collector(&sink.url("collector")))
            .map_err(|error| error.to_string())?;
        sink.taken();
        let mut command = Command::new(&self.binary);
        command.arg("capture").arg("--plan").arg(plan).arg("--file").arg(&self.memory);
        command.stderr(Stdio::inherit());
        let output = command.output().map_err(|error| format!("`{}` does not run: {error}", self.binary.display()))?;
        let said = Collected::find(&output.stdout, &case).ok_or("the collector printed no result")?;
        if !said.ok {
            return Err(format!("the collector failed: {}", said.errors.join("; ")));
        }
        if sink.taken() < said.bytes {
            return Err(format!("the collector says that it sent {} bytes, and the server has not seen them", said.bytes));
        }
        Ok(Capture { bytes: said.bytes, sha256: said.sha256, peak_kib: said.peak_kib })
    }

    fn plan(&self, case: &CaseId, sink: &Sink, puts: u8, beside: Beside) -> Result<Wave, String> {
        let length = std::fs::metadata(&self.memory).map_err(|error| error.to_string())?.len();
        let slot = |(name, limit): (&str, u64)| FileSlot { name: name.to_owned(), url: sink.url(name), limit };
        let files = FILES.into_iter().filter(|(name, _)| beside == Beside::Files || *name == RESULT).map(slot).collect();
        let settings = Settings { part_bytes: PART, puts, tries: 1, deadline_seconds: 600, files };
        Ok(Wave {
            schema: Wave::SCHEMA.to_owned(),
            case_id: case.clone(),
            number: 1,
            withdrawn: None,
            first_part: 1,
            parts: (0..=length / PART + 1).map(|part| sink.url(&part.to_string())).collect(),
            next: sink.url("wave-2"),
            poll_seconds: 10,
            valid_seconds: 600,
            settings: Some(settings),
        })
    }
}
