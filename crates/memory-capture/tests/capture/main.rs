//! The step against the real SDK clients, a bucket that remembers, and a target that has URLs and nothing else.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where what it needs is not there")]

mod begin;
mod finish;
mod running;
mod support;
