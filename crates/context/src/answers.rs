//! Answers to a source's questions, page by page, with bounds.

use handler::AwsError;
use incident::context::Call;
use serde_json::Value;

use crate::raw::Answer;

/// The most bytes of answers that are kept of a source. A page is taken whole.
const MOST_BYTES: usize = 4 << 20;

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The answer as it came.
    pub(crate) answer: Answer,
    /// How many things are in it.
    pub(crate) items: usize,
    /// What asks for the next one.
    pub(crate) next: Option<String>,
}

/// Why there is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is as much as Cordon takes.
    Bound,
    /// The rest could not be had.
    Failed(AwsError),
}

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) calls: Vec<Call>,
    pub(crate) items: u32,
    pub(crate) stop: Option<Stop>,
    bytes: usize,
}

impl Answers {
    /// Asks for pages, at most `most` of them. A call that fails is this source's failure only where nothing has come before:
    /// what has come is kept, and it is said that the rest is missing. Once stopped, nothing is asked any more.
    pub(crate) async fn pages(
        &mut self,
        (action, asked): (&'static str, Value),
        most: usize,
        mut ask: impl AsyncFnMut(Option<String>) -> Result<Page, AwsError>,
    ) -> Result<(), AwsError> {
        let mut next = None;
        for _ in 0..most {
            if matches!(self.stop, Some(Stop::Failed(_))) || self.is_full() {
                break;
            }
            match ask(next.take()).await {
                Ok(page) => {
                    self.take(action, &asked, page.answer, page.items);
                    next = page.next.filter(|token| !token.is_empty());
                }
                Err(error) if self.calls.is_empty() => return Err(error),
                Err(error) => self.stop = Some(Stop::Failed(error)),
            }
            if next.is_none() {
                return Ok(());
            }
        }
        self.stop.get_or_insert(Stop::Bound);
        Ok(())
    }

    fn take(&mut self, action: &str, asked: &Value, answer: Answer, items: usize) {
        self.bytes += answer.size;
        self.items = self.items.saturating_add(u32::try_from(items).unwrap_or(u32::MAX));
        self.calls.push(Call { action: action.to_owned(), asked: asked.clone(), answer: answer.value });
    }

    const fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    /// Notes that AWS has more than was asked for.
    pub(crate) fn there_is_more(&mut self) {
        self.stop.get_or_insert(Stop::Bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::Fault;
    use serde_json::json;

    fn page(size: usize, items: usize, next: Option<&str>) -> Page {
        Page { answer: Answer { value: json!(items), size }, items, next: next.map(str::to_owned) }
    }

    fn busy() -> AwsError {
        let (code, message) = ("ThrottlingException".to_owned(), "Rate exceeded".to_owned());
        AwsError { action: "x:Y", code, message, request_id: String::new(), fault: Fault::Transient }
    }

    /// Asks at most `most` pages of those in `script`, in order; gives what was kept and how often was asked.
    async fn asked(most: usize, script: Vec<Result<Page, AwsError>>) -> (Result<Answers, AwsError>, usize) {
        let (mut script, mut calls) = (script.into_iter(), 0);
        let mut answers = Answers::default();
        let ended = answers
            .pages(("x:Y", json!({})), most, async |_| {
                calls += 1;
                script.next().unwrap()
            })
            .await;
        (ended.map(|()| answers), calls)
    }

    #[tokio::test]
    async fn pages_are_taken_until_the_last_one_or_a_bound() {
        let more = || Ok(page(10, 50, Some("token")));
        let last = || Ok(page(10, 7, None));
        let huge = || Ok(page(MOST_BYTES, 50, Some("token")));
        for (most, script, calls, items, stop) in [
            (3, vec![last()], 1, 7, None),
            (3, vec![more(), last()], 2, 57, None),
            (3, vec![more(), more(), last()], 3, 107, None),
            (3, vec![more(), more(), more()], 3, 150, Some(Stop::Bound)),
            (3, vec![huge()], 1, 50, Some(Stop::Bound)),
            // A token that says nothing asks for nothing.
            (3, vec![Ok(page(1, 1, Some("")))], 1, 1, None),
            (3, vec![more(), Err(busy())], 2, 50, Some(Stop::Failed(busy()))),
        ] {
            let (answers, seen) = asked(most, script).await;
            let answers = answers.unwrap();
            assert_eq!((seen, answers.items, answers.stop), (calls, items, stop));
        }
        let (failed, _) = asked(3, vec![Err(busy())]).await;
        assert_eq!(failed.err(), Some(busy()), "where nothing has come, the source has failed");
    }

    #[tokio::test]
    async fn after_a_failure_nothing_more_is_asked() {
        let mut answers = Answers { stop: Some(Stop::Failed(busy())), ..Answers::default() };
        answers.pages(("x:Y", json!({})), 3, async |_| panic!("it was asked")).await.unwrap();
        assert_eq!((answers.calls.len(), answers.stop), (0, Some(Stop::Failed(busy()))));
    }
}
