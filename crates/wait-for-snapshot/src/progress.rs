//! What a look means. Pure.

use incident::evidence::{LookStatus, Missing, Preserved, SnapshotLook};

/// What the snapshots as seen mean, before the plan's deadline or after it.
pub fn assess(snapshots: Vec<SnapshotLook>, expired: bool) -> Preserved {
    let percent =
        snapshots.iter().map(|look| if look.state == "completed" { 100 } else { look.percent.min(99) }).min().unwrap_or(100);
    let pending = snapshots.iter().any(SnapshotLook::is_pending);
    let missing: Vec<Missing> = snapshots.iter().filter_map(|look| missing(look, expired)).collect();
    let status = match (pending && !expired, missing.is_empty()) {
        (true, _) => LookStatus::Pending,
        (false, true) => LookStatus::Completed,
        (false, false) => LookStatus::Incomplete,
    };
    Preserved { status, percent, snapshots, missing, failure: None }
}

/// Why a snapshot will not come; `None` for one that is completed or may still come.
fn missing(look: &SnapshotLook, expired: bool) -> Option<Missing> {
    let reason = match look.state.as_str() {
        "completed" => return None,
        "pending" if !expired => return None,
        "pending" => {
            format!("{} is still at {} % at the plan's deadline; it goes on, so look again", look.snapshot_id, look.percent)
        }
        "error" => format!("{} failed; take it again by hand while the volume exists", look.snapshot_id),
        "recoverable" | "recovering" => format!("{} is in the recycle bin: somebody deleted it; restore it", look.snapshot_id),
        "gone" => format!("{} does not exist any more: somebody deleted it; look for it in the recycle bin", look.snapshot_id),
        other => format!("{} is in the state `{}`", look.snapshot_id, incident::text::bounded(other, 40)),
    };
    Some(Missing::new(format!("snapshot:{}", look.volume_id), reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::{SnapshotId, VolumeId};

    fn seen(state: &str, percent: u8) -> SnapshotLook {
        SnapshotLook {
            snapshot_id: SnapshotId::parse("snap-00000001").unwrap(),
            volume_id: VolumeId::parse("vol-00000001").unwrap(),
            state: state.to_owned(),
            percent,
            size_gib: Some(8),
            completed_at: None,
        }
    }

    #[test]
    fn what_a_look_means() {
        let cases = [
            (vec![("completed", 100)], false, LookStatus::Completed, 100, 0),
            (vec![("completed", 100)], true, LookStatus::Completed, 100, 0),
            (vec![("completed", 100), ("pending", 40)], false, LookStatus::Pending, 40, 0),
            (vec![("completed", 100), ("pending", 40)], true, LookStatus::Incomplete, 40, 1),
            (vec![("pending", 40), ("error", 0)], false, LookStatus::Pending, 0, 1),
            (vec![("completed", 100), ("error", 0)], false, LookStatus::Incomplete, 0, 1),
            (vec![("recoverable", 100)], false, LookStatus::Incomplete, 99, 1),
            (vec![("gone", 0)], false, LookStatus::Incomplete, 0, 1),
            (vec![("something new", 0)], false, LookStatus::Incomplete, 0, 1),
        ];
        for (states, expired, status, percent, missing) in cases {
            let looks = states.iter().map(|(state, percent)| seen(state, *percent)).collect();
            let said = assess(looks, expired);
            assert_eq!((said.status, said.percent, said.missing.len()), (status, percent, missing), "{states:?}");
            assert_eq!(said.is_pending(), status == LookStatus::Pending, "{states:?}");
        }
    }
}
