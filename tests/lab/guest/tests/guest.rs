//! What runs in the virtual machine, run here: the real binaries.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn forward(to: &str) -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forward"));
    let mut child = Running(command.args(["127.0.0.1:0", to]).stdout(Stdio::piped()).spawn().unwrap());
    let mut address = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    (child, address.trim().to_owned())
}

#[test]
fn what_is_sent_arrives_and_what_is_answered_comes_back_and_ends() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_forward, address) = forward(&server.local_addr().unwrap().to_string());
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let expected = sent.clone();
    let serving = thread::spawn(move || {
        let (mut connection, _) = server.accept().unwrap();
        let mut got = Vec::new();
        connection.read_to_end(&mut got).unwrap();
        connection.write_all(b"thanks").unwrap();
        got
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "thanks");
    assert!(serving.join().unwrap() == expected, "the bytes must arrive as they were sent");
}

#[test]
fn a_connection_that_cannot_be_handed_on_ends_and_the_next_one_works() {
    // Nobody listens there. A port that was just given back may be the next one given out: to the program itself.
    let (_forward, address) = forward("127.0.0.1:1");
    for _ in 0..2 {
        let mut client = TcpStream::connect(&address).unwrap();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
}

#[test]
fn the_planted_string_is_on_the_heap_and_the_argument_is_not_it() {
    let pool = "stratum+tcp://canary-0123456789abcdef:3333";
    let mut command = Command::new(env!("CARGO_BIN_EXE_miner"));
    let miner = Running(command.arg(pool).spawn().unwrap());
    let planted: Vec<u8> = b"HEAP!".iter().copied().chain(pool.bytes().rev()).collect();
    let folder = format!("/proc/{}", miner.0.id());
    // It plants the string right after it was started, which is now: look until it is there.
    let mut copies = 0;
    for _ in 0..10_000 {
        let maps = fs::read_to_string(format!("{folder}/maps")).unwrap();
        copies = maps.lines().filter(|line| line.ends_with("[heap]")).map(|line| count(&folder, line, &planted)).sum();
        if copies >= 64 {
            break;
        }
        thread::yield_now();
    }
    assert!(copies >= 64, "the string must be on the heap 64 times, and is {copies} times");
    assert!(!fs::read(format!("{folder}/cmdline")).unwrap().windows(planted.len()).any(|part| part == planted));
}

#[test]
fn wrong_usage_is_refused() {
    for (binary, arguments) in [
        (env!("CARGO_BIN_EXE_miner"), &[][..]),
        (env!("CARGO_BIN_EXE_forward"), &["127.0.0.1:0"]),
        (env!("CARGO_BIN_EXE_forward"), &["nowhere", "x"]),
    ] {
        let output = Command::new(binary).args(arguments).output().unwrap();
        assert!(!output.status.success() && !output.stderr.is_empty(), "{binary} {arguments:?}");
    }
}

/// How often `what` is in the memory that a line of `maps` names.
fn count(folder: &str, line: &str, what: &[u8]) -> usize {
    let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).unwrap();
    let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
    let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
    File::open(format!("{folder}/mem")).unwrap().read_exact_at(&mut bytes, from).unwrap();
    bytes.windows(what.len()).filter(|part| *part == what).count()
}
