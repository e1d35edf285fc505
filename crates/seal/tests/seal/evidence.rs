//! The evidence manifest: what is sealed and what is named as missing.

use incident::manifest::EvidenceManifest;
use incident::{Classify, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::*;

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
    let skip = |because: &str| json!({"decision": "skip", "because": because, "reason": "why"});
    let cases: [(&str, Value, &str); 10] = [
        ("/containment", containment("partlyContained"), "containment"),
        ("/containment", containment("withheld"), "containment"),
        ("/plan/target/state", json!("terminated"), "target"),
        ("/memory", memory("notCaptured", "no agent"), "memory"),
        ("/memory", memory("partial", "the deadline passed"), "memory"),
        ("/memory", Value::Null, "memory"),
        ("/plan/memory", skip("noPath"), "memory"),
        ("/plan/memory", skip("unsupported"), "memory"),
        ("/lockdown", lockdown("partly"), "lockdown"),
        ("/lockdown", Value::Null, "lockdown"),
    ];
    for (at, value, item) in cases {
        let mut input = evidence();
        *input.pointer_mut(at).unwrap() = value;
        assert_eq!(missing(&run(&world(), &input).await.unwrap()), [item]);
    }
    for because in ["policy", "noMemory"] {
        let mut input = evidence();
        (input["plan"]["memory"], input["memory"]) = (skip(because), memory("notCaptured", "why"));
        assert_eq!(missing(&run(&world(), &input).await.unwrap()), [""; 0], "{because}: nobody misses it");
    }
}

#[tokio::test]
async fn an_intent_without_an_outcome_is_missing_unless_its_result_was_read_back() {
    let failure = json!({"state": "Snapshot", "error": "Denied", "cause": "no"});
    let cases: [(&str, &str, Value); 6] = [
        ("Snapshot", "/freeze/failure", failure.clone()),
        ("MemoryCapture", "/memory/failure", failure),
        ("MemoryCapture", "/memory/status", json!("running")),
        ("Lockdown", "/lockdown/status", json!("partly")),
        ("DenyCredentials", "/denial/status", json!("unknown")),
        ("DenyAllCredentials", "/denial/scope", json!("allButSystemsManager")),
    ];
    for (state, at, value) in cases {
        let intent = format!("records/20261124T034000.000Z-{state}-00-001-intent.json");
        for broken in [true, false] {
            let aws = world();
            put(&aws, &intent, &record(state, 0, "intent"));
            let mut input = evidence();
            if broken {
                *input.pointer_mut(at).unwrap() = value.clone();
            }
            let found = missing(&run(&aws, &input).await.unwrap());
            let gap = found.iter().any(|item| item.starts_with("outcome:records/") && item.contains(&format!("-{state}-")));
            assert_eq!(gap, broken, "{state} with {at} = {value} ({broken}): {found:?}");
        }
    }
}

/// A record's name and what it says.
type Written = (String, Value);

#[tokio::test]
async fn records_that_were_lost_show_by_those_that_are_there() {
    let stamp = "records/20261124T034000.000Z-Protect-00";
    let numbered = |number: u32, phase: &str, changes: bool| {
        let mut record = record("Protect", 0, phase);
        record["number"] = json!(number);
        record["visit"]["entered"] = json!("2026-11-24T03:40:00Z");
        if !changes {
            record["changes"] = json!([]);
        }
        (format!("{stamp}-{number:03}-{phase}.json"), record)
    };
    let pair = |number| [numbered(number, "intent", true), numbered(number, "outcome", true)];
    let cases: [(Vec<Written>, Vec<String>); 5] = [
        ([pair(1), pair(2)].concat(), Vec::new()),
        (vec![numbered(1, "outcome", false)], Vec::new()),
        ([pair(1), pair(4)].concat(), [2, 3].map(|number| format!("record:{stamp}-00{number}-intent.json")).to_vec()),
        (vec![numbered(1, "outcome", true)], vec![format!("intent:{stamp}-001-outcome.json")]),
        (vec![numbered(2, "outcome", false)], vec![format!("record:{stamp}-001-intent.json")]),
    ];
    for (records, expected) in cases {
        let aws = world();
        for (name, record) in &records {
            put(&aws, name, record);
        }
        assert_eq!(missing(&run(&aws, &evidence()).await.unwrap()), expected, "{records:?}");
    }
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
