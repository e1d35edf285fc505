//! Which time calls are looked up for. Pure.

use incident::plan::Plan;
use jiff::{SignedDuration, Timestamp};

/// How far before the finding an intruder's first steps are looked for.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);
/// CloudTrail's event history goes back no further.
const HISTORY: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long an execution's start may have been under way.
const STARTING: SignedDuration = SignedDuration::from_mins(10);

/// From when to when, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first moment.
    pub from: Timestamp,
    /// The last one.
    pub to: Timestamp,
}

/// From a day before the behaviour was first seen to triage. The detector's time is a detector's text: one in the future is
/// none, and one before all history counts as the beginning of history.
pub fn around_the_finding(plan: &Plan) -> Window {
    let to = plan.opened;
    let seen = plan.finding.first_seen.parse::<Timestamp>().ok().filter(|seen| *seen <= to).unwrap_or(to);
    Window { from: earlier(seen, BEFORE).max(earlier(to, HISTORY)), to }
}

/// The minutes in which the execution was started.
pub fn of_the_start(plan: &Plan) -> Window {
    Window { from: earlier(plan.opened, STARTING), to: plan.opened }
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::plan;

    #[test]
    fn the_window_begins_a_day_before_the_behaviour_was_first_seen() {
        for (first_seen, from) in [
            ("2026-11-24T03:20:00.000Z", "2026-11-23T03:20:00Z"),
            ("2026-11-01T00:00:00Z", "2026-10-31T00:00:00Z"),
            // No time, a time in the future, and one that only a hostile detector would write.
            ("", "2026-11-23T03:30:00Z"),
            ("last night", "2026-11-23T03:30:00Z"),
            ("2031-01-01T00:00:00Z", "2026-11-23T03:30:00Z"),
            ("0001-01-01T00:00:00Z", "2026-08-26T03:30:00Z"),
            ("-009999-01-02T01:59:59Z", "2026-08-26T03:30:00Z"),
        ] {
            let plan = plan(|plan| plan["finding"]["firstSeen"] = first_seen.into());
            let window = around_the_finding(&plan);
            assert_eq!(window, Window { from: from.parse().unwrap(), to: plan.opened }, "{first_seen}");
        }
    }

    #[test]
    fn a_start_is_looked_for_in_the_minutes_before_triage() {
        let window = of_the_start(&plan(|_| {}));
        assert_eq!(window.from.to_string(), "2026-11-24T03:20:00Z");
        assert_eq!(window.to.to_string(), "2026-11-24T03:30:00Z");
    }
}
