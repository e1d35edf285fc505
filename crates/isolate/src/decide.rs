//! What to change: a pure function of the interfaces and groups as they were described.
//!
//! INVARIANT: an interface is converted only where an isolation group can follow, at most once in a run, and never when it
//! wears nothing but conversion groups already.
//! INVARIANT: only the path's own interface ever ends in a collection group, and what is isolated stays isolated.
//! INVARIANT: deciding again on the world that results from a decision decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::IpPermission;
use incident::plan::{CollectionPath, Tracking};
use incident::{GroupId, InterfaceId, VpcId};

use crate::path::{self, Peer};

/// Decides what has to be changed so that every interface that `scope` covers ends in its isolation group, or, for the one
/// that memory is collected through, in the collection group.
pub fn decide(world: &World, scope: &Scope<'_>) -> Decision {
    let mut vpcs: BTreeMap<VpcId, Need> = BTreeMap::new();
    let mut moves = Vec::new();
    for nic in world.nics.iter().filter(|nic| nic.is_ours()) {
        let to = home(world, nic, scope);
        let group = world.current(&nic.vpc, to);
        let inside = group.is_some_and(|group| nic.groups == [group.id.clone()]);
        let clean = group.is_some_and(|group| is_right(group, scope.path));
        let in_scope = (scope.may_touch)(nic) || world.wears(nic, Role::Conversion) || world.wears(nic, Role::Collection);
        // Rules that somebody added to the isolation group let flows in that are tracked now: removing the rules does not
        // end them, so such an interface goes through the conversion group again.
        let again = scope.convert && !scope.converted.contains(&nic.id);
        if !in_scope || (inside && (clean || !again)) {
            if inside && !clean {
                need(&mut vpcs, world, &nic.vpc).add(world, &nic.vpc, to, scope.path);
            }
            continue;
        }
        let convert = again && !world.wears_only(nic, Role::Conversion);
        let need = need(&mut vpcs, world, &nic.vpc);
        need.add(world, &nic.vpc, to, scope.path);
        if convert {
            need.add(world, &nic.vpc, Role::Conversion, scope.path);
        }
        moves.push(Move { nic: nic.clone(), convert, to });
    }
    Decision { vpcs, moves }
}

/// Where an interface belongs. What is isolated already is not opened again, not even for its memory.
fn home(world: &World, nic: &Nic, scope: &Scope<'_>) -> Role {
    let isolated = world.current(&nic.vpc, Role::Isolation).is_some_and(|group| nic.groups == [group.id.clone()]);
    if scope.path.is_some_and(|path| path.interface == nic.id) && !isolated { Role::Collection } else { Role::Isolation }
}

/// Whether a group has the rules that it must have where interfaces end in it.
pub fn is_right(group: &Group, path: Option<&CollectionPath>) -> bool {
    match (group.role, path) {
        (Role::Isolation, _) => group.rules.is_empty(),
        (Role::Collection, Some(path)) => path::is_exact(&group.rules, path),
        (Role::Collection, None) | (Role::Conversion, _) => false,
    }
}

/// Which of our groups of a VPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Allow-all, IPv4 and IPv6, both ways: flows become untracked.
    Conversion,
    /// Nothing in, and out just what memory is collected through.
    Collection,
    /// No rules at all.
    Isolation,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Conversion, Self::Collection, Self::Isolation];

    /// The value of the tag `cordon:role`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::Collection => "collection",
            Self::Isolation => "isolation",
        }
    }

    /// The name of the `number`th group of this role in a VPC, counted from 1.
    pub fn name(self, number: u32) -> String {
        if number <= 1 { format!("cordon-{}", self.tag()) } else { format!("cordon-{}-{number}", self.tag()) }
    }

    /// The role and the number of a group, by its tag *and* its name. A tag alone proves nothing: whoever may tag could
    /// make us empty a group of somebody else, but the name of a group cannot be changed.
    pub fn of(tag: &str, name: &str) -> Option<(Self, u32)> {
        let role = Self::ALL.into_iter().find(|role| role.tag() == tag)?;
        let rest = name.strip_prefix("cordon-")?.strip_prefix(tag)?;
        let number = match rest.strip_prefix('-') {
            Some(number) => number.parse().ok().filter(|number| *number >= 2)?,
            None if rest.is_empty() => 1,
            None => return None,
        };
        (name == role.name(number)).then_some((role, number))
    }
}

/// The rules of a group, as EC2 describes them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// What may come in.
    pub ingress: Vec<IpPermission>,
    /// What may go out.
    pub egress: Vec<IpPermission>,
}

impl Rules {
    /// Whether nothing passes.
    pub fn is_empty(&self) -> bool {
        self.ingress.is_empty() && self.egress.is_empty()
    }
}

/// The two address families, which are tracked apart [facts 2].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// 0.0.0.0/0
    V4,
    /// `::/0`
    V6,
}

impl Family {
    /// Every address of the family.
    pub const fn everything(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    /// The families that `permissions` do not open wholly: every protocol and port, every address.
    pub fn missing(permissions: &[IpPermission]) -> Vec<Self> {
        let all = || permissions.iter().filter(|p| p.ip_protocol() == Some("-1"));
        let v4 = all().any(|p| p.ip_ranges().iter().any(|range| range.cidr_ip() == Some(Self::V4.everything())));
        let v6 = all().any(|p| p.ipv6_ranges().iter().any(|range| range.cidr_ipv6() == Some(Self::V6.everything())));
        [(v4, Self::V4), (v6, Self::V6)].into_iter().filter(|(open, _)| !open).map(|(_, family)| family).collect()
    }
}

/// A network interface of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its id.
    pub id: InterfaceId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet; empty where EC2 does not say.
    pub subnet: String,
    /// Its groups.
    pub groups: Vec<GroupId>,
    /// Who changes it.
    pub keeper: Keeper,
    /// Whether it is a trunk, which may have branches.
    pub trunk: bool,
}

impl Nic {
    /// Whether we can change it.
    pub fn is_ours(&self) -> bool {
        self.keeper == Keeper::Us
    }
}

/// Who changes an interface [facts 10, 11].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// We do.
    Us,
    /// The AWS service that asked for it: a load balancer, Lambda, EKS.
    Requester(String),
    /// The service that operates it, and lets nobody else change it, not even root.
    Operator(String),
    /// Whoever made it a branch of this trunk: EKS, for a pod with groups of its own.
    Trunk(String),
}

/// One of our groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its role.
    pub role: Role,
    /// The number in its name.
    pub number: u32,
    /// Whether it was closed by revoking its rules. Such a group is never used for new interfaces, and never repaired.
    pub retired: bool,
    /// Its rules.
    pub rules: Rules,
}

impl Group {
    /// Whether new interfaces may be moved into it. A conversion group without any rule was closed in an emergency, even
    /// where it could not be marked: what is stuck in it must not be opened again.
    pub fn is_usable(&self) -> bool {
        let closed = self.role == Role::Conversion && self.rules.is_empty();
        !self.retired && !closed
    }
}

/// What was described.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// The interfaces of the target.
    pub nics: Vec<Nic>,
    /// Our groups in their VPCs.
    pub groups: Vec<Group>,
    /// How long the idle connections of those interfaces are tracked where anybody has set it.
    pub tracking: BTreeMap<InterfaceId, Tracking>,
}

impl World {
    /// The group of this role that is in use in a VPC: the first usable one by number.
    pub fn current(&self, vpc: &VpcId, role: Role) -> Option<&Group> {
        let of_role = self.groups.iter().filter(|group| group.vpc == *vpc && group.role == role && group.is_usable());
        of_role.min_by_key(|group| (group.number, group.id.clone()))
    }

    /// How long the interface's idle connections are tracked, where anybody has set it.
    pub fn tracking(&self, nic: &Nic) -> Option<Tracking> {
        self.tracking.get(&nic.id).copied()
    }

    /// Our group with this id.
    pub fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.iter().find(|group| group.id == *id)
    }

    /// Whether the interface wears a group of this role, retired or not.
    pub fn wears(&self, nic: &Nic, role: Role) -> bool {
        nic.groups.iter().any(|id| self.group(id).is_some_and(|group| group.role == role))
    }

    fn wears_only(&self, nic: &Nic, role: Role) -> bool {
        nic.groups.iter().all(|id| self.group(id).is_some_and(|group| group.role == role))
    }

    /// The conversion groups that hold an interface of ours and let something pass.
    pub fn open_doors(&self) -> Vec<&Group> {
        let worn: BTreeSet<&GroupId> = self.nics.iter().flat_map(|nic| &nic.groups).collect();
        let doors = self.groups.iter().filter(|group| group.role == Role::Conversion && worn.contains(&group.id));
        doors.filter(|group| !group.rules.is_empty()).collect()
    }
}

/// What a run may do.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Whether to make flows untracked first.
    pub convert: bool,
    /// What memory is collected through, where that is to stay open.
    pub path: Option<&'a CollectionPath>,
    /// The interfaces that were converted in this run already.
    pub converted: &'a BTreeSet<InterfaceId>,
    /// Which interfaces may be moved out of groups that are not ours. Out of a conversion or collection group every one may.
    pub may_touch: &'a dyn Fn(&Nic) -> bool,
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope")
            .field("convert", &self.convert)
            .field("path", &self.path)
            .field("converted", &self.converted)
            .finish_non_exhaustive()
    }
}

/// A group that must be there, with the right rules.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupNeed {
    /// Its role.
    pub role: Role,
    /// The group, where there is one.
    pub found: Option<GroupId>,
    /// The number of the group to make where there is none.
    pub number: u32,
    /// The rules to revoke.
    pub revoke: Rules,
    /// The families to let in.
    pub allow_in: Vec<Family>,
    /// The families to let out.
    pub allow_out: Vec<Family>,
    /// The peers to let out to.
    pub allow_peers: Vec<Peer>,
}

impl GroupNeed {
    /// Whether the group is there and right.
    pub fn is_met(&self) -> bool {
        let allows = self.allow_in.is_empty() && self.allow_out.is_empty() && self.allow_peers.is_empty();
        self.found.is_some() && self.revoke.is_empty() && allows
    }

    /// What an existing group needs to be right.
    pub fn repair(group: &Group, path: Option<&CollectionPath>) -> Self {
        let mut need = Self::none(group.role, Some(group.id.clone()), group.number);
        match (group.role, path) {
            (Role::Conversion, _) => {
                need.allow_in = Family::missing(&group.rules.ingress);
                need.allow_out = Family::missing(&group.rules.egress);
            }
            (Role::Collection, Some(path)) => {
                need.revoke = path::revoke(&group.rules, path);
                need.allow_peers = path::missing(&group.rules, path);
            }
            (Role::Collection, None) | (Role::Isolation, _) => need.revoke = group.rules.clone(),
        }
        need
    }

    /// A group without anything to set right.
    pub fn none(role: Role, found: Option<GroupId>, number: u32) -> Self {
        Self {
            role,
            found,
            number,
            revoke: Rules::default(),
            allow_in: Vec::new(),
            allow_out: Vec::new(),
            allow_peers: Vec::new(),
        }
    }
}

/// The groups that a VPC needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Always the isolation group.
    pub isolation: GroupNeed,
    /// The collection group, where an interface has to end in it.
    pub collection: Option<GroupNeed>,
    /// The conversion group, where an interface has to be converted.
    pub conversion: Option<GroupNeed>,
}

impl Need {
    /// Each group, those in which interfaces end first.
    pub fn groups(&self) -> impl Iterator<Item = &GroupNeed> {
        std::iter::once(&self.isolation).chain(&self.collection).chain(&self.conversion)
    }

    fn add(&mut self, world: &World, vpc: &VpcId, role: Role, path: Option<&CollectionPath>) {
        let there = match role {
            Role::Isolation => return,
            Role::Collection => &mut self.collection,
            Role::Conversion => &mut self.conversion,
        };
        there.get_or_insert_with(|| group_need(world, vpc, role, path));
    }
}

/// An interface that has to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The interface as it is.
    pub nic: Nic,
    /// Whether it goes through the conversion group.
    pub convert: bool,
    /// Where it ends.
    pub to: Role,
}

/// What has to be changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// The groups, by VPC.
    pub vpcs: BTreeMap<VpcId, Need>,
    /// The interfaces.
    pub moves: Vec<Move>,
}

impl Decision {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let ends = |need: &Need| need.isolation.is_met() && need.collection.as_ref().is_none_or(GroupNeed::is_met);
        self.moves.is_empty() && self.vpcs.values().all(ends)
    }
}

fn need<'a>(vpcs: &'a mut BTreeMap<VpcId, Need>, world: &World, vpc: &VpcId) -> &'a mut Need {
    vpcs.entry(vpc.clone()).or_insert_with(|| Need {
        isolation: group_need(world, vpc, Role::Isolation, None),
        collection: None,
        conversion: None,
    })
}

/// What the group of this role in `vpc` needs to be there and right.
pub(crate) fn group_need(world: &World, vpc: &VpcId, role: Role, path: Option<&CollectionPath>) -> GroupNeed {
    if let Some(group) = world.current(vpc, role) {
        return GroupNeed::repair(group, path);
    }
    let taken = world.groups.iter().filter(|group| group.vpc == *vpc && group.role == role).map(|group| group.number).max();
    let mut need = GroupNeed::none(role, None, taken.unwrap_or(0).saturating_add(1));
    if let (Role::Collection, Some(path)) = (role, path) {
        need.allow_peers = path::peers(path).into_iter().collect();
    }
    need
}
