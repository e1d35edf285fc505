//! What keeps the evidence alive: protections of the target, and its way out of what would replace it.
//!
//! An instance that is cut off fails its health checks, and whatever watches them terminates the evidence [facts 18, 19]. So
//! the target leaves its Auto Scaling group and its load balancers beside the cut, and nothing may end it or its disks but a
//! permitted end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Failure;
use crate::ids::CaseId;
use crate::risk::Risk;

/// The body of `before-protections.json`: written before any of it is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeforeProtections {
    /// `cordon.before-protections.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// Whether the API may not terminate it (`DisableApiTermination`); absent where AWS did not say.
    pub termination_protection: Option<bool>,
    /// Whether the API may not stop it (`DisableApiStop`); absent where AWS did not say.
    pub stop_protection: Option<bool>,
    /// What a shutdown from inside does; absent where AWS did not say.
    pub shutdown_behavior: Option<ShutdownBehavior>,
    /// The Auto Scaling group that it was in.
    pub group: Option<Membership>,
}

impl BeforeProtections {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.before-protections.v1";
}

/// What a shutdown from inside the target does to the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShutdownBehavior {
    /// It stops: its memory is lost, its disks are kept.
    Stop,
    /// It is terminated.
    Terminate,
}

impl ShutdownBehavior {
    /// EC2's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Terminate => "terminate",
        }
    }
}

/// The Auto Scaling group that the target was in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Membership {
    /// The group's name.
    pub name: String,
    /// The lifecycle state that it had there, as Auto Scaling says it: `InService`, `Standby`, …
    pub lifecycle: String,
    /// Whether it was protected from scale-in; lost when it leaves.
    pub protected_from_scale_in: bool,
}

/// The body of `before-balancers.json`: written before the target is taken out of any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BeforeBalancers {
    /// `cordon.before-balancers.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// Where it was registered.
    pub target_groups: Vec<Registration>,
    /// The classic load balancers that it was registered with, by name.
    pub classic: Vec<String>,
    /// What could not be looked through, one sentence each: a registration there is not on record.
    pub unseen: Vec<String>,
}

impl BeforeBalancers {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.before-balancers.v1";
}

/// One registration in a target group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// The target group's ARN.
    pub target_group: String,
    /// What is registered: the instance's id, or one of its addresses.
    pub target: String,
    /// The port; absent where the target group has none.
    pub port: Option<i32>,
    /// The Availability Zone that an address was registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// One thing that keeps the evidence alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// The API may not terminate the target.
    TerminationProtection,
    /// The API may not stop the target.
    StopProtection,
    /// A shutdown from inside stops it rather than terminating it.
    ShutdownBehavior,
    /// A volume outlives the instance.
    KeepVolume,
    /// The target is in no Auto Scaling group that could replace it.
    AutoScalingGroup,
    /// The target is out of a target group.
    TargetGroup,
    /// The target is out of a classic load balancer.
    ClassicBalancer,
}

impl Measure {
    /// What is to be done for it, in words; `subject` as in [`MeasureOutcome`].
    pub fn words(self, subject: &str) -> String {
        match self {
            Self::TerminationProtection => "termination protection on".to_owned(),
            Self::StopProtection => "stop protection on".to_owned(),
            Self::ShutdownBehavior => "a shutdown from inside stops it".to_owned(),
            Self::KeepVolume => format!("{subject} is kept when it ends"),
            Self::AutoScalingGroup => format!("out of the Auto Scaling group {subject}"),
            Self::TargetGroup => format!("out of the target group {subject}"),
            Self::ClassicBalancer => format!("out of the load balancer {subject}"),
        }
    }
}

/// How a measure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MeasureStatus {
    /// Read back as it must be.
    Held,
    /// Read back as it must not be.
    NotHeld,
    /// AWS does not offer it for this target: a Spot instance has no termination protection [facts 20].
    NotOffered,
    /// Deliberately not taken, since the network was not cut either.
    Withheld,
    /// It could not be read back.
    Unknown,
}

/// One measure, as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeasureOutcome {
    /// Which.
    pub measure: Measure,
    /// What it concerns: a volume's id, a group's name, a target group's ARN; empty for the instance itself.
    pub subject: String,
    /// How it stands.
    pub status: MeasureStatus,
    /// Why it is not held; empty where it is.
    #[serde(default)]
    pub reason: String,
}

/// How protected the target is. Never `protected` unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProtectionStatus {
    /// Every measure that AWS offers, and that the plan allows, was read back as held.
    Protected,
    /// Some were.
    PartlyProtected,
    /// None was.
    NotProtected,
    /// There is no instance any more.
    NothingToProtect,
    /// Nothing could be read back.
    Unknown,
}

/// What Protect did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Protection {
    /// The verdict.
    pub status: ProtectionStatus,
    /// Each measure.
    pub measures: Vec<MeasureOutcome>,
    /// When everything was read back.
    pub read_back_at: Option<Timestamp>,
    /// What could not be done, one sentence each.
    pub reasons: Vec<String>,
    /// What remains.
    pub risks: Vec<Risk>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
}

impl Protection {
    /// The verdict over `measures`: what is not offered or deliberately not taken does not count against it.
    pub fn verdict(measures: &[MeasureOutcome]) -> ProtectionStatus {
        let of = |status| measures.iter().filter(|measure| measure.status == status).count();
        let (held, wanting) = (of(MeasureStatus::Held), of(MeasureStatus::NotHeld) + of(MeasureStatus::Unknown));
        match (held, wanting) {
            (0, 0) => ProtectionStatus::NothingToProtect,
            (_, 0) => ProtectionStatus::Protected,
            (0, unknown) if unknown == of(MeasureStatus::Unknown) => ProtectionStatus::Unknown,
            (0, _) => ProtectionStatus::NotProtected,
            _ => ProtectionStatus::PartlyProtected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_read_back_as_held_counts_and_what_aws_does_not_offer_is_no_failure() {
        use MeasureStatus::{Held, NotHeld, NotOffered, Unknown, Withheld};
        use ProtectionStatus as P;
        for (statuses, expected) in [
            (vec![], P::NothingToProtect),
            (vec![Held, Held], P::Protected),
            (vec![Held, NotOffered, Withheld], P::Protected),
            (vec![Held, NotHeld], P::PartlyProtected),
            (vec![Held, Unknown], P::PartlyProtected),
            (vec![NotHeld, Unknown], P::NotProtected),
            (vec![Unknown, Unknown], P::Unknown),
        ] {
            let outcome = |status: &MeasureStatus| MeasureOutcome {
                measure: Measure::KeepVolume,
                subject: String::new(),
                status: *status,
                reason: String::new(),
            };
            let measures: Vec<MeasureOutcome> = statuses.iter().map(outcome).collect();
            assert_eq!(Protection::verdict(&measures), expected, "{statuses:?}");
        }
    }
}
