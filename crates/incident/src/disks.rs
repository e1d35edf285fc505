//! What an analyst needs to look into the frozen disks: ids and commands. Pure.

use serde::{Deserialize, Serialize};

use crate::ids::{CaseId, SnapshotId, VolumeId};
use crate::manifest::{SealedCopy, SealedSnapshot};
use crate::plan::Plan;

/// One frozen disk, and how to look into it without changing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disk {
    /// The volume that was frozen.
    pub volume_id: VolumeId,
    /// Its device name, as EC2 knew it. The target's owner chose it: hostile text.
    pub device: String,
    /// Whether the target booted from it.
    pub root: bool,
    /// Its snapshot.
    pub snapshot_id: SnapshotId,
    /// The commands, in order: a volume of the snapshot, attached to an instance of the analyst's, mounted read-only. `ZONE` and
    /// `INSTANCE` are that instance's, `VOLUME` is what the first command gives, and `PARTITION` what `lsblk` then shows.
    /// None where the snapshot was not seen completed.
    pub commands: Vec<String>,
    /// Its copy for forensic accounts; absent where there is none that was seen completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<DiskCopy>,
}

/// The copy of a frozen disk, and how a forensic account takes a copy of its own: then nothing that is done to this account
/// reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskCopy {
    /// The copy.
    pub snapshot_id: SnapshotId,
    /// The accounts that it is shared with.
    pub shared_with: Vec<String>,
    /// The command, in the forensic account. `KEY` is a key of that account's own.
    pub command: String,
}

/// The devices that EC2 advises for further volumes: `/dev/sdf` to `/dev/sdp`.
const DEVICES: std::ops::RangeInclusive<u8> = b'f'..=b'p';

/// Every frozen disk, the root first.
pub fn of(plan: Option<&Plan>, snapshots: &[SealedSnapshot]) -> Vec<Disk> {
    let Some(plan) = plan else { return Vec::new() };
    let mut all: Vec<(Disk, bool)> = snapshots
        .iter()
        .map(|sealed| {
            let volume = plan.target.volumes.iter().find(|volume| volume.id == sealed.taken.volume_id);
            let disk = Disk {
                volume_id: sealed.taken.volume_id.clone(),
                device: volume.map(|volume| volume.device.clone()).unwrap_or_default(),
                root: volume.is_some_and(|volume| volume.root),
                snapshot_id: sealed.taken.snapshot_id.clone(),
                commands: Vec::new(),
                copy: sealed.copy.as_ref().and_then(|copy| of_copy(plan, copy)),
            };
            (disk, sealed.is_completed())
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| (!a.root, &a.device, a.volume_id.as_str()).cmp(&(!b.root, &b.device, b.volume_id.as_str())));
    let with_commands = |((disk, completed), letter): ((Disk, bool), u8)| {
        let commands = if completed {
            commands(&plan.target.region, &plan.case_id, &disk.snapshot_id, char::from(letter))
        } else {
            Vec::new()
        };
        Disk { commands, ..disk }
    };
    all.into_iter().zip(DEVICES.cycle()).map(with_commands).collect()
}

fn of_copy(plan: &Plan, sealed: &SealedCopy) -> Option<DiskCopy> {
    let (copy, case, region) = (&sealed.copy, &plan.case_id, &plan.target.region);
    let id = &copy.snapshot_id;
    let command = format!(
        "aws ec2 copy-snapshot --region {region} --source-region {region} --source-snapshot-id {id} --encrypted --kms-key-id KEY --description 'Cordon case {case}: {id}'"
    );
    sealed.is_completed().then(|| DiskCopy { snapshot_id: id.clone(), shared_with: copy.shared_with.clone(), command })
}

/// Nothing of the target's own text is in them.
fn commands(region: &str, case: &CaseId, snapshot: &SnapshotId, letter: char) -> Vec<String> {
    vec![
        format!(
            "aws ec2 create-volume --region {region} --availability-zone ZONE --snapshot-id {snapshot} --volume-type gp3 --tag-specifications 'ResourceType=volume,Tags=[{{Key=cordon:analysis,Value={case}}}]'"
        ),
        format!("aws ec2 attach-volume --region {region} --volume-id VOLUME --instance-id INSTANCE --device /dev/sd{letter}"),
        // A journal that is replayed changes the disk, so that its blocks are made read-only first.
        "sudo blockdev --setro PARTITION && sudo mount -o ro,noexec,nodev,nosuid,noload PARTITION /mnt   # xfs: norecovery for noload"
            .to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{LockOutcome, SnapshotLook, Taken};
    use serde_json::json;

    fn plan() -> Plan {
        let volume = |id: &str, device: &str, root: bool| json!({"id": id, "device": device, "root": root});
        let volumes = [volume("vol-00000002", "/dev/sdb; rm -rf /", false), volume("vol-00000001", "/dev/xvda", true)];
        serde_json::from_value(json!({"schema": "cordon.plan.v1", "caseId": "i-0abc1234def567890-0123456789ab",
            "execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "opened": "2026-11-24T02:59:00Z",
            "finding": {"source": "manual", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333", "region": "eu-central-1"},
            "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running",
                "interfaces": [], "volumes": volumes, "profile": null, "spot": false, "windows": false},
            "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
            "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "quarantine", "reason": "text"}, "memory": {"decision": "skip", "because": "policy", "reason": "text"},
            "credentials": {"decision": "deny"}, "deadlines": {"snapshots": "2026-11-24T05:00:00Z", "memory": "2026-11-24T05:00:00Z"},
            "earlierCase": null, "risks": []}))
        .unwrap()
    }

    fn sealed(n: u8, state: Option<&str>) -> SealedSnapshot {
        let snapshot_id = SnapshotId::parse(&format!("snap-0000000{n}")).unwrap();
        let volume_id = VolumeId::parse(&format!("vol-0000000{n}")).unwrap();
        let look = state.map(|state| SnapshotLook {
            snapshot_id: snapshot_id.clone(),
            volume_id: volume_id.clone(),
            state: state.to_owned(),
            percent: 100,
            size_gib: Some(8),
            completed_at: None,
        });
        let unlocked = LockOutcome::NotLocked { reason: String::new() };
        let taken = Taken { snapshot_id, volume_id, in_set: true, started_at: None, lock: unlocked };
        SealedSnapshot { taken, look, at_seal: None, copy: None }
    }

    #[test]
    fn each_disk_has_its_ids_and_commands_the_root_first() {
        let disks = of(Some(&plan()), &[sealed(2, Some("completed")), sealed(1, Some("completed"))]);
        let ids: Vec<(&str, bool, &str)> =
            disks.iter().map(|disk| (disk.volume_id.as_str(), disk.root, disk.snapshot_id.as_str())).collect();
        assert_eq!(ids, [("vol-00000001", true, "snap-00000001"), ("vol-00000002", false, "snap-00000002")]);
        assert!(disks[0].commands[0].contains("--region eu-central-1") && disks[0].commands[0].contains("snap-00000001"));
        assert!(disks[0].commands[1].contains("/dev/sdf") && disks[1].commands[1].contains("/dev/sdg"));
        assert!(disks[0].commands[2].contains("-o ro,"));
        let text = disks.iter().flat_map(|disk| disk.commands.clone()).collect::<String>();
        assert!(!text.contains("rm -rf"), "what the target's owner chose is in no command: {text}");
    }

    #[test]
    fn what_is_not_completed_has_no_commands() {
        for state in [None, Some("pending"), Some("error"), Some("gone")] {
            assert_eq!(of(Some(&plan()), &[sealed(1, state)])[0].commands, Vec::<String>::new(), "{state:?}");
        }
        assert_eq!(of(None, &[sealed(1, Some("completed"))]), []);
    }

    #[test]
    fn a_forensic_account_is_told_how_to_take_a_copy_of_its_own() {
        for (state, there) in [("completed", true), ("pending", false), ("error", false)] {
            let copy = serde_json::from_value(
                json!({"snapshotId": "snap-00000009", "of": "snap-00000001", "volumeId": "vol-00000001", "begun": "2026-11-24T03:50:03Z", "state": state,
                "percent": 100, "key": null, "lock": {"status": "locked", "mode": "governance", "days": 30}, "sharedWith": ["444455556666"]}),
            );
            let copy = Some(SealedCopy { copy: copy.unwrap(), at_seal: None });
            let disk = of(Some(&plan()), &[SealedSnapshot { copy, ..sealed(1, Some("completed")) }]).remove(0);
            assert_eq!(disk.copy.is_some(), there, "{state}");
            let Some(copy) = disk.copy else { continue };
            assert!(
                copy.command.contains("--source-snapshot-id snap-00000009 ") && copy.command.contains("--encrypted"),
                "{}",
                copy.command
            );
            assert_eq!(copy.shared_with, ["444455556666"]);
        }
    }

    #[test]
    fn more_disks_than_devices_begin_again() {
        let many: Vec<SealedSnapshot> = (0..128).map(|_| sealed(1, Some("completed"))).collect();
        assert_eq!(of(Some(&plan()), &many).len(), 128);
    }
}
