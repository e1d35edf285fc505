//! The stages of an incident, and how far each is, from what was read of the case. Pure.
//!
//! INVARIANT: every text that is not ours is bounded and made harmless here.

mod end;
mod first;
mod preserve;
mod release;

use incident::CaseId;
use incident::text::harmless;
use jiff::Timestamp;
use serde::Serialize;

use super::facts::{Facts, Trail};
use crate::list::Status;

/// `cordon.watch.v1`: how a case stands. A time is null where it is not known (yet).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Picture {
    schema: &'static str,
    pub(super) case_id: CaseId,
    /// The case that is given back; null unless this is a release.
    pub(super) release_of: Option<CaseId>,
    /// `open`, `closedAsPlanned`, `closedNotAsPlanned`, or `broken`: its execution has ended and did not close it.
    pub(super) status: Status,
    /// When triage began.
    pub(super) opened: Option<Timestamp>,
    /// When it was closed.
    pub(super) closed: Option<Timestamp>,
    /// In the order of an incident.
    pub(super) stages: Vec<Stage>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stage {
    /// `triage`, `isolate`, `protect`, `deny credentials`, `snapshot`, `memory`, `lock-down`, `snapshots`, `context`, `copies`, `seal`,
    /// `permission`, `terminate` or `close`; of a release `check`, `credentials`, `give back` or `close`.
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) began: Option<Timestamp>,
    pub(super) ended: Option<Timestamp>,
    /// How it went, or why it did not; may be empty.
    pub(super) said: String,
    /// Only of a long wait that is under way.
    pub(super) progress: Option<Bar>,
    /// Only of a question that waits for people.
    pub(super) question: Option<Question>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// Its turn has not come.
    Waiting,
    /// Under way.
    Running,
    /// As it should be.
    Done,
    /// Not as it should be.
    Failed,
    /// The plan leaves it out, or nothing is left of it to do.
    LeftOut,
}

/// How far a long wait is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bar {
    /// 0 to 100.
    pub(super) percent: u8,
    /// What has come, in bytes, where that is known.
    pub(super) done_bytes: Option<u64>,
    /// What is expected, in bytes, where that is known.
    pub(super) of_bytes: Option<u64>,
    /// When the newest look was taken.
    pub(super) at: Timestamp,
    /// When it will have ended if it goes on as it has; null where nobody can know.
    pub(super) due: Option<Timestamp>,
    /// When it is given up.
    pub(super) until: Timestamp,
}

/// What people are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    /// How many people have approved.
    pub(super) approved: usize,
    /// How many must.
    pub(super) needed: u8,
    /// Until when they are asked; null where no record says when they were.
    pub(super) until: Option<Timestamp>,
    /// The command that approves, as the words of each of its lines.
    pub(super) command: Vec<String>,
}

/// How the case stands.
pub(super) fn picture(case_id: &CaseId, facts: &Facts) -> Picture {
    let closing = facts.closing.as_ref().filter(|_| facts.closed());
    let mut stages = match &facts.release {
        Some(release) => release::stages(facts, release),
        None => incident(case_id, facts),
    };
    for stage in &mut stages {
        stage.said = harmless(&stage.said, 400);
    }
    Picture {
        schema: "cordon.watch.v1",
        case_id: case_id.clone(),
        release_of: facts.release.as_ref().map(|release| release.case_id.clone()),
        status: Status::of(closing.map(|closing| closing.as_planned), facts.ended.is_none()),
        opened: facts.plan.as_ref().map(|plan| plan.opened).or(facts.release.as_ref().map(|release| release.opened)),
        closed: closing.map(|closing| closing.closed_at),
        stages,
    }
}

/// The stages of an incident.
fn incident(case_id: &CaseId, facts: &Facts) -> Vec<Stage> {
    let (permission, permitted) = end::permission(case_id, facts);
    let terminate = end::terminate(facts, permitted);
    let close = end::close(facts, &terminate);
    let stages = [
        Some(first::triage(facts)),
        Some(first::isolate(facts)),
        Some(first::protect(facts)),
        Some(first::deny_credentials(facts)),
        Some(first::snapshot(facts)),
        Some(preserve::memory(facts)),
        Some(preserve::lock_down(facts)),
        Some(preserve::snapshots(facts)),
        Some(preserve::context(facts)),
        // Only where the plan asks for them.
        preserve::copies(facts),
        Some(end::seal(facts)),
        Some(permission),
        Some(terminate),
        Some(close),
    ];
    stages.into_iter().flatten().collect()
}

impl Stage {
    fn new(name: &'static str, state: State, said: impl Into<String>) -> Self {
        Self { name, state, began: None, ended: None, said: said.into(), progress: None, question: None }
    }

    fn left_out(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, State::LeftOut, why)
    }

    /// A stage that records tell of. What went wrong may be tried again, so that it counts once the stage is `behind`.
    fn of(name: &'static str, trail: &Trail<'_>, went: Option<(bool, String)>, behind: bool) -> Self {
        let (state, said) = match went {
            Some((true, said)) => (State::Done, said),
            Some((false, said)) if behind => (State::Failed, said),
            Some((false, said)) => (State::Running, said),
            None if behind => (State::Failed, "no record says how it went".to_owned()),
            None if trail.0.is_empty() => (State::Waiting, String::new()),
            None => (State::Running, String::new()),
        };
        let ended = trail.outcome().filter(|_| matches!(state, State::Done | State::Failed)).map(|record| record.at);
        Self { began: trail.began(), ended, ..Self::new(name, state, said) }
    }

    /// Whether it can change no more.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Failed | State::LeftOut)
    }
}

/// A reason and how many more there are.
fn reasons<'a>(mut all: impl Iterator<Item = &'a str>) -> String {
    let Some(first) = all.next() else { return String::new() };
    match all.count() {
        0 => first.to_owned(),
        more => format!("{first} (and {more} more)"),
    }
}

/// `said`, and why.
fn with(said: &str, why: &str) -> String {
    if why.is_empty() { said.to_owned() } else { format!("{said}: {why}") }
}
