//! Every verdict and every path of the claim, through the real SDK clients.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod acts;
mod claims;
mod memory;
mod plans;
mod support;
