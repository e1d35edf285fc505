//! Seal, Close and the last word against the real SDK clients, with a bucket in memory.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod close;
mod context;
mod copies;
mod evidence;
mod last_word;
mod memory;
mod release;
mod snapshots;
mod support;
mod target;
