//! A whole case in memory, and everything that can be done to it: `verify` finds each change and names the object.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use incident::evidence::ObjectRef;
use incident::manifest::{Chain, ClosingManifest, EvidenceManifest, Item, Signing, Trust};
use incident::text::sha256;
use incident::verify::{Found, Objects, Verdict, Verification, verify};
use incident::{CaseId, ExecutionArn, InstanceId, case, custody};
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

/// A case as the steps build it: put, then cite.
#[derive(Default)]
struct Case {
    objects: Objects,
}

impl Case {
    fn put(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let found = Found { bytes: bytes.into(), versions: vec![format!("version-of-{name}")], lock: None };
        self.objects.insert(name.to_owned(), found);
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
        self.objects.keys().map(|name| Item { object: self.cite(name), trust: Trust::Cordon, lock: None }).collect()
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
    let custody = case.chain(case::CUSTODY, Chain::start(), &[]);
    let manifest = EvidenceManifest {
        schema: EvidenceManifest::SCHEMA.to_owned(),
        case_id: id(),
        execution: execution(),
        instance_id: instance(),
        sealed_at: at(),
        complete: true,
        missing: Vec::new(),
        containment: None,
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
fn closed() -> Objects {
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
fn downloaded(mut objects: Objects) -> Objects {
    for found in objects.values_mut() {
        found.versions.clear();
    }
    objects
}

fn check(objects: &Objects) -> Verification {
    verify(&id(), objects, signed)
}

/// The objects that something is wrong with.
fn blamed(objects: &Objects) -> Vec<String> {
    let verification = check(objects);
    let blamed: Vec<String> =
        verification.objects.iter().filter(|object| !object.problems.is_empty()).map(|object| object.name.clone()).collect();
    assert_eq!(verification.verdict == Verdict::Broken, !blamed.is_empty(), "broken, and only then, names what is");
    blamed
}

fn assert_names(objects: &Objects, name: &str, what: &str) {
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
    for name in ["extra.json", outcome, "findings/forged.json", "manifest-evidence.json.bak", ".hidden", "records/../plan.json"] {
        for bytes in [&b"{}"[..], b"", b"\xff"] {
            let mut objects = closed();
            objects.insert(name.to_owned(), Found { bytes: bytes.to_vec(), ..Found::default() });
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
    let forged = verify(&id(), &closed(), |_, _| false);
    let blamed: Vec<&str> =
        forged.objects.iter().filter(|object| !object.problems.is_empty()).map(|object| object.name.as_str()).collect();
    let manifests = [case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE, case::EVIDENCE_MANIFEST, case::EVIDENCE_SIGNATURE];
    assert_eq!((forged.verdict, blamed), (Verdict::Broken, manifests.to_vec()));
}

#[test]
fn the_case_of_another_execution_does_not_pass_for_this_one() {
    let other = ExecutionArn::parse(&EXECUTION.replace(":one", ":two")).unwrap();
    assert_eq!(verify(&CaseId::new(&instance(), &other), &closed(), signed).verdict, Verdict::Broken);
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
