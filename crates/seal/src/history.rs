//! The execution's history: AWS forgets it 90 days after the end [facts 82], so it is copied into the case.

use aws_sdk_sfn::types::HistoryEvent;
use handler::failed;
use incident::ExecutionArn;
use incident::text::bounded;
use incident::timeline::Entered;
use jiff::Timestamp;
use serde::Serialize;

use crate::Clients;

/// The most events that are kept, and the most bytes of them (as JSON).
const MOST_EVENTS: usize = 5_000;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// `history.json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    schema: &'static str,
    execution: ExecutionArn,
    /// The last event that is here; the case is closed while the execution still runs.
    through_event: i64,
    /// Why there is less than there was, if so.
    problem: Option<String>,
    events: Vec<Event>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    id: i64,
    previous: i64,
    #[serde(rename = "type")]
    kind: String,
    at: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cause: String,
}

impl History {
    /// When each state was entered.
    pub(crate) fn entered(&self) -> Vec<Entered> {
        let entered = self.events.iter().filter(|event| event.kind.ends_with("StateEntered"));
        entered.filter_map(|event| Some(Entered { state: event.state.clone(), at: event.at? })).collect()
    }
}

/// The history as far as it can be read: a history that is denied stops no closing.
pub(crate) async fn read(clients: &Clients, execution: &ExecutionArn) -> History {
    let (mut events, mut problem, mut size) = (Vec::new(), None, 0);
    let mut next: Option<String> = None;
    'pages: loop {
        let get = clients.sfn.get_execution_history().execution_arn(execution.as_str()).include_execution_data(false);
        let page =
            match get.max_results(1_000).set_next_token(next.take()).send().await.map_err(failed("states:GetExecutionHistory")) {
                Ok(page) => page,
                Err(error) => {
                    problem = Some(error.to_string());
                    break;
                }
            };
        for event in page.events() {
            let event = kept(event);
            size += 160 + event.state.len() + event.error.len() + event.cause.len();
            if events.len() == MOST_EVENTS || size > MOST_BYTES {
                problem = Some(format!("only the first {} events are kept", events.len()));
                break 'pages;
            }
            events.push(event);
        }
        match page.next_token {
            Some(token) => next = Some(token),
            None => break,
        }
    }
    let through_event = events.last().map_or(0, |event| event.id);
    History { schema: "cordon.history.v1", execution: execution.clone(), through_event, problem, events }
}

fn kept(event: &HistoryEvent) -> Event {
    let state = event
        .state_entered_event_details()
        .map(aws_sdk_sfn::types::StateEnteredEventDetails::name)
        .or_else(|| event.state_exited_event_details().map(aws_sdk_sfn::types::StateExitedEventDetails::name))
        .unwrap_or_default();
    let failure = event
        .task_failed_event_details()
        .map(|details| (details.error(), details.cause()))
        .or_else(|| event.lambda_function_failed_event_details().map(|details| (details.error(), details.cause())))
        .or_else(|| event.task_timed_out_event_details().map(|details| (details.error(), details.cause())))
        .or_else(|| event.execution_failed_event_details().map(|details| (details.error(), details.cause())))
        .or_else(|| event.execution_aborted_event_details().map(|details| (details.error(), details.cause())))
        .or_else(|| event.execution_timed_out_event_details().map(|details| (details.error(), details.cause())));
    let (error, cause) = failure.unwrap_or_default();
    let at = event.timestamp();
    Event {
        id: event.id(),
        previous: event.previous_event_id(),
        kind: event.r#type().as_str().to_owned(),
        at: i32::try_from(at.subsec_nanos()).ok().and_then(|nanos| Timestamp::new(at.secs(), nanos).ok()),
        state: bounded(state, 80),
        error: bounded(error.unwrap_or_default(), 256),
        cause: bounded(cause.unwrap_or_default(), 2_000),
    }
}
