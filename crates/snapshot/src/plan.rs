//! Which volumes still need a snapshot, and what is missing in the end. Pure.

use incident::SnapshotId;
use incident::VolumeId;
use incident::evidence::{LockOutcome, Missing, Taken};
use jiff::Timestamp;

/// A snapshot of this case that an earlier attempt took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Whether its tag says that it was taken with the set.
    pub in_set: bool,
    /// The point in time that it holds.
    pub started_at: Option<Timestamp>,
}

/// What the look saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The volumes of the target: those of the plan, and any that were attached since.
    pub volumes: Vec<VolumeId>,
    /// Those of them that other instances have attached as well.
    pub shared: Vec<VolumeId>,
    /// The snapshots of this case that are of use.
    pub snapshots: Vec<Earlier>,
}

impl Found {
    /// The volumes without a snapshot.
    pub fn unfrozen(&self) -> Vec<VolumeId> {
        let frozen = |volume: &&VolumeId| !self.snapshots.iter().any(|snapshot| snapshot.volume == **volume);
        self.volumes.iter().filter(frozen).cloned().collect()
    }

    /// Whether the crash-consistent set is still to be taken: nothing has been.
    pub fn takes_set(&self) -> bool {
        self.snapshots.is_empty()
    }

    /// The earlier snapshots as results, not locked until the lock has been seen to.
    pub fn taken(&self) -> Vec<Taken> {
        self.snapshots
            .iter()
            .map(|earlier| Taken {
                snapshot_id: earlier.id.clone(),
                volume_id: earlier.volume.clone(),
                in_set: earlier.in_set,
                started_at: earlier.started_at,
                lock: LockOutcome::not_yet(),
            })
            .collect()
    }
}

/// The volumes that ended without a snapshot, each with its reason.
pub fn missing(volumes: &[VolumeId], taken: &[Taken], refused: &[(VolumeId, String)]) -> Vec<Missing> {
    let frozen = |volume: &VolumeId| taken.iter().any(|taken| taken.volume_id == *volume);
    let reason = |volume: &VolumeId| {
        let said = refused.iter().find(|(id, _)| id == volume).map(|(_, reason)| reason.clone());
        said.unwrap_or_else(|| "no snapshot of it was made".to_owned())
    };
    volumes
        .iter()
        .filter(|volume| !frozen(volume))
        .map(|volume| Missing::new(format!("snapshot:{volume}"), reason(volume)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(n: u8) -> VolumeId {
        VolumeId::parse(&format!("vol-0000000{n}")).unwrap()
    }

    fn earlier(n: u8) -> Earlier {
        let id = SnapshotId::parse(&format!("snap-0000000{n}")).unwrap();
        Earlier { id, volume: volume(n), in_set: true, started_at: None }
    }

    #[test]
    fn the_set_is_taken_only_while_nothing_has_been() {
        let cases = [
            (vec![], vec![1, 2], true, vec![1, 2]),
            (vec![1], vec![1, 2], false, vec![2]),
            (vec![1, 2], vec![1, 2], false, vec![]),
        ];
        for (frozen, volumes, set, left) in cases {
            let found = Found {
                volumes: volumes.into_iter().map(volume).collect(),
                shared: Vec::new(),
                snapshots: frozen.into_iter().map(earlier).collect(),
            };
            assert_eq!(found.takes_set(), set);
            assert_eq!(found.unfrozen(), left.into_iter().map(volume).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_volume_without_a_snapshot_is_missing_with_its_reason() {
        let volumes = vec![volume(1), volume(2), volume(3)];
        let found = Found { volumes, shared: Vec::new(), snapshots: vec![earlier(1)] };
        let refused = [(volume(2), "denied".to_owned())];
        let missing = missing(&found.volumes, &found.taken(), &refused);
        assert_eq!(missing.len(), 2);
        assert_eq!((missing[0].item.as_str(), missing[0].reason.as_str()), ("snapshot:vol-00000002", "denied"));
        assert_eq!(missing[1].item, "snapshot:vol-00000003");
    }
}
