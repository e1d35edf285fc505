//! The one call that gives a thing back, and the change as it stands in intents and outcomes.

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, ConnectionTrackingSpecificationRequest, EbsInstanceBlockDeviceSpecification,
    HttpTokensState, InstanceBlockDeviceMappingSpecification, InstanceMetadataEndpointState,
};
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use handler::failed;
use incident::plan::{Metadata, Tracking};
use incident::protection::Registration;
use incident::record::Change;
use incident::release::Restore;
use incident::{GroupId, InstanceId, InterfaceId};
use serde_json::{Value, json};

use crate::Clients;
use crate::now::{Now, Told};

/// The action that moves an interface and sets how its connections are tracked.
pub(crate) const MODIFY_INTERFACE: &str = "ec2:ModifyNetworkInterfaceAttribute";
const MODIFY_INSTANCE: &str = "ec2:ModifyInstanceAttribute";
const MODIFY_METADATA: &str = "ec2:ModifyInstanceMetadataOptions";
const REGISTER: &str = "elasticloadbalancing:RegisterTargets";
const REGISTER_CLASSIC: &str = "elasticloadbalancing:RegisterInstancesWithLoadBalancer";
const ATTACH: &str = "autoscaling:AttachInstances";

/// Gives one thing back.
pub(crate) async fn give(clients: &Clients, id: &InstanceId, restore: &Restore) -> Told<()> {
    match restore {
        Restore::Metadata { to } => metadata(clients, id, to).await,
        Restore::Tracking { interface, to } => tracking(clients, interface, *to).await,
        Restore::Groups { interface, to } => groups(clients, interface, to).await,
        Restore::TargetGroup { registration } => register(clients, registration).await,
        Restore::ClassicBalancer { name } => register_classic(clients, id, name).await,
        Restore::AutoScalingGroup { name } => {
            let call = clients.autoscaling.attach_instances().instance_ids(id.as_str()).auto_scaling_group_name(name);
            call.send().await.map(drop).map_err(failed(ATTACH))
        }
        Restore::DeleteOnTermination { volume, device, to } => {
            let ebs = EbsInstanceBlockDeviceSpecification::builder().volume_id(volume.as_str()).delete_on_termination(*to);
            let mapping = InstanceBlockDeviceMappingSpecification::builder().device_name(device).ebs(ebs.build()).build();
            let call = clients.ec2.modify_instance_attribute().instance_id(id.as_str()).block_device_mappings(mapping);
            call.send().await.map(drop).map_err(failed(MODIFY_INSTANCE))
        }
        Restore::ShutdownBehavior { to } => {
            let to = AttributeValue::builder().value(to.name()).build();
            let call = clients.ec2.modify_instance_attribute().instance_id(id.as_str()).instance_initiated_shutdown_behavior(to);
            call.send().await.map(drop).map_err(failed(MODIFY_INSTANCE))
        }
        Restore::StopProtection { to } => {
            let to = AttributeBooleanValue::builder().value(*to).build();
            let call = clients.ec2.modify_instance_attribute().instance_id(id.as_str()).disable_api_stop(to);
            call.send().await.map(drop).map_err(failed(MODIFY_INSTANCE))
        }
        Restore::TerminationProtection { to } => {
            let to = AttributeBooleanValue::builder().value(*to).build();
            let call = clients.ec2.modify_instance_attribute().instance_id(id.as_str()).disable_api_termination(to);
            call.send().await.map(drop).map_err(failed(MODIFY_INSTANCE))
        }
    }
}

async fn metadata(clients: &Clients, id: &InstanceId, to: &Metadata) -> Told<()> {
    let endpoint = if to.enabled { InstanceMetadataEndpointState::Enabled } else { InstanceMetadataEndpointState::Disabled };
    let tokens = if to.tokens_required { HttpTokensState::Required } else { HttpTokensState::Optional };
    let call = clients.ec2.modify_instance_metadata_options().instance_id(id.as_str()).http_endpoint(endpoint);
    let call = call.http_tokens(tokens).http_put_response_hop_limit(to.hop_limit);
    call.send().await.map(drop).map_err(failed(MODIFY_METADATA))
}

async fn tracking(clients: &Clients, interface: &InterfaceId, to: Tracking) -> Told<()> {
    let to = ConnectionTrackingSpecificationRequest::builder()
        .set_tcp_established_timeout(to.tcp_established)
        .set_udp_stream_timeout(to.udp_stream)
        .set_udp_timeout(to.udp)
        .build();
    let call = clients.ec2.modify_network_interface_attribute().network_interface_id(interface.as_str());
    call.connection_tracking_specification(to).send().await.map(drop).map_err(failed(MODIFY_INTERFACE))
}

async fn groups(clients: &Clients, interface: &InterfaceId, to: &[GroupId]) -> Told<()> {
    let call = clients.ec2.modify_network_interface_attribute().network_interface_id(interface.as_str());
    let call = call.set_groups(Some(to.iter().map(ToString::to_string).collect()));
    call.send().await.map(drop).map_err(failed(MODIFY_INTERFACE))
}

async fn register(clients: &Clients, registration: &Registration) -> Told<()> {
    let target = TargetDescription::builder()
        .id(&registration.target)
        .set_port(registration.port)
        .set_availability_zone(registration.zone.clone())
        .build();
    let call = clients.elbv2.register_targets().target_group_arn(&registration.target_group).targets(target);
    call.send().await.map(drop).map_err(failed(REGISTER))
}

async fn register_classic(clients: &Clients, id: &InstanceId, name: &str) -> Told<()> {
    let instance = aws_sdk_elasticloadbalancing::types::Instance::builder().instance_id(id.as_str()).build();
    let call = clients.elb.register_instances_with_load_balancer().load_balancer_name(name).instances(instance);
    call.send().await.map(drop).map_err(failed(REGISTER_CLASSIC))
}

/// The change that [`give`] makes, with the value that it has now.
pub(crate) fn change(restore: &Restore, now: &Now) -> Change {
    let nic = |id: &InterfaceId| now.nic(id);
    let (action, subject, from, to): (&str, &str, Value, Value) = match restore {
        Restore::Metadata { to } => (MODIFY_METADATA, now.instance.as_str(), json!(now.metadata), json!(to)),
        Restore::Tracking { interface, to } => {
            let from = nic(interface).and_then(|nic| nic.tracking);
            (MODIFY_INTERFACE, interface.as_str(), json!({ "tracking": from }), json!({ "tracking": to }))
        }
        Restore::Groups { interface, to } => {
            let from = nic(interface).map(|nic| &nic.groups);
            (MODIFY_INTERFACE, interface.as_str(), json!({ "groups": from }), json!({ "groups": to }))
        }
        Restore::TargetGroup { registration } => {
            (REGISTER, &registration.target_group, json!({ "registered": false }), json!({ "registered": registration }))
        }
        Restore::ClassicBalancer { name } => {
            (REGISTER_CLASSIC, name, json!({ "registered": false }), json!({ "registered": true }))
        }
        Restore::AutoScalingGroup { name } => {
            let from = now.group.as_ref().ok();
            (ATTACH, name, json!({ "group": from }), json!({ "group": name }))
        }
        Restore::DeleteOnTermination { volume, to, .. } => {
            let from = now.disk(volume).and_then(|disk| disk.delete_on_termination);
            let of = |value: Value| json!({ "deleteOnTermination": value });
            (MODIFY_INSTANCE, volume.as_str(), of(json!(from)), of(json!(to)))
        }
        Restore::ShutdownBehavior { to } => {
            let of = |value: Value| json!({ "instanceInitiatedShutdownBehavior": value });
            (MODIFY_INSTANCE, now.instance.as_str(), of(json!(now.shutdown_behavior.as_ref().ok())), of(json!(to)))
        }
        Restore::StopProtection { to } => {
            let of = |value: Value| json!({ "disableApiStop": value });
            (MODIFY_INSTANCE, now.instance.as_str(), of(json!(now.stop_protection.as_ref().ok())), of(json!(to)))
        }
        Restore::TerminationProtection { to } => {
            let of = |value: Value| json!({ "disableApiTermination": value });
            (MODIFY_INSTANCE, now.instance.as_str(), of(json!(now.termination_protection.as_ref().ok())), of(json!(to)))
        }
    };
    Change::intended(action, subject, from, to)
}
