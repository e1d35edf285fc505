//! AWS with a case that asks: a bucket in memory, and an STS that takes a signature for what it was made over.

use std::collections::BTreeMap;

use handler::Store;
use incident::permission::{PROOF_BODY, PROOF_CONTENT_TYPE, Proof};
use incident::text::sha256;
use permission::{Clients, Error, Input, Settings, handle};
use serde_json::{Value, json};
use stub::{Answer, Call, Stub};

pub(crate) const INSTANCE: &str = "i-0abc1234def567890";
pub(crate) const CASE: &str = "i-0abc1234def567890-0123456789ab";
pub(crate) const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
pub(crate) const HOST: &str = "sts.eu-central-1.amazonaws.com";
/// Has a session, whose token is her ARN: what stands for the secret.
pub(crate) const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
/// Has a key.
pub(crate) const BOB: &str = "arn:aws:iam::111122223333:user/bob";

pub(crate) async fn run(aws: &Stub, input: &Value) -> Result<Value, Error> {
    sending(aws, 1, input).await
}

/// With the SDK's own retries.
pub(crate) async fn resending(aws: &Stub, input: &Value) -> Result<Value, Error> {
    sending(aws, 3, input).await
}

async fn sending(aws: &Stub, attempts: u32, input: &Value) -> Result<Value, Error> {
    let config = aws.resending(attempts);
    let clients = Clients {
        sts: aws_sdk_sts::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        sns: aws_sdk_sns::Client::new(&config),
        store: Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        settings: Settings {
            topic: "arn:aws:sns:eu-central-1:111122223333:cordon".to_owned(),
            sts_host: HOST.to_owned(),
            own_role_prefix: "cordon-".to_owned(),
        },
    };
    let input: Input = serde_json::from_value(input.clone()).unwrap();
    handle(&clients, input).await
}

pub(crate) fn manifest() -> String {
    "a".repeat(64)
}

pub(crate) fn ask(persons: u8, missing: &Value) -> Value {
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

/// STS as it answers whoever signed. A signature is over the signed headers as they came and the body, so that one that was
/// made for anything else does not hold.
fn sts(call: &Call) -> Answer {
    let authorization = call.headers.get("authorization").cloned().unwrap_or_default();
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap_or_default().to_owned()
    };
    if field("Signature") != signature(&call.headers, &field("SignedHeaders"), &call.body) {
        return Answer::query_error(403, "SignatureDoesNotMatch", "no");
    }
    let arn = call.headers.get("x-amz-security-token").map_or(BOB, String::as_str);
    let account = arn.split(':').nth(4).unwrap_or_default();
    Answer::xml(format!(
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>U</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    ))
}

fn signature(headers: &BTreeMap<String, String>, names: &str, body: &str) -> String {
    let header = |name: &str| format!("{name}:{}\n", headers.get(name).map_or("", String::as_str));
    sha256(format!("POST\n/\n{}{body}", names.split(';').map(header).collect::<String>()).as_bytes())
}

/// AWS where nobody has claimed the target. Lists come one by one.
pub(crate) fn unclaimed() -> Stub {
    let published = "<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
    Stub::new()
        .page_size(1)
        .on("sns:Publish", Answer::xml(published))
        .on_fn("sts:GetCallerIdentity", sts)
        .on("states:SendTaskSuccess", Answer::json(json!({})))
}

pub(crate) fn world() -> Stub {
    let aws = unclaimed();
    claim(&aws, CASE, false);
    aws
}

/// The target belongs to a case.
pub(crate) fn claim(aws: &Stub, case: &str, closing: bool) {
    let claim = json!({"caseId": case, "executionArn": EXECUTION, "severity": 8.0, "closing": closing});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
}

/// A case that asks so many people.
pub(crate) async fn asking(persons: u8, missing: &Value) -> Stub {
    let aws = world();
    run(&aws, &ask(persons, missing)).await.unwrap();
    aws.forget_calls();
    aws
}

pub(crate) fn statement(changed: &Value) -> Value {
    let mut all = json!({"schema": "cordon.statement.v1", "caseId": CASE, "manifest": manifest(), "decision": "approve", "waive": [], "because": ""});
    for (name, value) in changed.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

/// The answer of somebody with a session.
pub(crate) fn answer(arn: &str, changed: &Value) -> Value {
    signed(Some(arn), &statement(changed))
}

/// The answer of whoever has this token.
pub(crate) fn signed(token: Option<&str>, statement: &Value) -> Value {
    let (text, date) = (statement.to_string(), "20261124T060000Z");
    let said = |name: &str| statement[name].as_str().unwrap_or_default().to_owned();
    let headers = [
        ("content-type", Some(PROOF_CONTENT_TYPE.to_owned())),
        ("host", Some(HOST.to_owned())),
        ("x-amz-date", Some(date.to_owned())),
        ("x-amz-security-token", token.map(str::to_owned)),
        ("x-cordon-case", Some(said("caseId"))),
        ("x-cordon-decision", Some(said("decision"))),
        ("x-cordon-manifest", Some(said("manifest"))),
        ("x-cordon-statement", Some(sha256(text.as_bytes()))),
    ];
    let headers: BTreeMap<String, String> =
        headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let names = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
    let scope = "AKIA/20261124/eu-central-1/sts/aws4_request";
    let signature = signature(&headers, &names, PROOF_BODY);
    let proof = Proof {
        host: HOST.to_owned(),
        date: date.to_owned(),
        authorization: format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"),
        security_token: token.map(str::to_owned),
    };
    json!({"mode": "answer", "statement": text, "proof": proof})
}

pub(crate) fn woken(aws: &Stub) -> Vec<Value> {
    let output = |call: &Call| serde_json::from_str(call.json()["output"].as_str().unwrap()).unwrap();
    aws.calls_of("states:SendTaskSuccess").iter().map(output).collect()
}

pub(crate) fn told(aws: &Stub) -> Vec<Value> {
    let document = |call: &Call| {
        let outer: Value = serde_json::from_str(&call.params["Message"]).unwrap();
        serde_json::from_str(outer["default"].as_str().unwrap()).unwrap()
    };
    aws.calls_of("sns:Publish").iter().map(document).collect()
}

pub(crate) fn approvals(aws: &Stub) -> Vec<String> {
    let folder = format!("cases/{CASE}/approvals/");
    aws.keys().into_iter().filter_map(|key| key.strip_prefix(&folder).map(str::to_owned)).collect()
}
