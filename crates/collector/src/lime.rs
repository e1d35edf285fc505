//! The image: memory as LiME, read right into the buffers that are sent.
//!
//! What comes out is byte for byte what `avml` writes: a record for each block of 16 MiB, and none for a block of zeros. `avml`
//! keeps a whole block aside until it knows that it is not all zero, and copies it three times; here the zeros at a block's
//! beginning are counted, and whatever follows is read to where it stays.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::stream::Splitter;

/// The most bytes of a record, and what is left out where it is all zero.
pub const BLOCK: u64 = avml::image::MAX_BLOCK_SIZE;
/// The header of a record, in bytes.
pub const HEADER: usize = 32;
/// What is looked at for zeros at a time.
const PAGE: usize = 4_096;

/// A range of physical memory, and where the source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where its first byte is in the source.
    pub offset: u64,
    /// The physical addresses.
    pub range: Range<u64>,
}

/// Copies memory from a source.
#[derive(Debug)]
pub struct Copier<'a, 'b, S> {
    source: S,
    into: &'a mut Splitter<'b>,
    /// As long as one read.
    aside: Vec<u8>,
}

impl<'a, 'b, S: Read + Seek> Copier<'a, 'b, S> {
    /// A copier that reads `step` bytes at a time: some devices give a page and no more.
    pub fn new(source: S, step: usize, into: &'a mut Splitter<'b>) -> Self {
        Self { source, into, aside: vec![0; step.max(1)] }
    }

    /// Copies all of `places`. The error names the block that could not be read, of which there is no record as long as none
    /// of it was handed on.
    pub fn copy(&mut self, places: &[Place]) -> Result<(), String> {
        for place in places {
            let told = |error: io::Error| format!("at 0x{:x}: {error}", place.range.start);
            self.source.seek(SeekFrom::Start(place.offset)).map_err(told)?;
            for block in blocks(&place.range) {
                let mark = self.into.mark();
                if let Err(error) = self.block(&block) {
                    self.into.retract(mark);
                    return Err(format!("0x{:x} to 0x{:x}: {error}", block.start, block.end));
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Range<u64>) -> io::Result<()> {
        self.into.go_on()?;
        let mut left = usize::try_from(block.end.saturating_sub(block.start)).map_err(io::Error::other)?;
        // How many zeros the block begins with, as long as nothing else has come.
        let mut zeros = Some(0);
        while left > 0 {
            let step = self.aside.len().min(left);
            left -= step;
            if zeros.is_none() && self.into.room()? >= step {
                let source = &mut self.source;
                self.into.fill(step, |space| source.read_exact(space))?;
                continue;
            }
            let read = self.aside.get_mut(..step).unwrap_or_default();
            self.source.read_exact(read)?;
            if let Some(begun) = zeros {
                if is_zero(read) {
                    zeros = Some(begun + step);
                    continue;
                }
                self.into.add(&header(block))?;
                self.into.add_zeros(begun)?;
                zeros = None;
            }
            self.into.add(read)?;
        }
        Ok(())
    }
}

/// The blocks of a range.
fn blocks(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    let first = Some(range.start).filter(|start| *start < end);
    let starts = std::iter::successors(first, move |start| start.checked_add(BLOCK).filter(|start| *start < end));
    starts.map(move |start| start..start.saturating_add(BLOCK).min(end))
}

/// The header of a record: what it is, the version, the first and the last address, and room for later.
fn header(block: &Range<u64>) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let fields = [&b"EMiL"[..], &1_u32.to_le_bytes(), &block.start.to_le_bytes(), &block.end.saturating_sub(1).to_le_bytes()];
    header.iter_mut().zip(fields.concat()).for_each(|(byte, value)| *byte = value);
    header
}

/// Whether there are only zeros: whole pages are joined first, which the compiler does many bytes at a time.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(PAGE).all(|page| page.iter().fold(0, |joined, byte| joined | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::stream::Pool;
    use avml::image::{Block, Format, Image};
    use proptest::prelude::*;
    use std::io::Cursor;
    use std::sync::Arc;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;

    /// The image of `places`, put together from parts of `size` bytes, and how the copy ended.
    fn image(source: impl Read + Seek, places: &[Place], step: usize, size: usize) -> (Vec<u8>, Result<(), String>) {
        let board = Arc::new(Board::new(Duration::from_mins(1)));
        board.change(|state| state.pool = Pool::new(size, 2));
        board.spawn("hash", crate::stream::hash);
        let sent = Arc::clone(&board);
        let parts = std::thread::spawn(move || {
            let mut image = Vec::new();
            while let Ok(part) = sent.wait(None, |state| state.pool.to_send()) {
                image.extend_from_slice(&part.data);
                sent.change(|state| {
                    state.ledger.taken(part.number);
                    state.pool.release(part);
                });
            }
            image
        });
        let mut splitter = Splitter::new(&board);
        let result = Copier::new(source, step, &mut splitter).copy(places);
        splitter.finish().unwrap();
        board.wait(None, |state| (state.ledger.counted().parts == state.pool.shipped()).then_some(())).unwrap();
        board.change(|state| state.over = true);
        (parts.join().unwrap(), result)
    }

    /// What `avml` makes of the same.
    fn of_avml(source: &[u8], places: &[Place]) -> Vec<u8> {
        let mut out = Vec::new();
        let blocks: Vec<Block> = places.iter().map(|place| Block { offset: place.offset, range: place.range.clone() }).collect();
        let mut copied = Image::from_streams(Format::Lime, Cursor::new(source), &mut out);
        copied.write_blocks(&blocks).unwrap();
        out
    }

    /// Reads up to `end` and then fails.
    struct Broken {
        inner: Cursor<Vec<u8>>,
        end: u64,
    }

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let left = usize::try_from(self.end.saturating_sub(self.inner.position())).unwrap().min(buffer.len());
            if left == 0 {
                return Err(io::Error::other("broken"));
            }
            self.inner.read(&mut buffer[..left])
        }
    }

    impl Seek for Broken {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.inner.seek(to)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_image_is_byte_for_byte_that_of_avml(
            // Where single bytes are not zero in 40 MiB, and what is captured of them.
            bytes in proptest::collection::vec(0..40 * MIB, 0..12),
            cuts in proptest::collection::btree_set(1..40 * MIB, 2..8),
            step in prop_oneof![Just(4_096_usize), Just(65_536), 1_000_usize..300_000],
            size in 5_000_usize..9_000_000,
        ) {
            let mut memory = vec![0; usize::try_from(40 * MIB).unwrap()];
            for at in &bytes {
                memory[usize::try_from(*at).unwrap()] = 0xA5;
            }
            let cuts: Vec<u64> = cuts.into_iter().collect();
            // The addresses are not those of the source.
            let place = |pair: &[u64]| Place { offset: pair[0], range: pair[0] + 0x1000..pair[1] + 0x1000 };
            let places: Vec<Place> = cuts.chunks_exact(2).map(place).collect();
            let (image, result) = image(Cursor::new(&memory), &places, step, size);
            prop_assert_eq!(result, Ok(()));
            prop_assert!(image == of_avml(&memory, &places), "{} places differ", places.len());
        }
    }

    #[test]
    fn a_block_that_cannot_be_read_to_its_end_has_no_record_unless_its_beginning_is_on_its_way() {
        let memory = vec![7; usize::try_from(3 * BLOCK).unwrap()];
        let places = [Place { offset: 0, range: 0..3 * BLOCK }];
        let (block, part) = (usize::try_from(BLOCK).unwrap() + HEADER, usize::try_from(MIB).unwrap());
        for (broken, size, expected) in [
            (BLOCK / 2, 2 * block, 0),
            (BLOCK + BLOCK / 2, 4 * block, block),
            // Of the second block, one whole part is on its way: it stays, and so does what was read behind it.
            (BLOCK + BLOCK / 2, block + part, block + usize::try_from(BLOCK / 2).unwrap() + HEADER),
        ] {
            let source = Broken { inner: Cursor::new(memory.clone()), end: broken };
            let (image, result) = image(source, &places, 65_536, size);
            assert!(result.unwrap_err().contains("broken"));
            assert_eq!(image.len(), expected, "{broken} bytes in parts of {size}");
        }
    }

    #[test]
    fn the_end_of_the_addresses_is_no_place_to_go_round() {
        let last = u64::MAX - 5..u64::MAX;
        assert_eq!(blocks(&last).collect::<Vec<_>>(), std::slice::from_ref(&last));
        assert_eq!(blocks(&(5..5)).count(), 0);
        assert_eq!(blocks(&(0..BLOCK + 1)).collect::<Vec<_>>(), [0..BLOCK, BLOCK..BLOCK + 1]);
    }
}
