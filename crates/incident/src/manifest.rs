//! The two signed documents of a case.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::{Containment, Failure, Missing, ObjectRef, SnapshotLook, Taken};
use crate::ids::{CaseId, ExecutionArn, InstanceId};
use crate::plan::Retention;
use crate::risk::Risk;

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
}

/// One object of the case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    /// The object.
    pub object: ObjectRef,
    /// How far to trust it.
    pub trust: Trust,
    /// Its Object Lock as S3 tells it; absent where there is none.
    pub lock: Option<Retention>,
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
    /// How contained the target was.
    pub containment: Option<Containment>,
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
