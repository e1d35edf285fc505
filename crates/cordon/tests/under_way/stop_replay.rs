//! `cordon stop` and `cordon replay`.

use incident::case;
use serde_json::{Value, json};

use crate::aws::{Account, Aws, STARTED};
use crate::{EXECUTION, INSTANCE, RELEASED, closing, id, out, plan, release_plan, said};

fn closes(account: &mut Account) {
    account.put(case::CLOSING_MANIFEST, &closing(&["Execution failed with Stopped: ABORTED: why\u{1b}[2J"]));
    account.put(case::CLOSING_SIGNATURE, &json!("signature"));
}

fn calls(aws: &Aws) -> Vec<(String, Value)> {
    aws.with(|account| account.calls.clone())
}

fn claim(execution: &str) -> Value {
    json!({"caseId": id(), "executionArn": execution, "severity": 8.0})
}

#[test]
fn a_stopped_case_is_closed_by_the_last_word() {
    for planned in [true, false] {
        let aws = Aws::new();
        // Where triage broke there is no plan, and the claim tells.
        aws.with(|account| {
            if planned {
                account.put(case::PLAN, &plan());
            } else {
                account.put_key(&format!("open/{INSTANCE}.json"), &claim(EXECUTION));
            }
        });
        aws.when_stopped(closes);
        let output = aws.cordon(&["stop", id().as_str(), "--because", "it is\n a drill"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let expected = format!(
            "stopped {EXECUTION}
the target stays as contained as it is; the last word closes what is open, then the case, and tells people
the case {} is closed by LastWord, not as planned, since it was stopped
  - Execution failed with Stopped: ABORTED: why [2J
",
            id()
        );
        assert_eq!(out(&output), expected);
        let stop = json!({"executionArn": EXECUTION, "error": "Stopped", "cause": "it is  a drill"});
        assert_eq!(calls(&aws), [("AWSStepFunctions.StopExecution".to_owned(), stop)], "and nothing else is touched");
    }
}

#[test]
fn stop_says_the_same_for_programs() {
    let aws = Aws::new();
    aws.put(case::PLAN, &plan());
    aws.when_stopped(closes);
    let output = aws.cordon(&["--json", "stop", id().as_str(), "--because", &"x".repeat(2_000)]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let said: Value = serde_json::from_str(&out(&output)).unwrap();
    let told = json!({"schema": "cordon.stop.v1", "caseId": id(), "executionArn": EXECUTION, "closed": true, "closedBy": "LastWord",
        "asPlanned": false, "reasons": ["Execution failed with Stopped: ABORTED: why\u{1b}[2J"]});
    assert_eq!(said, told);
    assert_eq!(calls(&aws)[0].1["cause"].as_str().unwrap().chars().count(), 1_000, "the cause is bounded");
}

#[test]
fn what_does_not_run_is_not_stopped() {
    let planned = |status: &'static str| {
        let aws = Aws::new();
        aws.put(case::PLAN, &plan());
        aws.with(|account| account.status = status);
        aws
    };
    let foreign = Aws::new();
    foreign.with(|account| {
        // The case's documents name another case's execution.
        let other = EXECUTION.replace(":one", ":other");
        let mut plan = plan();
        plan["execution"] = json!(other);
        account.put(case::PLAN, &plan);
        account.put_key(&format!("open/{INSTANCE}.json"), &claim(&other));
    });
    for (aws, because, code, expected) in [
        (planned("SUCCEEDED"), "why", 1, "is through, so that there is nothing to stop"),
        (planned("ABORTED"), "why", 1, "is stopped already"),
        (planned("RUNNING"), " ", 64, "must say why"),
        (Aws::new(), "why", 1, "there is no object of the case"),
        (foreign, "why", 1, "there is no object of the case"),
    ] {
        let output = aws.cordon(&["stop", id().as_str(), "--because", because]);
        assert!(output.status.code() == Some(code) && said(&output).contains(expected), "{expected}: {}", said(&output));
        assert_eq!(calls(&aws), [], "{expected}");
    }
}

/// A case that is closed.
fn closed() -> Aws {
    let aws = Aws::new();
    aws.put(case::PLAN, &plan());
    aws.with(|account| {
        closes(account);
        account.put(case::FINDING, &json!({"from": "the case file"}));
        account.status = "SUCCEEDED";
        account.input = Some(json!({"from": "Step Functions"}).to_string());
    });
    aws
}

#[test]
fn a_replay_starts_with_what_the_first_execution_was_given() {
    let forgotten = closed();
    forgotten.with(|account| account.status = "");
    let withheld = closed();
    withheld.with(|account| account.input = None);
    for (aws, from) in [(closed(), "Step Functions"), (forgotten, "the case file"), (withheld, "the case file")] {
        let output = aws.cordon(&["replay", id().as_str()]);
        assert_eq!((output.status.code(), out(&output)), (Some(0), format!("started {STARTED}\n")), "{}", said(&output));
        let started = calls(&aws);
        assert_eq!(started.len(), 1);
        let input: Value = serde_json::from_str(started[0].1["input"].as_str().unwrap()).unwrap();
        assert_eq!(input, json!({"from": from}));
        assert_eq!(started[0].1.get("name"), None, "a name would make it the same execution");
    }
}

#[test]
fn a_replay_can_be_followed_to_its_end() {
    let aws = closed();
    let output = aws.cordon(&["--json", "replay", id().as_str(), "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let end: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((&end["executionArn"], &end["status"]), (&json!(STARTED), &json!("SUCCEEDED")));
}

#[test]
fn a_case_that_runs_or_that_is_not_there_is_not_replayed() {
    let running = closed();
    running.with(|account| account.status = "RUNNING");
    for (aws, expected) in [(running, "is still open"), (Aws::new(), "there is no object of the case")] {
        let output = aws.cordon(&["replay", id().as_str()]);
        assert!(output.status.code() == Some(1) && said(&output).contains(expected), "{expected}: {}", said(&output));
        assert_eq!(calls(&aws), [], "{expected}");
    }
}

#[test]
fn a_release_is_not_replayed_and_it_is_said_how_to_give_back_again() {
    let aws = closed();
    aws.put(case::RELEASE, &release_plan());
    let output = aws.cordon(&["replay", id().as_str()]);
    let expected = format!("cordon release {RELEASED} --reason");
    assert!(output.status.code() == Some(64) && said(&output).contains(&expected), "{}", said(&output));
    assert_eq!(calls(&aws), [], "nothing is started");
}
