//! How far a long wait has come, for those who watch. No evidence: it is overwritten with each look and kept for a day.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The capture of memory.
    Memory,
    /// The snapshots.
    Snapshots,
    /// The copies of the snapshots.
    Copies,
}

impl Stage {
    /// As it stands in the key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Snapshots => "snapshots",
            Self::Copies => "copies",
        }
    }
}

/// One look at a long wait: `work/<case-id>/progress/<stage>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// `cordon.progress.v1`.
    pub schema: String,
    /// What is waited for.
    pub stage: Stage,
    /// When the wait began: the plan's opening.
    pub since: Timestamp,
    /// When the look was begun.
    pub at: Timestamp,
    /// How far it is, 0 to 100.
    pub percent: u8,
    /// How much has come, in bytes, where that is known.
    pub done_bytes: Option<u64>,
    /// How much is expected, in bytes, where that is known. An image leaves out empty blocks, so that it may end below.
    pub of_bytes: Option<u64>,
    /// What the look said, in a few words: `pending`, `completed`, `running`, `captured`.
    pub said: String,
    /// Whether it has ended.
    pub ended: bool,
}

impl Progress {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.progress.v1";
}

/// EC2 writes progress as `40%`; anything else counts as none.
pub fn percent(progress: &str) -> u8 {
    progress.trim_end_matches('%').parse().map_or(0, |percent: u8| percent.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_leniently() {
        for (text, expected) in [("40%", 40), ("100%", 100), ("", 0), ("n/a", 0), ("250%", 100), ("999%", 0)] {
            assert_eq!(percent(text), expected, "{text}");
        }
    }
}
