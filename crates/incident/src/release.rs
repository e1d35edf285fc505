//! Release: what is given back to a target, what cannot be, and how it went.
//!
//! A release has a case file of its own, named like a case by its target and its execution, so that the closed case stays as
//! it was sealed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Failure;
use crate::ids::{CaseId, ExecutionArn, GroupId, InterfaceId, VolumeId};
use crate::plan::{Metadata, Retention, Target, Tracking};
use crate::protection::{Registration, ShutdownBehavior};

/// What a person asks for: the input of an execution of the release machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The closed case whose containment is released.
    pub case_id: CaseId,
    /// Why; at most 400 characters count.
    pub reason: String,
    /// Say what would be restored, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Put the target back into its Auto Scaling group, where the group's maximum allows it.
    #[serde(default)]
    pub rejoin_group: bool,
}

/// One thing to give back, with the value to give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Restore {
    /// The instance metadata options.
    Metadata {
        /// As they were.
        to: Metadata,
    },
    /// How long an interface's idle connections are tracked.
    Tracking {
        /// The interface.
        interface: InterfaceId,
        /// As it was; EC2's documented defaults where nothing had been set, since a setting cannot be taken away.
        to: Tracking,
    },
    /// The groups of an interface.
    Groups {
        /// The interface.
        interface: InterfaceId,
        /// As they were.
        to: Vec<GroupId>,
    },
    /// A registration in a target group.
    TargetGroup {
        /// As it was.
        registration: Registration,
    },
    /// A registration with a classic load balancer.
    ClassicBalancer {
        /// Its name.
        name: String,
    },
    /// Membership of an Auto Scaling group.
    AutoScalingGroup {
        /// Its name.
        name: String,
    },
    /// Whether a volume goes with the instance.
    DeleteOnTermination {
        /// The volume.
        volume: VolumeId,
        /// Its device name.
        device: String,
        /// As it was.
        to: bool,
    },
    /// What a shutdown from inside does.
    ShutdownBehavior {
        /// As it was.
        to: ShutdownBehavior,
    },
    /// Whether the API may not stop it.
    StopProtection {
        /// As it was.
        to: bool,
    },
    /// Whether the API may not terminate it.
    TerminationProtection {
        /// As it was.
        to: bool,
    },
}

impl Restore {
    /// What it concerns, for people: `groups of eni-…`.
    pub fn subject(&self) -> String {
        match self {
            Self::Metadata { .. } => "instance metadata".to_owned(),
            Self::Tracking { interface, .. } => format!("connection tracking of {interface}"),
            Self::Groups { interface, .. } => format!("groups of {interface}"),
            Self::TargetGroup { registration } => format!("{} in {}", registration.target, registration.target_group),
            Self::ClassicBalancer { name } => format!("classic load balancer {name}"),
            Self::AutoScalingGroup { name } => format!("Auto Scaling group {name}"),
            Self::DeleteOnTermination { volume, .. } => format!("delete on termination of {volume}"),
            Self::ShutdownBehavior { .. } => "shutdown behaviour".to_owned(),
            Self::StopProtection { .. } => "stop protection".to_owned(),
            Self::TerminationProtection { .. } => "termination protection".to_owned(),
        }
    }
}

/// Something that was so before and that a release does not give back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotRestorable {
    /// What: `Auto Scaling group web`, `address 203.0.113.7 of eni-…`.
    pub what: String,
    /// Why not, and what a person can do, in one sentence.
    pub reason: String,
}

/// The body of `release.json`: what a release gives back. Made once; every later step reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleasePlan {
    /// `cordon.release.v1`.
    pub schema: String,
    /// The release: its own case file.
    pub release_id: CaseId,
    /// The execution that releases.
    pub execution: ExecutionArn,
    /// When it began.
    pub opened: Timestamp,
    /// The case that is released.
    pub case_id: CaseId,
    /// The case whose saved state is restored: an earlier one where the target wore our groups already.
    pub restored_from: CaseId,
    /// Why, as the person said it. Hostile text.
    pub reason: String,
    /// The target as it was before that case.
    pub target: Target,
    /// What is given back, in this order: the way into the target last, its protections after everything else.
    pub restore: Vec<Restore>,
    /// What is not.
    pub not_restorable: Vec<NotRestorable>,
    /// Whether its role sessions are allowed again.
    pub credentials: bool,
    /// How the release's own file is locked.
    pub retention: Retention,
}

impl ReleasePlan {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.release.v1";
}

/// Whether a release may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckVerdict {
    /// It may; the target is claimed for it.
    Release,
    /// It would: nothing was written or changed.
    DryRun,
    /// It may not.
    Refused,
}

/// What the check of a release says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checked {
    /// The verdict.
    pub verdict: CheckVerdict,
    /// Why not, one sentence each; in a dry run what a release would be refused for.
    pub reasons: Vec<String>,
    /// What is, or would be, given back; absent where that could not be made out.
    pub plan: Option<ReleasePlan>,
}

/// How one thing was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RestoredStatus {
    /// Read back as it was before the case.
    Restored,
    /// Read back otherwise.
    NotRestored,
    /// It could not be read back.
    Unknown,
}

/// One thing, as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoredItem {
    /// What, and to which value.
    pub restore: Restore,
    /// How it stands.
    pub status: RestoredStatus,
    /// Why it is not restored; empty where it is.
    #[serde(default)]
    pub reason: String,
}

/// How a release ended. Never `released` unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReleaseStatus {
    /// Everything was read back as it was before the case.
    Released,
    /// Some of it was.
    PartlyReleased,
    /// None of it was.
    NotReleased,
    /// A new finding claimed the target meanwhile: nothing more was given back.
    Superseded,
    /// It could not be read back.
    Unknown,
}

/// What Release did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Released {
    /// The verdict.
    pub status: ReleaseStatus,
    /// Each thing.
    pub items: Vec<RestoredItem>,
    /// When everything was read back.
    pub read_back_at: Option<Timestamp>,
    /// What could not be done, one sentence each.
    pub reasons: Vec<String>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
}

/// The body of `released.json`: how a release went, as its last state wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseReport {
    /// `cordon.released.v1`.
    pub schema: String,
    /// The release.
    pub release_id: CaseId,
    /// What was given back to the target.
    pub released: Option<Released>,
    /// Whether its role sessions are still denied.
    pub denial: Option<crate::evidence::Denial>,
    /// What broke.
    pub failure: Option<Failure>,
}

impl ReleaseReport {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.released.v1";
}
