//! What is around the target: its Auto Scaling group and its load balancers.

use incident::release::Restore;

use super::{Draft, World, rejoin, runs};
use crate::now::{Nic, Told, wears_ours};

/// Registrations that were ended, in target groups that there still are.
pub(super) fn target_groups(world: &World<'_>, draft: &mut Draft) {
    for registration in &world.saved.registrations {
        let what = format!("{} in {}", registration.target, registration.target_group);
        // An address that it no longer has may be another's by now.
        if !world.now.is_named(&registration.target) {
            draft.lose(&what, "the target does not have this address any more");
            continue;
        }
        if missing(world.now.registered(registration), "the target group", &what, draft) {
            draft.restore.push(Restore::TargetGroup { registration: registration.clone() });
        }
    }
    if world.saved.more_registrations > 0 {
        let what = format!("{} more registrations in target groups", world.saved.more_registrations);
        draft.lose(
            &what,
            "they are more than one release gives back: before-balancers.json has them, register the target by hand",
        );
    }
    for unseen in &world.saved.unseen {
        draft.lose("registrations that nobody looked for", unseen);
    }
}

/// Registrations with classic load balancers that there still are.
pub(super) fn classic(world: &World<'_>, draft: &mut Draft) {
    for name in &world.saved.classic {
        let told = world.now.classic.get(name).cloned().unwrap_or(Ok(None));
        if missing(told, "the load balancer", &format!("classic load balancer {name}"), draft) {
            draft.restore.push(Restore::ClassicBalancer { name: name.clone() });
        }
    }
}

/// Whether a registration is to be made again.
fn missing(registered: Told<Option<bool>>, place: &str, what: &str, draft: &mut Draft) -> bool {
    let reason = match registered {
        Ok(Some(registered)) => return !registered,
        Ok(None) => format!("{place} does not exist any more"),
        Err(error) => format!("{place} could not be read: {error}"),
    };
    draft.lose(what, &reason);
    false
}

/// The Auto Scaling group has replaced it by now: it goes back only where a person asks for that.
pub(super) fn scaling(world: &World<'_>, draft: &mut Draft) {
    let Some(membership) = &world.saved.group else { return };
    let name = &membership.name;
    let again = rejoin(&world.request.case_id);
    let reason = match (&world.now.group, world.capacity) {
        (Ok(Some(group)), _) if group == name => return,
        (Ok(Some(other)), _) => format!("the target is in the group {other} now"),
        (Err(error), _) => format!("the group that the target is in could not be read: {error}"),
        (_, Err(error)) => format!("the group could not be read: {error}"),
        (_, Ok(None)) => "the group does not exist any more".to_owned(),
        (_, Ok(Some(_))) if !world.request.rejoin_group => {
            format!("the target left it so that it is not replaced while it is contained: to put it back, {again}")
        }
        (_, Ok(Some(_))) if stays_cut(world, draft) => {
            format!("an interface stays cut off, and the group would replace the target: give it groups by hand, then {again}")
        }
        (_, Ok(Some(_))) if !runs(world.now) => format!("only an instance that runs can join it: start it, then {again}"),
        (_, Ok(Some(capacity))) if capacity.most <= capacity.desired => format!(
            "it wants {} instances and may have {}, so that there is no place: raise its MaxSize, then {again}",
            capacity.desired, capacity.most
        ),
        (_, Ok(Some(_))) => {
            draft.restore.push(Restore::AutoScalingGroup { name: name.clone() });
            return;
        }
    };
    draft.lose(&format!("Auto Scaling group {name}"), &reason);
}

/// Whether an interface wears a group of ours and nobody knows what to give it instead. A group replaces what it finds
/// unhealthy: that would be the end of the target.
fn stays_cut(world: &World<'_>, draft: &Draft) -> bool {
    let moves =
        |nic: &Nic| draft.restore.iter().any(|it| matches!(it, Restore::Groups { interface, .. } if *interface == nic.id));
    world.now.nics.iter().any(|nic| wears_ours(&nic.groups, world.groups) && !moves(nic))
}
