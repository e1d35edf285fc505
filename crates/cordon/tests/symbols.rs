//! `cordon symbols` as people and scripts see it: the real binary, on a downloaded case, without AWS.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

#[path = "../src/symbols/made.rs"]
mod made;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const KALLSYMS: &str = "ffffffff91000000 T _text\nffffffff92000000 D init_task\nffffffff92001000 D init_files\n\
                        ffffffff92002000 D linux_banner\nffffffffc0000000 t probe\t[module]\n";
const VERSION: &str = "Linux version 6.1.0-56-cloud-amd64 (b@h) (gcc) #1 SMP\n";

/// A downloaded case with a capture, and an empty folder to work in.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(case.root().join("memory")).unwrap();
        fs::create_dir(case.work()).unwrap();
        case.put("btf", &made::kernel().bytes());
        case.put("kallsyms", KALLSYMS.as_bytes());
        case.put("version", VERSION.as_bytes());
        case
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("case")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root().join("memory").join(name), bytes).unwrap();
    }

    fn symbols(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
        command.arg("symbols").arg(self.root()).args(more).current_dir(self.work());
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").output().unwrap()
    }

    /// What lies in the folder that the command ran in.
    fn made(&self) -> Vec<String> {
        let entries = fs::read_dir(self.work()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_symbol_file_is_named_after_the_kernel_and_said_so() {
    let case = Case::new();
    let output = case.symbols(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(case.made(), ["6.1.0-56-cloud-amd64.json"]);
    for has in ["6.1.0-56-cloud-amd64.json: ", "4 symbols", "moved by 0x10000000"] {
        assert!(said(&output).contains(has), "`{has}` is missing in: {}", said(&output));
    }
    let isf = json(&case.work().join("6.1.0-56-cloud-amd64.json"));
    assert_eq!(isf.pointer("/symbols/init_task/address"), Some(&0xffff_ffff_8200_0000_u64.into()));
    assert_eq!(isf.pointer("/user_types/task_struct/fields/pid/offset"), Some(&4.into()));
}

#[test]
fn output_and_json_are_as_asked_for_and_nothing_is_replaced() {
    let case = Case::new();
    let output = case.symbols(&["--output", "here.json", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (field, value) in [("schema", "cordon.symbols.v1"), ("file", "here.json"), ("moved", "0x10000000")] {
        assert_eq!(made.get(field), Some(&value.into()), "{made}");
    }
    let before = fs::read(case.work().join("here.json")).unwrap();
    case.put("version", b"Linux version 7.0 (x) #1\n");
    let again = case.symbols(&["--output", "here.json"]);
    assert_eq!(again.status.code(), Some(64), "{}", said(&again));
    assert!(said(&again).contains("here.json") && said(&again).contains("--output"), "{}", said(&again));
    assert_eq!(fs::read(case.work().join("here.json")).unwrap(), before, "the existing file must not be touched");
}

#[test]
fn what_cannot_be_used_is_named_with_the_reason_and_nothing_is_written() {
    let btf = made::kernel().bytes();
    let many = vec![b'a'; (64 << 10) + 1];
    let elsewhere = KALLSYMS.replace("T _text", "T _stext");
    let functions = KALLSYMS.replace("linux_banner", "something");
    let cases: &[(&str, &[u8], &str)] = &[
        ("btf", b"", "no BTF"),
        ("btf", &btf[..btf.len() - 1], "was cut"),
        ("btf", &made::Made::new().bytes(), "task_struct"),
        ("kallsyms", b"", "was cut"),
        ("kallsyms", b"0000000000000000 T _text\n", "kptr_restrict"),
        ("kallsyms", b"\x1b[2J\n", "line 1"),
        ("kallsyms", elsewhere.as_bytes(), "_text"),
        ("kallsyms", functions.as_bytes(), "linux_banner"),
        ("version", b"Linux version 6.1.0", "cut"),
        ("version", b"Linux version 6.1.0 a\nb\n", "one line"),
        ("version", b"Windows\n", "Linux version"),
        ("version", "Linux version 6.1\u{202e}0 (b@h) #1\n".as_bytes(), "a release"),
        ("version", &many, "65536"),
    ];
    for (name, bytes, why) in cases {
        let case = Case::new();
        case.put(name, bytes);
        let output = case.symbols(&[]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{name}, {why}: {text}");
        assert!(text.contains(&format!("memory/{name}")) && text.contains(why), "`memory/{name}` and `{why}` must be in: {text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert_eq!(case.made(), [""; 0], "{name}, {why}: nothing must be written");
    }
}

#[test]
fn what_is_not_in_the_case_is_named_and_links_are_not_followed() {
    for name in ["btf", "kallsyms", "version"] {
        let case = Case::new();
        let path = case.root().join("memory").join(name);
        let outside = case.folder.path().join("outside");
        fs::rename(&path, &outside).unwrap();
        for linked in [false, true] {
            if linked {
                std::os::unix::fs::symlink(&outside, &path).unwrap();
            }
            let output = case.symbols(&[]);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
            assert!(
                said(&output).contains(&format!("memory/{name} of the case cannot be used: it is not in the case")),
                "{}",
                said(&output)
            );
        }
    }
}

#[test]
fn a_hostile_release_makes_no_path() {
    for release in ["../../etc/passwd", ".hidden", "a/b", "6.1+", &"x".repeat(200)] {
        let case = Case::new();
        case.put("version", format!("Linux version {release} (b@h) #1 SMP\n").as_bytes());
        let output = case.symbols(&[]);
        assert_eq!(output.status.code(), Some(0), "{release}: {}", said(&output));
        let made = case.made();
        assert!(matches!(&made[..], [one] if one.starts_with("sha256-")), "{release}: {made:?}");
    }
}

#[test]
fn neither_a_case_nor_a_folder_ends_with_64() {
    let case = Case::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordon"));
    let output = command.args(["symbols", "no-case"]).current_dir(case.work()).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(said(&output).contains("no-case"), "{}", said(&output));
}
