//! The access keys that a finding names: GuardDuty's `accessKeyDetails`, Security Hub's `AwsIamAccessKey`.

use serde_json::Value;

use super::value::At;

/// The most findings and resources that are looked at.
const MOST: usize = 50;
/// What Security Hub writes before the id of a key.
const PREFIX: &str = "AWS::IAM::AccessKey:";

/// Access key ids in a finding of any form, each once, in the order of the finding. What has not the form of one is none.
pub fn access_keys(input: &Value) -> Vec<String> {
    let input = input.get("event").unwrap_or(input);
    let body = At { value: input.get("detail").unwrap_or(input), path: String::new() };
    let hub = body.get("findings").map_or_else(|| vec![body.clone()], |findings| findings.items(MOST).collect());
    let mut keys: Vec<String> = Vec::new();
    let mut add = |key: String| {
        let plain = (16..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if plain && !keys.contains(&key) {
            keys.push(key);
        }
    };
    for finding in &hub {
        add(finding.text(&["resource", "accessKeyDetails", "accessKeyId"], 200));
        for resource in finding.get("resources").iter().flat_map(|resources| resources.items(MOST)) {
            if resource.text(&["type"], 64) == "AwsIamAccessKey" {
                let id = resource.text(&["id"], 200);
                add(id.strip_prefix(PREFIX).unwrap_or(&id).to_owned());
                add(resource.text(&["details", "awsIamAccessKey", "accessKeyId"], 200));
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::access_keys;
    use serde_json::{Value, json};

    #[test]
    fn keys_are_found_in_every_form_of_a_finding_and_nothing_else_is() {
        const KEY: &str = "ASIAIOSFODNN7EXAMPLE";
        let guardduty = json!({"type": "t", "resource": {"accessKeyDetails": {"accessKeyId": KEY}}});
        let pascal = json!({"Type": "t", "Resource": {"AccessKeyDetails": {"AccessKeyId": KEY}}});
        let resource = json!({"Type": "AwsIamAccessKey", "Id": format!("AWS::IAM::AccessKey:{KEY}"),
            "Details": {"AwsIamAccessKey": {"AccessKeyId": KEY}}});
        let hub = json!({"detail": {"findings": [{"Resources": [{"Type": "AwsEc2Instance", "Id": KEY}, resource]}]}});
        let found = vec![KEY.to_owned()];
        for (input, expected) in [
            (json!({ "detail": guardduty }), &found),
            (guardduty.clone(), &found),
            (pascal, &found),
            (json!({"instanceId": "i-0abc1234", "event": {"detail": guardduty}}), &found),
            (hub, &found),
            (json!({"resource": {"accessKeyDetails": {"accessKeyId": "GeneratedFindingAccessKeyId"}}}), &vec![]),
            (json!({"resource": {"accessKeyDetails": {"accessKeyId": "A".repeat(500)}}}), &vec![]),
            (json!({"resource": {"accessKeyDetails": {"accessKeyId": ["ASIAIOSFODNN7EXAMPLE"]}}}), &vec![]),
            (json!({"instanceId": "i-0abc1234", "reason": KEY}), &vec![]),
            (Value::Null, &vec![]),
        ] {
            assert_eq!(access_keys(&input), *expected, "{input}");
        }
    }
}
