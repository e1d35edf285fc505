//! What was taken from the target's memory, in the manifests.

use incident::manifest::{ClosingManifest, DigestBy, EvidenceManifest, Item, Trust};
use incident::text::sha256;
use serde_json::{Value, json};
use stub::{Answer, Stub};

use crate::support::*;

/// Above, and below, what the tests' function hashes itself.
const LARGE: [u8; 2_000] = [7; 2_000];
const SMALL: [u8; 500] = [7; 500];

fn with(memory: &Value) -> Value {
    let mut input = evidence();
    *input.pointer_mut("/memory").unwrap() = memory.clone();
    input
}

fn item<'a>(items: &'a [Item], name: &str) -> &'a Item {
    items.iter().find(|item| item.object.key == key(name)).unwrap()
}

/// The versions that were read, and not only looked at, since the calls were last forgotten.
fn read_bytes(aws: &Stub, name: &str) -> usize {
    aws.calls_of("s3:GetObject").iter().filter(|call| call.key.as_deref() == Some(key(name).as_str())).count()
}

#[tokio::test]
async fn an_image_that_is_too_large_is_listed_by_the_collectors_word_and_s3s_checksum_and_never_read() {
    let aws = world();
    let memory = captured(&aws, &LARGE, &sha256(&LARGE)).await;
    let sealed = run(&aws, &with(&memory)).await.unwrap();
    assert_eq!(missing(&sealed), [""; 0], "{sealed}");
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    let image = item(&manifest.items, IMAGE);
    assert_eq!((image.trust, image.sha256_by), (Trust::HostDependent, DigestBy::Collector));
    assert_eq!((image.object.sha256.clone(), image.object.size), (sha256(&LARGE), 2_000));
    assert_eq!((image.crc64nvme.as_deref(), image.lock.is_some()), (memory["image"]["crc64nvme"].as_str(), true));
    assert_eq!(read_bytes(&aws, IMAGE), 0, "its bytes would take longer than the function has");
    assert_eq!(item(&manifest.items, "memory/capture.json").trust, Trust::Cordon);
    assert_eq!(item(&manifest.items, "memory/volatile.json").trust, Trust::HostDependent);
    assert!(item(&manifest.items, "memory/volatile.json").crc64nvme.is_some());
    assert!(item(&manifest.items, "plan.json").crc64nvme.is_none(), "what Cordon wrote itself has a SHA-256 from the start");
    assert_eq!((manifest.memory.is_some(), manifest.lockdown.is_some(), manifest.denial.is_some()), (true, true, true));
    assert!(manifest.risks.is_empty(), "{:?}", manifest.risks);
}

#[tokio::test]
async fn an_image_that_is_small_enough_is_hashed_by_us() {
    let aws = world();
    let memory = captured(&aws, &SMALL, &sha256(&SMALL)).await;
    assert_eq!(missing(&run(&aws, &with(&memory)).await.unwrap()), [""; 0]);
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    let image = item(&manifest.items, IMAGE);
    assert_eq!((image.sha256_by, image.object.sha256.clone()), (DigestBy::Cordon, sha256(&SMALL)));
    let raw: Value = read(&aws, "manifest-evidence.json");
    let items = raw["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item.get("sha256By").is_none()), "only the word of another is marked");
}

#[tokio::test]
async fn digests_that_are_wanting_or_others_are_named() {
    let (image, digest) = (format!("object:{}", key(IMAGE)), format!("digest:{}", key(IMAGE)));
    let other = || json!("AAAAAAAAAAA=");
    let cases: [(&str, &[u8], Value, Value, &str); 5] = [
        ("a wrong word about a small image", &SMALL, json!(sha256(b"other")), Value::Null, &image),
        ("no word about a large image", &LARGE, Value::Null, Value::Null, &digest),
        ("a word that is no SHA-256", &LARGE, json!("\u{1b}[2J; rm -rf /"), Value::Null, &digest),
        ("another checksum than at the capture", &LARGE, json!(sha256(&LARGE)), other(), &image),
        ("another checksum of a small image", &SMALL, json!(sha256(&SMALL)), other(), &image),
    ];
    for (what, bytes, word, crc, item_name) in cases {
        let aws = world();
        let mut memory = captured(&aws, bytes, "").await;
        memory["image"]["sha256"] = word;
        if crc.is_string() {
            memory["image"]["crc64nvme"] = crc;
        }
        let sealed = run(&aws, &with(&memory)).await.unwrap();
        assert_eq!(missing(&sealed), [item_name], "{what}: {sealed}");
        let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
        let image = item(&manifest.items, IMAGE);
        assert!(
            image.object.sha256.is_empty() == item_name.starts_with("digest:") && image.crc64nvme.is_some(),
            "{what}: {image:?}"
        );
    }
}

#[tokio::test]
async fn a_checksum_that_s3_has_lost_is_named() {
    let aws = world();
    let memory = captured(&aws, &LARGE, &sha256(&LARGE)).await;
    aws.set("s3:HeadObject", Answer::empty(200).header("content-length", "2000"));
    let found = missing(&run(&aws, &with(&memory)).await.unwrap());
    assert_eq!(found, [format!("object:{}", key(IMAGE))]);
}

#[tokio::test]
async fn the_closing_manifest_lists_memory_as_it_was_sealed_and_reads_none_of_it_again() {
    for bytes in [&LARGE[..], &SMALL] {
        let aws = world();
        let memory = captured(&aws, bytes, &sha256(bytes)).await;
        let sealed = run(&aws, &with(&memory)).await.unwrap();
        aws.forget_calls();
        let mut input = close(&sealed);
        // As the last word closes it, which knows only what is sealed.
        input["memory"] = Value::Null;
        run(&aws, &input).await.unwrap();
        assert_whole(&aws);
        assert_eq!(read_bytes(&aws, IMAGE) + read_bytes(&aws, "memory/volatile.json"), 0);
        let evidence: EvidenceManifest = read(&aws, "manifest-evidence.json");
        let closing: ClosingManifest = read(&aws, "manifest-closing.json");
        for name in [IMAGE, "memory/volatile.json", "memory/capture.json"] {
            assert_eq!(item(&closing.items, name), item(&evidence.items, name));
        }
        assert!(!closing.reasons.iter().any(|reason| reason.contains("memory")), "{:?}", closing.reasons);
    }
}

#[tokio::test]
async fn a_case_that_breaks_before_the_seal_is_sealed_and_closed_with_its_image() {
    let aws = world();
    let memory = captured(&aws, &LARGE, &sha256(&LARGE)).await;
    let mut input = close(&Value::Null);
    input["memory"] = memory;
    run(&aws, &input).await.unwrap();
    assert_whole(&aws);
    let closing: ClosingManifest = read(&aws, "manifest-closing.json");
    assert_eq!(item(&closing.items, IMAGE).sha256_by, DigestBy::Collector);
}

#[tokio::test]
async fn memory_that_there_was_no_way_to_is_as_planned_and_incomplete_and_all_else_that_is_wanting_is_not_as_planned() {
    let skip = json!({"decision": "skip", "because": "noPath", "reason": "there is no endpoint of Systems Manager"});
    let cases: [(&str, Value, bool, bool, &str); 7] = [
        ("/plan/memory", skip, false, true, ""),
        ("/memory", memory("notCaptured", "the agent is lost"), false, false, "memory: it is not captured: the agent is lost"),
        ("/lockdown", lockdown("notLockedDown"), false, false, "lockdown: "),
        ("/denial", denial("notDenied", "all"), true, false, "credentials are not denied"),
        ("/denial", denial("denied", "allButSystemsManager"), true, false, "but for what Systems Manager"),
        ("/denial", denial("nothingToDeny", "all"), true, true, ""),
        ("/denial", denial("withheld", "all"), true, true, ""),
    ];
    for (at, value, complete, as_planned, said) in cases {
        let aws = world();
        let (mut first, mut last) = (evidence(), close(&Value::Null));
        for input in [&mut first, &mut last] {
            *input.pointer_mut(at).unwrap() = value.clone();
        }
        let sealed = run(&aws, &first).await.unwrap();
        last["sealed"] = sealed.clone();
        let closed = run(&aws, &last).await.unwrap();
        let reasons: Vec<String> = serde_json::from_value(closed["reasons"].clone()).unwrap();
        let reasons: Vec<&String> = reasons.iter().filter(|reason| !reason.starts_with("lock:")).collect();
        assert_eq!(missing(&sealed).is_empty(), complete, "{at} = {value}: {sealed}");
        assert_eq!(reasons.is_empty(), as_planned, "{at} = {value}: {reasons:?}");
        assert!(as_planned || reasons.iter().any(|reason| reason.contains(said)), "{at} = {value}: {reasons:?}");
    }
}
