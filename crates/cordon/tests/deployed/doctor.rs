//! `cordon prepare` and `cordon doctor`: the function does it, and the command says what it said.

use incident::claim::Claim;
use incident::sweep::{Prepared, Swept};
use serde_json::{Value, json};

use crate::aws::{Aws, ISOLATE};
use crate::made::{execution, id};
use crate::{err, out, said};

const INSTANCE: &str = "i-0abc1234def567890";
const VPC: &str = "vpc-0123456789abcdef0";
const OTHER: &str = "vpc-0fedcba9876543210";

/// An account whose function answers so.
fn answers(answer: &Value) -> Aws {
    let aws = Aws::new();
    aws.change(|account| account.answer = Some((false, answer.clone())));
    aws
}

fn prepared(reason: &str) -> Value {
    let conversion = reason.is_empty().then_some("sg-00000000000000002");
    let vpcs = json!({"vpcs": [
        {"vpc": VPC, "isolation": "sg-00000000000000001", "conversion": "sg-00000000000000002", "changed": false, "reason": ""},
        {"vpc": OTHER, "isolation": "sg-00000000000000003", "conversion": conversion, "changed": true, "reason": reason},
    ]});
    serde_json::from_value::<Prepared>(vpcs.clone()).unwrap();
    vpcs
}

#[test]
fn every_vpc_is_prepared_or_those_that_are_named() {
    for (arguments, vpcs) in [(&[][..], json!([])), (&["--vpc", VPC, "--vpc", OTHER], json!([VPC, OTHER]))] {
        let aws = answers(&prepared(""));
        let output = aws.cordon(&[&["prepare"], arguments].concat());
        let expected = format!(
            "VPC                    ISOLATION             CONVERSION            STATE
{VPC}  sg-00000000000000001  sg-00000000000000002  as it should be
{OTHER}  sg-00000000000000003  sg-00000000000000002  made or set right
2 of 2 VPCs are ready
"
        );
        assert_eq!((output.status.code(), out(&output)), (Some(0), expected), "{}", said(&output));
        assert_eq!(aws.invoked(), [(ISOLATE.to_owned(), json!({"mode": "prepare", "vpcs": vpcs}))]);
    }
}

#[test]
fn a_vpc_that_is_not_ready_ends_with_1() {
    let aws = answers(&prepared("ec2:CreateSecurityGroup failed with AccessDenied: \u{1b}[2J<b>"));
    let output = aws.cordon(&["prepare"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let line = format!(
        "{OTHER}  sg-00000000000000003  -                     NOT ready: ec2:CreateSecurityGroup failed with AccessDenied:  [2J‹b›"
    );
    assert!(
        out(&output).lines().any(|found| found == line) && out(&output).ends_with("1 of 2 VPCs are ready\n"),
        "{}",
        out(&output)
    );
    let json = aws.cordon(&["prepare", "--json"]);
    let document: Value = serde_json::from_str(&out(&json)).unwrap();
    assert!(json.status.code() == Some(1) && !out(&json).contains('\u{1b}'), "{}", out(&json));
    assert_eq!((&document["schema"], &document["vpcs"][0]["vpc"]), (&json!("cordon.prepared.v1"), &json!(VPC)));
}

fn problem(kind: &str, subject: &str, advice: &str) -> Value {
    json!({"kind": kind, "subject": subject, "advice": advice})
}

fn swept(problems: &[Value]) -> Value {
    let swept = json!({"vpcs": 2, "groups": 4, "interfaces": 1, "problems": problems});
    serde_json::from_value::<Swept>(swept.clone()).unwrap();
    swept
}

#[test]
fn an_account_in_order_is_said_to_be_and_what_only_costs_time_is_a_note() {
    for arguments in [&["doctor"][..], &["doctor", "--containment"]] {
        let aws = answers(&swept(&[problem("unprepared", VPC, "cordon prepare --vpc it")]));
        let output = aws.cordon(arguments);
        let expected = format!(
            "note    {VPC}: cordon prepare --vpc it
looked at 2 VPCs, 4 groups of ours, 1 interfaces in them and 0 claims
nothing is urgent
"
        );
        assert_eq!((output.status.code(), out(&output)), (Some(0), expected), "{}", said(&output));
        assert_eq!(aws.invoked(), [(ISOLATE.to_owned(), json!({"mode": "sweep"}))]);
    }
}

#[test]
fn what_is_open_or_undone_comes_first_and_ends_with_1() {
    let urgent = ["inConversionGroup", "stuckInterface", "editedGroup", "pathLeftOpen", "unread"];
    for kind in urgent {
        let problems = [problem("unprepared", VPC, "prepare it"), problem(kind, "eni-1\u{1b}[2J", "run `this` <now>")];
        let aws = answers(&swept(&problems));
        let output = aws.cordon(&["doctor", "--containment"]);
        assert_eq!(output.status.code(), Some(1), "{kind}: {}", said(&output));
        assert!(out(&output).starts_with("URGENT  eni-1 [2J: run 'this' ‹now›\nnote  "), "{kind}: {}", out(&output));
        assert!(out(&output).ends_with("1 urgent\n"), "{kind}: {}", out(&output));
        let json = aws.cordon(&["doctor", "--containment", "--json"]);
        let document: Value = serde_json::from_str(&out(&json)).unwrap();
        assert_eq!((json.status.code(), &document["schema"]), (Some(1), &json!("cordon.containment.v1")));
        assert_eq!((&document["urgent"], &document["problems"][0]["kind"]), (&json!(1), &json!(kind)));
        assert!(!out(&json).contains('\u{1b}'), "{}", out(&json));
    }
}

#[test]
fn a_claim_whose_execution_no_longer_runs_is_urgent() {
    let claim = |name: &str| {
        let claim = json!({"caseId": id(name), "executionArn": execution(name), "severity": 8.0});
        serde_json::from_value::<Claim>(claim.clone()).unwrap();
        claim.to_string()
    };
    let key = format!("open/{INSTANCE}.json");
    for (body, status, advice) in [
        (claim("one"), Some("RUNNING"), None),
        (claim("one"), Some("PENDING_REDRIVE"), None),
        (claim("one"), Some("FAILED"), Some(format!("cordon show {}", id("one")))),
        (claim("one"), None, Some("no longer runs".to_owned())),
        ("{".to_owned(), Some("RUNNING"), Some("it cannot be read".to_owned())),
    ] {
        let aws = answers(&swept(&[]));
        aws.put(&key, &body);
        aws.change(|account| account.executions = status.map(|status| (execution("one"), status, 0)).into_iter().collect());
        let output = aws.cordon(&["doctor"]);
        let text = out(&output);
        assert!(text.contains("and 1 claims"), "{}", said(&output));
        match advice {
            None => assert!(output.status.code() == Some(0) && text.contains("nothing is urgent"), "{status:?}: {text}"),
            Some(advice) => {
                let urgent = text.starts_with(&format!("URGENT  {key}: ")) && text.contains(&advice);
                assert!(output.status.code() == Some(1) && urgent, "{status:?}: {text}");
            }
        }
    }
}

#[test]
fn a_function_that_fails_or_says_what_nobody_understands_is_a_failure() {
    let failed = json!({"errorType": "Denied", "errorMessage": "ec2:DescribeVpcs was refused\u{1b}[2J"});
    for (answer, expected) in [
        ((true, failed), "the function failed (Denied): ec2:DescribeVpcs was refused [2J"),
        ((true, json!("what?")), "it said nothing that can be read"),
        ((false, json!({"other": 1})), "the function failed (its result)"),
    ] {
        let aws = Aws::new();
        aws.change(|account| account.answer = Some(answer));
        for command in ["prepare", "doctor"] {
            let output = aws.cordon(&[command]);
            assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{command}: {}", said(&output));
            assert!(err(&output).contains(expected) && !err(&output).contains('\u{1b}'), "{command}: {}", err(&output));
        }
    }
}

#[test]
fn an_older_deployment_is_to_be_deployed_again() {
    let aws = answers(&swept(&[]));
    aws.change(|account| account.old = true);
    for command in ["prepare", "doctor"] {
        let output = aws.cordon(&[command]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(err(&output).contains("older than this command") && err(&output).contains("deploy"), "{}", err(&output));
        assert_eq!(aws.invoked(), []);
    }
}
