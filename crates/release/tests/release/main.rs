//! The step against the real SDK clients, with a bucket in memory and an account that remembers.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod account;
mod chain;
mod checking;
mod planning;
mod properties;
mod refused;
mod restoring;
mod superseded;
mod support;
