//! How large the parts are, and how many are sent at once. Pure.
//!
//! INVARIANT: what is chosen takes at most half of what the target has available, or the capture is refused.

use std::ops::Range;

use incident::capture::{MOST_PARTS, SMALLEST_PART};

use crate::lime::{self, BLOCK};

/// The header that each block gets, in bytes.
const HEADER: u64 = lime::HEADER as u64;
/// What the collector takes beside its buffers: its code, the waves, TLS.
const OWN: u64 = 12 << 20;
/// Parts are a multiple of this where memory is short.
const STEP: u64 = 64 << 10;

/// What is known before the capture.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// The size of a part as the plan wants it, in bytes.
    pub wanted: u64,
    /// How many are sent at once, as the plan wants it.
    pub puts: u8,
    /// The most bytes that the image can have.
    pub image: u64,
    /// What the target says is available, in bytes.
    pub available: Option<u64>,
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The size of a part, in bytes.
    pub part: u64,
    /// How many are sent at once.
    pub puts: u64,
}

/// There is too little memory for the least that works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the target has {available} bytes of memory available, and a capture needs {needed}: nothing was read, to not make a process of it end"
)]
pub struct Short {
    /// In bytes.
    pub available: u64,
    /// In bytes.
    pub needed: u64,
}

/// What the collector takes at its peak, in bytes: one part more than are sent, since one is being filled.
pub fn peak(part: u64, puts: u64) -> u64 {
    part.saturating_mul(puts.saturating_add(1)).saturating_add(OWN)
}

/// The most bytes that an image of these ranges can have.
pub fn image(ranges: &[Range<u64>]) -> u64 {
    let of_one = |range: &Range<u64>| {
        let bytes = range.end.saturating_sub(range.start);
        bytes.saturating_add(HEADER * bytes.div_ceil(BLOCK))
    };
    ranges.iter().map(of_one).fold(0, u64::saturating_add)
}

/// The sizes: as wanted where that fits, else smaller parts, else fewer at once. Where the target does not say what it has,
/// the least that works.
pub fn choose(need: Need) -> Result<Sizes, Short> {
    let least = SMALLEST_PART.max(need.image.div_ceil(u64::from(MOST_PARTS)));
    let wanted = need.wanted.max(least);
    let Some(available) = need.available else { return Ok(Sizes { part: least, puts: 1 }) };
    let budget = available / 2;
    for puts in (1..=u64::from(need.puts.max(1))).rev() {
        let room = budget.saturating_sub(OWN) / (puts + 1);
        if room >= least {
            let part = if room >= wanted { wanted } else { (room - room % STEP).max(least) };
            return Ok(Sizes { part, puts });
        }
    }
    Err(Short { available, needed: 2 * peak(least, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn need(wanted: u64, puts: u8, image: u64, available: u64) -> Need {
        Need { wanted: wanted * MIB, puts, image: image * MIB, available: Some(available * MIB) }
    }

    #[test]
    fn parts_are_as_wanted_where_that_fits_and_never_more_than_ten_thousand() {
        for (need, part, puts) in [
            (need(8, 2, 1_000, 500), 8 * MIB, 2),
            (need(8, 4, 1_000, 500), 8 * MIB, 4),
            // 24 GiB available, but 80 GiB of image: 8 MiB would be too many parts.
            (need(8, 2, 100_000, 24_000), 10 * MIB, 2),
            // Half of 68 MiB less 12 MiB leaves 22 MiB for three buffers.
            (need(8, 2, 1_000, 68), 22 * MIB / 3 / STEP * STEP, 2),
            (need(8, 4, 1_000, 48), 6 * MIB, 1),
            (need(1, 1, 10, 500), 5 * MIB, 1),
        ] {
            assert_eq!(choose(need), Ok(Sizes { part, puts }), "{need:?}");
        }
    }

    #[test]
    fn too_little_memory_is_refused_and_the_message_says_how_much_is_needed() {
        let short = choose(need(8, 2, 1_000, 40)).unwrap_err();
        assert_eq!(short, Short { available: 40 * MIB, needed: 44 * MIB });
        assert!(short.to_string().contains(&(44 * MIB).to_string()));
        assert!(choose(need(8, 2, 1_000, 44)).is_ok());
        assert!(choose(need(8, 2, 24_000_000, 1_000)).is_err(), "24 TB in 10,000 parts are 2.4 GB each");
    }

    #[test]
    fn where_the_target_does_not_say_what_it_has_the_least_is_taken() {
        let unknown = Need { available: None, ..need(64, 8, 1_000, 0) };
        assert_eq!(choose(unknown), Ok(Sizes { part: SMALLEST_PART, puts: 1 }));
    }

    #[test]
    fn the_image_is_bounded_by_its_blocks() {
        assert_eq!(image(&[]), 0);
        assert_eq!(image(&[0x1000..0x9f000, 0x10_0000..0x10_0000 + 2 * BLOCK + 1]), 0x9e000 + 32 + 2 * BLOCK + 1 + 96);
        assert_eq!(image(&[0..u64::MAX, 0..u64::MAX]), u64::MAX);
    }

    proptest! {
        #[test]
        fn what_is_chosen_fits(wanted in 0..1_000 * MIB, puts: u8, image in 0..64_000_000 * MIB, available in 0..400_000 * MIB) {
            let need = Need { wanted, puts, image, available: Some(available) };
            match choose(need) {
                Ok(Sizes { part, puts: chosen }) => {
                    prop_assert!(2 * peak(part, chosen) <= available, "{part} x {chosen}");
                    prop_assert!(part >= SMALLEST_PART && image.div_ceil(part) <= u64::from(MOST_PARTS));
                    prop_assert!((1..=u64::from(puts.max(1))).contains(&chosen));
                }
                Err(short) => prop_assert!(short.needed > available),
            }
        }
    }
}
