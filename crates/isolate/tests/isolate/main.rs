//! The step against the real SDK clients and an EC2 in memory.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod around;
mod collection;
mod containing;
mod converting;
mod each_call;
mod operator;
mod support;
mod throttled;
mod tracking;
