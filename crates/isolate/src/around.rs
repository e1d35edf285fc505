//! Looks at what is around the target once it is cut: the ways on which flows stay tracked, and the branches of its trunks.
//!
//! INVARIANT: nothing waits for this. The cut is made and read back by then, the calls go beside those that shorten the
//! tracking, and each is given up after [`PATIENCE`]; what could not be read is a risk that says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::types::{NetworkInterface, RouteTable, TrunkInterfaceAssociation, VpcEndpoint};
use futures_util::future;
use handler::{AwsError, failed};
use incident::risk::{Risk, RiskKind};
use incident::{InterfaceId, VpcId};

use crate::decide::{Keeper, Nic, World};
use crate::ways;
use crate::world::{filter, nic};

/// How long one call may take with all of its attempts.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most branches that are recorded: a payload has 256 KiB, and everything else of the case must fit too [facts 82].
const MOST_BRANCHES: usize = 40;

/// What is around the target.
#[derive(Debug)]
pub(crate) struct Around {
    /// The branches of its trunks, which are attached to no instance and so in no other look.
    pub(crate) branches: Vec<Nic>,
    /// The ways that were found, and what could not be looked at.
    pub(crate) risks: Vec<Risk>,
}

/// One look; of nothing where the interfaces could not be read.
pub(crate) async fn look(ec2: &Client, now: Result<&World, &AwsError>) -> Around {
    let nics = match now {
        Ok(now) => &now.nics,
        Err(error) => return Around { branches: Vec::new(), risks: ways::unread("", &error.to_string()) },
    };
    let ec2 = &impatient(ec2);
    let vpcs: BTreeSet<&VpcId> = nics.iter().map(|nic| &nic.vpc).collect();
    let (branches, (tables, endpoints)) =
        future::join(branches(ec2, nics), future::join(route_tables(ec2, &vpcs), endpoints(ec2, &vpcs))).await;
    let mut risks = ways::risks(nics, tables.as_deref(), endpoints.as_deref());
    let trunks = |advice: String| {
        let trunks = nics.iter().filter(|nic| nic.trunk);
        trunks.map(move |trunk| Risk::new(RiskKind::WaysNotRead, trunk.id.as_str(), &advice)).collect::<Vec<_>>()
    };
    let branches = match branches {
        Ok((branches, 0)) => branches,
        Ok((branches, more)) => {
            risks.extend(trunks(format!(
                "{more} more branches than are recorded hang on the target's trunks: look at them by hand"
            )));
            branches
        }
        Err(error) => {
            risks.extend(trunks(format!("it is a trunk, and whether it has branches could not be looked at: {error}")));
            Vec::new()
        }
    };
    Around { branches, risks }
}

/// The same client with little patience.
fn impatient(ec2: &Client) -> Client {
    let timeouts = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
    Client::from_conf(ec2.config().to_builder().timeout_config(timeouts).build())
}

/// The interfaces that hang on the target's trunks [facts 10], and how many more there are.
async fn branches(ec2: &Client, nics: &[Nic]) -> Result<(Vec<Nic>, usize), AwsError> {
    let trunks: Vec<String> = nics.iter().filter(|nic| nic.trunk).map(|nic| nic.id.to_string()).collect();
    if trunks.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let of = filter("trunk-interface-association.trunk-interface-id", trunks);
    let pages = ec2.describe_trunk_interface_associations().filters(of).into_paginator().items().send();
    let found: Vec<TrunkInterfaceAssociation> =
        pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeTrunkInterfaceAssociations"))?;
    let mut trunk_of: BTreeMap<InterfaceId, String> = found
        .iter()
        .filter_map(|it| Some((InterfaceId::parse(it.branch_interface_id()?).ok()?, it.trunk_interface_id()?.to_owned())))
        .filter(|(branch, _)| !nics.iter().any(|nic| nic.id == *branch))
        .collect();
    let more = trunk_of.len().saturating_sub(MOST_BRANCHES);
    trunk_of = trunk_of.into_iter().take(MOST_BRANCHES).collect();
    if trunk_of.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let ids = filter("network-interface-id", trunk_of.keys().map(ToString::to_string));
    let pages = ec2.describe_network_interfaces().filters(ids).into_paginator().items().send();
    let described: Vec<NetworkInterface> =
        pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeNetworkInterfaces"))?;
    let branch = |it: Nic| trunk_of.get(&it.id).map(|trunk| Nic { keeper: Keeper::Trunk(trunk.clone()), ..it.clone() });
    Ok((described.iter().filter_map(nic).filter_map(branch).collect(), more))
}

async fn route_tables(ec2: &Client, vpcs: &BTreeSet<&VpcId>) -> Result<Vec<RouteTable>, AwsError> {
    if vpcs.is_empty() {
        return Ok(Vec::new());
    }
    let there = filter("vpc-id", vpcs.iter().map(ToString::to_string));
    let pages = ec2.describe_route_tables().filters(there).into_paginator().items().send();
    pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeRouteTables"))
}

async fn endpoints(ec2: &Client, vpcs: &BTreeSet<&VpcId>) -> Result<Vec<VpcEndpoint>, AwsError> {
    if vpcs.is_empty() {
        return Ok(Vec::new());
    }
    let there = filter("vpc-id", vpcs.iter().map(ToString::to_string));
    let pages = ec2.describe_vpc_endpoints().filters(there).into_paginator().items().send();
    pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeVpcEndpoints"))
}
