//! Asking and answering against the real SDK clients, with a bucket in memory and an STS that knows who signed.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use handler::Store;
use incident::permission::{PROOF_BODY, Proof, Statement};
use incident::text::sha256;
use incident::{Classify as _, Fault};
use permission::{Clients, Error, Input, Settings, handle};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

const INSTANCE: &str = "i-0abc1234def567890";
const CASE: &str = "i-0abc1234def567890-0123456789ab";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
const HOST: &str = "sts.eu-central-1.amazonaws.com";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const BOB: &str = "arn:aws:iam::111122223333:user/bob";

fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        sts: aws_sdk_sts::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        sns: aws_sdk_sns::Client::new(&config),
        store: Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        settings: Settings {
            topic: "arn:aws:sns:eu-central-1:111122223333:cordon".to_owned(),
            sts_host: HOST.to_owned(),
            own_role_prefix: "cordon-".to_owned(),
        },
    }
}

async fn run(aws: &Stub, input: &Value) -> Result<Value, Error> {
    let input: Input = serde_json::from_value(input.clone()).unwrap();
    handle(&clients(aws), input).await
}

fn manifest() -> String {
    "a".repeat(64)
}

fn ask(persons: u8, missing: &Value) -> Value {
    json!({"mode": "ask", "token": "the-token", "visit": {"execution": EXECUTION, "state": "AskPermission", "entered": "2026-11-24T05:00:00Z", "retry": 0},
        "plan": {"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "guardDuty", "id": "f1", "type": "UnauthorizedAccess:EC2/TorClient", "title": "Tor <b>\u{1b}[31m", "severity": 8.0,
                "account": "111122223333", "region": "eu-central-1"},
            "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running", "interfaces": [], "volumes": [],
                "profile": null, "spot": false, "windows": false},
            "policy": {"from": "parameter", "name": "/cordon/policy", "version": 3}, "cut": {"decision": "now"},
            "memory": {"decision": "skip", "because": "policy", "reason": "text"}, "credentials": {"decision": "deny"},
            "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "ask", "persons": persons, "waitSeconds": 86_400, "protectedTags": []},
            "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []},
        "sealed": {"manifest": {"key": format!("cases/{CASE}/manifest-evidence.json"), "versionId": "v1", "sha256": manifest(), "size": 10},
            "complete": missing.as_array().unwrap().is_empty(), "missing": missing}})
}

/// STS as it answers whoever signed: the proof's date stands for the person, `forged` for nobody.
fn sts(call: &Call) -> Answer {
    let token = call.headers.get("x-amz-security-token").cloned().unwrap_or_default();
    if token == "forged" {
        return Answer::xml("<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error></ErrorResponse>".to_owned())
            .status(403);
    }
    let account = token.split(':').nth(4).unwrap_or_default().to_owned();
    Answer::xml(format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{token}</Arn><UserId>U</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    ))
}

/// AWS where nobody has claimed the target.
fn unclaimed() -> Stub {
    Stub::new()
        .on(
            "sns:Publish",
            Answer::xml(
                "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>".to_owned(),
            ),
        )
        .on_fn("sts:GetCallerIdentity", sts)
        .on("states:SendTaskSuccess", Answer::json(json!({})))
}

fn world() -> Stub {
    let aws = unclaimed();
    let claim = json!({"caseId": CASE, "executionArn": EXECUTION, "severity": 8.0, "closing": false});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
    aws
}

/// A case that asks so many people.
async fn asking(persons: u8, missing: &Value) -> Stub {
    let aws = world();
    run(&aws, &ask(persons, missing)).await.unwrap();
    aws.forget_calls();
    aws
}

fn statement(changed: &Value) -> Value {
    let mut all = json!({"schema": "cordon.statement.v1", "caseId": CASE, "manifest": manifest(), "decision": "approve", "waive": [], "because": ""});
    for (name, value) in changed.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

/// An answer that the stub's STS takes for one of `arn`.
fn answer(arn: &str, changed: &Value) -> Value {
    let names =
        "content-type;host;x-amz-date;x-amz-security-token;x-cordon-case;x-cordon-decision;x-cordon-manifest;x-cordon-statement";
    let scope = "AKIA/20261124/eu-central-1/sts/aws4_request";
    let proof = Proof {
        host: HOST.to_owned(),
        date: "20261124T060000Z".to_owned(),
        authorization: format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={}", "0".repeat(64)),
        security_token: Some(arn.to_owned()),
    };
    json!({"mode": "answer", "statement": statement(changed).to_string(), "proof": proof})
}

fn woken(aws: &Stub) -> Vec<Value> {
    let output = |call: &Call| serde_json::from_str(call.json()["output"].as_str().unwrap()).unwrap();
    aws.calls_of("states:SendTaskSuccess").iter().map(output).collect()
}

fn told(aws: &Stub) -> Vec<Value> {
    let document = |call: &Call| {
        let outer: Value = serde_json::from_str(&call.params["Message"]).unwrap();
        serde_json::from_str(outer["default"].as_str().unwrap()).unwrap()
    };
    aws.calls_of("sns:Publish").iter().map(document).collect()
}

fn approvals(aws: &Stub) -> Vec<String> {
    let folder = format!("cases/{CASE}/approvals/");
    aws.keys().into_iter().filter_map(|key| key.strip_prefix(&folder).map(str::to_owned)).collect()
}

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
        let mut input = answer(ALICE, &waive("memory"));
        let signed =
            input["proof"]["authorization"].as_str().unwrap().replace(&format!("{name};"), "").replace(&format!(";{name}"), "");
        input["proof"]["authorization"] = json!(signed);
        input
    };
    let instance = "arn:aws:sts::111122223333:assumed-role/web/i-0abc1234def567890";
    let own = "arn:aws:sts::111122223333:assumed-role/cordon-SealFunctionRole-X/cordon-seal";
    for (what, input, says) in [
        ("another manifest", answer(ALICE, &json!({"manifest": "b".repeat(64)})), "another evidence manifest"),
        ("forged", answer("forged", &waive("memory")), "SignatureDoesNotMatch"),
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
        assert_eq!(told(&aws)[0]["kind"], "refusedAnswer", "{what}");
    }
}

#[tokio::test]
async fn a_case_that_does_not_ask_any_more_takes_no_answer_and_stays_as_it_is() {
    for closing in [true, false] {
        let asked = asking(1, &json!([])).await;
        let fresh = unclaimed();
        for key in asked.keys().into_iter().filter(|key| !key.starts_with("open/")) {
            fresh.put_object(&key, asked.object(&key).unwrap());
        }
        if closing {
            let claim = json!({"caseId": CASE, "executionArn": EXECUTION, "severity": 8.0, "closing": true});
            fresh.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
        }
        let before = fresh.keys();
        let error = run(&fresh, &answer(ALICE, &json!({}))).await.unwrap_err();
        assert!(error.fault() == Fault::Refused && error.to_string().contains("does not ask"), "{error}");
        assert_eq!((fresh.keys(), told(&fresh).len()), (before, 1), "a closed case must not change");
    }
    let aws = world();
    assert_eq!(run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err().fault(), Fault::Refused);
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

#[tokio::test]
async fn the_same_answer_again_goes_on_where_the_first_attempt_ended_and_another_one_does_not_count() {
    let aws = asking(1, &json!([])).await;
    aws.push("states:SendTaskSuccess", Answer::json_error(400, "ThrottlingException", "slow down"));
    assert_eq!(run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err().fault(), Fault::Transient);
    let again = run(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    assert_eq!((again["status"].as_str(), again["repeated"].as_bool()), (Some("approved"), Some(true)));
    assert_eq!(approvals(&aws).len(), 1);
    let other = run(&aws, &answer(ALICE, &json!({"because": "other words"}))).await.unwrap_err();
    assert!(other.to_string().contains("first answer stands"), "{other}");
}

#[tokio::test]
async fn an_execution_that_waits_no_more_is_not_said_to_be_woken() {
    for code in ["TaskTimedOut", "TaskDoesNotExist"] {
        let aws = asking(1, &json!([])).await;
        aws.set("states:SendTaskSuccess", Answer::json_error(400, code, "no"));
        let error = run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err();
        assert!(error.fault() == Fault::Refused && error.to_string().contains("does not wait"), "{error}");
    }
}

#[test]
fn a_statement_is_signed_as_it_is_sent() {
    let parsed: Statement = serde_json::from_value(statement(&json!({}))).unwrap();
    assert_eq!(parsed.headers()[3].1, sha256(&parsed.bytes()));
}
