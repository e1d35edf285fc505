//! The vocabulary of an incident: what was found, what was decided, what was done, and what is kept.
//!
//! INVARIANT: nothing here talks to AWS, waits, reads a clock or looks at the environment.
//! Everything is data, parsing and pure functions, so that this crate's tests run in seconds.

pub mod before;
pub mod capture;
pub mod case;
pub mod claim;
pub mod context;
pub mod copies;
pub mod custody;
pub mod disks;
pub mod ending;
pub mod evidence;
pub mod fault;
pub mod finding;
pub mod heard;
pub mod ids;
pub mod manifest;
pub mod patience;
pub mod permission;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod protection;
pub mod record;
pub mod release;
pub mod report;
pub mod risk;
pub mod said;
pub mod sweep;
pub mod text;
pub mod timeline;
pub mod triage;
pub mod verify;
pub mod visit;

pub use fault::{Classify, Fault};
pub use ids::{CaseId, ExecutionArn, GroupId, InstanceId, InterfaceId, PrefixListId, SnapshotId, VolumeId, VpcId};
pub use visit::Visit;
