//! What of the target is in no snapshot, and what its snapshots do not hold as it seems [facts 22, 72, 73].

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    DeviceType, HibernationOptions, Instance, InstanceStorageInfo, InstanceType, InstanceTypeInfo, Reservation,
};
use handler::{AwsError, failed};
use incident::VolumeId;
use incident::evidence::{Missing, Taken};
use incident::plan::Plan;
use incident::risk::{Risk, RiskKind};

/// What was seen of the target besides its volumes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// How much instance storage its type has, in GB.
    pub instance_store_gb: i64,
    /// Whether it boots from there.
    pub root_in_instance_store: bool,
    /// Whether it may hibernate.
    pub hibernates: bool,
}

/// Looks, once the snapshots are begun: nothing of it may hold them up. What cannot be seen is not said.
pub(crate) async fn look(ec2: &Client, plan: &Plan) -> Facts {
    match facts(ec2, plan).await {
        Ok(facts) => facts,
        Err(error) => {
            tracing::warn!(%error, "what is in no snapshot is not known");
            Facts::default()
        }
    }
}

async fn facts(ec2: &Client, plan: &Plan) -> Result<Facts, AwsError> {
    if !plan.target.state.is_alive() {
        return Ok(Facts::default());
    }
    let answer = ec2.describe_instances().instance_ids(plan.target.instance_id.as_str()).send().await;
    let answer = answer.map_err(failed("ec2:DescribeInstances"))?;
    let Some(instance) = answer.reservations().iter().flat_map(Reservation::instances).next() else {
        return Ok(Facts::default());
    };
    Ok(Facts {
        instance_store_gb: match instance.instance_type() {
            Some(kind) => instance_store(ec2, kind).await?,
            None => 0,
        },
        root_in_instance_store: instance.root_device_type() == Some(&DeviceType::InstanceStore),
        hibernates: hibernates(instance),
    })
}

fn hibernates(instance: &Instance) -> bool {
    instance.hibernation_options().and_then(HibernationOptions::configured).unwrap_or_default()
}

async fn instance_store(ec2: &Client, kind: &InstanceType) -> Result<i64, AwsError> {
    let answer = ec2.describe_instance_types().instance_types(kind.clone()).send().await;
    let answer = answer.map_err(failed("ec2:DescribeInstanceTypes"))?;
    let storage = answer.instance_types().first().and_then(InstanceTypeInfo::instance_storage_info);
    Ok(storage.and_then(InstanceStorageInfo::total_size_in_gb).unwrap_or_default())
}

/// What is missing by the target's nature. Whoever lets it be terminated must do without by name.
pub fn missing(facts: &Facts) -> Option<Missing> {
    let Facts { instance_store_gb: gb, root_in_instance_store: root, .. } = facts;
    let what = match (root, gb) {
        (true, _) => "its root volume is in the instance store".to_owned(),
        (false, 1..) => format!("its type has {gb} GB of instance store"),
        (false, _) => return None,
    };
    let reason = format!("{what}, which is in no snapshot and lost when it stops: copy it while it runs, or do without");
    Some(Missing::new("instance-store", reason))
}

/// What the snapshots do not hold as it seems. `shared` are the volumes that other instances have attached as well.
pub fn risks(facts: &Facts, taken: &[Taken], shared: &[VolumeId]) -> Vec<Risk> {
    let mut all = Vec::new();
    if let Some(missing) = missing(facts) {
        all.push(Risk::new(RiskKind::InstanceStore, "", missing.reason));
    }
    if facts.hibernates {
        let advice =
            "it may hibernate: an image of its memory may lie on its root volume, and EC2 may refuse to snapshot the set";
        all.push(Risk::new(RiskKind::Hibernation, "", advice));
    }
    for volume in shared {
        let advice = "other instances have this volume attached and may write to it: its snapshot may hold half of what they wrote, and they may be as compromised";
        all.push(Risk::new(RiskKind::SharedVolume, volume.as_str(), advice));
    }
    // One snapshot by itself is consistent with itself.
    if taken.len() > 1 {
        for alone in taken.iter().filter(|taken| !taken.in_set) {
            let advice = "its snapshot was taken by itself: it holds another moment than those of the other volumes";
            all.push(Risk::new(RiskKind::OutOfSet, alone.volume_id.as_str(), advice));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::SnapshotId;
    use incident::evidence::LockOutcome;

    fn volume(n: u8) -> VolumeId {
        VolumeId::parse(&format!("vol-0000000{n}")).unwrap()
    }

    fn taken(n: u8, in_set: bool) -> Taken {
        let snapshot_id = SnapshotId::parse(&format!("snap-0000000{n}")).unwrap();
        Taken { snapshot_id, volume_id: volume(n), in_set, started_at: None, lock: LockOutcome::not_yet() }
    }

    #[test]
    fn instance_store_is_missing_with_what_to_do() {
        let with =
            |instance_store_gb, root_in_instance_store| Facts { instance_store_gb, root_in_instance_store, hibernates: false };
        assert_eq!(missing(&with(0, false)), None);
        let reason = missing(&with(475, false)).unwrap().reason;
        assert!(reason.contains("475 GB") && reason.contains("lost when it stops"), "{reason}");
        assert!(missing(&with(0, true)).unwrap().reason.contains("root volume"));
    }

    #[test]
    fn each_volume_that_is_not_as_it_seems_is_named() {
        let kinds = |facts: &Facts, taken: &[Taken], shared: &[VolumeId]| -> Vec<(RiskKind, String)> {
            risks(facts, taken, shared).into_iter().map(|risk| (risk.kind, risk.subject)).collect()
        };
        let plain = Facts::default();
        assert_eq!(kinds(&plain, &[taken(1, true), taken(2, true)], &[]), []);
        assert_eq!(kinds(&plain, &[taken(1, false)], &[]), [], "one alone has no set");
        assert_eq!(kinds(&plain, &[taken(1, true), taken(2, false)], &[]), [(RiskKind::OutOfSet, "vol-00000002".to_owned())]);
        assert_eq!(kinds(&plain, &[taken(1, true)], &[volume(1)]), [(RiskKind::SharedVolume, "vol-00000001".to_owned())]);
        let odd = Facts { instance_store_gb: 50, root_in_instance_store: false, hibernates: true };
        assert_eq!(kinds(&odd, &[], &[]), [(RiskKind::InstanceStore, String::new()), (RiskKind::Hibernation, String::new())]);
    }
}
