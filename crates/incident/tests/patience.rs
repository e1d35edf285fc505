//! 10,000 cases that wait for their snapshots in one account and Region, and what EC2 takes from it.
//!
//! A model, seeded and without a clock: nobody freezes more targets than `CreateSnapshots` lets through, each of them looks
//! when its wait begins, when it hears that its snapshots have ended, and when it has not heard for as long as
//! [`incident::patience`] says. AWS publishes the buckets: burst, and what is filled up again in a second.

#![expect(clippy::unwrap_used, reason = "the ids of the model are well-formed")]
#![expect(clippy::print_stdout, reason = "what the model gives stands in docs/performance.md")]
#![expect(clippy::cast_precision_loss, reason = "a model in seconds")]

use incident::patience::pauses;
use incident::{CaseId, ExecutionArn, InstanceId};
use jiff::Timestamp;

const CASES: usize = 10_000;
/// Mutating calls of this kind: 100 at once, then 5 in a second.
const CREATE: Bucket = Bucket { burst: 100.0, refill: 5.0 };
/// Filtered describes: 100 at once, then 20 in a second.
const DESCRIBE: Bucket = Bucket { burst: 100.0, refill: 20.0 };
/// From the answer to `CreateSnapshots` to the first look: the locks, the other branches and two states, in seconds.
const FIRST_LOOK: std::ops::Range<f64> = 1.0..4.0;

#[derive(Clone, Copy)]
struct Bucket {
    burst: f64,
    refill: f64,
}

impl Bucket {
    /// The time at which call `n` is let through, if all of them are made at once.
    fn paced(self, n: usize) -> f64 {
        ((n as f64 + 1.0 - self.burst) / self.refill).max(0.0)
    }

    /// What is left at the worst moment of these calls; below zero, some are refused.
    fn least(self, mut calls: Vec<f64>) -> f64 {
        calls.sort_by(f64::total_cmp);
        let (mut left, mut least, mut at) = (self.burst, self.burst, 0.0);
        for call in calls {
            left = (left + (call - at) * self.refill).min(self.burst) - 1.0;
            least = least.min(left);
            at = call;
        }
        least
    }
}

/// Random numbers that are the same in each run.
struct Seeded(u64);

impl Seeded {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What is simulated.
struct World {
    name: &'static str,
    /// How long a snapshot takes, in seconds, from a random number.
    lasts: fn(f64) -> f64,
    /// How many of a hundred events are lost.
    lost: f64,
}

/// What came of it.
struct Seen {
    /// The looks of those who wait.
    looks: Vec<f64>,
    /// The looks of the step that takes the snapshots, for those of an earlier attempt: they take from the same bucket.
    before: Vec<f64>,
    /// For how long nobody saw what had ended, at most, as a share of what it had taken.
    latest: f64,
}

fn id(case: usize) -> CaseId {
    let execution = format!("arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:{case}");
    CaseId::new(&InstanceId::parse(&format!("i-{case:017x}")).unwrap(), &ExecutionArn::parse(&execution).unwrap())
}

fn simulated(world: &World) -> Seen {
    let mut random = Seeded(20_261_128);
    let deadline = Timestamp::from_second(72 * 3_600).unwrap_or_default();
    let mut seen = Seen { looks: Vec::new(), before: Vec::new(), latest: 0.0 };
    for case in 0..CASES {
        let taken = CREATE.paced(case);
        let begun = taken + FIRST_LOOK.start + (FIRST_LOOK.end - FIRST_LOOK.start) * random.next();
        let ended = taken + (world.lasts)(random.next());
        // An event comes some seconds after the end, or never.
        let heard = (random.next() * 100.0 >= world.lost).then(|| ended + 1.0 + 4.0 * random.next());
        seen.before.push(taken);
        let mut at = begun;
        seen.looks.push(at);
        for pause in &pauses(Timestamp::UNIX_EPOCH, deadline, &id(case)) {
            if at >= ended {
                break;
            }
            let due = at + f64::from(*pause);
            at = heard.filter(|heard| *heard > at && *heard < due).unwrap_or(due);
            seen.looks.push(at);
        }
        seen.latest = seen.latest.max((at - ended) / (ended - taken).max(4_800.0));
    }
    seen
}

const WORLDS: [World; 9] = [
    World { name: "each takes 3 minutes", lasts: |_| 180.0, lost: 0.0 },
    World { name: "each takes 3 minutes, every event is lost", lasts: |_| 180.0, lost: 100.0 },
    World { name: "each takes 40 minutes", lasts: |_| 2_400.0, lost: 0.0 },
    World { name: "each takes 40 minutes, every event is lost", lasts: |_| 2_400.0, lost: 100.0 },
    World { name: "each takes 6 hours", lasts: |_| 21_600.0, lost: 0.0 },
    World { name: "each takes 6 hours, every event is lost", lasts: |_| 21_600.0, lost: 100.0 },
    World { name: "from 1 minute to 20 hours", lasts: |r| 60.0 * 1_200.0_f64.powf(r), lost: 0.0 },
    World { name: "from 1 minute to 20 hours, a tenth is lost", lasts: |r| 60.0 * 1_200.0_f64.powf(r), lost: 10.0 },
    World { name: "from 1 minute to 20 hours, every event is lost", lasts: |r| 60.0 * 1_200.0_f64.powf(r), lost: 100.0 },
];

#[test]
fn ten_thousand_cases_that_wait_stay_under_what_ec2_takes() {
    for world in &WORLDS {
        let seen = simulated(world);
        let least = DESCRIBE.least(seen.looks.clone());
        println!(
            "{}: {:.1} looks for each case, at the worst moment {least:.0} of 100 left",
            world.name,
            seen.looks.len() as f64 / CASES as f64
        );
        assert!(least >= 0.0, "{}: {least}", world.name);
        assert!(seen.latest <= 0.51, "{}: seen late by {:.2} of what it took", world.name, seen.latest);
    }
}

#[test]
fn with_the_looks_before_they_are_taken_it_is_too_much_for_seconds_only() {
    // A hundred cases that begin at once look twice within two seconds: the SDK and the state machine try again.
    for world in &WORLDS {
        let seen = simulated(world);
        let later = |at: &&f64| **at > 60.0;
        let all: Vec<f64> = seen.looks.iter().chain(&seen.before).filter(later).copied().collect();
        let least = DESCRIBE.least(all);
        assert!(least >= 0.0, "{}: {least}", world.name);
    }
}

#[test]
fn a_poll_each_quarter_of_a_minute_would_be_too_much_by_far() {
    // What the model is worth: it finds what is too much.
    let looks = (0..CASES).flat_map(|case| (0..160).map(move |n| CREATE.paced(case) + 15.0 * f64::from(n))).collect();
    assert!(DESCRIBE.least(looks) < -1_000.0);
}
