//! Errors of the AWS SDK, sorted into the five faults.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use incident::{Classify, Fault};

/// The configuration that every client is made from: Region, credentials and endpoint as the environment has them,
/// and the SDK's standard retries (three attempts), which take care of most throttling before the state machine must.
pub async fn aws_config() -> aws_config::SdkConfig {
    aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await
}

/// An AWS call that failed: what was called, what AWS said, and what the state machine may do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{action} failed with {code}: {message}{}", request(.request_id))]
pub struct AwsError {
    /// The API action, `ec2:DescribeInstances`.
    pub action: &'static str,
    /// AWS's error code, or what happened to the call.
    pub code: String,
    /// AWS's message, bounded.
    pub message: String,
    /// AWS's request id, empty where there was no answer.
    pub request_id: String,
    /// The class.
    pub fault: Fault,
}

fn request(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!(" (request {id})") }
}

impl Classify for AwsError {
    fn fault(&self) -> Fault {
        self.fault
    }
}

impl AwsError {
    /// Whether AWS said exactly this code.
    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The same error, seen as another fault: what a code means can depend on the step.
    #[must_use]
    pub fn as_fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

/// Says how `action` failed. Used as `.await.map_err(failed("ec2:DescribeInstances"))`.
pub fn failed<E, R>(action: &'static str) -> impl Fn(SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
    SdkError<E, R>: HttpStatus,
{
    move |error| {
        let status = error.http_status();
        let (code, message, request_id) = match &error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                let code = meta
                    .code()
                    .map_or_else(|| status.map_or_else(|| "Unknown".to_owned(), |s| format!("Http{s}")), str::to_owned);
                (
                    code,
                    meta.message().unwrap_or("no message").to_owned(),
                    meta.extra("aws_request_id").unwrap_or_default().to_owned(),
                )
            }
            SdkError::TimeoutError(_) => ("Timeout".to_owned(), "no answer in time".to_owned(), String::new()),
            SdkError::DispatchFailure(dispatch) => {
                let reason = dispatch.as_connector_error().map_or_else(|| "no connection".to_owned(), |error| chain(error));
                ("NoConnection".to_owned(), reason, String::new())
            }
            SdkError::ResponseError(_) => {
                ("UnreadableAnswer".to_owned(), "the answer could not be read".to_owned(), String::new())
            }
            other => ("NotSent".to_owned(), chain(other), String::new()),
        };
        let fault = fault_of(&code, status, matches!(error, SdkError::ConstructionFailure(_)));
        AwsError { action, code, message: incident::text::bounded(&message, 600), request_id, fault }
    }
}

/// The HTTP status of the answer that an SDK error holds, if there was an answer.
pub trait HttpStatus {
    /// The status code.
    fn http_status(&self) -> Option<u16>;
}

impl<E> HttpStatus for SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse> {
    fn http_status(&self) -> Option<u16> {
        self.raw_response().map(|response| response.status().as_u16())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// The fault of an error code. Codes before statuses: EC2 says most things with a 400, and throttles with a 503.
fn fault_of(code: &str, status: Option<u16>, never_sent: bool) -> Fault {
    if never_sent {
        return Fault::Invalid;
    }
    let transient = [
        "RequestLimitExceeded",
        "Throttled",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "SlowDown",
        "RequestThrottled",
        "BandwidthLimitExceeded",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "InternalErrorException",
        "ServiceUnavailable",
        "ServiceException",
        "Unavailable",
        "RequestTimeout",
        "RequestTimeoutException",
        "ConditionalRequestConflict",
        "OperationAborted",
        "KMSInternalException",
        "DependencyTimeoutException",
        "EC2ThrottledException",
        "ResourceConflictException",
        "Timeout",
        "NoConnection",
        "UnreadableAnswer",
        // Snapshot quotas free themselves as snapshots complete [facts 68].
        "ConcurrentSnapshotLimitExceeded",
        "SnapshotCreationPerVolumeRateExceeded",
        "PendingSnapshotLimitExceeded",
    ];
    let denied = [
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "AuthorizationError",
        "AuthorizationErrorException",
        "AuthFailure",
        "OptInRequired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "ExpiredToken",
        "ExpiredTokenException",
        "SignatureDoesNotMatch",
        "DryRunOperation",
        "Blocked",
        "DisabledException",
        "KMSAccessDeniedException",
    ];
    let missing = [
        "NoSuchKey",
        "NoSuchBucket",
        "NoSuchVersion",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "ParameterNotFound",
        "ExecutionDoesNotExist",
        "StateMachineDoesNotExist",
        "IncorrectInstanceState",
    ];
    if transient.contains(&code) {
        Fault::Transient
    } else if denied.contains(&code) {
        Fault::Denied
    } else if missing.contains(&code) || code.ends_with(".NotFound") {
        Fault::Missing
    } else {
        match status {
            Some(403) => Fault::Denied,
            Some(404) => Fault::Missing,
            Some(408 | 429 | 500..=599) | None => Fault::Transient,
            Some(_) => Fault::Invalid,
        }
    }
}

/// What could be read, or why not, for a guard that judges by it. Only what may pass is a failure: the rest is a fact.
pub fn told<T>(answer: Result<T, AwsError>) -> Result<Result<T, String>, AwsError> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.fault == Fault::Transient => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_become_the_five_faults() {
        let cases = [
            ("RequestLimitExceeded", Some(503), Fault::Transient),
            ("ConcurrentSnapshotLimitExceeded", Some(400), Fault::Transient),
            ("SomethingNew", Some(500), Fault::Transient),
            ("SomethingNew", None, Fault::Transient),
            ("UnauthorizedOperation", Some(403), Fault::Denied),
            ("SomethingNew", Some(403), Fault::Denied),
            ("InvalidInstanceID.NotFound", Some(400), Fault::Missing),
            ("NoSuchKey", Some(404), Fault::Missing),
            ("InvalidParameterValue", Some(400), Fault::Invalid),
            ("PreconditionFailed", Some(412), Fault::Invalid),
        ];
        for (code, status, fault) in cases {
            assert_eq!(fault_of(code, status, false), fault, "{code} {status:?}");
        }
        assert_eq!(fault_of("NotSent", None, true), Fault::Invalid);
    }
}
