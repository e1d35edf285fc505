use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use incident::manifest::Chain;
use incident::{case, custody};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::aws::Aws;
use crate::made::{closing, evidence, id, put};
use crate::{out, said};

const HEAD: &[u8] =
    &[0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0];

/// A closed case, signed as KMS signs.
fn closed() -> Aws {
    let aws = Aws::new();
    let image: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (chain, chained) = custody::build::<Vec<u8>>([], Chain::start());
    let objects: [(&str, &[u8]); 4] =
        [(case::FINDING, b"{}"), ("memory/image.lime", &image), ("memory/volatile.json", b"[]"), (case::CUSTODY_CLOSING, &chain)];
    let mut manifest = closing("one", true, &objects);
    manifest["custody"] = serde_json::to_value(chained).unwrap();
    let manifest = manifest.to_string();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signature = pair.sign(&SystemRandom::new(), manifest.as_bytes()).unwrap();
    let key = |name| case::key(&id("one"), name);
    for (name, bytes) in objects {
        aws.put(&key(name), bytes);
    }
    aws.put(&key(case::CLOSING_MANIFEST), &manifest);
    aws.put(&key(case::CLOSING_SIGNATURE), signature.as_ref());
    aws.put("cases/i-0abc1234def567890-ffffffffffff/finding.json", "of another case");
    aws.change(|account| account.key = [HEAD, pair.public_key().as_ref()].concat());
    aws
}

/// Where a case is exported to.
struct To {
    root: TempDir,
}

impl To {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("handed-over")
    }

    fn case(&self) -> PathBuf {
        self.folder().join(id("one").as_str())
    }

    fn export(&self, aws: &Aws, more: &[&str]) -> Output {
        let folder = self.folder();
        aws.cordon(&[&["export", id("one").as_str(), folder.to_str().unwrap()], more].concat())
    }

    /// What lies in the folder, by name.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        walk(self.root.path(), &mut files);
        let mut names: Vec<String> =
            files.iter().map(|file| file.strip_prefix(self.root.path()).unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

fn names(case_files: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = case_files.iter().map(|name| format!("handed-over/{}/{name}", id("one"))).collect();
    names.push("handed-over/cordon-signing-key.pem".to_owned());
    names.sort();
    names
}

const ALL: [&str; 6] = [
    "custody-closing.jsonl",
    "finding.json",
    "manifest-closing.json",
    "manifest-closing.json.sig",
    "memory/image.lime",
    "memory/volatile.json",
];

#[test]
fn a_case_comes_whole_and_the_command_that_is_printed_verifies_it_without_aws() {
    let to = To::new();
    let output = to.export(&closed(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(to.files(), names(&ALL));
    let (folder, case) = (to.folder(), to.case());
    let command = format!("cordon verify {} --public-key {}/cordon-signing-key.pem", case.display(), folder.display());
    let printed = out(&output);
    assert!(printed.starts_with("EXPORTED: 6 objects (1.1 MiB), as the closing manifest has them ("), "{printed}");
    assert_eq!(printed.lines().last().unwrap(), format!("to check it without AWS: {command}"));
    #[cfg(unix)]
    for folder in [&folder, &case, &case.join("memory")] {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder).unwrap());
        assert_eq!(mode & 0o777, 0o700, "memory is for nobody else to read: {}", folder.display());
    }
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let verified = Command::new(env!("CARGO_BIN_EXE_cordon")).args(arguments).env_clear().output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", said(&verified));
    assert!(said(&verified).contains("VERIFIED: case closed"), "{}", said(&verified));
}

#[test]
fn what_is_not_as_it_was_sealed_is_named_and_ends_with_1() {
    type Change = fn(&Aws);
    fn key(name: &str) -> String {
        case::key(&id("one"), name)
    }
    let changes: [(&str, &str, Change); 5] = [
        ("finding.json", "2 versions", |aws| aws.put(&key(case::FINDING), "{}")),
        ("finding.json", "delete marker", |aws| aws.delete(&key(case::FINDING))),
        ("extra.txt", "does not have it", |aws| aws.put(&key("extra.txt"), "x")),
        ("memory/image.lime", "2 versions", |aws| aws.put(&key("memory/image.lime"), "forged")),
        ("manifest-closing.json", "2 versions", |aws| aws.put(&key(case::CLOSING_MANIFEST), "{}")),
    ];
    for (name, problem, change) in changes {
        let (aws, to) = (closed(), To::new());
        change(&aws);
        let output = to.export(&aws, &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        let line = out(&output).lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap_or_default();
        assert!(line.contains(problem), "{name}: {}", said(&output));
        assert!(out(&output).contains("EXPORTED, but"), "{}", said(&output));
        let image = fs::metadata(to.case().join("memory/image.lime")).unwrap().len();
        assert_eq!(image, 1_200_000, "the sealed version is the one that comes");
    }
}

#[test]
fn bytes_that_are_not_the_sealed_ones_and_objects_that_are_gone_are_named() {
    let (aws, to) = (Aws::new(), To::new());
    let key = |name| case::key(&id("one"), name);
    aws.change(|account| account.key = [HEAD, &[4; 65]].concat());
    put(
        &aws,
        "one",
        case::EVIDENCE_MANIFEST,
        &evidence("one", &[], &[(case::FINDING, b"{}"), (case::PLAN, b"{}"), (case::BEFORE, b"{}")]),
    );
    aws.put(&key(case::FINDING), "{}");
    aws.put(&key(case::PLAN), "[]");
    aws.put(&key("records/later.json"), "{}");
    let output = to.export(&aws, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let parsed: Value = serde_json::from_str(&out(&output)).unwrap();
    let problem = |name: &str, problem: &str| json!({"name": name, "problem": problem});
    assert_eq!(
        parsed,
        json!({"schema": "cordon.export.v1", "caseId": id("one"), "folder": to.case(), "manifest": "evidence",
            "publicKey": to.folder().join("cordon-signing-key.pem"), "objects": 4,
            "bytes": parsed["bytes"], "problems": [
                problem("before.json", "it is missing, and the manifest has it"),
                problem("plan.json", "its SHA-256 is not the one in the manifest")]}),
        "what was written after the seal is no problem"
    );
}

#[test]
fn a_hostile_name_is_left_out_and_said_and_nothing_is_written_outside() {
    let (aws, to) = (closed(), To::new());
    let hostile = ["../../../escaped", "..", "a/../b", "/absolute", "a\\b", "c\u{1b}[2J", "d//e", "finding.json/below"];
    for name in hostile {
        aws.put(&case::key(&id("one"), name), "x");
    }
    let output = to.export(&aws, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert_eq!(to.files(), names(&ALL));
    assert_eq!(said(&output).matches("it is left out").count(), hostile.len(), "{}", said(&output));
    assert!(!said(&output).contains('\u{1b}'));
}

#[test]
fn nothing_that_exists_is_replaced_and_what_broke_off_is_removed() {
    let (aws, to) = (closed(), To::new());
    fs::create_dir(to.folder()).unwrap();
    aws.change(|account| account.breaks = Some(case::key(&id("one"), "memory/image.lime")));
    let output = to.export(&aws, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(!to.files().iter().any(|name| name.contains("image.lime")), "{:?}", to.files());

    aws.change(|account| account.breaks = None);
    let before = to.files();
    let output = to.export(&aws, &[]);
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("nothing is overwritten"), "{}", said(&output));
    assert_eq!(to.files(), before);

    let output = To::new().export(&Aws::new(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no object of the case"), "{}", said(&output));
}
