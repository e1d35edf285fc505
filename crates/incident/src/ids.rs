//! Identifiers that have been parsed: what is held here cannot be a path, a shell word or markup.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::text::hex;

/// An identifier that does not have the form it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}")]
pub struct IdError {
    value: String,
    expected: &'static str,
}

impl IdError {
    fn new(value: &str, expected: &'static str) -> Self {
        Self { value: crate::text::bounded(value, 80), expected }
    }
}

/// EC2 ids are a prefix and 8 (before 2016) or 17 hexadecimal digits.
fn is_ec2_id(value: &str, prefix: &str) -> bool {
    value.strip_prefix(prefix).is_some_and(|rest| {
        matches!(rest.len(), 8 | 17) && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses, and refuses what has another form.
            pub fn parse(value: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(value) { Ok(Self(value.to_owned())) } else { Err(IdError::new(value, $expected)) }
            }

            /// The identifier as AWS writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                Self::parse(&value)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::parse(value)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

string_id!(
    /// An EC2 instance, `i-…`.
    InstanceId, "an instance id (`i-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "i-")
);
string_id!(
    /// A network interface, `eni-…`.
    InterfaceId, "a network interface id (`eni-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "eni-")
);
string_id!(
    /// An EBS volume, `vol-…`.
    VolumeId, "a volume id (`vol-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "vol-")
);
string_id!(
    /// An EBS snapshot, `snap-…`.
    SnapshotId, "a snapshot id (`snap-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "snap-")
);
string_id!(
    /// A security group, `sg-…`.
    GroupId, "a security group id (`sg-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "sg-")
);
string_id!(
    /// A VPC, `vpc-…`.
    VpcId, "a VPC id (`vpc-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "vpc-")
);
string_id!(
    /// A prefix list, `pl-…`.
    PrefixListId, "a prefix list id (`pl-` and 8 or 17 hexadecimal digits)", |v| is_ec2_id(v, "pl-")
);
string_id!(
    /// The ARN of one execution of the state machine; it names the account and the Region that Cordon answers for.
    ExecutionArn, "the ARN of a Step Functions execution", is_execution_arn
);
string_id!(
    /// `<instance-id>-<12 hex of the SHA-256 of the execution's ARN>`: the same on every retry, new on every replay.
    CaseId, "a case id (`<instance-id>-<12 hexadecimal digits>`)", is_case_id
);

/// `arn:<partition>:states:<region>:<account>:execution:<machine>:<name>`.
fn is_execution_arn(value: &str) -> bool {
    let parts: Vec<&str> = value.splitn(8, ':').collect();
    let [arn, partition, service, region, account, kind, machine, name] = parts.as_slice() else { return false };
    let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>' | '/'));
    *arn == "arn"
        && partition.starts_with("aws")
        && *service == "states"
        && *kind == "execution"
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && [*region, *machine, *name].iter().all(|s| plain(s))
}

fn is_case_id(value: &str) -> bool {
    value.rsplit_once('-').is_some_and(|(instance, digest)| {
        is_ec2_id(instance, "i-")
            && digest.len() == 12
            && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

impl ExecutionArn {
    /// The Region that the execution runs in.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or_default()
    }

    /// The account that the execution runs in.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// Twelve hexadecimal digits that stand for this execution in names, where its own may not.
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes())).chars().take(12).collect()
    }

    /// The name of the state machine.
    pub fn machine(&self) -> &str {
        self.0.split(':').nth(6).unwrap_or_default()
    }
}

impl CaseId {
    /// The case that `execution` handles for `instance`.
    pub fn new(instance: &InstanceId, execution: &ExecutionArn) -> Self {
        Self(format!("{instance}-{}", execution.digest()))
    }

    /// The target of the case.
    pub fn instance(&self) -> InstanceId {
        let id = self.0.rsplit_once('-').map_or("", |(instance, _)| instance);
        InstanceId(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTION: &str = "arn:aws:states:eu-west-1:123456789012:execution:cordon-incident:a7c9";

    #[test]
    fn only_ec2_ids_of_the_right_form_are_instances() {
        for good in ["i-0abc1234", "i-0123456789abcdef0"] {
            assert_eq!(InstanceId::parse(good).map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "i-", "i-0ABC1234", "i-0abc12345", "I-0abc1234", "i-0abc1234 ", "i-../../x", "vol-0abc1234", "i-0abc123g"]
        {
            assert!(InstanceId::parse(bad).is_err(), "`{bad}` must be refused");
        }
    }

    #[test]
    fn a_refused_id_is_quoted_and_bounded() {
        let error = InstanceId::parse(&"x".repeat(500)).unwrap_err().to_string();
        assert!(error.len() < 200, "{error}");
        assert!(error.contains("is not an instance id"), "{error}");
    }

    #[test]
    fn a_case_is_the_same_on_every_retry_and_new_on_every_replay() {
        let instance = InstanceId::parse("i-0123456789abcdef0").unwrap();
        let first = ExecutionArn::parse(EXECUTION).unwrap();
        let second = ExecutionArn::parse(&format!("{EXECUTION}-again")).unwrap();
        let case = CaseId::new(&instance, &first);
        assert_eq!(case, CaseId::new(&instance, &first));
        assert_ne!(case, CaseId::new(&instance, &second));
        assert_eq!(case.instance(), instance);
        assert_eq!(CaseId::parse(case.as_str()), Ok(case));
    }

    #[test]
    fn an_execution_says_its_account_and_region() {
        let execution = ExecutionArn::parse(EXECUTION).unwrap();
        assert_eq!(
            (execution.account(), execution.region(), execution.machine()),
            ("123456789012", "eu-west-1", "cordon-incident")
        );
        for bad in [
            "",
            "arn:aws:states:eu-west-1:1:execution:m:n",
            "arn:aws:s3:::bucket",
            "arn:aws:states:eu-west-1:123456789012:stateMachine:m",
        ] {
            assert!(ExecutionArn::parse(bad).is_err(), "`{bad}` must be refused");
        }
    }
}
