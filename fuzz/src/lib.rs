//! What comes from outside, by the million: each function takes any bytes, and panics where what must hold does not.
//!
//! That nothing panics and nothing takes more memory than it may is the least. Beside it: what is read is written and read
//! again as the same; what is kept of hostile text is bounded; and no changed case is called a good one.

mod changed;

use std::collections::BTreeSet;
use std::fmt::Debug;

use incident::capture::{Collected, FILES, Wave};
use incident::finding::{self, Trigger};
use incident::manifest::{ClosingManifest, EvidenceManifest};
use incident::plan::Plan;
use incident::policy::Policy;
use incident::record::Record;
use incident::{CaseId, ExecutionArn, custody, text};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use changed::case;

/// The execution that everything here is about.
pub(crate) fn execution() -> ExecutionArn {
    ExecutionArn::parse("arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one").expect("it is well-formed")
}

/// An input of the state machine, of whatever form.
pub fn finding(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(data) else { return };
    let target = finding::target_of(&input);
    let trigger = match finding::parse(&input, &execution()) {
        Ok(trigger) => trigger,
        Err(error) => {
            // Not more than its two bounds, and what this crate adds to them.
            bounded(&error.to_string(), 600);
            assert_eq!(finding::case_of(&input, &execution()), None, "a case for what is no finding");
            return;
        }
    };
    of_trigger(&trigger);
    let case = finding::case_of(&input, &execution());
    match trigger.instances.as_slice() {
        [only] => {
            assert_eq!(case, Some(CaseId::new(only, &execution())));
            assert_eq!(target.as_ref(), Some(only), "the target of the case is another one");
        }
        _ => assert_eq!(case, None),
    }
    // Each instance of several has an execution of its own, which is about it and nothing else.
    if trigger.instances.len() > 1 {
        for instance in trigger.instances.iter().take(20) {
            let own = finding::parse(&finding::fan_out(instance, &input), &execution()).expect("an instance of the finding");
            assert_eq!(own.instances, [instance.clone()]);
            of_trigger(&own);
        }
    }
}

fn of_trigger(trigger: &Trigger) {
    let distinct: BTreeSet<_> = trigger.instances.iter().collect();
    assert_eq!(distinct.len(), trigger.instances.len(), "an instance is there twice");
    let summary = &trigger.summary;
    assert!(summary.severity.is_finite() && (0.0..=10.0).contains(&summary.severity), "a severity of {}", summary.severity);
    for said in [&summary.id, &summary.kind, &summary.title, &summary.account, &summary.region, &summary.first_seen] {
        bounded(said, 512);
        harmless(said);
    }
    let hub = trigger.security_hub.iter().flat_map(|hub| hub.types.iter().chain([&hub.product_name, &hub.product_arn]));
    for said in hub.chain([&summary.updated_at, &trigger.resource_type]).chain(&trigger.role).chain(&trigger.direction) {
        bounded(said, 512);
    }
    again(summary);
}

/// A policy, as it stands in its parameter.
pub fn policy(data: &[u8]) {
    let Ok(document) = std::str::from_utf8(data) else { return };
    match Policy::parse(document) {
        Ok(policy) => {
            let written = serde_json::to_string(&policy).expect("what was read is written");
            assert_eq!(Policy::parse(&written), Ok(policy.clone()), "what is written is read as something else");
            for kind in ["", "UnauthorizedAccess:EC2/TorClient", "a*b?c", document] {
                policy.allows(kind.get(..kind.len().min(256)).unwrap_or_default());
            }
        }
        Err(error) => {
            // Its two bounds, and what the sentence adds.
            bounded(&error.to_string(), 600);
            let (_, source) = Policy::fallback(&error.to_string());
            again(&source);
        }
    }
}

/// A plan, as it travels in the payload.
pub fn plan(data: &[u8]) {
    if let Ok(plan) = serde_json::from_slice::<Plan>(data) {
        again(&plan);
        plan.collection_path();
    }
}

/// A record, as it stands in the case file.
pub fn record(data: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(data) {
        again(&record);
        assert!(record.name().starts_with(incident::case::RECORDS));
    }
    // The chain over whatever is there holds, and is the one that was built.
    let object = |n: usize, bytes: &[u8]| incident::evidence::ObjectRef {
        key: format!("cases/c/records/{n}"),
        version_id: "v".to_owned(),
        sha256: text::sha256(bytes),
        size: bytes.len() as u64,
    };
    let records = data.split(|byte| *byte == b'\n').enumerate().map(|(n, bytes)| (object(n, bytes), bytes.to_vec()));
    let start = incident::manifest::Chain::start();
    let (lines, chain) = custody::build(records, start.clone());
    let (read, end) = custody::check(&lines, &start).expect("what was built holds");
    assert_eq!((end, read.len()), (chain, data.split(|byte| *byte == b'\n').count()));
    // And of what was not built by us, what is read is as long as it says.
    if let Ok((read, end)) = custody::check(data, &start) {
        assert_eq!(end.lines, read.len() as u64);
    }
}

/// A manifest, of the evidence or of the end.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<EvidenceManifest>(data) {
        again(&manifest);
    }
    if let Ok(manifest) = serde_json::from_slice::<ClosingManifest>(data) {
        again(&manifest);
    }
}

/// The output of a command, in which the collector's result is somewhere or not.
pub fn collected(data: &[u8]) {
    let case = CaseId::parse("i-0123456789abcdef0-0123456789ab").expect("it is well-formed");
    let Some(result) = Collected::find(data, &case) else { return };
    assert_eq!(result.case_id, case, "the result of another case");
    assert!(result.seconds.is_finite());
    assert!(result.errors.len() <= 40 && result.files.len() <= FILES.len());
    result.errors.iter().for_each(|error| bounded(error, 300));
    let texts = [&result.source, &result.format, &result.sha256, &result.crc64nvme, &result.version, &result.collector_sha256];
    for said in texts.into_iter().chain(result.files.iter().flat_map(|file| [&file.name, &file.sha256])) {
        bounded(said, 128);
    }
    let line = serde_json::to_vec(&result).expect("what was read is written");
    assert!(!line.contains(&b'\n'));
    assert_eq!(Collected::find(&line, &case), Some(result), "what is written is read as something else");
}

/// A wave, as the collector fetches it.
pub fn wave(data: &[u8]) {
    let Ok(wave) = Wave::read(data) else { return };
    again(&wave);
    assert_eq!(Wave::read(&wave.with_collector("https://bucket.example/tools/collector")).ok(), Some(wave));
}

/// Written and read, it is the same.
fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let written = serde_json::to_vec(value).expect("what was read is written");
    match serde_json::from_slice::<T>(&written) {
        Ok(read) => assert!(read == *value, "what is written is read as something else: {}", String::from_utf8_lossy(&written)),
        Err(error) => panic!("what is written cannot be read: {error}: {}", String::from_utf8_lossy(&written)),
    }
}

/// At most `limit` characters, none of them one that moves a cursor.
fn bounded(text: &str, limit: usize) {
    assert!(text.chars().count() <= limit, "{} characters", text.chars().count());
    assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
}

/// What people are told of it cannot be taken for a link, a mention or markup, and what is named after it stays in its place.
fn harmless(said: &str) {
    let shown = text::harmless(said, 200);
    // An address is shown with brackets around what would make it a link.
    let outside = shown.replace("[://]", " ");
    assert!(!["<", ">", "@", "`", "://"].iter().any(|mark| outside.contains(mark)) && !shown.contains("]("), "{shown:?}");
    let subject = text::subject(said);
    assert!(subject.len() < 100 && subject.is_ascii() && !subject.contains(['\n', '\r']), "{subject:?}");
    let segment = text::key_segment(said);
    assert!((1..=71).contains(&segment.len()) && !segment.contains('/') && !segment.starts_with('.'), "{segment:?}");
}
