//! What the steps did and did not do, in the form in which the state machine hands it on.
//!
//! A branch's `Catch` writes the same types as its success (see `incident.asl.json`), so every field must be one that
//! plain JSON in the definition can give.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupId, InterfaceId, SnapshotId, VolumeId};
use crate::plan::LockMode;
use crate::risk::Risk;

/// What a `Catch` knows about a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// The state that failed.
    pub state: String,
    /// The error's name: one of the five faults, or an AWS name.
    pub error: String,
    /// What was said. Hostile text: it may quote the finding or the target.
    pub cause: String,
}

/// Something that should be there and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Missing {
    /// The item: `containment`, `snapshot:vol-…`, `target`.
    pub item: String,
    /// Why it is missing.
    pub reason: String,
}

impl Missing {
    /// `item` is missing because of `reason`.
    pub fn new(item: impl Into<String>, reason: impl AsRef<str>) -> Self {
        Self { item: item.into(), reason: crate::text::bounded(reason.as_ref(), 400) }
    }
}

/// How contained the target is. Never `contained` unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContainmentStatus {
    /// Every interface was read back in its isolation group, and that group was read back without rules; or in the collection
    /// group of the plan's path, and that group was read back with the path's rules alone.
    Contained,
    /// Some interfaces were, some were not.
    PartlyContained,
    /// No interface was.
    NotContained,
    /// Deliberately not cut: a person must decide.
    Withheld,
    /// There is no interface to cut.
    NothingToCut,
    /// It could not be read back.
    Unknown,
}

/// How one interface ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InterfaceStatus {
    /// Read back in its isolation group alone.
    Cut,
    /// Read back in the collection group alone, which lets nothing out but what memory is collected through.
    PathOnly,
    /// Read back in other groups.
    Open,
    /// Read back in the conversion group, whose own rules were revoked: nothing passes, but a person must look.
    DoorClosed,
    /// It could not be read back.
    Unknown,
}

/// One interface, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterfaceOutcome {
    /// The interface.
    pub id: InterfaceId,
    /// How it ended.
    pub status: InterfaceStatus,
    /// Its groups when the step began.
    pub groups_before: Vec<GroupId>,
    /// Its groups as read back.
    pub groups_now: Vec<GroupId>,
    /// Why it is not cut; empty where it is.
    #[serde(default)]
    pub reason: String,
}

/// What Isolate or `CloseDoor` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Containment {
    /// The verdict.
    pub status: ContainmentStatus,
    /// Each interface.
    pub interfaces: Vec<InterfaceOutcome>,
    /// When everything was read back.
    pub read_back_at: Option<Timestamp>,
    /// What could not be done, one sentence each.
    pub reasons: Vec<String>,
    /// What remains.
    pub risks: Vec<Risk>,
    /// The failure that made `CloseDoor` run, where one did.
    pub failure: Option<Failure>,
}

/// Whether a snapshot is locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase", deny_unknown_fields)]
pub enum LockOutcome {
    /// Locked as planned.
    #[serde(rename_all = "camelCase")]
    Locked {
        /// How it is enforced.
        mode: LockMode,
        /// For how many days from completion.
        days: u16,
    },
    /// Not locked, and why.
    #[serde(rename_all = "camelCase")]
    NotLocked {
        /// Why.
        reason: String,
    },
}

/// One snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taken {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The volume it is of.
    pub volume_id: VolumeId,
    /// Whether it belongs to the crash-consistent set; `false` where it had to be taken by itself.
    pub in_set: bool,
    /// The point in time that it holds.
    pub started_at: Option<Timestamp>,
    /// Its lock.
    pub lock: LockOutcome,
}

/// What Snapshot did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// The snapshots.
    pub snapshots: Vec<Taken>,
    /// The volumes without one, as `snapshot:vol-…`.
    pub missing: Vec<Missing>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
}

/// What one look at the snapshots says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LookStatus {
    /// At least one is not completed, and the deadline has not passed.
    Pending,
    /// Every one is completed.
    Completed,
    /// None is pending any more (or the deadline has passed) and at least one is not completed.
    Incomplete,
}

/// One snapshot as EC2 describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotLook {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The volume it is of.
    pub volume_id: VolumeId,
    /// EC2's state: `pending`, `completed`, `error`, `recoverable`, `recovering`; `gone` where EC2 does not know it.
    pub state: String,
    /// 0 to 100.
    pub percent: u8,
    /// The volume's size.
    pub size_gib: Option<i32>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
}

/// What Preserve ended with, and each look on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preserved {
    /// The verdict of the look.
    pub status: LookStatus,
    /// The slowest snapshot's progress, 0 to 100.
    pub percent: u8,
    /// How long to wait before the next look; 0 when there is none.
    pub pause_seconds: u32,
    /// Each snapshot.
    pub snapshots: Vec<SnapshotLook>,
    /// What will not come, as `snapshot:vol-…`.
    pub missing: Vec<Missing>,
    /// The failure that ended the wait, where one did.
    pub failure: Option<Failure>,
}

/// How a capture of memory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CaptureStatus {
    /// Under way: look again.
    Running,
    /// The whole image is in the case, and what S3 says of it is what the collector said.
    Captured,
    /// What came of the image is in the case, but it is not whole, or nobody can say that it is.
    Partial,
    /// There is no image.
    NotCaptured,
}

/// What one look at the capture of memory says, and what it ended with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capture {
    /// The verdict.
    pub status: CaptureStatus,
    /// How long to wait before the next look; 0 when there is none.
    pub pause_seconds: u32,
    /// How far it has come, for the next look; absent once it has ended.
    pub progress: Option<crate::capture::Progress>,
    /// The image, where there is one.
    pub image: Option<Image>,
    /// What came beside the image.
    pub files: Vec<CapturedFile>,
    /// Why it was not, or not wholly, captured; empty where it was.
    pub reason: String,
    /// The failure that ended the capture, where one did.
    pub failure: Option<Failure>,
}

/// The image of the target's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Its full key.
    pub key: String,
    /// Its version.
    pub version_id: String,
    /// Its size in bytes, as S3 says.
    pub size: u64,
    /// How many parts it was uploaded in.
    pub parts: u32,
    /// S3's own CRC-64/NVME of the whole object, in Base64 [facts 52]; absent where S3 gave none.
    pub crc64nvme: Option<String>,
    /// Its SHA-256 in hexadecimal: the collector's word, taken on the target.
    pub sha256: Option<String>,
    /// Its format: `lime`.
    pub format: String,
    /// What it was read from: `/proc/kcore`; empty where the collector did not say.
    pub source: String,
}

/// A small file that the collector took beside the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapturedFile {
    /// Its full key.
    pub key: String,
    /// Its version.
    pub version_id: String,
    /// Its size in bytes, as S3 says.
    pub size: u64,
}

/// Whether nothing is open any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LockdownStatus {
    /// Every interface was read back in its isolation group without rules, and the metadata service as off.
    LockedDown,
    /// Something of it was.
    Partly,
    /// Nothing of it was.
    NotLockedDown,
    /// Deliberately not done: the network was not cut either.
    Withheld,
    /// There is nothing to lock down.
    NothingToLock,
    /// It could not be read back.
    Unknown,
}

/// What Lockdown did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lockdown {
    /// The verdict.
    pub status: LockdownStatus,
    /// Each interface.
    pub interfaces: Vec<InterfaceOutcome>,
    /// Whether the metadata service was read back as off.
    pub metadata_off: bool,
    /// When everything was read back.
    pub read_back_at: Option<Timestamp>,
    /// What could not be done, one sentence each.
    pub reasons: Vec<String>,
    /// What remains.
    pub risks: Vec<Risk>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
}

/// What is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DenialScope {
    /// Everything but what Systems Manager's agent needs.
    AllButSystemsManager,
    /// Everything.
    All,
}

/// Whether the target's role sessions are denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DenialStatus {
    /// Read back as denied, for this target alone.
    Denied,
    /// Not denied: the reasons and risks say why and what to do.
    NotDenied,
    /// The target has no role.
    NothingToDeny,
    /// Deliberately not denied.
    Withheld,
    /// It could not be read back.
    Unknown,
}

/// What `DenyCredentials` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Denial {
    /// The verdict.
    pub status: DenialStatus,
    /// What is denied.
    pub scope: DenialScope,
    /// The role's ARN, where there is one.
    pub role: Option<String>,
    /// When it was read back.
    pub read_back_at: Option<Timestamp>,
    /// What could not be done, one sentence each.
    pub reasons: Vec<String>,
    /// What remains.
    pub risks: Vec<Risk>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectRef {
    /// Its full key.
    pub key: String,
    /// Its version.
    pub version_id: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What Seal made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sealed {
    /// The evidence manifest.
    pub manifest: ObjectRef,
    /// Whether nothing is missing.
    pub complete: bool,
    /// What is.
    pub missing: Vec<Missing>,
}

/// What Close made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Closed {
    /// Whether the case ended as planned: contained (or withheld by plan), nothing missing, no failure.
    pub as_planned: bool,
    /// The closing manifest, where there is a case file to close.
    pub manifest: Option<ObjectRef>,
    /// What is not as planned, one sentence each.
    pub reasons: Vec<String>,
}
