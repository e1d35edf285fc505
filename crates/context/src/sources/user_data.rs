//! What the target was given to run at its launch. It may hold secrets: nothing of it is in any message, record or log.

use aws_sdk_ec2::types::InstanceAttributeName;
use aws_smithy_types::base64;
use handler::{AwsError, failed};

use super::Found;
use crate::Run;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    let id = run.plan.target.instance_id.as_str();
    let describe = run.clients.ec2.describe_instance_attribute().instance_id(id).attribute(InstanceAttributeName::UserData);
    let answer = describe.send().await.map_err(failed("ec2:DescribeInstanceAttribute"))?;
    let encoded = answer.user_data.and_then(|data| data.value).filter(|data| !data.is_empty());
    let Some(encoded) = encoded else { return Ok(Found::Nothing("it was given none".to_owned())) };
    Ok(Found::Plain(decoded(&encoded)))
}

/// What stands in Base64; as it is where it is none, so that nothing is lost.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let plain: String = text.split_whitespace().collect();
    base64::decode(&plain).unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn what_is_encoded_is_decoded_and_nothing_is_lost() {
        let cases: [(&str, &[u8]); 4] =
            [("IyEvYmluL3No", b"#!/bin/sh"), ("IyEv\nYmlu\nL3No\n", b"#!/bin/sh"), ("#!/bin/sh", b"#!/bin/sh"), ("", b"")];
        for (text, expected) in cases {
            assert_eq!(decoded(text), expected, "{text}");
        }
    }
}
