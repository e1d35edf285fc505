//! Whether `/proc/kcore` shows all of memory: `avml` leaves out silently what no segment of it covers.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Differences at the edges of a range that are no gap: the kernel shows whole pages only, and its largest page of a plain
/// mapping has this many bytes.
const PAGE: u64 = 64 << 10;
/// The most segments that are read.
const MOST_SEGMENTS: u16 = 4_096;
const HEADER: usize = 64;
const SEGMENT: usize = 56;
const LOAD: u32 = 1;

/// How many bytes of `ranges` no segment of `kcore` covers.
pub fn uncovered(kcore: &Path, ranges: &[Range<u64>]) -> io::Result<u64> {
    let mut file = File::open(kcore)?;
    let mut header = [0; HEADER];
    file.read_exact(&mut header)?;
    let malformed = || io::Error::other("it is no 64-bit ELF file of this machine");
    let table = Table::parse(&header).ok_or_else(malformed)?;
    file.seek(SeekFrom::Start(table.offset))?;
    let mut segments = vec![0; usize::from(table.count) * SEGMENT];
    file.read_exact(&mut segments)?;
    Ok(gaps(ranges, loaded(&segments)))
}

/// Where the table of segments is.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    offset: u64,
    count: u16,
}

impl Table {
    fn parse(header: &[u8]) -> Option<Self> {
        let elf64 = header.starts_with(b"\x7fELF\x02");
        let offset = u64::from_ne_bytes(field(header, 32)?);
        let size = u16::from_ne_bytes(field(header, 54)?);
        let count = u16::from_ne_bytes(field(header, 56)?);
        (elf64 && usize::from(size) == SEGMENT && count <= MOST_SEGMENTS).then_some(Self { offset, count })
    }
}

/// The ranges of physical memory that the segments show, in order.
fn loaded(segments: &[u8]) -> Vec<Range<u64>> {
    let range = |segment: &[u8]| {
        let kind = u32::from_ne_bytes(field(segment, 0)?);
        let start = u64::from_ne_bytes(field(segment, 24)?);
        let end = start.checked_add(u64::from_ne_bytes(field(segment, 40)?))?;
        // All ones mark what has no place in physical memory.
        (kind == LOAD && start != u64::MAX).then_some(start..end)
    };
    let mut loaded: Vec<_> = segments.chunks_exact(SEGMENT).filter_map(range).collect();
    loaded.sort_unstable_by_key(|range| range.start);
    loaded
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// How many bytes of `ranges` are in none of `loaded`, which is in order.
fn gaps(ranges: &[Range<u64>], loaded: Vec<Range<u64>>) -> u64 {
    let loaded = avml::iomem::merge_ranges(loaded);
    let missing = |range: &Range<u64>| {
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end / PAGE * PAGE);
        let shown = |seen: &Range<u64>| seen.end.min(end).saturating_sub(seen.start.max(start));
        end.saturating_sub(start).saturating_sub(loaded.iter().map(shown).sum())
    };
    ranges.iter().map(missing).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// A kcore whose segments are `(kind, start, bytes)`.
    fn kcore(segments: &[(u32, u64, u64)]) -> Vec<u8> {
        let mut out = b"\x7fELF\x02".to_vec();
        out.resize(HEADER, 0);
        out[32..40].copy_from_slice(&(HEADER as u64).to_ne_bytes());
        out[54..56].copy_from_slice(&u16::try_from(SEGMENT).unwrap().to_ne_bytes());
        out[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_ne_bytes());
        for (kind, start, bytes) in segments {
            let mut segment = [0; SEGMENT];
            segment[..4].copy_from_slice(&kind.to_ne_bytes());
            segment[24..32].copy_from_slice(&start.to_ne_bytes());
            segment[40..48].copy_from_slice(&bytes.to_ne_bytes());
            out.extend(segment);
        }
        out
    }

    fn uncovered_in(kcore: &[u8], ranges: &[Range<u64>]) -> io::Result<u64> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(kcore).unwrap();
        uncovered(file.path(), ranges)
    }

    #[test]
    fn what_no_segment_shows_is_counted() {
        let ram = [0x1000..0x9_fc00, 0x10_0000..0x800_0000];
        let note = (4, 0, 0x1000);
        let low = (LOAD, 0x1000, 0x9_e000);
        let text = (LOAD, 0x100_0000, 0x10_0000);
        let virtual_only = (LOAD, u64::MAX, 0x1000_0000);
        for (name, segments, expected) in [
            ("all of it, in pieces that overlap", vec![note, text, (LOAD, 0x10_0000, 0x7f0_0000), low, virtual_only], 0),
            ("a page is missing at each end", vec![low, (LOAD, 0x10_1000, 0x7ef_e000)], 0x2000),
            ("the second half is missing", vec![low, (LOAD, 0x10_0000, 0x3f0_0000)], 0x400_0000),
            ("only the kernel's text", vec![text], 0x8_0000 + 0x7e0_0000),
        ] {
            let bytes = uncovered_in(&kcore(&segments), &ram).unwrap();
            assert_eq!(bytes, expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_kcore_is_an_error() {
        let whole = kcore(&[(LOAD, 0, 0x1000)]);
        let mut many = kcore(&[]);
        many[56..58].copy_from_slice(&u16::MAX.to_ne_bytes());
        for bytes in [&b""[..], &[0; 200], &whole[..100], &many] {
            assert!(uncovered_in(bytes, &[]).is_err());
        }
    }
}
