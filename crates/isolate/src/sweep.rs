//! The sweep: every group of ours and every interface in one, whichever case left it so. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::NetworkInterface;
use futures_util::future;
use handler::{AwsError, failed};
use incident::claim::Claim;
use incident::sweep::{Problem, ProblemKind, Swept};
use incident::{GroupId, InstanceId, InterfaceId, VpcId};

use crate::decide::{Group, Role, World};
use crate::{Clients, Error, prepare, world};

/// How many groups one call asks for: EC2 takes 200 values for a filter.
const IN_ONE_CALL: usize = 200;

/// An interface that is in a group of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The interface.
    pub id: InterfaceId,
    /// The instance that it is attached to, where it is attached to one.
    pub instance: Option<InstanceId>,
    /// Its groups.
    pub groups: Vec<GroupId>,
}

/// Looks at everything that containment leaves behind.
pub(crate) async fn sweep(clients: &Clients) -> Result<Swept, Error> {
    let (vpcs, groups) = future::join(prepare::vpcs(&clients.ec2), world::every_group(&clients.ec2)).await;
    let (vpcs, groups) = (vpcs?, groups?);
    let inside = inside(&clients.ec2, &groups).await?;
    let instances: BTreeSet<&InstanceId> = on_the_path(&groups, &inside).filter_map(|nic| nic.instance.as_ref()).collect();
    let claims = future::join_all(instances.iter().map(|instance| async {
        let there = clients.store.get(&Claim::key(instance)).await;
        there.map(|claim| ((*instance).clone(), claim.is_some()))
    }))
    .await;
    let open: BTreeMap<InstanceId, bool> = claims.into_iter().collect::<Result<_, _>>()?;
    let problems = problems(&vpcs, &groups, &inside, &open);
    Ok(Swept { vpcs: vpcs.len(), groups: groups.len(), interfaces: inside.len(), problems })
}

/// What is not as it should be, the urgent first. `open` says of which instances a case is open.
pub fn problems(vpcs: &BTreeSet<VpcId>, groups: &[Group], inside: &[Inside], open: &BTreeMap<InstanceId, bool>) -> Vec<Problem> {
    let world = World { groups: groups.to_vec(), ..World::default() };
    let mut found = Vec::new();
    let mut add = |kind, subject: &dyn ToString, advice: String| {
        found.push(Problem { kind, subject: subject.to_string(), advice });
    };
    for nic in inside {
        let doors = nic.groups.iter().filter_map(|id| world.group(id)).filter(|group| group.role == Role::Conversion);
        for door in doors {
            if door.rules.is_empty() {
                let advice = format!(
                    "it sits in the closed conversion group {}: nothing passes, but no case can move it. Move it to the isolation \
                     group of {} by hand",
                    door.id, door.vpc
                );
                add(ProblemKind::StuckInterface, &nic.id, advice);
            } else {
                let target = nic.instance.as_ref().map_or_else(|| "INSTANCE".to_owned(), ToString::to_string);
                let advice = format!(
                    "it sits in the conversion group {}, open to everybody. Contain its instance now: cordon respond {target} --reason \
                     'left in a conversion group'",
                    door.id
                );
                add(ProblemKind::InConversionGroup, &nic.id, advice);
            }
        }
    }
    for nic in on_the_path(groups, inside) {
        let handled = nic.instance.as_ref().is_some_and(|instance| open.get(instance).copied().unwrap_or_default());
        if !handled {
            let advice =
                "it still has the way out that memory is collected through, and no case of its instance is open: move it to \
                          the VPC's isolation group by hand"
                    .to_owned();
            add(ProblemKind::PathLeftOpen, &nic.id, advice);
        }
    }
    for group in groups.iter().filter(|group| is_edited(group)) {
        let then = match group.role {
            Role::Isolation => format!("then run cordon prepare --vpc {}", group.vpc),
            // Prepare leaves both alone: the one belongs to the cases, and the other is never used again.
            Role::Collection => "and take them away by hand; the next case that collects memory does so too".to_owned(),
            Role::Conversion => "and take them away by hand: it was closed for good, and nothing opens it again".to_owned(),
        };
        let advice =
            format!("this {} group has rules that Cordon did not make: find out who (CloudTrail), {then}", group.role.tag());
        add(ProblemKind::EditedGroup, &group.id, advice);
    }
    for vpc in vpcs {
        let there = |role| world.current(vpc, role).is_some();
        if !there(Role::Isolation) || !there(Role::Conversion) {
            let advice = format!("its first incident takes two round trips more: cordon prepare --vpc {vpc}");
            add(ProblemKind::Unprepared, vpc, advice);
        }
    }
    found.sort_by_key(|problem| !problem.kind.is_urgent());
    found
}

/// Whether a group has rules that ours never has. What one only lacks is given back when it is used next.
fn is_edited(group: &Group) -> bool {
    let rules = &group.rules;
    match group.role {
        Role::Isolation => !rules.is_empty(),
        // It may be read while it is made, and a closed one has none.
        Role::Conversion => group.retired && !rules.is_empty(),
        Role::Collection => {
            let addresses = |p: &aws_sdk_ec2::types::IpPermission| !p.ip_ranges().is_empty() || !p.ipv6_ranges().is_empty();
            !rules.ingress.is_empty() || rules.egress.iter().any(addresses)
        }
    }
}

fn on_the_path<'a>(groups: &'a [Group], inside: &'a [Inside]) -> impl Iterator<Item = &'a Inside> {
    let collection: BTreeSet<&GroupId> =
        groups.iter().filter(|group| group.role == Role::Collection).map(|group| &group.id).collect();
    inside.iter().filter(move |nic| nic.groups.iter().any(|id| collection.contains(id)))
}

async fn inside(ec2: &Client, groups: &[Group]) -> Result<Vec<Inside>, AwsError> {
    let ids: Vec<String> = groups.iter().map(|group| group.id.to_string()).collect();
    let mut inside = Vec::new();
    for some in ids.chunks(IN_ONE_CALL) {
        let wearing = world::filter("group-id", some.iter().cloned());
        let pages = ec2.describe_network_interfaces().filters(wearing).into_paginator().items().send();
        let nics: Vec<NetworkInterface> =
            pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeNetworkInterfaces"))?;
        inside.extend(nics.iter().filter_map(seen));
    }
    inside.sort_by(|a: &Inside, b| a.id.cmp(&b.id));
    inside.dedup_by(|a, b| a.id == b.id);
    Ok(inside)
}

fn seen(nic: &NetworkInterface) -> Option<Inside> {
    Some(Inside {
        id: InterfaceId::parse(nic.network_interface_id()?).ok()?,
        instance: nic.attachment().and_then(|attachment| InstanceId::parse(attachment.instance_id()?).ok()),
        groups: nic.groups().iter().filter_map(|group| GroupId::parse(group.group_id()?).ok()).collect(),
    })
}
