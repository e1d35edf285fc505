//! Every verdict and every path of the claim, through the real SDK clients.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use incident::plan::{Cut, PolicySource, TargetState};
use incident::risk::RiskKind;
use incident::triage::{Triaged, Verdict};
use incident::{CaseId, Classify, ExecutionArn, Fault, InstanceId};
use serde_json::{Value, json};
use stub::{Answer, Stub};
use triage::{Clients, Error, Input, handle};

const INSTANCE: &str = "i-0123456789abcdef0";
const ACCOUNT: &str = "123456789012";
const EXECUTION: &str = "arn:aws:states:us-east-1:123456789012:execution:cordon-incident:run-1";
const OTHER: &str = "arn:aws:states:us-east-1:123456789012:execution:cordon-incident:run-0";
const NOW: &str = "2026-11-24T03:30:00Z";

fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        ssm: aws_sdk_ssm::Client::new(&config),
        store: handler::Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        policy_parameter: "/cordon/policy".to_owned(),
    }
}

fn instance(id: &str, group: &str, tags: &[(&str, &str)]) -> String {
    let tags: String = tags.iter().map(|(k, v)| format!("<item><key>{k}</key><value>{v}</value></item>")).collect();
    format!(
        "<item><instanceId>{id}</instanceId><instanceState><name>running</name></instanceState><rootDeviceName>/dev/xvda</rootDeviceName>\
         <blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-0abc1234</volumeId></ebs></item></blockDeviceMapping>\
         <networkInterfaceSet><item><networkInterfaceId>eni-0abc1234</networkInterfaceId><vpcId>vpc-0abc1234</vpcId>\
         <groupSet><item><groupId>sg-0abc1234</groupId><groupName>{group}</groupName></item></groupSet></item></networkInterfaceSet>\
         <tagSet>{tags}</tagSet></item>"
    )
}

fn described(instances: &str) -> Answer {
    Answer::xml(format!(
        "<DescribeInstancesResponse><reservationSet><item><instancesSet>{instances}</instancesSet></item></reservationSet></DescribeInstancesResponse>"
    ))
}

fn parameter(policy: &Value) -> Answer {
    Answer::json(json!({"Parameter": {"Name": "/cordon/policy", "Value": policy.to_string(), "Version": 3}}))
}

fn aws() -> Stub {
    Stub::new()
        .on("ssm:GetParameter", parameter(&json!({})))
        .on("ec2:DescribeInstances", described(&instance(INSTANCE, "web", &[])))
}

fn finding() -> Value {
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

fn changed(change: impl Fn(&mut Value)) -> Value {
    let mut finding = finding();
    change(&mut finding);
    finding
}

fn hub(kind: &str, product: &str, state: &str, types: &str) -> Value {
    json!({
        "source": "aws.securityhub", "detail-type": format!("Security Hub Findings - {kind}"), "account": ACCOUNT, "region": "us-east-1",
        "detail": {"findings": [{
            "Id": "f2", "ProductArn": format!("arn:aws:securityhub:us-east-1::product/{product}"), "ProductName": "P",
            "AwsAccountId": ACCOUNT, "Region": "us-east-1", "Types": [types], "Severity": {"Normalized": 80}, "RecordState": state,
            "Resources": [{"Type": "AwsEc2Instance", "Id": format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{INSTANCE}")}],
        }]},
    })
}

async fn run(aws: &Stub, input: &Value) -> Result<Triaged, Error> {
    let visit = json!({"execution": EXECUTION, "state": "Triage", "entered": NOW, "retry": 0});
    let input: Input = serde_json::from_value(json!({"visit": visit, "input": input})).unwrap();
    handle(&clients(aws), input).await
}

fn case() -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap())
}

fn claimed_by(aws: &Stub, severity: f64, closing: bool) {
    let id = format!("{INSTANCE}-000000000000");
    let claim = json!({"caseId": id, "executionArn": OTHER, "severity": severity, "closing": closing});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
}

fn execution_is(status: &str) -> Answer {
    Answer::json(json!({"executionArn": OTHER, "stateMachineArn": "m", "status": status, "startDate": 1}))
}

#[tokio::test]
async fn a_threat_opens_a_case_whose_plan_is_durable() {
    let aws = aws();
    let out = run(&aws, &finding()).await.unwrap();
    assert_eq!((out.verdict, out.tell, out.case_id.as_ref()), (Verdict::Respond, false, Some(&case())));
    let plan = out.plan.unwrap();
    assert_eq!(plan.cut, Cut::Now);
    assert_eq!(plan.policy, PolicySource::Parameter { name: "/cordon/policy".to_owned(), version: 3 });
    assert_eq!((plan.target.interfaces.len(), plan.target.volumes.len()), (1, 1));
    assert!(plan.target.volumes[0].root);
    assert_eq!(plan.deadlines.snapshots.to_string(), "2026-11-25T03:30:00Z");
    let read = |name: &str| serde_json::from_slice::<Value>(&aws.object(&format!("cases/{}/{name}", case())).unwrap()).unwrap();
    assert_eq!(read("finding.json"), finding(), "the finding is kept as received");
    assert_eq!(read("plan.json"), serde_json::to_value(&plan).unwrap());
    assert_eq!(read("before.json")["target"]["interfaces"][0]["groups"], json!(["sg-0abc1234"]));
    assert!(aws.object(&format!("targets/{INSTANCE}.json")).is_some());
}

#[tokio::test]
async fn a_second_attempt_goes_on_with_the_first_ones_plan() {
    let aws = aws();
    let first = run(&aws, &finding()).await.unwrap();
    let keys = aws.keys();
    aws.set("ec2:DescribeInstances", described(&instance(INSTANCE, "db", &[("a", "b")]).replace("sg-0abc1234", "sg-0abc9999")));
    assert_eq!(run(&aws, &finding()).await.unwrap(), first);
    assert_eq!(aws.keys(), keys, "nothing may be written twice");
}

#[tokio::test]
async fn what_must_never_act_changes_nothing_and_says_why() {
    let threat = "TTPs/Command and Control/Backdoor:EC2-C&CActivity.B";
    let cases: Vec<(&str, Value, &str)> = vec![
        ("sample title", changed(|f| f["detail"]["title"] = json!("[SAMPLE] x")), "sample"),
        (
            "sample instance",
            changed(|f| f["detail"]["resource"]["instanceDetails"]["instanceId"] = json!("i-99999999")),
            "sample",
        ),
        ("sample flag", changed(|f| f["detail"]["service"]["additionalInfo"] = json!({"sample": true})), "sample"),
        (
            "sample string",
            changed(|f| f["detail"]["service"]["additionalInfo"] = json!({"value": "{\"sample\":true}"})),
            "sample",
        ),
        ("manual sample", json!({"instanceId": "i-99999999", "reason": "r"}), "sample"),
        ("archived", changed(|f| f["detail"]["service"]["archived"] = json!(true)), "archived"),
        ("no instance", changed(|f| f["detail"]["resource"] = json!({"resourceType": "AccessKey"})), "no EC2 instance"),
        ("port probe", changed(|f| f["detail"]["type"] = json!("Recon:EC2/PortProbeUnprotectedPort")), "scan"),
        (
            "inbound brute force",
            changed(|f| {
                f["detail"]["type"] = json!("UnauthorizedAccess:EC2/SSHBruteForce");
                f["detail"]["service"]["action"]["networkConnectionAction"]["connectionDirection"] = json!("INBOUND");
            }),
            "brute",
        ),
        ("low severity", changed(|f| f["detail"]["severity"] = json!(4.9)), "severity"),
        ("drill", changed(|f| f["source"] = json!("cordon.drill")), "drill"),
        ("archived in hub", hub("Imported", "aws/guardduty", "ARCHIVED", threat), "archived"),
        ("a click on an archived one", hub("Custom Action", "aws/guardduty", "ARCHIVED", threat), "archived"),
        ("a check", hub("Imported", "aws/guardduty", "ACTIVE", "Software and Configuration Checks/x"), "checks"),
        ("another product", hub("Imported", "acme/edr", "ACTIVE", threat), "product"),
    ];
    for (name, input, reason) in cases {
        let aws = aws();
        let out = run(&aws, &input).await.unwrap();
        assert_eq!((out.verdict, out.tell), (Verdict::Ignored, false), "{name}: {}", out.reason);
        assert!(out.reason.contains(reason), "{name}: the reason must speak of `{reason}`: {}", out.reason);
        assert!(aws.mutations().is_empty(), "{name}: {:?}", aws.actions());
    }
}

#[tokio::test]
async fn what_looks_like_a_victim_but_is_not_acts() {
    let cases = [
        ("outbound brute force", changed(|f| f["detail"]["type"] = json!("UnauthorizedAccess:EC2/SSHBruteForce"))),
        ("imported threat", hub("Imported", "aws/guardduty", "ACTIVE", "TTPs/Command and Control/Backdoor:EC2-C&CActivity.B")),
        ("a click on a check", hub("Custom Action", "aws/securityhub", "ACTIVE", "Software and Configuration Checks/x")),
        ("manual", json!({"instanceId": INSTANCE, "reason": "looks bad"})),
    ];
    for (name, input) in cases {
        let out = run(&aws(), &input).await.unwrap();
        assert_eq!(out.verdict, Verdict::Respond, "{name}: {}", out.reason);
    }
}

#[tokio::test]
async fn a_finding_about_elsewhere_is_told_and_changes_nothing() {
    for (field, value) in [("accountId", "999999999999"), ("region", "eu-west-1")] {
        let aws = aws();
        let out = run(&aws, &changed(|f| f["detail"][field] = json!(value))).await.unwrap();
        assert_eq!((out.verdict, out.tell), (Verdict::Elsewhere, true));
        assert!(out.reason.contains(value), "{}", out.reason);
        assert!(aws.calls().is_empty());
    }
}

#[tokio::test]
async fn a_dry_run_plans_and_writes_nothing() {
    let aws = aws();
    let out = run(&aws, &json!({"instanceId": INSTANCE, "reason": "r", "dryRun": true})).await.unwrap();
    assert_eq!(out.verdict, Verdict::DryRun);
    assert!(out.plan.is_some());
    assert!(aws.mutations().is_empty() && aws.keys().is_empty());
}

#[tokio::test]
async fn a_finding_joins_the_open_case_and_is_told_only_if_it_is_worse() {
    for (severity, tell) in [(8.0, false), (5.0, true)] {
        let aws = aws().on("states:DescribeExecution", execution_is("RUNNING"));
        claimed_by(&aws, severity, false);
        let out = run(&aws, &finding()).await.unwrap();
        assert_eq!((out.verdict, out.tell), (Verdict::Joined, tell));
        assert_eq!(out.owner.unwrap().as_str(), OTHER);
        let inbox = format!("joined/{INSTANCE}-000000000000/");
        assert_eq!(aws.keys().iter().filter(|key| key.starts_with(&inbox)).count(), 1);
        assert!(!aws.keys().iter().any(|key| key.starts_with("cases/")), "no second case");
    }
}

#[tokio::test]
async fn a_claim_that_is_closing_or_changes_is_tried_again() {
    let closing = aws().on("states:DescribeExecution", execution_is("RUNNING"));
    claimed_by(&closing, 8.0, true);
    assert_eq!(run(&closing, &finding()).await.unwrap_err().fault(), Fault::Transient);

    let gone = aws().on("states:DescribeExecution", execution_is("RUNNING"));
    claimed_by(&gone, 8.0, false);
    let claim = gone.object(&format!("open/{INSTANCE}.json")).unwrap();
    let first = Answer::bytes(200, claim).header("etag", "\"another\"");
    gone.push("s3:GetObject", first);
    assert_eq!(
        run(&gone, &finding()).await.unwrap_err().fault(),
        Fault::Transient,
        "the claim changed while the finding was laid down"
    );
}

#[tokio::test]
async fn a_dead_owners_target_is_taken_over() {
    let dead = [execution_is("FAILED"), execution_is("ABORTED"), Answer::json_error(400, "ExecutionDoesNotExist", "no")];
    for answer in dead {
        let aws = aws().on("states:DescribeExecution", answer);
        claimed_by(&aws, 8.0, false);
        assert_eq!(run(&aws, &finding()).await.unwrap().verdict, Verdict::Respond);
        let claim: Value = serde_json::from_slice(&aws.object(&format!("open/{INSTANCE}.json")).unwrap()).unwrap();
        assert_eq!(claim["executionArn"], EXECUTION);
    }
}

#[tokio::test]
async fn a_take_over_that_another_won_is_tried_again() {
    let aws = aws().on("states:DescribeExecution", execution_is("FAILED")).on_fn("s3:PutObject", |call| {
        match call.header("if-match") {
            Some(_) => Answer::s3_error(412, "PreconditionFailed", "changed"),
            None => Answer::bucket(),
        }
    });
    claimed_by(&aws, 8.0, false);
    assert_eq!(run(&aws, &finding()).await.unwrap_err().fault(), Fault::Transient);
}

#[tokio::test]
async fn a_target_that_is_gone_is_still_a_case() {
    let aws = aws().on("ec2:DescribeInstances", Answer::ec2_error(400, "InvalidInstanceID.NotFound", "no"));
    let out = run(&aws, &finding()).await.unwrap();
    assert_eq!((out.verdict, out.plan.unwrap().target.state), (Verdict::Respond, TargetState::Gone));
}

#[tokio::test]
async fn errors_of_looking_are_the_faults_they_are_and_leave_no_claim() {
    for (code, status, fault) in [("UnauthorizedOperation", 403, Fault::Denied), ("RequestLimitExceeded", 503, Fault::Transient)]
    {
        let aws = aws().on("ec2:DescribeInstances", Answer::ec2_error(status, code, "no"));
        assert_eq!(run(&aws, &finding()).await.unwrap_err().fault(), fault);
        assert!(aws.mutations().is_empty());
    }
    let error = run(&aws(), &json!({"instanceId": "nope", "reason": "r"})).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Invalid);
    assert!(error.to_string().contains("instanceId"), "{error}");
}

#[tokio::test]
async fn without_a_policy_the_target_is_contained_and_the_plan_says_so() {
    let answers = [
        Answer::json_error(400, "ParameterNotFound", "no"),
        Answer::json_error(400, "AccessDeniedException", "no"),
        parameter(&json!({"brakes": 1})),
    ];
    for answer in answers {
        let out = run(&aws().on("ssm:GetParameter", answer), &finding()).await.unwrap();
        let plan = out.plan.unwrap();
        assert_eq!(plan.cut, Cut::Now);
        assert!(matches!(&plan.policy, PolicySource::Fallback { problem } if !problem.is_empty()), "{:?}", plan.policy);
    }
}

#[tokio::test]
async fn a_protected_target_is_not_cut_without_a_person() {
    let policy = json!({"protectedTags": [{"key": "tier", "value": "core"}]});
    for (value, asks) in [("core", true), ("edge", false)] {
        let aws = aws().on("ssm:GetParameter", parameter(&policy));
        let aws = aws.on("ec2:DescribeInstances", described(&instance(INSTANCE, "web", &[("tier", value)])));
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        assert_eq!(matches!(plan.cut, Cut::AskFirst { .. }), asks, "{:?}", plan.cut);
    }
}

#[tokio::test]
async fn the_brake_counts_other_targets_of_the_last_hour_and_holds_for_machines_only() {
    for (others, minutes, manual, asks) in
        [(9, 10, false, false), (10, 10, false, true), (10, 90, false, false), (10, 10, true, false)]
    {
        let aws = aws();
        for n in 0..others {
            let case = format!("i-0000000{n:x}-0123456789ab");
            // Two cases of one target are one target.
            for case in [case.clone(), case.replace("0123456789ab", "ba9876543210")] {
                let at = if minutes == 10 { "20261124T032000.000Z" } else { "20261124T020000.000Z" };
                aws.put_object(&format!("work/brake/{at}-{case}"), "{}");
            }
        }
        let input = if manual { json!({"instanceId": INSTANCE, "reason": "r"}) } else { finding() };
        let plan = run(&aws, &input).await.unwrap().plan.unwrap();
        assert_eq!(matches!(plan.cut, Cut::AskFirst { .. }), asks, "{others} {minutes} {manual}: {:?}", plan.cut);
    }
}

#[tokio::test]
async fn a_brake_that_cannot_count_keeps_no_target_open_and_the_plan_says_so() {
    for action in ["s3:ListObjectsV2", "s3:PutObject"] {
        let aws = aws();
        if action == "s3:PutObject" {
            aws.set_fn(action, |call| {
                let mark = call.path.contains("work/brake/");
                if mark { Answer::s3_error(403, "AccessDenied", "no") } else { Answer::bucket() }
            });
        } else {
            aws.set(action, Answer::s3_error(403, "AccessDenied", "no"));
        }
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        assert_eq!(plan.cut, Cut::Now, "{action}");
        assert!(plan.risks.iter().any(|risk| risk.kind == RiskKind::BrakeNotCounted), "{action}: {:?}", plan.risks);
    }
    let aws = aws().on("s3:ListObjectsV2", Answer::s3_error(503, "SlowDown", "no"));
    assert_eq!(run(&aws, &finding()).await.unwrap_err().fault(), Fault::Transient, "busy is tried again first");
}

#[tokio::test]
async fn more_than_half_of_an_auto_scaling_group_is_not_cut_without_a_person() {
    let tags = [("aws:autoscaling:groupName", "fleet")];
    for (isolated, healthy, asks) in [(0, 0, false), (1, 2, false), (1, 1, true), (2, 1, true)] {
        let member = |n: usize, group: &str| instance(&format!("i-0000000{n}"), group, &tags);
        let mut members = instance(INSTANCE, "web", &tags);
        members.extend((0..isolated).map(|n| member(n, "cordon-isolation")));
        members.extend((5..5 + healthy).map(|n| member(n, "web")));
        let plan = run(&aws().on("ec2:DescribeInstances", described(&members)), &finding()).await.unwrap().plan.unwrap();
        assert_eq!(matches!(plan.cut, Cut::AskFirst { .. }), asks, "{isolated} of {}: {:?}", isolated + healthy + 1, plan.cut);
    }
}

#[tokio::test]
async fn a_target_in_our_groups_is_linked_to_its_first_case() {
    let ours = |items: &str| {
        Answer::xml(format!(
            "<DescribeSecurityGroupsResponse><securityGroupInfo>{items}</securityGroupInfo></DescribeSecurityGroupsResponse>"
        ))
    };
    let first = format!("{INSTANCE}-000000000000");
    for (answer, linked) in [(ours("<item><groupId>sg-0abc1234</groupId></item>"), true), (ours(""), false)] {
        let aws = aws()
            .on("ec2:DescribeInstances", described(&instance(INSTANCE, "cordon-isolation", &[])))
            .on("ec2:DescribeSecurityGroups", answer);
        aws.put_object(&format!("targets/{INSTANCE}.json"), json!({"firstCase": first}).to_string());
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        assert_eq!(
            plan.earlier_case.map(String::from),
            linked.then(|| first.clone()),
            "only our tag proves that a group is ours"
        );
    }
}

#[tokio::test]
async fn a_drill_acts_only_where_the_policy_and_the_targets_tag_allow_it() {
    let drill = changed(|f| f["source"] = json!("cordon.drill"));
    for (tags, expected) in [(vec![("cordon:drill", "yes")], Verdict::Respond), (vec![], Verdict::Ignored)] {
        let aws = aws()
            .on("ssm:GetParameter", parameter(&json!({"drills": {"enabled": true}})))
            .on("ec2:DescribeInstances", described(&instance(INSTANCE, "web", &tags)));
        assert_eq!(run(&aws, &drill).await.unwrap().verdict, expected);
        assert_eq!(aws.mutations().is_empty(), expected == Verdict::Ignored);
    }
}

fn sequence(count: usize) -> Value {
    let resource = |n: usize| json!({"uid": format!("arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-000000{n:02x}"), "resourceType": "EC2_INSTANCE"});
    changed(|f| {
        f["detail"]["resource"] = json!({"resourceType": "AttackSequence"});
        f["detail"]["service"]["detection"] = json!({"sequence": {"resources": (0..count).map(resource).collect::<Vec<_>>()}});
    })
}

#[tokio::test]
async fn several_instances_get_one_named_execution_each_and_beyond_the_limit_a_person_is_asked() {
    let started = |call: &stub::Call| match call.json()["name"].as_str() {
        Some(name) if name.ends_with("i-00000001") => Answer::json_error(400, "ExecutionAlreadyExists", "there"),
        name => Answer::json(json!({"executionArn": format!("arn:{}", name.unwrap_or_default()), "startDate": 1})),
    };
    let aws = aws().on_fn("states:StartExecution", started);
    let out = run(&aws, &sequence(10)).await.unwrap();
    assert_eq!((out.verdict, out.executions.len()), (Verdict::FannedOut, 10));
    let call = aws.calls_of("states:StartExecution")[0].json();
    assert_eq!(call["stateMachineArn"], "arn:aws:states:us-east-1:123456789012:stateMachine:cordon-incident");
    let input: Value = serde_json::from_str(call["input"].as_str().unwrap()).unwrap();
    assert_eq!(input["event"], sequence(10));

    let out = run(&aws, &sequence(11)).await.unwrap();
    assert_eq!((out.verdict, out.tell, out.executions.len()), (Verdict::Ask, true, 0));
    assert_eq!(aws.count("states:StartExecution"), 10, "beyond the limit nothing is started");
}

#[tokio::test]
async fn every_field_of_the_output_is_there() {
    let out = serde_json::to_value(run(&aws(), &finding()).await.unwrap()).unwrap();
    for field in ["verdict", "tell", "reason", "caseId", "plan", "finding", "owner", "executions"] {
        assert!(out.get(field).is_some(), "`{field}` must be null rather than absent: the definition reads it");
    }
}

/// The samples' accounts are theirs; the execution is made to run where each of them points, and nothing answers changes.
#[tokio::test]
async fn the_sample_files_get_their_verdicts() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/findings"));
    if !folder.is_dir() {
        eprintln!("skipped: there are no sample findings beside the workspace");
        return;
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let input: Value = serde_json::from_str(&text).unwrap();
        let aws = aws();
        let out = run(&aws, &input).await.unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        eprintln!("{name}: {:?} {}", out.verdict, out.reason);
        let ignored = text.contains("i-99999999")
            || ["AttackSequence_S3", "PortProbe", "IAMUser", "SecurityHub_Imported", "RDPBruteForce"]
                .iter()
                .any(|part| name.contains(part));
        if ignored {
            assert_eq!(out.verdict, Verdict::Ignored, "{name}: {}", out.reason);
        }
        assert!(matches!(out.verdict, Verdict::Ignored | Verdict::Elsewhere), "{name} is about another place: {}", out.reason);
        assert!(aws.mutations().is_empty(), "{name} must change nothing");
    }
}
