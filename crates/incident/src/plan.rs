//! The plan: what triage decided may be done to this target, in full.
//!
//! INVARIANT: later steps read the plan, never the policy and never the clock. So every deadline and every retention
//! date stands in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CaseId, ExecutionArn, GroupId, InstanceId, InterfaceId, VolumeId, VpcId};
use crate::risk::Risk;

/// Who said that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A GuardDuty finding.
    GuardDuty,
    /// A Security Hub finding that was imported.
    SecurityHub,
    /// A person's click on a Security Hub custom action.
    SecurityHubAction,
    /// A person, by `StartExecution` or `cordon respond`.
    Manual,
}

impl Source {
    /// Whether a person asked for this: the brake and the minimum severity are for machines.
    pub const fn is_person(self) -> bool {
        matches!(self, Self::SecurityHubAction | Self::Manual)
    }
}

/// What a finding says, bounded and without its body. All text is hostile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FindingSummary {
    /// Who said it.
    pub source: Source,
    /// The detector's id of the finding; for a manual request the name of the execution.
    pub id: String,
    /// The finding's type, `UnauthorizedAccess:EC2/TorClient`; `Manual` for a manual request.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title, or a person's reason.
    pub title: String,
    /// GuardDuty's scale, 0 to 10; Security Hub's normalized severity divided by ten; 0 where there is none.
    pub severity: f64,
    /// The account that the finding is about.
    pub account: String,
    /// The Region that the finding is about.
    pub region: String,
    /// When the behaviour was first seen, as the detector wrote it; empty where unknown.
    #[serde(default)]
    pub first_seen: String,
    /// When the finding was last updated, as the detector wrote it; empty where unknown.
    #[serde(default)]
    pub updated_at: String,
}

/// The state of the instance when triage looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetState {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// Stopping or hibernating.
    Stopping,
    /// Stopped: no memory, but disks.
    Stopped,
    /// On its way out.
    ShuttingDown,
    /// Terminated: nothing left but what AWS still tells.
    Terminated,
    /// AWS does not know it (any more).
    Gone,
}

impl TargetState {
    /// Whether anything of the instance is left to contain.
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Stopping | Self::Stopped)
    }
}

/// One network interface as triage saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interface {
    /// Its id.
    pub id: InterfaceId,
    /// Its VPC: groups belong to one.
    pub vpc: VpcId,
    /// Its security groups.
    pub groups: Vec<GroupId>,
}

/// One EBS volume as triage saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// The device name in the guest, as EC2 knows it.
    pub device: String,
    /// Whether the instance boots from it.
    pub root: bool,
}

/// The instance, as triage saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Its id.
    pub instance_id: InstanceId,
    /// Our account.
    pub account: String,
    /// Our Region.
    pub region: String,
    /// Its state.
    pub state: TargetState,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its EBS volumes.
    pub volumes: Vec<Volume>,
    /// Its instance profile's ARN, where it has one.
    pub profile: Option<String>,
    /// Whether it is a Spot instance.
    pub spot: bool,
}

/// Which policy the plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "camelCase", deny_unknown_fields)]
pub enum PolicySource {
    /// The SSM parameter, at this version.
    #[serde(rename_all = "camelCase")]
    Parameter {
        /// The parameter's name.
        name: String,
        /// Its version.
        version: i64,
    },
    /// There was no policy that could be read: contain, preserve, quarantine, and say so.
    #[serde(rename_all = "camelCase")]
    Fallback {
        /// Why the policy could not be used.
        problem: String,
    },
}

/// Whether the network may be cut without asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "camelCase", deny_unknown_fields)]
pub enum Cut {
    /// At once.
    Now,
    /// Preserve, tell loudly, and let a person decide about the cut: protected by a tag, or the brake.
    #[serde(rename_all = "camelCase")]
    AskFirst {
        /// Why, one sentence each.
        reasons: Vec<String>,
    },
}

/// How a lock is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LockMode {
    /// Can be lifted by those with the right to do so.
    Governance,
    /// Can be lifted by nobody.
    Compliance,
}

/// The lock of every snapshot of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotLock {
    /// How it is enforced.
    pub mode: LockMode,
    /// For how long, in days from completion (1 to 36,500) [facts 69].
    pub days: u16,
}

/// The Object Lock of everything that our own code puts into the case file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// How it is enforced.
    pub mode: LockMode,
    /// Until when.
    pub until: Timestamp,
}

/// What happens to the target at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disposition {
    /// It stays, contained, until a person decides.
    Quarantine,
}

/// When each wait gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deadlines {
    /// When the snapshots count as not completed.
    pub snapshots: Timestamp,
}

/// What may be done to the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// `cordon.plan.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The execution that handles it.
    pub execution: ExecutionArn,
    /// When triage began.
    pub opened: Timestamp,
    /// What was found.
    pub finding: FindingSummary,
    /// The target.
    pub target: Target,
    /// Where the decisions come from.
    pub policy: PolicySource,
    /// Whether to cut the network.
    pub cut: Cut,
    /// How to lock the snapshots.
    pub snapshot_lock: SnapshotLock,
    /// How to lock the case file.
    pub retention: Retention,
    /// What to do with the target at the end.
    pub disposition: Disposition,
    /// When to give up waiting.
    pub deadlines: Deadlines,
    /// The case whose `before.json` release needs, where the target already wore our groups.
    pub earlier_case: Option<CaseId>,
    /// What is known from the start not to be cut, captured or restored.
    pub risks: Vec<Risk>,
}

impl Plan {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.plan.v1";
}
