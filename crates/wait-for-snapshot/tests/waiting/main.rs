//! Waiting and hearing against the real SDK clients.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where what it needs is not there")]

mod copies;
mod forms;
mod hearing;
mod looking;
mod support;
