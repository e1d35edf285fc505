//! Sends parts and files, and tries again from the same buffer.

use ureq::Agent;

use crate::Options;
use crate::board::{Board, Halt};
use crate::retry::{self, Verdict};
use crate::watch::Watch;
use crate::{feed, http};

/// Why something was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untaken {
    /// The run is stopped.
    Stopped,
    /// The URL is of no more use.
    Url,
    /// No URL will help.
    Gone(String),
}

/// Sends parts until the run ends; stops it when one cannot be sent.
pub fn work(board: &Board, options: &Options, tries: u8) {
    let mut sender = Sender::new(board, options, tries);
    while let Ok(part) = board.wait(None, |state| state.pool.to_send()) {
        match sender.part(part.number, &part.data) {
            Ok(()) => board.change(|state| {
                state.ledger.taken(part.number);
                state.urls.done(part.number);
                state.pool.release(part);
            }),
            Err(None) => return,
            Err(Some(reason)) => return board.stop(&reason),
        }
    }
}

/// Sends one thing after the other over a connection of its own.
#[derive(Debug)]
pub struct Sender<'a> {
    board: &'a Board,
    options: &'a Options,
    tries: u32,
    agent: Agent,
}

impl<'a> Sender<'a> {
    /// A sender that tries each URL `tries` times.
    pub fn new(board: &'a Board, options: &'a Options, tries: u8) -> Self {
        Self { board, options, tries: tries.max(1).into(), agent: http::agent(options) }
    }

    /// Sends a part, with one URL after the other; the error is why the run has to stop, if it is not stopped already.
    fn part(&mut self, number: u32, data: &[u8]) -> Result<(), Option<String>> {
        let mut after = 0;
        loop {
            let signed = feed::url(self.board, self.options, number, after).map_err(|(halt, reason)| match halt {
                Halt::Stopped => None,
                Halt::Late => Some(reason),
            })?;
            match self.send(&format!("part {number}"), &signed.url, data) {
                Ok(()) => return Ok(()),
                Err(Untaken::Stopped) => return Err(None),
                Err(Untaken::Gone(reason)) => return Err(Some(reason)),
                // The conductor renews what has expired.
                Err(Untaken::Url) => after = signed.wave,
            }
        }
    }

    /// Sends `data` with one URL, and notes whatever goes wrong.
    pub fn send(&mut self, what: &str, url: &str, data: &[u8]) -> Result<(), Untaken> {
        for tried in 1..=self.tries {
            let watch = Watch::begin(self.board, &self.agent).map_err(|_| Untaken::Stopped)?;
            let answer = http::put(&self.agent, url, data, watch.pulse());
            let was_cut = watch.was_cut();
            drop(watch);
            if self.board.look(|state| state.stop.is_some()) {
                return Err(Untaken::Stopped);
            }
            let verdict = retry::judge(answer.as_ref().map_err(String::as_str));
            if verdict == Verdict::Taken {
                return Ok(());
            }
            // A connection that failed may fail again, and one that was cut certainly does.
            self.agent = http::agent(self.options);
            let said = match answer {
                _ if was_cut => format!("the server did not move for {} s", self.options.times.stall.as_secs_f32()),
                Ok(answer) if answer.code.is_empty() => format!("HTTP {}", answer.status),
                Ok(answer) => format!("HTTP {} `{}`", answer.status, answer.code),
                Err(error) => error,
            };
            self.board.note(&format!("{what}, try {tried}: {said}"));
            match verdict {
                Verdict::Gone => return Err(Untaken::Gone(format!("{what} has nowhere to go: {said}"))),
                Verdict::NewerUrl => return Err(Untaken::Url),
                Verdict::Taken | Verdict::Again => {}
            }
            let times = &self.options.times;
            if tried < self.tries
                && self.board.pause(retry::pause(tried, times.first_pause, times.longest_pause)) == Halt::Stopped
            {
                return Err(Untaken::Stopped);
            }
        }
        Err(Untaken::Url)
    }
}
