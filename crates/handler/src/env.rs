//! Configuration: a handful of variables that the template sets, read once, when the process starts.

use crate::serve::Fatal;

/// The value of a variable that the template must set.
pub fn required(name: &str) -> Result<String, Fatal> {
    optional(name)
        .ok_or_else(|| format!("the environment variable {name} is not set: deploy the function with infra/template.yaml").into())
}

/// The value of a variable that may be absent or empty.
pub fn optional(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The function's name and version, as records name who acted: `cordon-isolate:7`.
pub fn function() -> String {
    let name = optional("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| "cordon".to_owned());
    let version = optional("AWS_LAMBDA_FUNCTION_VERSION").unwrap_or_else(|| "unversioned".to_owned());
    format!("{name}:{version}")
}
