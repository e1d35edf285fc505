//! What a look means, and when to look again. Pure.
//!
//! A look costs three state transitions (look, choice, pause). A wait of 40 minutes may cost 40, so at most 13 looks,
//! whatever the progress does; and a wait of days must stay far below the history's limit.

use incident::evidence::{LookStatus, Missing, Preserved, SnapshotLook};
use jiff::Timestamp;

/// The shortest pause, after the first look.
const FIRST_PAUSE_SECONDS: f64 = 15.0;
/// Each pause is at least this much longer than the least one before it: 12 of them add up to more than 40 minutes.
const GROWTH: f64 = 1.45;
/// The longest pause.
const LONGEST_PAUSE_SECONDS: f64 = 900.0;

/// The times that a look depends on; none of them is the function's own clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When the state was entered.
    pub now: Timestamp,
    /// The point in time that the snapshots hold.
    pub begun: Timestamp,
    /// When to give up.
    pub deadline: Timestamp,
}

/// What the snapshots as seen mean, after `looks` earlier looks.
pub fn assess(snapshots: Vec<SnapshotLook>, looks: u32, clock: Clock) -> Preserved {
    let percent =
        snapshots.iter().map(|look| if look.state == "completed" { 100 } else { look.percent.min(99) }).min().unwrap_or(100);
    let pending = snapshots.iter().any(|look| look.state == "pending");
    let expired = clock.now >= clock.deadline;
    let missing: Vec<Missing> = snapshots.iter().filter_map(|look| missing(look, expired)).collect();
    let status = match (pending && !expired, missing.is_empty()) {
        (true, _) => LookStatus::Pending,
        (false, true) => LookStatus::Completed,
        (false, false) => LookStatus::Incomplete,
    };
    let pause_seconds = if status == LookStatus::Pending { pause(percent, looks, clock) } else { 0 };
    Preserved { status, percent, pause_seconds, snapshots, missing, failure: None }
}

/// Why a snapshot will not come; `None` for one that is completed or may still come.
fn missing(look: &SnapshotLook, expired: bool) -> Option<Missing> {
    let reason = match look.state.as_str() {
        "completed" => return None,
        "pending" if !expired => return None,
        "pending" => {
            format!("{} is still at {} % at the plan's deadline; it goes on, so look again", look.snapshot_id, look.percent)
        }
        "error" => format!("{} failed; take it again by hand while the volume exists", look.snapshot_id),
        "recoverable" | "recovering" => format!("{} is in the recycle bin: somebody deleted it; restore it", look.snapshot_id),
        "gone" => format!("{} does not exist any more: find out who deleted it", look.snapshot_id),
        other => format!("{} is in the state `{}`", look.snapshot_id, incident::text::bounded(other, 40)),
    };
    Some(Missing::new(format!("snapshot:{}", look.volume_id), reason))
}

/// How long to wait, in seconds: as long as the progress so far makes it last, but ever longer, and never past the deadline.
fn pause(percent: u8, looks: u32, clock: Clock) -> u32 {
    let elapsed = clock.now.duration_since(clock.begun).as_secs_f64().max(0.0);
    let left = clock.deadline.duration_since(clock.now).as_secs_f64();
    let least = FIRST_PAUSE_SECONDS * GROWTH.powi(i32::try_from(looks).unwrap_or(i32::MAX));
    // EC2 cuts the percentage down to a whole number: the next one gives the earliest end, so that no pause oversleeps it.
    let done = f64::from(percent) + 1.0;
    let estimate = if percent == 0 { 0.0 } else { elapsed * (100.0 - done) / done };
    let seconds = estimate.max(least).min(LONGEST_PAUSE_SECONDS).min(left).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 900")]
    {
        seconds as u32
    }
}

/// EC2 writes progress as `40%`; anything else counts as none.
pub fn percent(progress: &str) -> u8 {
    progress.trim_end_matches('%').parse().map_or(0, |percent: u8| percent.min(100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use incident::{SnapshotId, VolumeId};
    use proptest::prelude::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn seen(state: &str, percent: u8) -> SnapshotLook {
        SnapshotLook {
            snapshot_id: SnapshotId::parse("snap-00000001").unwrap(),
            volume_id: VolumeId::parse("vol-00000001").unwrap(),
            state: state.to_owned(),
            percent,
            size_gib: Some(8),
            completed_at: None,
        }
    }

    /// What EC2 shows at each second.
    type Progress = Box<dyn Fn(i64) -> u8>;

    /// Looks until the snapshot is seen completed; gives the number of looks and when that was.
    fn wait(lasts: i64, deadline: i64, progress: impl Fn(i64) -> u8) -> (u32, i64, LookStatus) {
        let (mut now, mut looks) = (1, 0);
        loop {
            let look = if now >= lasts { seen("completed", 100) } else { seen("pending", progress(now).min(99)) };
            let clock = Clock { now: time(now), begun: time(0), deadline: time(deadline) };
            let said = assess(vec![look], looks, clock);
            looks += 1;
            if said.status != LookStatus::Pending {
                return (looks, now, said.status);
            }
            now += i64::from(said.pause_seconds);
        }
    }

    #[test]
    fn a_wait_of_40_minutes_costs_at_most_40_transitions_whatever_the_progress_does() {
        let lasts = 2_400;
        let linear = move |now: i64| u8::try_from(now * 100 / lasts).unwrap();
        let cases: [(&str, Progress); 5] = [
            ("linear", Box::new(linear)),
            ("nothing until the end", Box::new(|_| 0)),
            ("stuck at 99", Box::new(|_| 99)),
            ("a jump in the middle", Box::new(move |now| if now < lasts / 2 { 1 } else { 90 })),
            ("slower and slower", Box::new(move |now| u8::try_from(100 - 6000 / (now + 60)).unwrap())),
        ];
        for (name, progress) in cases {
            let (looks, at, status) = wait(lasts, 86_400, progress);
            assert_eq!(status, LookStatus::Completed, "{name}");
            // The last look has no pause after it.
            assert!(3 * looks - 1 <= 40, "{name}: {looks} looks");
            assert!(at <= lasts + 900, "{name}: seen {} s late", at - lasts);
        }
    }

    #[test]
    fn even_progress_is_seen_completed_soon_after() {
        for lasts in [30, 120, 600, 2_400, 14_400, 86_400] {
            let (looks, at, _) = wait(lasts, 259_200, |now| u8::try_from(now * 100 / lasts).unwrap());
            assert!(at - lasts <= 60.max(lasts / 5), "{lasts} s: seen {} s late after {looks} looks", at - lasts);
        }
    }

    #[test]
    fn three_days_stay_below_the_bound_of_the_loop_and_end_at_the_deadline() {
        let (looks, at, status) = wait(i64::MAX, 72 * 3_600, |_| 50);
        assert!(looks < 400, "{looks}");
        assert_eq!((at, status), (72 * 3_600, LookStatus::Incomplete));
    }

    #[test]
    fn what_a_look_means() {
        let cases = [
            (vec![("completed", 100)], LookStatus::Completed, 100, 0),
            (vec![("completed", 100), ("pending", 40)], LookStatus::Pending, 40, 0),
            (vec![("pending", 40), ("error", 0)], LookStatus::Pending, 0, 1),
            (vec![("completed", 100), ("error", 0)], LookStatus::Incomplete, 0, 1),
            (vec![("recoverable", 100)], LookStatus::Incomplete, 99, 1),
            (vec![("gone", 0)], LookStatus::Incomplete, 0, 1),
            (vec![("something new", 0)], LookStatus::Incomplete, 0, 1),
        ];
        for (states, status, percent, missing) in cases {
            let looks = states.iter().map(|(state, percent)| seen(state, *percent)).collect();
            let said = assess(looks, 0, Clock { now: time(60), begun: time(0), deadline: time(600) });
            assert_eq!((said.status, said.percent, said.missing.len()), (status, percent, missing), "{states:?}");
            assert_eq!(said.pause_seconds > 0, status == LookStatus::Pending, "{states:?}");
        }
    }

    #[test]
    fn progress_is_read_leniently() {
        for (text, expected) in [("40%", 40), ("100%", 100), ("", 0), ("n/a", 0), ("250%", 100), ("999%", 0)] {
            assert_eq!(percent(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_zero_never_too_long_and_never_past_the_deadline(percent in 0u8..100, looks in 0u32..500, elapsed in 0i64..500_000, left in 1i64..500_000) {
            let clock = Clock { now: time(elapsed), begun: time(0), deadline: time(elapsed + left) };
            let said = assess(vec![seen("pending", percent)], looks, clock);
            prop_assert!((1..=900).contains(&said.pause_seconds));
            prop_assert!(i64::from(said.pause_seconds) <= left);
        }
    }
}
