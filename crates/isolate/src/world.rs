//! Looks: the target's interfaces and our groups, as EC2 describes them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, NetworkInterface, NetworkInterfaceType, SecurityGroup};
use futures_util::future;
use handler::{AwsError, failed};
use incident::plan::{Plan, Tracking};
use incident::text::bounded;
use incident::{GroupId, InstanceId, InterfaceId, VpcId};

use crate::decide::{Group, Keeper, Nic, Role, Rules, World};

/// The tag that says what a group is for.
pub(crate) const ROLE: &str = "cordon:role";
/// The tag that says which case closed a group for good.
pub(crate) const RETIRED: &str = "cordon:retired";

/// One look: interfaces and groups at the same time. An interface that was attached after triage [facts 12] may be in a VPC
/// that the plan does not name; only then a second call is made.
pub(crate) async fn look(ec2: &Client, plan: &Plan) -> Result<World, AwsError> {
    let known = vpcs(plan);
    let (nics, groups) = future::join(nics(ec2, &plan.target.instance_id), groups(ec2, &known)).await;
    let ((nics, tracking), mut groups) = (nics?, groups?);
    let late: BTreeSet<VpcId> = nics.iter().map(|nic| nic.vpc.clone()).filter(|vpc| !known.contains(vpc)).collect();
    if !late.is_empty() {
        groups.extend(self::groups(ec2, &late).await?);
    }
    Ok(World { nics, groups, tracking })
}

/// The VPCs that the plan names.
pub(crate) fn vpcs(plan: &Plan) -> BTreeSet<VpcId> {
    plan.target.interfaces.iter().map(|nic| nic.vpc.clone()).collect()
}

/// Our groups in `vpcs`.
pub(crate) async fn groups(ec2: &Client, vpcs: &BTreeSet<VpcId>) -> Result<Vec<Group>, AwsError> {
    if vpcs.is_empty() {
        return Ok(Vec::new());
    }
    let ours = filter(&format!("tag:{ROLE}"), Role::ALL.map(|role| role.tag().to_owned()));
    let there = filter("vpc-id", vpcs.iter().map(ToString::to_string));
    described(ec2, vec![ours, there]).await
}

/// Every group of ours in the Region.
pub(crate) async fn every_group(ec2: &Client) -> Result<Vec<Group>, AwsError> {
    let ours = filter(&format!("tag:{ROLE}"), Role::ALL.map(|role| role.tag().to_owned()));
    described(ec2, vec![ours]).await
}

async fn described(ec2: &Client, filters: Vec<Filter>) -> Result<Vec<Group>, AwsError> {
    let pages = ec2.describe_security_groups().set_filters(Some(filters)).into_paginator().items().send();
    let groups: Vec<SecurityGroup> = pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeSecurityGroups"))?;
    Ok(groups.iter().filter_map(group).collect())
}

/// The group of this name in `vpc`, if it is ours.
pub(crate) async fn group_named(ec2: &Client, vpc: &VpcId, name: &str) -> Result<Option<Group>, AwsError> {
    let (named, there) = (filter("group-name", [name.to_owned()]), filter("vpc-id", [vpc.to_string()]));
    let answer = ec2.describe_security_groups().filters(named).filters(there).send().await;
    let answer = answer.map_err(failed("ec2:DescribeSecurityGroups"))?;
    Ok(answer.security_groups().iter().find_map(group))
}

async fn nics(ec2: &Client, instance: &InstanceId) -> Result<(Vec<Nic>, BTreeMap<InterfaceId, Tracking>), AwsError> {
    let attached = filter("attachment.instance-id", [instance.to_string()]);
    let pages = ec2.describe_network_interfaces().filters(attached).into_paginator().items().send();
    let nics: Vec<NetworkInterface> = pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeNetworkInterfaces"))?;
    let tracking = nics.iter().filter_map(tracking).collect();
    let mut nics: Vec<Nic> = nics.iter().filter_map(nic).collect();
    nics.sort_by(|a, b| a.id.cmp(&b.id));
    Ok((nics, tracking))
}

pub(crate) fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

/// An interface as it was described.
pub(crate) fn nic(nic: &NetworkInterface) -> Option<Nic> {
    Some(Nic {
        id: InterfaceId::parse(nic.network_interface_id()?).ok()?,
        vpc: VpcId::parse(nic.vpc_id()?).ok()?,
        subnet: nic.subnet_id().unwrap_or_default().to_owned(),
        groups: nic.groups().iter().filter_map(|group| GroupId::parse(group.group_id()?).ok()).collect(),
        keeper: keeper(nic),
        trunk: nic.interface_type() == Some(&NetworkInterfaceType::Trunk),
    })
}

fn keeper(nic: &NetworkInterface) -> Keeper {
    let name = |text: Option<&str>| bounded(text.unwrap_or_default(), 64);
    if let Some(operator) = nic.operator().filter(|operator| operator.managed().unwrap_or_default()) {
        Keeper::Operator(name(operator.principal()))
    } else if nic.requester_managed().unwrap_or_default() {
        Keeper::Requester(name(nic.requester_id()))
    } else if nic.interface_type() == Some(&NetworkInterfaceType::Branch) {
        Keeper::Trunk(String::new())
    } else {
        Keeper::Us
    }
}

fn tracking(nic: &NetworkInterface) -> Option<(InterfaceId, Tracking)> {
    let set = nic.connection_tracking_configuration()?;
    let tracking =
        Tracking { tcp_established: set.tcp_established_timeout(), udp_stream: set.udp_stream_timeout(), udp: set.udp_timeout() };
    let id = InterfaceId::parse(nic.network_interface_id()?).ok()?;
    (tracking != Tracking::default()).then_some((id, tracking))
}

fn group(group: &SecurityGroup) -> Option<Group> {
    let tag = |key: &str| group.tags().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    let (role, number) = Role::of(tag(ROLE)?, group.group_name()?)?;
    Some(Group {
        id: GroupId::parse(group.group_id()?).ok()?,
        vpc: VpcId::parse(group.vpc_id()?).ok()?,
        role,
        number,
        retired: tag(RETIRED).is_some(),
        rules: Rules { ingress: group.ip_permissions().to_vec(), egress: group.ip_permissions_egress().to_vec() },
    })
}
