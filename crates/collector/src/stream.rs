//! Memory as a stream: cut into parts, each hashed and sent from the same buffer.
//!
//! The reader fills one buffer while others are hashed and sent; there are as many as are sent at once and one more, and who
//! finds none free waits. So memory is read no faster than it is taken, and nothing is ever put aside.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use incident::capture::MOST_PARTS;
use sha2::{Digest as _, Sha256};

use crate::board::Board;
use crate::ledger::{CRC, Digests};

/// What is hashed at a time, so that the second digest finds it in the cache.
const CHUNK: usize = 32 << 10;

/// A part of the image on its way.
#[derive(Debug, Clone)]
pub struct Part {
    /// Counted from 1.
    pub number: u32,
    /// Its bytes; whoever lets go of it last gives the buffer back.
    pub data: Arc<Vec<u8>>,
}

/// The buffers, and the parts on their way.
#[derive(Debug, Default)]
pub struct Pool {
    size: usize,
    unmade: u64,
    free: Vec<Vec<u8>>,
    to_hash: VecDeque<Part>,
    to_send: VecDeque<Part>,
    shipped: u32,
    unhashed: u32,
}

impl Pool {
    /// `count` buffers of `size` bytes, made when they are first needed.
    pub fn new(size: usize, count: u64) -> Self {
        Self { size, unmade: count, ..Self::default() }
    }

    /// How many parts the reader has filled.
    pub fn shipped(&self) -> u32 {
        self.shipped
    }

    /// Whether every part that was filled is hashed.
    pub fn all_hashed(&self) -> bool {
        self.unhashed == 0
    }

    /// The next part to hash.
    pub fn to_hash(&mut self) -> Option<Part> {
        self.to_hash.pop_front()
    }

    /// The next part to send.
    pub fn to_send(&mut self) -> Option<Part> {
        self.to_send.pop_front()
    }

    /// Lets go of a part.
    pub fn release(&mut self, part: Part) {
        if let Some(mut buffer) = Arc::into_inner(part.data) {
            buffer.clear();
            self.free.push(buffer);
        }
    }

    fn buffer(&mut self) -> Option<io::Result<Vec<u8>>> {
        if let Some(buffer) = self.free.pop() {
            return Some(Ok(buffer));
        }
        self.unmade = self.unmade.checked_sub(1)?;
        let mut buffer = Vec::new();
        Some(buffer.try_reserve_exact(self.size).map(|()| buffer).map_err(io::Error::other))
    }

    fn ship(&mut self, buffer: Vec<u8>) {
        self.shipped += 1;
        self.unhashed += 1;
        let part = Part { number: self.shipped, data: Arc::new(buffer) };
        self.to_hash.push_back(part.clone());
        self.to_send.push_back(part);
    }
}

/// Cuts what is written to it into parts.
#[derive(Debug)]
pub struct Splitter<'a> {
    board: &'a Board,
    size: usize,
    current: Option<Vec<u8>>,
    written: u64,
}

impl<'a> Splitter<'a> {
    /// A splitter into the parts of the board's pool.
    pub fn new(board: &'a Board) -> Self {
        Self { board, size: board.look(|state| state.pool.size), current: None, written: 0 }
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Ships what is left, as the last part.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(buffer) if !buffer.is_empty() => self.ship(buffer),
            _ => Ok(()),
        }
    }

    fn ship(&mut self, buffer: Vec<u8>) -> io::Result<()> {
        self.board.change(|state| {
            if state.pool.shipped >= MOST_PARTS {
                return Err(io::Error::other(format!("the image has more than {MOST_PARTS} parts")));
            }
            state.pool.ship(buffer);
            Ok(())
        })
    }
}

impl Write for Splitter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut buffer = match self.current.take() {
            Some(buffer) => buffer,
            None => {
                self.board.wait(None, |state| state.pool.buffer()).map_err(|_| io::Error::other("the capture is stopped"))??
            }
        };
        let count = bytes.len().min(self.size.saturating_sub(buffer.len()));
        buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.written += u64::try_from(count).unwrap_or_default();
        if buffer.len() >= self.size {
            self.ship(buffer)?;
        } else {
            self.current = Some(buffer);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes the parts in their order, until the run ends. What was filled before that is hashed all the same, so that there
/// are digests of whatever was taken.
pub fn hash(board: &Board) {
    let mut sha256 = Sha256::new();
    while let Some(part) =
        board.wait(None, |state| state.pool.to_hash()).ok().or_else(|| board.change(|state| state.pool.to_hash()))
    {
        let mut crc = crc_fast::Digest::new(CRC);
        for chunk in part.data.chunks(CHUNK) {
            sha256.update(chunk);
            crc.update(chunk);
        }
        let bytes = u64::try_from(part.data.len()).unwrap_or_default();
        let digests = Digests { bytes, crc: crc.finalize(), sha256: sha256.clone() };
        board.change(|state| {
            state.ledger.hashed(part.number, digests);
            state.pool.unhashed -= 1;
            state.pool.release(part);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// What a run of `writes` gives: the parts as they were taken, and the board.
    fn run(writes: &[Vec<u8>], size: usize, buffers: u64) -> (Vec<Vec<u8>>, Arc<Board>) {
        let board = Arc::new(Board::new(Duration::from_mins(1)));
        board.change(|state| state.pool = Pool::new(size, buffers));
        board.spawn("hash", hash);
        let (parts, taken) = mpsc::channel();
        board.spawn("send", move |board| {
            while let Ok(part) = board.wait(None, |state| state.pool.to_send()) {
                parts.send(part.data.to_vec()).unwrap();
                board.change(|state| {
                    state.ledger.taken(part.number);
                    state.pool.release(part);
                });
            }
        });
        let mut splitter = Splitter::new(&board);
        for write in writes {
            splitter.write_all(write).unwrap();
        }
        splitter.finish().unwrap();
        board.wait(None, |state| (state.ledger.counted().parts == state.pool.shipped()).then_some(())).unwrap();
        board.change(|state| state.over = true);
        (taken.iter().collect(), board)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn however_it_is_written_the_parts_and_the_digests_are_those_of_the_whole(
            writes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            size in 1_usize..200,
            buffers in 2_u64..5,
        ) {
            let whole = writes.concat();
            let (parts, board) = run(&writes, size, buffers);
            let expected: Vec<Vec<u8>> = whole.chunks(size).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(parts, expected);
            board.look(|state| {
                let counted = state.ledger.counted();
                assert_eq!(counted.bytes, whole.len() as u64);
                assert_eq!(counted.sha256(), incident::text::sha256(&whole));
                let mut once = crate::ledger::Ledger::default();
                once.hashed(1, Digests { bytes: whole.len() as u64, crc: crc_fast::checksum(CRC, &whole), sha256: Sha256::new() });
                once.taken(1);
                assert_eq!(counted.crc64nvme(), once.counted().crc64nvme());
            });
        }
    }

    #[test]
    fn there_are_never_more_buffers_than_allowed() {
        let board = Board::new(Duration::from_mins(1));
        board.change(|state| state.pool = Pool::new(10, 2));
        let mut splitter = Splitter::new(&board);
        assert_eq!(splitter.write(&[1; 25]).unwrap(), 10);
        assert_eq!(splitter.write(&[1; 15]).unwrap(), 10);
        assert!(board.change(|state| state.pool.buffer()).is_none(), "both buffers are on their way");
        let (hashed, sent) = board.change(|state| (state.pool.to_hash().unwrap(), state.pool.to_send().unwrap()));
        board.change(|state| state.pool.release(hashed));
        assert!(board.change(|state| state.pool.buffer()).is_none(), "it is still being sent");
        board.change(|state| state.pool.release(sent));
        assert!(board.change(|state| state.pool.buffer()).is_some());
    }

    #[test]
    fn a_reader_that_waits_for_a_buffer_ends_when_the_run_is_stopped() {
        let board = Arc::new(Board::new(Duration::from_mins(1)));
        board.change(|state| state.pool = Pool::new(10, 1));
        let (begun, waits) = mpsc::channel();
        let reading = Arc::clone(&board);
        let reader = std::thread::spawn(move || {
            let mut splitter = Splitter::new(&reading);
            splitter.write_all(&[1; 10]).unwrap();
            begun.send(()).unwrap();
            splitter.write_all(&[1; 10])
        });
        waits.recv().unwrap();
        board.stop("enough");
        assert!(reader.join().unwrap().is_err());
    }

    #[test]
    fn an_image_has_no_more_parts_than_s3_takes() {
        let board = Board::new(Duration::from_mins(1));
        board.change(|state| state.pool = Pool::new(1, 20_000));
        let mut splitter = Splitter::new(&board);
        splitter.write_all(&[1; MOST_PARTS as usize]).unwrap();
        assert!(splitter.write_all(&[1]).unwrap_err().to_string().contains("10000"));
    }
}
