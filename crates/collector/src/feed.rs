//! The URLs of the parts: from the plan, and from each further wave.
//!
//! INVARIANT: a wave is taken only if it is for this case and newer than the one before. The URLs of an older one stay for
//! the parts that no newer one names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use incident::CaseId;
use incident::capture::{MOST_PARTS, Wave};

use crate::Options;
use crate::board::{Board, Halt};
use crate::cli::LONGEST_PLAN;
use crate::http::{self, Fetched};
use crate::watch::Watch;

/// The shortest and the longest time between two looks for the next wave.
const POLL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// A presigned URL of a part.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The wave that it came with.
    pub wave: u32,
    /// The URL.
    pub url: Arc<str>,
}

/// The URLs of the parts.
#[derive(Debug, Default)]
pub struct Urls {
    wave: u32,
    next: String,
    poll: Duration,
    valid: Duration,
    arrived: Option<Instant>,
    /// How many parts wait for a URL.
    waiting: usize,
    parts: BTreeMap<u32, Signed>,
}

impl Urls {
    /// Takes over a wave.
    pub fn take_over(&mut self, wave: Wave, now: Instant) {
        for (number, url) in (wave.first_part..=MOST_PARTS).zip(wave.parts) {
            self.parts.insert(number, Signed { wave: wave.number, url: url.into() });
        }
        self.wave = wave.number;
        self.next = wave.next;
        self.poll = Duration::from_secs(wave.poll_seconds.into()).clamp(POLL.0, POLL.1);
        self.valid = Duration::from_secs(wave.valid_seconds.into());
        self.arrived = Some(now);
    }

    /// The URL of a part, if it came after wave `after`.
    pub fn of(&self, part: u32, after: u32) -> Option<Signed> {
        self.parts.get(&part).filter(|signed| signed.wave > after).cloned()
    }

    /// A part needs no URL any more.
    pub fn done(&mut self, part: u32) {
        self.parts.remove(&part);
    }

    /// Until when someone who has waited since `since` waits for a URL: every wave that comes begins it anew.
    fn patience_ends(&self, since: Instant, patience: Option<Duration>) -> Instant {
        self.arrived.map_or(since, |arrived| arrived.max(since)) + patience.unwrap_or(self.valid)
    }
}

/// Whether `wave` may follow wave `number` of `case`; else why not.
pub fn follows(wave: &Wave, case: &CaseId, number: u32) -> Result<(), String> {
    if wave.schema != Wave::SCHEMA {
        return Err("it is of another version of Cordon".to_owned());
    }
    if wave.case_id != *case {
        return Err("it is for another case".to_owned());
    }
    if wave.number <= number {
        return Err(format!("it has number {} and follows {number}", wave.number));
    }
    Ok(())
}

/// Waits for the URL of a part that is newer than wave `after`. Gives up when no wave comes for as long as one holds.
pub fn url(board: &Board, options: &Options, part: u32, after: u32) -> Result<Signed, (Halt, String)> {
    if let Some(signed) = board.look(|state| state.urls.of(part, after)) {
        return Ok(signed);
    }
    board.change(|state| state.urls.waiting += 1);
    let result = awaited(board, options, part, after);
    board.change(|state| state.urls.waiting -= 1);
    result
}

fn awaited(board: &Board, options: &Options, part: u32, after: u32) -> Result<Signed, (Halt, String)> {
    let since = Instant::now();
    loop {
        let until = board.look(|state| state.urls.patience_ends(since, options.times.patience));
        match board.wait(Some(until), |state| state.urls.of(part, after)) {
            Ok(signed) => return Ok(signed),
            Err(Halt::Stopped) => return Err((Halt::Stopped, String::new())),
            // A wave may have come meanwhile, but without this part.
            Err(Halt::Late) if board.look(|state| state.urls.patience_ends(since, options.times.patience)) > until => {}
            Err(Halt::Late) => {
                let waited = since.elapsed().as_secs();
                return Err((Halt::Late, format!("no URL came for part {part} within {waited} s")));
            }
        }
    }
}

/// Looks for the next wave, again and again, until the run ends.
pub fn poll(board: &Board, case: &CaseId, options: &Options) {
    let mut agent = http::agent(options);
    let mut said = String::new();
    loop {
        let (pause, next, number) = board.look(|state| {
            let urls = &state.urls;
            (options.times.poll.unwrap_or(urls.poll), urls.next.clone(), urls.wave)
        });
        // While a part waits for a URL, the next look is not put off: what it waits for may be there already.
        let soon = pause.min(POLL.0);
        let until = Instant::now() + pause;
        if board.pause(soon) == Halt::Stopped
            || board.wait(Some(until), |state| (state.urls.waiting > 0).then_some(())) == Err(Halt::Stopped)
        {
            return;
        }
        let Ok(watch) = Watch::begin(board, &agent) else { return };
        let fetched = http::get(&agent, &next, LONGEST_PLAN, watch.pulse());
        drop(watch);
        let wave = match fetched {
            Ok(Fetched::NotYet) => continue,
            Ok(Fetched::Body(bytes)) => Wave::read(&bytes).map_err(|error| error.to_string()),
            Err(error) => {
                agent = http::agent(options);
                Err(error)
            }
        };
        match wave.and_then(|wave| follows(&wave, case, number).map(|()| wave)) {
            Ok(Wave { withdrawn: Some(reason), .. }) => return board.withdraw(&reason),
            Ok(wave) => board.change(|state| state.urls.take_over(wave, Instant::now())),
            Err(error) if error == said => {}
            Err(error) => {
                board.note(&format!("wave {} could not be read: {error}", number.saturating_add(1)));
                // Where the network is away for hours, one word of it is enough.
                said = error;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(last: char) -> CaseId {
        CaseId::parse(&format!("i-0123456789abcdef0-0123456789a{last}")).unwrap()
    }

    fn wave(number: u32, first_part: u32, count: u32) -> Wave {
        Wave {
            schema: Wave::SCHEMA.to_owned(),
            case_id: case('b'),
            number,
            withdrawn: None,
            first_part,
            parts: (first_part..first_part + count).map(|part| format!("{number}/{part}")).collect(),
            next: format!("next-{number}"),
            poll_seconds: 10,
            valid_seconds: 3_600,
            settings: None,
        }
    }

    #[test]
    fn a_newer_wave_replaces_the_urls_that_it_names_and_the_others_stay() {
        let now = Instant::now();
        let mut urls = Urls::default();
        urls.take_over(wave(1, 1, 4), now);
        urls.done(1);
        urls.take_over(wave(2, 3, 4), now);
        let seen: Vec<_> = (1..=7).map(|part| urls.of(part, 0).map(|signed| signed.url.to_string())).collect();
        let expected = [None, Some("1/2"), Some("2/3"), Some("2/4"), Some("2/5"), Some("2/6"), None];
        assert_eq!(seen, expected.map(|url| url.map(str::to_owned)));
        assert_eq!(urls.next, "next-2");
        assert!(urls.of(2, 1).is_none(), "part 2 has no URL newer than wave 1");
        assert!(urls.of(3, 1).is_some());
    }

    #[test]
    fn a_wave_that_comes_begins_the_wait_anew() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut urls = Urls::default();
        urls.take_over(wave(1, 1, 1), now);
        assert_eq!(urls.patience_ends(now + second, None), now + second + Duration::from_hours(1));
        urls.take_over(wave(2, 1, 1), now + 10 * second);
        assert_eq!(urls.patience_ends(now + second, Some(second)), now + 11 * second);
    }

    #[test]
    fn a_wave_of_another_case_an_old_one_and_one_of_another_schema_are_refused() {
        assert!(follows(&wave(2, 1, 1), &case('b'), 1).is_ok());
        assert!(follows(&wave(5, 1, 1), &case('b'), 1).is_ok(), "a wave may be missed");
        let other = Wave { schema: "cordon.wave.v2".to_owned(), ..wave(2, 1, 1) };
        for (wave, case, number) in [(&wave(2, 1, 1), &case('c'), 1), (&wave(1, 1, 1), &case('b'), 1), (&other, &case('b'), 1)] {
            assert!(follows(wave, case, number).is_err());
        }
    }

    #[test]
    fn a_wave_cannot_make_the_collector_ask_without_pause_nor_name_a_part_that_cannot_be() {
        let mut urls = Urls::default();
        urls.take_over(Wave { poll_seconds: 0, first_part: u32::MAX, ..wave(1, 1, 3) }, Instant::now());
        assert_eq!((urls.poll, urls.parts.len()), (POLL.0, 0));
    }
}
