//! What is given back, and what is not: a pure function of what was and of what is.
//!
//! INVARIANT: only what still stands as Cordon left it is given back. What somebody has changed since is told, and stays.
//! INVARIANT: planning again on the world that results from a plan gives nothing.

mod around;
mod instance;
mod network;

use incident::CaseId;
use incident::plan::TargetState;
use incident::release::{NotRestorable, ReleaseRequest, Restore};
use incident::text::bounded;

use crate::now::{Capacity, Groups, Now, Told};
use crate::saved::Saved;

/// Everything that a release plans by.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What was.
    pub saved: &'a Saved,
    /// What is.
    pub now: &'a Now,
    /// The groups that there are.
    pub groups: &'a Groups,
    /// The Auto Scaling group that the target was in; `None` where it is gone or there was none.
    pub capacity: &'a Told<Option<Capacity>>,
    /// What a person asks for.
    pub request: &'a ReleaseRequest,
}

/// What is given back, in the order in which it is, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// What is.
    pub restore: Vec<Restore>,
    /// What is not.
    pub not_restorable: Vec<NotRestorable>,
}

/// How many things that are not given back are told one by one.
const MOST_LOST: usize = 60;

/// Plans a release: the way into the target late, its protections after everything else.
pub fn draft(world: &World<'_>) -> Draft {
    let mut draft = Draft::default();
    instance::metadata(world, &mut draft);
    network::interfaces(world, &mut draft);
    around::target_groups(world, &mut draft);
    around::classic(world, &mut draft);
    around::scaling(world, &mut draft);
    instance::volumes(world, &mut draft);
    instance::protections(world, &mut draft);
    draft.lose("old connections", "connections that were cut do not come back: what was connected must connect again");
    draft.restore.sort_by_key(order);
    let more = draft.not_restorable.len().saturating_sub(MOST_LOST);
    draft.not_restorable.truncate(MOST_LOST);
    if more > 0 {
        draft
            .lose(&format!("{more} more things"), "they are too many to be told one by one: compare before.json with the target");
    }
    draft
}

impl Draft {
    fn lose(&mut self, what: &str, reason: &str) {
        self.not_restorable.push(NotRestorable { what: bounded(what, 200), reason: bounded(reason, 400) });
    }
}

/// Whether it runs, so that it can be where only what runs can be.
fn runs(now: &Now) -> bool {
    matches!(now.state, TargetState::Running | TargetState::Pending)
}

/// How to ask for the target's Auto Scaling group as well.
fn rejoin(case: &CaseId) -> String {
    format!("run `cordon release {case} --rejoin-group`")
}

/// The order in which things are given back.
fn order(restore: &Restore) -> u8 {
    match restore {
        Restore::Metadata { .. } => 0,
        Restore::Tracking { .. } => 1,
        Restore::Groups { .. } => 2,
        Restore::TargetGroup { .. } => 3,
        Restore::ClassicBalancer { .. } => 4,
        Restore::AutoScalingGroup { .. } => 5,
        Restore::DeleteOnTermination { .. } => 6,
        Restore::ShutdownBehavior { .. } => 7,
        Restore::StopProtection { .. } => 8,
        Restore::TerminationProtection { .. } => 9,
    }
}
