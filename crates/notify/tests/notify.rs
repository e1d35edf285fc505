//! Telling people, against the real SDK clients; and what they are told, word for word.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

mod support;

use incident::{Classify as _, Fault};
use notify::message::{Notice, notice, structured, subject, text};
use proptest::prelude::*;
use serde_json::{Value, json};
use stub::Answer;
use support::{
    CASE, TOPIC, closed, context, denial, failed, lockdown, memory, opened, parse, plan, protection, published, released, tell,
    topic, verdict,
};

/// Where it stands that people were told how the execution ended.
fn told() -> String {
    incident::case::told(&incident::ExecutionArn::parse(support::EXECUTION).unwrap())
}

#[tokio::test]
async fn people_are_told_by_one_message_in_three_forms() {
    let aws = topic();
    assert!(tell(&aws, &opened()).await.unwrap().told);
    let calls = aws.calls_of("sns:Publish");
    let call = calls.first().unwrap();
    assert_eq!((call.param("TopicArn"), call.param("MessageStructure")), (Some(TOPIC), Some("json")));
    let message: Value = serde_json::from_str(call.param("Message").unwrap()).unwrap();
    let document: Notice = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
    assert_eq!((document.schema.as_str(), document.case_id.unwrap().as_str()), ("cordon.notice.v1", CASE));
    assert!(message["email"].as_str().unwrap().contains("Containment is under way"));
    assert!(message["sms"].as_str().unwrap().len() <= 300);
}

#[tokio::test]
async fn that_people_were_told_stands_in_an_open_case_and_beside_a_sealed_one() {
    let aws = topic();
    tell(&aws, &opened()).await.unwrap();
    let keys = aws.keys();
    assert!(keys.len() == 1 && keys.iter().all(|key| key.starts_with(&format!("cases/{CASE}/records/"))), "{keys:?}");
    let without_a_case = failed("Triage", &Value::Null, "no", &Value::Null);
    for input in [closed("contained", &json!([]), &json!([])), failed("Seal", &plan("Tor"), "no", &Value::Null), without_a_case] {
        let aws = topic();
        tell(&aws, &input).await.unwrap();
        assert_eq!(aws.keys(), [told()], "a sealed case takes nothing more");
    }
    let aws = topic();
    tell(&aws, &verdict("elsewhere", "it is elsewhere")).await.unwrap();
    assert_eq!(aws.keys(), [""; 0]);
}

#[tokio::test]
async fn telling_twice_is_no_error() {
    let aws = topic();
    for input in [opened(), closed("contained", &json!([]), &json!([]))] {
        let first = tell(&aws, &input).await.unwrap();
        assert_eq!(tell(&aws, &input).await.unwrap(), first);
    }
    assert_eq!(aws.count("sns:Publish"), 4);
}

#[tokio::test]
async fn who_was_told_stays_told_if_that_cannot_be_written_down() {
    for input in [opened(), closed("contained", &json!([]), &json!([]))] {
        let aws = topic().on("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
        assert!(tell(&aws, &input).await.unwrap().told);
    }
}

#[tokio::test]
async fn a_topic_that_takes_nothing_fails_by_its_fault_and_writes_nothing() {
    for (status, code, fault) in [
        (429, "Throttled", Fault::Transient),
        (500, "InternalError", Fault::Transient),
        (403, "AuthorizationError", Fault::Denied),
        (404, "NotFound", Fault::Missing),
    ] {
        let aws = topic().once("sns:Publish", Answer::query_error(status, code, "no"));
        let error = tell(&aws, &closed("contained", &json!([]), &json!([]))).await.unwrap_err();
        assert_eq!(error.fault(), fault, "{code}: {error}");
        assert!(error.to_string().contains("sns:Publish"), "the message must name the call: {error}");
        assert_eq!(aws.keys(), [""; 0], "{code}: nobody was told, so that nothing may say so");
        aws.set("sns:Publish", published());
        assert!(tell(&aws, &closed("contained", &json!([]), &json!([]))).await.unwrap().told, "{code}: the next attempt tells");
    }
}

/// Every kind of message, with the name of the file that has its text.
fn messages() -> Vec<(&'static str, Value)> {
    let missing = json!([{"item": "snapshot:vol-0abc1234def567890", "reason": "snap-1 failed"}]);
    let reasons = json!([
        "containment: some interfaces are not in their isolation group: eni-1 is still open",
        "lockdown: the target is only partly locked down",
        "snapshot:vol-0abc1234def567890: snap-1 failed"
    ]);
    let raw = json!({"instanceId": "i-0abc1234def567890", "raeson": "a typo"});
    let opened_without_memory = with(
        opened(),
        &[
            (
                "/plan/memory",
                json!({"decision": "skip", "because": "noPath", "reason": "the VPC has no endpoint of Systems Manager"}),
            ),
            ("/plan/credentials", json!({"decision": "skip", "reason": "the policy says so"})),
        ],
    );
    let way = "until lock-down, at the latest at 2026-11-24T07:30:00Z, the target reaches S3";
    let risk = json!({"kind": "s3Path", "subject": "eni-0abc1234def567890", "advice": way});
    let opened_with_a_way_out = with(opened(), &[("/plan/risks/0", risk)]);
    let opened_uncut = with(
        opened(),
        &[
            ("/plan/cut", json!({"decision": "askFirst", "reasons": ["the tag `keep` protects it"]})),
            ("/plan/memory", json!({"decision": "capture", "path": null})),
        ],
    );
    let open_reasons = json!([
        "lockdown: the target is only partly locked down: the metadata options could not be changed",
        "memory: it is only partly captured: the deadline passed after 4.0 GiB",
        "the target's credentials are not denied: the role has no boundary",
    ]);
    let open_missing = json!([{"item": "lockdown", "reason": "partly"}, {"item": "memory", "reason": "partly"}]);
    let left_open = with(
        closed("contained", &open_missing, &open_reasons),
        &[
            ("/lockdown", lockdown("partly", "pathOnly", false)),
            ("/memory", memory("partial", 4 << 30, "the deadline passed after 4.0 GiB")),
            ("/denial", denial("notDenied", "all")),
        ],
    );
    let no_path = with(
        closed("contained", &json!([{"item": "memory", "reason": "it was not to be captured"}]), &json!([])),
        &[
            (
                "/plan/memory",
                json!({"decision": "skip", "because": "noPath", "reason": "the VPC has no endpoint of Systems Manager"}),
            ),
            ("/memory", memory("notCaptured", 0, "the VPC has no endpoint of Systems Manager")),
            ("/containment/risks", json!([{"kind": "vpcResolver", "advice": "the resolver, as found"}])),
            ("/sealed/complete", json!(false)),
        ],
    );
    let still_open = lockdown("partly", "open", true);
    let late_missing = json!([{"item": "containment", "reason": "some interfaces are not in their isolation group"}]);
    let late_reasons = json!(["containment: some interfaces are not in their isolation group"]);
    vec![
        ("opened", opened()),
        ("opened-without-memory", opened_without_memory),
        ("opened-uncut", opened_uncut),
        ("opened-with-a-way-out", opened_with_a_way_out),
        ("closed-left-open", left_open),
        ("closed-no-path-for-memory", no_path),
        ("closed", closed("contained", &json!([]), &json!([]))),
        ("closed-not-as-planned", with(closed("partlyContained", &missing, &reasons), &[("/lockdown", still_open)])),
        ("closed-cut-late", closed("partlyContained", &late_missing, &late_reasons)),
        ("failed-before-a-plan", failed("Triage", &Value::Null, "the field `raeson` is not known", &raw)),
        ("failed", failed("Seal", &plan("Tor"), "kms:Sign was denied: give the role the right", &Value::Null)),
        ("ask", verdict("ask", "the finding names 12 instances")),
        ("elsewhere", verdict("elsewhere", "the finding is about the account 999999999999")),
        ("joined", verdict("joined", "a finding of severity 9 joined")),
    ]
}

/// `input` with other values.
fn with(mut input: Value, changes: &[(&str, Value)]) -> Value {
    for (at, value) in changes {
        *input.pointer_mut(at).expect("the pointer must name a field of the payload") = value.clone();
    }
    input
}

#[test]
fn the_texts_are_these() {
    for (name, input) in messages() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"));
        let said = text(&notice(&parse(&input)));
        #[expect(clippy::disallowed_methods, reason = "a switch of this test, no configuration of a step")]
        if std::env::var("UPDATE").is_ok() {
            std::fs::write(&path, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(said, expected, "{name}: if the new text is better, run this test with UPDATE=1 and review the difference");
    }
}

#[test]
fn of_two_risks_of_a_kind_people_are_told_the_later_one() {
    let said = text(&notice(&parse(&closed("contained", &json!([]), &json!([])))));
    assert!(said.contains("the resolver, as found") && !said.contains("the resolver, as planned"), "{said}");
}

#[test]
fn what_the_cut_does_not_reach_is_told_by_its_id_and_what_is_not_ours_to_cut_is_no_whole_containment() {
    let risks = json!([
        {"kind": "natGateway", "subject": "nat-0abc1234", "advice": "connections through this NAT gateway stay tracked"},
        {"kind": "waysNotRead", "subject": "endpoints", "advice": "it was not looked at"},
    ]);
    let kept =
        json!([{"id": "eni-0fff1234def567890", "status": "open", "groupsBefore": [], "groupsNow": [], "reason": "a branch"}]);
    let closed = closed("contained", &json!([]), &json!([]));
    let said = text(&notice(&parse(&with(closed, &[("/containment/risks", risks), ("/lockdown/interfaces", kept)]))));
    for line in [
        "- nat-0abc1234: connections through this NAT gateway",
        "- endpoints: it was not looked at",
        "CONTAINED but for interfaces",
    ] {
        assert!(said.contains(line), "`{line}` must be said: {said}");
    }
}

#[test]
fn each_end_of_memory_lockdown_and_credentials_is_told_in_words() {
    let skip = |because: &str| json!({"decision": "skip", "because": because, "reason": "this is why"});
    let cases: &[(&str, Value, &str)] = &[
        ("/memory", memory("captured", 200 << 20, ""), "Its memory is CAPTURED (200.0 MiB)"),
        ("/memory", memory("captured", 16 << 30, ""), "; its SHA-256 is the target's word."),
        ("/memory", memory("partial", 0, "it stopped."), "Its memory is only PARTLY captured: it stopped.\n"),
        ("/memory", memory("notCaptured", 0, "no agent"), "Its memory is NOT captured: no agent."),
        ("/memory", memory("running", 0, ""), "Its memory is NOT captured: it was given up"),
        ("/memory", Value::Null, "broke before it could say whether its memory is captured"),
        ("/plan/memory", skip("policy"), "Its memory was not to be captured: this is why."),
        ("/lockdown", lockdown("lockedDown", "cut", true), "It is LOCKED DOWN"),
        ("/lockdown", lockdown("partly", "cut", true), "It is NOT locked down: not all of it was read back as closed."),
        ("/lockdown", lockdown("notLockedDown", "pathOnly", true), "NOT locked down: eni-0abc1234def567890 can still reach"),
        ("/lockdown", lockdown("unknown", "cut", false), "NOT locked down: its instance metadata may still answer."),
        ("/lockdown", Value::Null, "reach Systems Manager and S3, and its instance metadata may still answer"),
        ("/protection", protection("protected"), "It is PROTECTED from being ended by others"),
        ("/protection", protection("partlyProtected"), "The target is only partly protected from being ended by others."),
        ("/protection", protection("notProtected"), "The target is not protected from being ended by others."),
        ("/protection", protection("unknown"), "It could not be read back whether the target is protected"),
        ("/protection", Value::Null, "The run broke before it could say whether the target is protected"),
        ("/protection", left(), "it left the Auto Scaling group web, which replaces it; it was taken out of 2 load balancer"),
        ("/denial", denial("denied", "all"), "Its credentials are DENIED, for this target alone, also those"),
        ("/denial", denial("denied", "allButSystemsManager"), "but for what Systems Manager's agent needs"),
        ("/denial", denial("notDenied", "all"), "Its credentials are NOT denied"),
        ("/denial", denial("unknown", "all"), "It is NOT KNOWN whether its credentials are denied"),
        ("/denial", denial("withheld", "all"), "deliberately not denied"),
        ("/denial", Value::Null, "broke before it could say whether its credentials are denied"),
        (
            "/context",
            context("collected"),
            "What AWS knows about it is in the case: 3 calls by its role sessions, 2 GuardDuty findings.",
        ),
        ("/context", context("partly"), "Part of what AWS knows about it is in the case: 3 calls"),
    ];
    for (at, value, expected) in cases {
        let said = text(&notice(&parse(&with(closed("contained", &json!([]), &json!([])), &[(at, value.clone())]))));
        assert!(said.contains(expected), "{at} = {value}: `{expected}` must be said: {said}");
    }
    let stopped = with(closed("contained", &json!([]), &json!([])), &[("/plan/memory", skip("noMemory"))]);
    let nothing = with(
        stopped,
        &[
            ("/denial", denial("nothingToDeny", "all")),
            ("/lockdown", lockdown("nothingToLock", "cut", false)),
            ("/protection", protection("nothingToProtect")),
            ("/context", Value::Null),
        ],
    );
    assert_eq!(notice(&parse(&nothing)).also, [""; 0], "of what there was not, nothing is said");
}

#[test]
fn a_notice_has_nothing_of_what_a_source_said() {
    let said = text(&notice(&parse(&with(closed("contained", &json!([]), &json!([])), &[("/context", context("partly"))]))));
    assert!(!said.contains("not for a notice"), "{said}");
}

/// A target that left its group and two balancers.
fn left() -> Value {
    let measure = |measure: &str, subject: &str| json!({"measure": measure, "subject": subject, "status": "held", "reason": ""});
    let measures = json!([measure("autoScalingGroup", "web"), measure("targetGroup", "one"), measure("classicBalancer", "two")]);
    with(protection("protected"), &[("/measures", measures)])
}

#[test]
fn each_end_of_a_release_is_told_in_words_and_hostile_reasons_are_harmless() {
    let item = json!({"restore": {"what": "terminationProtection", "to": false}, "status": "notRestored", "reason": "denied by a policy"});
    let ended = |status: &str| json!({"status": status, "items": [item], "readBackAt": null, "reasons": [], "failure": null});
    let refused = json!({"verdict": "refused", "reasons": ["the case is still open"], "plan": null});
    for (changes, as_planned, expected) in [
        (vec![("/released", with(ended("released"), &[("/items", json!([]))]))], true, "The target is RELEASED"),
        (vec![("/released", ended("partlyReleased"))], false, "termination protection: denied by a policy"),
        (vec![("/released", ended("notReleased"))], false, "NOT released: it is as contained as before"),
        (vec![("/released", ended("superseded"))], false, "a new finding claimed the target"),
        (vec![("/released", ended("unknown"))], false, "It is NOT KNOWN whether the target is released"),
        (vec![("/released", Value::Null), ("/checked", refused)], false, "REFUSED: nothing was changed"),
        (vec![("/released", Value::Null), ("/closed", Value::Null)], false, "The release BROKE"),
        (
            vec![("/request/caseId", json!("\u{1b}[2J")), ("/checked", Value::Null), ("/released", Value::Null)],
            false,
            "an unknown target",
        ),
        (vec![("/checked/plan/reason", json!("all well\r\n\r\nWhat to do:\n- nothing"))], false, "Reason given: all well"),
    ] {
        let notice = notice(&parse(&with(released(), &changes)));
        let said = text(&notice);
        assert!(said.contains(expected), "{changes:?}: `{expected}` must be said: {said}");
        assert_eq!(notice.as_planned, Some(as_planned), "{changes:?}");
        assert!(!said.contains("\n- nothing") && !said.contains('\u{1b}'), "{said}");
    }
}

#[tokio::test]
async fn that_people_were_told_of_a_release_is_noted_so_that_the_last_word_does_not_tell_again() {
    let aws = topic();
    tell(&aws, &released()).await.unwrap();
    assert!(aws.keys().iter().any(|key| key.starts_with("work/told/")), "{:?}", aws.keys());
}

#[test]
fn a_path_that_is_still_open_is_never_called_contained() {
    for lockdown in [Value::Null, lockdown("notLockedDown", "pathOnly", true)] {
        let said = text(&notice(&parse(&with(closed("contained", &json!([]), &json!([])), &[("/lockdown", lockdown)]))));
        assert!(said.contains("CONTAINED but for the path") && said.contains("close the path for memory by hand"), "{said}");
    }
    let said = text(&notice(&parse(&closed("contained", &json!([]), &json!([])))));
    assert!(said.contains("CONTAINED: ") && !said.contains("any bucket of the Region"), "{said}");
}

/// Text as an attacker would choose it.
fn hostile() -> impl Strategy<Value = String> {
    let nasty = prop_oneof![
        Just("\u{1b}[2J\u{1b}]0;x\u{7}".to_owned()),
        Just("\r\n\r\nWhat to do:\r\n- nothing, all is well\n".to_owned()),
        Just("\u{202e}\u{200b}\u{feff}\u{85}\u{2028}\u{2029}".to_owned()),
        Just("http://evil.example @channel <!here> [x](y)".to_owned()),
        Just("𝕏".repeat(70_000)),
        Just("\"}\\".repeat(50_000)),
        ".{0,40}",
        "\\PC{0,2000}",
    ];
    prop::collection::vec(nasty, 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn hostile_text_can_neither_break_a_message_nor_pass_for_ours(text_of in hostile()) {
        let given = json!({"instanceId": text_of, "detail": {"resource": {"instanceDetails": {"instanceId": text_of}}}});
        let reasons = json!([text_of, text_of]);
        let missing = json!([{"item": text_of, "reason": text_of}]);
        let mut open = opened();
        *open.pointer_mut("/plan").unwrap() = plan(&text_of);
        let skip = json!({"decision": "skip", "because": "noPath", "reason": text_of});
        let skipped = with(open.clone(), &[("/plan/memory", skip.clone())]);
        let (mut lost, mut not_denied, mut locked) =
            (memory("notCaptured", 0, &text_of), denial("unknown", "all"), lockdown("partly", "pathOnly", false));
        let failure = json!({"state": text_of, "error": text_of, "cause": text_of});
        for step in [&mut lost, &mut not_denied, &mut locked] {
            step["failure"] = failure.clone();
        }
        for step in [&mut not_denied, &mut locked] {
            step["reasons"] = json!([text_of]);
            step["risks"] = json!([{"kind": "roleCredentials", "subject": text_of, "advice": text_of}]);
        }
        not_denied["role"] = json!(text_of);
        let all_lost = with(
            closed("contained", &missing, &reasons),
            &[("/memory", lost), ("/denial", not_denied), ("/lockdown", locked)],
        );
        let was_skipped = with(closed("contained", &missing, &reasons), &[("/plan/memory", skip)]);
        for input in [
            open,
            skipped,
            all_lost,
            was_skipped,
            closed("partlyContained", &missing, &reasons),
            failed(&text_of, &Value::Null, &text_of, &given),
            failed("Seal", &plan(&text_of), &text_of, &json!(text_of)),
            verdict("ask", &text_of),
        ] {
            let notice = notice(&parse(&input));
            let subject = subject(&notice);
            prop_assert!(!subject.is_empty() && subject.len() < 100 && subject.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{subject:?}");
            let message = structured(&notice);
            prop_assert!(message.len() < 262_144, "SNS takes 256 KiB, this has {}", message.len());
            let message: Value = serde_json::from_str(&message).unwrap();
            let document: Notice = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
            prop_assert_eq!(document.schema, "cordon.notice.v1");
            let said = message["email"].as_str().unwrap();
            prop_assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
            prop_assert!(!said.contains(['\u{2028}', '\u{2029}', '\u{202e}', '\u{200b}']), "{said:?}");
            let headings = said.lines().filter(|line| *line == "What to do:").count();
            prop_assert!(headings <= 1 && !said.lines().any(|line| line.starts_with("- nothing, all is well")), "{said}");
            prop_assert!(!said.contains("http://evil"), "no link of theirs: {said}");
        }
    }
}
