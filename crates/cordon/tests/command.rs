//! The command line as people and scripts see it: the real binary, without AWS.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use aws_smithy_types::base64;
use crc_fast::CrcAlgorithm;
use incident::evidence::ObjectRef;
use incident::manifest::{Chain, ClosingManifest, DigestBy, Item, Signing, Trust};
use incident::text::sha256;
use incident::{CaseId, ExecutionArn, InstanceId, capture, case, custody};
use tempfile::TempDir;

const CASE: &str = "i-0abc1234def567890-0123456789ab";

/// Runs `cordon` without anything of AWS's in its environment.
fn cordon(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn wrong_usage_ends_with_64_and_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (no_json, list) = (file("no.json", "{\"a\": "), file("list.json", "[1]"));
    let large = file("large.json", &format!("{{\"a\":\"{}\"}}", "x".repeat(300_000)));
    let here = folder.path().to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["respond"], "INSTANCE_ID"),
        (&["respond", "i-0123456789abcdef0"], "--reason"),
        (&["respond", "i-0123456789abcdef0", "--reason", "why", "--event", "-"], "--event"),
        (&["respond", "--event", "-", "--dry-run"], "--dry-run"),
        (&["respond", "web-1", "--reason", "why"], "web-1"),
        (&["respond", "i-0123456789abcdef0;rm", "--reason", "why"], "i-0123456789abcdef0;rm"),
        (&["respond", "--event", "/does/not/exist"], "/does/not/exist"),
        (&["respond", "--event", here], here),
        (&["respond", "--event", &no_json], "not JSON"),
        (&["respond", "--event", &list], "object"),
        (&["respond", "--event", &large], "large"),
        (&["verify", "no-case"], "no-case"),
        (&["verify", here], "--public-key"),
        (&["verify", here, "--public-key", "/does/not/exist"], "/does/not/exist"),
        (&["release"], "CASE"),
        (&["release", CASE], "--reason"),
        (&["release", CASE, "--rejoin-group"], "--reason"),
        (&["release", CASE, "--reason", " "], "must say why"),
        (&["release", "i-0123456789abcdef0", "--dry-run"], "i-0123456789abcdef0"),
        (&["prepare", "vpc-0123456789abcdef0"], "vpc-0123456789abcdef0"),
        (&["prepare", "--vpc", "subnet-0123456789abcdef0"], "subnet-0123456789abcdef0"),
        (&["doctor", "--everything"], "--everything"),
        (&["verify", "--unknown"], "--unknown"),
    ];
    for (arguments, named) in cases {
        let output = cordon(arguments);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
        assert!(text.contains(named), "{arguments:?}: the message must name `{named}`: {text}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for (arguments, has) in [
        (&["--help"][..], "verify"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["respond", "--help"], "--wait"),
        (&["verify", "--help"], "--public-key"),
        (&["release", "--help"], "--rejoin-group"),
        (&["prepare", "--help"], "--vpc"),
        (&["doctor", "--help"], "--containment"),
    ] {
        let output = cordon(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(has), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn without_credentials_it_fails_with_1_and_says_what_to_do() {
    let output = cordon(&["respond", "i-0123456789abcdef0", "--reason", "why", "--region", "eu-central-1"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("set AWS_PROFILE or log in"), "{}", said(&output));
}

fn id() -> CaseId {
    let execution = ExecutionArn::parse("arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one").unwrap();
    CaseId::new(&InstanceId::parse("i-0abc1234def567890").unwrap(), &execution)
}

/// A downloaded case, closed and signed by a key of its own, and that key.
struct Downloaded {
    folder: TempDir,
    key: PathBuf,
}

/// What was taken on the target, as Seal lists it.
struct Memory {
    name: &'static str,
    bytes: Vec<u8>,
    by: DigestBy,
}

/// An image of several of the chunks in which files are read, and a small file beside it.
fn memory() -> Vec<Memory> {
    let image: Vec<u8> = (0..2_500_000_u32).flat_map(u32::to_le_bytes).take(2_500_001).collect();
    vec![
        Memory { name: capture::IMAGE, bytes: image, by: DigestBy::Collector },
        Memory { name: "memory/volatile.json", bytes: b"{}".to_vec(), by: DigestBy::Cordon },
    ]
}

const RECORD: &str = "records/20261124T033000.000Z-Isolate-00-001-intent.json";

impl Downloaded {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(memory: &[Memory]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(id().to_string());
        let cite = |name: &str, bytes: &[u8]| ObjectRef {
            key: case::key(&id(), name),
            version_id: "v1".to_owned(),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
        };
        let record = br#"{"a":"record"}"#;
        let (chain, custody) = custody::build([(cite(RECORD, record), record.to_vec())], Chain::start());
        let objects = [(case::FINDING, b"{}".to_vec()), (RECORD, record.to_vec()), (case::CUSTODY_CLOSING, chain)];
        let item = |(name, bytes): &(&str, Vec<u8>)| Item::hashed(cite(name, bytes), Trust::Cordon, None);
        let taken = |memory: &Memory| Item {
            object: cite(memory.name, &memory.bytes),
            trust: Trust::HostDependent,
            lock: None,
            crc64nvme: Some(base64::encode(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &memory.bytes).to_be_bytes())),
            sha256_by: memory.by,
        };
        let manifest = ClosingManifest {
            schema: ClosingManifest::SCHEMA.to_owned(),
            case_id: id(),
            execution: ExecutionArn::parse("arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one").unwrap(),
            closed_at: "2026-11-24T03:30:00Z".parse().unwrap(),
            closed_by: "Close".to_owned(),
            as_planned: true,
            reasons: Vec::new(),
            failure: None,
            evidence: None,
            items: objects.iter().map(item).chain(memory.iter().map(taken)).collect(),
            custody,
            signing: Signing { key: "arn:aws:kms:…:key/k".to_owned(), algorithm: "ECDSA_SHA_256".to_owned() },
        };
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let signature = pair.sign(&SystemRandom::new(), &manifest).unwrap().as_ref().to_vec();
        let signed = [(case::CLOSING_MANIFEST, manifest), (case::CLOSING_SIGNATURE, signature)];
        let memory = memory.iter().map(|memory| (memory.name, memory.bytes.clone()));
        for (name, bytes) in objects.into_iter().chain(signed).chain(memory) {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let key = folder.path().join("key.pem");
        fs::write(&key, pem(pair.public_key().as_ref())).unwrap();
        Self { folder, key }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join(id().to_string())
    }

    fn verify(&self, key: &Path, more: &[&str]) -> Output {
        let root = self.root();
        let arguments = [&["verify", root.to_str().unwrap(), "--public-key", key.to_str().unwrap()], more].concat();
        cordon(&arguments)
    }
}

/// A P-256 point as `openssl pkey -pubin` writes it.
fn pem(point: &[u8]) -> String {
    let head: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
    ];
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64::encode([head, point].concat()))
}

#[test]
fn a_downloaded_case_is_checked_without_aws_and_each_object_is_listed() {
    let case = Downloaded::new();
    let output = case.verify(&case.key, &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for name in [case::FINDING, RECORD, case::CUSTODY_CLOSING, case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE] {
        assert!(text.lines().any(|line| line.starts_with("ok") && line.contains(name)), "{name}: {text}");
    }
    assert_eq!(text.lines().last(), Some(format!("VERIFIED: case closed ({})", id()).as_str()));
}

#[test]
fn json_says_the_same_for_programs() {
    let case = Downloaded::new();
    let output = case.verify(&case.key, &["--json"]);
    let parsed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (parsed.pointer("/verdict").unwrap(), parsed.pointer("/schema").unwrap()),
        (&"closed".into(), &"cordon.verification.v1".into())
    );
}

#[test]
fn what_was_done_to_a_downloaded_case_is_named_and_ends_with_1() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("finding.json", |root| fs::write(root.join("finding.json"), "{ }").unwrap()),
        ("finding.json", |root| fs::remove_file(root.join("finding.json")).unwrap()),
        ("extra.txt", |root| fs::write(root.join("extra.txt"), "").unwrap()),
        ("manifest-closing.json.sig", |root| {
            fs::write(root.join("manifest-closing.json.sig"), [0x30, 6, 2, 1, 1, 2, 1, 1]).unwrap();
        }),
        (RECORD, |root| fs::rename(root.join(RECORD), root.join("records/other.json")).unwrap()),
    ];
    for (name, change) in changes {
        let case = Downloaded::new();
        change(&case.root());
        let output = case.verify(&case.key, &[]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {text}");
        assert!(text.lines().any(|line| line.starts_with("BROKEN") && line.contains(name)), "{name} must be named: {text}");
        assert!(text.contains("NOT VERIFIED"), "{text}");
    }
}

#[test]
fn memory_is_checked_by_both_digests_and_told_as_taken_on_the_target() {
    let case = Downloaded::with(&memory());
    let output = case.verify(&case.key, &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_default();
    for taken in memory() {
        assert!(line(taken.name).starts_with("ok") && line(taken.name).contains("taken on the target"), "{text}");
    }
    assert!(line(case::FINDING).contains("by Cordon"), "{text}");
    let honest = line("only as honest as the target's kernel");
    assert!(honest.contains("the SHA-256 of the image is the collector's word"), "{text}");
    assert!(!said(&Downloaded::new().verify(&case.key, &[])).contains("honest"), "of a case without memory nothing is said");

    for taken in memory() {
        for at in [0, taken.bytes.len() / 2, taken.bytes.len() - 1] {
            let case = Downloaded::with(&memory());
            let mut bytes = taken.bytes.clone();
            bytes[at] ^= 1;
            fs::write(case.root().join(taken.name), bytes).unwrap();
            let output = case.verify(&case.key, &[]);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(1), "{} at {at}: {text}", taken.name);
            assert!(text.lines().any(|line| line.starts_with("BROKEN") && line.contains(taken.name)), "{text}");
            assert!(text.contains("S3's checksum"), "both digests must tell: {text}");
        }
    }
}

/// With less memory than the image is large: an image is read in chunks, never as a whole.
#[cfg(target_os = "linux")]
#[test]
fn an_image_that_is_larger_than_memory_is_checked_all_the_same() {
    const LIMIT_KIB: u64 = 600_000;
    let case = Downloaded::with(&[Memory { name: capture::IMAGE, bytes: Vec::new(), by: DigestBy::Collector }]);
    // Without bytes of its own, since it is sparse.
    let image = fs::File::options().write(true).open(case.root().join(capture::IMAGE)).unwrap();
    image.set_len(LIMIT_KIB * 1024 + 1).unwrap();
    let (root, key) = (case.root(), &case.key);
    let script = format!("ulimit -v {LIMIT_KIB}; exec \"$0\" verify \"$1\" --public-key \"$2\"");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_cordon")).arg(root).arg(key).env_clear();
    let output = command.output().unwrap();
    let text = said(&output);
    let size = format!("{} B", LIMIT_KIB * 1024 + 1);
    assert_eq!(output.status.code(), Some(1), "it must end by itself, not for want of memory: {text}");
    assert!(text.lines().any(|line| line.starts_with("BROKEN") && line.contains(&size)), "it must be read to its end: {text}");
}

#[test]
fn a_key_that_is_not_the_deployments_verifies_nothing() {
    let case = Downloaded::new();
    let output = case.verify(&Downloaded::new().key, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("its signature does not hold"), "{}", said(&output));
    let no_key = case.folder.path().join("no.pem");
    fs::write(&no_key, "hello").unwrap();
    let output = case.verify(&no_key, &[]);
    assert!(output.status.code() == Some(1) && said(&output).contains("PEM"), "{}", said(&output));
}

#[test]
fn links_out_of_the_folder_are_not_followed_and_hostile_names_are_printed_harmlessly() {
    let case = Downloaded::new();
    let secret = case.folder.path().join("secret.txt");
    fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, case.root().join("link.txt")).unwrap();
    assert_eq!(case.verify(&case.key, &[]).status.code(), Some(0), "a link is no object of the case");
    fs::write(case.root().join("\u{1b}[2Jgone\n"), "").unwrap();
    let output = case.verify(&case.key, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.contains(&0x1b), "{:?}", String::from_utf8_lossy(&output.stdout));
}
