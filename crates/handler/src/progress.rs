//! Tells those who watch how far a long wait has come.

use incident::progress::Progress;
use incident::{CaseId, case};

use crate::case_file::{Store, to_json};

impl Store {
    /// Says how far a wait has come. It is no evidence and nothing depends on it: where it cannot be written, the next look
    /// says it.
    pub async fn say_progress(&self, case: &CaseId, progress: &Progress) {
        if let Err(error) = self.put_plain(&case::progress(case, progress.stage), to_json(progress)).await {
            tracing::warn!(%error, "nobody who watches can see how far the wait has come");
        }
    }
}
