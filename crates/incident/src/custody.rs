//! The custody chain: the records of a case in order, each line carrying the SHA-256 of the line before.
//!
//! INVARIANT: to change, drop, add or reorder a line is to change the head of the chain, and the head stands in a signed
//! manifest. A second chain (the closing one) starts from the head of the first and goes on with its numbering.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::ObjectRef;
use crate::manifest::Chain;
use crate::text::sha256;

/// One line of the chain: compact JSON, ended by one line feed that is not part of its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Counts from 1, through both chains of a case.
    pub n: u64,
    /// The record's full key.
    pub key: String,
    /// The record's version.
    pub version_id: String,
    /// The SHA-256 of the record's bytes, in hexadecimal.
    pub sha256: String,
    /// The SHA-256 of the line before; 64 zeros in the first line.
    pub prev: String,
    /// The record; null where the object is no JSON.
    pub record: Value,
}

/// Why a chain does not hold. Each names the line by its position in the file, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustodyError {
    /// The line is not one of ours.
    #[error("line {line} of the custody chain cannot be read: {reason}")]
    Malformed {
        /// Where.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The line is not the one that follows: a line is missing, was added, or stands elsewhere.
    #[error("line {line} of the custody chain has the number {found}, expected {expected}: a line was dropped, added or moved")]
    Number {
        /// Where.
        line: u64,
        /// What it says.
        found: u64,
        /// What it should say.
        expected: u64,
    },
    /// The line does not follow from the one before: that one was changed, or this one.
    #[error("line {line} of the custody chain does not follow from the line before: one of the two was changed")]
    Broken {
        /// Where.
        line: u64,
    },
}

impl Chain {
    /// The chain without lines.
    pub fn start() -> Self {
        Self { lines: 0, head: "0".repeat(64) }
    }
}

/// The lines for `records`, in their order, going on from `start`; and the chain with them.
pub fn build<B: AsRef<[u8]>>(records: impl IntoIterator<Item = (ObjectRef, B)>, start: Chain) -> (Vec<u8>, Chain) {
    let (mut out, mut chain) = (Vec::new(), start);
    for (object, bytes) in records {
        let line = Line {
            n: chain.lines + 1,
            key: object.key,
            version_id: object.version_id,
            sha256: object.sha256,
            prev: chain.head,
            record: serde_json::from_slice(bytes.as_ref()).unwrap_or_default(),
        };
        // A line has string keys and what was JSON before, so that this cannot fail; an empty line would fail `check`.
        let text = serde_json::to_vec(&line).unwrap_or_default();
        chain = Chain { lines: line.n, head: sha256(&text) };
        out.extend_from_slice(&text);
        out.push(b'\n');
    }
    (out, chain)
}

/// The lines of `bytes`, and the chain with them. The caller compares that chain with the one that was signed: only so
/// are a change of the last line, and lines cut off or added at the end, found.
pub fn check(bytes: &[u8], start: &Chain) -> Result<(Vec<Line>, Chain), CustodyError> {
    let (mut lines, mut chain) = (Vec::new(), start.clone());
    for (text, line) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1_u64..) {
        let malformed = |reason: &str| CustodyError::Malformed { line, reason: crate::text::bounded(reason, 200) };
        let text = text.strip_suffix(b"\n").ok_or_else(|| malformed("it does not end in a line feed"))?;
        let parsed: Line = serde_json::from_slice(text).map_err(|error| malformed(&error.to_string()))?;
        let expected = chain.lines + 1;
        if parsed.n != expected {
            return Err(CustodyError::Number { line, found: parsed.n, expected });
        }
        if parsed.prev != chain.head {
            return Err(CustodyError::Broken { line });
        }
        chain = Chain { lines: parsed.n, head: sha256(text) };
        lines.push(parsed);
    }
    Ok((lines, chain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(number: usize) -> (ObjectRef, Vec<u8>) {
        let bytes = format!("{{\"number\":{number},\"text\":\"é\\n\"}}").into_bytes();
        let key = format!("cases/i-1/records/{number}.json");
        let object = ObjectRef { key, version_id: format!("v{number}"), sha256: sha256(&bytes), size: bytes.len() as u64 };
        (object, bytes)
    }

    fn chain(count: usize) -> (Vec<u8>, Chain) {
        build((0..count).map(record), Chain::start())
    }

    fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// Whether somebody who holds the signed chain sees that `bytes` are not the lines it is over.
    fn detected(bytes: &[u8], signed: &Chain) -> bool {
        check(bytes, &Chain::start()).map_or(true, |(_, found)| found != *signed)
    }

    #[test]
    fn an_empty_chain_has_a_head_of_zeros() {
        assert_eq!(chain(0), (Vec::new(), Chain { lines: 0, head: "0".repeat(64) }));
        assert_eq!(check(b"", &Chain::start()), Ok((Vec::new(), Chain::start())));
    }

    #[test]
    fn a_second_chain_goes_on_from_the_first() {
        let (_, first) = chain(3);
        let (bytes, both) = build((3..5).map(record), first.clone());
        let (lines, found) = check(&bytes, &first).unwrap();
        assert_eq!((lines[0].n, &lines[0].prev, found), (4, &first.head, both.clone()));
        assert!(check(&bytes, &Chain::start()).is_err(), "it must not verify without the first chain");
        assert_eq!(both, chain(5).1, "two chains end in the same head as one");
    }

    #[test]
    fn an_error_names_the_line() {
        let (bytes, _) = chain(3);
        let mut lines = split(&bytes);
        lines.swap(1, 2);
        assert_eq!(check(&lines.concat(), &Chain::start()), Err(CustodyError::Number { line: 2, found: 3, expected: 2 }));
        let (other, _) = build([record(9), record(1)], Chain::start());
        let mixed = [split(&bytes)[0].clone(), split(&other)[1].clone()].concat();
        assert_eq!(check(&mixed, &Chain::start()), Err(CustodyError::Broken { line: 2 }));
        assert!(matches!(check(b"{}\n", &Chain::start()), Err(CustodyError::Malformed { line: 1, .. })));
    }

    proptest! {
        #[test]
        fn a_chain_as_it_was_built_holds(count in 0_usize..12) {
            let (bytes, signed) = chain(count);
            let (lines, found) = check(&bytes, &Chain::start()).unwrap();
            prop_assert_eq!((lines.len(), found), (count, signed));
        }

        #[test]
        fn a_flipped_bit_is_detected(count in 1_usize..8, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let (mut bytes, signed) = chain(count);
            let index = at.index(bytes.len());
            bytes[index] ^= 1 << bit;
            prop_assert!(detected(&bytes, &signed));
        }

        #[test]
        fn a_dropped_line_is_detected(count in 1_usize..8, at in any::<prop::sample::Index>()) {
            let (bytes, signed) = chain(count);
            let mut lines = split(&bytes);
            lines.remove(at.index(count));
            prop_assert!(detected(&lines.concat(), &signed));
        }

        #[test]
        fn an_added_line_is_detected(count in 1_usize..8, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
            let (bytes, signed) = chain(count);
            let mut lines = split(&bytes);
            let line = lines[from.index(count)].clone();
            lines.insert(to.index(count + 1), line);
            prop_assert!(detected(&lines.concat(), &signed));
        }

        #[test]
        fn a_line_that_was_added_with_care_changes_the_head(count in 0_usize..8) {
            let (bytes, signed) = chain(count);
            let (more, _) = build([record(99)], signed.clone());
            prop_assert!(detected(&[bytes, more].concat(), &signed));
        }

        #[test]
        fn reordered_lines_are_detected(count in 2_usize..8, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let (bytes, signed) = chain(count);
            let mut lines = split(&bytes);
            let (a, b) = (a.index(count), b.index(count));
            prop_assume!(a != b);
            lines.swap(a, b);
            prop_assert!(detected(&lines.concat(), &signed));
        }
    }
}
