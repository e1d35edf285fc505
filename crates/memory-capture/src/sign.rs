//! URLs for the target.
//!
//! INVARIANT: a URL is signed by a session that may do one action to one key, and that session is never seen outside this
//! function: what leaves it is the URL. With it, its holder can do what the URL says until it ends, and nothing else.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::presigning::PresigningConfig;
use handler::{AwsError, failed};
use incident::Fault;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::Case;

/// What role chaining allows at most, in seconds [facts 48].
const SESSION_SECONDS: i32 = 3600;
/// URLs are said to end this long before they do.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// The longest name of a session.
const NAME: usize = 64;

/// What a session may do to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Put parts of an upload. A part is no object, and the URL is for a part.
    PutParts,
    /// Read it.
    Get,
}

/// A session for one key.
#[derive(Debug)]
pub(crate) struct Session {
    s3: aws_sdk_s3::Client,
    bucket: String,
    key: String,
    /// Until when its URLs hold.
    pub(crate) until: Timestamp,
    config: PresigningConfig,
}

impl Session {
    /// Begins a session that has one right to one key.
    pub(crate) async fn begin(case: &Case<'_>, right: Right, key: String) -> Result<Self, AwsError> {
        let deployment = &case.clients.deployment;
        let name: String = format!("cordon-{}", case.plan.case_id).chars().take(NAME).collect();
        let bucket = &case.clients.store.bucket;
        let call = case.clients.sts.assume_role().role_arn(&deployment.role).role_session_name(name);
        let call = call.duration_seconds(SESSION_SECONDS).policy(policy(
            right,
            &format!("arn:{}:s3:::{bucket}/{key}", deployment.partition()),
            deployment.key.as_deref(),
        ));
        let answer = call.send().await.map_err(failed("sts:AssumeRole"))?;
        let given = answer.credentials.ok_or_else(|| unsigned("sts:AssumeRole", &"the answer has no credentials"))?;
        let ends = Timestamp::from_second(given.expiration.secs());
        let until = ends.map_err(|error| unsigned("sts:AssumeRole", &error))?.saturating_sub(MARGIN).unwrap_or(case.now());
        let credentials =
            Credentials::new(given.access_key_id, given.secret_access_key, Some(given.session_token), None, "session");
        let s3 = aws_sdk_s3::config::Builder::from(&case.clients.config)
            .credentials_provider(credentials)
            // A checksum header would have to be sent with the URL, and nobody knows the bytes yet [facts 50].
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        let valid = Duration::from_secs(valid_seconds(until, case.now()).into());
        let config = PresigningConfig::expires_in(valid).map_err(|error| unsigned("s3:presign", &error))?;
        Ok(Self { s3: aws_sdk_s3::Client::from_conf(s3), bucket: bucket.clone(), key, until, config })
    }

    /// A URL to put part `number` of `upload` with.
    pub(crate) async fn part(&self, upload: &str, number: u32) -> Result<String, AwsError> {
        let number = i32::try_from(number).map_err(|error| unsigned("s3:UploadPart", &error))?;
        let call = self.s3.upload_part().bucket(&self.bucket).key(&self.key).upload_id(upload).part_number(number);
        Ok(call.presigned(self.config.clone()).await.map_err(failed("s3:UploadPart"))?.uri().to_owned())
    }

    /// A URL to get the object with.
    pub(crate) async fn get(&self) -> Result<String, AwsError> {
        let call = self.s3.get_object().bucket(&self.bucket).key(&self.key);
        Ok(call.presigned(self.config.clone()).await.map_err(failed("s3:GetObject"))?.uri().to_owned())
    }
}

/// For how long URLs that end at `until` hold from `now` on, in seconds: at least one, since a URL must hold at all.
pub(crate) fn valid_seconds(until: Timestamp, now: Timestamp) -> u32 {
    u32::try_from(until.duration_since(now).as_secs().clamp(1, i64::from(SESSION_SECONDS))).unwrap_or(1)
}

fn policy(right: Right, resource: &str, key: Option<&str>) -> String {
    let (action, kms) = match right {
        Right::PutParts => ("s3:PutObject", json!(["kms:GenerateDataKey", "kms:Decrypt"])),
        Right::Get => ("s3:GetObject", json!(["kms:Decrypt"])),
    };
    let mut statements = vec![json!({"Effect": "Allow", "Action": action, "Resource": resource})];
    // S3 uses the bucket's key with the rights of the caller [facts 55].
    statements.extend(key.map(|key| json!({"Effect": "Allow", "Action": kms, "Resource": key})));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn unsigned(action: &'static str, reason: &dyn std::fmt::Display) -> AwsError {
    let message = incident::text::bounded(&reason.to_string(), 300);
    AwsError { action, code: "UnreadableAnswer".to_owned(), message, request_id: String::new(), fault: Fault::Transient }
}
