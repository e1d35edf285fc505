//! What the collector's threads share, and the one way to wait for it.
//!
//! INVARIANT: every wait of a thread ends when the run is stopped or over. Nothing else waits but a bounded call of the
//! network and a read of the kernel, and the run ends without them too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use incident::capture::CollectedFile;

use crate::errors::Errors;
use crate::feed::Urls;
use crate::ledger::Ledger;
use crate::stream::Pool;
use crate::watch::Watched;

/// The longest run: a deadline beyond it is cut down to it.
const LONGEST_RUN: Duration = Duration::from_hours(7 * 24);

/// What the threads share.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
    began: Instant,
    deadline: Instant,
}

/// The state of the run.
#[derive(Debug, Default)]
pub struct State {
    /// Why everything stops, once it does.
    pub stop: Option<Stop>,
    /// Whether the work has ended, one way or the other.
    pub over: bool,
    /// The URLs of the parts.
    pub urls: Urls,
    /// The buffers, and the parts on their way.
    pub pool: Pool,
    /// What was hashed and what was taken.
    pub ledger: Ledger,
    /// What went wrong.
    pub errors: Errors,
    /// The exchanges with the network that go on.
    pub watched: Watched,
    /// What the image is read from.
    pub source: String,
    /// The bytes of memory that the kernel names as system RAM.
    pub system_ram: u64,
    /// The files beside the image that were taken.
    pub files: Vec<CollectedFile>,
    /// Whether all of memory was read.
    pub whole: bool,
}

/// Why everything stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// One sentence.
    pub reason: String,
    /// Whether the conductor wants it so: then nothing more is sent.
    pub withdrawn: bool,
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// The run is stopped or over.
    Stopped,
    /// The time is up.
    Late,
}

impl Board {
    /// A board for a run that may last `longest`.
    pub fn new(longest: Duration) -> Self {
        let began = Instant::now();
        let deadline = began + longest.min(LONGEST_RUN);
        Self { state: Mutex::default(), changed: Condvar::new(), began, deadline }
    }

    /// When the run began.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// When the run must have ended.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Changes the state, and lets everyone who waits look at it.
    pub fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Looks at the state.
    pub fn look<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.lock())
    }

    /// Waits until `ready` gives something, at most until `until`.
    pub fn wait<R>(&self, until: Option<Instant>, mut ready: impl FnMut(&mut State) -> Option<R>) -> Result<R, Halt> {
        let ready_or_stopped = |state: &mut State| {
            let stopped = state.stop.is_some() || state.over;
            if stopped { Some(None) } else { ready(state).map(Some) }
        };
        match self.settle(until, ready_or_stopped) {
            Some(Some(result)) => Ok(result),
            Some(None) => Err(Halt::Stopped),
            None => Err(Halt::Late),
        }
    }

    /// Waits until `ready` gives something, at most until `until`, though the run may be stopped.
    pub fn settle<R>(&self, until: Option<Instant>, mut ready: impl FnMut(&mut State) -> Option<R>) -> Option<R> {
        let mut state = self.lock();
        loop {
            if let Some(result) = ready(&mut state) {
                return Some(result);
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Waits for `time`, or until the run is stopped.
    pub fn pause(&self, time: Duration) -> Halt {
        self.wait(Some(Instant::now() + time), |_| None::<()>).err().unwrap_or(Halt::Late)
    }

    /// Stops everything; the first reason stays.
    pub fn stop(&self, reason: &str) {
        self.halt(reason, false);
    }

    /// Stops everything since the conductor wants it so.
    pub fn withdraw(&self, reason: &str) {
        self.halt(&format!("the capture was withdrawn: {reason}"), true);
    }

    fn halt(&self, reason: &str, withdrawn: bool) {
        self.change(|state| {
            if state.stop.is_none() && !state.over {
                state.stop = Some(Stop { reason: reason.to_owned(), withdrawn });
            }
        });
    }

    /// Notes what went wrong.
    pub fn note(&self, error: &str) {
        self.change(|state| state.errors.note(error));
    }

    /// Runs `work` in a thread of its own; the run stops if it breaks.
    pub fn spawn(self: &Arc<Self>, name: &'static str, work: impl FnOnce(&Self) + Send + 'static) {
        let board = Arc::clone(self);
        let guarded = move || {
            if catch_unwind(AssertUnwindSafe(|| work(&board))).is_err() {
                board.stop(&format!("the collector broke in `{name}`: this is a fault of ours"));
            }
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(guarded) {
            self.stop(&format!("the target lets the collector start no thread: {error}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that broke has stopped the run; what stands on the board is still what was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_what_was_waited_for_when_it_is_late_and_when_the_run_stops() {
        let board = Arc::new(Board::new(Duration::from_mins(1)));
        assert_eq!(board.wait(None, |_| Some(1)), Ok(1));
        assert_eq!(board.pause(Duration::from_millis(1)), Halt::Late);
        let waiting = Arc::clone(&board);
        let thread = thread::spawn(move || waiting.wait(None, |_| None::<()>));
        board.stop("first");
        board.withdraw("second");
        assert_eq!(thread.join().unwrap(), Err(Halt::Stopped));
        assert_eq!(board.look(|state| state.stop.clone()), Some(Stop { reason: "first".to_owned(), withdrawn: false }));
        assert_eq!(board.wait(None, |_| Some(1)), Err(Halt::Stopped));
    }

    #[test]
    fn a_thread_that_breaks_stops_the_run() {
        let board = Arc::new(Board::new(Duration::from_mins(1)));
        board.spawn("broken", |_| panic!("on purpose"));
        assert_eq!(board.wait(Some(Instant::now() + Duration::from_secs(30)), |_| None::<()>), Err(Halt::Stopped));
        assert!(board.look(|state| state.stop.clone()).unwrap().reason.contains("`broken`"));
    }

    #[test]
    fn no_deadline_is_too_far_for_the_clock() {
        let board = Board::new(Duration::from_secs(u64::MAX));
        assert_eq!(board.deadline() - board.began(), LONGEST_RUN);
    }
}
