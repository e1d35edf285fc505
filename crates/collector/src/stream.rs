//! Memory as a stream: cut into parts, each hashed and sent from the same buffer.
//!
//! The reader fills one buffer while others are hashed and sent; there are as many as are sent at once and one more, and who
//! finds none free waits. So memory is read no faster than it is taken, and nothing is ever put aside.
//!
//! The SHA-256 of the whole cannot be divided, so that its thread is the slowest of all and does nothing else; the reader,
//! which mostly waits, makes the other digest.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use incident::capture::MOST_PARTS;
use sha2::{Digest as _, Sha256};

use crate::board::Board;
use crate::ledger::{CRC, Digests};

/// A part of the image on its way.
#[derive(Debug, Clone)]
pub struct Part {
    /// Counted from 1.
    pub number: u32,
    /// Its bytes; whoever lets go of it last gives the buffer back.
    pub data: Arc<Vec<u8>>,
    /// The CRC of the image up to its end.
    crc: u64,
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
        self.free.extend(Arc::into_inner(part.data));
    }

    /// A buffer of the whole size, whatever is in it.
    fn buffer(&mut self) -> Option<io::Result<Vec<u8>>> {
        if let Some(mut buffer) = self.free.pop() {
            // The last part of an image may have been a short one.
            buffer.resize(self.size, 0);
            return Some(Ok(buffer));
        }
        self.unmade = self.unmade.checked_sub(1)?;
        let mut buffer = Vec::new();
        let made = buffer.try_reserve_exact(self.size).map_err(io::Error::other);
        Some(made.map(|()| {
            buffer.resize(self.size, 0);
            buffer
        }))
    }

    fn ship(&mut self, buffer: Vec<u8>, crc: u64) {
        self.shipped += 1;
        self.unhashed += 1;
        let part = Part { number: self.shipped, data: Arc::new(buffer), crc };
        self.to_hash.push_back(part.clone());
        self.to_send.push_back(part);
    }
}

/// Cuts the image into parts. Each byte of it is put once, to where it is hashed and sent from.
#[derive(Debug)]
pub struct Splitter<'a> {
    board: &'a Board,
    current: Option<Current>,
    shipped: u32,
    written: u64,
    /// Of what was shipped.
    crc: crc_fast::Digest,
}

/// The buffer that is being filled: how much of it is.
#[derive(Debug)]
struct Current {
    buffer: Vec<u8>,
    filled: usize,
}

/// How far the image had come.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    shipped: u32,
    filled: usize,
    written: u64,
}

impl<'a> Splitter<'a> {
    /// A splitter into the parts of the board's pool.
    pub fn new(board: &'a Board) -> Self {
        Self { board, current: None, shipped: 0, written: 0, crc: crc_fast::Digest::new(CRC) }
    }

    /// How many bytes were put.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// An error once the run is stopped.
    pub fn go_on(&self) -> io::Result<()> {
        if self.board.look(|state| state.stop.is_some() || state.over) { Err(stopped()) } else { Ok(()) }
    }

    /// How many bytes go into the part that is being filled; there is always one. Waits for a buffer where none is free.
    pub fn room(&mut self) -> io::Result<usize> {
        self.space().map(|space| space.len())
    }

    /// Lets `fill` put exactly `count` bytes, at most as many as there is room for; what it puts counts if it does not fail.
    pub fn fill(&mut self, count: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
        let space = self.space()?.get_mut(..count).ok_or_else(|| io::Error::other("a part is smaller than what is put"))?;
        fill(space)?;
        self.put(count)
    }

    /// Puts `bytes`.
    pub fn add(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.room()?.min(bytes.len()));
            self.fill(now.len(), |space| {
                space.copy_from_slice(now);
                Ok(())
            })?;
            bytes = later;
        }
        Ok(())
    }

    /// Puts `count` zeros.
    pub fn add_zeros(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let now = self.room()?.min(count);
            self.fill(now, |space| {
                space.fill(0);
                Ok(())
            })?;
            count -= now;
        }
        Ok(())
    }

    /// How far the image has come.
    pub fn mark(&self) -> Mark {
        let filled = self.current.as_ref().map_or(0, |current| current.filled);
        Mark { shipped: self.shipped, filled, written: self.written }
    }

    /// Forgets what was put since `mark`, unless a part of it is on its way.
    pub fn retract(&mut self, mark: Mark) {
        if let Some(current) = self.current.as_mut().filter(|_| self.shipped == mark.shipped) {
            current.filled = mark.filled;
            self.written = mark.written;
        }
    }

    /// Ships what is left, as the last part.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(Current { buffer, filled: 0 }) => {
                self.board.change(|state| state.pool.free.push(buffer));
                Ok(())
            }
            Some(current) => self.ship(current),
            None => Ok(()),
        }
    }

    fn space(&mut self) -> io::Result<&mut [u8]> {
        let current = if let Some(current) = self.current.take() {
            current
        } else {
            let buffer = self.board.wait(None, |state| state.pool.buffer()).map_err(|_| stopped())??;
            Current { buffer, filled: 0 }
        };
        let Current { buffer, filled } = self.current.insert(current);
        Ok(buffer.get_mut(*filled..).unwrap_or_default())
    }

    fn put(&mut self, count: usize) -> io::Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        current.filled += count;
        self.written += u64::try_from(count).unwrap_or_default();
        if current.filled < current.buffer.len() {
            self.current = Some(current);
            return Ok(());
        }
        self.ship(current)
    }

    fn ship(&mut self, current: Current) -> io::Result<()> {
        let Current { mut buffer, filled } = current;
        buffer.truncate(filled);
        self.shipped += 1;
        self.crc.update(&buffer);
        let crc = self.crc.finalize();
        self.board.change(|state| {
            if state.pool.shipped >= MOST_PARTS {
                return Err(io::Error::other(format!("the image has more than {MOST_PARTS} parts")));
            }
            state.pool.ship(buffer, crc);
            Ok(())
        })
    }
}

fn stopped() -> io::Error {
    io::Error::other("the capture is stopped")
}

/// Hashes the parts in their order, until the run ends. What was filled before that is hashed all the same, so that there
/// are digests of whatever was taken.
pub fn hash(board: &Board) {
    let mut sha256 = Sha256::new();
    while let Some(part) =
        board.wait(None, |state| state.pool.to_hash()).ok().or_else(|| board.change(|state| state.pool.to_hash()))
    {
        sha256.update(part.data.as_slice());
        let bytes = u64::try_from(part.data.len()).unwrap_or_default();
        let digests = Digests { bytes, crc: part.crc, sha256: sha256.clone() };
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
            splitter.add(write).unwrap();
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
        splitter.add(&[1; 20]).unwrap();
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
            splitter.add(&[1; 10]).unwrap();
            begun.send(()).unwrap();
            splitter.add(&[1; 10])
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
        splitter.add(&[1; MOST_PARTS as usize]).unwrap();
        assert!(splitter.add(&[1]).unwrap_err().to_string().contains("10000"));
    }
}
