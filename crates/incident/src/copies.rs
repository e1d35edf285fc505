//! The copies of a case's snapshots: under a key of Cordon's own, locked, and shared with a forensic account [facts 70].
//!
//! A snapshot under the account's default key cannot be shared, and one under the key of the target's owner is only as good
//! as that key: whoever may disable it can make the evidence unreadable.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::{Failure, LockOutcome, Missing, Taken};
use crate::ids::{SnapshotId, VolumeId};

/// Whether and for whom the snapshots are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CopyPlan {
    /// The accounts (12 digits each) that may read the copies.
    pub share_with: Vec<String>,
    /// When a copy counts as not completed.
    pub until: Timestamp,
}

impl CopyPlan {
    /// The accounts that have to be given the copies: the owner of a snapshot can read it anyway.
    pub fn accounts<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a str> {
        self.share_with.iter().map(String::as_str).filter(move |account| *account != owner)
    }
}

/// How the copying stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CopyStatus {
    /// At least one copy is under way: EBS says when it has ended.
    Copying,
    /// None is, and at least one could not be begun yet, since EC2 takes no more at once: nobody says when it does again.
    Held,
    /// Every completed snapshot has a completed copy, locked and shared as planned.
    Copied,
    /// Nothing goes on, and something of it is missing.
    Incomplete,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotCopy {
    /// The copy. It is a snapshot of its own: EC2 gives no volume for it.
    pub snapshot_id: SnapshotId,
    /// What it is a copy of.
    pub of: SnapshotId,
    /// The volume that this is a snapshot of.
    pub volume_id: VolumeId,
    /// When it was begun.
    pub begun: Timestamp,
    /// EC2's state: `pending`, `completed`, `error`.
    pub state: String,
    /// 0 to 100.
    pub percent: u8,
    /// The KMS key that it is encrypted with, as EC2 says; absent where EC2 does not say.
    pub key: Option<String>,
    /// Its lock.
    pub lock: LockOutcome,
    /// The accounts that it is shared with, as read back, whoever did it; `all` for everybody.
    pub shared_with: Vec<String>,
}

impl SnapshotCopy {
    /// Whether it may still be completed.
    pub fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    /// Whether it holds the whole disk.
    pub fn is_completed(&self) -> bool {
        self.state == "completed"
    }
}

/// What one look at the copies says, and what the copying ended with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Copies {
    /// The verdict of the look.
    pub status: CopyStatus,
    /// When the first copy was begun.
    pub since: Timestamp,
    /// How long the next wait may go on undisturbed; 0 when there is none.
    pub pause_seconds: u32,
    /// Each copy: one for each completed snapshot, as far as there is one.
    pub copies: Vec<SnapshotCopy>,
    /// The snapshots that EC2 will not copy, and why: they are not tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Missing>,
    /// What will not come, as `copy:vol-…` and `copy-share:snap-…`, and what passes itself off as a copy, as
    /// `copy-foreign:snap-…`. What is missing of the locks stands with the copies.
    pub missing: Vec<Missing>,
    /// The failure that ended the copying, where one did.
    pub failure: Option<Failure>,
}

impl Copies {
    /// The copies that are under way, in the form in which snapshots are waited for.
    pub fn awaited(&self) -> Vec<Taken> {
        let awaited = |copy: &SnapshotCopy| Taken {
            snapshot_id: copy.snapshot_id.clone(),
            volume_id: copy.volume_id.clone(),
            in_set: false,
            started_at: Some(copy.begun),
            lock: copy.lock.clone(),
        };
        self.copies.iter().filter(|copy| copy.is_pending()).map(awaited).collect()
    }
}
