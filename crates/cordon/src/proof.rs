//! The proof of who answers: a request to STS that is signed with the person's own credentials and never sent from here.
//!
//! INVARIANT: the secret key stays in this process. What leaves it is a signature that STS takes for a quarter of an hour, for
//! one statement, and for nothing but the question whose it is.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_request};
use aws_sigv4::sign::v4;
use incident::permission::{PROOF_BODY, PROOF_CONTENT_TYPE, Proof, Statement};

use crate::Error;

/// Signs for `statement` with the person's credentials, for the STS endpoint `host`.
pub(crate) async fn prove(config: &SdkConfig, host: &str, statement: &Statement) -> Result<Proof, Error> {
    let region =
        config.region().ok_or(Error::Unsigned { why: "no Region is set".to_owned(), todo: "set AWS_REGION or use --region" })?;
    let log_in = "set AWS_PROFILE or log in";
    let provider =
        config.credentials_provider().ok_or(Error::Unsigned { why: "there are no credentials".to_owned(), todo: log_in })?;
    let credentials = provider.provide_credentials().await.map_err(Error::aws("finding credentials"))?;
    sign(statement, host, region.as_ref(), credentials, now())
}

/// The time of a signature. STS refuses one that is far from its own time.
fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "a signature bears the time at which it was made; nothing is decided by it")]
    SystemTime::now()
}

/// The proof. Which headers are signed is said once, in [`incident::permission::SIGNED_HEADERS`]: the signer adds `host`,
/// `x-amz-date` and, for a session, `x-amz-security-token` to those given here.
fn sign(statement: &Statement, host: &str, region: &str, credentials: Credentials, time: SystemTime) -> Result<Proof, Error> {
    let wrong = |why: String| Error::Unsigned { why, todo: "look at the deployment's SSM parameter and at the credentials" };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
        return Err(wrong("the deployment names no STS endpoint".to_owned()));
    }
    let security_token = credentials.session_token().map(str::to_owned);
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| wrong(error.to_string()))?
        .into();
    let bound = statement.headers();
    let headers = bound.iter().map(|(name, value)| (*name, value.as_str())).chain([("content-type", PROOF_CONTENT_TYPE)]);
    let request = SignableRequest::new("POST", format!("https://{host}/"), headers, SignableBody::Bytes(PROOF_BODY.as_bytes()));
    let signed = request.and_then(|request| sign_request(request, &params)).map_err(|error| wrong(error.to_string()))?;
    let (instructions, _) = signed.into_parts();
    let header = |wanted: &str| {
        let value = instructions.headers().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned());
        value.ok_or_else(|| wrong(format!("the signer made no `{wanted}`")))
    };
    Ok(Proof { host: host.to_owned(), date: header("x-amz-date")?, authorization: header("authorization")?, security_token })
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::CaseId;
    use incident::permission::{Decision, SIGNED_HEADERS};

    fn statement() -> Statement {
        Statement {
            schema: Statement::SCHEMA.to_owned(),
            case_id: CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap(),
            manifest: "a".repeat(64),
            decision: Decision::Approve,
            waive: Vec::new(),
            because: String::new(),
        }
    }

    #[test]
    fn exactly_the_headers_that_bind_the_answer_are_signed() {
        for (token, last) in [(None, ""), (Some("token".to_owned()), "x-amz-security-token")] {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", token.clone(), None, "test");
            let proof = sign(&statement(), "sts.eu-central-1.amazonaws.com", "eu-central-1", credentials, SystemTime::UNIX_EPOCH)
                .unwrap();
            let mut expected = SIGNED_HEADERS.to_vec();
            expected.extend((!last.is_empty()).then_some(last));
            expected.sort_unstable();
            let start = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/19700101/eu-central-1/sts/aws4_request, SignedHeaders={}, Signature=",
                expected.join(";")
            );
            assert!(proof.authorization.starts_with(&start), "{}", proof.authorization);
            assert_eq!((proof.date.as_str(), proof.security_token), ("19700101T000000Z", token));
        }
    }

    #[test]
    fn no_other_host_than_a_plain_name_is_signed_for() {
        for host in ["", "sts/../x", "a@b", "a:1", "a b", "a\r\nb", "ä"] {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
            let refused = sign(&statement(), host, "eu-central-1", credentials, SystemTime::UNIX_EPOCH);
            assert!(matches!(refused, Err(Error::Unsigned { .. })), "{host}");
        }
    }
}
