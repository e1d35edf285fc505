//! The step against the real SDK clients, with a bucket in memory and an account that remembers.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod account;
mod audit;
mod chain;
mod checking;
mod each_call;
mod faults;
mod planning;
mod properties;
mod refused;
mod restoring;
mod standing;
mod superseded;
mod support;
