//! How long to wait for something that says by itself when it has ended, before looking whether that went unheard. Pure.
//!
//! An event wakes whoever waits, and is sent once at best [facts 67]. So the wait looks up by itself as well, ever more
//! seldom: what is over quickly is seen within minutes, a wait of 40 minutes is disturbed once, and one of three days some
//! twenty times. 10,000 cases that wait ask EC2 no more than it takes from one account (`tests/patience.rs`).

use jiff::Timestamp;

use crate::ids::CaseId;

/// The first pause. Most snapshots are completed by then, and 10,000 targets cannot be frozen any faster than that they
/// look up in turn.
const FIRST_SECONDS: i64 = 5 * 60;
/// How old the wait is when it looks up for the second time.
const SECOND_AT_SECONDS: i64 = 45 * 60;
/// From then on each pause is this share of the time waited so far, in percent: so late is seen what goes unheard.
const GROWTH_PERCENT: i64 = 50;
/// The longest pause.
const LONGEST_SECONDS: i64 = 4 * 60 * 60;
/// By at most so much the first pause is longer, by a different part of it in each case: those that begin together do not
/// look up together.
const SPREAD_SECONDS: i64 = 60;
/// The shortest: a look, with its retries, must fit into it.
const SHORTEST_SECONDS: i64 = 60;
/// For how long what EC2 does not show may still come.
const UNSEEN_SECONDS: i64 = 5 * 60;
/// How long the look after the deadline may take.
const LAST_SECONDS: i64 = 5 * 60;

/// The pauses between the looks of a case's wait from `from` until `until`, in seconds, and at last the time for the look
/// that ends it. They add up to the whole wait, to the second or to a minute more.
pub fn pauses(from: Timestamp, until: Timestamp, case: &CaseId) -> Vec<u32> {
    let digits: i64 = case.as_str().bytes().rev().take(12).map(i64::from).fold(0, |sum, byte| (sum * 31 + byte) % 65_521);
    spread(from, until, digits % (SPREAD_SECONDS + 1))
}

/// Whether EC2 may not show yet, at `now`, what was begun at `begun`. What it does not show later is not there any more. EC2 is
/// eventually consistent, and says no bound: some seconds are usual (EC2 Developer Guide, «Eventual consistency»).
pub fn may_be_unseen(begun: Timestamp, now: Timestamp) -> bool {
    now.duration_since(begun).as_secs() < UNSEEN_SECONDS
}

/// How long a wait from `from` until `until` goes on undisturbed that has come to `now`, in seconds: until the next of its
/// looks, so that a wait in stages looks up as seldom as one in a piece.
pub fn until_next_look(from: Timestamp, now: Timestamp, until: Timestamp, case: &CaseId) -> u32 {
    let age = now.duration_since(from).as_secs();
    let mut at = 0;
    for pause in pauses(from, until, case) {
        at += i64::from(pause);
        if at > age {
            return seconds((at - age).max(SHORTEST_SECONDS));
        }
    }
    seconds(SHORTEST_SECONDS)
}

fn spread(from: Timestamp, until: Timestamp, more: i64) -> Vec<u32> {
    let whole = until.duration_since(from).as_secs();
    let mut pauses = Vec::new();
    let mut waited = 0;
    while waited < whole {
        let usual = match pauses.len() {
            0 => FIRST_SECONDS + more,
            1 => SECOND_AT_SECONDS - FIRST_SECONDS,
            _ => (waited * GROWTH_PERCENT / 100).min(LONGEST_SECONDS),
        };
        let pause = usual.min(whole - waited).max(SHORTEST_SECONDS);
        pauses.push(seconds(pause));
        waited += pause;
    }
    pauses.push(seconds(LAST_SECONDS));
    pauses
}

fn seconds(pause: i64) -> u32 {
    // Between a minute and four hours.
    u32::try_from(pause).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(whole: i64) -> Vec<u32> {
        spread(Timestamp::UNIX_EPOCH, Timestamp::from_second(whole).unwrap(), 0)
    }

    #[test]
    fn cases_that_begin_together_do_not_look_up_together() {
        let first = |n: u32| {
            let case = CaseId::parse(&format!("i-0abc1234def567890-{:012x}", u64::from(n) * 7_919)).unwrap();
            pauses(Timestamp::UNIX_EPOCH, Timestamp::from_second(86_400).unwrap(), &case).into_iter().next().unwrap()
        };
        let mut seconds: Vec<u32> = (0..600).map(first).collect();
        assert!(seconds.iter().all(|pause| (300..=360).contains(pause)));
        seconds.sort_unstable();
        let most = seconds.chunk_by(|a, b| a == b).map(<[u32]>::len).max().unwrap();
        assert!(most <= 30, "{most} of 600 in one second");
    }

    #[test]
    fn the_pauses_of_some_waits() {
        let cases: [(i64, &[u32]); 6] = [
            (-5, &[300]),
            (0, &[300]),
            (10, &[60, 300]),
            (300, &[300, 300]),
            (2_400, &[300, 2_100, 300]),
            (20_000, &[300, 2_400, 1_350, 2_025, 3_037, 4_556, 6_332, 300]),
        ];
        for (whole, expected) in cases {
            assert_eq!(of(whole), expected, "{whole} s");
        }
    }

    #[test]
    fn a_wait_in_stages_looks_up_when_one_in_a_piece_does() {
        let case = CaseId::parse("i-0abc1234def567890-000000000000").unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let all = pauses(at(0), at(20_000), &case);
        let first = i64::from(all[0]);
        for (now, expected) in [(0, first), (first - 61, 61), (first - 10, 60), (first, i64::from(all[1])), (30_000, 60)] {
            assert_eq!(i64::from(until_next_look(at(0), at(now), at(20_000), &case)), expected, "after {now} s");
        }
    }

    #[test]
    fn a_wait_of_40_minutes_is_disturbed_once_and_one_of_three_days_seldom() {
        let ages = |whole| {
            of(whole).into_iter().scan(0, |age, pause| {
                *age += pause;
                Some(*age)
            })
        };
        assert_eq!(ages(86_400).filter(|age| *age <= 40 * 60 + 60).count(), 1);
        assert!(of(72 * 3_600).len() < 30, "{:?}", of(72 * 3_600));
    }

    proptest! {
        #[test]
        fn the_pauses_fill_the_wait_and_none_is_too_short_or_too_long(whole in 1i64..300_000) {
            let all = of(whole);
            let (last, waits) = all.split_last().unwrap();
            let sum: i64 = waits.iter().map(|pause| i64::from(*pause)).sum();
            prop_assert!(sum >= whole && sum < whole + 60, "{all:?}");
            prop_assert!(all.iter().all(|pause| (60..=14_400).contains(pause)), "{all:?}");
            prop_assert_eq!(*last, 300);
        }

        #[test]
        fn what_goes_unheard_is_seen_within_half_of_what_it_took_or_within_forty_minutes(ended in 1i64..250_000) {
            let mut age = 0;
            for pause in of(259_200) {
                age += i64::from(pause);
                if age >= ended {
                    break;
                }
            }
            prop_assert!(age - ended <= (ended / 2 + 1).max(40 * 60), "ended after {ended} s, seen after {age} s");
            prop_assert!(age - ended <= 14_400);
        }
    }
}
