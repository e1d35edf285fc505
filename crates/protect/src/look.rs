//! Looks: the target, its protections and its Auto Scaling group. Changes nothing.

use aws_sdk_ec2::operation::describe_instance_attribute::DescribeInstanceAttributeOutput;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, Instance, InstanceAttributeName, InstanceBlockDeviceMapping, InstanceLifecycleType,
    InstanceNetworkInterface as Nic, InstanceStateName, Reservation,
};
use futures_util::future::{join, join4};
use handler::{AwsError, failed};
use incident::VolumeId;
use incident::protection::{Membership, ShutdownBehavior};
use incident::text::bounded;

use crate::decide::{Mapping, Seen};
use crate::places::{Places, Range};
use crate::{Run, told};

/// One look; `None` where there is no instance any more. What is refused costs only what it would have told; what is only
/// throttled fails at first.
pub(crate) async fn look(run: &Run<'_>) -> Result<Option<Seen>, AwsError> {
    let attributes = join4(
        attribute(run, InstanceAttributeName::DisableApiTermination),
        attribute(run, InstanceAttributeName::DisableApiStop),
        attribute(run, InstanceAttributeName::InstanceInitiatedShutdownBehavior),
        group(run),
    );
    let (instance, (termination, stop, shutdown, group)) = Box::pin(join(instance(run), attributes)).await;
    let Some(instance) = told(instance, run.retry)?.transpose() else { return Ok(None) };
    let gone = |answer: &Result<_, AwsError>| answer.as_ref().is_err_and(|error| error.is(GONE));
    if [&termination, &stop, &shutdown].into_iter().any(gone) {
        return Ok(None);
    }
    let flag = |value: Option<&AttributeBooleanValue>| {
        value.and_then(AttributeBooleanValue::value).ok_or_else(|| "EC2 does not say".to_owned())
    };
    let behavior = |answer: DescribeInstanceAttributeOutput| match answer
        .instance_initiated_shutdown_behavior()
        .and_then(|value| value.value())
    {
        Some("stop") => Ok(ShutdownBehavior::Stop),
        Some("terminate") => Ok(ShutdownBehavior::Terminate),
        other => Err(format!("EC2 says {}", bounded(other.unwrap_or("nothing"), 40))),
    };
    let spot = |instance: &Instance| instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
    Ok(Some(Seen {
        spot: run.plan.target.spot || instance.as_ref().is_ok_and(spot),
        places: instance.as_ref().map(places).map_err(Clone::clone),
        volumes: instance.as_ref().map(volumes).map_err(Clone::clone),
        termination: told(termination, run.retry)?.and_then(|answer| flag(answer.disable_api_termination())),
        stop: told(stop, run.retry)?.and_then(|answer| flag(answer.disable_api_stop())),
        shutdown: told(shutdown, run.retry)?.and_then(behavior),
        group: told(group, run.retry)?,
    }))
}

/// What EC2 says of an instance that it knows no more.
const GONE: &str = "InvalidInstanceID.NotFound";

async fn attribute(run: &Run<'_>, name: InstanceAttributeName) -> Result<DescribeInstanceAttributeOutput, AwsError> {
    let call = run.clients.ec2.describe_instance_attribute().instance_id(run.plan.target.instance_id.as_str()).attribute(name);
    call.send().await.map_err(failed("ec2:DescribeInstanceAttribute"))
}

async fn instance(run: &Run<'_>) -> Result<Option<Instance>, AwsError> {
    let call = run.clients.ec2.describe_instances().instance_ids(run.plan.target.instance_id.as_str());
    let answer = match call.send().await.map_err(failed("ec2:DescribeInstances")) {
        Err(error) if error.is(GONE) => return Ok(None),
        other => other?,
    };
    let found = answer.reservations().iter().flat_map(Reservation::instances).next().cloned();
    let gone = |instance: &Instance| {
        let state = instance.state().and_then(|state| state.name());
        matches!(state, Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated))
    };
    Ok(found.filter(|instance| !gone(instance)))
}

fn places(instance: &Instance) -> Places {
    let nics = instance.network_interfaces();
    let v4 = nics.iter().flat_map(Nic::private_ip_addresses).filter_map(|it| it.private_ip_address());
    let v6 = nics.iter().flat_map(Nic::ipv6_addresses).filter_map(|it| it.ipv6_address());
    let v4_prefixes = nics.iter().flat_map(Nic::ipv4_prefixes).filter_map(|it| it.ipv4_prefix());
    let v6_prefixes = nics.iter().flat_map(Nic::ipv6_prefixes).filter_map(|it| it.ipv6_prefix());
    Places {
        vpcs: nics.iter().filter_map(|nic| nic.vpc_id()).map(str::to_owned).collect(),
        ranges: v4.chain(v6).chain(v4_prefixes).chain(v6_prefixes).filter_map(Range::parse).collect(),
    }
}

fn volumes(instance: &Instance) -> Vec<Mapping> {
    let mapping = |it: &InstanceBlockDeviceMapping| {
        let ebs = it.ebs()?;
        let (volume, device) = (VolumeId::parse(ebs.volume_id()?).ok()?, it.device_name()?.to_owned());
        Some(Mapping { volume, device, deleted: ebs.delete_on_termination() })
    };
    instance.block_device_mappings().iter().filter_map(mapping).collect()
}

async fn group(run: &Run<'_>) -> Result<Option<Membership>, AwsError> {
    let call = run.clients.autoscaling.describe_auto_scaling_instances().instance_ids(run.plan.target.instance_id.as_str());
    let answer = call.send().await.map_err(failed("autoscaling:DescribeAutoScalingInstances"))?;
    Ok(answer.auto_scaling_instances().first().map(|found| Membership {
        name: found.auto_scaling_group_name().unwrap_or_default().to_owned(),
        lifecycle: bounded(found.lifecycle_state().unwrap_or_default(), 64),
        protected_from_scale_in: found.protected_from_scale_in().unwrap_or_default(),
    }))
}
