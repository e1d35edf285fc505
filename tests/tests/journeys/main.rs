//! Whole incidents: real binaries, driven by a Step Functions engine, on the local cloud.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a journey that finds another shape than it expects has failed"
)]

mod bad_input;
mod broken;
mod claims;
mod context;
mod copies;
mod degraded;
mod ending;
mod many;
mod memory;
mod never_acts;
mod pause;
mod release;
mod service;
mod waiting;
mod whole;
