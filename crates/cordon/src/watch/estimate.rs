//! When a long wait will have ended, from the looks that were seen. Pure.
//!
//! INVARIANT: no estimate lies before the last look, and where nothing can be known nothing is said.

use incident::progress::Progress;
use jiff::{SignedDuration, Timestamp};

/// How much the newest look counts against all those before it. EC2 tells the progress of a snapshot in leaps, and one leap
/// says little.
const WEIGHT: f64 = 0.3;
/// What is further off than this, in seconds, is no estimate: 30 days.
const FURTHEST: f64 = 30.0 * 86_400.0;

/// When the wait that these looks are of (the oldest first) will have ended, if it goes on as it has.
pub(super) fn due(looks: &[Progress]) -> Option<Timestamp> {
    let (first, newest) = (looks.first()?, looks.last()?);
    if newest.ended {
        return None;
    }
    let by_bytes = looks.iter().all(|look| bytes(look).is_some());
    let fraction = |look: &Progress| bytes(look).filter(|_| by_bytes).unwrap_or(f64::from(look.percent.min(100)) / 100.0);
    let (mut at, mut done, mut rate) = (first.since, 0.0, None);
    for look in looks {
        let (seconds, now) = (look.at.duration_since(at).as_secs_f64(), fraction(look));
        if seconds <= 0.0 {
            continue;
        }
        let pace = (now - done) / seconds;
        rate = match rate {
            // It began anew: what was seen before says nothing.
            _ if pace < 0.0 => None,
            None => Some(pace),
            Some(before) => Some(before + (pace - before) * WEIGHT),
        };
        (at, done) = (look.at, now);
    }
    let left = (1.0 - done) / rate.filter(|rate| *rate > 0.0)?;
    let known = done > 0.0 && done < 1.0 && left <= FURTHEST;
    let left = SignedDuration::try_from_secs_f64(left.round()).ok().filter(|_| known)?;
    at.checked_add(left).ok()
}

/// The part that has come, by its bytes, where those are known. A percentage has steps of a hundredth.
fn bytes(look: &Progress) -> Option<f64> {
    let (done, of) = (look.done_bytes?, look.of_bytes.filter(|of| *of > 0)?);
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
    Some((done as f64 / of as f64).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::progress::Stage;
    use proptest::prelude::*;

    fn start() -> Timestamp {
        "2026-11-24T03:30:00Z".parse().unwrap()
    }

    fn look(seconds: i64, percent: u8, bytes: Option<u64>) -> Progress {
        Progress {
            schema: Progress::SCHEMA.to_owned(),
            stage: Stage::Memory,
            since: start(),
            at: start() + SignedDuration::from_secs(seconds),
            percent,
            done_bytes: bytes,
            of_bytes: bytes.map(|_| 1_000),
            said: "running".to_owned(),
            ended: false,
        }
    }

    /// In seconds after the start.
    fn estimate(looks: &[Progress]) -> Option<i64> {
        due(looks).map(|at| at.duration_since(start()).as_secs())
    }

    #[test]
    fn what_goes_on_evenly_ends_when_it_must() {
        for (looks, expected) in [
            (vec![look(60, 10, None)], 600),
            (vec![look(60, 10, None), look(120, 20, None), look(300, 50, None)], 600),
            // Bytes are finer than the percentage beside them.
            (vec![look(60, 0, Some(5)), look(120, 1, Some(10))], 12_000),
            // The look was seen twice.
            (vec![look(60, 10, None), look(60, 10, None)], 600),
        ] {
            assert_eq!(estimate(&looks), Some(expected), "{looks:?}");
        }
    }

    #[test]
    fn where_nothing_can_be_known_nothing_is_said() {
        let ended = Progress { ended: true, ..look(60, 50, None) };
        for looks in [
            vec![],
            vec![look(60, 0, None)],
            vec![look(0, 50, None)],
            vec![look(60, 100, None)],
            vec![look(60, 101, None)],
            vec![look(86_400 * 10, 1, None)],
            vec![look(60, 50, Some(0))],
            // It began anew.
            vec![look(60, 50, None), look(120, 10, None)],
            vec![ended],
        ] {
            assert_eq!(estimate(&looks), None, "{looks:?}");
        }
        assert_eq!(estimate(&[look(60, 50, None), look(120, 10, None), look(180, 20, None)]), Some(180 + 480));
    }

    #[test]
    fn one_leap_moves_the_estimate_and_does_not_make_it() {
        let steady = [look(100, 10, None), look(200, 20, None)];
        let leap = [&steady[..], &[look(300, 60, None)]].concat();
        let found = estimate(&leap).unwrap();
        assert!((300 + 100 + 1..1_000).contains(&found), "the leap alone would say 400, the time before it 1000: {found}");
        let stall = [&steady[..], &[look(300, 20, None)]].concat();
        let found = estimate(&stall).unwrap();
        assert!(found > 1_000, "what stands still takes longer: {found}");
    }

    proptest! {
        #[test]
        fn no_estimate_lies_before_the_last_look(seen in proptest::collection::vec((0_i64..100_000, 0_u8..=255, proptest::option::of(0_u64..2_000)), 0..8)) {
            let looks: Vec<Progress> = seen.into_iter().map(|(at, percent, bytes)| look(at, percent, bytes)).collect();
            if let Some(due) = due(&looks) {
                prop_assert!(looks.iter().all(|look| due >= look.at || look.at > looks.last().unwrap().at));
            }
        }
    }
}
