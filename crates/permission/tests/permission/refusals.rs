//! Answers that do not count.

use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::{
    ALICE, BOB, CASE, INSTANCE, answer, approvals, asking, claim, run, signed, statement, told, unclaimed, woken, world,
};

const OTHER_CASE: &str = "i-0abc1234def567890-ba9876543210";

#[tokio::test]
async fn what_does_not_count_is_refused_recorded_and_told() {
    let missing = json!([{"item": "memory", "reason": "no path"}]);
    let waive = |item: &str| json!({"waive": [{"item": item, "because": "why"}]});
    let with = |change: &dyn Fn(&mut Value)| {
        let mut input = answer(ALICE, &waive("memory"));
        change(&mut input);
        input
    };
    let unbound = |name: &str| {
        with(&|input| {
            let all = input["proof"]["authorization"].as_str().unwrap();
            input["proof"]["authorization"] = json!(all.replace(&format!("{name};"), "").replace(&format!(";{name}"), ""));
        })
    };
    // A proof of Alice's own, made for something else that she said.
    let replayed = |changed: &Value| {
        let mut said = statement(&waive("memory"));
        for (name, value) in changed.as_object().unwrap() {
            said[name] = value.clone();
        }
        with(&|input| input["proof"] = signed(Some(ALICE), &said)["proof"].clone())
    };
    let forged = |input: &mut Value| {
        let (all, _) = input["proof"]["authorization"].as_str().unwrap().rsplit_once('=').unwrap();
        input["proof"]["authorization"] = json!(format!("{all}={}", "0".repeat(64)));
    };
    let more = |input: &mut Value| {
        let all = input["proof"]["authorization"].as_str().unwrap();
        input["proof"]["authorization"] = json!(all.replace(";x-cordon-statement", ";x-cordon-statement;x-evil"));
    };
    let instance = "arn:aws:sts::111122223333:assumed-role/web/i-0abc1234def567890";
    let own = "arn:aws:sts::111122223333:assumed-role/cordon-SealFunctionRole-X/cordon-seal";
    for (what, input, says) in [
        ("another manifest", answer(ALICE, &json!({"manifest": "b".repeat(64)})), "another evidence manifest"),
        ("forged", with(&forged), "SignatureDoesNotMatch"),
        ("replayed for another case", replayed(&json!({"caseId": OTHER_CASE})), "SignatureDoesNotMatch"),
        ("replayed for another manifest", replayed(&json!({"manifest": "b".repeat(64)})), "SignatureDoesNotMatch"),
        ("a denial replayed as an approval", replayed(&json!({"decision": "deny"})), "SignatureDoesNotMatch"),
        ("replayed with more waived", replayed(&json!({"waive": []})), "SignatureDoesNotMatch"),
        ("another's token", with(&|input| input["proof"]["securityToken"] = json!(BOB)), "SignatureDoesNotMatch"),
        ("another date", with(&|input| input["proof"]["date"] = json!("20261124T070000Z")), "SignatureDoesNotMatch"),
        ("more is signed", with(&more), "`x-evil` is signed"),
        ("no signature", with(&|input| input["proof"]["authorization"] = json!("Bearer x")), "no AWS Signature"),
        ("another host", with(&|input| input["proof"]["host"] = json!("sts.us-east-1.amazonaws.com")), "signed for the host"),
        ("unbound case", unbound("x-cordon-case"), "x-cordon-case"),
        ("unbound decision", unbound("x-cordon-decision"), "x-cordon-decision"),
        ("unbound manifest", unbound("x-cordon-manifest"), "x-cordon-manifest"),
        ("unbound statement", unbound("x-cordon-statement"), "x-cordon-statement"),
        ("another account", answer("arn:aws:iam::999900001111:user/alice", &waive("memory")), "not of the target's account"),
        ("an instance", answer(instance, &waive("memory")), "a machine decides nothing"),
        ("a role of ours", answer(own, &waive("memory")), "Cordon's own"),
        ("not waived", answer(ALICE, &json!({})), "`memory`"),
        (
            "waived and not missing",
            answer(ALICE, &json!({"waive": [{"item": "memory", "because": "w"}, {"item": "disk", "because": "w"}]})),
            "`disk`",
        ),
    ] {
        let aws = asking(1, &missing).await;
        let error = run(&aws, &input).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Refused, "{what}: {error}");
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert_eq!((approvals(&aws).len(), woken(&aws).len()), (0, 0), "{what}");
        let records: Vec<String> = aws.keys().into_iter().filter(|key| key.contains("-Permission-")).collect();
        assert_eq!(records.len(), 1, "{what}: it belongs to the case");
        let record = String::from_utf8(aws.object(&records[0]).unwrap()).unwrap();
        assert!(record.contains("refusedAnswer") && !record.contains("Signature="), "{what}: {record}");
        assert_eq!((told(&aws).len(), told(&aws)[0]["kind"].as_str()), (1, Some("refusedAnswer")), "{what}");
    }
}

#[tokio::test]
async fn whatever_sts_has_against_a_proof_is_said_with_its_code() {
    for (status, code) in [
        (403, "SignatureDoesNotMatch"),
        (403, "InvalidClientTokenId"),
        (403, "ExpiredToken"),
        (403, "AccessDenied"),
        (403, "MissingAuthenticationToken"),
        (400, "RequestExpired"),
        (400, "IncompleteSignature"),
        (400, "SomethingNew"),
    ] {
        let aws = asking(1, &json!([])).await;
        aws.push("sts:GetCallerIdentity", Answer::query_error(status, code, "no"));
        let error = run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err();
        assert!(error.fault() == Fault::Refused && error.to_string().contains(code), "{error}");
        assert_eq!((approvals(&aws).len(), woken(&aws).len(), told(&aws).len()), (0, 0, 1), "{code}");
    }
}

#[tokio::test]
async fn who_answers_hears_of_a_refusal_even_where_nobody_else_can() {
    for (action, failure) in [
        ("sns:Publish", Answer::query_error(403, "AuthorizationError", "no")),
        ("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no")),
    ] {
        let aws = asking(1, &json!([])).await;
        aws.push(action, failure);
        let error = run(&aws, &answer(ALICE, &json!({"manifest": "b".repeat(64)}))).await.unwrap_err();
        assert!(error.to_string().contains("another evidence manifest"), "{action}: {error}");
        assert_eq!(aws.count("sns:Publish"), 1, "{action}");
    }
}

/// What happens to a case that asked, and its name.
type Change = (&'static str, fn(&Stub));

#[tokio::test]
async fn a_case_that_does_not_ask_any_more_takes_no_answer_and_stays_as_it_is() {
    let changes: [Change; 3] = [
        ("it is being closed", |aws| claim(aws, CASE, true)),
        ("it is closed", |_| ()),
        ("it is closed, and there is a later case of the target", |aws| {
            claim(aws, OTHER_CASE, false);
            aws.put_object(&format!("cases/{CASE}/manifest-closing.json"), "{}");
        }),
    ];
    for (what, change) in changes {
        let (asked, aws) = (asking(1, &json!([])).await, unclaimed());
        for key in asked.keys().into_iter().filter(|key| !key.starts_with("open/")) {
            aws.put_object(&key, asked.object(&key).unwrap());
        }
        change(&aws);
        let before = aws.keys();
        for input in [answer(ALICE, &json!({})), answer(ALICE, &json!({"manifest": "b".repeat(64)}))] {
            let error = run(&aws, &input).await.unwrap_err();
            assert!(error.fault() == Fault::Refused && error.to_string().contains("does not ask"), "{what}: {error}");
        }
        assert_eq!((aws.keys(), told(&aws).len()), (before, 2), "{what}: a closed case must not change");
    }
    let aws = world();
    assert_eq!(run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err().fault(), Fault::Refused);
    assert_eq!(aws.keys(), [format!("open/{INSTANCE}.json")], "a case that never asked is none of ours to write into");
}

#[tokio::test]
async fn an_open_case_whose_target_another_case_claims_takes_answers_and_leaves_the_rest_to_the_guard() {
    let aws = asking(1, &json!([])).await;
    claim(&aws, OTHER_CASE, false);
    assert_eq!(run(&aws, &answer(ALICE, &json!({}))).await.unwrap()["status"], "approved");
}

#[tokio::test]
async fn a_statement_that_cannot_be_read_is_invalid_and_names_the_field() {
    let aws = asking(1, &json!([])).await;
    let broken = |text: &str| {
        let mut input = answer(ALICE, &json!({}));
        input["statement"] = json!(text);
        input
    };
    let more = statement(&json!({"extra": 1})).to_string();
    for (text, names) in
        [("", "statement"), ("{}", "schema"), (more.as_str(), "extra"), (&" ".repeat(300_000), "longer"), ("[]", "statement")]
    {
        let error = run(&aws, &broken(text)).await.unwrap_err();
        assert!(error.fault() == Fault::Invalid && error.to_string().contains(names), "{error}");
    }
    let error = run(&aws, &answer(ALICE, &json!({"decision": "deny"}))).await.unwrap_err();
    assert!(error.fault() == Fault::Invalid && error.to_string().contains("because"), "{error}");
    assert_eq!(aws.count("sts:GetCallerIdentity"), 0);
}
