//! Asking one of Cordon's functions, and waiting for what it says.

use aws_config::SdkConfig;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_types::Blob;
use incident::text::bounded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Arguments, Error};

/// Runs the function `name` (as the deployment has it) with `payload`; a failure of it is one of the command.
pub(crate) async fn ask<T: DeserializeOwned>(
    arguments: &Arguments,
    config: &SdkConfig,
    name: Option<&str>,
    payload: &Value,
) -> Result<T, Error> {
    let name = name.ok_or_else(|| older(arguments, "no function for this"))?;
    let said = Box::pin(run(config, name, payload)).await?;
    said.map_err(|Failure { error, message }| Error::Step { error, message })
}

/// Why a function failed, in its own words; bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The error's name.
    pub(crate) error: String,
    /// What was said.
    pub(crate) message: String,
}

/// Runs a function, and gives what it says.
pub(crate) async fn run<T: DeserializeOwned>(
    config: &SdkConfig,
    name: &str,
    payload: &impl Serialize,
) -> Result<Result<T, Failure>, Error> {
    // Our own types have string keys, so that this cannot fail; the functions refuse an empty payload.
    let payload = Blob::new(serde_json::to_vec(payload).unwrap_or_default());
    let invoke = aws_sdk_lambda::Client::new(config).invoke().function_name(name);
    let result = invoke.invocation_type(InvocationType::RequestResponse).payload(payload).send().await;
    let result = result.map_err(Error::aws("lambda:Invoke"))?;
    let bytes = result.payload.as_ref().map(Blob::as_ref).unwrap_or_default();
    if let Some(kind) = result.function_error {
        return Ok(Err(failure(&kind, bytes)));
    }
    let unreadable =
        |error: serde_json::Error| Failure { error: "its result".to_owned(), message: bounded(&error.to_string(), 400) };
    Ok(serde_json::from_slice(bytes).map_err(unreadable))
}

/// What a function's error says.
pub(crate) fn failure(kind: &str, payload: &[u8]) -> Failure {
    let said: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |field: &str| said.get(field).and_then(Value::as_str);
    Failure {
        error: bounded(text("errorType").unwrap_or(kind), 80),
        message: bounded(text("errorMessage").unwrap_or("it said nothing that can be read"), 800),
    }
}

/// The deployment does not know what this command needs.
pub(crate) fn older(arguments: &Arguments, what: &str) -> Error {
    Error::Deployment {
        name: arguments.deployment.clone(),
        why: format!("the deployment is older than this command, and has {what}"),
    }
}
