//! The proof of who answers: a request to STS that was signed and not sent. Pure.
//!
//! INVARIANT: nothing of the request comes from the caller but the signature, its date and the session's token. All the rest
//! is made here, from our own constants and from what was said, so that a signature over anything else does not hold.

use incident::permission::{PROOF_CONTENT_TYPE, Proof, SIGNED_HEADERS, Statement};
use incident::text::{bounded, sha256};

/// The longest session token that is sent on, in bytes.
const LONGEST_TOKEN: usize = 8_192;
/// The longest `authorization`, in bytes.
const LONGEST_AUTHORIZATION: usize = 1_024;

/// Why a proof proves nothing, before STS is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is no signature of version 4 over a request to STS.
    #[error("its `authorization` is no AWS Signature Version 4 of a request to STS")]
    NoSignature,
    /// It is signed for another host.
    #[error("it is signed for the host `{0}` and not for this deployment's")]
    OtherHost(String),
    /// A header that binds it is not signed.
    #[error("the header `{0}` is not signed, so that the signature is not bound to this answer")]
    Unsigned(&'static str),
    /// A header is signed that is not part of the request.
    #[error("the header `{0}` is signed, which is no part of the request")]
    Foreign(String),
    /// A field has a form that no header takes.
    #[error("its field `{0}` has a form that it cannot have")]
    Malformed(&'static str),
}

/// The headers of the request as STS gets it.
pub fn headers(proof: &Proof, text: &str, statement: &Statement, host: &str) -> Result<Vec<(&'static str, String)>, ProofError> {
    if proof.host != host {
        return Err(ProofError::OtherHost(bounded(&proof.host, 100)));
    }
    let is_date = proof.date.len() == 16 && proof.date.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'T' | b'Z'));
    if !is_date {
        return Err(ProofError::Malformed("date"));
    }
    let visible =
        |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !visible(&proof.authorization, LONGEST_AUTHORIZATION) {
        return Err(ProofError::Malformed("authorization"));
    }
    if proof.security_token.as_ref().is_some_and(|token| !visible(token, LONGEST_TOKEN)) {
        return Err(ProofError::Malformed("securityToken"));
    }
    signed(&proof.authorization, proof.security_token.is_some())?;
    let mut headers = vec![
        ("content-type", PROOF_CONTENT_TYPE.to_owned()),
        ("host", host.to_owned()),
        ("x-amz-date", proof.date.clone()),
        ("authorization", proof.authorization.clone()),
    ];
    // The digest is that of the very text that was sent.
    let bound = statement.headers().map(|(name, value)| {
        if name == incident::permission::STATEMENT_HEADER { (name, sha256(text.as_bytes())) } else { (name, value) }
    });
    headers.extend(bound);
    headers.extend(proof.security_token.clone().map(|token| ("x-amz-security-token", token)));
    Ok(headers)
}

/// Whether just those headers are signed that bind the answer, in a scope of STS.
fn signed(authorization: &str, with_token: bool) -> Result<(), ProofError> {
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(ProofError::NoSignature)?;
    let fields: Vec<&str> = fields.split(',').map(str::trim).collect();
    let field = |name: &str| fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    // Just these three, and nothing odd within one: what stands twice is read in one way here and perhaps in another there.
    let (3, Some(credential), Some(names), Some(signature)) =
        (fields.len(), field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return Err(ProofError::NoSignature);
    };
    let scope: Vec<&str> = credential.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_digest = signature.len() == 64 && signature.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !matches!(scope[..], [_, _, _, "sts", "aws4_request"]) || !scope.iter().all(plain) || !is_digest {
        return Err(ProofError::NoSignature);
    }
    let names: Vec<&str> = names.split(';').collect();
    if let Some(missing) = SIGNED_HEADERS.into_iter().find(|wanted| !names.contains(wanted)) {
        return Err(ProofError::Unsigned(missing));
    }
    if with_token && !names.contains(&"x-amz-security-token") {
        return Err(ProofError::Unsigned("x-amz-security-token"));
    }
    let ours = |name: &&&str| SIGNED_HEADERS.contains(*name) || (with_token && **name == "x-amz-security-token");
    match names.iter().find(|name| !ours(name)) {
        Some(foreign) => Err(ProofError::Foreign(bounded(foreign, 60))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::CaseId;
    use incident::permission::Decision;
    use proptest::prelude::*;

    const HOST: &str = "sts.eu-central-1.amazonaws.com";
    const ALL: &str = "content-type;host;x-amz-date;x-cordon-case;x-cordon-decision;x-cordon-manifest;x-cordon-statement";

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

    fn proof(names: &str) -> Proof {
        let signature = "0".repeat(64);
        let scope = "AKIA/20261125/eu-central-1/sts/aws4_request";
        Proof {
            host: HOST.to_owned(),
            date: "20261125T100000Z".to_owned(),
            authorization: format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"),
            security_token: None,
        }
    }

    fn of(proof: &Proof) -> Result<Vec<(&'static str, String)>, ProofError> {
        headers(proof, "text", &statement(), HOST)
    }

    #[test]
    fn the_request_is_made_of_what_was_said_and_of_nothing_else_of_the_callers() {
        let made = of(&Proof {
            security_token: Some("token".to_owned()),
            ..proof(&ALL.replace("x-cordon-case", "x-amz-security-token;x-cordon-case"))
        })
        .unwrap();
        let value = |name: &str| made.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("x-cordon-case"), Some("i-0abc1234def567890-0123456789ab"));
        assert_eq!(value("x-cordon-decision"), Some("approve"));
        assert_eq!(value("x-cordon-manifest"), Some("a".repeat(64).as_str()));
        assert_eq!(value("x-cordon-statement"), Some(sha256(b"text").as_str()));
        assert_eq!((value("host"), value("x-amz-security-token")), (Some(HOST), Some("token")));
        assert_eq!(made.len(), 9);
    }

    #[test]
    fn a_signature_over_anything_else_is_refused() {
        let with = |from: &str, to: &str| Proof { authorization: proof(ALL).authorization.replace(from, to), ..proof(ALL) };
        for name in SIGNED_HEADERS {
            let names: Vec<&str> = ALL.split(';').filter(|known| *known != name).collect();
            assert_eq!(of(&proof(&names.join(";"))), Err(ProofError::Unsigned(name)));
        }
        let cases = [
            (proof(&format!("{ALL};x-evil")), ProofError::Foreign("x-evil".to_owned())),
            (proof(&format!("{ALL};x-amz-security-token")), ProofError::Foreign("x-amz-security-token".to_owned())),
            (Proof { security_token: Some("t".to_owned()), ..proof(ALL) }, ProofError::Unsigned("x-amz-security-token")),
            (Proof { host: "evil.example".to_owned(), ..proof(ALL) }, ProofError::OtherHost("evil.example".to_owned())),
            (Proof { date: "now".to_owned(), ..proof(ALL) }, ProofError::Malformed("date")),
            (Proof { authorization: "a\r\nb".to_owned(), ..proof(ALL) }, ProofError::Malformed("authorization")),
            (Proof { security_token: Some("a\nb".to_owned()), ..proof(ALL) }, ProofError::Malformed("securityToken")),
            (with("/sts/", "/s3/"), ProofError::NoSignature),
            (with("AWS4-HMAC-SHA256", "Bearer"), ProofError::NoSignature),
            (with("Signature=0", "Signature="), ProofError::NoSignature),
            (with("Signature=", "SignedHeaders=host, Signature="), ProofError::NoSignature),
            (with("Signature=", "Other=1 SignedHeaders=host, Signature="), ProofError::NoSignature),
            (with("AKIA", "A SignedHeaders=host"), ProofError::NoSignature),
            (with("AKIA", ""), ProofError::NoSignature),
            (with("Signature=0", "Signature=g"), ProofError::NoSignature),
        ];
        for (proof, expected) in cases {
            assert_eq!(of(&proof), Err(expected), "{proof:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(authorization in ".{0,300}", host in ".{0,40}", date in ".{0,20}") {
            let _ = of(&Proof { host, date, authorization, security_token: None });
        }
    }
}
