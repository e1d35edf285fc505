//! Prepare: the groups of a VPC before anybody needs them, so that its first incident takes two round trips less.
//!
//! Safe to repeat, and beside incidents: what is there and right is left alone, and two that make the same group at once find
//! each other's. No case is open here, so that nothing is recorded but what CloudTrail has.

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::Vpc;
use futures_util::{StreamExt as _, stream};
use handler::{AwsError, failed};
use incident::VpcId;
use incident::sweep::{Prepared, PreparedVpc};
use incident::text::bounded;

use crate::decide::{GroupNeed, Role, World, group_need};
use crate::groups::{Ensured, ensure};
use crate::world::groups;
use crate::{Clients, Error};

/// How many VPCs are prepared at a time. Nothing here is urgent, and incidents share the bucket of requests.
const AT_ONCE: usize = 2;
/// What the tag `cordon:case` of a group says that no case made.
const MADE_BY: &str = "prepare";

/// Finds or makes the isolation and the conversion group of each of `vpcs`, or of every VPC where none is named.
pub(crate) async fn prepare(clients: &Clients, vpcs: Vec<VpcId>) -> Result<Prepared, Error> {
    let all = if vpcs.is_empty() { self::vpcs(&clients.ec2).await? } else { vpcs.into_iter().collect() };
    let world = World { groups: groups(&clients.ec2, &all).await?, ..World::default() };
    let world = &world;
    let preparing = all.into_iter().map(|vpc| one(clients, world, vpc));
    let vpcs = stream::iter(preparing).buffered(AT_ONCE).collect().await;
    Ok(Prepared { vpcs })
}

async fn one(clients: &Clients, world: &World, vpc: VpcId) -> PreparedVpc {
    let need = |role| group_need(world, &vpc, role, None);
    let (isolation, conversion) = (need(Role::Isolation), need(Role::Conversion));
    // One after the other: a VPC whose isolation group cannot be had needs no group that is open to everybody.
    let isolated = ready(clients, &vpc, &isolation).await;
    let converted = if isolated.id.is_some() { ready(clients, &vpc, &conversion).await } else { Ensured::default() };
    let attempts: Vec<_> = isolated.attempts.iter().chain(&converted.attempts).collect();
    let errors: Vec<String> = attempts.iter().filter_map(|attempt| attempt.error.as_ref()).map(ToString::to_string).collect();
    tracing::info!(%vpc, calls = attempts.len(), failed = errors.len(), "prepared");
    PreparedVpc {
        changed: !attempts.is_empty(),
        isolation: isolated.id,
        conversion: converted.id,
        reason: bounded(&errors.join("; "), 400),
        vpc,
    }
}

async fn ready(clients: &Clients, vpc: &VpcId, need: &GroupNeed) -> Ensured {
    ensure(&clients.ec2, MADE_BY, vpc, need, None).await
}

/// Every VPC of the Region.
pub(crate) async fn vpcs(ec2: &Client) -> Result<BTreeSet<VpcId>, AwsError> {
    let pages = ec2.describe_vpcs().into_paginator().items().send();
    let vpcs: Vec<Vpc> = pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeVpcs"))?;
    Ok(vpcs.iter().filter_map(|vpc| VpcId::parse(vpc.vpc_id()?).ok()).collect())
}
