//! The largest case that is reckoned with: an image of 10,000 parts, 128 snapshots and 5,000 records. It is sealed and closed
//! within the memory and the time that the template gives the function.
//!
//! A test binary of its own: what is measured is the memory of the process.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

#[path = "seal/support.rs"]
#[expect(dead_code, reason = "what the other tests need")]
mod support;

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use incident::manifest::{ClosingManifest, EvidenceManifest};
use seal::{Clients, Input, handle};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::*;

/// A visit of a state writes two records of each change.
const VISITS: usize = 25;
const PAIRS: usize = 100;
/// With the two that every case of these tests has.
const RECORDS: usize = 2 * VISITS * PAIRS + 2;
const SNAPSHOTS: usize = 128;
const PARTS: u64 = 10_000;
/// How long one call takes: from a function to S3 in its Region, and on the high side.
const CALL_MILLIS: u64 = 50;
/// What the function takes before it does anything, in MiB (docs/performance.md).
const ITSELF: u64 = 34;

/// The network: every call that goes on takes one round, and the next round begins when nobody has anything else to do.
#[derive(Debug, Clone, Default)]
struct Rounds(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    round: u64,
    calls: u64,
    waiting: Vec<Waker>,
}

impl Rounds {
    async fn pass(&self) {
        let mine = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            state.round
        };
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            if state.round > mine {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Lets a round end whenever there has been no new call for a long while of turns.
    async fn turn(self) {
        loop {
            let before = self.0.lock().unwrap().calls;
            for _ in 0..300 {
                tokio::task::yield_now().await;
            }
            let woken = {
                let mut state = self.0.lock().unwrap();
                if state.calls > before || state.waiting.is_empty() {
                    continue;
                }
                state.round += 1;
                std::mem::take(&mut state.waiting)
            };
            woken.into_iter().for_each(Waker::wake);
        }
    }

    /// The rounds since this was last asked.
    fn taken(&self) -> u64 {
        std::mem::take(&mut self.0.lock().unwrap().round)
    }
}

/// A client whose calls take a round each.
#[derive(Debug, Clone)]
struct Far {
    near: SharedHttpClient,
    rounds: Rounds,
}

impl HttpClient for Far {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let near = self.near.http_connector(settings, components);
        SharedHttpConnector::new(FarConnector { near, rounds: self.rounds.clone() })
    }
}

#[derive(Debug)]
struct FarConnector {
    near: SharedHttpConnector,
    rounds: Rounds,
}

impl HttpConnector for FarConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (near, rounds) = (self.near.clone(), self.rounds.clone());
        HttpConnectorFuture::new(async move {
            rounds.pass().await;
            near.call(request).await
        })
    }
}

/// A number of the function's section in the template.
fn template(field: &str) -> u64 {
    let text = include_str!("../../../infra/template.yaml");
    let section = text.split_once("\n  SealFunction:\n").expect("the template has the function").1;
    let line = section.lines().find_map(|line| line.trim().strip_prefix(field)).expect("the function has it");
    line.trim().parse().unwrap_or_else(|_| panic!("{field}{line} is no number"))
}

/// A number of the kernel's about this process, in MiB.
fn memory_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the kernel tells it");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_024
}

fn id(at: usize) -> String {
    format!("{at:017x}")
}

fn all_snapshots() -> Answer {
    let of = |at| {
        let id = id(at);
        format!(
            "<item><snapshotId>snap-{id}</snapshotId><volumeId>vol-{id}</volumeId><status>completed</status>\
             <volumeSize>8</volumeSize><encrypted>true</encrypted></item>"
        )
    };
    let items: String = (0..SNAPSHOTS).map(of).collect();
    Answer::xml(format!("<DescribeSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeSnapshotsResponse>"))
}

fn all_locks() -> Answer {
    let of = |at| {
        let id = id(at);
        format!(
            "<item><snapshotId>snap-{id}</snapshotId><lockState>governance</lockState><lockDuration>30</lockDuration>\
             <lockExpiresOn>2026-12-24T03:30:00.000Z</lockExpiresOn></item>"
        )
    };
    let items: String = (0..SNAPSHOTS).map(of).collect();
    Answer::xml(format!("<DescribeLockedSnapshotsResponse><snapshotSet>{items}</snapshotSet></DescribeLockedSnapshotsResponse>"))
}

fn large(input: Value, memory: &Value) -> Value {
    let mut input = input;
    let taken = |at: usize| {
        json!({"snapshotId": format!("snap-{}", id(at)), "volumeId": format!("vol-{}", id(at)), "inSet": true,
            "startedAt": "2026-11-24T03:30:02Z", "lock": {"status": "locked", "mode": "governance", "days": 30}})
    };
    let looked = |at: usize| {
        json!({"snapshotId": format!("snap-{}", id(at)), "volumeId": format!("vol-{}", id(at)), "state": "completed",
            "percent": 100, "sizeGib": 8, "completedAt": null})
    };
    let volume = |at: usize| json!({"id": format!("vol-{}", id(at)), "device": format!("/dev/{at}"), "root": at == 0});
    for (path, value) in [
        ("/plan/target/volumes", (0..SNAPSHOTS).map(volume).collect::<Value>()),
        ("/freeze/snapshots", (0..SNAPSHOTS).map(taken).collect()),
        ("/preserved/snapshots", (0..SNAPSHOTS).map(looked).collect()),
        ("/memory", memory.clone()),
    ] {
        *input.pointer_mut(path).expect("the payload has it") = value;
    }
    let bytes = input.to_string().len();
    assert!(bytes < 256 << 10, "a payload of {bytes} bytes is too long for Step Functions");
    input
}

#[tokio::test]
async fn the_largest_case_is_sealed_and_closed_within_the_functions_memory_and_time() {
    let aws = world().on("ec2:DescribeSnapshots", all_snapshots()).on("ec2:DescribeLockedSnapshots", all_locks());
    for visit in 0..VISITS {
        let entered = format!("2026-11-24T03:{:02}:00Z", 31 + visit);
        for (number, phase) in (1..=PAIRS).flat_map(|number| [(number, "intent"), (number, "outcome")]) {
            let mut record = record("Snapshot", 0, phase);
            record["visit"]["entered"] = json!(entered);
            record["number"] = json!(number);
            // Twice as long as the records of a real case are.
            record["note"] = json!({"why": "x".repeat(1_500)});
            put(&aws, &format!("records/20261124T03{:02}00.000Z-Snapshot-00-{number:03}-{phase}.json", 31 + visit), &record);
        }
    }
    let mut memory = captured(&aws, &[7; 2_000], &incident::text::sha256(&[7; 2_000])).await;
    memory["image"]["parts"] = json!(PARTS);
    aws.forget_calls();

    let rounds = Rounds::default();
    let config = aws.config().into_builder().http_client(Far { near: aws.http_client(), rounds: rounds.clone() }).build();
    let near = clients(&aws);
    let clients = Clients {
        ec2: aws_sdk_ec2::Client::new(&config),
        kms: aws_sdk_kms::Client::new(&config),
        sfn: aws_sdk_sfn::Client::new(&config),
        lambda: aws_sdk_lambda::Client::new(&config),
        store: handler::Store { s3: aws_sdk_s3::Client::new(&config), ..near.store.clone() },
        ..near
    };
    let turning = tokio::spawn(rounds.clone().turn());
    let (most_memory, most_seconds) = (template("MemorySize:"), template("Timeout:"));
    let before = memory_mib("VmRSS:");

    let run = async |what: &str, input: Value| {
        let input: Input = serde_json::from_value(input).expect("the payload must parse");
        let output = handle(&clients, input).await.unwrap();
        let (seconds, calls) = (rounds.taken() * CALL_MILLIS / 1_000, aws.actions().len());
        aws.forget_calls();
        // The bucket of the test grows with it too, so this is more than what the function takes.
        let mib = ITSELF + memory_mib("VmHWM:").saturating_sub(before);
        eprintln!("{what}: {calls} calls, {seconds} s of waiting for them, at most {mib} MiB");
        assert!(
            seconds * 2 <= most_seconds,
            "{what} waits for {seconds} s, and half of its {most_seconds} s are for its own work"
        );
        assert!(mib * 2 <= most_memory, "{what} takes {mib} MiB of its {most_memory}");
        output
    };
    let sealed = run("sealing", large(evidence(), &memory)).await;
    let manifest: EvidenceManifest = read(&aws, "manifest-evidence.json");
    // The test puts its objects without a lock, so that there is a sentence about each of them too.
    let others: Vec<_> = manifest.missing.iter().filter(|missing| !missing.item.starts_with("lock:")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!((manifest.snapshots.len(), manifest.custody.lines), (SNAPSHOTS, RECORDS as u64));
    run("closing", large(close(&sealed), &memory)).await;
    turning.abort();
    let manifest: ClosingManifest = read(&aws, "manifest-closing.json");
    assert!(manifest.items.len() > RECORDS && manifest.custody.lines >= RECORDS as u64, "{} items", manifest.items.len());
    let image = manifest.items.iter().find(|item| item.object.key == key(IMAGE)).expect("the image is listed");
    assert_eq!(image.sha256_by, incident::manifest::DigestBy::Collector);
}
