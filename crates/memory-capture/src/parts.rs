//! How the image is cut into parts, which of them each wave has URLs for, and which can become an object. Pure.

use incident::capture::{MOST_PARTS, SMALLEST_PART, WaveMark};
use jiff::{SignedDuration, Timestamp};

/// The most parts that one wave has URLs for: a URL is some 1.5 KB, and each is signed by this function.
pub const WAVE: u32 = 500;
/// URLs that end within this time are replaced. Longer than the longest pause, so that no look comes too late.
const FRESH: SignedDuration = SignedDuration::from_mins(15);
/// The least part size: small machines must not spend their memory on buffers.
const LEAST_MIB: u64 = 8;
/// The part size where AWS did not say how much memory the target has: enough for 156 GiB.
const UNKNOWN_MIB: u64 = 16;
/// Of [`MOST_PARTS`], those that the part size is made for; the rest is a reserve.
const PLANNED_PARTS: u64 = 9_900;

/// One part that S3 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its `ETag`, by which it is named when the upload is completed.
    pub etag: String,
}

/// The part size for a target with this much memory, in bytes: a multiple of a MiB.
pub fn part_bytes(memory_mib: Option<u64>) -> u64 {
    // The headers of the image's blocks come on top of the memory: 5 % are far more than they ever take.
    let mib = memory_mib.map_or(UNKNOWN_MIB, |memory| (memory.saturating_mul(105)).div_ceil(100 * PLANNED_PARTS));
    mib.max(LEAST_MIB) << 20
}

/// The parts that the first wave has URLs for: no more than the target can have, even where its collector must take the
/// smallest parts that there are. Later waves go as far as they are asked to.
pub fn first_wave(memory_mib: Option<u64>) -> (u32, u32) {
    let most = memory_mib.map(|memory| (memory.saturating_mul(105) << 20).div_ceil(100 * SMALLEST_PART) + 16);
    (1, most.and_then(|most| u32::try_from(most).ok()).map_or(WAVE, |most| most.min(WAVE)))
}

/// The first part that S3 does not have.
pub fn first_missing(parts: &[Part]) -> u32 {
    let mut numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    // From 1 on, the first number that is not where it would stand without a gap.
    let run = numbers.iter().zip(1u32..).take_while(|(number, expected)| **number == *expected).count();
    u32::try_from(run).unwrap_or(MOST_PARTS).saturating_add(1)
}

/// The parts that the next wave is for; `None` while the last one is enough.
///
/// A wave replaces the one before, so it begins with the first part that is not there yet. It is due when less than half of
/// the last one is left, when what is left is less than twice what is `coming` before the next look, or when the URLs end.
pub fn next_wave(last: &WaveMark, missing: u32, coming: f64, now: Timestamp) -> Option<(u32, u32)> {
    if missing > MOST_PARTS {
        return None;
    }
    let first = missing.max(last.first_part);
    let end = first.saturating_add(WAVE - 1).min(MOST_PARTS);
    let (left, width) = ((last.last_part + 1).saturating_sub(first), last.last_part - last.first_part.min(last.last_part) + 1);
    let scarce = left * 2 < width || f64::from(left) < 2.0 * coming;
    let ending = last.until.duration_since(now) < FRESH;
    (ending || (scarce && end > last.last_part)).then_some((first, end))
}

/// The parts that can become an object: those without a gap from the first on, where all but the last are as large as S3
/// demands. And whether there are others, which cannot.
pub fn completable(parts: &[Part]) -> (Vec<&Part>, bool) {
    let mut sorted: Vec<&Part> = parts.iter().collect();
    sorted.sort_by_key(|part| part.number);
    let mut taken: Vec<&Part> = Vec::new();
    for (part, expected) in sorted.iter().zip(1u32..) {
        if part.number != expected || taken.last().is_some_and(|before| before.size < SMALLEST_PART) {
            break;
        }
        taken.push(part);
    }
    let rest = taken.len() < sorted.len();
    (taken, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn part(number: u32, size: u64) -> Part {
        Part { number, size, etag: format!("\"{number}\"") }
    }

    #[test]
    fn parts_are_as_small_as_the_memory_allows() {
        for (memory_mib, mib) in [
            (None, 16),
            (Some(0), 8),
            (Some(512), 8),
            (Some(64 << 10), 8),
            (Some(96 << 10), 11),
            (Some(1 << 20), 112),
            (Some(24 << 20), 2670),
        ] {
            assert_eq!(part_bytes(memory_mib), mib << 20, "{memory_mib:?}");
        }
    }

    #[test]
    fn the_first_wave_is_no_longer_than_the_memory() {
        for (memory_mib, last) in [(None, 500), (Some(256), 70), (Some(4 << 10), 500), (Some(u64::MAX), 500)] {
            assert_eq!(first_wave(memory_mib), (1, last), "{memory_mib:?}");
        }
    }

    #[test]
    fn what_can_become_an_object() {
        let ok = SMALLEST_PART;
        for (parts, taken, rest, missing) in [
            (vec![], 0, false, 1),
            (vec![(1, 5)], 1, false, 2),
            (vec![(1, ok), (2, 5)], 2, false, 3),
            (vec![(2, 5), (1, ok)], 2, false, 3),
            (vec![(1, ok), (3, ok)], 1, true, 2),
            (vec![(2, ok), (3, ok)], 0, true, 1),
            (vec![(1, ok), (2, ok - 1), (3, ok)], 2, true, 4),
            (vec![(1, 0), (2, ok)], 1, true, 3),
        ] {
            let parts: Vec<Part> = parts.into_iter().map(|(number, size)| part(number, size)).collect();
            let (found, others) = completable(&parts);
            assert_eq!((found.len(), others, first_missing(&parts)), (taken, rest, missing), "{parts:?}");
        }
    }

    #[test]
    fn a_wave_is_due_when_half_is_left_or_its_urls_end() {
        let last = WaveMark { number: 1, first_part: 1, last_part: 500, until: time(3600) };
        for (missing, coming, now, next) in [
            (1, 0.0, 0, None),
            (251, 0.0, 0, None),
            (252, 0.0, 0, Some((252, 751))),
            (1, 250.0, 0, None),
            (100, 250.0, 0, Some((100, 599))),
            (1, 0.0, 2700, None),
            (1, 0.0, 2701, Some((1, 500))),
            (501, 0.0, 9999, Some((501, 1000))),
            (9_900, 0.0, 0, Some((9_900, 10_000))),
            (10_000, 0.0, 0, Some((10_000, 10_000))),
            (10_001, 9e9, 9999, None),
        ] {
            assert_eq!(next_wave(&last, missing, coming, time(now)), next, "{missing} {coming} {now}");
        }
    }

    proptest! {
        #[test]
        fn no_machine_needs_more_parts_than_there_are(memory_mib in 0u64..(64 << 20)) {
            let image = (memory_mib << 20) + (memory_mib << 20) / 25;
            prop_assert!(image.div_ceil(part_bytes(Some(memory_mib))) <= u64::from(MOST_PARTS));
        }

        /// However many parts come between looks, there is a URL for each of them, in one wave after the other.
        #[test]
        fn waves_cover_every_part_without_a_gap(steps in proptest::collection::vec(0u32..600, 1..200), memory_mib in 0u64..(1 << 20)) {
            let (first_part, last_part) = first_wave(Some(memory_mib));
            let mut mark = WaveMark { number: 1, first_part, last_part, until: time(3600) };
            let (mut missing, mut now, mut waves) = (1u32, 0, 1);
            for step in steps {
                missing = missing.saturating_add(step).min(mark.last_part + 1);
                now += 60;
                if let Some((first, last)) = next_wave(&mark, missing, 0.0, time(now)) {
                    prop_assert!(first <= missing && first <= last && last <= MOST_PARTS && last - first < WAVE);
                    prop_assert!(last >= mark.last_part, "a wave takes nothing back");
                    waves += 1;
                    mark = WaveMark { number: waves, first_part: first, last_part: last, until: time(now + 3600) };
                }
                prop_assert!(missing > MOST_PARTS || mark.last_part >= missing, "the collector has no URL for part {missing}");
                prop_assert!(missing > MOST_PARTS || mark.until > time(now + 600));
            }
            prop_assert!(waves < 100, "{waves}");
        }

        #[test]
        fn what_is_completed_is_what_s3_takes(parts in proptest::collection::btree_map(1u32..30, 0u64..(10 << 20), 0..20)) {
            let parts: Vec<Part> = parts.into_iter().map(|(number, size)| part(number, size)).collect();
            let (taken, rest) = completable(&parts);
            prop_assert!(taken.iter().zip(1..).all(|(part, number)| part.number == number));
            prop_assert!(taken.iter().rev().skip(1).all(|part| part.size >= SMALLEST_PART));
            prop_assert_eq!(rest, taken.len() < parts.len());
        }
    }
}
