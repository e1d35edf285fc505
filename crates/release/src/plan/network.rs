//! Interfaces: their groups, how long their connections are tracked, their addresses.

use std::collections::BTreeSet;

use incident::plan::Tracking;
use incident::release::Restore;
use incident::{GroupId, InterfaceId};

use super::{Draft, World};
use crate::now::{Nic, same, wears_ours};
use crate::saved::Was;

/// Every interface that was saved, and every one that wears a group of ours.
pub(super) fn interfaces(world: &World<'_>, draft: &mut Draft) {
    let saved = &world.saved.interfaces;
    let contained = world.now.nics.iter().filter(|nic| wears_ours(&nic.groups, world.groups));
    let all: BTreeSet<&InterfaceId> = saved.keys().chain(contained.map(|nic| &nic.id)).collect();
    let unknown = Was::default();
    for id in all {
        let was = saved.get(id).unwrap_or(&unknown);
        let Some(nic) = world.now.nic(id) else {
            draft.lose(&format!("interface {id}"), "it is not attached to the target any more");
            continue;
        };
        tracking(nic, was, draft);
        groups(world, nic, was, draft);
        address(nic, was, draft);
    }
}

fn tracking(nic: &Nic, was: &Was, draft: &mut Draft) {
    let Some(was) = was.tracking else { return };
    // A setting cannot be taken away: where nobody had made one, EC2's defaults are set.
    let to = was.unwrap_or_default().filled();
    let now = nic.tracking.unwrap_or_default().filled();
    if now == to {
        return;
    }
    if now == Tracking::SHORTEST {
        draft.restore.push(Restore::Tracking { interface: nic.id.clone(), to });
    } else {
        let reason = "somebody has set it otherwise since the case, and it stays so: set it by hand if it shall not";
        draft.lose(&format!("connection tracking of {}", nic.id), reason);
    }
}

fn groups(world: &World<'_>, nic: &Nic, was: &Was, draft: &mut Draft) {
    let id = &nic.id;
    let contained = wears_ours(&nic.groups, world.groups);
    let Some(old) = &was.groups else {
        if contained {
            let reason = "no case has on record what it wore before: give it groups by hand";
            draft.lose(&format!("groups of {id}"), reason);
        }
        return;
    };
    // A group of ours can only have got here by a mistake in the record.
    let there = |group: &&GroupId| world.groups.get(*group).is_some_and(|ours| !ours);
    let (to, gone): (Vec<&GroupId>, Vec<&GroupId>) = old.iter().partition(there);
    let to: Vec<GroupId> = to.into_iter().cloned().collect();
    if to.is_empty() {
        draft.lose(&format!("groups of {id}"), "none of the groups that it wore exists any more: give it others by hand");
        return;
    }
    for group in gone {
        draft.lose(&format!("group {group} of {id}"), "the group does not exist any more");
    }
    if contained {
        draft.restore.push(Restore::Groups { interface: id.clone(), to });
    } else if !same(&nic.groups, &to) {
        let reason = "somebody has given it other groups since the case, none of them Cordon's, and they stay: change them by hand if \
                      they shall not";
        draft.lose(&format!("groups of {id}"), reason);
    }
}

fn address(nic: &Nic, was: &Was, draft: &mut Draft) {
    let Some(address) = was.address.as_ref().filter(|address| address.assigned) else { return };
    if nic.public.as_ref() != Some(&address.ip) {
        let reason = "EC2 gave it for as long as the instance ran, and it does not come back";
        draft.lose(&format!("address {} of {}", address.ip, nic.id), reason);
    }
}
