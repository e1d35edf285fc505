//! Asking one of Cordon's functions, and waiting for what it says.

use aws_config::SdkConfig;
use aws_sdk_lambda::types::InvocationType;
use aws_smithy_types::Blob;
use incident::text::bounded;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Arguments, Error};

/// Runs the function `name` (as the deployment has it) with `payload`.
pub(crate) async fn ask<T: DeserializeOwned>(
    arguments: &Arguments,
    config: &SdkConfig,
    name: Option<&str>,
    payload: &Value,
) -> Result<T, Error> {
    let name = name.ok_or_else(|| older(arguments, "no function for this"))?;
    let invoke = aws_sdk_lambda::Client::new(config).invoke().function_name(name);
    let invoke = invoke.invocation_type(InvocationType::RequestResponse).payload(Blob::new(payload.to_string()));
    let result = invoke.send().await.map_err(Error::aws("lambda:Invoke"))?;
    let bytes = result.payload.as_ref().map(Blob::as_ref).unwrap_or_default();
    let failed = |error: &str, message: &str| Error::Step { error: bounded(error, 80), message: bounded(message, 800) };
    if let Some(kind) = result.function_error {
        let said: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |field: &str| said.get(field).and_then(Value::as_str);
        return Err(failed(
            text("errorType").unwrap_or(&kind),
            text("errorMessage").unwrap_or("it said nothing that can be read"),
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| failed("its result", &error.to_string()))
}

/// The deployment does not know what this command needs.
pub(crate) fn older(arguments: &Arguments, what: &str) -> Error {
    Error::Deployment {
        name: arguments.deployment.clone(),
        why: format!("the deployment is older than this command, and has {what}"),
    }
}
