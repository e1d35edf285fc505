//! The instance itself: its metadata service, its protections, and what becomes of its volumes.

use incident::plan::Metadata;
use incident::protection::ShutdownBehavior;
use incident::release::Restore;

use super::{Draft, World};
use crate::now::Told;

/// The endpoint is all that Cordon switches: what else the options say by now stays, so that nobody who has hardened them
/// meanwhile is undone.
pub(super) fn metadata(world: &World<'_>, draft: &mut Draft) {
    let (Some(was), Some(now)) = (&world.saved.metadata, &world.now.metadata) else { return };
    if was.enabled && !now.enabled {
        draft.restore.push(Restore::Metadata { to: Metadata { enabled: true, ..now.clone() } });
    }
}

/// A volume that was to go with the instance, and is kept.
pub(super) fn volumes(world: &World<'_>, draft: &mut Draft) {
    for volume in &world.saved.volumes {
        let Some(disk) = world.now.disk(&volume.id) else {
            let reason = "it is not attached to the target any more: nothing is said about what becomes of it";
            draft.lose(&format!("volume {}", volume.id), reason);
            continue;
        };
        if volume.delete_on_termination == Some(true) && disk.delete_on_termination == Some(false) {
            let (volume, device) = (volume.id.clone(), disk.device.clone());
            draft.restore.push(Restore::DeleteOnTermination { volume, device, to: true });
        }
    }
}

/// Cordon only ever sets protections, so that only those are taken off that it set.
pub(super) fn protections(world: &World<'_>, draft: &mut Draft) {
    let (saved, now) = (world.saved, world.now);
    if was_set(saved.shutdown_behavior, ShutdownBehavior::Stop, &now.shutdown_behavior, "shutdown behaviour", draft) {
        draft.restore.push(Restore::ShutdownBehavior { to: ShutdownBehavior::Terminate });
    }
    if was_set(saved.stop_protection, true, &now.stop_protection, "stop protection", draft) {
        draft.restore.push(Restore::StopProtection { to: false });
    }
    if was_set(saved.termination_protection, true, &now.termination_protection, "termination protection", draft) {
        draft.restore.push(Restore::TerminationProtection { to: false });
    }
}

/// Whether a value was another and is Cordon's now.
fn was_set<T: Copy + PartialEq>(was: Option<T>, ours: T, now: &Told<T>, what: &str, draft: &mut Draft) -> bool {
    let Some(was) = was.filter(|was| *was != ours) else { return false };
    match now {
        Ok(now) => *now == ours && *now != was,
        Err(error) => {
            draft.lose(what, &format!("how it stands could not be read, so that it stays as it is: {error}"));
            false
        }
    }
}
