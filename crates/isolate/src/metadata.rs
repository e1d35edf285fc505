//! Instance metadata: whether it is on, and switching it off.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    HttpTokensState, InstanceMetadataEndpointState, InstanceMetadataOptionsResponse, InstanceMetadataOptionsState, Reservation,
};
use handler::{AwsError, failed};
use incident::InstanceId;
use incident::plan::Metadata;
use incident::record::Change;

use crate::records::Attempt;

/// The action that switches instance metadata off.
pub(crate) const MODIFY: &str = "ec2:ModifyInstanceMetadataOptions";

/// Instance metadata as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Service {
    /// It answers, with these options.
    On(Metadata),
    /// It is being switched off, and may still answer [facts 7].
    Closing,
    /// It is off.
    Off,
    /// There is no instance any more.
    Gone,
}

/// One look.
pub(crate) async fn look(ec2: &Client, instance: &InstanceId) -> Result<Service, AwsError> {
    let call = ec2.describe_instances().instance_ids(instance.as_str()).send().await;
    let answer = match call.map_err(failed("ec2:DescribeInstances")) {
        Err(error) if error.is("InvalidInstanceID.NotFound") => return Ok(Service::Gone),
        other => other?,
    };
    let Some(instance) = answer.reservations().iter().flat_map(Reservation::instances).next() else {
        return Ok(Service::Gone);
    };
    let state = instance.state().and_then(|state| state.name()).map_or("", |name| name.as_str());
    if matches!(state, "shutting-down" | "terminated") {
        return Ok(Service::Gone);
    }
    let options = instance.metadata_options();
    let off = options.and_then(|options| options.http_endpoint()) == Some(&InstanceMetadataEndpointState::Disabled);
    let pending = options.and_then(|options| options.state()) == Some(&InstanceMetadataOptionsState::Pending);
    Ok(match (off, pending) {
        (true, true) => Service::Closing,
        (true, false) => Service::Off,
        (false, _) => Service::On(Metadata {
            enabled: true,
            tokens_required: options.and_then(|options| options.http_tokens()) == Some(&HttpTokensState::Required),
            hop_limit: options.and_then(InstanceMetadataOptionsResponse::http_put_response_hop_limit).unwrap_or(1),
        }),
    })
}

/// Switches it off. An instance that is gone meanwhile has none: the read-back tells.
pub(crate) async fn switch_off(ec2: &Client, instance: &InstanceId, intended: Change) -> Attempt {
    let call = ec2.modify_instance_metadata_options().instance_id(instance.as_str());
    let result = call.http_endpoint(InstanceMetadataEndpointState::Disabled).send().await.map_err(failed(MODIFY));
    Attempt::new(intended, result, &["InvalidInstanceID.NotFound"])
}
