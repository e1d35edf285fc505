//! The listing of a target that wants to harm who looks.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use collector::{Options, volatile};
use serde_json::Value;

use crate::captures::{assert_captured, ordinary, run, target};
use crate::server::Server;
use crate::target::{Target, case, plan};

const LIMIT: u64 = 16 << 20;

fn listing(target: &Target, options: &Options, limit: u64) -> (Value, bool) {
    let read = volatile::list(&case(), options, limit).unwrap();
    assert!(read.bytes.len() as u64 <= limit, "{} bytes are more than {limit}", read.bytes.len());
    let listing = serde_json::from_slice(&read.bytes);
    (listing.unwrap_or_else(|error| panic!("the listing of {} is no JSON: {error}", target.root().display())), read.cut)
}

/// Writes a process with this command line, as `/proc` shows it.
fn process(target: &Target, pid: u32, name: &str, command: &[u8]) {
    let folder = format!("proc/{pid}");
    target.write(&format!("{folder}/stat"), format!("{pid} ({name}) S 1 {pid} 0 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 777 0 0\n"));
    target.write(&format!("{folder}/status"), "Name:\tx\nUid:\t1000\t1000\t1000\t1000\n");
    target.write(&format!("{folder}/cmdline"), command);
    fs::create_dir_all(target.root().join(&folder).join("fd")).unwrap();
    fs::create_dir_all(target.root().join(&folder).join("ns")).unwrap();
    symlink("/usr/bin/miner (deleted)", target.root().join(&folder).join("exe")).unwrap();
    symlink("net:[4026531840]", target.root().join(&folder).join("ns/net")).unwrap();
    for list in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "unix", "packet"] {
        target.write(&format!("{folder}/net/{list}"), "  header\n");
    }
}

fn of_pid(listing: &Value, pid: u32) -> &Value {
    listing["processes"].as_array().unwrap().iter().find(|process| process["pid"] == pid).unwrap()
}

#[test]
fn a_plain_target_is_listed() {
    let target = Target::new(b"");
    process(&target, 42, "miner", b"xmrig\0-o\0stratum+tcp://pool\0");
    symlink("socket:[4242]", target.root().join("proc/42/fd/3")).unwrap();
    let line = "   0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 1000 0 4242 1 ff\n";
    target.write("proc/42/net/tcp", format!("  header\n{line}"));
    target.write("proc/42/environ", "SECRET=secret-of-the-environment\0");
    let (listing, cut) = listing(&target, &target.options(), LIMIT);
    assert!(!cut);
    let process = of_pid(&listing, 42);
    assert_eq!((&process["name"], &process["parent"], &process["began"]), (&"miner".into(), &1.into(), &777.into()));
    assert_eq!(process["arguments"], serde_json::json!(["xmrig", "-o", "stratum+tcp://pool"]));
    assert_eq!(process["executable"], "/usr/bin/miner (deleted)");
    assert_eq!(process["files"], serde_json::json!([{"number": 3, "target": "socket:[4242]"}]));
    let socket = &listing["sockets"][0];
    assert_eq!((&socket["inode"], &socket["network"]), (&4_242.into(), &"net:[4026531840]".into()));
    assert_eq!(listing["modules"][0]["name"], "virtio_net");
    assert_eq!(listing["mounts"][0]["point"], "/");
    assert_eq!(listing["users"][0]["shell"], "/bin/bash");
    assert_eq!(listing["kernel"]["lockdown"], "[none] integrity confidentiality");
    assert!(!listing.to_string().contains("secret-of-the-environment"));
}

#[test]
fn hostile_processes_are_listed_within_their_bounds() {
    let target = Target::new(b"");
    process(&target, 1, "huge", &vec![b'A'; 10 << 20]);
    process(&target, 2, "many", &b"a\0".repeat(100_000));
    process(&target, 3, "odd) R 9 (\n\u{1b}[31m", b"\xff\xfe\0\n{\"pid\": 4}\n\0\0");
    process(&target, 5, "files", b"files\0");
    for number in 0..10_000 {
        symlink("/dev/null", target.root().join(format!("proc/5/fd/{number}"))).unwrap();
    }
    process(&target, 6, "pipe", b"");
    for file in ["proc/6/cmdline", "proc/6/stat"] {
        let path = target.root().join(file);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    process(&target, 7, "linked", b"");
    fs::remove_file(target.root().join("proc/7/cmdline")).unwrap();
    symlink("/etc/passwd", target.root().join("proc/7/cmdline")).unwrap();
    let long = Path::new(std::ffi::OsStr::from_bytes(&[b'\xff'; 3_000])).to_owned();
    symlink(long, target.root().join("proc/7/cwd")).unwrap();
    target.write("proc/4294967296/stat", "no pid\n");
    target.write("proc/modules", b"\xff\xff\nno module\n");

    let (listing, cut) = listing(&target, &target.options(), LIMIT);
    assert!(!cut, "{:?}", listing["cut"]);
    let huge = of_pid(&listing, 1);
    assert!(huge["argumentsCut"] == true && huge.to_string().len() < 8_000);
    let many = of_pid(&listing, 2);
    assert!(many["argumentsCut"] == true && many["arguments"].as_array().unwrap().len() <= 128);
    let odd = of_pid(&listing, 3);
    assert_eq!(odd["name"], "odd) R 9 (\n\u{1b}[31m");
    assert_eq!((&odd["state"], &odd["parent"]), (&"S".into(), &1.into()));
    assert_eq!(odd["arguments"], serde_json::json!(["\u{fffd}\u{fffd}", "\n{\"pid\": 4}\n", ""]));
    let files = of_pid(&listing, 5);
    assert_eq!((files["files"].as_array().unwrap().len(), &files["openFiles"]), (256, &10_000.into()));
    let pipe = of_pid(&listing, 6);
    assert_eq!((&pipe["name"], &pipe["hangs"]), (&Value::Null, &false.into()));
    let linked = of_pid(&listing, 7);
    assert_eq!(linked["arguments"], serde_json::json!([]));
    assert!(linked["workingDirectory"].as_str().unwrap().len() < 2_000);
    assert_eq!(listing["processes"].as_array().unwrap().len(), 6);
    assert_eq!(listing["modules"], serde_json::json!([{"raw": "\u{fffd}\u{fffd}"}, {"raw": "no module"}]));
}

#[test]
fn a_listing_is_whole_json_however_small_its_limit_is() {
    let target = Target::new(b"");
    for pid in 1..200 {
        process(&target, pid, "\u{1}\u{1}\u{1}", &b"\x01\xff".repeat(500));
    }
    target.write("etc/passwd", "x:x:0:0:c:/h:/s\n".repeat(10_000));
    for limit in [20_000, 60_000, 200_000] {
        let (listing, cut) = listing(&target, &target.options(), limit);
        assert!(cut);
        assert_eq!(listing["cut"], serde_json::json!(["processes", "users"]));
        let processes = listing["processes"].as_array().unwrap().len();
        assert!((1..199).contains(&processes), "{processes} processes in {limit} bytes");
    }
}

#[test]
fn a_listing_that_takes_too_long_ends_and_says_so() {
    let target = Target::new(b"");
    process(&target, 42, "miner", b"xmrig\0");
    let mut options = target.options();
    options.times.listing = Duration::ZERO;
    let (listing, _) = listing(&target, &options, LIMIT);
    assert_eq!(listing["processes"], serde_json::json!([]));
    assert!(listing["errors"].to_string().contains("there was no more time"), "{}", listing["errors"]);
}

#[test]
fn this_machine_is_listed() {
    let target = Target::new(b"");
    let options = Options { root: "/".into(), ..target.options() };
    let (listing, _) = listing(&target, &options, LIMIT);
    let own = of_pid(&listing, std::process::id());
    let binary = std::env::current_exe().unwrap();
    assert_eq!(own["executable"], binary.to_str().unwrap());
    assert_eq!(listing["collectorPid"], std::process::id());
    assert!(listing["kernel"]["version"].as_str().unwrap().starts_with("Linux version"));
    assert!(!listing["mounts"].as_array().unwrap().is_empty());
}

#[test]
fn a_hostile_target_is_captured_all_the_same() {
    let target = target();
    process(&target, 1, "huge", &vec![b'A'; 10 << 20]);
    fs::remove_file(target.root().join("proc/kallsyms")).unwrap();
    assert!(Command::new("mkfifo").arg(target.root().join("proc/kallsyms")).status().unwrap().success());
    let server = Server::start(ordinary);
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_captured(&server, &collected);
    assert!(collected.errors.iter().any(|error| error.contains("kallsyms could not be read")), "{:?}", collected.errors);
}
