//! The capture of memory: what passes between the function that conducts it, the bucket, and the collector on the target.
//!
//! INVARIANT: the target gets URLs and nothing else. Each is signed by a session that may do one thing to one key, and none
//! makes an object of the case: what the collector uploads are parts, and only our own function makes objects of them.
//! INVARIANT: whatever comes back from the target is hostile. [`Collected::find`] bounds it; nothing of it is believed that
//! S3 does not confirm, and what S3 cannot confirm is marked as the target's word.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::CaseId;
use crate::text::bounded;

/// The folder of the capture in the case.
pub const FOLDER: &str = "memory/";
/// The image of the target's memory.
pub const IMAGE: &str = "memory/image.lime";
/// What Cordon says of the capture: how it was taken, what was compared, and with what result.
pub const STATEMENT: &str = "memory/capture.json";
/// Processes, sockets, modules, mounts, users and the kernel's state, taken before the dump.
pub const VOLATILE: &str = "volatile.json";
/// The kernel's type information (BTF).
pub const BTF: &str = "btf";
/// The kernel's symbols.
pub const KALLSYMS: &str = "kallsyms";
/// The kernel's version line.
pub const VERSION: &str = "version";
/// The collector's result, as it stands in its last line of output too.
pub const RESULT: &str = "result.json";

/// The files that are taken beside the image, in this order, and the most bytes of each. [`RESULT`] is the last.
pub const FILES: [(&str, u64); 5] =
    [(VOLATILE, 16 << 20), (VERSION, 64 << 10), (BTF, 32 << 20), (KALLSYMS, 64 << 20), (RESULT, 256 << 10)];

/// The smallest part that S3 takes, but for the last one of an upload [facts 47].
pub const SMALLEST_PART: u64 = 5 << 20;
/// The most parts of one upload [facts 47].
pub const MOST_PARTS: u32 = 10_000;

/// The key of wave `number`. Waves are no evidence: they lie below `work/`, which keeps them for a day.
pub fn wave_key(case: &CaseId, number: u32) -> String {
    format!("work/{case}/memory/wave-{number}")
}

/// What the collector is to do, and with which URLs; each wave replaces the one before.
///
/// Wave 1 is what the document fetches: its first line is the URL of the collector's binary, and the JSON follows. Every
/// later wave is JSON alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wave {
    /// `cordon.wave.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// Counted from 1.
    pub number: u32,
    /// Stop at once, and why.
    pub withdrawn: Option<String>,
    /// The number of the image's part that the first of `parts` is for; S3 counts parts from 1.
    pub first_part: u32,
    /// A presigned `UploadPart` for each of the image's parts from `first_part` on.
    pub parts: Vec<String>,
    /// A presigned GET of the next wave. It is forbidden (S3 says so where a key may not be listed) until there is one.
    pub next: String,
    /// How often to look for the next wave, in seconds.
    pub poll_seconds: u32,
    /// How long the URLs hold from when the wave was signed, in seconds.
    pub valid_seconds: u32,
    /// How to collect; in wave 1 only.
    pub settings: Option<Settings>,
}

impl Wave {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.wave.v1";

    /// Wave 1 as the document fetches it.
    pub fn with_collector(&self, url: &str) -> Vec<u8> {
        let mut bytes = url.as_bytes().to_vec();
        bytes.push(b'\n');
        // Our own type has string keys and finite numbers, so that this cannot fail.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes
    }

    /// Reads a wave, with or without the collector's line.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let json = match bytes.first() {
            Some(b'{') | None => bytes,
            Some(_) => bytes.iter().position(|byte| *byte == b'\n').and_then(|end| bytes.get(end + 1..)).unwrap_or_default(),
        };
        serde_json::from_slice(json)
    }
}

/// How to collect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The size of each part of the image but the last, in bytes. The collector may take less where memory is short.
    pub part_bytes: u64,
    /// How many uploads go on at the same time.
    pub puts: u8,
    /// How often each part is tried with one URL.
    pub tries: u8,
    /// After how many seconds the collector stops, whatever is left.
    pub deadline_seconds: u64,
    /// Where the files beside the image go.
    pub files: Vec<FileSlot>,
}

/// Where one file beside the image goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSlot {
    /// One of [`FILES`].
    pub name: String,
    /// A presigned `UploadPart`: the whole file is part 1.
    pub url: String,
    /// The most bytes that are taken of it.
    pub limit: u64,
}

/// What the collector says at its end: the last line of its output, and [`RESULT`]. All of it is the target's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// `cordon.collected.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// Whether the whole memory was read and every part was taken.
    pub ok: bool,
    /// What the image was read from: `/proc/kcore`, `/dev/crash`, `/dev/mem`, or a file.
    pub source: String,
    /// `lime`.
    pub format: String,
    /// The bytes of memory that the kernel names as system RAM.
    pub system_ram: u64,
    /// The bytes of the image: blocks of zeros are left out of it.
    pub bytes: u64,
    /// How many parts they were sent in.
    pub parts: u32,
    /// The SHA-256 of the image, in hexadecimal.
    pub sha256: String,
    /// The CRC-64/NVME of the image, in Base64 (big-endian), as S3 computes it.
    pub crc64nvme: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The collector's version.
    pub version: String,
    /// The SHA-256 of the collector's own binary, in hexadecimal.
    pub collector_sha256: String,
    /// The files beside the image.
    pub files: Vec<CollectedFile>,
    /// The most memory that the collector itself took, in KiB.
    pub peak_kib: u64,
    /// Everything that went wrong, also what was mended by another try or another source.
    pub errors: Vec<String>,
}

/// What the collector says of one file beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectedFile {
    /// One of [`FILES`].
    pub name: String,
    /// Its bytes as sent.
    pub bytes: u64,
    /// Its SHA-256 as sent, in hexadecimal.
    pub sha256: String,
    /// Whether it was cut at its limit.
    pub cut: bool,
}

impl Collected {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.collected.v1";
    /// The most errors, and the most characters of each.
    const MOST_ERRORS: usize = 40;
    const ERROR_LIMIT: usize = 300;

    /// The last line of `output` that is a result for `case`, bounded. Everything else in it is ignored, however much it is.
    pub fn find(output: &[u8], case: &CaseId) -> Option<Self> {
        const LONGEST: usize = 256 << 10;
        let lines = output.split(|byte| *byte == b'\n').rev();
        let candidates = lines.map(<[u8]>::trim_ascii).filter(|line| line.first() == Some(&b'{') && line.len() <= LONGEST);
        let mut results = candidates.filter_map(|line| serde_json::from_slice::<Self>(line).ok());
        results.find(|result| result.schema == Self::SCHEMA && result.case_id == *case).map(Self::bounded)
    }

    /// With every text and list cut to what a result of our own collector has.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.errors.truncate(Self::MOST_ERRORS);
        for error in &mut self.errors {
            *error = bounded(error, Self::ERROR_LIMIT);
        }
        self.files.truncate(FILES.len());
        let texts = [&mut self.source, &mut self.format, &mut self.sha256, &mut self.crc64nvme, &mut self.version];
        let names = self.files.iter_mut().flat_map(|file| [&mut file.name, &mut file.sha256]);
        for text in texts.into_iter().chain([&mut self.collector_sha256]).chain(names) {
            *text = bounded(text, 128);
        }
        if !self.seconds.is_finite() {
            self.seconds = 0.0;
        }
        self
    }
}

/// How far a capture has come: what one look hands to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// When the first look was made.
    pub begun: Timestamp,
    /// The command, once it is sent.
    pub command_id: Option<String>,
    /// The wave that was written last; absent before the first.
    pub wave: Option<WaveMark>,
    /// How many of the image's parts S3 has.
    pub parts: u32,
    /// How many bytes they have.
    pub bytes: u64,
    /// How far that is, in percent of the memory's size; 0 where that is unknown.
    pub percent: u8,
    /// When something last moved.
    pub moved: Timestamp,
}

/// What must be remembered of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaveMark {
    /// Its number.
    pub number: u32,
    /// The first part that it has a URL for.
    pub first_part: u32,
    /// The last one.
    pub last_part: u32,
    /// Until when its URLs hold.
    pub until: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn case() -> CaseId {
        CaseId::parse("i-0123456789abcdef0-0123456789ab").unwrap()
    }

    fn result() -> Collected {
        Collected {
            schema: Collected::SCHEMA.to_owned(),
            case_id: case(),
            ok: true,
            source: "/proc/kcore".to_owned(),
            format: "lime".to_owned(),
            system_ram: 1 << 28,
            bytes: 200 << 20,
            parts: 25,
            sha256: "ab".repeat(32),
            crc64nvme: "AAAAAAAAAAA=".to_owned(),
            seconds: 11.5,
            version: "0.1.0".to_owned(),
            collector_sha256: "cd".repeat(32),
            files: Vec::new(),
            peak_kib: 50_000,
            errors: Vec::new(),
        }
    }

    #[test]
    fn the_result_is_found_among_junk_and_only_for_its_own_case() {
        let line = serde_json::to_string(&result()).unwrap();
        let other = line.replace("0123456789ab\"", "ffffffffffff\"");
        let junk = "x".repeat(100_000);
        for output in [
            line.clone(),
            format!("{line}\r\n"),
            format!("{junk}\n{{\"a\":1}}\n{line}\n"),
            format!("{line}\n{junk}\n{other}\n{{not json"),
        ] {
            assert_eq!(Collected::find(output.as_bytes(), &case()), Some(result()));
        }
        for output in [String::new(), junk, other, "{}".to_owned(), "[".repeat(100_000)] {
            assert_eq!(Collected::find(output.as_bytes(), &case()), None);
        }
    }

    #[test]
    fn a_result_is_bounded() {
        let hostile = Collected { errors: vec!["\u{1b}[31m".repeat(10_000); 500], source: "s".repeat(10_000), ..result() };
        let line = serde_json::to_string(&Collected { errors: hostile.errors[..1].to_vec(), ..hostile }).unwrap();
        let found = Collected::find(line.as_bytes(), &case()).unwrap();
        assert!(serde_json::to_string(&found).unwrap().len() < 20_000);
    }

    #[test]
    fn a_wave_is_read_with_and_without_the_collectors_line() {
        let wave = Wave {
            schema: Wave::SCHEMA.to_owned(),
            case_id: case(),
            number: 1,
            withdrawn: None,
            first_part: 1,
            parts: vec!["http://127.0.0.1/1".to_owned()],
            next: "http://127.0.0.1/2".to_owned(),
            poll_seconds: 10,
            valid_seconds: 3600,
            settings: None,
        };
        let first = wave.with_collector("http://127.0.0.1/collector");
        assert!(first.starts_with(b"http://127.0.0.1/collector\n{"));
        assert_eq!(Wave::read(&first).unwrap(), wave);
        assert_eq!(Wave::read(&serde_json::to_vec(&wave).unwrap()).unwrap(), wave);
        assert!(Wave::read(b"").is_err() && Wave::read(b"http://only").is_err());
    }

    proptest! {
        #[test]
        fn no_output_of_a_target_is_too_much(output in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let _ = Collected::find(&output, &case());
        }
    }
}
