//! What opens a case, what does not, and what is told.

use incident::plan::{Cut, PolicySource, TargetState};
use incident::triage::Verdict;
use incident::{Classify, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::*;

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
