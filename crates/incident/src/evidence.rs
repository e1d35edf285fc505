//! What the steps did and did not do, in the form in which the state machine hands it on.
//!
//! A branch's `Catch` writes the same types as its success (see `incident.asl.json`), so every field must be one that
//! plain JSON in the definition can give.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{GroupId, InterfaceId, SnapshotId, VolumeId};
use crate::plan::{LockMode, TargetState};
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

/// What Convert did, where there is a pause between the two swaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Converted {
    /// The interfaces that are in the conversion group now, open to everybody.
    pub interfaces: Vec<InterfaceId>,
    /// What could not be done, one sentence each. Isolate tries all of it again.
    pub reasons: Vec<String>,
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

impl LockOutcome {
    /// That of a snapshot which nobody has locked yet.
    pub fn not_yet() -> Self {
        Self::NotLocked { reason: "not yet locked".to_owned() }
    }
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
    /// What the snapshots do not hold as it seems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
    /// How long the wait for them goes on undisturbed before each look, in seconds, up to the plan's deadline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<u32>,
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

impl SnapshotLook {
    /// Whether it may still be completed.
    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }
}

/// What a look at all snapshots says, and what the wait for them ended with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preserved {
    /// The verdict of the look.
    pub status: LookStatus,
    /// The slowest snapshot's progress, 0 to 100.
    pub percent: u8,
    /// Each snapshot.
    pub snapshots: Vec<SnapshotLook>,
    /// What will not come, as `snapshot:vol-…`.
    pub missing: Vec<Missing>,
    /// The failure that ended the wait, where one did.
    pub failure: Option<Failure>,
}

impl Preserved {
    /// Whether the wait goes on.
    pub fn is_pending(&self) -> bool {
        self.status == LookStatus::Pending
    }
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
    /// By a release: read back as no longer denied for this target.
    Lifted,
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

/// How the target stands, as EC2 describes it: at the seal, and again before it is terminated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Standing {
    /// Its state.
    pub state: TargetState,
    /// When it was launched, or started last: a stop and a start show here.
    pub launched: Option<Timestamp>,
    /// Its interfaces, sorted.
    pub interfaces: Vec<InterfaceId>,
    /// Its EBS volumes, sorted.
    pub volumes: Vec<VolumeId>,
}

/// How the question whether the target may be terminated ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionStatus {
    /// As many people as the plan wants have approved.
    Approved,
    /// A person has denied it.
    Denied,
    /// Too few answered in time: the target stays in quarantine.
    Silence,
    /// Nobody could be asked.
    NotAsked,
}

/// What `AskPermission` ended with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permission {
    /// The verdict.
    pub status: PermissionStatus,
    /// Who answered, as far as the verdict rests on them.
    pub answers: Vec<AnswerRef>,
    /// The failure that ended the question, where one did.
    pub failure: Option<Failure>,
}

/// One person's answer. Whoever acts on it reads the object: this is for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnswerRef {
    /// The person ([`crate::permission::person`]).
    pub person: String,
    /// What was decided.
    pub decision: crate::permission::Decision,
    /// Why, bounded.
    pub because: String,
    /// The answer as it is kept.
    pub object: ObjectRef,
}

/// How the end of the target went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TerminationStatus {
    /// EC2 was read back as shutting it down, or as having done so.
    Terminated,
    /// The guard said no, and nothing was done.
    Refused,
    /// It was allowed, and EC2 did not do it.
    NotTerminated,
    /// Nobody knows: look at the instance.
    Unknown,
}

/// What the guard has against the end of a target. A closed list: each has its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalKind {
    /// The plan does not provide for it: the target is to stay in quarantine.
    NotPlanned,
    /// There is no evidence manifest, or it is not the one of this case.
    NoManifest,
    /// The manifest's signature does not hold.
    ManifestForged,
    /// An item is missing from the evidence, and not everybody who approved waived it by name.
    EvidenceMissing,
    /// A snapshot is not completed, or gone.
    SnapshotNotCompleted,
    /// A snapshot, or an object of the case, is not locked as planned.
    EvidenceUnlocked,
    /// An object of the case is not what was sealed.
    EvidenceChanged,
    /// The target is not as it was when the evidence was sealed: a new volume or interface, stopped, started.
    TargetChanged,
    /// Nobody but Cordon could read the target as sealed.
    TargetUnknown,
    /// The target is protected: by a tag of the policy, or against termination by somebody else.
    Protected,
    /// Too few people have approved.
    ApprovalMissing,
    /// An approval is for another manifest or another case.
    ApprovalStale,
    /// An approval was written by something else, twice, or says what STS did not.
    ApprovalForged,
    /// Two approvals are of one person.
    ApprovedTwiceByOne,
    /// A person has denied it.
    Denied,
    /// Another case of this target is open, or this one is not.
    OtherCaseOpen,
}

/// One thing that the guard has against the end of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// What it is about: an item, an id, a person; empty for the case as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What was found and what to do, in one sentence.
    pub reason: String,
}

/// What Terminate did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Termination {
    /// The verdict.
    pub status: TerminationStatus,
    /// By whose word: the people who approved, or `policy` and its version; empty where it was refused.
    pub by: Vec<String>,
    /// EC2's state of the instance as read back; empty where it was not.
    pub state: String,
    /// When it was read back.
    pub read_back_at: Option<Timestamp>,
    /// What the guard had against it.
    pub refusals: Vec<Refusal>,
    /// What could not be done, one sentence each.
    pub reasons: Vec<String>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
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
