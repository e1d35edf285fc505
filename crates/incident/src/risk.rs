//! Residual risks: typed statements of what was not, or cannot be, cut, captured or restored.

use serde::{Deserialize, Serialize};

use crate::text::bounded;

/// What remains. The kinds are a closed list, so that reports and later steps can rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RiskKind {
    /// Flows that stay tracked whatever the groups say [facts 3]: of the target as a whole what nobody has looked at, of an
    /// interface what was not made untracked. The ways that were found have kinds of their own.
    AutomaticallyTrackedFlows,
    /// A route of the target leads through a NAT gateway, whose flows stay tracked.
    NatGateway,
    /// A route of the target leads through a transit gateway, whose flows stay tracked.
    TransitGateway,
    /// A route of the target leads through an egress-only internet gateway, whose IPv6 flows stay tracked.
    EgressOnlyGateway,
    /// A route of the target leads through an endpoint of a Gateway Load Balancer or of Network Firewall: flows stay tracked.
    FirewallEndpoint,
    /// The target's VPC has an interface endpoint, to which flows stay tracked.
    InterfaceEndpoint,
    /// The target was behind a load balancer, and what came through it may go on [facts 3, 21].
    BalancerFlows,
    /// Somebody tried to look for ways on which flows stay tracked, and could not.
    WaysNotRead,
    /// Connections that were tracked before the cut are remembered for longer than they must be while they are idle [facts 4].
    LongTracking,
    /// Security groups do not filter the VPC's resolver: DNS tunnels survive isolation [facts 6].
    VpcResolver,
    /// Instance metadata still answers, and hands out role credentials where there is a role: no group filters it [facts 6].
    InstanceMetadata,
    /// The role's credentials, also those already taken away, are still valid.
    RoleCredentials,
    /// A requester- or operator-managed interface, or a branch of a trunk, is not changed by us [facts 10, 11].
    UnmanagedInterface,
    /// Instance-store volumes are in no snapshot and are lost on stop [facts 72].
    InstanceStore,
    /// The target may hibernate: an image of its memory may lie on its root volume [facts 22].
    Hibernation,
    /// Other instances have a volume of the target attached as well.
    SharedVolume,
    /// A snapshot was taken by itself and holds another moment than the others.
    OutOfSet,
    /// A Spot instance can be taken away at any time [facts 20].
    SpotInterruption,
    /// Memory has not been captured.
    MemoryNotCaptured,
    /// While memory is collected the target can reach more than Systems Manager and the evidence bucket [facts 15].
    S3Path,
    /// The evidence lock could not be set or is shorter than planned.
    EvidenceNotLocked,
    /// The network was deliberately not cut, and a person must decide.
    CutWithheld,
    /// The target is still in an Auto Scaling group, which may terminate it [facts 18].
    AutoScaling,
    /// The target is still registered with a load balancer.
    LoadBalancer,
    /// Nothing keeps the target, or one of its disks, from being stopped, terminated or deleted [facts 19].
    Unprotected,
    /// The brake could not count how many targets are contained without a person, so that it did not hold.
    BrakeNotCounted,
}

/// One residual risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Risk {
    /// What kind.
    pub kind: RiskKind,
    /// What it concerns: an id; empty for the target as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What a person should know or do, in one sentence.
    pub advice: String,
}

impl Risk {
    /// A risk of `kind` about `subject`.
    pub fn new(kind: RiskKind, subject: impl Into<String>, advice: impl AsRef<str>) -> Self {
        Self { kind, subject: subject.into(), advice: bounded(advice.as_ref(), 400) }
    }
}

/// Each risk once: of two about the same thing the later one counts, since it knows more.
pub fn merged(planned: &[Risk], found: &[Risk]) -> Vec<Risk> {
    let mut all: Vec<Risk> = Vec::new();
    for risk in planned.iter().chain(found) {
        match all.iter_mut().find(|known| (known.kind, &known.subject) == (risk.kind, &risk.subject)) {
            Some(known) => known.clone_from(risk),
            None => all.push(risk.clone()),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containment_found_replaces_what_was_planned_of_the_same_kind_and_subject() {
        let risk = |kind, subject: &str, advice: &str| Risk::new(kind, subject, advice);
        let planned = [risk(RiskKind::VpcResolver, "", "early"), risk(RiskKind::InstanceStore, "", "disks")];
        let found = [
            risk(RiskKind::UnmanagedInterface, "eni-1", "one"),
            risk(RiskKind::UnmanagedInterface, "eni-2", "two"),
            risk(RiskKind::VpcResolver, "", "late"),
        ];
        let advice: Vec<String> = merged(&planned, &found).into_iter().map(|risk| risk.advice).collect();
        assert_eq!(advice, ["late", "disks", "one", "two"]);
    }
}
