//! Claims one of a role's slots in the evidence bucket: a tag cannot be written on a condition, an object can. So two cases
//! of one role never take the same slot, and a slot that was claimed for this target is found again.

use futures_util::future;
use handler::Store;
use incident::plan::Plan;
use incident::{CaseId, InstanceId, case};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::decide::{Claimed, Look, Role, SLOTS, Slot, choices};

/// The body of `roles/<account>/<role>/<slot>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlotClaim {
    /// Whom the slot denies.
    instance_id: InstanceId,
    /// The case that claimed it.
    case_id: CaseId,
}

/// The slot that is the target's from now on; `None` where all are taken.
pub(crate) async fn claim(store: &Store, plan: &Plan, role: &Role, look: &Look) -> Result<Option<Slot>, Error> {
    let instance = &plan.target.instance_id;
    let known = future::try_join_all(SLOTS.map(|slot| claimed(store, role, slot, instance))).await?;
    let mut claims = [Claimed::Others; SLOTS.len()];
    for (claim, known) in claims.iter_mut().zip(known) {
        *claim = known;
    }
    let body = SlotClaim { instance_id: instance.clone(), case_id: plan.case_id.clone() };
    for (slot, claim) in choices(&claims, look, instance) {
        let ours = claim == Claimed::Ours
            || store.put_if(&key(role, slot), handler::case_file::to_json(&body), None).await?
            // Lost to somebody: to another case of this very target, or to an earlier attempt whose answer was lost?
            || claimed(store, role, slot, instance).await? == Claimed::Ours;
        if ours {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Frees every slot of the role that is the target's.
pub(crate) async fn free(store: &Store, role: &Role, instance: &InstanceId) -> Result<(), Error> {
    for slot in SLOTS {
        let Some(there) = store.get(&key(role, slot)).await? else { continue };
        if there.json::<SlotClaim>().is_ok_and(|claim| claim.instance_id == *instance) {
            store.delete_if(&key(role, slot), &there.etag).await?;
        }
    }
    Ok(())
}

/// Whether a slot of the role is somebody else's.
pub(crate) async fn taken_by_others(store: &Store, role: &Role, instance: &InstanceId) -> Result<bool, Error> {
    let claims = future::try_join_all(SLOTS.map(|slot| claimed(store, role, slot, instance))).await?;
    Ok(claims.contains(&Claimed::Others))
}

async fn claimed(store: &Store, role: &Role, slot: Slot, instance: &InstanceId) -> Result<Claimed, Error> {
    let Some(there) = store.get(&key(role, slot)).await? else { return Ok(Claimed::Free) };
    let ours = there.json::<SlotClaim>().is_ok_and(|claim| claim.instance_id == *instance);
    Ok(if ours { Claimed::Ours } else { Claimed::Others })
}

fn key(role: &Role, slot: Slot) -> String {
    case::role_slot(role.account(), &role.name, slot.number)
}
