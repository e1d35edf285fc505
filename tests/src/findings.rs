//! Findings as the detectors send them, written for these tests.

use serde_json::{Value, json};

/// A GuardDuty finding about `instance`, as EventBridge delivers it.
pub fn guardduty(account: &str, instance: &str, kind: &str) -> Value {
    json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": account,
        "time": "2026-11-24T03:29:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail(account, instance, kind),
    })
}

/// The finding alone.
pub fn detail(account: &str, instance: &str, kind: &str) -> Value {
    let id = format!("{:0>32}", instance.trim_start_matches("i-"));
    json!({
        "schemaVersion": "2.0",
        "accountId": account,
        "region": "us-east-1",
        "partition": "aws",
        "id": id,
        "arn": format!("arn:aws:guardduty:us-east-1:{account}:detector/11aa22bb33cc44dd55ee66ff77889900/finding/{id}"),
        "type": kind,
        "severity": 8,
        "title": format!("EC2 instance {instance} behaves badly."),
        "description": "What the detector saw.",
        "createdAt": "2026-11-24T03:28:00.000Z",
        "updatedAt": "2026-11-24T03:28:30.000Z",
        "resource": {
            "resourceType": "Instance",
            "instanceDetails": {
                "instanceId": instance,
                "instanceType": "t3.micro",
                "launchTime": "2026-11-01T00:00:00Z",
                "platform": null,
                "iamInstanceProfile": null,
                "networkInterfaces": [],
                "tags": [],
                "instanceState": "running",
            },
        },
        "service": {
            "serviceName": "guardduty",
            "detectorId": "11aa22bb33cc44dd55ee66ff77889900",
            "action": {"actionType": "NETWORK_CONNECTION", "networkConnectionAction": {"connectionDirection": "OUTBOUND", "protocol": "TCP", "blocked": false}},
            "resourceRole": "TARGET",
            "additionalInfo": {"value": "{}", "type": "default"},
            "eventFirstSeen": "2026-11-24T03:20:00.000Z",
            "eventLastSeen": "2026-11-24T03:28:00.000Z",
            "archived": false,
            "count": 1,
        },
    })
}

/// A Security Hub finding (ASFF) in an event of type `detail_type`, about a configuration check that failed.
pub fn security_hub(account: &str, instance: &str, detail_type: &str) -> Value {
    json!({
        "version": "0",
        "id": "ed927481-3d6a-4de7-9a0a-1f5d0d4f8d3e",
        "detail-type": detail_type,
        "source": "aws.securityhub",
        "account": account,
        "time": "2026-11-24T03:29:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "actionName": "Contain with Cordon",
            "actionDescription": "Contain the instance",
            "findings": [{
                "SchemaVersion": "2018-10-08",
                "Id": format!("arn:aws:securityhub:us-east-1:{account}:control/EC2.8/finding/{instance}"),
                "ProductArn": "arn:aws:securityhub:us-east-1::product/aws/securityhub",
                "ProductName": "Security Hub",
                "CompanyName": "AWS",
                "Region": "us-east-1",
                "GeneratorId": "aws-foundational-security-best-practices/v/1.0.0/EC2.8",
                "AwsAccountId": account,
                "Types": ["Software and Configuration Checks/Industry and Regulatory Standards/AWS-Foundational-Security-Best-Practices"],
                "CreatedAt": "2026-11-24T03:28:00.000Z",
                "UpdatedAt": "2026-11-24T03:28:30.000Z",
                "FirstObservedAt": "2026-11-24T03:20:00.000Z",
                "Severity": {"Label": "HIGH", "Normalized": 70},
                "Title": "EC2.8 EC2 instances should use IMDSv2",
                "Description": "A configuration check.",
                "Resources": [{
                    "Type": "AwsEc2Instance",
                    "Id": format!("arn:aws:ec2:us-east-1:{account}:instance/{instance}"),
                    "Partition": "aws",
                    "Region": "us-east-1",
                }],
                "Compliance": {"Status": "FAILED"},
                "Workflow": {"Status": "NEW"},
                "RecordState": "ACTIVE",
            }],
        },
    })
}
