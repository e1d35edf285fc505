//! The changes as they stand in intents and outcomes, and how each went.

use handler::AwsError;
use incident::Fault;
use incident::record::{Change, ChangeResult};

/// One change that was made, or was not needed.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) change: Change,
    pub(crate) error: Option<AwsError>,
}

impl Attempt {
    /// How a call went; `None` where none was needed.
    pub(crate) fn new(change: Change, result: Option<Result<(), AwsError>>) -> Self {
        let (result, error) = match result {
            None => (ChangeResult::Already, None),
            Some(Ok(())) => (ChangeResult::Done, None),
            Some(Err(error)) => (ChangeResult::from(&error), Some(error)),
        };
        Self { change: Change { result: Some(result), ..change }, error }
    }
}

/// IAM's own names for what passes: two changes of one role at once, and a role that was only just made.
pub(crate) fn in_passing(error: AwsError) -> AwsError {
    let passes = ["ConcurrentModification", "ConcurrentModificationException", "EntityTemporarilyUnmodifiable", "ServiceFailure"];
    if passes.contains(&error.code.as_str()) { error.as_fault(Fault::Transient) } else { error }
}
