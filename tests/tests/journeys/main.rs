//! Whole incidents: real binaries, driven by a Step Functions engine, on the local cloud.

mod bad_input;
mod broken;
mod claims;
mod degraded;
mod never_acts;
mod whole;
