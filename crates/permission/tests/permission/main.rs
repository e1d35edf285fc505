//! Asking and answering against the real SDK clients, with a bucket in memory and an STS that knows who signed what.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

mod answering;
mod asking;
mod refusals;
mod repeated;
mod support;
