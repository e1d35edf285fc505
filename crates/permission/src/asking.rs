//! The question that is open: what is needed to take answers and to wake the execution.

use handler::{CaseFile, Store};
use incident::claim::Claim;
use incident::evidence::{Missing, ObjectRef};
use incident::plan::Retention;
use incident::{CaseId, ExecutionArn, InstanceId, Visit, case};
use serde::{Deserialize, Serialize};

use crate::Error;

/// `permission/<case-id>.json`. It holds a task token: the bucket's policy lets this function alone read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asking {
    /// `cordon.asking.v1`.
    pub(crate) schema: String,
    pub(crate) case_id: CaseId,
    pub(crate) execution: ExecutionArn,
    /// The target.
    pub(crate) instance_id: InstanceId,
    /// The account that whoever answers must be of.
    pub(crate) account: String,
    pub(crate) visit: Visit,
    pub(crate) token: String,
    /// How what is written into the case is locked.
    pub(crate) retention: Retention,
    /// The evidence manifest that people answer about.
    pub(crate) manifest: ObjectRef,
    /// What is missing from the evidence.
    pub(crate) missing: Vec<Missing>,
    /// How many people must approve.
    pub(crate) persons: u8,
}

impl Asking {
    pub(crate) const SCHEMA: &'static str = "cordon.asking.v1";

    /// The case file, as the plan locks it.
    pub(crate) fn file(&self, store: &Store) -> CaseFile {
        store.case(&self.case_id, self.retention)
    }

    /// Writes the question, unless a later attempt has written one: its token is the one that is waited for.
    pub(crate) async fn keep(&self, store: &Store) -> Result<(), Error> {
        Ok(store.put_latest(&case::asking(&self.case_id), self, Self::attempt).await?)
    }

    /// Orders the attempts to ask.
    fn attempt(&self) -> (jiff::Timestamp, u32) {
        (self.visit.entered, self.visit.retry)
    }

    /// The question of a case, where one was asked.
    pub(crate) async fn of(store: &Store, case: &CaseId) -> Result<Option<Self>, Error> {
        let there = store.get(&case::asking(case)).await?;
        Ok(there.map(|there| there.json()).transpose()?)
    }

    /// Whether the case takes no answer any more: it is being closed, or is closed.
    ///
    /// INVARIANT: nothing is written into a closed case. The question outlives its case, so that it must not be asked alone.
    pub(crate) async fn is_over(&self, store: &Store) -> Result<bool, Error> {
        let Some(claim) = store.get(&Claim::key(&self.instance_id)).await? else { return Ok(true) };
        let claim: Claim = claim.json()?;
        if claim.case_id == self.case_id {
            return Ok(claim.closing);
        }
        // Mostly a later case's. While this one is not closed, what the claim means is the guard's to say.
        Ok(self.file(store).get(case::CLOSING_MANIFEST).await?.is_some())
    }
}
