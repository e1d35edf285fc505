//! A closed case, changed: never called a good one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use incident::evidence::ObjectRef;
use incident::manifest::{Chain, ClosingManifest, DigestBy, EvidenceManifest, Item, Signing, Trust};
use incident::text::sha256;
use incident::verify::{Found, Objects, Verdict, is_parsed, verify};
use incident::{CaseId, InstanceId, capture, case as names, custody};

use crate::execution;

/// One object where it is stored.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    bytes: Vec<u8>,
    versions: Vec<String>,
}

/// The longest line that is doubled, in bytes.
const MOST_OF_A_LINE: usize = 1 << 20;

type Bucket = BTreeMap<String, Stored>;

/// A case is changed as `data` says, one change after the other, and then verified.
pub fn case(data: &[u8]) {
    let good = &*CLOSED;
    let mut bucket = good.clone();
    let mut changes = Bytes(data);
    for _ in 0..16 {
        if !change(&mut bucket, &mut changes) {
            break;
        }
    }
    let found = verify(&id(), &read(&bucket), signed);
    assert_eq!(found.case_id, id());
    let changed = bucket != *good;
    match found.verdict {
        Verdict::Closed => assert!(!changed, "a changed case is closed and holds: {:?}", differing(&bucket, good)),
        // Whoever may delete can take the closing away again; what is left must be what was sealed.
        Verdict::EvidenceSealed => {
            assert!(!bucket.contains_key(names::CLOSING_MANIFEST));
            for name in SEALED.keys() {
                assert!(bucket.get(name) == good.get(name), "{name} was changed, and the evidence is called sealed");
            }
        }
        Verdict::Open => {
            let manifests = [names::EVIDENCE_MANIFEST, names::CLOSING_MANIFEST];
            assert!(!manifests.iter().any(|name| bucket.contains_key(*name)), "a sealed case is called open");
        }
        Verdict::Broken => assert!(changed, "the case as it was made does not hold: {found:?}"),
    }
    let blamed = found.objects.iter().any(|object| !object.problems.is_empty());
    assert_eq!(blamed, found.verdict == Verdict::Broken, "broken without an object to blame, or the other way round");
}

/// One change; false where the data is at its end.
fn change(bucket: &mut Bucket, data: &mut Bytes<'_>) -> bool {
    let (Some(kind), Some(which)) = (data.next(), data.next()) else { return false };
    let list: Vec<String> = bucket.keys().cloned().collect();
    let Some(name) = list.get(usize::from(which) % list.len().max(1)).cloned() else { return false };
    let Some(stored) = bucket.get_mut(&name) else { return false };
    match kind % 10 {
        // A bit, at a place that two bytes name.
        0 => {
            let (at, bit) = (data.number(), data.next().unwrap_or(1));
            let length = stored.bytes.len().max(1);
            if let Some(byte) = stored.bytes.get_mut(at % length) {
                *byte ^= 1 << (bit % 8);
            }
        }
        1 => stored.bytes.truncate(data.number() % (stored.bytes.len() + 1)),
        2 => stored.bytes.extend_from_slice(data.piece()),
        3 => stored.bytes = data.piece().to_vec(),
        4 => {
            bucket.remove(&name);
        }
        5 => {
            let other = list.get(usize::from(data.next().unwrap_or(0)) % list.len()).cloned().unwrap_or_default();
            if let (Some(one), Some(two)) = (bucket.get(&name).cloned(), bucket.get(&other).cloned()) {
                bucket.insert(name, two);
                bucket.insert(other, one);
            }
        }
        6 => {
            let added = String::from_utf8_lossy(data.piece()).into_owned();
            bucket.insert(added, Stored { bytes: data.piece().to_vec(), versions: vec!["added".to_owned()] });
        }
        7 => stored.versions.insert(0, "written-again".to_owned()),
        // A line of a chain twice, or gone.
        8 => {
            let mut lines: Vec<&[u8]> = stored.bytes.split_inclusive(|byte| *byte == b'\n').collect();
            let at = data.number() % lines.len().max(1);
            // Without a line feed it is the whole object, which would be doubled sixteen times.
            if let Some(line) = lines.get(at).copied().filter(|line| line.len() < MOST_OF_A_LINE) {
                lines.insert(at, line);
                stored.bytes = lines.concat();
            }
        }
        _ => {
            let mut lines: Vec<&[u8]> = stored.bytes.split_inclusive(|byte| *byte == b'\n').collect();
            if !lines.is_empty() {
                lines.remove(data.number() % lines.len());
                stored.bytes = lines.concat();
            }
        }
    }
    true
}

fn differing<'a>(one: &'a Bucket, other: &'a Bucket) -> Vec<&'a String> {
    one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name)).collect()
}

/// The data, from its beginning on.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0)) << 8 | usize::from(self.next().unwrap_or(0))
    }

    /// As many bytes as the next one says, or as are left.
    fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.next().unwrap_or(0)).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }
}

static CLOSED: LazyLock<Bucket> = LazyLock::new(closed);
static SEALED: LazyLock<Bucket> = LazyLock::new(|| sealed().0);

fn id() -> CaseId {
    CaseId::new(&instance(), &execution())
}

fn instance() -> InstanceId {
    InstanceId::parse("i-0abc1234def567890").expect("it is well-formed")
}

/// Stands for the deployment's key: nothing in the data can be a signature, since no change is told the secret.
fn signature(bytes: &[u8]) -> Vec<u8> {
    sha256(&[b"the key of the deployment".as_slice(), bytes].concat()).into_bytes()
}

fn signed(bytes: &[u8], given: &[u8]) -> bool {
    signature(bytes) == given
}

fn checksum(bytes: &[u8]) -> String {
    sha256(&[b"checksum".as_slice(), bytes].concat()).chars().take(12).collect()
}

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

fn put(bucket: &mut Bucket, name: &str, bytes: impl Into<Vec<u8>>) {
    bucket.insert(name.to_owned(), Stored { bytes: bytes.into(), versions: vec![format!("version-of-{name}")] });
}

fn cite(bucket: &Bucket, name: &str) -> ObjectRef {
    let Stored { bytes, versions } = &bucket[name];
    ObjectRef { key: names::key(&id(), name), version_id: versions[0].clone(), sha256: sha256(bytes), size: bytes.len() as u64 }
}

/// The kernel's symbols, of which nobody gave a SHA-256 here; and the image, of which the collector did.
const UNHASHED: &str = "memory/kallsyms";

fn items(bucket: &Bucket) -> Vec<Item> {
    let item = |(name, stored): (&String, &Stored)| {
        let item = Item::hashed(cite(bucket, name), Trust::Cordon, None);
        let word = match name.as_str() {
            capture::IMAGE => DigestBy::Collector,
            UNHASHED => DigestBy::Cordon,
            _ => return item,
        };
        let sha256 = if name == UNHASHED { String::new() } else { item.object.sha256.clone() };
        let object = ObjectRef { sha256, ..item.object };
        Item { object, trust: Trust::HostDependent, crc64nvme: Some(checksum(&stored.bytes)), sha256_by: word, lock: None }
    };
    bucket.iter().map(item).collect()
}

fn chain(bucket: &mut Bucket, name: &str, start: Chain, from: usize) -> Chain {
    let records = bucket.iter().filter(|(name, _)| name.starts_with(names::RECORDS)).skip(from);
    let records: Vec<_> = records.map(|(name, stored)| (cite(bucket, name), stored.bytes.clone())).collect();
    let (lines, end) = custody::build(records, start);
    put(bucket, name, lines);
    end
}

fn signing() -> Signing {
    Signing { key: "arn:aws:kms:eu-central-1:111122223333:key/k".to_owned(), algorithm: "ECDSA_SHA_256".to_owned() }
}

fn sealed() -> (Bucket, Chain) {
    let mut bucket = Bucket::new();
    for name in [names::FINDING, names::BEFORE, names::PLAN, names::SNAPSHOTS] {
        put(&mut bucket, name, format!("{{\"this\":\"is {name}\"}}"));
    }
    for (number, phase) in [(1, "intent"), (1, "outcome"), (2, "intent"), (2, "outcome")] {
        let name = format!("records/20261124T033000.000Z-Isolate-00-{number:03}-{phase}.json");
        put(&mut bucket, &name, format!("{{\"number\":{number},\"phase\":\"{phase}\"}}"));
    }
    put(&mut bucket, capture::IMAGE, b"EMiL\x01\0\0\0the whole memory".as_slice());
    put(&mut bucket, UNHASHED, b"ffffffff81000000 T _text\n".as_slice());
    let custody = chain(&mut bucket, names::CUSTODY, Chain::start(), 0);
    let manifest = EvidenceManifest {
        schema: EvidenceManifest::SCHEMA.to_owned(),
        case_id: id(),
        execution: execution(),
        instance_id: instance(),
        sealed_at: "2026-11-24T03:30:00Z".parse().expect("it is a time"),
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
        items: items(&bucket),
        custody: custody.clone(),
        risks: Vec::new(),
        signing: signing(),
    };
    let bytes = serde_json::to_vec(&manifest).expect("it is written");
    put(&mut bucket, names::EVIDENCE_SIGNATURE, signature(&bytes));
    put(&mut bucket, names::EVIDENCE_MANIFEST, bytes);
    (bucket, custody)
}

fn closed() -> Bucket {
    let (mut bucket, custody) = sealed();
    let before = usize::try_from(custody.lines).expect("few");
    put(&mut bucket, "records/20261124T033100.000Z-Notify-00-001-outcome.json", b"{}".as_slice());
    for name in [names::HISTORY, names::REPORT, names::TIMELINE] {
        put(&mut bucket, name, format!("{{\"this\":\"is {name}\"}}"));
    }
    let custody = chain(&mut bucket, names::CUSTODY_CLOSING, custody, before);
    let manifest = ClosingManifest {
        schema: ClosingManifest::SCHEMA.to_owned(),
        case_id: id(),
        execution: execution(),
        closed_at: "2026-11-24T03:40:00Z".parse().expect("it is a time"),
        closed_by: "Close".to_owned(),
        as_planned: true,
        reasons: Vec::new(),
        failure: None,
        evidence: Some(cite(&bucket, names::EVIDENCE_MANIFEST)),
        items: items(&bucket),
        custody,
        signing: signing(),
    };
    let bytes = serde_json::to_vec(&manifest).expect("it is written");
    put(&mut bucket, names::CLOSING_SIGNATURE, signature(&bytes));
    put(&mut bucket, names::CLOSING_MANIFEST, bytes);
    bucket
}
