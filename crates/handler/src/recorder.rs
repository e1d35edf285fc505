//! Records of one visit: an intent before each change, an outcome after it.

use std::sync::atomic::{AtomicU32, Ordering};

use incident::evidence::ObjectRef;
use incident::record::{Change, ChangeResult, Phase, Record};
use incident::{Visit, case};
use serde_json::Value;

use crate::aws::AwsError;
use crate::case_file::{CaseFile, StoreError, Written, to_json};

/// How a change went, from the answer to its call.
pub fn result<T>(answer: &Result<T, AwsError>) -> ChangeResult {
    answer.as_ref().map_or_else(ChangeResult::from, |_| ChangeResult::Done)
}

impl From<&AwsError> for ChangeResult {
    fn from(error: &AwsError) -> Self {
        Self::Failed { fault: error.fault, message: error.to_string() }
    }
}

/// Writes the records of one visit, in order.
#[derive(Debug)]
pub struct Recorder {
    file: CaseFile,
    visit: Visit,
    by: String,
    next: AtomicU32,
}

impl Recorder {
    pub(crate) fn new(file: CaseFile, visit: Visit) -> Self {
        Self { file, visit, by: crate::env::function(), next: AtomicU32::new(1) }
    }

    /// Says what is about to be changed. The change may be made only once this has returned.
    pub async fn intent(&self, changes: Vec<Change>) -> Result<u32, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(number, Phase::Intent, changes, Value::Null).await?;
        Ok(number)
    }

    /// Says how the changes of intent `number` went. Each change carries its result.
    pub async fn outcome(&self, number: u32, changes: Vec<Change>, note: Value) -> Result<ObjectRef, StoreError> {
        self.write(number, Phase::Outcome, changes, note).await
    }

    /// Writes down a fact that is no change: what was looked at, decided, or went wrong.
    pub async fn note(&self, note: Value) -> Result<ObjectRef, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(number, Phase::Outcome, Vec::new(), note).await
    }

    async fn write(&self, number: u32, phase: Phase, changes: Vec<Change>, note: Value) -> Result<ObjectRef, StoreError> {
        let record = Record {
            schema: Record::SCHEMA.to_owned(),
            case_id: self.file.case().clone(),
            visit: self.visit.clone(),
            number,
            phase,
            at: crate::now(),
            by: self.by.clone(),
            changes,
            note,
        };
        let name = record.name();
        match self.file.put(&name, to_json(&record)).await? {
            Written::New(object) | Written::Same(object) => Ok(object),
            // The put itself may have been sent twice by the SDK, or the whole call by Lambda: same visit, same number,
            // another time. The first one stands.
            Written::Other { object, bytes } => match serde_json::from_slice::<Record>(&bytes) {
                Ok(there) if there.visit == self.visit && there.number == number && there.phase == phase => Ok(object),
                _ => Err(StoreError::Conflict { key: case::key(self.file.case(), &name) }),
            },
        }
    }
}
