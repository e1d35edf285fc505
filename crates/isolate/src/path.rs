//! The rules of a collection group: TCP port 443 out to the endpoints that memory is collected through, and nothing else. Pure.
//!
//! EC2 merges rules of the same protocol and ports when it describes them, and splits them as it likes, so that rules are
//! compared one peer at a time.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{IpPermission, PrefixListId as ListId, UserIdGroupPair};
use incident::plan::CollectionPath;
use incident::{GroupId, PrefixListId};

use crate::decide::Rules;

/// The port that the agent and the collector talk to.
const HTTPS: i32 = 443;

/// Something that a collection group lets out to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// The group of an interface endpoint.
    Group(GroupId),
    /// The prefix list of a gateway endpoint.
    List(PrefixListId),
}

impl Peer {
    /// The rule that lets out to it.
    pub fn rule(&self) -> IpPermission {
        let https = IpPermission::builder().ip_protocol("tcp").from_port(HTTPS).to_port(HTTPS);
        match self {
            Self::Group(id) => https.user_id_group_pairs(UserIdGroupPair::builder().group_id(id.as_str()).build()).build(),
            Self::List(id) => https.prefix_list_ids(ListId::builder().prefix_list_id(id.as_str()).build()).build(),
        }
    }

    /// The peer of a rule that has just one, where the rule is one of ours.
    fn of(single: &IpPermission) -> Option<Self> {
        let https = single.ip_protocol() == Some("tcp") && single.from_port() == Some(HTTPS) && single.to_port() == Some(HTTPS);
        if !https || !single.ip_ranges().is_empty() || !single.ipv6_ranges().is_empty() {
            return None;
        }
        match (single.user_id_group_pairs(), single.prefix_list_ids()) {
            ([pair], []) => GroupId::parse(pair.group_id()?).ok().map(Self::Group),
            ([], [list]) => PrefixListId::parse(list.prefix_list_id()?).ok().map(Self::List),
            _ => None,
        }
    }
}

/// What the collection group of this path lets out to.
pub fn peers(path: &CollectionPath) -> BTreeSet<Peer> {
    path.endpoints.iter().cloned().map(Peer::Group).chain(path.s3.iter().cloned().map(Peer::List)).collect()
}

/// Whether these rules are the path's, and no others.
pub fn is_exact(rules: &Rules, path: &CollectionPath) -> bool {
    revoke(rules, path).is_empty() && missing(rules, path).is_empty()
}

/// The rules that must go.
pub fn revoke(rules: &Rules, path: &CollectionPath) -> Rules {
    let wanted = peers(path);
    let strange = |single: &IpPermission| Peer::of(single).is_none_or(|peer| !wanted.contains(&peer));
    Rules { ingress: rules.ingress.clone(), egress: singles(&rules.egress).into_iter().filter(strange).collect() }
}

/// What must still be let out to.
pub fn missing(rules: &Rules, path: &CollectionPath) -> Vec<Peer> {
    let there: BTreeSet<Peer> = singles(&rules.egress).iter().filter_map(Peer::of).collect();
    peers(path).into_iter().filter(|peer| !there.contains(peer)).collect()
}

/// The same rules with one peer each. A rule without any peer stays as it is.
fn singles(rules: &[IpPermission]) -> Vec<IpPermission> {
    let mut all = Vec::new();
    for rule in rules {
        let bare = || {
            let bare = IpPermission::builder().set_ip_protocol(rule.ip_protocol.clone());
            bare.set_from_port(rule.from_port).set_to_port(rule.to_port)
        };
        let before = all.len();
        all.extend(rule.ip_ranges().iter().map(|range| bare().ip_ranges(range.clone()).build()));
        all.extend(rule.ipv6_ranges().iter().map(|range| bare().ipv6_ranges(range.clone()).build()));
        all.extend(rule.user_id_group_pairs().iter().map(|pair| bare().user_id_group_pairs(pair.clone()).build()));
        all.extend(rule.prefix_list_ids().iter().map(|list| bare().prefix_list_ids(list.clone()).build()));
        if all.len() == before {
            all.push(rule.clone());
        }
    }
    all
}
