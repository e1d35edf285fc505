//! Looking: the policy, the target, and the Auto Scaling group around it. Changes nothing.

use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::types::{
    ArchitectureValues, EbsInstanceBlockDevice, Filter, HttpTokensState, Instance, InstanceLifecycleType,
    InstanceMetadataEndpointState, InstanceNetworkInterface, InstanceNetworkInterfaceAttachment, InstanceStateName, InstanceType,
    Reservation,
};
use handler::{AwsError, failed};
use incident::plan::{Address, Architecture, Interface, Metadata, PolicySource, Target, TargetState, Tracking, Volume};
use incident::policy::Policy;
use incident::text::bounded;
use incident::{Classify, ExecutionArn, Fault, GroupId, InstanceId, InterfaceId, VolumeId, VpcId};

use crate::path::Primary;
use crate::{Clients, Error};

/// The target as it was seen, with what decides but stands in no plan.
#[derive(Debug, Clone)]
pub struct Seen {
    /// For the plan.
    pub target: Target,
    /// Its tags; hostile.
    pub tags: Vec<(String, String)>,
    /// Groups on its interfaces whose names begin as ours do. Only their tags prove that they are.
    pub likely_ours: Vec<GroupId>,
    /// Its primary interface.
    pub primary: Option<Primary>,
    /// Its type.
    pub instance_type: Option<InstanceType>,
}

/// The policy, or what holds where none can be read. A throttled call is tried again by the machine, twice; then the
/// fallback holds, since a target must not stay open for want of a policy.
pub(crate) async fn policy(clients: &Clients, retry: u32) -> Result<(Policy, PolicySource), Error> {
    let answer = clients.ssm.get_parameter().name(&clients.policy_parameter).with_decryption(true).send().await;
    let parameter = match answer.map_err(failed("ssm:GetParameter")) {
        Ok(answer) => answer.parameter,
        Err(error) if error.fault() == Fault::Transient && retry < 2 => return Err(error.into()),
        Err(error) => return Ok(Policy::fallback(&error.to_string())),
    };
    let Some(parameter) = parameter else { return Ok(Policy::fallback("the parameter came back empty")) };
    Ok(match Policy::parse(parameter.value().unwrap_or_default()) {
        Ok(policy) => (policy, PolicySource::Parameter { name: clients.policy_parameter.clone(), version: parameter.version() }),
        Err(error) => Policy::fallback(&error.to_string()),
    })
}

/// The target. One that is gone is still a case.
pub(crate) async fn target(clients: &Clients, instance: &InstanceId, execution: &ExecutionArn) -> Result<Seen, Error> {
    let answer = clients.ec2.describe_instances().instance_ids(instance.as_str()).send().await;
    let answer = match answer.map_err(failed("ec2:DescribeInstances")) {
        Err(error) if error.is("InvalidInstanceID.NotFound") || error.is("InvalidInstanceID.Malformed") => None,
        other => Some(other?),
    };
    let found = answer
        .iter()
        .flat_map(DescribeInstancesOutput::reservations)
        .flat_map(Reservation::instances)
        .find(|i| i.instance_id() == Some(instance.as_str()));
    Ok(found.map_or_else(|| gone(instance, execution), |found| seen(found, instance, execution)))
}

fn gone(instance: &InstanceId, execution: &ExecutionArn) -> Seen {
    let target = Target {
        instance_id: instance.clone(),
        account: execution.account().to_owned(),
        region: execution.region().to_owned(),
        state: TargetState::Gone,
        interfaces: Vec::new(),
        volumes: Vec::new(),
        profile: None,
        spot: false,
        architecture: None,
        windows: false,
        memory_mib: None,
        metadata: None,
    };
    Seen { target, tags: Vec::new(), likely_ours: Vec::new(), primary: None, instance_type: None }
}

fn seen(found: &Instance, instance: &InstanceId, execution: &ExecutionArn) -> Seen {
    let mut seen = gone(instance, execution);
    seen.target.state = match found.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Pending) => TargetState::Pending,
        Some(InstanceStateName::Stopping) => TargetState::Stopping,
        Some(InstanceStateName::Stopped) => TargetState::Stopped,
        Some(InstanceStateName::ShuttingDown) => TargetState::ShuttingDown,
        Some(InstanceStateName::Terminated) => TargetState::Terminated,
        // A state that we do not know is handled as the one with most to contain.
        _ => TargetState::Running,
    };
    for nic in found.network_interfaces() {
        let id = nic.network_interface_id().and_then(|id| InterfaceId::parse(id).ok());
        let vpc = nic.vpc_id().and_then(|id| VpcId::parse(id).ok());
        let (Some(id), Some(vpc)) = (id, vpc) else { continue };
        let ids = nic.groups().iter().filter_map(|group| Some((GroupId::parse(group.group_id()?).ok()?, group.group_name())));
        let mut groups = Vec::new();
        for (group, name) in ids {
            if name.is_some_and(|name| name.starts_with("cordon-")) {
                seen.likely_ours.push(group.clone());
            }
            groups.push(group);
        }
        if nic.attachment().and_then(InstanceNetworkInterfaceAttachment::device_index) == Some(0) {
            seen.primary = Some(primary(nic, id.clone()));
        }
        seen.target.interfaces.push(Interface { id, vpc, groups, tracking: tracking(nic), address: address(nic) });
    }
    for mapping in found.block_device_mappings() {
        let Some(id) = mapping.ebs().and_then(|ebs| VolumeId::parse(ebs.volume_id()?).ok()) else { continue };
        let root = mapping.device_name().is_some() && mapping.device_name() == found.root_device_name();
        let device = bounded(mapping.device_name().unwrap_or_default(), 64);
        let delete_on_termination = mapping.ebs().and_then(EbsInstanceBlockDevice::delete_on_termination);
        seen.target.volumes.push(Volume { id, device, root, delete_on_termination });
    }
    seen.target.profile = found.iam_instance_profile().and_then(|p| p.arn()).map(|arn| bounded(arn, 300));
    seen.target.architecture = match found.architecture() {
        Some(ArchitectureValues::X8664) => Some(Architecture::X86_64),
        Some(ArchitectureValues::Arm64) => Some(Architecture::Arm64),
        _ => None,
    };
    seen.target.windows = found.platform().is_some_and(|platform| platform.as_str().eq_ignore_ascii_case("windows"));
    seen.target.metadata = found.metadata_options().map(|options| Metadata {
        enabled: options.http_endpoint() != Some(&InstanceMetadataEndpointState::Disabled),
        tokens_required: options.http_tokens() == Some(&HttpTokensState::Required),
        hop_limit: options.http_put_response_hop_limit().unwrap_or(1),
    });
    seen.instance_type = found.instance_type().cloned();
    seen.target.spot = found.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
    let tag =
        |tag: &aws_sdk_ec2::types::Tag| (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned());
    seen.tags = found.tags().iter().map(tag).collect();
    seen
}

/// How long idle connections are tracked, where anybody has set it.
fn tracking(nic: &InstanceNetworkInterface) -> Option<Tracking> {
    let set = nic.connection_tracking_configuration()?;
    let tracking =
        Tracking { tcp_established: set.tcp_established_timeout(), udp_stream: set.udp_stream_timeout(), udp: set.udp_timeout() };
    (tracking != Tracking::default()).then_some(tracking)
}

/// The public address. One that EC2 gave belongs to `amazon`; an Elastic IP address to its account.
fn address(nic: &InstanceNetworkInterface) -> Option<Address> {
    let association = nic.association()?;
    let ip = association.public_ip()?.parse::<std::net::Ipv4Addr>().ok()?;
    Some(Address { ip: ip.to_string(), assigned: association.ip_owner_id() == Some("amazon") })
}

fn primary(nic: &InstanceNetworkInterface, interface: InterfaceId) -> Primary {
    Primary {
        interface,
        subnet: nic.subnet_id().unwrap_or_default().to_owned(),
        address: nic.private_ip_address().and_then(|address| address.parse().ok()),
        isolated: nic.groups().iter().any(|group| group.group_name().is_some_and(|name| name.starts_with("cordon-isolation"))),
    }
}

/// Whether an interface wears a group of ours: one with our tag, which only we may set.
pub(crate) async fn wears_ours(clients: &Clients, seen: &Seen) -> Result<bool, Error> {
    if seen.likely_ours.is_empty() {
        return Ok(false);
    }
    let ids = seen.likely_ours.iter().map(ToString::to_string).collect();
    let filter = Filter::builder().name("group-id").set_values(Some(ids)).build();
    let ours = Filter::builder().name("tag-key").values("cordon:role").build();
    let answer = clients.ec2.describe_security_groups().filters(filter).filters(ours).send().await;
    Ok(!answer.map_err(failed("ec2:DescribeSecurityGroups"))?.security_groups().is_empty())
}

/// How many instances the target's Auto Scaling group has, and how many of the others wear an isolation group.
pub(crate) async fn group(clients: &Clients, seen: &Seen) -> Result<(usize, usize), AwsError> {
    let name = seen.tags.iter().find(|(key, _)| key == "aws:autoscaling:groupName").map(|(_, value)| value);
    let Some(name) = name else { return Ok((0, 0)) };
    let tag = Filter::builder().name("tag:aws:autoscaling:groupName").values(name).build();
    let states = ["pending", "running", "stopping", "stopped"].map(str::to_owned).to_vec();
    let state = Filter::builder().name("instance-state-name").set_values(Some(states)).build();
    let (mut members, mut contained, mut next) = (0, 0, None);
    loop {
        let page = clients.ec2.describe_instances().filters(tag.clone()).filters(state.clone()).set_next_token(next);
        let page = page.send().await.map_err(failed("ec2:DescribeInstances"))?;
        for member in page.reservations().iter().flat_map(Reservation::instances) {
            members += 1;
            let nics = member.network_interfaces();
            let isolated = |nic: &aws_sdk_ec2::types::InstanceNetworkInterface| {
                nic.groups().iter().any(|group| group.group_name().is_some_and(|name| name.starts_with("cordon-isolation")))
            };
            let other = member.instance_id() != Some(seen.target.instance_id.as_str());
            contained += usize::from(other && nics.iter().any(isolated));
        }
        next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
        if next.is_none() {
            return Ok((members, contained));
        }
    }
}
