//! From a payload to a step and back.

use incident::{Classify, Fault};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// What ends the process: a missing setting, or a runtime that does not answer.
pub type Fatal = lambda_runtime::Error;

/// A failure as the state machine sees it: one of the five names, and what to do.
#[derive(Debug)]
struct Failed {
    fault: Fault,
    message: String,
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Self {
        Self { error_type: failed.fault.name().to_owned(), error_message: failed.message }
    }
}

/// The longest message that goes to the state machine. Causes travel in payloads of at most 256 KiB.
const MESSAGE_LIMIT: usize = 2_000;

/// Serves a step for as long as Lambda keeps the process.
pub async fn serve<I, O, E>(step: impl AsyncFn(I) -> Result<O, E>) -> Result<(), Fatal>
where
    I: DeserializeOwned,
    O: Serialize,
    E: std::error::Error + Classify,
{
    lambda_runtime::tracing::init_default_subscriber();
    let step = &step;
    // The payload is taken unparsed: the runtime's own parser gives up on deep nesting with an error that carries a
    // Rust path as its name, which no `ErrorEquals` can match.
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        answer(step, event.payload.get()).await.map_err(|(fault, message)| {
            tracing::error!(fault = fault.name(), message, "step failed");
            Failed { fault, message }
        })
    }))
    .await
}

/// Runs a step once on a payload as text. This is what [`serve`] does with each event.
pub async fn answer<I, O, E>(step: &impl AsyncFn(I) -> Result<O, E>, payload: &str) -> Result<O, (Fault, String)>
where
    I: DeserializeOwned,
    E: std::error::Error + Classify,
{
    let mut reader = serde_json::Deserializer::from_str(payload);
    let input: I = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| (Fault::Invalid, bounded(&format!("field `{}` of the payload: {}", error.path(), error.inner()))))?;
    step(input).await.map_err(|error| (error.fault(), bounded(&with_sources(&error))))
}

/// An error and what it comes from, in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !message.contains(&inner_text) {
            message.push_str(": ");
            message.push_str(&inner_text);
        }
        source = inner.source();
    }
    message
}

fn bounded(message: &str) -> String {
    incident::text::bounded(message, MESSAGE_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        instance: incident::InstanceId,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the guard says no")]
    struct Never;

    impl Classify for Never {
        fn fault(&self) -> Fault {
            Fault::Refused
        }
    }

    async fn step(input: Input) -> Result<String, Never> {
        if input.instance.as_str().ends_with('0') { Err(Never) } else { Ok(input.instance.into()) }
    }

    #[tokio::test]
    async fn a_wrong_payload_is_invalid_and_names_the_field() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let cases = [
            (r#"{"instance": "x"}"#, "instance"),
            (r#"{"instance": "i-0abc1234", "extra": 1}"#, "extra"),
            ("{}", "instance"),
            ("not json", "payload"),
            (&deep, "payload"),
        ];
        for (payload, named) in cases {
            let (fault, message) = answer(&step, payload).await.unwrap_err();
            assert_eq!(fault, Fault::Invalid);
            assert!(message.contains(named), "{message}");
            assert!(message.len() < 3_000, "the message must be bounded");
        }
    }

    #[tokio::test]
    async fn a_steps_own_error_keeps_its_fault() {
        assert_eq!(answer(&step, r#"{"instance": "i-0abc1230"}"#).await, Err((Fault::Refused, "the guard says no".to_owned())));
        assert_eq!(answer(&step, r#"{"instance": "i-0abc1231"}"#).await, Ok("i-0abc1231".to_owned()));
    }
}
