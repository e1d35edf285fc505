//! Whether memory can be collected once the network is cut: is there a way to Systems Manager and S3 that needs nothing but
//! TCP port 443 to the VPC's own endpoints? Pure.
//!
//! INVARIANT: a path is only ever made of endpoints that were described: no address range, and nothing of the Internet.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::IpPermission;
use incident::plan::{CollectionPath, MemoryPlan, SkipReason, Target, TargetState};
use incident::policy::Policy;
use incident::text::bounded;
use incident::{GroupId, InterfaceId, PrefixListId};
use serde_json::Value;

/// What the agent's traffic needs: the control channel and the message channel [facts 14].
const NEEDED: [&str; 2] = ["ssm", "ssmmessages"];
/// What older agents use as well.
const OLDER: &str = "ec2messages";

/// The most other services that are named.
const MOST_OTHERS: usize = 5;

/// The primary interface: the instance's default route leads through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its id.
    pub interface: InterfaceId,
    /// Its subnet.
    pub subnet: String,
    /// Its private address.
    pub address: Option<Ipv4Addr>,
    /// Whether it is in an isolation group already, by that group's name.
    pub isolated: bool,
}

/// One endpoint of the target's VPC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The service's name, without the Region and what precedes it where it is one of the Region's own: `ssm`, `s3`.
    pub service: String,
    /// A gateway endpoint, reached by a route; otherwise an interface endpoint, reached by name.
    pub gateway: bool,
    /// Whether the service's ordinary name leads to it.
    pub private_dns: bool,
    /// The groups of an interface endpoint.
    pub groups: Vec<GroupId>,
    /// The route tables of a gateway endpoint.
    pub route_tables: Vec<String>,
    /// Its policy, a JSON document.
    pub policy: String,
}

impl Endpoint {
    /// Whether memory may be collected through it.
    pub fn is_of_use(&self) -> bool {
        NEEDED.contains(&self.service.as_str()) || self.service == OLDER || self.service == "s3"
    }
}

/// What is around the target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Surroundings {
    /// The VPC's endpoints that are available.
    pub endpoints: Vec<Endpoint>,
    /// The route table of the primary interface's subnet.
    pub route_table: Option<String>,
    /// The Region's prefix list of S3.
    pub s3: Option<PrefixListId>,
    /// The VPC's collection groups, which an endpoint's group may admit by name.
    pub collection: Vec<GroupId>,
    /// What the groups of the endpoints let in.
    pub admits: Vec<(GroupId, Vec<IpPermission>)>,
}

/// The path, or in one sentence why there is none.
pub fn path(primary: &Primary, around: &Surroundings, bucket: &str) -> Result<CollectionPath, String> {
    if primary.isolated {
        return Err("the target is isolated already, and what is closed is not opened again".to_owned());
    }
    let mut groups = Vec::new();
    for service in NEEDED {
        groups.extend(reached(primary, around, service)?);
    }
    groups.extend(reached(primary, around, OLDER).unwrap_or_default());
    let gateway = around.endpoints.iter().find(|endpoint| {
        endpoint.gateway
            && endpoint.service == "s3"
            && around.route_table.as_ref().is_some_and(|table| endpoint.route_tables.contains(table))
    });
    let s3 = match (gateway, &around.s3) {
        (Some(_), Some(list)) => Some(list.clone()),
        (Some(_), None) => return Err("the Region's prefix list of S3 could not be read".to_owned()),
        (None, _) => {
            groups.extend(reached(primary, around, "s3").map_err(|reason| {
                format!("no S3 gateway endpoint is in the route table of the target's subnet, and {reason}")
            })?);
            None
        }
    };
    groups.sort();
    groups.dedup();
    // A rule names a group, and so lets out to every endpoint that wears it.
    let worn = around.endpoints.iter().filter(|one| !one.gateway && one.groups.iter().any(|group| groups.contains(group)));
    let on_it: Vec<&Endpoint> = worn.chain(gateway).collect();
    let mut to_s3 = on_it.iter().filter(|endpoint| endpoint.service == "s3");
    let others: BTreeSet<&str> =
        on_it.iter().filter(|endpoint| !endpoint.is_of_use()).map(|endpoint| endpoint.service.as_str()).collect();
    Ok(CollectionPath {
        interface: primary.interface.clone(),
        s3,
        evidence_bucket_only: to_s3.all(|endpoint| admits_only(&endpoint.policy, bucket)),
        others: others.into_iter().take(MOST_OTHERS).map(|service| bounded(service, 60)).collect(),
        endpoints: groups,
    })
}

/// The groups of a service's interface endpoint that lets the target in.
fn reached(primary: &Primary, around: &Surroundings, service: &str) -> Result<Vec<GroupId>, String> {
    let mut endpoints = around.endpoints.iter().filter(|endpoint| !endpoint.gateway && endpoint.service == service).peekable();
    if endpoints.peek().is_none() {
        return Err(format!("the VPC has no interface endpoint for {service}"));
    }
    let mut named = endpoints.filter(|endpoint| endpoint.private_dns).peekable();
    if named.peek().is_none() {
        return Err(format!("the interface endpoint for {service} has no private DNS, so that the agent does not find it"));
    }
    let lets_in = |group: &&GroupId| around.admits.iter().any(|(id, rules)| id == *group && admitted(primary, around, rules));
    // Only the groups that let the target in are of use: its own way out is opened to nothing else.
    named
        .map(|endpoint| endpoint.groups.iter().filter(lets_in).cloned().collect::<Vec<_>>())
        .find(|groups| !groups.is_empty())
        .ok_or_else(|| format!("no group of the interface endpoint for {service} admits TCP port 443 from the target's address"))
}

fn admitted(primary: &Primary, around: &Surroundings, rules: &[IpPermission]) -> bool {
    rules.iter().filter(|rule| covers_https(rule)).any(|rule| {
        let by_address = rule
            .ip_ranges()
            .iter()
            .filter_map(|range| range.cidr_ip())
            .any(|block| primary.address.is_some_and(|address| contains(block, address)));
        let named = |pair: &aws_sdk_ec2::types::UserIdGroupPair| {
            pair.group_id().is_some_and(|id| around.collection.iter().any(|group| group.as_str() == id))
        };
        by_address || rule.user_id_group_pairs().iter().any(named)
    })
}

fn covers_https(rule: &IpPermission) -> bool {
    match rule.ip_protocol() {
        Some("-1") => true,
        Some("tcp" | "6") => rule.from_port().is_none_or(|from| from <= 443) && rule.to_port().is_none_or(|to| to >= 443),
        _ => false,
    }
}

/// Whether a CIDR block holds an address. A block that is none holds nothing.
fn contains(block: &str, address: Ipv4Addr) -> bool {
    let Some((network, length)) = block.split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse::<Ipv4Addr>(), length.parse::<u32>()) else { return false };
    if length > 32 {
        return false;
    }
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    u32::from(network) & mask == u32::from(address) & mask
}

/// Whether everything that an endpoint's policy allows is in `bucket`. A policy that cannot be read allows everything.
fn admits_only(policy: &str, bucket: &str) -> bool {
    let Ok(document) = serde_json::from_str::<Value>(policy) else { return false };
    let many = |value: &Value| match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    let statements = many(document.get("Statement").unwrap_or(&Value::Null));
    let ours = |resource: &Value| {
        let name = resource.as_str().and_then(|arn| arn.splitn(6, ':').nth(5));
        name.is_some_and(|name| name == bucket || name.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('/')))
    };
    let bound = |statement: &Value| {
        let resources = many(statement.get("Resource").unwrap_or(&Value::Null));
        statement.get("Effect").and_then(Value::as_str) == Some("Deny") || (!resources.is_empty() && resources.iter().all(ours))
    };
    !statements.is_empty() && statements.iter().all(bound)
}

/// Whether the plan could have memory captured at all, before anybody looks for a path.
pub fn wanted(policy: &Policy, target: &Target) -> Result<(), (SkipReason, String)> {
    let no = |because, reason: &str| Err((because, reason.to_owned()));
    if !policy.memory.capture {
        return no(SkipReason::Policy, "the policy does not ask for memory");
    }
    match target.state {
        TargetState::Running | TargetState::Pending => {}
        TargetState::Stopped => return no(SkipReason::NoMemory, "the instance is stopped: its memory is gone"),
        TargetState::Stopping | TargetState::ShuttingDown => {
            return no(SkipReason::NoMemory, "the instance is stopping: nothing can be run on it any more");
        }
        TargetState::Terminated | TargetState::Gone => return no(SkipReason::NoMemory, "there is no instance any more"),
    }
    if target.windows {
        return no(SkipReason::Unsupported, "there is no collector for Windows: capture its memory by hand before it is stopped");
    }
    if target.architecture.is_none() {
        return no(
            SkipReason::Unsupported,
            "there is no collector for this processor: capture its memory by hand before it is stopped",
        );
    }
    Ok(())
}

/// What the plan says of memory. `found` is the path, or why there is none.
pub fn memory(policy: &Policy, target: &Target, cut: bool, found: &Result<CollectionPath, String>) -> MemoryPlan {
    if let Err((because, reason)) = wanted(policy, target) {
        return MemoryPlan::Skip { because, reason };
    }
    match found {
        // What is not cut needs no path of its own.
        _ if !cut => MemoryPlan::Capture { path: None },
        Ok(path) => MemoryPlan::Capture { path: Some(path.clone()) },
        Err(reason) => MemoryPlan::Skip { because: SkipReason::NoPath, reason: bounded(&format!("no path: {reason}"), 300) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{IpRange, UserIdGroupPair};
    use proptest::prelude::*;

    fn group(n: u8) -> GroupId {
        GroupId::parse(&format!("sg-0000000{n}")).unwrap()
    }

    fn primary() -> Primary {
        Primary {
            interface: InterfaceId::parse("eni-0abc1234").unwrap(),
            subnet: "subnet-1".to_owned(),
            address: Some(Ipv4Addr::new(10, 70, 0, 9)),
            isolated: false,
        }
    }

    fn rule(protocol: &str, ports: Option<(i32, i32)>, block: &str) -> IpPermission {
        let rule = IpPermission::builder().ip_protocol(protocol).ip_ranges(IpRange::builder().cidr_ip(block).build());
        match ports {
            Some((from, to)) => rule.from_port(from).to_port(to).build(),
            None => rule.build(),
        }
    }

    fn around() -> Surroundings {
        let interface = |service: &str, n| Endpoint {
            service: service.to_owned(),
            private_dns: true,
            groups: vec![group(n)],
            ..Endpoint::default()
        };
        let s3 =
            Endpoint { service: "s3".to_owned(), gateway: true, route_tables: vec!["rtb-1".to_owned()], ..Endpoint::default() };
        let https = || vec![rule("tcp", Some((443, 443)), "10.70.0.0/16")];
        Surroundings {
            endpoints: vec![interface("ssm", 1), interface("ssmmessages", 2), interface("ec2messages", 1), s3],
            route_table: Some("rtb-1".to_owned()),
            s3: Some(PrefixListId::parse("pl-63a5400a").unwrap()),
            collection: vec![group(9)],
            admits: vec![(group(1), https()), (group(2), https())],
        }
    }

    #[test]
    fn a_vpc_with_both_endpoints_and_a_gateway_has_a_path_to_just_those() {
        let found = path(&primary(), &around(), "evidence").unwrap();
        assert_eq!(found.endpoints, [group(1), group(2)]);
        assert_eq!(found.s3.as_ref().map(PrefixListId::as_str), Some("pl-63a5400a"));
        assert!(!found.evidence_bucket_only, "an endpoint without a policy admits any bucket");
    }

    /// One thing that keeps a path from being there, and what is said of it.
    type Broken = (&'static str, fn(&mut Surroundings, &mut Primary));

    #[test]
    fn whatever_is_missing_is_named() {
        let cases: [Broken; 9] = [
            ("no interface endpoint for ssm", |around, _| around.endpoints.retain(|e| e.service != "ssm")),
            ("no interface endpoint for ssmmessages", |around, _| around.endpoints.retain(|e| e.service != "ssmmessages")),
            ("no private DNS", |around, _| around.endpoints[0].private_dns = false),
            ("admits TCP port 443", |around, _| around.admits.clear()),
            ("admits TCP port 443", |around, _| around.admits[1].1 = vec![rule("tcp", Some((80, 442)), "0.0.0.0/0")]),
            ("admits TCP port 443", |_, primary| primary.address = Some(Ipv4Addr::new(10, 71, 0, 9))),
            ("no S3 gateway endpoint", |around, _| around.route_table = Some("rtb-2".to_owned())),
            ("prefix list", |around, _| around.s3 = None),
            ("isolated already", |_, primary| primary.isolated = true),
        ];
        for (said, breaks) in cases {
            let (mut around, mut primary) = (around(), primary());
            breaks(&mut around, &mut primary);
            let reason = path(&primary, &around, "evidence").unwrap_err();
            assert!(reason.contains(said), "`{said}` must be said: {reason}");
        }
    }

    #[test]
    fn an_endpoint_may_admit_our_collection_group_or_everything() {
        let by_group = IpPermission::builder().ip_protocol("tcp").from_port(443).to_port(443);
        let by_group = by_group.user_id_group_pairs(UserIdGroupPair::builder().group_id(group(9).as_str()).build()).build();
        for rules in [vec![by_group], vec![rule("-1", None, "0.0.0.0/0")], vec![rule("tcp", Some((0, 65_535)), "10.70.0.9/32")]] {
            let mut around = around();
            around.admits[0].1 = rules.clone();
            assert!(path(&primary(), &around, "evidence").is_ok(), "{rules:?}");
        }
    }

    #[test]
    fn without_a_gateway_an_interface_endpoint_for_s3_is_the_way() {
        let mut around = around();
        around.endpoints[3] =
            Endpoint { service: "s3".to_owned(), private_dns: true, groups: vec![group(3)], ..Endpoint::default() };
        around.admits.push((group(3), vec![rule("tcp", Some((443, 443)), "10.70.0.0/24")]));
        let found = path(&primary(), &around, "evidence").unwrap();
        assert_eq!((found.endpoints, found.s3), (vec![group(1), group(2), group(3)], None));
    }

    #[test]
    fn every_endpoint_that_wears_a_group_of_the_path_is_on_it() {
        const BOUND: &str = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::evidence/*"}}"#;
        const OTHER: &str = r#"{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
        let with = |service: &str, n, policy: &str| {
            let mut around = around();
            around.endpoints[3].policy = BOUND.to_owned();
            let (service, policy, groups) = (service.to_owned(), policy.to_owned(), vec![group(n)]);
            around.endpoints.insert(0, Endpoint { service, groups, policy, ..Endpoint::default() });
            path(&primary(), &around, "evidence").unwrap()
        };
        for (service, n, policy, bound, others) in [
            ("kms", 1, "", true, &["kms"][..]),
            ("kms", 5, "", true, &[]),
            ("com.amazonaws.vpce.eu-central-1.vpce-svc-1", 2, "", true, &["com.amazonaws.vpce.eu-central-1.vpce-svc-1"]),
            ("s3", 1, OTHER, false, &[]),
            ("s3", 1, BOUND, true, &[]),
            ("s3", 5, OTHER, true, &[]),
            ("ec2messages", 1, "", true, &[]),
        ] {
            let found = with(service, n, policy);
            assert_eq!(
                (found.evidence_bucket_only, found.others.iter().map(String::as_str).collect::<Vec<_>>().as_slice()),
                (bound, others),
                "{service} in group {n}"
            );
            let risk = found.risk(jiff::Timestamp::UNIX_EPOCH);
            assert_eq!(risk.is_some(), !bound || !others.is_empty(), "{risk:?}");
            assert!(others.iter().all(|other| risk.as_ref().is_some_and(|risk| risk.advice.contains(other))), "{risk:?}");
        }
    }

    #[test]
    fn without_a_gateway_the_policy_is_that_of_the_endpoint_that_lets_the_target_in() {
        let mut around = around();
        let s3 = |n, resource: &str| Endpoint {
            service: "s3".to_owned(),
            private_dns: true,
            groups: vec![group(n)],
            policy: format!(r#"{{"Statement":{{"Effect":"Allow","Resource":"{resource}"}}}}"#),
            ..Endpoint::default()
        };
        around.endpoints[3] = s3(4, "*");
        around.endpoints.push(s3(3, "arn:aws:s3:::evidence/*"));
        around.admits.push((group(3), vec![rule("tcp", Some((443, 443)), "10.70.0.0/24")]));
        assert!(path(&primary(), &around, "evidence").unwrap().evidence_bucket_only, "the other one does not let it in");
    }

    #[test]
    fn a_policy_is_bound_to_the_bucket_only_where_every_statement_is() {
        let statement = |resource: &str| format!(r#"{{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":{resource}}}"#);
        let ours = statement(r#"["arn:aws:s3:::evidence","arn:aws:s3:::evidence/*"]"#);
        let cases = [
            (format!(r#"{{"Statement":[{ours}]}}"#), true),
            (format!(r#"{{"Statement":{ours}}}"#), true),
            (format!(r#"{{"Statement":[{ours},{}]}}"#, statement(r#""*""#)), false),
            (format!(r#"{{"Statement":[{}]}}"#, statement(r#""arn:aws:s3:::evidence-2/*""#)), false),
            (format!(r#"{{"Statement":[{}]}}"#, statement(r#""arn:aws:s3:::evidence*""#)), false),
            (r#"{"Statement":[{"Effect":"Allow","NotResource":"arn:aws:s3:::evidence"}]}"#.to_owned(), false),
            (r#"{"Statement":[]}"#.to_owned(), false),
            (String::new(), false),
        ];
        for (policy, bound) in cases {
            assert_eq!(admits_only(&policy, "evidence"), bound, "{policy}");
        }
    }

    proptest! {
        #[test]
        fn a_block_holds_its_own_addresses_and_no_text_breaks_it(address: u32, length in 0_u32..40, text in ".{0,30}") {
            let address = Ipv4Addr::from(address);
            prop_assert_eq!(contains(&format!("{address}/{length}"), address), length <= 32);
            let _ = contains(&text, address);
        }
    }
}
