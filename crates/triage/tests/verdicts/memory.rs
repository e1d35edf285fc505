//! What the plan says of memory: whether it is captured, and through what.

use incident::plan::{Architecture, Cut, MemoryPlan, Plan, SkipReason};
use incident::risk::RiskKind;
use serde_json::json;
use stub::{Answer, Stub};

use crate::support::*;

/// An instance as EC2 describes it, with its primary interface in `group` and the given state and platform.
fn running(group: &str, state: &str, platform: &str, architecture: &str) -> String {
    format!(
        "<item><instanceId>{INSTANCE}</instanceId><instanceState><name>{state}</name></instanceState><instanceType>t3.micro</instanceType>\
         <architecture>{architecture}</architecture>{platform}<metadataOptions><state>applied</state><httpTokens>required</httpTokens>\
         <httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint></metadataOptions>\
         <networkInterfaceSet><item><networkInterfaceId>eni-0abc1234</networkInterfaceId><vpcId>vpc-0abc1234</vpcId><subnetId>subnet-1</subnetId>\
         <privateIpAddress>10.70.0.9</privateIpAddress><attachment><deviceIndex>0</deviceIndex></attachment>\
         <groupSet><item><groupId>sg-0abc1234</groupId><groupName>{group}</groupName></item></groupSet></item></networkInterfaceSet></item>"
    )
}

fn endpoint(service: &str, rest: &str) -> String {
    format!("<item><serviceName>com.amazonaws.us-east-1.{service}</serviceName><state>available</state>{rest}</item>")
}

/// An account whose VPC has the whole path.
fn around(instance: &str) -> Stub {
    let interface = "<vpcEndpointType>Interface</vpcEndpointType><privateDnsEnabled>true</privateDnsEnabled>\
                     <groupSet><item><groupId>sg-0000000e</groupId></item></groupSet>";
    let gateway = "<vpcEndpointType>Gateway</vpcEndpointType><routeTableIdSet><item>rtb-main</item></routeTableIdSet>";
    let endpoints = [endpoint("ssm", interface), endpoint("ssmmessages", interface), endpoint("s3", gateway)].concat();
    let admits = "<item><groupId>sg-0000000e</groupId><ipPermissions><item><ipProtocol>tcp</ipProtocol><fromPort>443</fromPort>\
                  <toPort>443</toPort><ipRanges><item><cidrIp>10.70.0.0/16</cidrIp></item></ipRanges></item></ipPermissions></item>";
    aws()
        .on("ec2:DescribeInstances", described(instance))
        .on("ec2:DescribeVpcEndpoints", Answer::xml(format!("<DescribeVpcEndpointsResponse><vpcEndpointSet>{endpoints}</vpcEndpointSet></DescribeVpcEndpointsResponse>")))
        .on("ec2:DescribeRouteTables", Answer::xml("<DescribeRouteTablesResponse><routeTableSet><item><routeTableId>rtb-main</routeTableId><associationSet><item><main>true</main></item></associationSet></item></routeTableSet></DescribeRouteTablesResponse>"))
        .on("ec2:DescribeManagedPrefixLists", Answer::xml("<DescribeManagedPrefixListsResponse><prefixListSet><item><prefixListId>pl-63a5400a</prefixListId></item></prefixListSet></DescribeManagedPrefixListsResponse>"))
        .on("ec2:DescribeInstanceTypes", Answer::xml("<DescribeInstanceTypesResponse><instanceTypeSet><item><memoryInfo><sizeInMiB>1024</sizeInMiB></memoryInfo></item></instanceTypeSet></DescribeInstanceTypesResponse>"))
        .on("ec2:DescribeSecurityGroups", Answer::xml(format!("<DescribeSecurityGroupsResponse><securityGroupInfo>{admits}</securityGroupInfo></DescribeSecurityGroupsResponse>")))
}

fn linux() -> String {
    running("web", "running", "", "x86_64")
}

async fn planned(aws: &Stub) -> Plan {
    run(aws, &finding()).await.unwrap().plan.unwrap()
}

fn skipped(plan: &Plan) -> (SkipReason, &str) {
    match &plan.memory {
        MemoryPlan::Skip { because, reason } => (*because, reason),
        MemoryPlan::Capture { .. } => panic!("memory must not be captured: {:?}", plan.memory),
    }
}

#[tokio::test]
async fn with_a_path_memory_is_captured_over_just_that_path() {
    let aws = around(&linux());
    let plan = planned(&aws).await;
    let path = plan.collection_path().unwrap_or_else(|| panic!("there must be a path: {:?}", plan.memory));
    assert_eq!(path.interface.as_str(), "eni-0abc1234");
    assert_eq!(path.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(), ["sg-0000000e"]);
    assert_eq!(path.s3.as_ref().map(ToString::to_string).as_deref(), Some("pl-63a5400a"));
    assert_eq!((plan.target.memory_mib, plan.target.architecture), (Some(1024), Some(Architecture::X86_64)));
    assert_eq!(plan.deadlines.memory.to_string(), "2026-11-24T07:30:00Z", "four hours by default");
    let told = plan.risks.iter().find(|risk| risk.kind == RiskKind::S3Path);
    let told = told.unwrap_or_else(|| panic!("people must be told of the way out from the start: {:?}", plan.risks));
    assert!(told.subject == "eni-0abc1234" && told.advice.contains("2026-11-24T07:30:00Z"), "{told:?}");
    let metadata = plan.target.metadata.unwrap();
    assert_eq!((metadata.enabled, metadata.tokens_required, metadata.hop_limit), (true, true, 2), "release needs what was");
}

#[tokio::test]
async fn a_look_that_fails_never_stops_containment() {
    let looks =
        ["ec2:DescribeVpcEndpoints", "ec2:DescribeRouteTables", "ec2:DescribeManagedPrefixLists", "ec2:DescribeSecurityGroups"];
    for (action, answer) in looks.iter().flat_map(|action| {
        [
            (action, Answer::ec2_error(503, "RequestLimitExceeded", "slow down")),
            (action, Answer::ec2_error(403, "UnauthorizedOperation", "no")),
        ]
    }) {
        let plan = planned(&around(&linux()).on(action, answer)).await;
        assert_eq!(plan.cut, Cut::Now, "{action}");
        let (because, reason) = skipped(&plan);
        assert!(because == SkipReason::NoPath && reason.contains(action), "{action}: {reason}");
    }
}

#[tokio::test]
async fn what_has_no_memory_or_no_collector_is_said_and_nobody_looks_for_a_path() {
    let cases = [
        (running("web", "stopped", "", "x86_64"), SkipReason::NoMemory),
        (running("web", "running", "<platform>windows</platform>", "x86_64"), SkipReason::Unsupported),
        (running("web", "running", "", "x86_64_mac"), SkipReason::Unsupported),
    ];
    for (instance, expected) in cases {
        let aws = around(&instance);
        let plan = planned(&aws).await;
        assert_eq!(skipped(&plan).0, expected);
        assert_eq!(aws.count("ec2:DescribeVpcEndpoints"), 0, "{expected:?}");
    }
    let aws = around(&linux()).on("ssm:GetParameter", parameter(&json!({"memory": {"capture": false}})));
    assert_eq!(skipped(&planned(&aws).await).0, SkipReason::Policy);
}

#[tokio::test]
async fn what_is_isolated_already_is_not_opened_again_for_its_memory() {
    let aws = around(&running("cordon-isolation", "running", "", "x86_64"));
    let plan = planned(&aws).await;
    let (because, reason) = skipped(&plan);
    assert!(because == SkipReason::NoPath && reason.contains("isolated already"), "{reason}");
}

#[tokio::test]
async fn a_target_that_is_not_cut_needs_no_path() {
    let policy = json!({"protectedTags": [{"key": "tier"}]});
    let instance = linux()
        .replace("</networkInterfaceSet>", "</networkInterfaceSet><tagSet><item><key>tier</key><value>x</value></item></tagSet>");
    let aws = around(&instance).on("ssm:GetParameter", parameter(&policy));
    let aws = aws.on("ec2:DescribeVpcEndpoints", Answer::xml("<DescribeVpcEndpointsResponse/>"));
    let plan = planned(&aws).await;
    assert_eq!(plan.memory, MemoryPlan::Capture { path: None });
}
