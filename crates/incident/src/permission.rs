//! Permission: what a person says about the end of a target, and whose word it is.
//!
//! A task token proves nobody, and can be read in an execution's history. So a person proves who they are by a request to STS
//! that they signed and did not send: its signed headers bind the case, the manifest and what was decided, and STS itself,
//! asked by the `permission` function, says whose signature it is.
//!
//! INVARIANT: an answer counts for one manifest of one case, and one person counts once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Missing;
use crate::ids::{CaseId, ExecutionArn};
use crate::text::{bounded, sha256};

/// The signed header that names the case.
pub const CASE_HEADER: &str = "x-cordon-case";
/// The signed header with the SHA-256 of the evidence manifest, in hexadecimal.
pub const MANIFEST_HEADER: &str = "x-cordon-manifest";
/// The signed header with the decision: `approve` or `deny`.
pub const DECISION_HEADER: &str = "x-cordon-decision";
/// The signed header with the SHA-256 of the statement's bytes, in hexadecimal.
pub const STATEMENT_HEADER: &str = "x-cordon-statement";
/// The headers that a proof must have signed, in the order in which Signature Version 4 lists them.
pub const SIGNED_HEADERS: [&str; 7] =
    ["content-type", "host", "x-amz-date", CASE_HEADER, DECISION_HEADER, MANIFEST_HEADER, STATEMENT_HEADER];
/// The body of the request that proves who answers.
pub const PROOF_BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// The content type of that request.
pub const PROOF_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 1_000;
/// The most items that one answer waives.
pub const MOST_WAIVERS: usize = 100;

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// The target may be terminated.
    Approve,
    /// It may not: it stays in quarantine.
    Deny,
}

impl Decision {
    /// As it stands in the signed header and in the answer's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }
}

/// A missing item that a person does without, by its name in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waiver {
    /// The item: `memory`, `snapshot:vol-…`.
    pub item: String,
    /// Why it can be done without.
    pub because: String,
}

/// What a person says: the document whose SHA-256 is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// `cordon.statement.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The SHA-256 of the evidence manifest that the person looked at, in hexadecimal.
    pub manifest: String,
    /// What was decided.
    pub decision: Decision,
    /// What is missing and can be done without.
    pub waive: Vec<Waiver>,
    /// Why. Needed for a denial; empty where an approval needs no words.
    pub because: String,
}

/// Why a statement says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the statement's field `{field}` {reason}")]
pub struct StatementError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Statement {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.statement.v1";

    /// The bytes that are digested, sent and kept: JSON without white space.
    pub fn bytes(&self) -> Vec<u8> {
        // Our own types have string keys, so that this cannot fail; nothing would have the digest of nothing.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The SHA-256 of [`Self::bytes`], in hexadecimal.
    pub fn digest(&self) -> String {
        sha256(&self.bytes())
    }

    /// The headers that bind this statement to a signature.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        [
            (CASE_HEADER, self.case_id.to_string()),
            (DECISION_HEADER, self.decision.name().to_owned()),
            (MANIFEST_HEADER, self.manifest.clone()),
            (STATEMENT_HEADER, self.digest()),
        ]
    }

    /// Whether it is a statement at all: known schema, a digest, bounded reasons, no item waived twice.
    pub fn check(&self) -> Result<(), StatementError> {
        let wrong = |field, reason: &str| Err(StatementError { field, reason: reason.to_owned() });
        if self.schema != Self::SCHEMA {
            return wrong("schema", "must be `cordon.statement.v1`");
        }
        if self.manifest.len() != 64 || !self.manifest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return wrong("manifest", "must be a SHA-256 in lower-case hexadecimal");
        }
        let reasons = std::iter::once(&self.because).chain(self.waive.iter().map(|waiver| &waiver.because));
        if reasons.into_iter().any(|because| because.chars().count() > LONGEST_REASON) {
            return wrong("because", "must have at most 1000 characters");
        }
        if self.decision == Decision::Deny && self.because.trim().is_empty() {
            return wrong("because", "must say why the target may not be terminated");
        }
        if self.waive.len() > MOST_WAIVERS {
            return wrong("waive", "must have at most 100 items");
        }
        if self.decision == Decision::Deny && !self.waive.is_empty() {
            return wrong("waive", "must be empty in a denial");
        }
        for (n, waiver) in self.waive.iter().enumerate() {
            if waiver.item.is_empty() || waiver.item.chars().count() > 400 {
                return wrong("waive", "must name items of 1 to 400 characters");
            }
            if waiver.because.trim().is_empty() {
                return Err(StatementError {
                    field: "waive",
                    reason: format!("must say why `{}` can be done without", bounded(&waiver.item, 200)),
                });
            }
            if self.waive.iter().take(n).any(|other| other.item == waiver.item) {
                return Err(StatementError { field: "waive", reason: format!("names `{}` twice", bounded(&waiver.item, 200)) });
            }
        }
        Ok(())
    }

    /// The items of `missing` that this statement does not waive by name.
    pub fn unwaived<'a>(&self, missing: &'a [Missing]) -> Vec<&'a Missing> {
        missing.iter().filter(|missing| !self.waive.iter().any(|waiver| waiver.item == missing.item)).collect()
    }
}

/// The signed request to STS that was not sent: only what cannot be known otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// The host that was signed: the STS endpoint of the function's Region.
    pub host: String,
    /// `x-amz-date`: when it was signed. STS takes it for about a quarter of an hour.
    pub date: String,
    /// `authorization`: the signature.
    pub authorization: String,
    /// `x-amz-security-token`: of a role's session; absent for a user's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_token: Option<String>,
}

/// What the command line sends to the `permission` function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// What the person says, as the text whose bytes were digested.
    pub statement: String,
    /// Whose word it is.
    pub proof: Proof,
}

/// An answer as it is kept, write-once: `approvals/<decision>-<person>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answered {
    /// `cordon.answer.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The execution that asks.
    pub execution: ExecutionArn,
    /// What was said.
    pub statement: Statement,
    /// Who said it, as one person: see [`person`].
    pub person: String,
    /// The ARN that STS gave.
    pub arn: String,
    /// The account that STS gave.
    pub account: String,
    /// When the proof was signed, as its `x-amz-date` says.
    pub signed_at: String,
    /// When the answer was taken, by the function's clock. Nothing is decided by it.
    pub at: Timestamp,
    /// Which function and version took it.
    pub by: String,
}

impl Answered {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.answer.v1";
}

/// Why an identity counts as no person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPerson {
    /// It is no ARN that we know.
    #[error("its ARN is of no kind that a person has")]
    Unknown,
    /// A session named after an instance: whoever owns an instance must not decide about it.
    #[error("it is the session of an EC2 instance, and a machine decides nothing here")]
    Instance,
}

/// The one person behind an ARN that STS gave.
///
/// A role is one person, whoever takes it on, since its sessions may be named at will. Only the roles of IAM Identity Center
/// name their sessions after the user, and nobody can take them on otherwise.
pub fn person(arn: &str) -> Result<String, NotAPerson> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (prefix, partition, service, _, account, resource) = (next(), next(), next(), next(), next(), next());
    if prefix != "arn" || !partition.starts_with("aws") || account.len() != 12 {
        return Err(NotAPerson::Unknown);
    }
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    match (service, kind) {
        ("iam", "root") => Ok(format!("{account}/root")),
        ("iam", "user") if !name.is_empty() => Ok(format!("{account}/user/{name}")),
        ("sts", "federated-user") if !name.is_empty() => Ok(format!("{account}/federated-user/{name}")),
        ("sts", "assumed-role") => {
            let (role, session) = name.rsplit_once('/').ok_or(NotAPerson::Unknown)?;
            if crate::ids::InstanceId::parse(session).is_ok() {
                return Err(NotAPerson::Instance);
            }
            let one_user = role.rsplit('/').next().is_some_and(|role| role.starts_with("AWSReservedSSO_"));
            match (role, session) {
                ("", _) | (_, "") => Err(NotAPerson::Unknown),
                _ if one_user => Ok(format!("{account}/sso/{session}")),
                _ => Ok(format!("{account}/role/{role}")),
            }
        }
        _ => Err(NotAPerson::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statement(decision: Decision) -> Statement {
        Statement {
            schema: Statement::SCHEMA.to_owned(),
            case_id: CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap(),
            manifest: "a".repeat(64),
            decision,
            waive: Vec::new(),
            because: "why".to_owned(),
        }
    }

    #[test]
    fn one_role_is_one_person_and_one_user_of_identity_center_too() {
        for (arn, expected) in [
            ("arn:aws:iam::111122223333:user/alice", Ok("111122223333/user/alice")),
            ("arn:aws:iam::111122223333:user/team/alice", Ok("111122223333/user/team/alice")),
            ("arn:aws:iam::111122223333:root", Ok("111122223333/root")),
            ("arn:aws:sts::111122223333:assumed-role/Responder/alice", Ok("111122223333/role/Responder")),
            ("arn:aws:sts::111122223333:assumed-role/Responder/bob", Ok("111122223333/role/Responder")),
            (
                "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_DFIR_0123456789abcdef/alice@example.org",
                Ok("111122223333/sso/alice@example.org"),
            ),
            ("arn:aws-us-gov:sts::111122223333:federated-user/alice", Ok("111122223333/federated-user/alice")),
            ("arn:aws:sts::111122223333:assumed-role/web/i-0abc1234def567890", Err(NotAPerson::Instance)),
            ("arn:aws:sts::111122223333:assumed-role/web", Err(NotAPerson::Unknown)),
            ("arn:aws:sts::111122223333:assumed-role/web/", Err(NotAPerson::Unknown)),
            ("arn:aws:sts::111122223333:assumed-role//alice", Err(NotAPerson::Unknown)),
            ("arn:aws:iam::1111:user/alice", Err(NotAPerson::Unknown)),
            ("arn:aws:s3:::bucket", Err(NotAPerson::Unknown)),
            ("", Err(NotAPerson::Unknown)),
        ] {
            assert_eq!(person(arn), expected.map(str::to_owned), "{arn}");
        }
    }

    #[test]
    fn a_statement_that_says_nothing_is_refused_with_its_field() {
        let waiver = |item: &str, because: &str| Waiver { item: item.to_owned(), because: because.to_owned() };
        let approve = || statement(Decision::Approve);
        assert_eq!(approve().check(), Ok(()));
        assert_eq!(Statement { because: String::new(), ..approve() }.check(), Ok(()), "an approval needs no words");
        assert_eq!(statement(Decision::Deny).check(), Ok(()));
        let cases = [
            ("schema", Statement { schema: "v2".to_owned(), ..approve() }),
            ("manifest", Statement { manifest: "A".repeat(64), ..approve() }),
            ("manifest", Statement { manifest: "a".repeat(63), ..approve() }),
            ("because", Statement { because: "x".repeat(1_001), ..approve() }),
            ("because", Statement { because: " ".to_owned(), ..statement(Decision::Deny) }),
            ("waive", Statement { waive: vec![waiver("memory", " ")], ..approve() }),
            ("waive", Statement { waive: vec![waiver("", "why")], ..approve() }),
            ("waive", Statement { waive: vec![waiver("memory", "a"), waiver("memory", "b")], ..approve() }),
            ("waive", Statement { waive: vec![waiver("memory", "a")], ..statement(Decision::Deny) }),
            ("waive", Statement { waive: (0..=MOST_WAIVERS).map(|n| waiver(&n.to_string(), "a")).collect(), ..approve() }),
        ];
        for (field, statement) in cases {
            assert_eq!(statement.check().map_err(|error| error.field), Err(field), "{statement:?}");
        }
    }

    #[test]
    fn what_is_not_waived_by_name_stays_missing() {
        let missing = [Missing::new("memory", "no path"), Missing::new("snapshot:vol-1", "error")];
        let waive = vec![Waiver { item: "memory".to_owned(), because: "known".to_owned() }];
        let left = Statement { waive, ..statement(Decision::Approve) };
        assert_eq!(left.unwaived(&missing), [&missing[1]]);
    }

    proptest! {
        #[test]
        fn two_statements_that_differ_have_different_digests(one in ".{0,40}", other in ".{0,40}") {
            let of = |because: &str| Statement { because: because.to_owned(), ..statement(Decision::Approve) }.digest();
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }

        #[test]
        fn no_arn_makes_person_panic(arn in ".{0,120}") {
            let _ = person(&arn);
        }
    }
}
