//! The changes as they stand in intents and outcomes, each with the measure that it is made for.

use handler::{AwsError, StoreError, recorder};
use incident::Fault;
use incident::protection::Measure;
use incident::record::{Change, ChangeResult};
use serde_json::Value;

use crate::Run;

/// A change that is about to be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Planned {
    pub(crate) measure: Measure,
    /// As in the measure's outcome; empty for the instance itself.
    pub(crate) subject: String,
    pub(crate) change: Change,
}

/// One change that was asked for, and the error where it failed.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) measure: Measure,
    pub(crate) subject: String,
    pub(crate) change: Change,
    pub(crate) error: Option<AwsError>,
}

impl Planned {
    /// How it went.
    pub(crate) fn went(self, answer: &Result<(), AwsError>) -> Attempt {
        let Self { measure, subject, change } = self;
        let change = Change { result: Some(recorder::result(answer)), ..change };
        Attempt { measure, subject, change, error: answer.as_ref().err().cloned() }
    }

    /// It was announced and then not made, since the first attempt had not saved its old value.
    pub(crate) fn forgone(self) -> Change {
        let message = "not made: the first attempt could not read, and so did not save, what it was".to_owned();
        Change { result: Some(ChangeResult::Failed { fault: Fault::Refused, message }), ..self.change }
    }
}

impl Run<'_> {
    /// Says what is about to be changed; `None` where nothing is.
    pub(crate) async fn announce(&self, planned: &[Planned]) -> Result<Option<u32>, StoreError> {
        // An intent to change nothing would say nothing.
        if planned.is_empty() {
            return Ok(None);
        }
        self.recorder.intent(planned.iter().map(|it| it.change.clone()).collect()).await.map(Some)
    }

    /// Says how it went.
    pub(crate) async fn outcome(&self, number: u32, attempts: &[Attempt], forgone: Vec<Change>) -> Result<(), StoreError> {
        let changes = attempts.iter().map(|it| it.change.clone()).chain(forgone).collect();
        self.recorder.outcome(number, changes, Value::Null).await.map(drop)
    }
}
