//! What was hashed and what was taken, and what that makes of the image. Pure.
//!
//! INVARIANT: what it says of the image holds for the parts from the first on that were all taken, however the run ended: S3
//! can be asked whether it is so.

use std::collections::BTreeMap;

use crc_fast::CrcAlgorithm;
use incident::text::hex;
use sha2::{Digest as _, Sha256};

/// The CRC that S3 computes over a whole upload [facts 52].
pub const CRC: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The parts that are not yet counted.
    open: BTreeMap<u32, Entry>,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Entry {
    digests: Option<Digests>,
    taken: bool,
}

/// The bytes of a part, and the digests of the image up to its end.
#[derive(Debug, Clone)]
pub struct Digests {
    /// Its bytes.
    pub bytes: u64,
    /// The CRC of the image up to its end.
    pub crc: u64,
    /// The SHA-256 of the image up to its end.
    pub sha256: Sha256,
}

/// The parts from the first on that were all taken.
#[derive(Debug, Default, Clone)]
pub struct Counted {
    /// How many.
    pub parts: u32,
    /// Their bytes.
    pub bytes: u64,
    crc: u64,
    sha256: Sha256,
}

impl Counted {
    /// The SHA-256 of these parts, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&self.sha256.clone().finalize())
    }

    /// Their CRC-64/NVME, in Base64 (big-endian), as S3 has it.
    pub fn crc64nvme(&self) -> String {
        base64(&self.crc.to_be_bytes())
    }
}

impl Ledger {
    /// Part `number` was hashed.
    pub fn hashed(&mut self, number: u32, digests: Digests) {
        self.open.entry(number).or_default().digests = Some(digests);
        self.count();
    }

    /// Part `number` was taken.
    pub fn taken(&mut self, number: u32) {
        self.open.entry(number).or_default().taken = true;
        self.count();
    }

    /// What is counted so far.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    fn count(&mut self) {
        while let Some(entry) = self.open.first_entry() {
            if *entry.key() != self.counted.parts + 1 || !entry.get().taken || entry.get().digests.is_none() {
                return;
            }
            let Some(digests) = entry.remove().digests else { return };
            self.counted.parts += 1;
            self.counted.bytes += digests.bytes;
            self.counted.crc = digests.crc;
            self.counted.sha256 = digests.sha256;
        }
    }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| LETTERS.get((bits & 63) as usize).map_or('=', |letter| char::from(*letter));
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).map_or(0, |byte| u32::from(*byte));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            out.push(if at <= chunk.len() { letter(bits >> (18 - 6 * at)) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The digests of each part of `data`, cut as `sizes` say.
    fn parts(data: &[u8], sizes: &[usize]) -> Vec<Digests> {
        let (mut rest, mut crc, mut sha256, mut out) = (data, crc_fast::Digest::new(CRC), Sha256::new(), Vec::new());
        for size in sizes {
            let (part, after) = rest.split_at((*size).min(rest.len()));
            crc.update(part);
            sha256.update(part);
            out.push(Digests { bytes: part.len() as u64, crc: crc.finalize(), sha256: sha256.clone() });
            rest = after;
        }
        out
    }

    #[test]
    fn digests_are_written_as_s3_writes_them() {
        for (bytes, expected) in [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes), expected);
        }
        // The check value of CRC-64/NVME.
        let mut ledger = Ledger::default();
        ledger.hashed(1, parts(b"123456789", &[9]).remove(0));
        ledger.taken(1);
        assert_eq!(ledger.counted().crc64nvme(), base64(&0xAE8B_1486_0A79_9888_u64.to_be_bytes()));
    }

    #[test]
    fn an_image_of_nothing_has_the_digests_of_nothing() {
        let counted = Counted::default();
        assert_eq!(counted.sha256(), incident::text::sha256(b""));
        assert_eq!(counted.crc64nvme(), "AAAAAAAAAAA=");
    }

    proptest! {
        #[test]
        fn what_is_counted_is_the_unbroken_beginning_in_whatever_order_it_comes(
            data in proptest::collection::vec(any::<u8>(), 40..400),
            sizes in proptest::collection::vec(1_usize..50, 1..8),
            order in Just((0..16_usize).collect::<Vec<_>>()).prop_shuffle(),
            until in 0_usize..16,
        ) {
            let parts = parts(&data, &sizes);
            let mut ledger = Ledger::default();
            let (mut hashed, mut taken) = (vec![false; parts.len()], vec![false; parts.len()]);
            for event in order.iter().take(until) {
                let (at, number) = (event / 2, u32::try_from(event / 2).unwrap() + 1);
                if at >= parts.len() { continue }
                if event % 2 == 0 {
                    hashed[at] = true;
                    ledger.hashed(number, parts[at].clone());
                } else {
                    taken[at] = true;
                    ledger.taken(number);
                }
            }
            let unbroken = (0..parts.len()).take_while(|at| hashed[*at] && taken[*at]).count();
            let bytes: u64 = parts[..unbroken].iter().map(|part| part.bytes).sum();
            let image = &data[..usize::try_from(bytes).unwrap()];
            prop_assert_eq!(ledger.counted().parts as usize, unbroken);
            prop_assert_eq!(ledger.counted().bytes, bytes);
            prop_assert_eq!(ledger.counted().sha256(), incident::text::sha256(image));
            prop_assert_eq!(ledger.counted().crc64nvme(), base64(&crc_fast::checksum(CRC, image).to_be_bytes()));
        }
    }
}
