//! Looks: the target, and what was around it. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, Filter, HttpTokensState, Instance, InstanceAttributeName,
    InstanceMetadataEndpointState, InstanceMetadataOptionsState, InstanceNetworkInterface, InstanceStateName, SecurityGroup,
};
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum};
use futures_util::future::{join, join3, join4};
use futures_util::{StreamExt as _, stream};
use handler::{AwsError, failed};
use incident::plan::{Metadata, TargetState, Tracking};
use incident::protection::ShutdownBehavior;
use incident::{Classify as _, Fault, GroupId, InstanceId, InterfaceId, VolumeId};

use crate::Clients;
use crate::now::{Capacity, Disk, Groups, Listed, Nic, Now, Told, is_ours};

/// How many target groups or load balancers are asked for at a time.
const AT_ONCE: usize = 16;
/// The most values that a filter takes.
const MOST_VALUES: usize = 200;

/// What to look for around the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Target groups, by ARN.
    pub(crate) target_groups: BTreeSet<String>,
    /// Classic load balancers, by name.
    pub(crate) classic: BTreeSet<String>,
}

/// The target now. Fails only where the instance itself could not be read.
pub(crate) async fn look(clients: &Clients, id: &InstanceId, around: &Around) -> Told<Now> {
    let attributes = Box::pin(join3(
        boolean(clients, id, InstanceAttributeName::DisableApiTermination),
        boolean(clients, id, InstanceAttributeName::DisableApiStop),
        shutdown(clients, id),
    ));
    let balancers = Box::pin(join(target_groups(clients, &around.target_groups), classic(clients, id, &around.classic)));
    let (instance, attributes, group, (target_groups, classic)) =
        Box::pin(join4(instance(clients, id), attributes, group(clients, id), balancers)).await;
    let (termination_protection, stop_protection, shutdown_behavior) = attributes;
    let found = instance?;
    let mut now = Now {
        instance: id.clone(),
        state: TargetState::Gone,
        nics: Vec::new(),
        disks: Vec::new(),
        metadata: None,
        applying: false,
        termination_protection,
        stop_protection,
        shutdown_behavior,
        group,
        target_groups,
        classic,
    };
    if let Some(found) = found {
        describe(&mut now, &found);
    }
    Ok(now)
}

async fn instance(clients: &Clients, id: &InstanceId) -> Told<Option<Instance>> {
    let described = clients.ec2.describe_instances().instance_ids(id.as_str()).send().await;
    match described.map_err(failed("ec2:DescribeInstances")) {
        Ok(page) => {
            let mut found = page.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default());
            Ok(found.find(|instance| instance.instance_id() == Some(id.as_str())))
        }
        Err(error) if error.fault() == Fault::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

fn describe(now: &mut Now, found: &Instance) {
    now.state = match found.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Pending) => TargetState::Pending,
        Some(InstanceStateName::Running) => TargetState::Running,
        Some(InstanceStateName::Stopping) => TargetState::Stopping,
        Some(InstanceStateName::Stopped) => TargetState::Stopped,
        Some(InstanceStateName::ShuttingDown) => TargetState::ShuttingDown,
        Some(InstanceStateName::Terminated) => TargetState::Terminated,
        _ => TargetState::Gone,
    };
    now.nics = found.network_interfaces().iter().filter_map(nic).collect();
    let disks = found.block_device_mappings().iter().filter_map(|mapping| {
        let ebs = mapping.ebs()?;
        Some(Disk {
            id: VolumeId::parse(ebs.volume_id()?).ok()?,
            device: mapping.device_name()?.to_owned(),
            delete_on_termination: ebs.delete_on_termination(),
        })
    });
    now.disks = disks.collect();
    let options = found.metadata_options();
    now.metadata = options.map(|options| Metadata {
        enabled: options.http_endpoint() != Some(&InstanceMetadataEndpointState::Disabled),
        tokens_required: options.http_tokens() == Some(&HttpTokensState::Required),
        hop_limit: options.http_put_response_hop_limit().unwrap_or(1),
    });
    now.applying = options.and_then(|options| options.state()) == Some(&InstanceMetadataOptionsState::Pending);
}

fn nic(nic: &InstanceNetworkInterface) -> Option<Nic> {
    let private = nic.private_ip_addresses().iter().filter_map(|address| address.private_ip_address());
    let v6 = nic.ipv6_addresses().iter().filter_map(|address| address.ipv6_address());
    let mut addresses: Vec<String> = nic.private_ip_address().into_iter().chain(private).chain(v6).map(str::to_owned).collect();
    addresses.sort();
    addresses.dedup();
    let tracking = nic.connection_tracking_configuration().map(|set| Tracking {
        tcp_established: set.tcp_established_timeout(),
        udp_stream: set.udp_stream_timeout(),
        udp: set.udp_timeout(),
    });
    Some(Nic {
        id: InterfaceId::parse(nic.network_interface_id()?).ok()?,
        groups: nic.groups().iter().filter_map(|group| GroupId::parse(group.group_id()?).ok()).collect(),
        tracking: tracking.filter(|tracking| *tracking != Tracking::default()),
        public: nic.association().and_then(|association| association.public_ip()).map(str::to_owned),
        addresses,
    })
}

/// EC2's answer lacks what was asked for: it is not known, and asking again may help.
fn unsaid(action: &'static str) -> AwsError {
    AwsError {
        action,
        code: "UnreadableAnswer".to_owned(),
        message: "the answer does not say".to_owned(),
        request_id: String::new(),
        fault: Fault::Invalid,
    }
}

async fn boolean(clients: &Clients, id: &InstanceId, name: InstanceAttributeName) -> Told<bool> {
    const ACTION: &str = "ec2:DescribeInstanceAttribute";
    let stop = name == InstanceAttributeName::DisableApiStop;
    let asked = clients.ec2.describe_instance_attribute().instance_id(id.as_str()).attribute(name).send().await;
    let answer = asked.map_err(failed(ACTION))?;
    let value = if stop { answer.disable_api_stop() } else { answer.disable_api_termination() };
    value.and_then(AttributeBooleanValue::value).ok_or_else(|| unsaid(ACTION))
}

async fn shutdown(clients: &Clients, id: &InstanceId) -> Told<ShutdownBehavior> {
    const ACTION: &str = "ec2:DescribeInstanceAttribute";
    let asked = clients.ec2.describe_instance_attribute().instance_id(id.as_str());
    let asked = asked.attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior).send().await;
    let answer = asked.map_err(failed(ACTION))?;
    match answer.instance_initiated_shutdown_behavior().and_then(AttributeValue::value) {
        Some("stop") => Ok(ShutdownBehavior::Stop),
        Some("terminate") => Ok(ShutdownBehavior::Terminate),
        _ => Err(unsaid(ACTION)),
    }
}

/// The Auto Scaling group that it is in. One that it is leaving counts as left.
async fn group(clients: &Clients, id: &InstanceId) -> Told<Option<String>> {
    let asked = clients.autoscaling.describe_auto_scaling_instances().instance_ids(id.as_str()).send().await;
    let answer = asked.map_err(failed("autoscaling:DescribeAutoScalingInstances"))?;
    let leaving = |state: &str| state.starts_with("Detach") || state.starts_with("Terminat");
    let mut inside = answer
        .auto_scaling_instances()
        .iter()
        .filter(|there| there.instance_id() == Some(id.as_str()) && !there.lifecycle_state().is_some_and(leaving));
    Ok(inside.next().and_then(|there| there.auto_scaling_group_name()).map(str::to_owned))
}

/// How large an Auto Scaling group is; `None` where there is none of this name.
pub(crate) async fn capacity(clients: &Clients, name: &str) -> Told<Option<Capacity>> {
    let asked = clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await;
    let answer = asked.map_err(failed("autoscaling:DescribeAutoScalingGroups"))?;
    let found = answer.auto_scaling_groups().iter().find(|group| group.auto_scaling_group_name() == Some(name));
    Ok(found.map(|group| Capacity {
        desired: group.desired_capacity().unwrap_or(i32::MAX),
        most: group.max_size().unwrap_or_default(),
    }))
}

async fn target_groups(clients: &Clients, arns: &BTreeSet<String>) -> BTreeMap<String, Told<Option<Vec<Listed>>>> {
    let asked = arns.iter().map(|arn| async move { (arn.clone(), Box::pin(target_group(clients, arn)).await) });
    Box::pin(stream::iter(asked).buffered(AT_ONCE).collect()).await
}

/// All that a target group lists, since with a target and no port only the group's own port would be answered. Whether the
/// group is there is asked beside it.
async fn target_group(clients: &Clients, arn: &str) -> Told<Option<Vec<Listed>>> {
    let there = clients.elbv2.describe_target_groups().target_group_arns(arn).send();
    let health = clients.elbv2.describe_target_health().target_group_arn(arn).send();
    let (there, health) = Box::pin(join(there, health)).await;
    let there = there.map_err(failed("elasticloadbalancing:DescribeTargetGroups"));
    let health = health.map_err(failed("elasticloadbalancing:DescribeTargetHealth"));
    let gone = |error: &AwsError| error.is("TargetGroupNotFound");
    if there.as_ref().err().is_some_and(gone) || health.as_ref().err().is_some_and(gone) {
        return Ok(None);
    }
    Ok(Some(health?.target_health_descriptions().iter().filter_map(listed).collect()))
}

/// A target that is registered. One that is draining has been taken out.
fn listed(described: &TargetHealthDescription) -> Option<Listed> {
    let health = described.target_health();
    let draining = health.and_then(|health| health.state()) == Some(&TargetHealthStateEnum::Draining);
    let unknown = health.and_then(|health| health.reason()) == Some(&TargetHealthReasonEnum::NotRegistered);
    let target = described.target()?;
    (!draining && !unknown).then(|| Listed { target: target.id().unwrap_or_default().to_owned(), port: target.port() })
}

async fn classic(clients: &Clients, id: &InstanceId, names: &BTreeSet<String>) -> BTreeMap<String, Told<Option<bool>>> {
    let asked = names.iter().map(|name| async move {
        let asked = clients.elb.describe_load_balancers().load_balancer_names(name).send().await;
        let told = match asked.map_err(failed("elasticloadbalancing:DescribeLoadBalancers")) {
            Ok(answer) => {
                let found = answer.load_balancer_descriptions().iter().find(|it| it.load_balancer_name() == Some(name.as_str()));
                Ok(found.map(|it| it.instances().iter().any(|instance| instance.instance_id() == Some(id.as_str()))))
            }
            Err(error) if error.is("LoadBalancerNotFound") || error.is("AccessPointNotFound") => Ok(None),
            Err(error) => Err(error),
        };
        (name.clone(), told)
    });
    Box::pin(stream::iter(asked).buffered(AT_ONCE).collect()).await
}

/// Which of these security groups there are, and whether each is ours. By filter, since an id that EC2 does not know would
/// fail the whole call.
pub(crate) async fn groups(clients: &Clients, ids: &BTreeSet<GroupId>) -> Told<Groups> {
    let mut found = Groups::new();
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    for some in ids.chunks(MOST_VALUES) {
        let filter = Filter::builder().name("group-id").set_values(Some(some.to_vec())).build();
        let pages = clients.ec2.describe_security_groups().filters(filter).into_paginator().items().send();
        let described: Vec<SecurityGroup> =
            pages.collect::<Result<_, _>>().await.map_err(failed("ec2:DescribeSecurityGroups"))?;
        found.extend(described.iter().filter_map(|group| {
            let role = group.tags().iter().find(|tag| tag.key() == Some("cordon:role")).and_then(|tag| tag.value());
            let ours = is_ours(role.unwrap_or_default(), group.group_name().unwrap_or_default());
            Some((GroupId::parse(group.group_id()?).ok()?, ours))
        }));
    }
    Ok(found)
}
