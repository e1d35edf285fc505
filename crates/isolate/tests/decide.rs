//! Whatever the target looks like and whatever fails, carrying decisions out never leaves it more open.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range};
use incident::plan::CollectionPath;
use incident::{GroupId, InterfaceId, PrefixListId, VpcId};
use isolate::decide::{Decision, Family, Group, GroupNeed, Keeper, Nic, Role, Rules, Scope, World, decide, is_right};
use isolate::path::Peer;
use proptest::prelude::*;

fn rule(family: Family) -> IpPermission {
    let all = IpPermission::builder().ip_protocol("-1");
    match family {
        Family::V4 => all.ip_ranges(IpRange::builder().cidr_ip("0.0.0.0/0").build()).build(),
        Family::V6 => all.ipv6_ranges(Ipv6Range::builder().cidr_ipv6("::/0").build()).build(),
    }
}

fn vpc(n: u8) -> VpcId {
    VpcId::parse(&format!("vpc-{n:08x}")).unwrap()
}

fn group_id(n: u32) -> GroupId {
    GroupId::parse(&format!("sg-{n:08x}")).unwrap()
}

fn rules() -> impl Strategy<Value = Vec<IpPermission>> {
    prop::collection::vec(prop::sample::select(vec![Family::V4, Family::V6]), 0..=2)
        .prop_map(|families| families.into_iter().map(rule).collect())
}

fn world() -> impl Strategy<Value = World> {
    let groups = prop::collection::vec((0..3u8, any::<bool>(), 1..4u32, any::<bool>(), rules(), rules()), 0..8);
    let nics = prop::collection::vec((0..3u8, prop::collection::btree_set(0..12usize, 1..4), prop::bool::weighted(0.9)), 1..=15);
    (groups, nics).prop_map(|(groups, nics)| {
        let mut world = World::default();
        for (n, (in_vpc, conversion, number, retired, ingress, egress)) in (1u32..).zip(groups) {
            let role = if conversion { Role::Conversion } else { [Role::Isolation, Role::Collection][usize::from(number == 3)] };
            let vpc = vpc(in_vpc);
            // Names are unique in a VPC.
            if !world.groups.iter().any(|group| group.vpc == vpc && group.role == role && group.number == number) {
                let rules = Rules { ingress, egress };
                world.groups.push(Group { id: group_id(n), vpc, role, number, retired: retired && conversion, rules });
            }
        }
        for (n, (in_vpc, picks, ours)) in (1u32..).zip(nics) {
            let vpc = vpc(in_vpc);
            let ours_there: Vec<GroupId> = world.groups.iter().filter(|g| g.vpc == vpc).map(|g| g.id.clone()).collect();
            let pick = |pick: usize| ours_there.get(pick).cloned().unwrap_or(group_id(0x1000 + u32::try_from(pick).unwrap()));
            let groups: Vec<GroupId> = picks.into_iter().map(pick).collect();
            let id = InterfaceId::parse(&format!("eni-{n:08x}")).unwrap();
            let keeper = if ours { Keeper::Us } else { Keeper::Requester("eks".to_owned()) };
            world.nics.push(Nic { id, vpc, subnet: String::new(), groups, keeper, trunk: false });
        }
        world
    })
}

/// A cloud that does what is asked, but for the calls that `fails` picks.
struct Simulation {
    world: World,
    made: u32,
    opened: usize,
    fails: Vec<bool>,
    calls: usize,
}

impl Simulation {
    fn new(world: World, fails: Vec<bool>) -> Self {
        Self { world, made: 0x0010_0000, opened: 0, fails, calls: 0 }
    }

    fn goes_through(&mut self) -> bool {
        self.calls += 1;
        !self.fails.get(self.calls - 1).copied().unwrap_or_default()
    }

    fn ensure(&mut self, vpc: &VpcId, need: &GroupNeed) -> Option<GroupId> {
        if !self.goes_through() {
            return None;
        }
        let id = need.found.clone().unwrap_or_else(|| {
            self.made += 1;
            let taken = self.world.groups.iter().any(|g| g.vpc == *vpc && g.role == need.role && g.number == need.number);
            assert!(!taken, "the name of a new group must be free");
            let group = Group {
                id: group_id(self.made),
                vpc: vpc.clone(),
                role: need.role,
                number: need.number,
                retired: false,
                rules: Rules::default(),
            };
            self.world.groups.push(group);
            group_id(self.made)
        });
        let group = self.world.groups.iter_mut().find(|group| group.id == id).unwrap();
        assert!(!group.retired, "a retired group is never used or repaired");
        group.rules.ingress.retain(|rule| !need.revoke.ingress.contains(rule));
        group.rules.egress.retain(|rule| !need.revoke.egress.contains(rule));
        if group.role == Role::Collection {
            group.rules.egress.extend(need.allow_peers.iter().map(Peer::rule));
        }
        if group.role == Role::Conversion {
            for rules in [&mut group.rules.ingress, &mut group.rules.egress] {
                let missing = Family::missing(rules);
                rules.extend(missing.into_iter().map(rule));
            }
        }
        Some(id)
    }

    fn carry_out(&mut self, decision: &Decision) {
        let mut pairs = std::collections::BTreeMap::new();
        for (vpc, need) in &decision.vpcs {
            let isolation = self.ensure(vpc, &need.isolation);
            let collection = need.collection.as_ref().and_then(|need| self.ensure(vpc, need));
            let conversion = need.conversion.as_ref().and_then(|need| self.ensure(vpc, need));
            pairs.insert(vpc.clone(), (isolation, collection, conversion));
        }
        for step in [Role::Conversion, Role::Isolation] {
            for moving in &decision.moves {
                let (isolation, collection, conversion) = pairs[&moving.nic.vpc].clone();
                let room = if moving.to == Role::Collection { collection.or(isolation) } else { isolation };
                let to = match step {
                    Role::Isolation => room,
                    Role::Conversion if moving.convert && room.is_some() => conversion,
                    Role::Conversion | Role::Collection => None,
                };
                let Some(to) = to else { continue };
                if self.goes_through() {
                    self.opened += usize::from(step == Role::Conversion);
                    self.world.nics.iter_mut().find(|nic| nic.id == moving.nic.id).unwrap().groups = vec![to];
                }
            }
        }
        // The door.
        let doors: Vec<GroupId> = self.world.open_doors().into_iter().map(|group| group.id.clone()).collect();
        for group in self.world.groups.iter_mut().filter(|group| doors.contains(&group.id)) {
            group.rules = Rules::default();
            group.retired = true;
        }
    }
}

fn scope<'a>(convert: bool, converted: &'a BTreeSet<InterfaceId>, may_touch: &'a dyn Fn(&Nic) -> bool) -> Scope<'a> {
    Scope { convert, path: None, converted, may_touch }
}

fn collecting(nic: InterfaceId) -> CollectionPath {
    let s3 = PrefixListId::parse("pl-63a5400a").ok();
    CollectionPath {
        interface: nic,
        endpoints: vec![group_id(0x2001), group_id(0x2002)],
        s3,
        evidence_bucket_only: false,
        others: Vec::new(),
    }
}

fn is_cut(nic: &Nic, world: &World) -> bool {
    world.current(&nic.vpc, Role::Isolation).is_some_and(|group| nic.groups == [group.id.clone()] && group.rules.is_empty())
}

proptest! {
    #[test]
    fn every_interface_of_ours_ends_cut_and_a_second_run_changes_nothing(world in world(), convert: bool) {
        let none = BTreeSet::new();
        let all = |_: &Nic| true;
        let mut cloud = Simulation::new(world, Vec::new());
        cloud.carry_out(&decide(&cloud.world, &scope(convert, &none, &all)));
        for nic in cloud.world.nics.iter().filter(|nic| nic.is_ours()) {
            prop_assert!(is_cut(nic, &cloud.world), "{nic:?}");
        }
        prop_assert!(decide(&cloud.world, &scope(convert, &none, &all)).is_empty(), "deciding again must decide nothing");
        prop_assert!(convert || cloud.opened == 0, "closing the door opens nothing");
    }

    #[test]
    fn only_the_interface_of_the_path_ends_in_the_collection_group_and_nothing_isolated_is_opened_again(
        world in world(), convert: bool, pick in 0..15usize,
    ) {
        let none = BTreeSet::new();
        let all = |_: &Nic| true;
        let path = collecting(world.nics[pick % world.nics.len()].id.clone());
        let scope = Scope { convert, path: Some(&path), converted: &none, may_touch: &all };
        let mut cloud = Simulation::new(world.clone(), Vec::new());
        cloud.carry_out(&decide(&cloud.world, &scope));
        for (before, nic) in world.nics.iter().zip(&cloud.world.nics).filter(|(_, nic)| nic.is_ours()) {
            let isolated = world.current(&nic.vpc, Role::Isolation).is_some_and(|group| before.groups == [group.id.clone()]);
            if nic.id == path.interface && !isolated {
                let group = cloud.world.current(&nic.vpc, Role::Collection).unwrap();
                prop_assert!(nic.groups == [group.id.clone()] && is_right(group, Some(&path)), "{nic:?} {group:?}");
            } else {
                prop_assert!(is_cut(nic, &cloud.world), "{nic:?}");
            }
        }
        prop_assert!(decide(&cloud.world, &scope).is_empty(), "deciding again must decide nothing");
        // And without the path nothing of it stays open.
        let none = BTreeSet::new();
        cloud.carry_out(&decide(&cloud.world, &Scope { convert: false, path: None, converted: &none, may_touch: &all }));
        for nic in cloud.world.nics.iter().filter(|nic| nic.is_ours()) {
            prop_assert!(is_cut(nic, &cloud.world), "{nic:?}");
        }
    }

    #[test]
    fn whatever_fails_no_interface_stays_in_an_open_conversion_group(
        world in world(), convert: bool, fails in prop::collection::vec(any::<bool>(), 0..60),
    ) {
        let none = BTreeSet::new();
        let all = |_: &Nic| true;
        let mut cloud = Simulation::new(world.clone(), fails);
        cloud.carry_out(&decide(&cloud.world, &scope(convert, &none, &all)));
        prop_assert!(cloud.world.open_doors().is_empty(), "{:?}", cloud.world);
        for (before, now) in world.nics.iter().zip(&cloud.world.nics) {
            let ours = now.groups.iter().all(|id| cloud.world.group(id).is_some());
            prop_assert!(before.groups == now.groups || ours, "an interface may only stay where it was or move to a group of ours");
            prop_assert!(now.is_ours() || before == now, "what is managed by others is left alone");
        }
    }

    #[test]
    fn what_may_not_be_touched_leaves_only_the_groups_that_let_something_through(world in world()) {
        let none = BTreeSet::new();
        let never = |_: &Nic| false;
        let decision = decide(&world, &scope(false, &none, &never));
        for moving in &decision.moves {
            let ours = world.wears(&moving.nic, Role::Conversion) || world.wears(&moving.nic, Role::Collection);
            prop_assert!(ours && !moving.convert);
        }
    }

    #[test]
    fn an_interface_is_opened_once_in_a_run_at_most(world in world()) {
        let all = |_: &Nic| true;
        let converted: BTreeSet<InterfaceId> = world.nics.iter().map(|nic| nic.id.clone()).collect();
        prop_assert!(decide(&world, &scope(true, &converted, &all)).moves.iter().all(|moving| !moving.convert));
    }
}

#[test]
fn a_group_is_ours_by_tag_and_name_together() {
    for (tag, name, expected) in [
        ("conversion", "cordon-conversion", Some((Role::Conversion, 1))),
        ("isolation", "cordon-isolation-3", Some((Role::Isolation, 3))),
        ("isolation", "cordon-conversion", None),
        ("isolation", "web", None),
        ("isolation", "cordon-isolation-1", None),
        ("isolation", "cordon-isolation-02", None),
        ("isolation", "cordon-isolation-x", None),
        ("isolation", "cordon-isolation2", None),
        ("", "cordon-isolation", None),
    ] {
        assert_eq!(Role::of(tag, name), expected, "tag {tag}, name {name}");
    }
    for number in 1..4 {
        let role = Role::Conversion;
        assert_eq!(Role::of(role.tag(), &role.name(number)), Some((role, number)));
    }
}
