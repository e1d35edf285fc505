//! A whole case in memory, and everything that can be done to it: `verify` finds each change and names the object.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use std::collections::BTreeMap;

use incident::evidence::ObjectRef;
use incident::manifest::{Chain, ClosingManifest, DigestBy, EvidenceManifest, Item, Signing, Trust};
use incident::text::sha256;
use incident::verify::{Found, MOST_PARSED, Objects, Verdict, Verification, is_parsed, verify};
use incident::{CaseId, ExecutionArn, InstanceId, capture, case, custody};
use jiff::Timestamp;
use proptest::prelude::*;

const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";

fn execution() -> ExecutionArn {
    ExecutionArn::parse(EXECUTION).unwrap()
}

fn instance() -> InstanceId {
    InstanceId::parse("i-0abc1234def567890").unwrap()
}

fn id() -> CaseId {
    CaseId::new(&instance(), &execution())
}

fn at() -> Timestamp {
    "2026-11-24T03:30:00Z".parse().unwrap()
}

/// A stand-in for the key: whoever does not know its secret cannot make a signature that [`signed`] takes.
fn signature(bytes: &[u8]) -> Vec<u8> {
    sha256(&[b"the key of the deployment".as_slice(), bytes].concat()).into_bytes()
}

fn signed(bytes: &[u8], given: &[u8]) -> bool {
    signature(bytes) == given
}

/// A stand-in for S3's checksum: other bytes have another one.
fn checksum(bytes: &[u8]) -> String {
    sha256(&[b"checksum".as_slice(), bytes].concat()).chars().take(12).collect()
}

/// One object where it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
struct Stored {
    bytes: Vec<u8>,
    versions: Vec<String>,
}

/// The objects of a case where they are stored, by name.
type Bucket = BTreeMap<String, Stored>;

/// What a reader finds, who keeps only the bytes that are parsed.
fn read(bucket: &Bucket) -> Objects {
    let found = |(name, stored): (&String, &Stored)| {
        let found = Found {
            size: stored.bytes.len() as u64,
            sha256: sha256(&stored.bytes),
            crc64nvme: name.starts_with(capture::FOLDER).then(|| checksum(&stored.bytes)),
            bytes: is_parsed(name).then(|| stored.bytes.clone()),
            versions: stored.versions.clone(),
            lock: None,
        };
        (name.clone(), found)
    };
    bucket.iter().map(found).collect()
}

/// The kernel's symbols, of which nobody gave a SHA-256 here.
const UNHASHED: &str = "memory/kallsyms";
const VOLATILE: &str = "memory/volatile.json";

/// A case as the steps build it: put, then cite.
#[derive(Default)]
struct Case {
    objects: Bucket,
}

impl Case {
    fn put(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let stored = Stored { bytes: bytes.into(), versions: vec![format!("version-of-{name}")] };
        self.objects.insert(name.to_owned(), stored);
    }

    fn cite(&self, name: &str) -> ObjectRef {
        let found = self.objects.get(name).expect("it was put before");
        ObjectRef {
            key: case::key(&id(), name),
            version_id: found.versions.first().cloned().unwrap(),
            sha256: sha256(&found.bytes),
            size: found.bytes.len() as u64,
        }
    }

    fn items(&self) -> Vec<Item> {
        self.objects.keys().map(|name| self.item(name)).collect()
    }

    /// Memory as Seal lists it: the image by the collector's word, and a file that nobody hashed.
    fn item(&self, name: &str) -> Item {
        let item = Item::hashed(self.cite(name), Trust::Cordon, None);
        if !name.starts_with(capture::FOLDER) || name == capture::STATEMENT {
            return item;
        }
        let bytes = &self.objects.get(name).unwrap().bytes;
        let sha256 = if name == UNHASHED { String::new() } else { item.object.sha256.clone() };
        let sha256_by = if name == capture::IMAGE { DigestBy::Collector } else { DigestBy::Cordon };
        Item {
            object: ObjectRef { sha256, ..item.object },
            trust: Trust::HostDependent,
            crc64nvme: Some(checksum(bytes)),
            sha256_by,
            lock: None,
        }
    }

    fn record(&mut self, state: &str, number: u32, phase: &str) {
        let name = format!("records/20261124T033000.000Z-{state}-00-{number:03}-{phase}.json");
        self.put(&name, format!("{{\"state\":\"{state}\",\"number\":{number},\"phase\":\"{phase}\"}}"));
    }

    /// Chains the records that no chain has yet.
    fn chain(&mut self, name: &str, start: Chain, done: &[String]) -> Chain {
        let records: Vec<(ObjectRef, Vec<u8>)> = self
            .objects
            .iter()
            .filter(|(name, _)| name.starts_with(case::RECORDS) && !done.contains(name))
            .map(|(name, found)| (self.cite(name), found.bytes.clone()))
            .collect();
        let (bytes, chain) = custody::build(records, start);
        self.put(name, bytes);
        chain
    }
}

fn signing() -> Signing {
    Signing { key: "arn:aws:kms:eu-central-1:111122223333:key/k".to_owned(), algorithm: "ECDSA_SHA_256".to_owned() }
}

/// Sealed, not yet closed.
fn sealed() -> Case {
    let mut case = Case::default();
    for name in [case::FINDING, case::BEFORE, case::PLAN] {
        case.put(name, format!("{{\"this\":\"is {name}\"}}"));
    }
    for (state, number) in [("Isolate", 1), ("Isolate", 2), ("Snapshot", 1)] {
        case.record(state, number, "intent");
        case.record(state, number, "outcome");
    }
    case.put(case::SNAPSHOTS, "[]");
    case.put(capture::IMAGE, b"EMiL\x01\0\0\0the whole memory".as_slice());
    for name in [VOLATILE, UNHASHED, capture::STATEMENT] {
        case.put(name, format!("{{\"this\":\"is {name}\"}}"));
    }
    let custody = case.chain(case::CUSTODY, Chain::start(), &[]);
    let manifest = EvidenceManifest {
        schema: EvidenceManifest::SCHEMA.to_owned(),
        case_id: id(),
        execution: execution(),
        instance_id: instance(),
        sealed_at: at(),
        complete: true,
        missing: Vec::new(),
        target: None,
        containment: None,
        protection: None,
        denial: None,
        memory: None,
        lockdown: None,
        context: None,
        snapshots: Vec::new(),
        items: case.items(),
        custody,
        risks: Vec::new(),
        signing: signing(),
    };
    let bytes = serde_json::to_vec(&manifest).unwrap();
    case.put(case::EVIDENCE_SIGNATURE, signature(&bytes));
    case.put(case::EVIDENCE_MANIFEST, bytes);
    case
}

/// Closed, with a finding that joined and a record that was written after the seal.
fn closed() -> Bucket {
    let mut case = sealed();
    let done: Vec<String> = case.objects.keys().cloned().collect();
    case.record("NotifyOpened", 1, "outcome");
    case.put(&case::joined_finding("f2", "2026-11-24T03:31:00Z"), "{\"joined\":true}");
    let (_, start) = custody::check(&case.objects.get(case::CUSTODY).unwrap().bytes, &Chain::start()).unwrap();
    for name in [case::HISTORY, case::REPORT, case::TIMELINE] {
        case.put(name, format!("{{\"this\":\"is {name}\"}}"));
    }
    let custody = case.chain(case::CUSTODY_CLOSING, start, &done);
    let manifest = ClosingManifest {
        schema: ClosingManifest::SCHEMA.to_owned(),
        case_id: id(),
        execution: execution(),
        closed_at: at(),
        closed_by: "Close".to_owned(),
        as_planned: true,
        reasons: Vec::new(),
        failure: None,
        evidence: Some(case.cite(case::EVIDENCE_MANIFEST)),
        items: case.items(),
        custody,
        signing: signing(),
    };
    let bytes = serde_json::to_vec(&manifest).unwrap();
    case.put(case::CLOSING_SIGNATURE, signature(&bytes));
    case.put(case::CLOSING_MANIFEST, bytes);
    case.objects
}

/// Without what only the bucket knows: as a person downloads it.
fn downloaded(mut objects: Bucket) -> Bucket {
    for found in objects.values_mut() {
        found.versions.clear();
    }
    objects
}

fn check(objects: &Bucket) -> Verification {
    verify(&id(), &read(objects), signed)
}

/// The objects that something is wrong with.
fn blamed(objects: &Bucket) -> Vec<String> {
    let verification = check(objects);
    let blamed: Vec<String> =
        verification.objects.iter().filter(|object| !object.problems.is_empty()).map(|object| object.name.clone()).collect();
    assert_eq!(verification.verdict == Verdict::Broken, !blamed.is_empty(), "broken, and only then, names what is");
    blamed
}

fn assert_names(objects: &Bucket, name: &str, what: &str) {
    let blamed = blamed(objects);
    assert!(blamed.iter().any(|blamed| blamed == name), "{what} {name}: verify must name it, but it names {blamed:?}");
}

fn names() -> Vec<String> {
    closed().keys().cloned().collect()
}

#[test]
fn a_case_that_nobody_touched_holds_in_the_bucket_and_downloaded() {
    for objects in [closed(), downloaded(closed())] {
        let verification = check(&objects);
        assert_eq!((verification.verdict, verification.complete), (Verdict::Closed, Some(true)), "{verification:?}");
        assert_eq!(verification.custody_lines, 7);
        assert_eq!(verification.objects.len(), objects.len(), "each object is listed");
    }
    assert_eq!(check(&sealed().objects).verdict, Verdict::EvidenceSealed);
    let mut open = sealed().objects;
    open.retain(|name, _| !name.starts_with("manifest") && name != case::CUSTODY && name != case::SNAPSHOTS);
    assert_eq!(check(&open).verdict, Verdict::Open);
}

#[test]
fn each_object_that_is_dropped_is_named() {
    for name in names() {
        for objects in [closed(), downloaded(closed())] {
            let mut objects = objects;
            objects.remove(&name);
            assert_names(&objects, &name, "dropped");
        }
    }
}

#[test]
fn each_object_that_is_replaced_by_another_is_named() {
    for name in names() {
        for other in names().iter().filter(|other| **other != name) {
            let mut objects = downloaded(closed());
            let bytes = objects.get(other).unwrap().bytes.clone();
            if bytes == objects.get(&name).unwrap().bytes {
                continue;
            }
            objects.get_mut(&name).unwrap().bytes = bytes;
            assert_names(&objects, &name, &format!("replaced by {other}:"));
        }
    }
}

#[test]
fn two_objects_that_change_places_are_both_named() {
    let names = names();
    for (index, one) in names.iter().enumerate() {
        for two in names.iter().skip(index + 1) {
            let mut objects = downloaded(closed());
            let (first, second) = (objects.remove(one).unwrap(), objects.remove(two).unwrap());
            if first == second {
                continue;
            }
            objects.insert(one.clone(), second);
            objects.insert(two.clone(), first);
            assert_names(&objects, one, "swapped");
            assert_names(&objects, two, "swapped");
        }
    }
}

#[test]
fn each_object_that_is_written_or_deleted_again_is_named() {
    for name in names() {
        let mut objects = closed();
        objects.get_mut(&name).unwrap().versions.insert(0, "newer".to_owned());
        assert_names(&objects, &name, "written again");
    }
}

#[test]
fn whatever_is_added_is_named() {
    let outcome = "records/20261124T033000.000Z-Isolate-00-003-outcome.json";
    for name in [
        "extra.json",
        outcome,
        "findings/forged.json",
        "manifest-evidence.json.bak",
        ".hidden",
        "records/../plan.json",
        "memory/extra",
    ] {
        for bytes in [&b"{}"[..], b"", b"\xff"] {
            let mut objects = closed();
            objects.insert(name.to_owned(), Stored { bytes: bytes.to_vec(), ..Stored::default() });
            assert_names(&objects, name, "added");
        }
    }
}

#[test]
fn the_lines_of_both_chains_cannot_be_reordered_dropped_doubled_or_added() {
    for name in [case::CUSTODY, case::CUSTODY_CLOSING] {
        let lines: Vec<Vec<u8>> =
            closed().get(name).unwrap().bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let mut changes: Vec<Vec<Vec<u8>>> = Vec::new();
        for at in 0..lines.len() {
            let (mut dropped, mut doubled, mut moved) = (lines.clone(), lines.clone(), lines.clone());
            dropped.remove(at);
            doubled.insert(at, lines.get(at).unwrap().clone());
            moved.rotate_left(at);
            changes.extend([dropped, doubled, moved]);
        }
        for changed in changes.into_iter().filter(|changed| *changed != lines) {
            let mut objects = downloaded(closed());
            objects.get_mut(name).unwrap().bytes = changed.concat();
            assert_names(&objects, name, "lines of");
        }
    }
}

#[test]
fn a_case_that_was_forged_whole_with_another_key_does_not_hold() {
    let forged = verify(&id(), &read(&closed()), |_, _| false);
    let blamed: Vec<&str> =
        forged.objects.iter().filter(|object| !object.problems.is_empty()).map(|object| object.name.as_str()).collect();
    let manifests = [case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE, case::EVIDENCE_MANIFEST, case::EVIDENCE_SIGNATURE];
    assert_eq!((forged.verdict, blamed), (Verdict::Broken, manifests.to_vec()));
}

#[test]
fn the_case_of_another_execution_does_not_pass_for_this_one() {
    let other = ExecutionArn::parse(&EXECUTION.replace(":one", ":two")).unwrap();
    assert_eq!(verify(&CaseId::new(&instance(), &other), &read(&closed()), signed).verdict, Verdict::Broken);
}

#[test]
fn memory_is_marked_as_taken_on_the_target_and_its_digest_as_the_word_of_whoever_gave_it() {
    let verification = check(&closed());
    let of = |name: &str| {
        let object = verification.objects.iter().find(|object| object.name == name).unwrap();
        (object.trust, object.sha256_by)
    };
    assert_eq!(of(capture::IMAGE), (Some(Trust::HostDependent), Some(DigestBy::Collector)));
    assert_eq!(of(VOLATILE), (Some(Trust::HostDependent), Some(DigestBy::Cordon)));
    assert_eq!(of(UNHASHED), (Some(Trust::HostDependent), None));
    assert_eq!(of(capture::STATEMENT), (Some(Trust::Cordon), Some(DigestBy::Cordon)));
}

/// The case whose manifests list the image like this.
fn listing_the_image(change: impl Fn(&mut Item)) -> Bucket {
    let mut objects = closed();
    let mut evidence: EvidenceManifest = serde_json::from_slice(&objects.get(case::EVIDENCE_MANIFEST).unwrap().bytes).unwrap();
    evidence.items.iter_mut().filter(|item| item.object.key.ends_with(capture::IMAGE)).for_each(&change);
    let evidence = serde_json::to_vec(&evidence).unwrap();
    let mut closing: ClosingManifest = serde_json::from_slice(&objects.get(case::CLOSING_MANIFEST).unwrap().bytes).unwrap();
    closing.items.iter_mut().filter(|item| item.object.key.ends_with(capture::IMAGE)).for_each(&change);
    let (signature, digest) = (signature(&evidence), sha256(&evidence));
    for item in closing.items.iter_mut().map(|item| &mut item.object).chain(closing.evidence.as_mut()) {
        if item.key.ends_with(case::EVIDENCE_MANIFEST) {
            (item.sha256, item.size) = (digest.clone(), evidence.len() as u64);
        } else if item.key.ends_with(case::EVIDENCE_SIGNATURE) {
            (item.sha256, item.size) = (sha256(&signature), signature.len() as u64);
        }
    }
    objects.get_mut(case::EVIDENCE_MANIFEST).unwrap().bytes = evidence;
    objects.get_mut(case::EVIDENCE_SIGNATURE).unwrap().bytes = signature;
    let closing = serde_json::to_vec(&closing).unwrap();
    objects.get_mut(case::CLOSING_SIGNATURE).unwrap().bytes = self::signature(&closing);
    objects.get_mut(case::CLOSING_MANIFEST).unwrap().bytes = closing;
    objects
}

#[test]
fn the_words_of_the_collector_and_of_s3_are_checked_and_bytes_that_neither_vouches_for_do_not_hold() {
    type Change = fn(&mut Item);
    assert_eq!(blamed(&listing_the_image(|_| ())), [""; 0]);
    let wrong: [(&str, &str, Change); 4] = [
        ("the collector's word is wrong", "the target's word was wrong", |item| item.object.sha256 = "0".repeat(64)),
        ("S3's checksum is another", "S3's checksum", |item| item.crc64nvme = Some("AAAAAAAAAAA=".to_owned())),
        ("the size is another", "its bytes", |item| item.object.size += 1),
        ("nobody vouches for it", "no digest", |item| (item.object.sha256, item.crc64nvme) = (String::new(), None)),
    ];
    for (what, said, change) in wrong {
        let objects = listing_the_image(change);
        assert_eq!(blamed(&objects), [capture::IMAGE], "{what}");
        let problems = check(&objects).objects.into_iter().find(|object| object.name == capture::IMAGE).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.contains(said)), "{what}: {problems:?}");
    }
    let unhashed = |item: &mut Item| item.object.sha256 = String::new();
    assert_eq!(blamed(&listing_the_image(unhashed)), [""; 0], "S3's checksum alone vouches for it");
    // Whoever reads it may not know how to compute S3's checksum: then it does not hold either.
    let mut objects = read(&closed());
    objects.get_mut(capture::IMAGE).unwrap().crc64nvme = None;
    assert_eq!(verify(&id(), &objects, signed).verdict, Verdict::Broken);
}

#[test]
fn what_is_too_large_to_be_parsed_does_not_hold() {
    for name in names().into_iter().filter(|name| is_parsed(name)) {
        let mut objects = read(&closed());
        let found = objects.get_mut(&name).unwrap();
        (found.bytes, found.size) = (None, MOST_PARSED + 1);
        let verification = verify(&id(), &objects, signed);
        let object = verification.objects.iter().find(|object| object.name == name).unwrap();
        let told = object.problems.iter().any(|problem| problem.contains("was not read"));
        assert!(verification.verdict == Verdict::Broken && told, "{name}: {:?}", object.problems);
    }
}

#[test]
fn a_closed_case_cannot_be_made_to_look_open_by_taking_its_closing_manifest_away() {
    let mut objects = downloaded(closed());
    objects.remove(case::CLOSING_MANIFEST);
    objects.remove(case::CLOSING_SIGNATURE);
    assert_names(&objects, case::CLOSING_MANIFEST, "taken away with its signature:");
}

proptest! {
    #[test]
    fn any_flipped_byte_of_any_object_is_named(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let names = names();
        let name = which.get(&names);
        let mut objects = downloaded(closed());
        let bytes = &mut objects.get_mut(name).unwrap().bytes;
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        *bytes.get_mut(at).unwrap() ^= flip;
        assert_names(&objects, name, "flipped a byte of");
    }

    #[test]
    fn any_object_cut_short_or_made_longer_is_named(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 1..8)) {
        let names = names();
        let name = which.get(&names);
        let whole = downloaded(closed());
        let bytes = whole.get(name).unwrap().bytes.clone();
        for changed in [bytes.get(..at.index(bytes.len().max(1))).unwrap().to_vec(), [bytes.clone(), tail].concat()] {
            if changed != bytes {
                let mut objects = whole.clone();
                objects.get_mut(name).unwrap().bytes = changed;
                assert_names(&objects, name, "cut or lengthened");
            }
        }
    }

    #[test]
    fn a_sealed_case_that_is_not_closed_names_each_change_of_what_was_sealed(which in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let case = sealed().objects;
        let names: Vec<String> = case.keys().cloned().collect();
        let name = which.get(&names).as_str();
        let mut changed = downloaded(case.clone());
        *changed.get_mut(name).unwrap().bytes.first_mut().unwrap() ^= flip;
        assert_names(&changed, name, "flipped in a sealed case:");
        let mut dropped = downloaded(case.clone());
        dropped.remove(name);
        // Without the manifest nothing is sealed; what it does not prove, it cannot prove.
        if name == case::EVIDENCE_MANIFEST {
            assert_ne!(check(&dropped).verdict, Verdict::EvidenceSealed);
        } else {
            assert_names(&dropped, name, "dropped from a sealed case:");
        }
    }
}
