//! Asking: what people are told, and which token is kept.

use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::{CASE, EXECUTION, INSTANCE, ask, resending, run, world};

#[tokio::test]
async fn people_are_asked_with_what_is_missing_and_the_exact_commands() {
    let aws = world();
    let missing = json!([{"item": "memory", "reason": "there is no path"}, {"item": "snapshot:vol-1", "reason": "it's gone"}]);
    run(&aws, &ask(2, &missing)).await.unwrap();
    let outer: Value = serde_json::from_str(&aws.calls_of("sns:Publish")[0].params["Message"]).unwrap();
    let expected = format!(
        "Cordon: {INSTANCE}: may it be terminated?\n\n\
         Proposed: TERMINATE {INSTANCE} for good. 2 different people must approve until 2026-11-25 05:00 UTC; silence means that it stays in quarantine.\n\
         Its evidence is NOT complete: who approves does without what is missing, by name.\n\n\
         Missing from the evidence:\n- memory: there is no path\n- snapshot:vol-1: it's gone\n\n\
         Finding: UnauthorizedAccess:EC2/TorClient (severity 8): Tor \u{2039}b\u{203a} [31m\n\n\
         Look first:\n  cordon show {CASE}\n  cordon verify {CASE}\nThen answer, within your own AWS session:\n\
         \u{20} cordon approve {CASE} --waive memory --waive snapshot:vol-1 --because 'why it can be done without'\n\
         \u{20} cordon deny {CASE} --because 'why'\n\n\
         Case: {CASE}\nTarget account and Region: 111122223333 eu-central-1\n\
         Execution: https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1#/v2/executions/details/{EXECUTION}\n"
    );
    assert_eq!(outer["email"].as_str().unwrap(), expected);
    assert!(!aws.calls_of("sns:Publish")[0].body.contains("the-token"), "the token is nobody's to read");
    let records: Vec<String> = aws.keys().into_iter().filter(|key| key.contains("/records/")).collect();
    assert_eq!(records.len(), 1, "that people were asked belongs to the case: {records:?}");
    assert!(!String::from_utf8(aws.object(&records[0]).unwrap()).unwrap().contains("the-token"));
}

#[tokio::test]
async fn a_newer_token_replaces_an_older_one_and_never_the_other_way_round() {
    let aws = world();
    let token =
        || serde_json::from_slice::<Value>(&aws.object(&format!("permission/{CASE}.json")).unwrap()).unwrap()["token"].clone();
    for (retry, given, kept) in [(0, "first", "first"), (2, "third", "third"), (1, "second", "third")] {
        let mut input = ask(1, &json!([]));
        input["token"] = json!(given);
        input["visit"]["retry"] = json!(retry);
        run(&aws, &input).await.unwrap();
        assert_eq!(token(), kept, "after {given}");
    }
}

#[tokio::test]
async fn a_question_that_reaches_nobody_fails_so_that_it_is_asked_again() {
    for (status, code, fault) in [(500, "InternalError", Fault::Transient), (403, "AuthorizationError", Fault::Denied)] {
        let error = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
        let aws = world();
        aws.set("sns:Publish", Answer::xml(error).status(status));
        assert_eq!(run(&aws, &ask(1, &json!([]))).await.unwrap_err().fault(), fault, "{code}");
    }
    let mut quarantine = ask(1, &json!([]));
    quarantine["plan"]["disposition"] = json!({"decision": "quarantine", "reason": "text"});
    let aws = world();
    assert_eq!(run(&aws, &quarantine).await.unwrap_err().fault(), Fault::Refused);
    assert_eq!(aws.mutations().len(), 0);
}

#[tokio::test]
async fn a_question_that_is_asked_twice_is_recorded_once_and_a_lost_answer_of_s3_does_not_matter() {
    let aws = world();
    aws.push("s3:PutObject", Answer::bucket_then_lost());
    resending(&aws, &ask(1, &json!([]))).await.unwrap();
    run(&aws, &ask(1, &json!([]))).await.unwrap();
    assert_eq!(aws.count("sns:Publish"), 2, "that people know is more important than that they know it once");
    assert_eq!(aws.keys().into_iter().filter(|key| key.contains("-AskPermission-")).count(), 1);
}

#[tokio::test]
async fn people_who_were_told_stay_told_where_that_cannot_be_recorded() {
    let aws = world();
    aws.set_fn("s3:PutObject", |call| match call.key.as_deref() {
        Some(key) if key.starts_with("cases/") => Answer::s3_error(403, "AccessDenied", "no"),
        _ => Answer::bucket(),
    });
    run(&aws, &ask(1, &json!([]))).await.unwrap();
    assert_eq!(aws.count("sns:Publish"), 1);
}
