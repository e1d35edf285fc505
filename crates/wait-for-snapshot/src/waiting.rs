//! Who waits for which snapshots: what is needed to look at them and to wake the execution.

use futures_util::future::try_join_all;
use handler::{AwsError, Store, case_file, failed};
use incident::copies::Copies;
use incident::evidence::{Preserved, Taken};
use incident::plan::Plan;
use incident::progress::Stage;
use incident::{CaseId, SnapshotId, Visit, case};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

/// `waiting/<case-id>.json`. It holds a task token: the bucket's policy lets this function alone read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Waiting {
    /// `cordon.waiting.v1`.
    pub(crate) schema: String,
    pub(crate) case_id: CaseId,
    pub(crate) visit: Visit,
    pub(crate) token: String,
    pub(crate) snapshots: Vec<Taken>,
    /// The point in time that the snapshots hold.
    pub(crate) begun: Timestamp,
    /// When to give up.
    pub(crate) deadline: Timestamp,
    /// Whether they are snapshots, or copies of them.
    #[serde(default = "snapshots")]
    pub(crate) stage: Stage,
}

fn snapshots() -> Stage {
    Stage::Snapshots
}

/// `waiting/<snapshot-id>.json`: whose snapshot it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Awaited {
    /// `cordon.waiting.v1`.
    schema: String,
    case_id: CaseId,
}

impl Waiting {
    /// Also says what the execution is woken with: events are heard by the newest version of this function, for executions
    /// that older ones serve. Who waits under another schema is not woken, and finds out by its own next look; so whatever
    /// changes the form of [`Preserved`] changes this name (`tests/waiting/forms.rs`).
    pub(crate) const SCHEMA: &'static str = "cordon.waiting.v1";

    pub(crate) fn new(visit: Visit, token: String, plan: &Plan, snapshots: Vec<Taken>) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            case_id: plan.case_id.clone(),
            visit,
            token,
            // The plan's opening stands in for a start that AWS did not tell.
            begun: snapshots.iter().filter_map(|taken| taken.started_at).min().unwrap_or(plan.opened),
            deadline: plan.deadlines.snapshots,
            snapshots,
            stage: Stage::Snapshots,
        }
    }

    /// For the copies that are under way.
    pub(crate) fn for_copies(visit: Visit, token: String, plan: &Plan, copies: &Copies) -> Self {
        let deadline = plan.copies.as_ref().map_or(plan.deadlines.snapshots, |copies| copies.until);
        Self { begun: copies.since, deadline, stage: Stage::Copies, ..Self::new(visit, token, plan, copies.awaited()) }
    }

    /// Says of each snapshot whose it is. It stays that case's, so that once is enough.
    pub(crate) async fn say_whose(&self, store: &Store) -> Result<(), AwsError> {
        let awaited = case_file::to_json(&Awaited { schema: Self::SCHEMA.to_owned(), case_id: self.case_id.clone() });
        let keys: Vec<String> = self.snapshots.iter().map(|taken| case::awaited(&taken.snapshot_id)).collect();
        try_join_all(keys.iter().map(|key| store.put_plain(key, awaited.clone()))).await.map(drop)
    }

    /// Writes the token, unless a later attempt has written one.
    pub(crate) async fn keep(&self, store: &Store) -> Result<(), Error> {
        let attempt = |waiting: &Self| (waiting.visit.entered, waiting.visit.retry);
        Ok(store.put_latest(&case::waiting(&self.case_id), self, attempt).await?)
    }

    /// Who waits for a snapshot; nobody, mostly: an account has many snapshots that are none of ours.
    pub(crate) async fn of(store: &Store, snapshot: &SnapshotId) -> Result<Option<Self>, Error> {
        let Some(awaited) = store.get(&case::awaited(snapshot)).await? else { return Ok(None) };
        // Another version's may have any form.
        let Ok(awaited) = awaited.json::<Awaited>() else { return Ok(None) };
        let Some(waiting) = store.get(&case::waiting(&awaited.case_id)).await? else { return Ok(None) };
        Ok(waiting.json::<Self>().ok().filter(|waiting| waiting.schema == Self::SCHEMA))
    }

    /// Wakes the execution with what was seen; `false` where it does not wait with this token any more.
    pub(crate) async fn wake(&self, sfn: &aws_sdk_sfn::Client, preserved: &Preserved) -> Result<bool, AwsError> {
        let output = serde_json::to_string(preserved).unwrap_or_default();
        let send = sfn.send_task_success().task_token(&self.token).output(output);
        match send.send().await.map_err(failed("states:SendTaskSuccess")) {
            Ok(_) => Ok(true),
            // It was woken already, has looked up by itself, or has ended.
            Err(error) if ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"].iter().any(|code| error.is(code)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
