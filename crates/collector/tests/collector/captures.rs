//! Whole captures against a server on the loopback interface that fails in every way that S3 or a network can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use collector::{Options, capture};
use crc_fast::{CrcAlgorithm, checksum};
use incident::capture::{BTF, Collected, KALLSYMS, RESULT, VERSION, VOLATILE, Wave};
use incident::text::sha256;

use crate::server::{Act, Request, Server};
use crate::target::{MIB, PLANTED, Target, case, memory, plan, wave};

pub(crate) fn run(wave: Wave, options: &Options) -> Collected {
    capture::run(wave, options, None)
}

/// Waves other than the first are not there, and everything else is taken.
pub(crate) fn ordinary(request: &Request) -> Act {
    if request.path.starts_with("wave-") { Act::Refuse(403, "AccessDenied") } else { Act::take() }
}

/// The records of an image in LiME: where each starts in memory, and its bytes. Fails where the image is none.
fn records(image: &[u8]) -> Vec<(u64, &[u8])> {
    let mut records = Vec::new();
    let mut rest = image;
    while !rest.is_empty() {
        let (header, after) = rest.split_at(32);
        assert_eq!(&header[..8], b"EMiL\x01\0\0\0", "no header where one should be");
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        let (bytes, next) = after.split_at(usize::try_from(word(16) - word(8) + 1).unwrap());
        records.push((word(8), bytes));
        rest = next;
    }
    records
}

/// Where the planted string is in memory, as the image says.
fn planted(image: &[u8]) -> Vec<usize> {
    let found = |(start, bytes): (u64, &[u8])| {
        let begin = bytes.iter().enumerate().filter(|(_, byte)| **byte == PLANTED[0]).map(|(at, _)| at);
        let at = begin.filter(|at| bytes[*at..].starts_with(PLANTED));
        at.map(|at| at + usize::try_from(start).unwrap()).collect::<Vec<_>>()
    };
    records(image).into_iter().flat_map(found).collect()
}

/// That the server holds a whole image of 20 MiB, and that the result says of it what is so.
pub(crate) fn assert_captured(server: &Server, collected: &Collected) {
    assert!(collected.ok, "the capture failed; its errors say why: {:#?}", collected.errors);
    let image = server.image();
    assert_eq!(collected.bytes, image.len() as u64);
    assert_eq!(collected.sha256, sha256(&image));
    let crc = checksum(CrcAlgorithm::Crc64Nvme, &image);
    assert_eq!(collected.crc64nvme, base64(crc));
    assert_eq!(collected.system_ram, 20 << 20);
    assert_eq!(planted(&image), [4_096 * 3, 4_096 * 9 - 10, 20 * MIB - PLANTED.len()]);
    let line = serde_json::to_vec(collected).unwrap();
    assert!(server.body(RESULT).unwrap() == line, "what is uploaded is not what is printed");
}

/// Of eight bytes, by groups of six bits; written otherwise than the collector's own.
fn base64(value: u64) -> String {
    let bits = u128::from(value) << 2;
    let letter = |at: u32| {
        let six = u8::try_from(bits >> (60 - 6 * at) & 63).unwrap();
        char::from(match six {
            0..26 => b'A' + six,
            26..52 => b'a' + six - 26,
            52..62 => b'0' + six - 52,
            62 => b'+',
            _ => b'/',
        })
    };
    (0..11).map(letter).chain(['=']).collect()
}

/// A target of 20 MiB, whose memory is made once.
pub(crate) fn target() -> Target {
    static MEMORY: OnceLock<Vec<u8>> = OnceLock::new();
    Target::new(MEMORY.get_or_init(|| memory(20)))
}

#[test]
fn a_whole_capture_is_on_the_server_and_the_result_says_so() {
    let target = target();
    let server = Server::start(|request| {
        assert!(request.path.starts_with("wave-") || request.expects, "{} was sent unasked", request.path);
        ordinary(request)
    });
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_captured(&server, &collected);
    assert_eq!((collected.parts, collected.errors), (5, Vec::new()));
    assert_eq!(collected.source, target.memory().to_str().unwrap());
    assert_eq!((collected.format.as_str(), collected.version.as_str()), ("lime", env!("CARGO_PKG_VERSION")));
    assert_eq!(collected.collector_sha256, sha256(&std::fs::read(std::env::current_exe().unwrap()).unwrap()));
    let names: Vec<_> = collected.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, [VOLATILE, VERSION, BTF, KALLSYMS]);
    for file in &collected.files {
        let body = server.body(&file.name).unwrap();
        assert_eq!((file.bytes, file.sha256.clone(), file.cut), (body.len() as u64, sha256(&body), false), "{}", file.name);
    }
    assert_eq!(server.body(VERSION).unwrap(), b"Linux version 6.1.0-test\n");
}

#[test]
fn a_capture_is_whole_though_every_part_fails_once_in_any_way() {
    let target = target();
    for (name, failure) in [
        ("500", Act::Fail(500)),
        ("503", Act::Fail(503)),
        ("a request that S3 says was too slow", Act::Refuse(400, "RequestTimeout")),
        ("cut before the body", Act::Cut(0)),
        ("cut in the middle", Act::Cut(3 * MIB)),
    ] {
        let server = Server::start(move |request| match request.path.as_str() {
            part if part.starts_with("1/") && request.number == 1 => failure.clone(),
            _ => ordinary(request),
        });
        let collected = run(plan(&server, 1..=8), &target.options());
        assert!(!collected.errors.is_empty(), "{name}: nothing is said of the failures");
        assert_captured(&server, &collected);
        for error in &collected.errors {
            assert!(error.contains("part ") && !error.contains("secret"), "{name}: {error}");
        }
    }
}

#[test]
fn an_upload_that_stalls_is_cut_off_and_sent_again() {
    let target = target();
    for (name, count) in [("before the body", 0), ("in the middle", 3 * MIB), ("after the body", 5 * MIB)] {
        let server = Server::start(move |request| match (request.path.as_str(), request.number) {
            ("1/2", 1) => Act::Stall(count),
            _ => ordinary(request),
        });
        let mut options = target.options();
        options.times.stall = Duration::from_millis(700);
        let mut plan = plan(&server, 1..=8);
        // A busy machine may seem to stall too.
        plan.settings.as_mut().unwrap().tries = 10;
        let collected = run(plan, &options);
        assert_captured(&server, &collected);
        let said = collected.errors.iter().any(|error| error == "part 2, try 1: the server did not move for 0.7 s");
        assert!(said, "{name}: {:?}", collected.errors);
    }
}

#[test]
fn a_url_that_has_expired_is_not_tried_again_and_the_next_wave_has_a_new_one() {
    let target = target();
    for expired in [Act::Refuse(403, "AccessDenied"), Act::Refuse(400, "ExpiredToken")] {
        let next = Arc::new(OnceLock::<Vec<u8>>::new());
        let (given, refused) = (next.clone(), AtomicBool::new(false));
        let server = Server::start(move |request| match request.path.as_str() {
            "1/3" | "1/4" | "1/5" => {
                refused.store(true, Ordering::SeqCst);
                expired.clone()
            }
            "wave-2" if refused.load(Ordering::SeqCst) => Act::Give(given.get().unwrap().clone()),
            _ => ordinary(request),
        });
        next.set(serde_json::to_vec(&wave(&server, 2, 3..=8)).unwrap()).unwrap();
        let collected = run(plan(&server, 1..=5), &target.options());
        assert_captured(&server, &collected);
        let said = |error: &String| error.starts_with("part 3, try 1: HTTP 40") || error.starts_with("part 4, try 1: HTTP 40");
        assert!(collected.errors.iter().any(said), "{:?}", collected.errors);
        for part in ["1/3", "1/4", "1/5"] {
            assert!(server.count(part) <= 1, "{part} was tried again with a URL that has expired: {:?}", collected.errors);
        }
    }
}

#[test]
fn while_a_part_waits_for_a_url_the_next_wave_is_looked_for_at_once() {
    let target = target();
    let next = Arc::new(OnceLock::<Vec<u8>>::new());
    let given = next.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "1/3" | "1/4" => Act::Refuse(403, "AccessDenied"),
        "wave-2" => Act::Give(given.get().unwrap().clone()),
        _ => ordinary(request),
    });
    next.set(serde_json::to_vec(&wave(&server, 2, 3..=8)).unwrap()).unwrap();
    let mut options = target.options();
    options.times.poll = None;
    let mut plan = plan(&server, 1..=5);
    // Five minutes are longer than the capture may take.
    plan.poll_seconds = 300;
    assert_captured(&server, &run(plan, &options));
}

#[test]
fn parts_without_a_url_wait_for_the_wave_that_has_it() {
    let target = target();
    let waves = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
    let given = waves.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "wave-2" if request.number == 1 => Act::Fail(500),
        "wave-2" if request.number == 2 => Act::Give(b"{\"not\": \"a wave\"}".to_vec()),
        "wave-2" => Act::Give(given.lock().unwrap()[0].clone()),
        "wave-3" if request.number > 3 => Act::Give(given.lock().unwrap()[1].clone()),
        _ => ordinary(request),
    });
    *waves.lock().unwrap() =
        [wave(&server, 2, 3..=3), wave(&server, 3, 4..=5)].map(|wave| serde_json::to_vec(&wave).unwrap()).to_vec();
    let collected = run(plan(&server, 1..=2), &target.options());
    assert_captured(&server, &collected);
    assert!(collected.errors.iter().all(|error| error.starts_with("wave 2 could not be read")), "{:?}", collected.errors);
}

/// That a run which ended early says why, and of what is on the server what is so.
fn assert_ended(server: &Server, collected: &Collected, parts: u32, why: &str) {
    assert!(!collected.ok, "the capture went on");
    let first = collected.errors.first().unwrap();
    assert!(first.contains(why), "the first error should say `{why}`: {:#?}", collected.errors);
    assert_eq!(collected.parts, parts);
    let image = server.image();
    let taken = &image[..usize::try_from(collected.bytes).unwrap()];
    assert_eq!(
        (collected.sha256.clone(), collected.crc64nvme.clone()),
        (sha256(taken), base64(checksum(CrcAlgorithm::Crc64Nvme, taken)))
    );
}

#[test]
fn a_capture_ends_when_no_url_comes_any_more() {
    let target = target();
    let server = Server::start(ordinary);
    let mut options = target.options();
    options.times.patience = Some(Duration::from_millis(300));
    let collected = run(plan(&server, 1..=2), &options);
    assert_ended(&server, &collected, 2, "no URL came for part 3");
    assert!(server.body(RESULT).is_some(), "the result of a run that failed is sent too");
}

#[test]
fn a_capture_ends_when_a_part_is_never_taken() {
    let target = target();
    let server = Server::start(|request| if request.path == "1/3" { Act::Fail(503) } else { ordinary(request) });
    let mut options = target.options();
    options.times.patience = Some(Duration::from_millis(300));
    let collected = run(plan(&server, 1..=8), &options);
    assert_ended(&server, &collected, 2, "no URL came for part 3");
    assert_eq!(server.count("1/3"), 3, "each URL is tried as often as the plan says");
}

#[test]
fn a_capture_ends_at_once_when_the_upload_is_gone() {
    let target = target();
    let server = Server::start(|request| match request.path.as_str() {
        "1/2" => Act::Refuse(404, "NoSuchUpload"),
        // Nothing comes behind it, so that what is counted is known.
        "1/1" | "1/3" | "1/4" | "1/5" => Act::Stall(0),
        _ => ordinary(request),
    });
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_ended(&server, &collected, 0, "part 2 has nowhere to go: HTTP 404 `NoSuchUpload`");
    assert_eq!(server.count("1/2"), 1);
}

#[test]
fn a_capture_that_is_withdrawn_stops_at_once_and_sends_nothing_more() {
    let target = target();
    let waits = Arc::new(OnceLock::<Vec<u8>>::new());
    let given = waits.clone();
    let (begun, stalled) = mpsc::channel();
    let (begun, stalled) = (Mutex::new(begun), Mutex::new(stalled));
    let server = Server::start(move |request| match request.path.as_str() {
        // Who has sent the first part takes the third.
        "1/2" | "1/3" => {
            begun.lock().unwrap().send(()).unwrap();
            Act::Stall(MIB)
        }
        "wave-2" => {
            // Only once both uploads hang, so that it is they that are cut.
            let stalled = stalled.lock().unwrap();
            stalled.recv().and_then(|()| stalled.recv()).unwrap();
            Act::Give(given.get().unwrap().clone())
        }
        _ => ordinary(request),
    });
    let withdrawn = Wave { withdrawn: Some("released".to_owned()), ..wave(&server, 2, 1..=8) };
    waits.set(serde_json::to_vec(&withdrawn).unwrap()).unwrap();
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_ended(&server, &collected, 1, "the capture was withdrawn: released");
    assert_eq!(server.body(RESULT), None);
}

#[test]
fn a_plan_that_is_withdrawn_or_says_nothing_starts_nothing() {
    let target = target();
    let server = Server::start(ordinary);
    for (plan, why) in [
        (Wave { withdrawn: Some("too late".to_owned()), ..plan(&server, 1..=8) }, "withdrawn: too late"),
        (Wave { settings: None, ..plan(&server, 1..=8) }, "does not say how"),
        (Wave { schema: "cordon.wave.v9".to_owned(), ..plan(&server, 1..=8) }, "another version"),
    ] {
        let collected = run(plan, &target.options());
        assert_ended(&server, &collected, 0, why);
        assert_eq!((server.count("1/1"), server.count(VOLATILE)), (0, 0));
    }
}

#[test]
fn a_server_that_never_moves_cannot_hold_the_collector_beyond_its_deadline() {
    let target = target();
    let server = Server::start(|request| if request.path.contains('/') { Act::Stall(0) } else { ordinary(request) });
    let mut plan = plan(&server, 1..=8);
    plan.settings.as_mut().unwrap().deadline_seconds = 1;
    let collected = run(plan, &target.options());
    assert_ended(&server, &collected, 0, "within its 1 s");
    assert!(collected.seconds < 30.0, "it took {} s", collected.seconds);
    assert!(server.body(RESULT).is_some());
}

#[test]
fn a_target_with_too_little_memory_is_left_alone_and_the_small_files_are_taken() {
    let target = target();
    target.write("proc/meminfo", "MemTotal: 100000 kB\nMemAvailable: 40000 kB\n");
    let server = Server::start(ordinary);
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_ended(&server, &collected, 0, "a capture needs");
    assert_eq!((server.count("1/1"), collected.files.len()), (0, 4));
    assert_eq!(collected.system_ram, 20 << 20);
}

#[test]
fn a_target_with_little_memory_gets_smaller_parts() {
    let target = target();
    target.write("proc/meminfo", "MemAvailable: 58000 kB\n");
    let server = Server::start(ordinary);
    let mut plan = plan(&server, 1..=8);
    plan.settings.as_mut().unwrap().part_bytes = 8 << 20;
    let collected = run(plan, &target.options());
    assert_captured(&server, &collected);
    let first = server.body("1/1").unwrap().len();
    assert!((5 * MIB..6 * MIB).contains(&first), "a third of half of 58 MB less what is fixed is 5.4 MiB, not {first}");
    assert_eq!(collected.parts, 4);
}

#[test]
fn memory_that_is_empty_or_all_zero_is_no_image() {
    for memory in [vec![], vec![0; 3 * MIB]] {
        let target = Target::new(&memory);
        let server = Server::start(ordinary);
        let collected = run(plan(&server, 1..=8), &target.options());
        assert_ended(&server, &collected, 0, "memory could not be read");
        assert!(collected.errors.iter().any(|error| error.contains("zeros only")), "{:?}", collected.errors);
    }
}

#[test]
fn blocks_of_zeros_are_left_out_and_the_others_stay_in_their_places() {
    let mut memory = vec![0; 40 * MIB];
    memory[33 * MIB..33 * MIB + PLANTED.len()].copy_from_slice(PLANTED);
    let target = Target::new(&memory);
    let server = Server::start(ordinary);
    let collected = run(plan(&server, 1..=8), &target.options());
    assert!(collected.ok, "{:?}", collected.errors);
    assert_eq!((collected.bytes, collected.system_ram), ((8 << 20) + 32, 40 << 20));
    assert_eq!(planted(&server.image()), [33 * MIB]);
}

#[test]
fn a_target_without_a_memory_source_says_what_the_kernel_says() {
    let target = target();
    target.write("sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    std::fs::remove_file(target.memory()).unwrap();
    let server = Server::start(ordinary);
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_ended(&server, &collected, 0, "the kernel's lockdown is `confidentiality`");
    assert_eq!((collected.source.as_str(), collected.files.len()), ("", 4));
}

#[test]
fn a_small_file_is_cut_at_its_limit_and_says_so() {
    let target = target();
    target.write("proc/kallsyms", vec![b'k'; 5_000]);
    let server = Server::start(ordinary);
    let mut plan = plan(&server, 1..=8);
    plan.settings.as_mut().unwrap().files[3].limit = 1_000;
    let collected = run(plan, &target.options());
    assert_captured(&server, &collected);
    assert_eq!(server.body(KALLSYMS).unwrap().len(), 1_000);
    let cut: Vec<_> = collected.files.iter().filter(|file| file.cut).map(|file| (file.name.as_str(), file.bytes)).collect();
    assert_eq!(cut, [(KALLSYMS, 1_000)]);
    assert_eq!(collected.errors, ["kallsyms was cut at 1000 bytes"]);
}

#[test]
fn a_small_file_that_is_missing_odd_or_not_taken_is_told_and_the_image_is_taken_all_the_same() {
    let target = target();
    std::fs::remove_file(target.root().join("sys/kernel/btf/vmlinux")).unwrap();
    std::fs::remove_file(target.root().join("proc/version")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", target.root().join("proc/version")).unwrap();
    let server = Server::start(|request| match request.path.as_str() {
        KALLSYMS => Act::Refuse(403, "AccessDenied"),
        _ => ordinary(request),
    });
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_captured(&server, &collected);
    assert_eq!(collected.files.len(), 1);
    for named in [BTF, VERSION, KALLSYMS] {
        assert!(collected.errors.iter().any(|error| error.starts_with(named)), "{named}: {:?}", collected.errors);
    }
    assert_eq!((server.count(VERSION), server.count(KALLSYMS)), (0, 1));
}

#[test]
fn a_result_that_is_not_taken_at_first_is_sent_again() {
    let target = target();
    let server = Server::start(|request| match (request.path.as_str(), request.number) {
        (RESULT, 1) => Act::Cut(0),
        (RESULT, 2) => Act::Fail(500),
        _ => ordinary(request),
    });
    let collected = run(plan(&server, 1..=8), &target.options());
    assert_captured(&server, &collected);
}

#[test]
fn trouble_before_the_capture_is_in_its_result() {
    let target = target();
    let server = Server::start(ordinary);
    let collected = capture::run(plan(&server, 1..=8), &target.options(), Some("before".to_owned()));
    assert_eq!((collected.ok, collected.errors, collected.case_id), (true, vec!["before".to_owned()], case()));
}
