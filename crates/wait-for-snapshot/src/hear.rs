//! Hears that snapshots have ended, and wakes who waits for them.

use serde_json::{Value, json};

use crate::waiting::Waiting;
use crate::{Clients, Error, event, look};

/// Wakes the execution that waits for these snapshots, if one does and nothing of it is pending any more.
pub(crate) async fn hear(clients: &Clients, event: &Value) -> Result<Value, Error> {
    let ended = event::ended(event);
    // All of a set belong to one case, or none does.
    let Some(first) = ended.first() else { return Ok(json!({"ignored": "the event names no snapshot that has ended"})) };
    let Some(waiting) = Waiting::of(&clients.store, first).await? else {
        return Ok(json!({"ignored": format!("nobody waits for {first}")}));
    };
    // An event says nothing about the deadline: that the state itself was entered before it is enough.
    let preserved = look::all(clients, &waiting, waiting.visit.entered, handler::now()).await?;
    if preserved.is_pending() {
        let lagging = preserved.snapshots.iter().find(|look| look.is_pending() && ended.contains(&look.snapshot_id));
        return match lagging {
            Some(look) => Err(Error::NotYetShown(look.snapshot_id.clone())),
            // The others have events of their own.
            None => Ok(json!({"status": preserved.status, "percent": preserved.percent, "woken": false})),
        };
    }
    let woken = waiting.wake(&clients.sfn, &preserved).await?;
    Ok(json!({"status": preserved.status, "percent": preserved.percent, "woken": woken}))
}
