//! The inline policies, for those who asked for them. Pure.

use incident::InstanceId;
use incident::evidence::DenialScope;
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

/// What Systems Manager's agent needs: what AWS's own `AmazonSSMManagedInstanceCore` grants, but for parameters, whose
/// values are secrets more often than not. `DenyPolicy` in `infra/template.yaml` spares the same.
const SPARED: [(&str, &[&str]); 3] = [
    (
        "ssm",
        &[
            "UpdateInstanceInformation",
            "UpdateInstanceAssociationStatus",
            "UpdateAssociationStatus",
            "ListAssociations",
            "ListInstanceAssociations",
            "DescribeAssociation",
            "DescribeDocument",
            "GetDocument",
            "GetDeployablePatchSnapshotForInstance",
            "GetManifest",
            "PutInventory",
            "PutComplianceItems",
            "PutConfigurePackageResult",
        ],
    ),
    ("ssmmessages", &["CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"]),
    ("ec2messages", &["AcknowledgeMessage", "DeleteMessage", "FailMessage", "GetEndpoint", "GetMessages", "SendReply"]),
];

/// The actions that the first phase spares, as IAM names them.
pub fn spared() -> Vec<String> {
    SPARED.iter().flat_map(|(service, actions)| actions.iter().map(move |action| format!("{service}:{action}"))).collect()
}

/// The name of the inline policy for a target.
pub fn name(instance: &InstanceId) -> String {
    format!("cordon-deny-{instance}")
}

/// A document that denies the sessions of `instance`, and with `issued_before` those of everybody that were issued before
/// that time. Each statement denies by itself, so that one condition key that a service leaves out does no harm.
pub fn inline(instance: &InstanceId, scope: DenialScope, issued_before: Option<Timestamp>) -> Value {
    let mut conditions = vec![
        ("ByUserId", json!({ "StringLike": { "aws:userid": format!("*:{instance}") } })),
        ("BySource", json!({ "ArnLike": { "ec2:SourceInstanceARN": format!("arn:*:ec2:*:*:instance/{instance}") } })),
    ];
    if let Some(time) = issued_before {
        conditions.push(("ByAge", json!({ "DateLessThan": { TOKEN_ISSUE_TIME: whole_second_after(time) } })));
    }
    let statements = conditions.into_iter().map(|(sid, condition)| match scope {
        DenialScope::AllButSystemsManager => {
            json!({ "Sid": sid, "Effect": "Deny", "NotAction": spared(), "Resource": "*", "Condition": condition })
        }
        DenialScope::All => json!({ "Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition }),
    });
    json!({ "Version": "2012-10-17", "Statement": statements.collect::<Vec<_>>() })
}

/// How far `there` (an inline policy that was read) denies `instance`.
pub fn reached(there: Option<&Value>, instance: &InstanceId) -> Option<DenialScope> {
    let there = there?;
    let time = issued_before(there);
    [DenialScope::All, DenialScope::AllButSystemsManager].into_iter().find(|scope| *there == inline(instance, *scope, time))
}

/// The time before which `there` denies every session: kept by the second phase, which would otherwise hit siblings whose
/// sessions were renewed meanwhile.
pub fn issued_before(there: &Value) -> Option<Timestamp> {
    let statements = there.get("Statement")?.as_array()?;
    let time = |statement: &Value| statement.get("Condition")?.get("DateLessThan")?.get(TOKEN_ISSUE_TIME)?.as_str()?.parse().ok();
    statements.iter().find_map(time)
}

const TOKEN_ISSUE_TIME: &str = "aws:TokenIssueTime";

/// Issue times are in whole seconds: rounded down, a session of the same second would escape.
fn whole_second_after(time: Timestamp) -> String {
    let second = time.round(jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Ceil)).unwrap_or(time);
    second.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An inline policy as IAM gives it back: JSON, percent-encoded [RFC 3986]. `None` where it is no JSON.
pub fn parse(encoded: &str) -> Option<Value> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    serde_json::from_slice(&decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What all inline policies of a role may have together, without white space [facts 33].
    const LIMIT: usize = 10_240;

    fn instance() -> InstanceId {
        InstanceId::parse("i-0123456789abcdef0").unwrap()
    }

    #[test]
    fn a_document_grants_nothing_and_several_fit_into_a_role() {
        for scope in [DenialScope::AllButSystemsManager, DenialScope::All] {
            for time in [None, Some("2026-11-24T03:30:00.120Z".parse().unwrap())] {
                let document = inline(&instance(), scope, time);
                let size = document.to_string().len();
                assert!(size * 3 < LIMIT, "{size} characters: three targets of one role must fit");
                for statement in document["Statement"].as_array().unwrap() {
                    assert_eq!(statement["Effect"], "Deny");
                    assert!(statement["Condition"].is_object(), "without a condition it would deny everybody: {statement}");
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_recognised_and_nothing_else() {
        let other = InstanceId::parse("i-0fedcba9876543210").unwrap();
        for scope in [DenialScope::AllButSystemsManager, DenialScope::All] {
            for time in [None, Some("2026-11-24T03:30:00.120Z".parse().unwrap())] {
                let document = inline(&instance(), scope, time);
                assert_eq!(reached(Some(&document), &instance()), Some(scope));
                assert_eq!(reached(Some(&document), &other), None);
                let mut changed = document.clone();
                changed["Statement"][0]["Effect"] = json!("Allow");
                assert_eq!(reached(Some(&changed), &instance()), None);
            }
        }
        assert_eq!(reached(None, &instance()), None);
    }

    #[test]
    fn a_session_of_the_same_second_is_denied_and_the_time_is_kept() {
        for (entered, before) in
            [("2026-11-24T03:30:00.120Z", "2026-11-24T03:30:01Z"), ("2026-11-24T03:30:00Z", "2026-11-24T03:30:00Z")]
        {
            let document = inline(&instance(), DenialScope::All, Some(entered.parse().unwrap()));
            assert_eq!(document["Statement"][2]["Condition"]["DateLessThan"]["aws:TokenIssueTime"], before);
            let kept = issued_before(&document);
            assert_eq!(inline(&instance(), DenialScope::All, kept), document, "a second run writes the same");
        }
    }

    #[test]
    fn documents_are_decoded() {
        for (encoded, decoded) in [
            ("%7B%22Sid%22%3A%22%2A%22%7D", Some(json!({"Sid": "*"}))),
            ("{\"Sid\":\"*\"}", Some(json!({"Sid": "*"}))),
            ("%7", None),
            ("%zz", None),
            ("", None),
        ] {
            assert_eq!(parse(encoded), decoded, "{encoded}");
        }
    }

    #[test]
    fn the_template_spares_the_same() {
        let template = include_str!("../../../infra/template.yaml");
        let policy = template.split("  DenyPolicy:\n").nth(1).unwrap();
        let policy = policy.split("\n\n").next().unwrap();
        let mut listed: Vec<&str> =
            policy.lines().filter_map(|line| line.trim().strip_prefix("- '")?.strip_suffix('\'')).collect();
        listed.sort_unstable();
        let mut expected: Vec<String> = spared().into_iter().chain(spared()).collect();
        expected.sort();
        assert_eq!(listed, expected, "DenyPolicy in infra/template.yaml has two statements that spare these actions");
    }
}
