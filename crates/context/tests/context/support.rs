//! An account in which every source has something to say.

use std::collections::BTreeSet;

use context::{Clients, Error, Input, handle};
use incident::context::{Context, Document, Outcome, Source};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const INSTANCE: &str = "i-0123456789abcdef0";
pub(crate) const CASE: &str = "i-0123456789abcdef0-0123456789ab";
pub(crate) const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
pub(crate) const KEY: &str = "ASIAIOSFODNN7EXAMPLE";
/// What nobody but a reader of the user data may see.
pub(crate) const SECRET: &str = "hunter2-and-more";

/// Which calls each source makes.
pub(crate) const CALLS: [(&str, &[Source]); 15] = [
    ("ec2:DescribeInstances", &[Source::Instance, Source::Image]),
    ("ec2:DescribeVolumes", &[Source::Volumes]),
    ("ec2:DescribeNetworkInterfaces", &[Source::Interfaces, Source::FlowLogs]),
    ("ec2:DescribeSecurityGroups", &[Source::SecurityGroups]),
    ("ec2:DescribeImages", &[Source::Image]),
    ("ec2:DescribeTags", &[Source::Tags]),
    ("ec2:DescribeInstanceAttribute", &[Source::UserData]),
    ("ec2:GetConsoleOutput", &[Source::ConsoleOutput]),
    ("ec2:GetConsoleScreenshot", &[Source::ConsoleScreenshot]),
    ("cloudtrail:LookupEvents", &[Source::CloudTrailTarget, Source::CloudTrailSessions, Source::CloudTrailAccessKeys]),
    ("guardduty:ListDetectors", &[Source::GuardDutyFindings]),
    ("guardduty:ListFindings", &[Source::GuardDutyFindings]),
    ("guardduty:GetFindings", &[Source::GuardDutyFindings]),
    ("ec2:DescribeFlowLogs", &[Source::FlowLogs]),
    ("route53resolver:ListResolverQueryLogConfigAssociations", &[Source::DnsQueryLogs]),
];

/// An error in the form in which the service of `action` sends it.
pub(crate) fn error(action: &str, status: u16, code: &str) -> Answer {
    match action.split_once(':') {
        Some(("ec2", _)) => Answer::ec2_error(status, code, "says AWS"),
        Some(("s3", _)) => Answer::s3_error(status, code, "says AWS"),
        _ => Answer::json_error(status, code, "says AWS"),
    }
}

fn ec2(action: &str, inner: &str) -> Answer {
    Answer::xml(format!("<{action}Response><requestId>r</requestId>{inner}</{action}Response>"))
}

/// One page of events, the newest first; `next` asks for more.
pub(crate) fn events(names: &[&str], next: Option<&str>) -> Answer {
    let event = |name: &&str| {
        let record = json!({"eventName": name, "sourceIPAddress": "192.0.2.1"}).to_string();
        json!({"EventId": name, "EventName": name, "EventTime": 1_795_490_000.0, "Username": INSTANCE, "CloudTrailEvent": record})
    };
    let mut page = json!({"Events": names.iter().map(event).collect::<Vec<_>>()});
    if let Some(next) = next {
        page["NextToken"] = json!(next);
    }
    Answer::json(page)
}

pub(crate) struct Cloud {
    pub(crate) aws: Stub,
    pub(crate) plan: Value,
}

impl Cloud {
    /// A target of which everything is known, and a finding that names an access key.
    pub(crate) fn new() -> Self {
        let instance = format!(
            "<reservationSet><item><instancesSet><item><instanceId>{INSTANCE}</instanceId><imageId>ami-0123456789abcdef0</imageId>\
             <neverHeardOf>kept</neverHeardOf></item></instancesSet></item></reservationSet>"
        );
        let interface = "<networkInterfaceSet><item><networkInterfaceId>eni-0123456789abcdef0</networkInterfaceId>\
             <subnetId>subnet-0123456789abcdef0</subnetId></item></networkInterfaceSet>";
        let secret = aws_smithy_types::base64::encode(format!("#!/bin/sh\nPASSWORD={SECRET}\n"));
        let aws = Stub::new()
            .on("ec2:DescribeInstances", ec2("DescribeInstances", &instance))
            .on(
                "ec2:DescribeVolumes",
                ec2("DescribeVolumes", "<volumeSet><item><volumeId>vol-0123456789abcdef0</volumeId></item></volumeSet>"),
            )
            .on("ec2:DescribeNetworkInterfaces", ec2("DescribeNetworkInterfaces", interface))
            .on(
                "ec2:DescribeSecurityGroups",
                ec2(
                    "DescribeSecurityGroups",
                    "<securityGroupInfo><item><groupId>sg-0123456789abcdef0</groupId></item></securityGroupInfo>",
                ),
            )
            .on(
                "ec2:DescribeImages",
                ec2("DescribeImages", "<imagesSet><item><imageId>ami-0123456789abcdef0</imageId></item></imagesSet>"),
            )
            .on(
                "ec2:DescribeTags",
                ec2("DescribeTags", "<tagSet><item><key>Name</key><value>&lt;b&gt;\u{202e}</value></item></tagSet>"),
            )
            .on(
                "ec2:DescribeInstanceAttribute",
                ec2("DescribeInstanceAttribute", &format!("<userData><value>{secret}</value></userData>")),
            )
            .on("ec2:GetConsoleOutput", ec2("GetConsoleOutput", "<output>G1sySmxvZ2luOiA=</output>"))
            .on("ec2:GetConsoleScreenshot", ec2("GetConsoleScreenshot", "<imageData>/9j/4A==</imageData>"))
            .on(
                "ec2:DescribeFlowLogs",
                ec2(
                    "DescribeFlowLogs",
                    "<flowLogSet><item><flowLogId>fl-1</flowLogId><logGroupName>flows</logGroupName></item></flowLogSet>",
                ),
            )
            .on("cloudtrail:LookupEvents", events(&["StopLogging"], None))
            .on("guardduty:ListDetectors", Answer::json(json!({"detectorIds": ["11aa22bb33cc44dd55ee66ff77889900"]})))
            .on("guardduty:ListFindings", Answer::json(json!({"findingIds": ["f1", "f2"]})))
            .on("guardduty:GetFindings", Answer::json(json!({"findings": [{"id": "f1", "neverHeardOf": 1}, {"id": "f2"}]})))
            .on(
                "route53resolver:ListResolverQueryLogConfigAssociations",
                Answer::json(json!({"ResolverQueryLogConfigAssociations": [{"ResolverQueryLogConfigId": "rqlc-1"}]})),
            )
            .on(
                "route53resolver:ListResolverQueryLogConfigs",
                Answer::json(json!({"ResolverQueryLogConfigs": [{"Id": "rqlc-1", "DestinationArn": "arn:aws:logs:::d"}]})),
            );
        let finding = json!({"detail": {"type": "t", "resource": {"accessKeyDetails": {"accessKeyId": KEY}}}});
        aws.put_object(&format!("cases/{CASE}/finding.json"), finding.to_string());
        Self { aws, plan: plan() }
    }

    pub(crate) async fn collect(&self, retry: u32) -> Result<Context, Error> {
        let config = self.aws.config();
        let clients = Clients {
            ec2: aws_sdk_ec2::Client::new(&config),
            cloudtrail: aws_sdk_cloudtrail::Client::new(&config),
            guardduty: aws_sdk_guardduty::Client::new(&config),
            resolver: aws_sdk_route53resolver::Client::new(&config),
            store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        };
        let visit = json!({"execution": EXECUTION, "state": "Context", "entered": "2026-11-24T03:30:11Z", "retry": retry});
        let input: Input = serde_json::from_value(json!({"visit": visit, "plan": self.plan})).unwrap();
        handle(&clients, input).await
    }

    /// What is kept of a source.
    pub(crate) fn kept(&self, source: Source) -> Option<Vec<u8>> {
        self.aws.object(&format!("cases/{CASE}/{}", source.name()))
    }

    pub(crate) fn document(&self, source: Source) -> Document {
        serde_json::from_slice(&self.kept(source).unwrap()).unwrap()
    }

    /// The names of what is kept below `context/`.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let keys = self.aws.keys().into_iter();
        keys.filter_map(|key| key.strip_prefix(&format!("cases/{CASE}/")).map(str::to_owned))
            .filter(|name| name.starts_with("context/"))
            .collect()
    }

    /// The questions that were put to AWS.
    pub(crate) fn questions(&self) -> Vec<Call> {
        self.aws.calls().into_iter().filter(|call| !call.action.starts_with("s3:")).collect()
    }
}

pub(crate) fn outcome(context: &Context, source: Source) -> &Outcome {
    context.sources.iter().find(|outcome| outcome.source == source).unwrap()
}

fn plan() -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
            "region": "eu-central-1", "firstSeen": "2026-11-24T03:20:00Z"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [{"id": "eni-0123456789abcdef0", "vpc": "vpc-0123456789abcdef0", "groups": ["sg-0123456789abcdef0"]}],
            "volumes": [{"id": "vol-0123456789abcdef0", "device": "/dev/xvda", "root": true}],
            "profile": null, "spot": false, "architecture": "x86_64", "windows": false, "memoryMib": 8192, "metadata": null},
        "policy": {"from": "parameter", "name": "p", "version": 1}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30},
        "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "quarantine", "reason": "text"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null, "risks": []})
}
