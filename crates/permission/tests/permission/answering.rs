//! Answers that count.

use incident::permission::{PROOF_BODY, Statement};
use incident::text::sha256;
use serde_json::{Value, json};

use crate::support::{ALICE, BOB, CASE, HOST, answer, approvals, asking, manifest, run, signed, statement, told, woken};

#[tokio::test]
async fn one_person_approves_and_the_execution_is_woken() {
    let aws = asking(1, &json!([])).await;
    let taken = run(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    assert_eq!(
        taken,
        json!({"status": "approved", "case": CASE, "person": "111122223333/user/alice", "arn": ALICE, "approvals": 1, "needed": 1, "repeated": false})
    );
    let output = &woken(&aws)[0];
    assert_eq!(
        (output["status"].as_str(), output["answers"][0]["person"].as_str()),
        (Some("approved"), Some("111122223333/user/alice"))
    );
    assert_eq!(aws.calls_of("states:SendTaskSuccess")[0].json()["taskToken"], "the-token");
    let order = aws.actions();
    let at = |action: &str| order.iter().rposition(|known| known == action);
    assert!(at("s3:PutObject") < at("states:SendTaskSuccess"), "what wakes it must be durable first: {order:?}");
}

#[tokio::test]
async fn sts_gets_the_request_that_was_signed_and_nothing_of_the_functions_own() {
    let aws = asking(1, &json!([])).await;
    run(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    let call = &aws.calls_of("sts:GetCallerIdentity")[0];
    assert_eq!((call.method.as_str(), call.path.as_str(), call.body.as_str()), ("POST", "/", PROOF_BODY));
    let said = statement(&json!({})).to_string();
    let mut expected: Vec<(&str, String)> = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("host", HOST.to_owned()),
        ("x-amz-date", "20261124T060000Z".to_owned()),
        ("x-amz-security-token", ALICE.to_owned()),
        ("x-cordon-case", CASE.to_owned()),
        ("x-cordon-decision", "approve".to_owned()),
        ("x-cordon-manifest", manifest()),
        ("x-cordon-statement", sha256(said.as_bytes())),
    ];
    let sent: Vec<(&str, String)> = call
        .headers
        .iter()
        .filter(|(name, _)| *name != "authorization" && *name != "content-length")
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    expected.sort();
    assert_eq!(sent, expected);
    assert!(call.headers["authorization"].contains("Credential=AKIA/20261124/"), "{:?}", call.headers);
}

#[tokio::test]
async fn two_people_are_two_and_one_role_is_one() {
    let role = |session: &str| format!("arn:aws:sts::111122223333:assumed-role/Responder/{session}");
    let sso = |user: &str| format!("arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_DFIR_0123456789abcdef/{user}");
    for (first, second, status) in [
        (ALICE.to_owned(), BOB.to_owned(), "approved"),
        (ALICE.to_owned(), ALICE.to_owned(), "waiting"),
        (role("alice"), role("bob"), "waiting"),
        (sso("alice@example.org"), sso("bob@example.org"), "approved"),
    ] {
        let aws = asking(2, &json!([])).await;
        assert_eq!(run(&aws, &answer(&first, &json!({}))).await.unwrap()["status"], "waiting");
        assert_eq!(woken(&aws), [Value::Null; 0]);
        assert_eq!(run(&aws, &answer(&second, &json!({}))).await.unwrap()["status"], status, "{first} {second}");
        assert_eq!(woken(&aws).len(), usize::from(status == "approved"));
    }
}

#[tokio::test]
async fn a_denial_ends_the_question_whoever_approved() {
    let aws = asking(2, &json!([])).await;
    run(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    let taken = run(&aws, &answer(BOB, &json!({"decision": "deny", "because": "not yet"}))).await.unwrap();
    assert_eq!((taken["status"].as_str(), woken(&aws)[0]["status"].as_str()), (Some("denied"), Some("denied")));
    assert_eq!(approvals(&aws).len(), 2);
}

#[test]
fn a_statement_is_signed_as_it_is_sent() {
    let parsed: Statement = serde_json::from_value(statement(&json!({}))).unwrap();
    assert_eq!(parsed.headers()[3].1, sha256(&parsed.bytes()));
}

#[tokio::test]
async fn what_is_missing_and_waived_by_name_may_be_done_without() {
    let aws = asking(1, &json!([{"item": "memory", "reason": "no path"}, {"item": "snapshot:vol-1", "reason": "gone"}])).await;
    let waive = json!({"waive": [{"item": "snapshot:vol-1", "because": "a cache"}, {"item": "memory", "because": "known"}]});
    assert_eq!(run(&aws, &answer(ALICE, &waive)).await.unwrap()["status"], "approved");
    let kept: Value =
        serde_json::from_slice(&aws.object(&format!("cases/{CASE}/approvals/{}", approvals(&aws)[0])).unwrap()).unwrap();
    assert_eq!(kept["statement"], statement(&waive), "the guard reads what was waived, and why");
    assert_eq!((told(&aws).len(), kept["signedAt"].as_str()), (0, Some("20261124T060000Z")));
}

#[tokio::test]
async fn a_user_with_a_key_has_no_token_and_signs_none() {
    let aws = asking(1, &json!([])).await;
    let taken = run(&aws, &signed(None, &statement(&json!({})))).await.unwrap();
    assert_eq!((taken["status"].as_str(), taken["arn"].as_str()), (Some("approved"), Some(BOB)));
    assert!(!aws.calls_of("sts:GetCallerIdentity")[0].headers.contains_key("x-amz-security-token"));
}
