//! The plan: what triage decided may be done to this target, in full.
//!
//! INVARIANT: later steps read the plan, never the policy and never the clock. So every deadline and every retention
//! date stands in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::copies::CopyPlan;
use crate::ids::{CaseId, ExecutionArn, GroupId, InstanceId, InterfaceId, PrefixListId, VolumeId, VpcId};
use crate::policy::ProtectedTag;
use crate::risk::{Risk, RiskKind};

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
    /// How long its idle connections are tracked; absent where nobody has set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Tracking>,
    /// Its public address, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// How long an interface's idle connections are tracked, in seconds [facts 4]. What is absent has EC2's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracking {
    /// Established TCP connections (60 to 432,000).
    pub tcp_established: Option<i32>,
    /// UDP flows with more than one request and answer (60 to 180).
    pub udp_stream: Option<i32>,
    /// Other UDP flows (30 to 60).
    pub udp: Option<i32>,
}

impl Tracking {
    /// The shortest that EC2 takes.
    pub const SHORTEST: Self = Self { tcp_established: Some(60), udp_stream: Some(60), udp: Some(30) };
    /// What EC2 documents as its defaults. Instances on the sixth Nitro generation have 350 seconds for TCP [facts D5].
    pub const DEFAULTS: Self = Self { tcp_established: Some(432_000), udp_stream: Some(180), udp: Some(30) };

    /// With EC2's defaults for what is absent.
    #[must_use]
    pub fn filled(self) -> Self {
        Self {
            tcp_established: self.tcp_established.or(Self::DEFAULTS.tcp_established),
            udp_stream: self.udp_stream.or(Self::DEFAULTS.udp_stream),
            udp: self.udp.or(Self::DEFAULTS.udp),
        }
    }
}

/// A public IPv4 address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// The address.
    pub ip: String,
    /// Whether EC2 gave it for as long as the instance runs; `false` for an Elastic IP address, which stays its account's.
    pub assigned: bool,
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
    /// Whether it is deleted with the instance; absent where AWS did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
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
    /// Its processor; absent where AWS did not say, or said one that nobody has a collector for.
    pub architecture: Option<Architecture>,
    /// Whether it runs Windows.
    pub windows: bool,
    /// Its memory in MiB, from its type; absent where AWS did not say.
    pub memory_mib: Option<u64>,
    /// Its instance metadata options, which Lockdown changes; absent where AWS did not say.
    pub metadata: Option<Metadata>,
}

/// A processor that there is a collector for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}

impl Architecture {
    /// Its name as EC2 has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// The instance metadata options as they were [facts 7].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Whether the metadata service answers at all.
    pub enabled: bool,
    /// Whether it asks for a session token (`IMDSv2` only).
    pub tokens_required: bool,
    /// How many hops its answers may take (1 to 64).
    pub hop_limit: i32,
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

/// Whether the target's memory is captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "camelCase", deny_unknown_fields)]
pub enum MemoryPlan {
    /// By the collector, through Systems Manager, until [`Deadlines::memory`].
    #[serde(rename_all = "camelCase")]
    Capture {
        /// What containment leaves open for it; absent where the network is not cut.
        path: Option<CollectionPath>,
    },
    /// Not at all.
    #[serde(rename_all = "camelCase")]
    Skip {
        /// What kind of reason.
        because: SkipReason,
        /// The reason, in one sentence.
        reason: String,
    },
}

/// Why memory is not captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SkipReason {
    /// The policy says so.
    Policy,
    /// The target has no memory (any more): it is stopped or gone.
    NoMemory,
    /// Once it is contained, nothing would reach Systems Manager and S3.
    NoPath,
    /// There is no collector for its platform or processor.
    Unsupported,
}

/// The only way out of a contained target while its memory is collected: TCP port 443 to the VPC's own endpoints [facts 14].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CollectionPath {
    /// The one interface that keeps it: the primary one, which the agent's route leads through.
    pub interface: InterfaceId,
    /// The groups of the interface endpoints of Systems Manager, and of S3 where that is an interface endpoint too.
    pub endpoints: Vec<GroupId>,
    /// The prefix list of the S3 gateway endpoint, where that is the way to S3.
    pub s3: Option<PrefixListId>,
    /// Whether the policy of each S3 endpoint on it admits the evidence bucket alone [facts 15].
    pub evidence_bucket_only: bool,
    /// The other services whose endpoints wear the same groups, so that they are on it too; at most some are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl CollectionPath {
    /// What the target may do with it until `deadline`; nothing where it leads to Systems Manager and the evidence bucket alone.
    pub fn risk(&self, deadline: Timestamp) -> Option<Risk> {
        let s3 = "any bucket that S3's endpoint admits";
        let more = (!self.others.is_empty()).then(|| format!("{}, whose endpoints wear the same groups", self.others.join(", ")));
        let beyond: Vec<&str> = (!self.evidence_bucket_only).then_some(s3).into_iter().chain(more.as_deref()).collect();
        let advice = format!(
            "until lock-down, at the latest at {deadline}, the target reaches more through the VPC's endpoints than Systems Manager \
             and the evidence bucket: {}. Connections opened meanwhile stay tracked",
            beyond.join("; ")
        );
        (!beyond.is_empty()).then(|| Risk::new(RiskKind::S3Path, self.interface.as_str(), advice))
    }
}

/// Whether the target's role sessions are denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "camelCase", deny_unknown_fields)]
pub enum DenialPlan {
    /// All but Systems Manager at first, and all of it in lock-down.
    Deny,
    /// Not at all.
    #[serde(rename_all = "camelCase")]
    Skip {
        /// Why, in one sentence.
        reason: String,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "camelCase", deny_unknown_fields)]
pub enum DispositionPlan {
    /// It stays, contained, until a person decides.
    #[serde(rename_all = "camelCase")]
    Quarantine {
        /// Why, in one sentence.
        reason: String,
    },
    /// People are asked whether it may be terminated.
    Ask(Terms),
    /// The policy's standing permission to terminate it: void when anything is missing, and then people are asked.
    Terminate(Terms),
}

impl DispositionPlan {
    /// Under what terms it may be terminated; absent where it may not be.
    pub const fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Quarantine { .. } => None,
            Self::Ask(terms) | Self::Terminate(terms) => Some(terms),
        }
    }
}

/// Under what terms the target may be terminated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    /// How many people must approve (1 to 5).
    pub persons: u8,
    /// For how long they are asked, in seconds; after that the target stays in quarantine.
    pub wait_seconds: u32,
    /// The policy's protected tags: a target that has one of them by then is not terminated.
    pub protected_tags: Vec<ProtectedTag>,
}

/// When each wait gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deadlines {
    /// When the snapshots count as not completed.
    pub snapshots: Timestamp,
    /// When the capture of memory is given up and the path for it is closed, whatever has come by then.
    pub memory: Timestamp,
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
    /// How long the target stays in the wide-open conversion group before it is cut, in seconds; 0: no longer than a call takes.
    #[serde(default)]
    pub convert_pause_seconds: u8,
    /// Whether to capture memory, and through what.
    pub memory: MemoryPlan,
    /// Whether to deny the target's credentials.
    pub credentials: DenialPlan,
    /// How to lock the snapshots.
    pub snapshot_lock: SnapshotLock,
    /// Whether to copy the snapshots and for whom; absent where they are not copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopyPlan>,
    /// How to lock the case file.
    pub retention: Retention,
    /// What to do with the target at the end.
    pub disposition: DispositionPlan,
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

    /// What containment leaves open so that memory can be collected.
    pub fn collection_path(&self) -> Option<&CollectionPath> {
        match &self.memory {
            MemoryPlan::Capture { path } => path.as_ref(),
            MemoryPlan::Skip { .. } => None,
        }
    }
}
