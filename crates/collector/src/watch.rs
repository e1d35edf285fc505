//! The watchdog: cuts an exchange with the network that stands still, all of them when the run stops, and stops it at its
//! deadline. The HTTP client's own limits restart with every write and so can be doubled by a peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ureq::Agent;

use crate::Times;
use crate::board::{Board, Halt, State};

/// When an exchange last moved.
#[derive(Debug, Clone)]
pub struct Pulse {
    began: Instant,
    millis: Arc<AtomicU64>,
}

impl Pulse {
    fn new(began: Instant) -> Self {
        let pulse = Self { began, millis: Arc::default() };
        pulse.beat();
        pulse
    }

    /// It moves.
    pub fn beat(&self) {
        self.millis.store(self.now(), Ordering::Relaxed);
    }

    fn still_for(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.millis.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The exchanges that go on.
#[derive(Debug, Default)]
pub struct Watched {
    next: u64,
    exchanges: BTreeMap<u64, Exchange>,
}

#[derive(Debug)]
struct Exchange {
    agent: Agent,
    pulse: Pulse,
    cut: bool,
}

impl Watched {
    /// The connections of the exchanges that `which` names, each only once.
    fn cut(&mut self, which: impl Fn(&Exchange) -> bool) -> Vec<Agent> {
        let due = self.exchanges.values_mut().filter(|exchange| !exchange.cut && which(exchange));
        due.map(|exchange| {
            exchange.cut = true;
            exchange.agent.clone()
        })
        .collect()
    }
}

/// An exchange under watch, until this is dropped.
#[derive(Debug)]
pub struct Watch<'a> {
    board: &'a Board,
    id: u64,
    pulse: Pulse,
}

impl<'a> Watch<'a> {
    /// Watches an exchange of `agent`; nothing is begun once the run is stopped.
    pub fn begin(board: &'a Board, agent: &Agent) -> Result<Self, Halt> {
        let pulse = Pulse::new(board.began());
        let exchange = Exchange { agent: agent.clone(), pulse: pulse.clone(), cut: false };
        let id = board.change(|state| {
            if state.stop.is_some() || state.over {
                return Err(Halt::Stopped);
            }
            let watched = &mut state.watched;
            watched.next += 1;
            watched.exchanges.insert(watched.next, exchange);
            Ok(watched.next)
        })?;
        Ok(Self { board, id, pulse })
    }

    /// Its pulse.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Whether the watchdog cut it.
    pub fn was_cut(&self) -> bool {
        self.board.look(|state| state.watched.exchanges.get(&self.id).is_some_and(|exchange| exchange.cut))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.board.change(|state| state.watched.exchanges.remove(&self.id));
    }
}

/// Keeps watch until the run ends.
pub fn keep(board: &Board, times: &Times) {
    let tick = (times.stall / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
    loop {
        let cut = |which: &dyn Fn(&Exchange) -> bool| {
            let agents = board.change(|state: &mut State| state.watched.cut(which));
            agents.into_iter().for_each(Agent::shutdown);
        };
        if board.pause(tick.min(board.deadline().saturating_duration_since(Instant::now()))) == Halt::Stopped {
            cut(&|_| true);
            return;
        }
        cut(&|exchange| exchange.pulse.still_for() >= times.stall);
        if Instant::now() >= board.deadline() {
            let seconds = board.deadline().duration_since(board.began()).as_secs();
            board.stop(&format!("the capture was not done within its {seconds} s"));
        }
    }
}
