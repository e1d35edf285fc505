//! Looks at what is around the target: endpoints, routes, groups, and the size of its type. Changes nothing.
//!
//! INVARIANT: nothing that fails here stops containment: the target is cut all the same, and the plan says why memory is not
//! captured.

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, IpPermission, RouteTable, SecurityGroup, VpcEndpoint, VpcEndpointType};
use futures_util::future::{join, join4};
use handler::{AwsError, failed};
use incident::{GroupId, PrefixListId, VpcId};

use crate::look::Seen;
use crate::path::{Endpoint, Surroundings};

/// What is around the target, and the memory of its type in MiB.
pub(crate) async fn look(ec2: &Client, seen: &Seen, region: &str) -> (Result<Surroundings, String>, Option<u64>) {
    let memory = memory_mib(ec2, seen);
    let (around, memory) = join(surroundings(ec2, seen, region), memory).await;
    (around, memory.unwrap_or_default())
}

async fn surroundings(ec2: &Client, seen: &Seen, region: &str) -> Result<Surroundings, String> {
    let Some(primary) = &seen.primary else { return Err("the primary interface is not known".to_owned()) };
    let vpc = seen.target.interfaces.iter().find(|nic| nic.id == primary.interface).map(|nic| nic.vpc.clone());
    let Some(vpc) = vpc else { return Err("the VPC of the primary interface is not known".to_owned()) };
    let unread = |error: AwsError| format!("it could not be looked for: {error}");
    let (endpoints, tables, lists, collection) =
        join4(endpoints(ec2, &vpc, region), route_tables(ec2, &vpc), prefix_list(ec2, region), collection_groups(ec2, &vpc))
            .await;
    let endpoints = endpoints.map_err(unread)?;
    let ours = endpoints.iter().filter(|endpoint| endpoint.is_of_use());
    let ids: BTreeSet<GroupId> = ours.flat_map(|endpoint| endpoint.groups.iter().cloned()).collect();
    Ok(Surroundings {
        route_table: route_table(&tables.map_err(unread)?, &primary.subnet),
        s3: lists.map_err(unread)?,
        collection: collection.map_err(unread)?,
        admits: admits(ec2, ids).await.map_err(unread)?,
        endpoints,
    })
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

/// The available endpoints of the VPC: those that memory can be collected through, and those that may wear the same groups.
async fn endpoints(ec2: &Client, vpc: &VpcId, region: &str) -> Result<Vec<Endpoint>, AwsError> {
    let here = filter("vpc-id", [vpc.to_string()]);
    let pages = ec2.describe_vpc_endpoints().filters(here).into_paginator().items().send();
    let found: Vec<VpcEndpoint> = pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeVpcEndpoints"))?;
    // The model says `Available`, EC2 answers `available`.
    let available = |found: &&VpcEndpoint| found.state().is_some_and(|state| state.as_str().eq_ignore_ascii_case("available"));
    let prefix = format!("com.amazonaws.{region}.");
    Ok(found.iter().filter(available).map(|found| endpoint(found, &prefix)).collect())
}

fn endpoint(found: &VpcEndpoint, prefix: &str) -> Endpoint {
    let name = found.service_name().unwrap_or_default();
    Endpoint {
        service: name.strip_prefix(prefix).unwrap_or(name).to_owned(),
        gateway: found.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway),
        private_dns: found.private_dns_enabled().unwrap_or_default(),
        groups: found.groups().iter().filter_map(|group| GroupId::parse(group.group_id()?).ok()).collect(),
        route_tables: found.route_table_ids().to_vec(),
        policy: found.policy_document().unwrap_or_default().to_owned(),
    }
}

async fn route_tables(ec2: &Client, vpc: &VpcId) -> Result<Vec<RouteTable>, AwsError> {
    let pages = ec2.describe_route_tables().filters(filter("vpc-id", [vpc.to_string()])).into_paginator().items().send();
    pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeRouteTables"))
}

/// The table of a subnet: its own, else the VPC's main one.
fn route_table(tables: &[RouteTable], subnet: &str) -> Option<String> {
    let associated = |by: &dyn Fn(&aws_sdk_ec2::types::RouteTableAssociation) -> bool| {
        tables
            .iter()
            .find(|table| table.associations().iter().any(by))
            .and_then(|table| table.route_table_id().map(str::to_owned))
    };
    associated(&|link| link.subnet_id() == Some(subnet)).or_else(|| associated(&|link| link.main().unwrap_or_default()))
}

/// The prefix list of S3 in the Region.
async fn prefix_list(ec2: &Client, region: &str) -> Result<Option<PrefixListId>, AwsError> {
    let named = filter("prefix-list-name", [format!("com.amazonaws.{region}.s3")]);
    let answer = ec2.describe_managed_prefix_lists().filters(named).send().await;
    let answer = answer.map_err(failed("ec2:DescribeManagedPrefixLists"))?;
    Ok(answer.prefix_lists().iter().find_map(|list| PrefixListId::parse(list.prefix_list_id()?).ok()))
}

/// The VPC's collection groups, which an endpoint's owner may have admitted.
async fn collection_groups(ec2: &Client, vpc: &VpcId) -> Result<Vec<GroupId>, AwsError> {
    let ours = filter("tag:cordon:role", ["collection".to_owned()]);
    let answer = ec2.describe_security_groups().filters(ours).filters(filter("vpc-id", [vpc.to_string()])).send().await;
    let answer = answer.map_err(failed("ec2:DescribeSecurityGroups"))?;
    Ok(answer.security_groups().iter().filter_map(|group| GroupId::parse(group.group_id()?).ok()).collect())
}

/// What the groups of the endpoints let in.
async fn admits(ec2: &Client, ids: BTreeSet<GroupId>) -> Result<Vec<(GroupId, Vec<IpPermission>)>, AwsError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = filter("group-id", ids.iter().map(ToString::to_string));
    let pages = ec2.describe_security_groups().filters(ids).into_paginator().items().send();
    let groups: Vec<SecurityGroup> = pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeSecurityGroups"))?;
    Ok(groups
        .iter()
        .filter_map(|group| Some((GroupId::parse(group.group_id()?).ok()?, group.ip_permissions().to_vec())))
        .collect())
}

/// The memory of the target's type. Where it cannot be told the parts of an image have their usual size.
async fn memory_mib(ec2: &Client, seen: &Seen) -> Result<Option<u64>, AwsError> {
    let Some(kind) = &seen.instance_type else { return Ok(None) };
    let answer = ec2.describe_instance_types().instance_types(kind.clone()).send().await;
    let answer = answer.map_err(failed("ec2:DescribeInstanceTypes"))?;
    let size =
        answer.instance_types().first().and_then(|kind| kind.memory_info()).and_then(aws_sdk_ec2::types::MemoryInfo::size_in_mib);
    Ok(size.and_then(|mib| u64::try_from(mib).ok()))
}
