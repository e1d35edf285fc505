//! What the cloud says to a call.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::json;
use std::fmt::Display;

/// An answer to one call: an HTTP response, no response at all, or what the memory bucket says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Response { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    Lost,
    Timeout,
    Bucket,
    BucketThenLost,
}

impl Answer {
    /// 200 with an XML body: EC2, SNS, IAM, STS, S3.
    pub fn xml(body: impl Into<String>) -> Self {
        Self::response(200, "text/xml", body.into())
    }

    /// 200 with a JSON body: SSM, Step Functions, KMS, Lambda. Takes a [`serde_json::Value`] or JSON text.
    pub fn json(body: impl Display) -> Self {
        Self::response(200, "application/x-amz-json-1.1", body.to_string())
    }

    /// A response with any bytes for a body.
    pub fn bytes(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { kind: Kind::Response { status, headers: Vec::new(), body: body.into() } }
    }

    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self::bytes(status, Vec::new())
    }

    /// An error as EC2 writes it. Not for the other query services: see [`Answer::query_error`].
    pub fn ec2_error(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (escape(code), escape(message));
        let body = format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>stub</RequestID></Response>"
        );
        Self::response(status, "text/xml", body)
    }

    /// An error as SNS, IAM and STS write it.
    pub fn query_error(status: u16, code: &str, message: &str) -> Self {
        let (kind, code, message) = (if status < 500 { "Sender" } else { "Receiver" }, escape(code), escape(message));
        let body = format!(
            "<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>stub</RequestId></ErrorResponse>"
        );
        Self::response(status, "text/xml", body)
    }

    /// An error as the JSON services (SSM, Step Functions, KMS, Lambda) write it.
    pub fn json_error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "__type": code, "message": message }).to_string();
        Self::response(status, "application/x-amz-json-1.1", body).header("x-amzn-errortype", code)
    }

    /// An error as S3 writes it. A `HEAD` gets it without the body, as from S3.
    pub fn s3_error(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (escape(code), escape(message));
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>stub</RequestId></Error>");
        Self::response(status, "application/xml", body)
    }

    /// The connection breaks and no answer arrives (a connector I/O error): the caller cannot
    /// know whether the call took effect. An S3 call does not reach the memory bucket: see
    /// [`Answer::bucket_then_lost`].
    pub fn lost() -> Self {
        Self { kind: Kind::Lost }
    }

    /// The answer does not arrive in time (a connector timeout). Immediate; nothing waits.
    pub fn timeout() -> Self {
        Self { kind: Kind::Timeout }
    }

    /// What the memory bucket says, as if the S3 action had not been stubbed. For a queue or a
    /// computed answer that lets some calls through.
    pub fn bucket() -> Self {
        Self { kind: Kind::Bucket }
    }

    /// The memory bucket does what it is asked, and then its answer is lost on the way.
    pub fn bucket_then_lost() -> Self {
        Self { kind: Kind::BucketThenLost }
    }

    /// The same response with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Kind::Response { headers, .. } = &mut self.kind {
            headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        self
    }

    /// The same response with another status.
    #[must_use]
    pub fn status(mut self, wanted: u16) -> Self {
        if let Kind::Response { status, .. } = &mut self.kind {
            *status = wanted;
        }
        self
    }

    fn response(status: u16, content_type: &str, body: String) -> Self {
        Self::bytes(status, body).header("content-type", content_type)
    }

    /// The wire form. `head` drops the body, as HTTP does.
    pub(crate) fn send(self, head: bool, request_id: &str) -> Result<HttpResponse, ConnectorError> {
        let (status, headers, body) = match self.kind {
            Kind::Response { status, headers, body } => (status, headers, body),
            Kind::Lost | Kind::BucketThenLost => return Err(ConnectorError::io("stub: the answer was lost".into())),
            Kind::Timeout => return Err(ConnectorError::timeout("stub: the answer did not arrive in time".into())),
            Kind::Bucket => return Err(ConnectorError::user("stub: only s3 actions reach the memory bucket".into())),
        };
        let status = StatusCode::try_from(status).map_err(|error| ConnectorError::user(error.into()))?;
        let mut response = HttpResponse::new(status, SdkBody::from(if head { Vec::new() } else { body }));
        let ids = ["x-amzn-requestid", "x-amz-request-id"].map(|name| (name.to_owned(), request_id.to_owned()));
        for (name, value) in ids.into_iter().chain(headers) {
            response.headers_mut().try_insert(name, value).map_err(|error| ConnectorError::user(error.into()))?;
        }
        Ok(response)
    }
}

/// Text as the content of an XML element.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
