//! The verdict: what the read-back says, and nothing else.

use incident::evidence::{ContainmentStatus, InterfaceOutcome, InterfaceStatus};
use incident::plan::CollectionPath;
use incident::risk::{Risk, RiskKind};
use incident::{GroupId, InterfaceId};

use crate::act::Run;
use crate::contain::is_contained;
use crate::decide::{Keeper, Nic, Role, World, is_right};
use crate::tracking;

/// The most interfaces that we cannot change that are named one by one: a trunk may have a hundred branches.
const MOST_KEPT: usize = 20;

/// Each interface as it was read back; `Unknown` for each one that was known where nothing could be read.
pub(crate) fn interfaces(run: &Run<'_>, before: &[Nic], now: Option<&World>) -> Vec<InterfaceOutcome> {
    let plan = run.plan;
    let groups_before = |id: &InterfaceId| -> Vec<GroupId> {
        let seen = before.iter().find(|nic| nic.id == *id).map(|nic| nic.groups.clone());
        let planned = || plan.target.interfaces.iter().find(|nic| nic.id == *id).map(|nic| nic.groups.clone());
        // What is not ours to change was as it is.
        let kept =
            || now.and_then(|now| now.nics.iter().find(|nic| nic.id == *id && !nic.is_ours())).map(|nic| nic.groups.clone());
        seen.or_else(planned).or_else(kept).unwrap_or_default()
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
    } else if let Some(kept) = kept(nic) {
        (InterfaceStatus::Open, kept)
    } else if isolation.is_some_and(|group| nic.groups == [group.id.clone()]) {
        (InterfaceStatus::Open, "its isolation group has rules".to_owned())
    } else {
        (InterfaceStatus::Open, "it is in other groups than its isolation group".to_owned())
    }
}

/// Why an interface is not ours to change; absent where it is.
fn kept(nic: &Nic) -> Option<String> {
    let named = |name: &String, what: &str| if name.is_empty() { what.to_owned() } else { format!("{what} (`{name}`)") };
    match &nic.keeper {
        Keeper::Us => None,
        Keeper::Requester(who) => {
            Some(format!("it is managed by {}, and cannot be changed by us", named(who, "the AWS service that asked for it")))
        }
        Keeper::Operator(who) => Some(format!("it is operated by {}, and cannot be changed by us", named(who, "an AWS service"))),
        Keeper::Trunk(trunk) => Some(format!("it is a branch of {}, with groups of its own", named(trunk, "a trunk"))),
    }
}

/// The verdict over all. Interfaces that cannot be changed by us do not decide it, unless there are no others.
pub(crate) fn overall(outcomes: &[InterfaceOutcome], now: Option<&World>, withheld: bool) -> ContainmentStatus {
    let Some(now) = now else { return ContainmentStatus::Unknown };
    let ours = |outcome: &&InterfaceOutcome| now.nics.iter().any(|nic| nic.id == outcome.id && nic.is_ours());
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
    let mut risks = run.around.clone();
    risks.push(Risk::new(
        RiskKind::VpcResolver,
        "",
        "security groups do not filter the VPC's DNS resolver: DNS tunnels survive, block them with DNS Firewall",
    ));
    let cut = |id: &InterfaceId| {
        let contained = |now: &World, nic: &Nic| is_contained(status(nic, now, run.open_path()).0);
        now.is_some_and(|now| now.nics.iter().any(|nic| nic.id == *id && contained(now, nic)))
    };
    let tracked = run.tracked.iter().filter(|id| cut(id)).map(|id| {
        Risk::new(
            RiskKind::AutomaticallyTrackedFlows,
            id.as_str(),
            "this interface was isolated without having been in the conversion group while that was surely open: flows that were \
             tracked before may go on until they are idle",
        )
    });
    risks.extend(tracked);
    let remembered = now.into_iter().flat_map(|now| tracking::too_long(run, now)).map(|nic| {
        let advice = "its idle connections are tracked for longer than they must be, up to five days for TCP: set its connection \
                      tracking timeouts to 60, 60 and 30 seconds";
        Risk::new(RiskKind::LongTracking, nic.id.as_str(), advice)
    });
    risks.extend(remembered);
    if let (Some(path), Some(now)) = (run.open_path(), now) {
        let open = now.nics.iter().any(|nic| status(nic, now, Some(path)).0 == InterfaceStatus::PathOnly);
        risks.extend(path.risk(run.plan.deadlines.memory).filter(|_| open));
    }
    let kept = now.into_iter().flat_map(|now| &now.nics).filter_map(|nic| Some((nic, kept(nic)?)));
    risks.extend(kept.take(MOST_KEPT).map(|(nic, why)| {
        let then = match &nic.keeper {
            Keeper::Trunk(_) => "move the pod's node and its branches by hand, or take the pod's groups their rules",
            _ => "contain it through that service, which alone can change its groups",
        };
        Risk::new(RiskKind::UnmanagedInterface, nic.id.as_str(), format!("{why}: {then}"))
    }));
    if withheld {
        risks.push(Risk::new(RiskKind::CutWithheld, "", "the network was deliberately not cut: a person must decide"));
    }
    risks
}
