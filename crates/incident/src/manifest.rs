//! The two signed documents of a case.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::copies::SnapshotCopy;
use crate::evidence::{Capture, Containment, Denial, Failure, Lockdown, Missing, ObjectRef, SnapshotLook, Standing, Taken};
use crate::ids::{CaseId, ExecutionArn, InstanceId};
use crate::plan::{LockMode, Retention};
use crate::protection::Protection;
use crate::risk::Risk;

/// The largest object below `memory/` that Seal hashes itself, in bytes: what a function with a third of a processor streams
/// from S3 within its two minutes, also at a fifth of the usual speed. Of a larger one the collector gives the SHA-256.
pub const MOST_HASHED: u64 = 512 << 20;

/// How far an item can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trust {
    /// Written by Cordon's own functions.
    Cordon,
    /// As a detector or a person sent it: authentic as received, its contents are claims.
    AsReceived,
    /// What AWS's control plane says.
    Aws,
    /// Taken on the target, through its own kernel: whoever owns the target may have falsified it [facts 63].
    HostDependent,
    /// What the target itself says, as AWS passes it on: its console. Whoever owns the target chose it.
    TargetsWord,
    /// What the target was given, as AWS keeps it: its user data. Whoever launched or changed the target wrote it, and it may
    /// hold secrets: hand it on only to those who may have them.
    TargetsOwn,
}

/// Who computed a SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DigestBy {
    /// Cordon's own function, over what S3 has.
    #[default]
    Cordon,
    /// The collector on the target: the target's word. S3's checksum ties what S3 has to what the collector read.
    Collector,
}

impl DigestBy {
    /// Whether it is what an item without a word about it means.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_cordon(&self) -> bool {
        *self == Self::Cordon
    }
}

/// One object of the case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    /// The object. Its SHA-256 is empty where nobody computed one: then it is missing by name as well.
    pub object: ObjectRef,
    /// How far to trust it.
    pub trust: Trust,
    /// Its Object Lock as S3 tells it; absent where there is none.
    pub lock: Option<Retention>,
    /// S3's own CRC-64/NVME of the whole object, in Base64 [facts 52]; only of what the target uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
    /// Who computed the SHA-256.
    #[serde(default, skip_serializing_if = "DigestBy::is_cordon")]
    pub sha256_by: DigestBy,
}

impl Item {
    /// An object that Cordon hashed itself.
    pub fn hashed(object: ObjectRef, trust: Trust, lock: Option<Retention>) -> Self {
        Self { object, trust, lock, crc64nvme: None, sha256_by: DigestBy::Cordon }
    }
}

/// The chain over the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// How many lines.
    pub lines: u64,
    /// The SHA-256 of the last line (without its line feed), in hexadecimal; 64 zeros for an empty chain.
    pub head: String,
}

/// Which key signs, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// The KMS key's ARN.
    pub key: String,
    /// `ECDSA_SHA_256`: over the SHA-256 of the manifest's bytes, DER, checkable with `openssl dgst`.
    pub algorithm: String,
}

/// One snapshot at the time of the seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedSnapshot {
    /// What Snapshot took.
    pub taken: Taken,
    /// The last look at it; absent where nobody looked.
    pub look: Option<SnapshotLook>,
    /// As EC2 described it when the evidence was sealed; absent where EC2 would not say, and in manifests of older versions.
    #[serde(default)]
    pub at_seal: Option<SnapshotAtSeal>,
    /// Its copy; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<SealedCopy>,
}

/// The copy of a snapshot at the time of the seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedCopy {
    /// The last look at it.
    pub copy: SnapshotCopy,
    /// As EC2 described it when the evidence was sealed; absent where EC2 would not say.
    pub at_seal: Option<SnapshotAtSeal>,
}

impl SealedCopy {
    /// Whether it holds the whole disk, by the latest that EC2 said.
    pub fn is_completed(&self) -> bool {
        self.at_seal.as_ref().map_or_else(|| self.copy.is_completed(), SnapshotAtSeal::is_completed)
    }
}

impl SealedSnapshot {
    /// Whether it holds the whole disk, by the latest that EC2 said.
    pub fn is_completed(&self) -> bool {
        match (&self.at_seal, &self.look) {
            (Some(now), _) => now.is_completed(),
            (None, look) => look.as_ref().is_some_and(|look| look.state == "completed"),
        }
    }
}

/// What EC2 said of a snapshot when the evidence was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotAtSeal {
    /// EC2's state; `gone` where EC2 does not know it.
    pub state: String,
    /// The volume's size.
    pub size_gib: Option<i32>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// Its lock; absent where it has none.
    pub lock: Option<LockAtSeal>,
}

impl SnapshotAtSeal {
    /// Whether it holds the whole disk.
    pub fn is_completed(&self) -> bool {
        self.state == "completed"
    }
}

/// A snapshot's lock when the evidence was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockAtSeal {
    /// Its mode, as far as it counts: in its cooling-off period a compliance lock can still be lifted [facts 69].
    pub mode: LockMode,
    /// For how many days it was set.
    pub days: u16,
    /// When it ends, where EC2 says so.
    pub until: Option<Timestamp>,
}

/// The manifest over the evidence: what a permit to terminate cites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceManifest {
    /// `cordon.manifest.evidence.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The execution.
    pub execution: ExecutionArn,
    /// The target.
    pub instance_id: InstanceId,
    /// When the seal was begun.
    pub sealed_at: Timestamp,
    /// Whether nothing is missing.
    pub complete: bool,
    /// What is missing, by name.
    pub missing: Vec<Missing>,
    /// How the target stood; absent where nobody could look.
    #[serde(default)]
    pub target: Option<Standing>,
    /// How contained the target was.
    pub containment: Option<Containment>,
    /// What keeps it alive; absent in manifests of older versions too.
    #[serde(default)]
    pub protection: Option<Protection>,
    /// Whether its role sessions were denied.
    pub denial: Option<Denial>,
    /// How the capture of its memory ended.
    pub memory: Option<Capture>,
    /// Whether anything of it was still open.
    pub lockdown: Option<Lockdown>,
    /// What AWS knows about it, source by source; absent in manifests of older versions too.
    #[serde(default)]
    pub context: Option<Context>,
    /// The snapshots.
    pub snapshots: Vec<SealedSnapshot>,
    /// Every object of the case at the time of the seal, by key.
    pub items: Vec<Item>,
    /// The chain in `custody.jsonl`.
    pub custody: Chain,
    /// What remains.
    pub risks: Vec<Risk>,
    /// How it is signed.
    pub signing: Signing,
}

impl EvidenceManifest {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.manifest.evidence.v1";
}

/// The manifest over everything: the exact set of keys of a closed case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClosingManifest {
    /// `cordon.manifest.closing.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The execution.
    pub execution: ExecutionArn,
    /// When closing was begun.
    pub closed_at: Timestamp,
    /// The state that closed it: `Close`, `CloseFailed`, `LastWord`.
    pub closed_by: String,
    /// Whether it ended as planned.
    pub as_planned: bool,
    /// What is not as planned, one sentence each.
    pub reasons: Vec<String>,
    /// The failure that ended the incident early, where one did.
    pub failure: Option<Failure>,
    /// The evidence manifest; absent where the incident broke before the seal.
    pub evidence: Option<ObjectRef>,
    /// Every object of the case but this manifest and its signature, by key.
    pub items: Vec<Item>,
    /// The chain in `custody-closing.jsonl`, which goes on from the evidence manifest's.
    pub custody: Chain,
    /// How it is signed.
    pub signing: Signing,
}

impl ClosingManifest {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.manifest.closing.v1";
}
