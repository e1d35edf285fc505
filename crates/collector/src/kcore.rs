//! Where `/proc/kcore` shows memory, and whether it shows all of it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use crate::lime::Place;

/// Differences at the edges of a range that are no gap: the kernel shows whole pages only, and its largest page of a plain
/// mapping has this many bytes.
const PAGE: u64 = 64 << 10;
/// The most segments that are read.
const MOST_SEGMENTS: u16 = 4_096;
const HEADER: usize = 64;
const SEGMENT: usize = 56;
const LOAD: u32 = 1;

/// What of physical memory `kcore` shows, and where, in order.
pub fn segments(kcore: &mut File) -> io::Result<Vec<Place>> {
    let mut header = [0; HEADER];
    kcore.read_exact(&mut header)?;
    let malformed = || io::Error::other("it is no 64-bit ELF file of this machine");
    let table = Table::parse(&header).ok_or_else(malformed)?;
    kcore.seek(SeekFrom::Start(table.offset))?;
    let mut segments = vec![0; usize::from(table.count) * SEGMENT];
    kcore.read_exact(&mut segments)?;
    Ok(loaded(&segments))
}

/// What the segments show of `ranges`; what two of them show is taken from the first. Both are in order.
pub fn shown(segments: &[Place], ranges: &[Range<u64>]) -> Vec<Place> {
    let mut shown = Vec::new();
    for range in ranges {
        let mut from = range.start;
        for segment in segments {
            let (start, end) = (segment.range.start.max(from), segment.range.end.min(range.end));
            if start < end {
                let offset = segment.offset.saturating_add(start - segment.range.start);
                shown.push(Place { offset, range: start..end });
                from = end;
            }
        }
    }
    shown
}

/// How many bytes of `ranges` no segment covers.
pub fn uncovered(segments: &[Place], ranges: &[Range<u64>]) -> u64 {
    gaps(ranges, segments.iter().map(|segment| segment.range.clone()).collect())
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

/// The segments that show physical memory, in order.
fn loaded(segments: &[u8]) -> Vec<Place> {
    let place = |segment: &[u8]| {
        let kind = u32::from_ne_bytes(field(segment, 0)?);
        let offset = u64::from_ne_bytes(field(segment, 8)?);
        let start = u64::from_ne_bytes(field(segment, 24)?);
        let end = start.checked_add(u64::from_ne_bytes(field(segment, 40)?))?;
        // All ones mark what has no place in physical memory.
        (kind == LOAD && start != u64::MAX).then_some(Place { offset, range: start..end })
    };
    let mut loaded: Vec<_> = segments.chunks_exact(SEGMENT).filter_map(place).collect();
    loaded.sort_by_key(|place| place.range.start);
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

    /// Where a segment's bytes are in the file, as far as a test can tell: its address, changed.
    const OFFSET: u64 = 0x7fff_0000_0000;

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
            segment[8..16].copy_from_slice(&(start ^ OFFSET).to_ne_bytes());
            segment[24..32].copy_from_slice(&start.to_ne_bytes());
            segment[40..48].copy_from_slice(&bytes.to_ne_bytes());
            out.extend(segment);
        }
        out
    }

    fn uncovered_in(kcore: &[u8], ranges: &[Range<u64>]) -> io::Result<u64> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(kcore).unwrap();
        segments(&mut file.reopen().unwrap()).map(|segments| uncovered(&segments, ranges))
    }

    #[test]
    fn what_is_shown_is_taken_once_and_from_where_the_file_has_it() {
        let segment = |range: Range<u64>| Place { offset: range.start + OFFSET, range };
        let segments = [segment(0x1000..0x5000), segment(0x4000..0x9000), segment(0xa000..0xc000), segment(0xb000..0xb800)];
        let seen = shown(&segments, &[0..0x2000, 0x3000..0xb900, 0xd000..0xe000]);
        let expected = [0x1000..0x2000, 0x3000..0x5000, 0x5000..0x9000, 0xa000..0xb900].map(segment);
        assert_eq!(seen, expected);
        let between = 0x9000..0xa000;
        assert_eq!(shown(&segments, std::slice::from_ref(&between)), []);
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
