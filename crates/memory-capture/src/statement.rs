//! What Cordon says of a capture: how it was taken, who said what, and what of it could be confirmed.

use incident::CaseId;
use incident::capture::{Collected, IMAGE};
use incident::evidence::Capture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compare::{Check, Stored};

/// The statement, as it stands in the case file under [`incident::capture::STATEMENT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// `cordon.capture.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// How the memory was taken.
    pub taken: Taken,
    /// What the collector said: all of it is the target's word.
    pub collected: Option<Collected>,
    /// The image, as S3 has it.
    pub image: Option<Stored>,
    /// Each file beside the image.
    pub files: Vec<FileSaid>,
    /// Each comparison, and whether it holds.
    pub checks: Vec<Check>,
    /// What is trusted, and on whose word.
    pub trust: Vec<Trust>,
    /// What the step gave to the state machine; a repeated attempt gives the same.
    pub capture: Capture,
}

/// How the memory was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taken {
    /// The command that ran the collector.
    pub command_id: String,
    /// The document's name.
    pub document: String,
    /// Its version, and the hash that it was pinned by; absent where they are not known any more.
    pub document_version: Option<String>,
    /// The SHA-256 of its content, as Systems Manager says.
    pub document_hash: Option<String>,
    /// The SHA-256 of the collector that the document lets run.
    pub collector_sha256: String,
    /// What the document put on its command line.
    pub arguments: String,
    /// The size of the image's parts, in bytes.
    pub part_bytes: u64,
    /// How many waves of URLs were handed out.
    pub waves: u32,
    /// The keys for which URLs were signed, each by sessions for that key alone.
    pub session_keys: Vec<String>,
    /// When the first look was made.
    pub begun: Timestamp,
    /// When something last moved.
    pub moved: Timestamp,
    /// How it ended.
    pub ended: String,
}

/// What became of one file beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileSaid {
    /// Its name.
    pub name: String,
    /// The object, where there is one.
    pub stored: Option<Stored>,
    /// Its bytes and its SHA-256, as the collector said them.
    pub said_bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal: the target's word.
    pub said_sha256: Option<String>,
    /// Whether the collector cut it at its limit.
    pub cut: Option<bool>,
    /// Why there is no object, or what is wrong with it; empty where nothing is.
    pub reason: String,
}

/// On whose word something is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trust {
    /// What.
    pub what: String,
    /// Whose word it is.
    pub word: String,
}

impl Statement {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.capture.v1";
}

/// On whose word each thing is trusted that is said of an image.
pub fn trust(stored: Option<&Stored>, checks: &[Check]) -> Vec<Trust> {
    let Some(stored) = stored else { return Vec::new() };
    let holds = |what: &str| checks.iter().any(|check| check.what == what && check.holds);
    let both = |what: &str| {
        if holds(what) { "S3's own, equal to the target's word" } else { "S3's own, which the target's word does not confirm" }
    };
    let crc = if stored.crc64nvme.is_some() { both("crc64nvme") } else { "nobody's: S3 gave none" };
    let words = [
        ("size", both("bytes")),
        ("parts", both("parts")),
        ("crc64nvme", crc),
        ("sha256", "the target's word"),
        ("content", "taken by a program on the target, through its own kernel: an attacker with root there can have changed it"),
    ];
    words.into_iter().map(|(what, word)| Trust { what: format!("{IMAGE} {what}"), word: word.to_owned() }).collect()
}
