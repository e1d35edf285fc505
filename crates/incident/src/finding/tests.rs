use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const INSTANCE: &str = "i-0123456789abcdef0";

fn execution() -> ExecutionArn {
    ExecutionArn::parse("arn:aws:states:us-east-1:123456789012:execution:cordon-incident:run-1").unwrap()
}

fn detail() -> Value {
    json!({
        "accountId": "123456789012", "region": "us-east-1", "id": "f1", "type": "UnauthorizedAccess:EC2/TorClient",
        "severity": 8, "title": "Tor", "updatedAt": "2026-11-24T03:28:30.000Z",
        "resource": {"resourceType": "Instance", "instanceDetails": {"instanceId": INSTANCE}},
        "service": {"archived": false, "resourceRole": "TARGET",
            "action": {"networkConnectionAction": {"connectionDirection": "OUTBOUND"}}},
    })
}

fn pascal() -> Value {
    json!({
        "AccountId": "123456789012", "Region": "us-east-1", "Id": "f1", "Type": "UnauthorizedAccess:EC2/TorClient",
        "Severity": 8.0, "Title": "Tor", "UpdatedAt": "2026-11-24T03:28:30.000Z",
        "Resource": {"ResourceType": "Instance", "InstanceDetails": {"InstanceId": INSTANCE}},
        "Service": {"Archived": false, "ResourceRole": "TARGET",
            "Action": {"NetworkConnectionAction": {"ConnectionDirection": "OUTBOUND"}}},
    })
}

fn envelope(detail: &Value) -> Value {
    json!({"source": "aws.guardduty", "detail-type": "GuardDuty Finding", "account": "123456789012", "region": "us-east-1", "detail": detail})
}

fn asff() -> Value {
    json!({
        "Id": "f2", "ProductArn": "arn:aws:securityhub:us-east-1::product/aws/guardduty", "ProductName": "GuardDuty",
        "AwsAccountId": "123456789012", "Region": "us-east-1", "Types": ["TTPs/Command and Control/Backdoor:EC2-C&CActivity.B"],
        "Severity": {"Label": "HIGH", "Normalized": 70}, "Title": "C2", "RecordState": "ACTIVE", "Workflow": {"Status": "NEW"},
        "Resources": [{"Type": "AwsEc2Instance", "Id": format!("arn:aws:ec2:us-east-1:123456789012:instance/{INSTANCE}")}],
    })
}

fn parsed(input: &Value) -> Trigger {
    parse(input, &execution()).unwrap()
}

#[test]
fn one_finding_in_all_its_forms_says_the_same() {
    let expected = parsed(&detail());
    assert_eq!(expected.instances, [InstanceId::parse(INSTANCE).unwrap()]);
    for form in [pascal(), envelope(&detail()), envelope(&pascal())] {
        assert_eq!(parsed(&form), expected, "{form}");
    }
}

#[test]
fn security_hub_findings_parse_imported_clicked_and_bare() {
    let event = |kind: &str| json!({"source": "aws.securityhub", "detail-type": kind, "detail": {"findings": [asff()]}});
    let imported = parsed(&event("Security Hub Findings - Imported"));
    assert_eq!((imported.summary.source, imported.summary.severity), (Source::SecurityHub, 7.0));
    assert_eq!(imported.summary.kind, "Backdoor:EC2/C&CActivity.B");
    assert_eq!(parsed(&asff()), imported);
    assert_eq!(parsed(&event("Security Hub Findings - Custom Action")).summary.source, Source::SecurityHubAction);
}

#[test]
fn samples_and_archived_findings_are_known_in_every_form() {
    let with = |pointer: &str, value: Value| {
        let mut detail = detail();
        if pointer == "/service/additionalInfo" {
            detail["service"]["additionalInfo"] = value;
        } else {
            *detail.pointer_mut(pointer).unwrap() = value;
        }
        parsed(&envelope(&detail))
    };
    assert!(with("/title", json!("[SAMPLE] Tor")).sample);
    assert!(with("/resource/instanceDetails/instanceId", json!("i-99999999")).sample);
    assert!(with("/service/additionalInfo", json!({"sample": true})).sample);
    assert!(with("/service/additionalInfo", json!({"value": "{\"sample\":true}"})).sample);
    assert!(!with("/service/additionalInfo", json!({"value": "{\"sample\":false}"})).sample);
    assert!(with("/service/archived", json!(true)).archived);
    assert!(!parsed(&detail()).sample && !parsed(&detail()).archived);
}

#[test]
fn a_wrong_shape_is_refused_with_the_fields_path() {
    let mut bad_id = envelope(&detail());
    bad_id["detail"]["resource"]["instanceDetails"]["instanceId"] = json!("i-../../x");
    let mut no_severity = envelope(&detail());
    no_severity["detail"]["severity"] = Value::Null;
    let cases = [
        (json!([]), "."),
        (json!({}), "."),
        (json!({"detail": 1}), "detail"),
        (bad_id, "detail.resource.instanceDetails.instanceId"),
        (no_severity, "detail.severity"),
        (json!({"instanceId": "nope", "reason": "x"}), "instanceId"),
        (json!({"instanceId": INSTANCE}), "reason"),
        (json!({"instanceId": INSTANCE, "reason": " "}), "reason"),
        (json!({"instanceId": INSTANCE, "reason": "x", "force": true}), "force"),
        (json!({"instanceId": INSTANCE, "event": {}, "x": 1}), "x"),
    ];
    for (input, path) in cases {
        let error = parse(&input, &execution()).unwrap_err().to_string();
        assert!(error.contains(path), "{input}: {error}");
    }
}

#[test]
fn an_attack_sequence_names_each_instance_once_and_fans_out() {
    let uid =
        |id: &str| json!({"uid": format!("arn:aws:ec2:us-east-1:123456789012:instance/{id}"), "resourceType": "EC2_INSTANCE"});
    let mut detail = detail();
    detail["resource"] = json!({"resourceType": "AttackSequence"});
    detail["service"]["detection"] = json!({"sequence": {"resources": [uid(INSTANCE), uid("i-0abc1234"), uid(INSTANCE)]}});
    let event = envelope(&detail);
    let trigger = parsed(&event);
    assert_eq!(trigger.instances.len(), 2);
    assert_eq!(case_of(&event, &execution()), None, "each instance has its own execution");
    let one = fan_out(&trigger.instances[1], &event);
    assert_eq!(parsed(&one).instances, trigger.instances[1..]);
    assert_eq!(target_of(&one), trigger.instances.get(1).cloned());
}

#[test]
fn every_sample_file_parses() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/findings");
    let Ok(entries) = std::fs::read_dir(folder) else {
        eprintln!("skipped: there are no sample findings beside the workspace");
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let parsed = parse(&value, &execution());
        assert!(parsed.is_ok(), "{}: {parsed:?}", path.display());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "detail",
        "findings",
        "Resources",
        "resource",
        "service",
        "type",
        "severity",
        "instanceId",
        "event",
        "reason",
        "ProductArn",
        "sequence",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_parser_panic(input in any_json()) {
        let _ = parse(&input, &execution());
        let _ = target_of(&input);
    }
}

#[test]
fn a_huge_input_is_kept_bounded() {
    let mut big = envelope(&detail());
    big["detail"]["title"] = json!("x".repeat(256 * 1024));
    assert!(parsed(&big).summary.title.chars().count() <= 400);
}
