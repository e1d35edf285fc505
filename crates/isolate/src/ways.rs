//! The ways on which flows stay tracked whatever the groups say [facts 3], from what was described. Pure.
//!
//! The first hop decides: what lies behind a transit gateway or a firewall is somebody else's to say.
//!
//! INVARIANT: what could not be read, or has no place in what was read, is a risk of its own and never silence.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Route, RouteState, RouteTable, RouteTableAssociation, VpcEndpoint, VpcEndpointType};
use handler::AwsError;
use incident::InterfaceId;
use incident::risk::{Risk, RiskKind};

use crate::decide::Nic;

/// The most ways that are named one by one: a payload has 256 KiB, and everything else of the case must fit too [facts 82].
const MOST_NAMED: usize = 20;
/// The most interfaces that one sentence names.
const MOST_NICS: usize = 3;

/// The risks of what was described around these interfaces.
pub fn risks(nics: &[Nic], tables: Result<&[RouteTable], &AwsError>, endpoints: Result<&[VpcEndpoint], &AwsError>) -> Vec<Risk> {
    let mut named = Vec::new();
    let mut unread = Vec::new();
    let known = endpoints.unwrap_or_default();
    match tables {
        Ok(tables) => {
            let mut ways: BTreeMap<Way, Leading<'_>> = BTreeMap::new();
            for nic in nics {
                let Some(table) = table(tables, nic) else {
                    unread.push(unrouted(nic));
                    continue;
                };
                for way in table.routes().iter().filter_map(|route| way(route, known)) {
                    let leading = ways.entry(way).or_default();
                    leading.nics.insert(&nic.id);
                    leading.tables.insert(table.route_table_id().unwrap_or_default());
                }
            }
            named.extend(ways.iter().map(|(way, leading)| routed(way, leading)));
        }
        Err(error) => unread.push(not_read("routes", error)),
    }
    match endpoints {
        Ok(endpoints) => named.extend(endpoints.iter().filter_map(|endpoint| reached(endpoint, nics))),
        Err(error) => unread.push(not_read("endpoints", error)),
    }
    let more = named.len().saturating_sub(MOST_NAMED);
    named.truncate(MOST_NAMED);
    named.extend(unread);
    named.push(unlooked(more));
    named
}

/// What there is to say where nobody could look at all.
pub fn unread(subject: &str, why: &str) -> Vec<Risk> {
    let advice = format!("the ways on which flows stay tracked could not be looked for ({why}): look at routes and endpoints");
    vec![Risk::new(RiskKind::WaysNotRead, subject, advice), unlooked(0)]
}

fn not_read(what: &str, error: &AwsError) -> Risk {
    let ways = if what == "routes" {
        "NAT, transit and egress-only gateways and firewall endpoints"
    } else {
        "interface endpoints and firewall endpoints"
    };
    let advice = format!("whether flows through {ways} stay tracked was not looked at: {error}");
    Risk::new(RiskKind::WaysNotRead, what, advice)
}

/// What nobody looks for, whatever was read.
fn unlooked(more: usize) -> Risk {
    let more = if more > 0 {
        format!("{more} more ways are not named here: look at the VPC's endpoints and routes; ")
    } else {
        String::new()
    };
    let advice = format!(
        "{more}flows through Global Accelerator and from Lambda functions in the VPC stay tracked too, and nobody looked for those: check \
         the flow logs, and stop the target once its memory is captured if one goes on"
    );
    Risk::new(RiskKind::AutomaticallyTrackedFlows, "", advice)
}

/// A gateway or an endpoint that a route leads through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    kind: RiskKind,
    id: String,
}

/// What leads there.
#[derive(Debug, Default)]
struct Leading<'a> {
    nics: BTreeSet<&'a InterfaceId>,
    tables: BTreeSet<&'a str>,
}

/// The table of an interface's subnet: its own, else the VPC's main one.
fn table<'a>(tables: &'a [RouteTable], nic: &Nic) -> Option<&'a RouteTable> {
    let associated = |by: &dyn Fn(&RouteTableAssociation) -> bool| {
        let there = |table: &&RouteTable| table.vpc_id() == Some(nic.vpc.as_str()) && table.associations().iter().any(by);
        tables.iter().find(there)
    };
    let own = associated(&|link| link.subnet_id() == Some(nic.subnet.as_str()));
    // Without a subnet nobody knows whether the main table is its own.
    if nic.subnet.is_empty() { None } else { own.or_else(|| associated(&|link| link.main().unwrap_or_default())) }
}

fn way(route: &Route, endpoints: &[VpcEndpoint]) -> Option<Way> {
    // Nothing passes a route whose other end is gone.
    if route.state() == Some(&RouteState::Blackhole) {
        return None;
    }
    let way = |kind, id: &str| Some(Way { kind, id: id.to_owned() });
    if let Some(id) = route.nat_gateway_id() {
        return way(RiskKind::NatGateway, id);
    }
    if let Some(id) = route.transit_gateway_id() {
        return way(RiskKind::TransitGateway, id);
    }
    if let Some(id) = route.egress_only_internet_gateway_id() {
        return way(RiskKind::EgressOnlyGateway, id);
    }
    let id = route.gateway_id().filter(|id| id.starts_with("vpce-"))?;
    let found = endpoints.iter().find(|endpoint| endpoint.vpc_endpoint_id() == Some(id));
    // A gateway endpoint has routes as well, to the prefix list of its service, and flows to it are tracked like others.
    let gateway = match found.and_then(VpcEndpoint::vpc_endpoint_type) {
        Some(kind) => *kind == VpcEndpointType::Gateway,
        None => route.destination_prefix_list_id().is_some(),
    };
    if gateway { None } else { way(RiskKind::FirewallEndpoint, id) }
}

fn routed(way: &Way, leading: &Leading<'_>) -> Risk {
    let (what, then) = match way.kind {
        RiskKind::NatGateway => (
            "connections through this NAT gateway",
            "look for the target's address in the gateway's flow logs; if one goes on, change the route, or stop the target once its \
             memory is captured",
        ),
        RiskKind::TransitGateway => (
            "connections through this transit gateway",
            "look at its flow logs; if one goes on, close it at its other end, or change the route",
        ),
        RiskKind::EgressOnlyGateway => (
            "IPv6 connections through this egress-only internet gateway",
            "look for the target's IPv6 addresses in the flow logs; if one goes on, change the route, or take the addresses away",
        ),
        _ => (
            "connections through this endpoint of a firewall or Gateway Load Balancer",
            "have the firewall behind it drop the target's addresses",
        ),
    };
    let nics: Vec<&str> = leading.nics.iter().take(MOST_NICS).map(|id| id.as_str()).collect();
    let more = leading.nics.len().saturating_sub(MOST_NICS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let tables: Vec<&str> = leading.tables.iter().take(MOST_NICS).copied().collect();
    let advice =
        format!("{what} stay tracked and may go on ({}{more} lead there, by {}): {then}", nics.join(", "), tables.join(", "));
    Risk::new(way.kind, &way.id, advice)
}

/// An interface endpoint of a VPC of the target. Every subnet of the VPC has a way to it.
fn reached(endpoint: &VpcEndpoint, nics: &[Nic]) -> Option<Risk> {
    use VpcEndpointType::{Gateway, GatewayLoadBalancer};
    let near = nics.iter().any(|nic| endpoint.vpc_id() == Some(nic.vpc.as_str()));
    let routed = matches!(endpoint.vpc_endpoint_type(), Some(Gateway | GatewayLoadBalancer));
    // The model says `Available`, EC2 answers `available`.
    let there = endpoint.state().is_some_and(|state| state.as_str().eq_ignore_ascii_case("available"));
    let id = endpoint.vpc_endpoint_id().filter(|_| near && !routed && there)?;
    let service = endpoint.service_name().or(endpoint.resource_configuration_arn()).or(endpoint.service_network_arn());
    let advice = format!(
        "connections to this endpoint ({}) stay tracked and may go on: look at its flow logs, and take what lets the target's address in \
         out of its groups if one does",
        incident::text::bounded(service.unwrap_or("of an unknown service"), 120)
    );
    Some(Risk::new(RiskKind::InterfaceEndpoint, id, advice))
}

fn unrouted(nic: &Nic) -> Risk {
    let advice =
        "no route table of its subnet was found, so that nobody knows through what its flows lead: look at its routes by hand";
    Risk::new(RiskKind::WaysNotRead, nic.id.as_str(), advice)
}
