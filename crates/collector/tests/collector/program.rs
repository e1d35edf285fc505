//! The collector as the program that it is.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};

use incident::capture::{Collected, RESULT};

use crate::captures::{assert_captured, ordinary, target};
use crate::server::{Act, Server};
use crate::target::{Target, case, plan};

fn collector() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    // A proxy that the environment names is not used.
    command
        .env("http_proxy", "http://127.0.0.1:1")
        .env("ALL_PROXY", "http://127.0.0.1:1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Writes the plan as the document finds it, with the collector's URL first.
fn write_plan(target: &Target, server: &Server) -> PathBuf {
    let path = target.root().join("plan");
    fs::write(&path, plan(server, 1..=8).with_collector(&server.url("collector"))).unwrap();
    path
}

fn capture(target: &Target, server: &Server) -> Command {
    let mut command = collector();
    command.current_dir(target.root());
    command.arg("capture").arg("--plan").arg(write_plan(target, server)).args(["--root", ".", "--file", "memory"]);
    command
}

fn said(output: &Output) -> Collected {
    let last = output.stdout.trim_ascii_end().split(|byte| *byte == b'\n').next_back().unwrap();
    serde_json::from_slice(last).unwrap_or_else(|error| panic!("the last line is no result: {error}: {output:?}"))
}

#[test]
fn the_program_captures_prints_one_line_and_exits_with_0() {
    let target = target();
    let server = Server::start(ordinary);
    let output = capture(&target, &server).output().unwrap();
    let collected = said(&output);
    assert_captured(&server, &collected);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout.trim_ascii_end(), server.body(RESULT).unwrap());
    assert_eq!(Collected::find(&output.stdout, &case()), Some(collected.clone()));
    assert_eq!(collected.collector_sha256, incident::text::sha256(&fs::read(env!("CARGO_BIN_EXE_collector")).unwrap()));
    // Three buffers of 5 MiB, and itself; unoptimised code and all.
    assert!((15_000..40_000).contains(&collected.peak_kib), "{} KiB", collected.peak_kib);
}

#[test]
fn the_program_says_why_and_exits_with_1_when_there_is_no_whole_image() {
    let target = Target::new(b"");
    let server = Server::start(ordinary);
    let output = capture(&target, &server).output().unwrap();
    assert_eq!((output.status.code(), said(&output).ok), (Some(1), false));
}

#[test]
fn the_program_lets_the_kernel_end_it_first() {
    let target = target();
    let child = std::sync::Arc::new(OnceLock::<u32>::new());
    let (known, first) = (child.clone(), Mutex::new(None));
    let (score, scored) = mpsc::channel();
    let (started, start) = mpsc::channel::<()>();
    let (score, start) = (Mutex::new(score), Mutex::new(start));
    let server = Server::start(move |request| {
        if first.lock().unwrap().replace(()).is_none() {
            start.lock().unwrap().recv().unwrap();
            let score_of_it = fs::read_to_string(format!("/proc/{}/oom_score_adj", known.get().unwrap())).unwrap();
            score.lock().unwrap().send(score_of_it).unwrap();
        }
        ordinary(request)
    });
    let running: Child = capture(&target, &server).spawn().unwrap();
    child.set(running.id()).unwrap();
    started.send(()).unwrap();
    assert_eq!(scored.recv().unwrap().trim(), "1000");
    assert!(running.wait_with_output().unwrap().status.success());
}

#[test]
fn nobody_has_to_read_what_the_program_prints() {
    let target = target();
    let server = Server::start(ordinary);
    let mut child = capture(&target, &server).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(server.body(RESULT).is_some());
}

#[test]
fn the_program_follows_no_redirect() {
    let target = target();
    let elsewhere = Server::start(|_| Act::take());
    let other = elsewhere.url("1/1");
    let server = Server::start(move |request| match (request.path.as_str(), request.number) {
        ("1/1", 1) => Act::Redirect(other.clone()),
        _ => ordinary(request),
    });
    let output = capture(&target, &server).output().unwrap();
    let collected = said(&output);
    assert_captured(&server, &collected);
    assert_eq!(collected.errors, ["part 1, try 1: HTTP 307"]);
    assert_eq!(elsewhere.count("1/1"), 0);
}

#[test]
fn wrong_usage_exits_with_64_and_a_plan_that_is_none_with_1() {
    let target = Target::new(b"");
    target.write("odd", "http://127.0.0.1/collector\n{\"schema\": 1}");
    let odd = target.root().join("odd");
    let odd = odd.to_str().unwrap();
    for (arguments, code) in [
        (&["release"][..], 64),
        (&["capture"], 64),
        (&["capture", "--plan", "/nonexistent/plan"], 1),
        (&["capture", "--plan", odd], 1),
        (&["capture", "--plan", "/dev/zero"], 1),
    ] {
        let output = collector().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"collector: "), "{arguments:?}: {output:?}");
    }
    let output = collector().arg("--version").output().unwrap();
    assert_eq!(output.stdout, concat!("collector ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}
