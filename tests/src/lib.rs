//! What journeys stand on: the local cloud, a fresh account in it, and the findings that start incidents.
//!
//! One cloud serves all journeys of a run; each journey has an account of its own, so that they run in parallel and
//! never see each other. The cloud ends with the process that started it, since it watches its standard input.

pub mod cloud;
pub mod diagram;
pub mod findings;
pub mod machine;
pub mod world;

pub use world::{Ended, World};
