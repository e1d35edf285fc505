//! What is left to do and to say after an execution that died.

use incident::manifest::ClosingManifest;
use incident::{Classify, ExecutionArn, Fault};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

/// `world` with the two functions; the payloads that they got are on record.
fn with_functions() -> Stub {
    let closed_door = containment("contained").to_string();
    world().on_fn("lambda:Invoke", move |call| {
        if call.path.contains("close-door") {
            Answer::bytes(200, closed_door.clone())
        } else {
            Answer::bytes(200, "{\"told\":true}")
        }
    })
}

#[tokio::test]
async fn the_last_word_closes_the_door_closes_the_case_and_tells() {
    let aws = with_functions();
    let event = ended(&json!(json!({"instanceId": INSTANCE}).to_string()));
    assert_eq!(run(&aws, &event).await.unwrap(), json!({"spoke": true}));
    assert_whole(&aws);
    let modes: Vec<Value> = aws.calls_of("lambda:Invoke").iter().map(|call| call.json()["mode"].clone()).collect();
    assert_eq!(modes, ["close-door", "failed"]);
    let told = aws.calls_of("lambda:Invoke")[1].json();
    assert!(
        told["sealed"].is_object() && told["closed"]["manifest"].is_object() && told["containment"]["status"] == "contained",
        "{told}"
    );
    for step in ["memory", "lockdown", "denial", "context"] {
        assert!(told[step].is_null(), "a run that died before {step} said nothing of it: {told}");
    }
    let closing: ClosingManifest = read(&aws, "manifest-closing.json");
    for said in ["memory: the run broke", "lockdown: the run broke", "credentials"] {
        assert!(closing.reasons.iter().any(|reason| reason.contains(said)), "{said}: {:?}", closing.reasons);
    }

    aws.put_object(&incident::case::told(&ExecutionArn::parse(EXECUTION).unwrap()), "{}");
    aws.forget_calls();
    assert_eq!(run(&aws, &event).await.unwrap(), json!({"spoke": false}));
    assert!(aws.mutations().is_empty(), "{:?}", aws.actions());
}

#[tokio::test]
async fn what_the_run_sealed_before_it_died_is_in_the_report_and_told() {
    let aws = with_functions();
    run(&aws, &evidence()).await.unwrap();
    run(&aws, &ended(&json!(json!({"instanceId": INSTANCE}).to_string()))).await.unwrap();
    let told = aws.calls_of("lambda:Invoke")[1].json();
    let report: Value = read(&aws, "report.json");
    for known in [told, report] {
        let steps = ["memory", "lockdown", "denial", "context"];
        let statuses = steps.map(|step| known[step]["status"].as_str().unwrap_or_default());
        assert_eq!(statuses, ["captured", "lockedDown", "denied", "collected"], "{known}");
    }
}

#[tokio::test]
async fn the_last_word_speaks_of_garbage_and_asks_for_an_input_that_was_too_large() {
    for input in [json!("not json"), json!("[[{\"instanceId\": \"../../x\"}]]")] {
        let aws = Stub::new().on("lambda:Invoke", Answer::bytes(200, "{}"));
        assert_eq!(run(&aws, &ended(&input)).await.unwrap(), json!({"spoke": true}));
        let told = aws.calls_of("lambda:Invoke")[0].json();
        assert!(
            told["plan"].is_null() && told["failure"]["error"] == "ABORTED" && told["visit"]["execution"] == EXECUTION,
            "{told}"
        );
        aws.put_object(&incident::case::told(&ExecutionArn::parse(EXECUTION).unwrap()), "{}");
        assert_eq!(
            run(&aws, &ended(&input)).await.unwrap(),
            json!({"spoke": false}),
            "what the run told itself is not told again"
        );
    }
    let aws = with_functions();
    aws.set(
        "states:DescribeExecution",
        Answer::json(json!({"executionArn": EXECUTION, "stateMachineArn": "x", "status": "ABORTED",
        "startDate": 1_795_491_000, "input": json!({"instanceId": INSTANCE}).to_string()})),
    );
    run(&aws, &ended(&Value::Null)).await.unwrap();
    assert_whole(&aws);
}

#[tokio::test]
async fn the_last_word_tells_though_all_else_fails_and_fails_only_if_nobody_was_told() {
    let aws = with_functions().on("kms:Sign", Answer::json_error(400, "AccessDeniedException", "no"));
    aws.push("lambda:Invoke", Answer::bytes(200, "{}").header("x-amz-function-error", "Unhandled"));
    let event = ended(&json!(json!({"instanceId": INSTANCE}).to_string()));
    assert_eq!(run(&aws, &event).await.unwrap(), json!({"spoke": true}));
    let aws = with_functions();
    aws.set("lambda:Invoke", Answer::bytes(200, "{}").header("x-amz-function-error", "Unhandled"));
    assert_eq!(run(&aws, &event).await.unwrap_err().fault(), Fault::Transient);
}
