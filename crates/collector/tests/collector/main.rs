//! The collector against a hostile target, a server that fails, and as the program that it is.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod captures;
mod listing;
mod program;
mod server;
mod target;
