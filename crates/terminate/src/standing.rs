//! How the target stands, as EC2 describes it.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Instance, InstanceNetworkInterface, InstanceStateName};
use handler::{AwsError, failed};
use incident::evidence::Standing;
use incident::plan::TargetState;
use incident::{Classify as _, Fault, InstanceId};
use jiff::Timestamp;

/// The instance; `None` where EC2 does not know it (any more).
pub(crate) async fn look(ec2: &Client, id: &InstanceId) -> Result<Option<Instance>, AwsError> {
    let described = ec2.describe_instances().instance_ids(id.as_str()).send().await;
    match described.map_err(failed("ec2:DescribeInstances")) {
        Ok(page) => {
            let mut found = page.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default());
            Ok(found.find(|instance| instance.instance_id() == Some(id.as_str())))
        }
        Err(error) if error.fault() == Fault::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// How it stands. What cannot be parsed is left out, so that it does not equal what was sealed.
pub(crate) fn of(instance: Option<&Instance>) -> Standing {
    let Some(instance) = instance else {
        return Standing { state: TargetState::Gone, launched: None, interfaces: Vec::new(), volumes: Vec::new() };
    };
    let id = |interface: &InstanceNetworkInterface| interface.network_interface_id().and_then(|id| id.parse().ok());
    let mut interfaces: Vec<_> = instance.network_interfaces().iter().filter_map(id).collect();
    let mappings = instance.block_device_mappings().iter();
    let mut volumes: Vec<_> = mappings.filter_map(|mapping| mapping.ebs()?.volume_id()?.parse().ok()).collect();
    interfaces.sort();
    volumes.sort();
    let launched = instance.launch_time().and_then(|time| Timestamp::from_second(time.secs()).ok());
    Standing { state: state(instance), launched, interfaces, volumes }
}

fn state(instance: &Instance) -> TargetState {
    let word = instance.state().and_then(|state| state.name()).map(InstanceStateName::as_str);
    STATES.into_iter().find(|(name, _)| word == Some(name)).map_or(TargetState::Gone, |(_, state)| state)
}

/// EC2's word for a state; `gone` where it does not know the instance.
pub(crate) fn name(state: TargetState) -> &'static str {
    STATES.into_iter().find(|(_, known)| *known == state).map_or("gone", |(name, _)| name)
}

const STATES: [(&str, TargetState); 6] = [
    ("pending", TargetState::Pending),
    ("running", TargetState::Running),
    ("stopping", TargetState::Stopping),
    ("stopped", TargetState::Stopped),
    ("shutting-down", TargetState::ShuttingDown),
    ("terminated", TargetState::Terminated),
];

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::{EbsInstanceBlockDevice, InstanceBlockDeviceMapping, InstanceState};

    #[test]
    fn an_instance_is_its_state_its_launch_and_its_sorted_ids() {
        let interface = |id: &str| InstanceNetworkInterface::builder().network_interface_id(id).build();
        let volume =
            |id: &str| InstanceBlockDeviceMapping::builder().ebs(EbsInstanceBlockDevice::builder().volume_id(id).build()).build();
        let instance = Instance::builder()
            .state(InstanceState::builder().name(InstanceStateName::Running).build())
            .launch_time(aws_sdk_ec2::primitives::DateTime::from_secs(1_795_491_000))
            .network_interfaces(interface("eni-00000002"))
            .network_interfaces(interface("eni-00000001"))
            .block_device_mappings(volume("vol-00000002"))
            .block_device_mappings(volume("vol-00000001"))
            .build();
        let standing = of(Some(&instance));
        assert_eq!(standing.state, TargetState::Running);
        assert_eq!(standing.launched, Timestamp::from_second(1_795_491_000).ok());
        assert_eq!(standing.interfaces.iter().map(ToString::to_string).collect::<Vec<_>>(), ["eni-00000001", "eni-00000002"]);
        assert_eq!(standing.volumes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["vol-00000001", "vol-00000002"]);
    }

    #[test]
    fn every_state_has_the_word_that_ec2_has_for_it() {
        for (name, state) in STATES {
            assert_eq!(super::name(state), name);
        }
        assert_eq!((super::name(TargetState::Gone), of(None).state), ("gone", TargetState::Gone));
    }
}
