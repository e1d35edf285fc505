//! The target as it was before any containment that still holds: from the chain of its cases. Pure.
//!
//! The earliest case knows best, since what a later one saved was ours already. What the earliest does not have (an interface
//! that was attached afterwards, a registration that was made afterwards) is taken from the next that has it.

use std::collections::{BTreeMap, BTreeSet};

use incident::plan::{Address, Interface, Metadata, Target, Tracking, Volume};
use incident::protection::{BeforeBalancers, BeforeProtections, Membership, Registration, ShutdownBehavior};
use incident::record::Change;
use incident::{GroupId, InterfaceId};

use crate::calls::MODIFY_INTERFACE;
use crate::look::Around;
use crate::now::{Groups, wears_ours};
use crate::sealed::Case;

/// The most registrations that a release gives back: outputs of states are bounded [facts 82].
const MOST_REGISTRATIONS: usize = 100;

/// What was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The target, as the earliest case saw it.
    pub target: Target,
    /// Its interfaces.
    pub interfaces: BTreeMap<InterfaceId, Was>,
    /// Its instance metadata options; absent where no case knows them.
    pub metadata: Option<Metadata>,
    /// Its volumes; empty where no case changed what becomes of them.
    pub volumes: Vec<Volume>,
    /// Whether the API might not terminate it.
    pub termination_protection: Option<bool>,
    /// Whether the API might not stop it.
    pub stop_protection: Option<bool>,
    /// What a shutdown from inside did.
    pub shutdown_behavior: Option<ShutdownBehavior>,
    /// The Auto Scaling group that it was in.
    pub group: Option<Membership>,
    /// Where it was registered.
    pub registrations: Vec<Registration>,
    /// How many more registrations there were than are given back.
    pub more_registrations: usize,
    /// The classic load balancers that it was registered with.
    pub classic: Vec<String>,
    /// What nobody looked at before it was taken out.
    pub unseen: Vec<String>,
}

/// An interface, as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Was {
    /// Its groups; absent where every case saw it in ours.
    pub groups: Option<Vec<GroupId>>,
    /// How its connections were tracked; absent where no case changed it. `Some(None)`: nobody had set it.
    pub tracking: Option<Option<Tracking>>,
    /// Its public address.
    pub address: Option<Address>,
}

/// What the chain knows, earliest case first; `None` for an empty chain.
///
/// `groups` says which groups are ours: an interface that wears one was contained already when it was saved.
pub fn saved(chain: &[&Case], groups: &Groups) -> Option<Saved> {
    let first = chain.first()?;
    let protections = || chain.iter().filter_map(|case| case.protections.as_ref());
    let first_of = |of: &dyn Fn(&BeforeProtections) -> Option<bool>| protections().find_map(of);
    let (registrations, more_registrations) = registrations(chain);
    let balancers = || chain.iter().filter_map(|case| case.balancers.as_ref());
    let mut classic: Vec<String> = Vec::new();
    for name in balancers().flat_map(|it| &it.classic) {
        if !classic.contains(name) {
            classic.push(name.clone());
        }
    }
    Some(Saved {
        target: first.before.target.clone(),
        interfaces: interfaces(chain, groups),
        metadata: chain.iter().find_map(|case| case.before.target.metadata.clone()),
        // Only what saved the protections first sets volumes to be kept.
        volumes: if protections().next().is_some() { volumes(chain) } else { Vec::new() },
        termination_protection: first_of(&|it| it.termination_protection),
        stop_protection: first_of(&|it| it.stop_protection),
        shutdown_behavior: protections().find_map(|it| it.shutdown_behavior),
        group: protections().find_map(|it| it.group.clone()),
        registrations,
        more_registrations,
        classic,
        unseen: balancers().flat_map(|it: &BeforeBalancers| it.unseen.clone()).collect(),
    })
}

/// Every group that the chain names: what there is of them, and which are ours, decides what can be given back.
pub(crate) fn mentioned(chain: &[&Case]) -> BTreeSet<GroupId> {
    let before = chain.iter().flat_map(|case| &case.before.target.interfaces).flat_map(|nic| nic.groups.clone());
    let moved = chain.iter().flat_map(|case| &case.changes).filter_map(groups_of).flat_map(|(_, groups)| groups);
    before.chain(moved).collect()
}

/// What to look at around the target.
pub(crate) fn around(chain: &[&Case]) -> Around {
    let (registrations, _) = registrations(chain);
    let balancers = chain.iter().filter_map(|case| case.balancers.as_ref());
    Around {
        target_groups: registrations.into_iter().map(|registration| registration.target_group).collect(),
        classic: balancers.flat_map(|it| it.classic.clone()).collect(),
    }
}

/// The Auto Scaling group that the chain took the target out of.
pub(crate) fn membership<'a>(chain: &[&'a Case]) -> Option<&'a Membership> {
    chain.iter().filter_map(|case| case.protections.as_ref()).find_map(|it| it.group.as_ref())
}

/// Each registration of the chain, once.
fn registrations(chain: &[&Case]) -> (Vec<Registration>, usize) {
    let mut all: Vec<Registration> = Vec::new();
    let same = |a: &Registration, b: &Registration| (&a.target_group, &a.target, a.port) == (&b.target_group, &b.target, b.port);
    for registration in chain.iter().filter_map(|case| case.balancers.as_ref()).flat_map(|it| &it.target_groups) {
        if !all.iter().any(|there| same(there, registration)) {
            all.push(registration.clone());
        }
    }
    let more = all.len().saturating_sub(MOST_REGISTRATIONS);
    all.truncate(MOST_REGISTRATIONS);
    (all, more)
}

fn volumes(chain: &[&Case]) -> Vec<Volume> {
    let mut all: Vec<Volume> = Vec::new();
    for volume in chain.iter().flat_map(|case| &case.before.target.volumes) {
        if !all.iter().any(|there| there.id == volume.id) {
            all.push(volume.clone());
        }
    }
    all
}

/// Of each case first what triage saw, then what its records say of interfaces that came later [facts 12].
fn interfaces(chain: &[&Case], groups: &Groups) -> BTreeMap<InterfaceId, Was> {
    let mut all: BTreeMap<InterfaceId, Was> = BTreeMap::new();
    for case in chain {
        for Interface { id, groups: worn, tracking, address, .. } in &case.before.target.interfaces {
            let was = all.entry(id.clone()).or_default();
            wore(was, worn, groups);
            was.tracking.get_or_insert(*tracking);
            if was.address.is_none() {
                was.address.clone_from(address);
            }
        }
        for change in &case.changes {
            if let Some((id, worn)) = groups_of(change) {
                wore(all.entry(id).or_default(), &worn, groups);
            }
            if let Some((id, tracking)) = tracking_of(change) {
                all.entry(id).or_default().tracking.get_or_insert(tracking);
            }
        }
    }
    all
}

/// The earliest groups without one of ours count.
fn wore(was: &mut Was, worn: &[GroupId], groups: &Groups) {
    if was.groups.is_none() && !worn.is_empty() && !wears_ours(worn, groups) {
        was.groups = Some(worn.to_vec());
    }
}

/// The interface that a change moves, and the groups that it leaves.
fn groups_of(change: &Change) -> Option<(InterfaceId, Vec<GroupId>)> {
    let groups = change.from.get("groups").filter(|_| change.action == MODIFY_INTERFACE)?;
    Some((InterfaceId::parse(&change.subject).ok()?, serde_json::from_value(groups.clone()).ok()?))
}

/// The interface whose tracking a change shortens, and how it was.
fn tracking_of(change: &Change) -> Option<(InterfaceId, Option<Tracking>)> {
    let tracking = change.from.get("tracking").filter(|_| change.action == MODIFY_INTERFACE)?;
    Some((InterfaceId::parse(&change.subject).ok()?, serde_json::from_value(tracking.clone()).ok()?))
}
