//! The digests of an object as its bytes pass: an image of memory is larger than any machine's memory.

use aws_lc_rs::digest::{Context, SHA256};
use aws_smithy_types::base64;
use crc_fast::{CrcAlgorithm, Digest};
use incident::text::hex;
use incident::verify::{Found, MOST_PARSED, is_parsed};

/// What is known of an object so far.
pub(crate) struct Digests {
    sha256: Context,
    crc64nvme: Digest,
    size: u64,
    kept: Option<Vec<u8>>,
}

impl Digests {
    /// Begins the object of this name in the case.
    pub(crate) fn of(name: &str) -> Self {
        Self {
            sha256: Context::new(&SHA256),
            crc64nvme: Digest::new(CrcAlgorithm::Crc64Nvme),
            size: 0,
            kept: is_parsed(name).then(Vec::new),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.crc64nvme.update(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > MOST_PARSED {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
    }

    /// The object, without what only the bucket knows.
    pub(crate) fn finish(self) -> Found {
        Found {
            size: self.size,
            sha256: hex(self.sha256.finish().as_ref()),
            crc64nvme: Some(base64::encode(self.crc64nvme.finalize().to_be_bytes())),
            bytes: self.kept,
            ..Found::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::{capture, case};

    #[test]
    fn the_digests_are_the_known_ones_however_the_bytes_come() {
        // The check value of CRC-64/NVME, 0xAE8B14860A799888, and the SHA-256 that sha256sum gives.
        let known = ("rosUhgp5mIg=", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225");
        for cut in 0..=9 {
            let mut digests = Digests::of(capture::IMAGE);
            let (first, second) = b"123456789".split_at(cut);
            digests.update(first);
            digests.update(second);
            let found = digests.finish();
            assert_eq!((found.crc64nvme.as_deref(), found.sha256.as_str(), found.size), (Some(known.0), known.1, 9));
        }
    }

    #[test]
    fn only_what_is_parsed_and_not_too_large_is_kept() {
        let read = |name: &str, chunks: u64| {
            let mut digests = Digests::of(name);
            let chunk = vec![0; 1 << 20];
            for _ in 0..chunks {
                digests.update(&chunk);
            }
            digests.finish().bytes.map(|bytes| bytes.len() as u64)
        };
        let most = MOST_PARSED >> 20;
        assert_eq!(read(case::CUSTODY, 1), Some(1 << 20));
        assert_eq!(read(case::CUSTODY, most + 1), None);
        assert_eq!(read(capture::IMAGE, 1), None);
    }
}
