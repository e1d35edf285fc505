//! AWS as the step finds it, and its inputs.

use incident::triage::Triaged;
use incident::{CaseId, ExecutionArn, InstanceId};
use serde_json::{Value, json};
use stub::{Answer, Stub};
use triage::{Clients, Error, Input, handle};

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";

pub(crate) const ACCOUNT: &str = "123456789012";

pub(crate) const EXECUTION: &str = "arn:aws:states:us-east-1:123456789012:execution:cordon-incident:run-1";

pub(crate) const OTHER: &str = "arn:aws:states:us-east-1:123456789012:execution:cordon-incident:run-0";

pub(crate) const NOW: &str = "2026-11-24T03:30:00Z";

pub(crate) fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        ssm: aws_sdk_ssm::Client::new(&config),
        store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        policy_parameter: "/cordon/policy".to_owned(),
    }
}

pub(crate) fn instance(id: &str, group: &str, tags: &[(&str, &str)]) -> String {
    let tags: String = tags.iter().map(|(k, v)| format!("<item><key>{k}</key><value>{v}</value></item>")).collect();
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><name>running</name></instanceState><rootDeviceName>/dev/xvda</rootDeviceName>\
         <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-0abc1234</volumeId></ebs></item></blockDeviceMapping>\
         <networkInterfaceSet><item><networkInterfaceId>eni-0abc1234</networkInterfaceId><vpcId>vpc-0abc1234</vpcId>\
         <groupSet><item><groupId>sg-0abc1234</groupId><groupName>{group}</groupName></item></groupSet></item></networkInterfaceSet>\
         <tagSet>{tags}</tagSet></item>"
    )
}

pub(crate) fn described(instances: &str) -> Answer {
    Answer::xml(format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet>{instances}</instancesSet></item></reservationSet></DescribeInstancesResponse>"
    ))
}

pub(crate) fn parameter(policy: &Value) -> Answer {
    Answer::json(json!({"Parameter": {"Name": "/cordon/policy", "Value": policy.to_string(), "Version": 3}}))
}

pub(crate) fn aws() -> Stub {
    Stub::new()
        .on("ssm:GetParameter", parameter(&json!({})))
        .on("ec2:DescribeInstances", described(&instance(INSTANCE, "web", &[])))
}

pub(crate) fn finding() -> Value {
    json!({
        "source": "aws.guardduty", "detail-type": "GuardDuty Finding", "account": ACCOUNT, "region": "us-east-1",
        "detail": {
            "accountId": ACCOUNT, "region": "us-east-1", "id": "f1", "type": "UnauthorizedAccess:EC2/TorClient", "severity": 8,
            "title": "Tor", "updatedAt": "2026-11-24T03:28:30.000Z",
            "resource": {"resourceType": "Instance", "instanceDetails": {"instanceId": INSTANCE}},
            "service": {"archived": false, "resourceRole": "TARGET", "action": {"networkConnectionAction": {"connectionDirection": "OUTBOUND"}}},
        },
    })
}

pub(crate) fn changed(change: impl Fn(&mut Value)) -> Value {
    let mut finding = finding();
    change(&mut finding);
    finding
}

pub(crate) fn hub(kind: &str, product: &str, state: &str, types: &str) -> Value {
    json!({
        "source": "aws.securityhub", "detail-type": format!("Security Hub Findings - {kind}"), "account": ACCOUNT, "region": "us-east-1",
        "detail": {"findings": [{
            "Id": "f2", "ProductArn": format!("arn:aws:securityhub:us-east-1::product/{product}"), "ProductName": "P",
            "AwsAccountId": ACCOUNT, "Region": "us-east-1", "Types": [types], "Severity": {"Normalized": 80}, "RecordState": state,
            "Resources": [{"Type": "AwsEc2Instance", "Id": format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{INSTANCE}")}],
        }]},
    })
}

pub(crate) async fn run(aws: &Stub, input: &Value) -> Result<Triaged, Error> {
    let visit = json!({"execution": EXECUTION, "state": "Triage", "entered": NOW, "retry": 0});
    let input: Input = serde_json::from_value(json!({"visit": visit, "input": input})).unwrap();
    handle(&clients(aws), input).await
}

pub(crate) fn case() -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap())
}

pub(crate) fn claimed_by(aws: &Stub, severity: f64, closing: bool) {
    let id = format!("{INSTANCE}-000000000000");
    let claim = json!({"caseId": id, "executionArn": OTHER, "severity": severity, "closing": closing});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
}

pub(crate) fn execution_is(status: &str) -> Answer {
    Answer::json(json!({"executionArn": OTHER, "stateMachineArn": "m", "status": status, "startDate": 1}))
}
