//! Seal, Close and the last word against the real SDK clients, with a bucket in memory.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handler::Store;
use incident::manifest::{Chain, ClosingManifest, EvidenceManifest};
use incident::{CaseId, Classify, ExecutionArn, Fault, InstanceId, custody};
use seal::{Clients, Error, Input, Settings, handle};
use serde_json::{Value, json};
use stub::{Answer, Stub};

const INSTANCE: &str = "i-0abc1234def567890";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

fn case() -> String {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &ExecutionArn::parse(EXECUTION).unwrap()).to_string()
}

fn key(name: &str) -> String {
    format!("cases/{}/{name}", case())
}

fn clients(aws: &Stub) -> Clients {
    let config = aws.config();
    Clients {
        kms: aws_sdk_kms::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        lambda: aws_sdk_lambda::Client::new(&config),
        store: Store { s3: aws_sdk_s3::Client::new(&config), bucket: "evidence".to_owned() },
        settings: Settings {
            signing_key: "arn:aws:kms:eu-central-1:111122223333:key/k".to_owned(),
            isolate: Some("isolate:1".to_owned()),
            notify: Some("notify:1".to_owned()),
            evidence_days: 365,
        },
    }
}

/// AWS as it is when an incident is open: claim, finding, plan and the records of one finished change.
fn world() -> Stub {
    let aws = Stub::new()
        .on("kms:Sign", Answer::json(json!({"Signature": "MAYCAQECAQE="})))
        .on("states:GetExecutionHistory", Answer::json(json!({"events": [
            {"id": 1, "previousEventId": 0, "timestamp": 1_795_491_000.5, "type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Triage"}},
        ]})));
    let claim = json!({"caseId": case(), "executionArn": EXECUTION, "severity": 8.0, "closing": false});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
    put(&aws, "finding.json", &json!({"any": "thing"}));
    put(&aws, "plan.json", &plan());
    put(&aws, "records/20261124T033000.000Z-Isolate-00-001-intent.json", &record("Isolate", 0, "intent"));
    put(&aws, "records/20261124T033000.000Z-Isolate-00-001-outcome.json", &record("Isolate", 0, "outcome"));
    aws
}

/// Puts an object of the case without a lock; the memory bucket is asked over HTTP where a lock matters.
fn put(aws: &Stub, name: &str, value: &Value) {
    aws.put_object_in("evidence", &key(name), value.to_string());
}

fn record(state: &str, retry: u32, phase: &str) -> Value {
    json!({"schema": "cordon.record.v1", "caseId": case(), "number": 1, "phase": phase, "at": "2026-11-24T03:30:01Z", "by": "x:1",
        "visit": {"execution": EXECUTION, "state": state, "entered": "2026-11-24T03:30:00Z", "retry": retry},
        "changes": [{"action": "ec2:ModifyNetworkInterfaceAttribute", "subject": "eni-0abc1234def567890"}]})
}

fn plan() -> Value {
    json!({"schema": "cordon.plan.v1", "caseId": case(), "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f1", "type": "UnauthorizedAccess:EC2/TorClient", "title": "Tor\n\u{1b}[31m", "severity": 8.0,
            "account": "111122223333", "region": "eu-central-1", "firstSeen": "2026-11-24T03:00:00Z", "updatedAt": "2026-11-24T03:20:00Z"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [{"id": "eni-0abc1234def567890", "vpc": "vpc-0abc1234def567890", "groups": ["sg-0abc1234def567890"]}],
            "volumes": [{"id": "vol-0abc1234def567890", "device": "/dev/xvda", "root": true}], "profile": null, "spot": false},
        "policy": {"from": "fallback", "problem": "none"}, "cut": {"decision": "now"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": "quarantine", "deadlines": {"snapshots": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []})
}

fn containment(status: &str) -> Value {
    json!({"status": status, "interfaces": [], "readBackAt": "2026-11-24T03:30:09Z", "reasons": [], "risks": [], "failure": null})
}

fn freeze() -> Value {
    json!({"snapshots": [{"snapshotId": "snap-0abc1234def567890", "volumeId": "vol-0abc1234def567890", "inSet": true,
        "startedAt": "2026-11-24T03:30:02Z", "lock": {"status": "locked", "mode": "governance", "days": 30}}], "missing": [], "failure": null})
}

fn preserved(state: &str) -> Value {
    json!({"status": "completed", "percent": 100, "pauseSeconds": 0, "missing": [], "failure": null, "snapshots": [
        {"snapshotId": "snap-0abc1234def567890", "volumeId": "vol-0abc1234def567890", "state": state, "percent": 100, "sizeGib": 8, "completedAt": null}]})
}

fn visit(state: &str) -> Value {
    json!({"execution": EXECUTION, "state": state, "entered": "2026-11-24T04:00:00Z", "retry": 0})
}

fn evidence() -> Value {
    json!({"mode": "evidence", "visit": visit("Seal"), "plan": plan(), "containment": containment("contained"), "freeze": freeze(),
        "opening": {"told": true}, "preserved": preserved("completed")})
}

fn close(sealed: &Value) -> Value {
    json!({"mode": "close", "visit": visit("Close"), "plan": plan(), "containment": containment("contained"), "freeze": freeze(),
        "opening": {"told": true}, "preserved": preserved("completed"), "sealed": sealed, "failure": null, "input": {"instanceId": INSTANCE}})
}

fn ended(input: &Value) -> Value {
    json!({"version": "0", "detail-type": "Step Functions Execution Status Change", "source": "aws.states", "time": "2026-11-24T04:10:00Z",
        "detail": {"executionArn": EXECUTION, "status": "ABORTED", "input": input, "error": null, "cause": null}})
}

async fn run(aws: &Stub, input: &Value) -> Result<Value, Error> {
    let input: Input = serde_json::from_value(input.clone()).expect("the payload must parse: compare it with incident.asl.json");
    handle(&clients(aws), input).await
}

fn read<T: serde::de::DeserializeOwned>(aws: &Stub, name: &str) -> T {
    let bytes = aws.object(&key(name)).unwrap_or_else(|| panic!("{name} must be written; there is {:?}", aws.keys()));
    serde_json::from_slice(&bytes).unwrap()
}

/// What is missing but for the locks of the objects that the test itself put without one.
fn missing(sealed: &Value) -> Vec<String> {
    let items = sealed["missing"].as_array().unwrap().iter().map(|missing| missing["item"].as_str().unwrap().to_owned());
    items.filter(|item| !item.starts_with("lock:")).collect()
}

/// Both chains hold and name every record; the closing manifest names exactly the objects that are there, once.
fn assert_whole(aws: &Stub) {
    let manifest: ClosingManifest = read(aws, "manifest-closing.json");
    let mut named: Vec<String> = manifest.items.iter().map(|item| item.object.key.clone()).collect();
    named.extend([key("manifest-closing.json"), key("manifest-closing.json.sig")]);
    named.sort();
    let there: Vec<String> = aws.keys().into_iter().filter(|key| key.starts_with("cases/")).collect();
    assert_eq!(named, there, "the closing manifest must name each object of the case once");
    for item in &manifest.items {
        let bytes = aws.object(&item.object.key).unwrap();
        assert_eq!(incident::text::sha256(&bytes), item.object.sha256, "{}", item.object.key);
    }
    let first = aws.object(&key("custody.jsonl")).unwrap_or_default();
    let (lines, chain) = custody::check(&first, &Chain::start()).unwrap();
    let (later, chain) = custody::check(&aws.object(&key("custody-closing.jsonl")).unwrap(), &chain).unwrap();
    assert_eq!(chain, manifest.custody);
    let mut chained: Vec<String> = lines.into_iter().chain(later).map(|line| line.key).collect();
    chained.sort();
    let records: Vec<String> = there.into_iter().filter(|name| name.starts_with(&key("records/"))).collect();
    assert_eq!(chained, records, "every record must be in one of the chains, once");
}

#[tokio::test]
async fn evidence_that_is_all_there_is_sealed_and_signed() {
    let aws = world();
    let sealed = run(&aws, &evidence()).await.unwrap();
    assert_eq!(missing(&sealed), [""; 0], "{sealed}");
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    assert_eq!(manifest.custody.lines, 2);
    assert_eq!(manifest.items.len(), 6, "{:?}", manifest.items);
    assert_eq!(aws.object(&key("manifest-evidence.json.sig")).unwrap(), [0x30, 6, 2, 1, 1, 2, 1, 1]);
    let sign = &aws.calls_of("kms:Sign")[0].json();
    assert_eq!((sign["MessageType"].as_str(), sign["SigningAlgorithm"].as_str()), (Some("DIGEST"), Some("ECDSA_SHA_256")));
    let own = manifest.items.iter().find(|item| item.object.key.ends_with("custody.jsonl")).unwrap();
    assert_eq!(own.lock.unwrap().until.to_string(), "2027-11-24T03:30:00Z", "what Seal puts carries the plan's lock");
}

#[tokio::test]
async fn an_object_without_a_lock_is_missing_its_lock_by_name() {
    let aws = world();
    let sealed = run(&aws, &evidence()).await.unwrap();
    let items = sealed["missing"].to_string();
    assert!(items.contains(&format!("lock:{}", key("finding.json"))) && sealed["complete"] == false, "{items}");
    assert!(!items.contains("snapshots.json"), "{items}");
}

#[tokio::test]
async fn sealing_and_closing_twice_gives_the_same_and_writes_nothing_new() {
    let aws = world();
    let sealed = run(&aws, &evidence()).await.unwrap();
    let closed = run(&aws, &close(&sealed)).await.unwrap();
    assert_whole(&aws);
    let keys = aws.keys();
    assert!(!keys.contains(&format!("open/{INSTANCE}.json")), "the claim must be released");
    assert_eq!(run(&aws, &evidence()).await.unwrap(), sealed);
    assert_eq!(run(&aws, &close(&sealed)).await.unwrap(), closed);
    assert_eq!(aws.keys(), keys);
    assert_eq!(aws.count("kms:Sign"), 2, "a signature that is there is not made again");
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_is_found_again_wherever_it_is() {
    for lost in 0..12 {
        let aws = world();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        aws.set_fn("s3:PutObject", move |_| {
            if counter.fetch_add(1, Ordering::Relaxed) == lost { Answer::bucket_then_lost() } else { Answer::bucket() }
        });
        let mut failures = 0;
        for step in [evidence(), close(&Value::Null)] {
            while let Err(error) = run(&aws, &step).await {
                failures += 1;
                assert_eq!((error.fault(), failures), (Fault::Transient, 1), "put {lost}: {error}");
            }
        }
        assert_whole(&aws);
        let closing: ClosingManifest = read(&aws, "manifest-closing.json");
        assert!(!closing.reasons.iter().any(|reason| reason.contains("claim")), "put {lost}: {:?}", closing.reasons);
    }
}

#[tokio::test]
async fn a_key_that_may_not_be_used_fails_as_denied_and_the_next_run_signs_what_is_there() {
    let aws = world().once("kms:Sign", Answer::json_error(400, "AccessDeniedException", "no"));
    assert_eq!(run(&aws, &evidence()).await.unwrap_err().fault(), Fault::Denied);
    let unsigned = aws.object(&key("manifest-evidence.json")).unwrap();
    run(&aws, &evidence()).await.unwrap();
    assert_eq!(aws.object(&key("manifest-evidence.json")).unwrap(), unsigned);
    let aws = world().once("kms:Sign", Answer::json_error(400, "ThrottlingException", "slow down"));
    assert_eq!(run(&aws, &evidence()).await.unwrap_err().fault(), Fault::Transient);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let outcome = "records/20261124T034000.000Z-Snapshot-00-001-intent.json";
    let cases: [(&str, Value, &str); 5] = [
        ("/containment", containment("partlyContained"), "containment"),
        ("/containment", containment("withheld"), "containment"),
        ("/preserved", preserved("error"), "snapshot:vol-0abc1234def567890"),
        ("/freeze/snapshots/0/lock", json!({"status": "notLocked", "reason": "no"}), "snapshot-lock:snap-0abc1234def567890"),
        ("/plan/target/state", json!("terminated"), "target"),
    ];
    for (at, value, item) in cases {
        let mut input = evidence();
        *input.pointer_mut(at).unwrap() = value;
        assert_eq!(missing(&run(&world(), &input).await.unwrap()), [item]);
    }
    let aws = world();
    put(&aws, outcome, &record("Snapshot", 0, "intent"));
    let mut input = evidence();
    input["freeze"]["failure"] = json!({"state": "Snapshot", "error": "Denied", "cause": "no"});
    let found = missing(&run(&aws, &input).await.unwrap());
    assert!(found.len() == 1 && found[0].starts_with("outcome:records/"), "an intent without an outcome: {found:?}");
}

#[tokio::test]
async fn an_object_that_was_overwritten_or_deleted_is_named() {
    let aws = world();
    put(&aws, "finding.json", &json!({"another": "thing"}));
    assert_eq!(missing(&run(&aws, &evidence()).await.unwrap()), [format!("object:{}", key("finding.json"))]);
    let aws = world();
    let s3 = clients(&aws).store.s3;
    s3.delete_object().bucket("evidence").key(key("finding.json")).send().await.unwrap();
    assert_eq!(missing(&run(&aws, &evidence()).await.unwrap()), [format!("object:{}", key("finding.json"))]);
}

#[tokio::test]
async fn findings_that_joined_are_taken_in_and_the_claim_of_another_stays() {
    let aws = world();
    aws.put_object_in("evidence", &format!("joined/{}/f2-t2.json", case()), "{}");
    let other =
        json!({"caseId": format!("{INSTANCE}-0123456789ab"), "executionArn": EXECUTION.replace("one", "two"), "severity": 1.0});
    aws.put_object(&format!("open/{INSTANCE}.json"), other.to_string());
    let closed = run(&aws, &close(&Value::Null)).await.unwrap();
    assert_whole(&aws);
    assert_eq!(aws.object(&key("findings/f2-t2.json")).unwrap(), b"{}");
    assert!(closed["reasons"].to_string().contains("took it over"), "{closed}");
    assert!(aws.object(&format!("open/{INSTANCE}.json")).is_some());
}

#[tokio::test]
async fn a_history_that_is_denied_stops_no_closing() {
    let aws = world();
    aws.set("states:GetExecutionHistory", Answer::json_error(400, "AccessDeniedException", "no"));
    run(&aws, &close(&Value::Null)).await.unwrap();
    let history: Value = read(&aws, "history.json");
    assert!(history["problem"].as_str().unwrap().contains("AccessDenied"), "{history}");
    assert_whole(&aws);
}

#[tokio::test]
async fn the_timeline_has_one_line_per_fact_and_the_report_its_times() {
    let aws = world();
    run(&aws, &close(&Value::Null)).await.unwrap();
    let text = String::from_utf8(aws.object(&key("timeline.jsonl")).unwrap()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().all(|line| ["message", "datetime", "timestamp_desc"].iter().all(|name| line[name].is_string())),
        "{text}"
    );
    assert!(lines.is_sorted_by_key(|line| line["datetime"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()), "{text}");
    assert!(!text.contains("\\n") && !text.contains("\\u001b"), "hostile text must be made safe: {text}");
    let report: Value = read(&aws, "report.json");
    assert_eq!(
        (report["metrics"]["secondsToOpen"].as_i64(), report["metrics"]["secondsToContain"].as_i64()),
        (Some(1_800), Some(9))
    );
}

#[tokio::test]
async fn a_failure_is_recorded_in_the_case_of_its_execution_only() {
    let failure = json!({"mode": "failure", "visit": visit("RecordFailure"), "plan": null, "input": {"instanceId": INSTANCE},
        "failure": {"state": "Triage", "error": "Denied", "cause": "no"}});
    let aws = world();
    assert_eq!(run(&aws, &failure).await.unwrap(), json!({"caseId": case()}));
    assert!(aws.keys().iter().any(|key| key.contains("RecordFailure")), "{:?}", aws.keys());
    run(&aws, &close(&Value::Null)).await.unwrap();
    let keys = aws.keys();
    run(&aws, &failure).await.unwrap();
    assert_eq!(aws.keys(), keys, "nothing may be written into a closed case");
    let empty = Stub::new();
    assert_eq!(run(&empty, &failure).await.unwrap(), json!({"caseId": null}));
    assert!(empty.mutations().is_empty());
}

#[tokio::test]
async fn a_case_without_a_plan_is_closed_from_its_claim() {
    let aws = Stub::new()
        .on("kms:Sign", Answer::json(json!({"Signature": "MAYCAQECAQE="})))
        .on("states:GetExecutionHistory", Answer::json(json!({"events": []})));
    let claim = json!({"caseId": case(), "executionArn": EXECUTION, "severity": 8.0});
    aws.put_object(&format!("open/{INSTANCE}.json"), claim.to_string());
    let mut input = close(&Value::Null);
    for field in ["plan", "containment", "freeze", "preserved", "opening"] {
        input[field] = Value::Null;
    }
    input["failure"] = json!({"state": "Triage", "error": "Denied", "cause": "no"});
    let closed = run(&aws, &input).await.unwrap();
    assert!(closed["asPlanned"] == false && closed["manifest"].is_object(), "{closed}");
    assert_whole(&aws);
    assert_eq!(run(&aws, &input).await.unwrap(), closed);
    input["input"] = json!("garbage");
    let closed = run(&Stub::new(), &input).await.unwrap();
    assert!(closed["manifest"].is_null() && closed["reasons"].to_string().contains("Triage failed"), "{closed}");
}

/// `world` with the two functions; the payloads that they got are on record.
fn with_functions() -> Stub {
    let closed_door = containment("contained").to_string();
    world().on_fn("lambda:Invoke", move |call| {
        if call.path.contains("isolate") {
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

    aws.put_object(&incident::case::told(&ExecutionArn::parse(EXECUTION).unwrap()), "{}");
    aws.forget_calls();
    assert_eq!(run(&aws, &event).await.unwrap(), json!({"spoke": false}));
    assert!(aws.mutations().is_empty(), "{:?}", aws.actions());
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
