//! Any target: with one to fifteen interfaces in up to three VPCs, groups of every kind, and whatever may be around it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::account::{Account, Disk, Group, INSTANCE, Instance, Keeper, Metadata, Nic, Role, Rule, Scaling, TargetGroup};
use crate::answers::endpoint_group;

/// What happens to a target.
#[expect(clippy::struct_excessive_bools, reason = "each is one choice of somebody")]
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) account: Account,
    /// Whether its memory is wanted, so that containment leaves a way out for it until lock-down.
    pub(crate) memory: bool,
    /// Whether the policy wants a pause between the two swaps.
    pub(crate) pause: bool,
    /// Whether the release is asked to put it back into its Auto Scaling group.
    pub(crate) rejoin: bool,
    /// Whether a second finding contains it again before it is released.
    pub(crate) twice: bool,
    /// An interface that is attached after triage has looked [facts 12].
    pub(crate) late: Option<Nic>,
    /// Which calls AWS is too busy for, counted over the whole run.
    pub(crate) busy: BTreeSet<usize>,
}

/// The policy that only denies.
pub(crate) const DENY: &str = "arn:aws:iam::111122223333:policy/cordon-DenyPolicy-1";
/// Another instance of the same role.
pub(crate) const SIBLING: &str = "i-0bbbbbbbbbbbbbbbb";
/// How many groups of its own each VPC has.
const OWN: usize = 4;

fn vpc(n: usize) -> String {
    format!("vpc-0{n:016x}")
}

fn own_group(vpc: usize, n: usize) -> String {
    format!("sg-0{vpc:08x}{n:08x}")
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let asked = (any::<[bool; 3]>(), prop::bool::weighted(0.3), proptest::option::weighted(0.3, nic(1)));
    // Two at most: no step gives up before its third retry.
    (account(), asked, btree_set(0..400_usize, 0..=2)).prop_map(|(account, ([memory, pause, rejoin], twice, late), busy)| {
        let late = late.map(|nic| Nic { index: 20, private: "10.9.9.9".to_owned(), v6: None, public: None, ..nic });
        Case { account, memory, pause, rejoin, twice, late, busy }
    })
}

fn account() -> impl Strategy<Value = Account> {
    (1..=3_usize).prop_flat_map(|vpcs| {
        let nics = (own_nic(vpcs), vec(nic(vpcs), 0..=14));
        let worn = (vec(vec(rules(), OWN), vpcs), vec(pair(), vpcs));
        let around = (scaling(), balancers(vpcs), btree_set(select(vec!["old", "older"]), 0..=2));
        (instance(), nics, disks(), worn, around, role(), any::<bool>()).prop_map(
            move |(instance, (primary, others), disks, (own, pairs), (scaling, balancers, classic), role, endpoints)| {
                let nics = numbered(std::iter::once(primary).chain(others));
                let mut account = Account {
                    instance,
                    nics,
                    disks,
                    groups: BTreeMap::new(),
                    scaling,
                    target_groups: BTreeMap::new(),
                    classic: ["old", "older"].map(|name| (name.to_owned(), classic.contains(name))).into(),
                    role,
                    endpoints: None,
                    made: 0,
                };
                let home = account.home().to_owned();
                account.endpoints = endpoints.then_some(home);
                account.groups = groups(own, &pairs, account.endpoints.as_deref());
                account.target_groups = target_groups(&account, balancers);
                account
            },
        )
    })
}

fn instance() -> impl Strategy<Value = Instance> {
    let metadata = (select(vec!["enabled", "disabled"]), select(vec!["optional", "required"]), 1..=64_u8);
    let tags = proptest::option::of("[a-z]{1,8}");
    let shutdown = select(vec!["stop", "terminate"]);
    (any::<[bool; 5]>(), shutdown, metadata, tags).prop_map(
        |([spot, stoppable, termination, stop, profile], shutdown, (endpoint, tokens, hops), tag)| Instance {
            spot,
            stoppable,
            termination: termination && !spot,
            stop: stop && stoppable,
            shutdown: shutdown.to_owned(),
            metadata: Metadata { endpoint: endpoint.to_owned(), tokens: tokens.to_owned(), hops: hops.to_string() },
            profile,
            tags: tag.map(|tag| ("Name".to_owned(), tag)).into_iter().collect(),
        },
    )
}

/// One that we may change: an instance's primary interface is always its own.
fn own_nic(vpcs: usize) -> impl Strategy<Value = Nic> {
    nic(vpcs).prop_map(|nic| Nic { keeper: Keeper::Us, ..nic })
}

fn nic(vpcs: usize) -> impl Strategy<Value = Nic> {
    let keeper = prop_oneof![
        8 => Just(Keeper::Us),
        1 => Just(Keeper::Requester),
        1 => Just(Keeper::Operator),
        1 => Just(Keeper::Trunk(String::new())),
    ];
    let tracking = prop_oneof![
        3 => Just(None),
        1 => Just(Some([60, 60, 30])),
        1 => (60..=432_000, 60..=180, 30..=60).prop_map(|(tcp, stream, udp)| Some([tcp, stream, udp])),
    ];
    let groups = subsequence((0..OWN).collect::<Vec<_>>(), 1..=OWN).prop_shuffle();
    (0..vpcs, groups, tracking, keeper, any::<bool>(), proptest::option::of(any::<bool>())).prop_map(
        |(at, groups, tracking, keeper, v6, public)| Nic {
            vpc: vpc(at),
            index: 0,
            groups: groups.into_iter().map(|n| own_group(at, n)).collect(),
            tracking,
            keeper,
            private: String::new(),
            v6: v6.then(String::new),
            public: public.map(|assigned| (String::new(), assigned)),
        },
    )
}

/// Each with an id, a place and addresses of its own. A branch hangs on the primary interface.
fn numbered(nics: impl Iterator<Item = Nic>) -> BTreeMap<String, Nic> {
    let id = |n: usize| format!("eni-0{n:016x}");
    let number = |(n, nic): (usize, Nic)| {
        let keeper = if matches!(nic.keeper, Keeper::Trunk(_)) { Keeper::Trunk(id(0)) } else { nic.keeper };
        let nic = Nic {
            index: n,
            keeper,
            private: format!("10.0.0.{}", n + 10),
            v6: nic.v6.map(|_| format!("2001:db8::{:x}", n + 16)),
            public: nic.public.map(|(_, assigned)| (format!("203.0.113.{}", n + 10), assigned)),
            ..nic
        };
        (id(n), nic)
    };
    nics.enumerate().map(number).collect()
}

fn disks() -> impl Strategy<Value = BTreeMap<String, Disk>> {
    vec(any::<bool>(), 0..=4).prop_map(|disks| {
        let disk = |(n, deleted): (usize, bool)| {
            let device = if n == 0 { "/dev/xvda".to_owned() } else { format!("/dev/sd{}", ['b', 'c', 'd', 'e'][n - 1]) };
            (format!("vol-0{n:016x}"), Disk { device, deleted })
        };
        disks.into_iter().enumerate().map(disk).collect()
    })
}

/// The rules of somebody's group: in and out.
type Rules = (BTreeSet<Rule>, BTreeSet<Rule>);

fn rules() -> impl Strategy<Value = Rules> {
    let peer = select(vec!["0.0.0.0/0", "::/0", "10.0.0.0/8", "2001:db8::/32", "sg-0aaaaaaaaaaaaaaaa", "pl-0aaaaaaaaaaaaaaaa"]);
    let rule = prop_oneof![peer.clone().prop_map(Rule::all), (1..=65_535, peer).prop_map(|(port, peer)| Rule::tcp(port, peer))];
    (btree_set(rule.clone(), 0..=3), btree_set(rule, 0..=3))
}

/// What there is of Cordon's own groups in a VPC.
#[derive(Debug, Clone, Copy)]
enum Pair {
    /// Nothing yet.
    None,
    /// As an earlier case left them.
    Clean,
    /// Somebody has changed their rules.
    Edited,
    /// The conversion group was closed for good.
    Retired,
    /// Somebody else has taken the name.
    Taken,
}

fn pair() -> impl Strategy<Value = Pair> {
    select(vec![Pair::None, Pair::Clean, Pair::Edited, Pair::Retired, Pair::Taken])
}

fn groups(own: Vec<Vec<Rules>>, pairs: &[Pair], endpoints: Option<&str>) -> BTreeMap<String, Group> {
    let mut all = BTreeMap::new();
    for (at, rules) in own.into_iter().enumerate() {
        for (n, (ingress, egress)) in rules.into_iter().enumerate() {
            // A tag alone makes no group Cordon's, and neither does a name.
            let (name, tags) = match n {
                1 => ("web".to_owned(), BTreeMap::from([("team".to_owned(), "a".to_owned())])),
                2 => ("cordon-lookalike".to_owned(), BTreeMap::new()),
                n => (format!("own-{n}"), BTreeMap::new()),
            };
            all.insert(own_group(at, n), Group { vpc: vpc(at), name, tags, ingress, egress });
        }
    }
    for (at, pair) in pairs.iter().enumerate() {
        let both = || BTreeSet::from([Rule::all("0.0.0.0/0"), Rule::all("::/0")]);
        let ours = |role: &str, rules: BTreeSet<Rule>, ingress: BTreeSet<Rule>| Group {
            vpc: vpc(at),
            name: format!("cordon-{role}"),
            tags: BTreeMap::from([("cordon:role".to_owned(), role.to_owned())]),
            ingress,
            egress: rules,
        };
        let mut add = |n: usize, group| drop(all.insert(format!("sg-0c{at:07x}{n:08x}"), group));
        match pair {
            Pair::None => {}
            Pair::Clean => {
                add(0, ours("conversion", both(), both()));
                add(1, ours("isolation", BTreeSet::new(), BTreeSet::new()));
            }
            Pair::Edited => {
                add(0, ours("conversion", both(), BTreeSet::from([Rule::tcp(22, "10.0.0.0/8")])));
                add(1, ours("isolation", BTreeSet::from([Rule::tcp(22, "0.0.0.0/0")]), both()));
                add(2, ours("collection", both(), both()));
            }
            Pair::Retired => {
                let mut closed = ours("conversion", BTreeSet::new(), BTreeSet::new());
                closed.tags.insert("cordon:retired".to_owned(), format!("{INSTANCE}-0123456789ab"));
                add(0, closed);
            }
            Pair::Taken => {
                let name = "Cordon-Isolation".to_owned();
                add(0, Group { vpc: vpc(at), name, ..Group::default() });
            }
        }
    }
    if let Some(vpc) = endpoints {
        let ingress = BTreeSet::from([Rule::tcp(443, "10.0.0.0/8")]);
        all.insert(endpoint_group(vpc), Group { vpc: vpc.to_owned(), name: "endpoints".to_owned(), ingress, ..Group::default() });
    }
    all
}

fn scaling() -> impl Strategy<Value = Scaling> {
    let lifecycle = proptest::option::of(select(vec!["InService", "InService", "InService", "Standby", "Pending:Wait"]));
    (lifecycle, any::<bool>(), 0..4_i32, 0..3_i32).prop_map(|(lifecycle, protected, desired, room)| Scaling {
        protected: protected && lifecycle.is_some(),
        lifecycle: lifecycle.map(str::to_owned),
        desired,
        most: desired + room,
    })
}

/// A target group: its VPC, whether it holds instances, and which ports of which of the target's addresses.
type Balanced = (usize, bool, Vec<(Index, i32)>);

fn balancers(vpcs: usize) -> impl Strategy<Value = Vec<Balanced>> {
    vec((0..vpcs, any::<bool>(), vec((any::<Index>(), 80..84_i32), 0..=3)), 0..=4)
}

fn target_groups(account: &Account, balancers: Vec<Balanced>) -> BTreeMap<String, TargetGroup> {
    let group = |(n, (at, instances, targets)): (usize, Balanced)| {
        let vpc = vpc(at);
        let of_vpc = || account.nics.values().filter(|nic| nic.vpc == vpc && !matches!(nic.keeper, Keeper::Trunk(_)));
        let addresses: Vec<String> =
            of_vpc().flat_map(|nic| std::iter::once(nic.private.clone()).chain(nic.v6.clone())).collect();
        let own = |(pick, port): (Index, i32)| match (instances, addresses.is_empty()) {
            // An instance is only in groups of its own VPCs.
            (_, true) => None,
            (true, _) => Some((INSTANCE.to_owned(), port)),
            (false, _) => Some((pick.get(&addresses).clone(), port)),
        };
        let mut all: BTreeSet<(String, i32)> = targets.into_iter().filter_map(own).collect();
        let stranger = if instances { SIBLING } else { "10.0.9.1" };
        all.insert((stranger.to_owned(), 80));
        let arn = format!("arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/g{n}/1234567890abcdef");
        (arn, TargetGroup { vpc, kind: if instances { "instance" } else { "ip" }, targets: all })
    };
    balancers.into_iter().enumerate().map(group).collect()
}

fn role() -> impl Strategy<Value = Option<Role>> {
    let role = (0..=10_usize, prop_oneof![4 => 0..6_usize, 1 => 40..=50_usize], any::<bool>(), select(vec!["/", "/team/"]));
    let role = role.prop_map(|(policies, tags, sibling, path)| {
        let mut role = Role {
            path,
            attached: (0..policies).map(|n| format!("arn:aws:iam::111122223333:policy/p{n}")).collect(),
            tags: (0..tags).map(|n| (format!("tag{n}"), "value".to_owned())).collect(),
        };
        if sibling {
            // Somebody else of the same role is denied already, and stays so.
            role.attached.pop_last();
            role.attached.insert(DENY.to_owned());
            role.tags.pop_last();
            role.tags.insert("cordon-deny-3".to_owned(), SIBLING.to_owned());
        }
        role
    });
    proptest::option::weighted(0.9, role)
}
