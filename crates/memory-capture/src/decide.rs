//! What to do next: wait (how long, and with more URLs or not), or end. Pure.
//!
//! INVARIANT: what counts as progress is what S3 has, never what Systems Manager says: a dead agent leaves a command
//! `InProgress` for ever [facts 58].

use incident::capture::{Progress, WaveMark};
use jiff::{SignedDuration, Timestamp};

use crate::parts;

/// For how long a silent agent is waited for: the moment after containment cuts its connection too.
pub const AGENT_PATIENCE: SignedDuration = SignedDuration::from_mins(3);
/// After this long without progress the agent is asked for, and a silent one ends the capture.
const SUSPICIOUS: SignedDuration = SignedDuration::from_mins(3);
/// After this long without progress the capture has stalled, whoever answers.
const STALLED: SignedDuration = SignedDuration::from_mins(10);
/// Where the collector's result is there already, the command is waited for no longer than this.
const FAREWELL: SignedDuration = SignedDuration::from_secs(60);
/// After this long without a command, whoever claimed to send it is dead.
const CLAIM: SignedDuration = SignedDuration::from_mins(2);
/// The shortest pause, in seconds.
const SHORTEST: f64 = 5.0;
/// The longest pause that the speed alone may ask for, in seconds.
const LONGEST: f64 = 60.0;
/// The longest pause of all, in seconds: shorter than the time at which URLs are replaced, and than what counts as stalled.
const SPARSEST: f64 = 590.0;
/// A pause is at least this part of the time since the capture began. So 12 hours cost some 260 looks, and at an even speed
/// no more than half a wave's parts ([`parts::WAVE`], of 10,000) come between two looks.
const SHARE: f64 = 1.0 / 40.0;

/// What Systems Manager says of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// On its way, running, or (still) unknown.
    Open,
    /// Over, with this status.
    Ended(String),
}

impl Command {
    /// What a status means. One that AWS adds later is not taken for an end: the deadline ends it.
    pub fn of(status: &str) -> Self {
        match status {
            "Success" | "Failed" | "TimedOut" | "Cancelled" => Self::Ended(status.to_owned()),
            _ => Self::Open,
        }
    }
}

/// What a look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What became of the command.
    pub command: Command,
    /// Whether the collector's result was uploaded.
    pub result: bool,
    /// Whether the agent answers, where that was asked.
    pub agent: Option<bool>,
    /// The first part of the image that S3 does not have.
    pub missing: u32,
}

/// Why a capture ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The command ended, with this status.
    Ended(String),
    /// The collector's result is there, though the command never ended.
    Result,
    /// The plan's deadline has passed.
    Deadline,
    /// Nothing has moved for so many minutes.
    Stalled {
        /// The minutes.
        minutes: i64,
        /// Whether the agent is silent as well.
        silent: bool,
    },
    /// It had been ended before: only the answer was lost.
    Already,
}

impl End {
    /// Whether somebody must still tell the collector to stop.
    pub fn leaves_it_running(&self) -> bool {
        !matches!(self, Self::Ended(_) | Self::Already)
    }

    /// The reason that a capture is not whole, where the end itself is one.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Ended(status) if status == "Success" => None,
            Self::Ended(status) => Some(format!("the command ended as `{}`", incident::text::bounded(status, 40))),
            Self::Result | Self::Already => None,
            Self::Deadline => {
                Some("the plan's deadline passed; a larger memory.deadlineMinutes gives the next capture more time".to_owned())
            }
            Self::Stalled { minutes, silent } => Some(format!(
                "nothing more came for {minutes} minutes{}",
                if *silent { ", and the Systems Manager agent is silent" } else { "" }
            )),
        }
    }
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look again.
    Wait {
        /// In so many seconds.
        pause: u32,
        /// With URLs for these parts, first and last.
        wave: Option<(u32, u32)>,
    },
    /// Finish with what there is.
    Finish(End),
}

/// Whether the agent must be asked for before anything is decided.
pub fn doubts(progress: &Progress, command: &Command, now: Timestamp) -> bool {
    *command == Command::Open && now.duration_since(progress.moved) >= SUSPICIOUS
}

/// What comes next, for a capture that stands at `progress`.
pub fn next(progress: &Progress, last: Option<&WaveMark>, seen: &Seen, now: Timestamp, deadline: Timestamp) -> Next {
    let still = now.duration_since(progress.moved);
    if let Command::Ended(status) = &seen.command {
        return Next::Finish(End::Ended(status.clone()));
    }
    if now >= deadline {
        return Next::Finish(End::Deadline);
    }
    if seen.result && still >= FAREWELL {
        return Next::Finish(End::Result);
    }
    let silent = seen.agent == Some(false);
    if still >= STALLED || (silent && still >= SUSPICIOUS) {
        return Next::Finish(End::Stalled { minutes: still.as_mins(), silent });
    }
    let left = last.map_or(0, |last| (last.last_part + 1).saturating_sub(seen.missing));
    let pause = pause(progress, left, now, deadline);
    let elapsed = now.duration_since(progress.begun).as_secs_f64();
    let coming = if elapsed > 0.0 { f64::from(progress.parts) / elapsed * f64::from(pause) } else { 0.0 };
    // Where the result is there, no part is to come.
    let wave = last.filter(|_| !seen.result).and_then(|last| parts::next_wave(last, seen.missing, coming, now));
    Next::Wait { pause, wave }
}

/// How long to wait, in seconds, with `left` parts left of the last wave: until half of those have come at the speed so far,
/// but neither less than a share of the time that it has taken, nor past the deadline.
pub fn pause(progress: &Progress, left: u32, now: Timestamp, deadline: Timestamp) -> u32 {
    let elapsed = now.duration_since(progress.begun).as_secs_f64().max(0.0);
    let least = (elapsed * SHARE).clamp(SHORTEST, SPARSEST);
    let speed = if elapsed > 0.0 { f64::from(progress.parts) / elapsed } else { 0.0 };
    let half = if speed > 0.0 { f64::from(left) / 2.0 / speed } else { 0.0 };
    // Early on, the speed says little: nobody waits for longer than a quarter of what has passed.
    let most = (elapsed / 4.0).min(LONGEST).max(least);
    let until_deadline = deadline.duration_since(now).as_secs_f64();
    let seconds = half.clamp(least, most).min(until_deadline).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 590")]
    {
        seconds as u32
    }
}

/// Whether the one who claimed to send the command at `claimed` is evidently dead.
pub fn claim_is_void(claimed: Timestamp, now: Timestamp) -> bool {
    now.duration_since(claimed) >= CLAIM
}

/// How far the image has come, in percent of the memory; never 100 before the end, since blocks of zeros are left out.
pub fn percent(bytes: u64, memory_mib: Option<u64>) -> u8 {
    let memory = memory_mib.map_or(0, |mib| u128::from(mib) << 20);
    if memory == 0 {
        return 0;
    }
    u8::try_from((u128::from(bytes) * 100 / memory).min(99)).unwrap_or(99)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn at(moved: i64, parts: u32) -> Progress {
        let wave = WaveMark { number: 1, first_part: 1, last_part: 500, until: time(1_000_000) };
        Progress {
            begun: time(0),
            command_id: Some("c".to_owned()),
            wave: Some(wave),
            parts,
            bytes: 0,
            percent: 0,
            moved: time(moved),
        }
    }

    fn seen(command: Command) -> Seen {
        Seen { command, result: false, agent: None, missing: 1 }
    }

    fn decide(moved: i64, seen: &Seen, now: i64) -> Next {
        let progress = at(moved, 0);
        next(&progress, progress.wave.as_ref(), seen, time(now), time(14_400))
    }

    #[test]
    fn every_way_to_the_end() {
        let open = || seen(Command::Open);
        let ended = |status: &str| seen(Command::of(status));
        let finish = Next::Finish;
        for (moved, seen, now, expected) in [
            (0, ended("Success"), 10, finish(End::Ended("Success".to_owned()))),
            (0, ended("Failed"), 10, finish(End::Ended("Failed".to_owned()))),
            (0, ended("TimedOut"), 20_000, finish(End::Ended("TimedOut".to_owned()))),
            (14_399, open(), 14_400, finish(End::Deadline)),
            (100, Seen { result: true, ..open() }, 160, finish(End::Result)),
            (0, open(), 600, finish(End::Stalled { minutes: 10, silent: false })),
            (0, Seen { agent: Some(true), ..open() }, 600, finish(End::Stalled { minutes: 10, silent: false })),
            (0, Seen { agent: Some(false), ..open() }, 180, finish(End::Stalled { minutes: 3, silent: true })),
        ] {
            assert_eq!(decide(moved, &seen, now), expected, "{seen:?} at {now}");
        }
    }

    #[test]
    fn a_capture_goes_on_while_parts_come_whatever_the_agent_says() {
        for (moved, seen, now) in [
            (0, seen(Command::Open), 0),
            (0, seen(Command::of("Delayed")), 179),
            (0, seen(Command::of("SomethingNew")), 179),
            (500, Seen { agent: Some(false), ..seen(Command::Open) }, 600),
            (0, Seen { agent: Some(true), ..seen(Command::Open) }, 599),
            (100, Seen { result: true, ..seen(Command::Open) }, 159),
        ] {
            assert!(matches!(decide(moved, &seen, now), Next::Wait { .. }), "{seen:?} at {now}");
        }
        assert!(doubts(&at(0, 0), &Command::Open, time(180)) && !doubts(&at(0, 0), &Command::Open, time(179)));
    }

    #[test]
    fn percent_is_of_the_memory_and_never_whole() {
        for (bytes, memory, expected) in [
            (0, Some(512), 0),
            (256 << 20, Some(512), 50),
            (512 << 20, Some(512), 99),
            (1, None, 0),
            (1, Some(0), 0),
            (u64::MAX, Some(1), 99),
        ] {
            assert_eq!(percent(bytes, memory), expected, "{bytes} of {memory:?}");
        }
    }

    /// How many parts there are at each second.
    type Arrivals = Box<dyn Fn(i64) -> u32>;

    /// Looks until the deadline while parts come as `arrived` says; gives the number of looks.
    fn looks(deadline: i64, arrived: impl Fn(i64) -> u32) -> u32 {
        let (mut now, mut looks, mut wave) = (0, 0, WaveMark { number: 1, first_part: 1, last_part: 500, until: time(3600) });
        loop {
            let parts = arrived(now).min(10_000);
            let progress = Progress { parts, ..at(now, parts) };
            looks += 1;
            match next(&progress, Some(&wave), &Seen { missing: parts + 1, ..seen(Command::Open) }, time(now), time(deadline)) {
                Next::Finish(_) => return looks,
                Next::Wait { pause, wave: due } => {
                    if let Some((first_part, last_part)) = due {
                        wave = WaveMark { number: wave.number + 1, first_part, last_part, until: time(now + 3600) };
                    }
                    now += i64::from(pause);
                }
            }
        }
    }

    #[test]
    fn half_a_day_costs_some_260_looks_whatever_the_target_does() {
        let hour = 3600;
        let cases: [(&str, Arrivals); 5] = [
            ("nothing ever", Box::new(|_| 0)),
            ("all at once", Box::new(|_| 10_000)),
            ("evenly", Box::new(|now| u32::try_from(now * 10_000 / 43_200).unwrap())),
            ("always just before half of a wave", Box::new(|now| u32::try_from(now / 173 * 249).unwrap())),
            ("in bursts", Box::new(|now| u32::try_from(now / 7200 * 1500).unwrap())),
        ];
        for (name, arrived) in cases {
            let (long, usual) = (looks(12 * hour, &arrived), looks(4 * hour, &arrived));
            assert!(long <= 270 && usual <= 220, "{name}: {long} and {usual} looks");
        }
    }

    #[test]
    fn an_even_upload_never_waits_for_urls() {
        for seconds in [300, 1200, 7200, 43_200] {
            let arrived = |now: i64| u32::try_from((now * 10_000 / seconds).min(10_000)).unwrap();
            let mut wave = WaveMark { number: 1, first_part: 1, last_part: 500, until: time(3600) };
            let mut now = 0;
            while now < seconds {
                let parts = arrived(now);
                assert!(
                    parts <= wave.last_part,
                    "at {now} of {seconds} s part {parts} has no URL: the wave ends at {}",
                    wave.last_part
                );
                let progress = Progress { parts, ..at(now, parts) };
                let found = Seen { missing: parts + 1, ..seen(Command::Open) };
                let Next::Wait { pause, wave: due } = next(&progress, Some(&wave), &found, time(now), time(100_000)) else {
                    panic!("it must go on at {now}")
                };
                if let Some((first_part, last_part)) = due {
                    wave = WaveMark { number: wave.number + 1, first_part, last_part, until: time(now + 3600) };
                }
                now += i64::from(pause);
            }
        }
    }

    proptest! {
        #[test]
        fn a_pause_is_never_zero_never_too_long_and_never_past_the_deadline(parts in 0u32..=10_000, left in 0u32..=500, elapsed in 0i64..50_000, until in 1i64..50_000) {
            let pause = pause(&at(0, parts), left, time(elapsed), time(elapsed + until));
            prop_assert!((1..=590).contains(&pause));
            prop_assert!(i64::from(pause) <= until);
        }

        #[test]
        fn no_pause_outlasts_the_urls(parts in 0u32..=10_000, missing in 1u32..=10_001, elapsed in 0i64..40_000, valid in 0i64..3600) {
            let mut progress = at(elapsed, parts);
            progress.wave = Some(WaveMark { number: 1, first_part: 1, last_part: 10_000, until: time(elapsed + valid) });
            let found = Seen { missing, ..seen(Command::Open) };
            let Next::Wait { pause, wave } = next(&progress, progress.wave.as_ref(), &found, time(elapsed), time(43_200)) else {
                return Err(TestCaseError::fail("it must go on"));
            };
            prop_assert!(wave.is_some() || missing > 10_000 || i64::from(pause) < valid);
        }
    }
}
