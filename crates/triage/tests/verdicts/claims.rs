//! One open case for a target, and one execution for each of several.

use incident::triage::Verdict;
use incident::{Classify, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::*;

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
async fn a_finding_takes_the_target_from_a_release_that_runs_and_never_joins_it() {
    let aws = aws().on("states:DescribeExecution", execution_is("RUNNING"));
    let release = json!({"caseId": format!("{INSTANCE}-000000000000"), "executionArn": OTHER, "severity": 0.0, "release": true});
    aws.put_object(&format!("open/{INSTANCE}.json"), release.to_string());
    assert_eq!(run(&aws, &finding()).await.unwrap().verdict, Verdict::Respond);
    let claim: Value = serde_json::from_slice(&aws.object(&format!("open/{INSTANCE}.json")).unwrap()).unwrap();
    assert_eq!((&claim["executionArn"], claim.get("release")), (&json!(EXECUTION), None));
    assert!(!aws.keys().iter().any(|key| key.starts_with("joined/")), "{:?}", aws.keys());
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
