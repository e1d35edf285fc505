//! The verdict: what the read-back says, and nothing else.

use incident::evidence::{ContainmentStatus, InterfaceOutcome, InterfaceStatus};
use incident::plan::CollectionPath;
use incident::risk::{Risk, RiskKind};
use incident::{GroupId, InterfaceId};

use crate::act::Run;
use crate::contain::is_contained;
use crate::decide::{Nic, Role, World, is_right};
use crate::tracking;

/// Each interface as it was read back; `Unknown` for each one that was known where nothing could be read.
pub(crate) fn interfaces(run: &Run<'_>, before: &[Nic], now: Option<&World>) -> Vec<InterfaceOutcome> {
    let plan = run.plan;
    let groups_before = |id: &InterfaceId| -> Vec<GroupId> {
        let seen = before.iter().find(|nic| nic.id == *id).map(|nic| nic.groups.clone());
        let planned = || plan.target.interfaces.iter().find(|nic| nic.id == *id).map(|nic| nic.groups.clone());
        seen.or_else(planned).unwrap_or_default()
    };
    let Some(now) = now else {
        let planned = plan.target.interfaces.iter().map(|nic| &nic.id);
        let late = before.iter().map(|nic| &nic.id).filter(|id| !plan.target.interfaces.iter().any(|nic| nic.id == **id));
        let unknown = |id: &InterfaceId| InterfaceOutcome {
            id: id.clone(),
            status: InterfaceStatus::Unknown,
            groups_before: groups_before(id),
            groups_now: Vec::new(),
            reason: "it could not be read back: look at it by hand".to_owned(),
        };
        return planned.chain(late).map(unknown).collect();
    };
    let outcome = |nic: &Nic| {
        let (status, reason) = status(nic, now, run.open_path());
        InterfaceOutcome {
            id: nic.id.clone(),
            status,
            groups_before: groups_before(&nic.id),
            groups_now: nic.groups.clone(),
            reason,
        }
    };
    now.nics.iter().map(outcome).collect()
}

/// How one interface is, and why it is not cut.
pub(crate) fn status(nic: &Nic, now: &World, path: Option<&CollectionPath>) -> (InterfaceStatus, String) {
    let isolation = now.current(&nic.vpc, Role::Isolation);
    let collection = now.current(&nic.vpc, Role::Collection).filter(|group| nic.groups == [group.id.clone()]);
    let ours = path.filter(|path| path.interface == nic.id);
    let worn = || nic.groups.iter().map(|id| now.group(id));
    if isolation.is_some_and(|group| nic.groups == [group.id.clone()] && group.rules.is_empty()) {
        (InterfaceStatus::Cut, String::new())
    } else if ours.is_some() && collection.is_some_and(|group| is_right(group, ours)) {
        (InterfaceStatus::PathOnly, String::new())
    } else if !nic.groups.is_empty() && worn().all(|group| group.is_some_and(|group| group.rules.is_empty())) {
        (InterfaceStatus::DoorClosed, "it is in a group of ours without rules, but not in its isolation group alone".to_owned())
    } else if !nic.ours {
        (InterfaceStatus::Open, "it is managed by an AWS service and cannot be changed by us".to_owned())
    } else if isolation.is_some_and(|group| nic.groups == [group.id.clone()]) {
        (InterfaceStatus::Open, "its isolation group has rules".to_owned())
    } else {
        (InterfaceStatus::Open, "it is in other groups than its isolation group".to_owned())
    }
}

/// The verdict over all. Interfaces that cannot be changed by us do not decide it, unless there are no others.
pub(crate) fn overall(outcomes: &[InterfaceOutcome], now: Option<&World>, withheld: bool) -> ContainmentStatus {
    let Some(now) = now else { return ContainmentStatus::Unknown };
    let ours = |outcome: &&InterfaceOutcome| now.nics.iter().any(|nic| nic.id == outcome.id && nic.ours);
    let ours: Vec<InterfaceStatus> = outcomes.iter().filter(ours).map(|outcome| outcome.status).collect();
    let cut = ours.iter().filter(|status| is_contained(**status)).count();
    let closed = ours.iter().filter(|status| **status == InterfaceStatus::DoorClosed).count();
    match (outcomes.len(), ours.len()) {
        (0, _) => ContainmentStatus::NothingToCut,
        (_, all) if all > 0 && cut == all => ContainmentStatus::Contained,
        _ if cut + closed > 0 => ContainmentStatus::PartlyContained,
        _ if withheld => ContainmentStatus::Withheld,
        _ => ContainmentStatus::NotContained,
    }
}

/// What remains, whatever the groups say.
pub(crate) fn risks(run: &Run<'_>, now: Option<&World>, withheld: bool) -> Vec<Risk> {
    let mut risks = vec![
        Risk::new(
            RiskKind::AutomaticallyTrackedFlows,
            "",
            "flows through NAT gateways, load balancers, interface endpoints and transit gateways stay tracked and may go on: \
             check the flow logs, and stop the instance or change the route if one does",
        ),
        Risk::new(
            RiskKind::VpcResolver,
            "",
            "security groups do not filter the VPC's DNS resolver: DNS tunnels survive, block them with DNS Firewall",
        ),
    ];
    let cut = |id: &InterfaceId| {
        let contained = |now: &World, nic: &Nic| is_contained(status(nic, now, run.open_path()).0);
        now.is_some_and(|now| now.nics.iter().any(|nic| nic.id == *id && contained(now, nic)))
    };
    let tracked = run.tracked.iter().filter(|id| cut(id)).map(|id| {
        Risk::new(
            RiskKind::AutomaticallyTrackedFlows,
            id.as_str(),
            "this interface was isolated without having been in the conversion group: flows that were tracked before may go on \
             until they are idle",
        )
    });
    risks.extend(tracked);
    let remembered = now.into_iter().flat_map(|now| tracking::too_long(run, now)).map(|nic| {
        let advice = "its idle connections are tracked for longer than they must be, up to five days for TCP: set its connection \
                      tracking timeouts to 60, 60 and 30 seconds";
        Risk::new(RiskKind::LongTracking, nic.id.as_str(), advice)
    });
    risks.extend(remembered);
    if let (Some(path), Some(now)) = (run.open_path().filter(|path| !path.evidence_bucket_only), now) {
        let open = now.nics.iter().filter(|nic| status(nic, now, Some(path)).0 == InterfaceStatus::PathOnly);
        risks.extend(open.map(|nic| {
            Risk::new(
                RiskKind::S3Path,
                nic.id.as_str(),
                format!(
                    "until lock-down, at the latest at {}, the target reaches Systems Manager and S3 through the VPC's endpoints, and \
                     the S3 endpoint's policy does not bind it to the evidence bucket: connections opened meanwhile stay tracked",
                    run.plan.deadlines.memory
                ),
            )
        }));
    }
    for nic in now.iter().flat_map(|now| &now.nics).filter(|nic| !nic.ours) {
        let advice = "managed by an AWS service, which alone can change its groups: contain it through that service";
        risks.push(Risk::new(RiskKind::UnmanagedInterface, nic.id.as_str(), advice));
    }
    if withheld {
        risks.push(Risk::new(RiskKind::CutWithheld, "", "the network was deliberately not cut: a person must decide"));
    }
    risks
}
