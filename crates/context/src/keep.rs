//! One source: asked, kept, and how it ended.

use handler::{StoreError, Written};
use incident::context::{Document, Outcome, Source, SourceStatus};
use incident::evidence::ObjectRef;
use incident::text::bounded;

use crate::answers::{Answers, Stop};
use crate::sources::{self, Found};
use crate::{Error, Run, settled};

/// The most bytes of what is kept as it is: many times what AWS gives of any of it.
const MOST_PLAIN: usize = 4 << 20;

impl Run<'_> {
    /// Asks one source and keeps what it says, or finds what an earlier attempt has kept.
    pub(crate) async fn take(&self, source: Source) -> Result<Outcome, Error> {
        if self.there.contains(source.name()) {
            let there = self.file.get(source.name()).await.map_err(StoreError::from);
            if let Ok(Some(there)) = settled(there, self.retry)? {
                return Ok(kept(source, there.object(), &there.bytes));
            }
        }
        let found = settled(Box::pin(sources::ask(self, source)).await, self.retry);
        let found = found.map_err(|error| Error::Aws { source_name: source.words(), source: error })?;
        let not_taken = |reason: &str| Ok(Outcome::without(source, SourceStatus::NotTaken, reason));
        let bytes = match found {
            Err(error) => return not_taken(&error.to_string()),
            Ok(Found::Nothing(reason)) => return Ok(Outcome::without(source, SourceStatus::Nothing, &reason)),
            Ok(Found::Plain(bytes)) if bytes.len() > MOST_PLAIN => {
                return not_taken(&format!("it has {} bytes, more than AWS gives of it", bytes.len()));
            }
            Ok(Found::Plain(bytes)) => bytes,
            Ok(Found::Answers(answers, note)) => {
                if let Some(Stop::Failed(error)) = &answers.stop {
                    // Tried again from the start while there is another attempt: what is written is written for good.
                    if let Err(error) = settled::<(), _>(Err(error.clone()), self.retry) {
                        return Err(Error::Aws { source_name: source.words(), source: error });
                    }
                }
                handler::case_file::to_json(&self.document(source, answers, note))
            }
        };
        match settled(self.file.put(source.name(), bytes.clone()).await, self.retry)? {
            Err(error) => not_taken(&format!("it could not be written to the case: {error}")),
            Ok(Written::New(object) | Written::Same(object)) => Ok(kept(source, object, &bytes)),
            Ok(Written::Other { object, bytes }) => Ok(kept(source, object, &bytes)),
        }
    }

    fn document(&self, source: Source, answers: Answers, note: &str) -> Document {
        let (status, reason) = match &answers.stop {
            None => (SourceStatus::Taken, String::new()),
            Some(Stop::Bound) => (SourceStatus::Bounded, "it is as much as Cordon takes, and AWS has more".to_owned()),
            Some(Stop::Failed(error)) => (SourceStatus::Partly, format!("the rest could not be had: {error}")),
        };
        Document {
            schema: Document::SCHEMA.to_owned(),
            case_id: self.plan.case_id.clone(),
            source,
            status,
            reason: bounded(&reason, 300),
            note: note.to_owned(),
            taken_at: handler::now(),
            items: answers.items,
            calls: answers.calls,
        }
    }
}

/// How a source ended of which this object is kept, whoever wrote it.
fn kept(source: Source, object: ObjectRef, bytes: &[u8]) -> Outcome {
    let object = Some(object);
    if source.is_plain() {
        return Outcome { object, items: 1, ..Outcome::without(source, SourceStatus::Taken, "") };
    }
    match serde_json::from_slice::<Document>(bytes) {
        Ok(document) => Outcome { object, items: document.items, ..Outcome::without(source, document.status, &document.reason) },
        Err(error) => {
            let reason = format!("what lies there is no answer that Cordon wrote: {error}");
            Outcome { object, ..Outcome::without(source, SourceStatus::NotTaken, &reason) }
        }
    }
}
