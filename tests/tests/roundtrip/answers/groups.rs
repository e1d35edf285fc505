//! EC2: security groups.

use std::collections::{BTreeMap, BTreeSet};

use stub::{Answer, Call};

use super::{done, ec2, filters, items};
use crate::account::{Account, Group, Rule};

impl Account {
    pub(super) fn security_groups(&self, call: &Call) -> Answer {
        let filters = filters(call);
        let passes = |id: &String, group: &Group| {
            filters.iter().all(|(name, values)| {
                let value = match name.as_str() {
                    "group-id" => Some(id.as_str()),
                    "vpc-id" => Some(group.vpc.as_str()),
                    "group-name" => Some(group.name.as_str()),
                    "tag:cordon:role" => group.role(),
                    "tag-key" => return group.tags.keys().any(|key| values.contains(key)),
                    other => panic!("teach the account the filter {other}"),
                };
                value.is_some_and(|value| values.iter().any(|it| it == value))
            })
        };
        let described = |(id, group): (&String, &Group)| {
            let tags = items(group.tags.iter().map(|(key, value)| format!("<key>{key}</key><value>{value}</value>")));
            format!(
                "<groupId>{id}</groupId><groupName>{}</groupName><vpcId>{}</vpcId><tagSet>{tags}</tagSet>\
                 <ipPermissions>{}</ipPermissions><ipPermissionsEgress>{}</ipPermissionsEgress>",
                group.name,
                group.vpc,
                rules(&group.ingress),
                rules(&group.egress)
            )
        };
        let all = self.groups.iter().filter(|(id, group)| passes(id, group)).map(described);
        ec2(call, &format!("<securityGroupInfo>{}</securityGroupInfo>", items(all)))
    }

    pub(super) fn create_group(&mut self, call: &Call) -> Answer {
        let (name, vpc) = (call.param("GroupName").unwrap(), call.param("VpcId").unwrap());
        if self.groups.values().any(|group| group.vpc == vpc && group.name.eq_ignore_ascii_case(name)) {
            return Answer::ec2_error(400, "InvalidGroup.Duplicate", "the name is taken");
        }
        self.made += 1;
        let id = format!("sg-0fffffffffff{:05}", self.made);
        let tag = |n: usize| {
            let part = |part: &str| call.param(&format!("TagSpecification.1.Tag.{n}.{part}")).map(str::to_owned);
            part("Key").zip(part("Value"))
        };
        let group = Group {
            vpc: vpc.to_owned(),
            name: name.to_owned(),
            tags: (1..).map_while(tag).collect(),
            ingress: BTreeSet::new(),
            // The VPCs of this account have IPv6 [facts 13].
            egress: BTreeSet::from([Rule::all("0.0.0.0/0"), Rule::all("::/0")]),
        };
        self.groups.insert(id.clone(), group);
        ec2(call, &format!("<return>true</return><groupId>{id}</groupId>"))
    }

    pub(super) fn change_rules(&mut self, call: &Call, ingress: bool, allow: bool) -> Answer {
        let group = self.groups.get_mut(call.param("GroupId").unwrap()).unwrap();
        assert!(group.role().is_some(), "nobody changes the rules of somebody else's group: {group:?}");
        let there = if ingress { &mut group.ingress } else { &mut group.egress };
        let named = parsed(call);
        assert!(!named.is_empty(), "a change of rules names one");
        if allow && named.iter().any(|rule| there.contains(rule)) {
            return Answer::ec2_error(400, "InvalidPermission.Duplicate", "it is there");
        }
        if !allow && named.iter().any(|rule| !there.contains(rule)) {
            return Answer::ec2_error(400, "InvalidPermission.NotFound", "it is not there");
        }
        for rule in named {
            if allow {
                there.insert(rule);
            } else {
                there.remove(&rule);
            }
        }
        done(call)
    }

    pub(super) fn tag_group(&mut self, call: &Call) -> Answer {
        let group = self.groups.get_mut(call.param("ResourceId.1").unwrap()).unwrap();
        assert!(group.role().is_some(), "only Cordon's own groups are tagged");
        group.tags.insert(call.param("Tag.1.Key").unwrap().to_owned(), call.param("Tag.1.Value").unwrap().to_owned());
        done(call)
    }
}

const PEERS: [(&str, &str, &str); 4] = [
    ("IpRanges", "CidrIp", "ipRanges"),
    ("Ipv6Ranges", "CidrIpv6", "ipv6Ranges"),
    ("Groups", "GroupId", "groups"),
    ("PrefixListIds", "PrefixListId", "prefixListIds"),
];

/// Which of [`PEERS`] a peer is.
fn kind(peer: &str) -> usize {
    match peer {
        peer if peer.starts_with("sg-") => 2,
        peer if peer.starts_with("pl-") => 3,
        peer => usize::from(peer.contains(':')),
    }
}

/// The rules that a call names, one for each peer.
fn parsed(call: &Call) -> Vec<Rule> {
    let mut all = Vec::new();
    for n in (1..).take_while(|n| call.param(&format!("IpPermissions.{n}.IpProtocol")).is_some()) {
        let of = |part: &str| call.param(&format!("IpPermissions.{n}.{part}"));
        let port = |part: &str| of(part).map(|value| value.parse::<i32>().unwrap());
        let ports = port("FromPort").zip(port("ToPort"));
        for (list, field, _) in PEERS {
            let peers = (1..).map_while(|m| of(&format!("{list}.{m}.{field}")));
            let rule = |peer: &str| Rule { protocol: of("IpProtocol").unwrap().to_owned(), ports, peer: peer.to_owned() };
            all.extend(peers.map(rule));
        }
    }
    all
}

/// The first and the last port, where the protocol has any.
type Ports = Option<(i32, i32)>;

/// EC2 merges the rules of the same protocol and ports.
fn rules(all: &BTreeSet<Rule>) -> String {
    let mut merged: BTreeMap<(&str, Ports), Vec<&str>> = BTreeMap::new();
    for rule in all {
        merged.entry((&rule.protocol, rule.ports)).or_default().push(&rule.peer);
    }
    items(merged.into_iter().map(|((protocol, ports), peers)| {
        let ports = ports.map_or_else(String::new, |(from, to)| format!("<fromPort>{from}</fromPort><toPort>{to}</toPort>"));
        let lists = PEERS.iter().enumerate().map(|(n, (_, field, list))| {
            let field = format!("{}{}", field[..1].to_lowercase(), &field[1..]);
            let of_kind = peers.iter().filter(|peer| kind(peer) == n);
            format!("<{list}>{}</{list}>", items(of_kind.map(|peer| format!("<{field}>{peer}</{field}>"))))
        });
        format!("<ipProtocol>{protocol}</ipProtocol>{ports}{}", lists.collect::<String>())
    }))
}
