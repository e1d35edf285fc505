//! The guard: everything that there is against a release. Pure.

use incident::plan::TargetState;
use incident::text::bounded;
use incident::{CaseId, ExecutionArn};

use crate::now::{Groups, Now, wears_ours};
use crate::sealed::Case;

/// How many cases a chain may have.
pub const LONGEST_CHAIN: usize = 5;

/// Everything that the guard judges by, read anew. An `Err` says why something could not be read, and is never overlooked.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The case that is to be released.
    pub case: CaseId,
    /// The execution that is to release it.
    pub execution: ExecutionArn,
    /// The case, the earlier one that it names, and so on; or what there is against one of them.
    pub chain: Vec<Result<Case, Vec<String>>>,
    /// The case that the last of the chain names as an earlier one, though the chain had to end there.
    pub endless: Option<CaseId>,
    /// Cases of the target that were opened after this one, when the target wore no group of ours.
    pub later: Vec<CaseId>,
    /// Who has the target.
    pub holder: Holder,
    /// The target now.
    pub target: Result<Now, String>,
    /// The groups that the chain and the target name, as far as there are any.
    pub groups: Result<Groups, String>,
}

/// Who has the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// This very release: an earlier attempt claimed it.
    Ours,
    /// An execution that does not run any more.
    Dead {
        /// The claim's `ETag`.
        etag: String,
    },
    /// Another execution.
    Running {
        /// Its case.
        case: CaseId,
        /// Whether that is a release too.
        release: bool,
    },
    /// It could not be read.
    Unknown(String),
}

impl Facts {
    /// The chain, earliest case first; `None` where a case of it does not hold.
    pub fn cases(&self) -> Option<Vec<&Case>> {
        let whole = self.endless.is_none() && !self.chain.is_empty();
        let mut cases: Vec<&Case> = self.chain.iter().map(|case| case.as_ref().ok()).collect::<Option<_>>()?;
        cases.reverse();
        whole.then_some(cases)
    }
}

/// Everything that there is against the release, one sentence each.
pub fn judge(facts: &Facts) -> Vec<String> {
    let mut all = chain(facts);
    all.extend(elsewhere(facts));
    all.extend(held(&facts.holder));
    all.extend(target(facts));
    all.extend(contained_again(facts));
    all.iter().map(|reason| bounded(reason, 400)).collect()
}

/// Whether every case of the chain is closed and holds.
fn chain(facts: &Facts) -> Vec<String> {
    let mut all: Vec<String> = facts.chain.iter().filter_map(|case| case.as_ref().err()).flatten().cloned().collect();
    if let Some(case) = &facts.endless {
        all.push(format!(
            "the cases of this target name each other as earlier ones, in a circle or more than {LONGEST_CHAIN} of them up to {case}: \
             run `cordon verify` on each and give the target back by hand"
        ));
    }
    all
}

/// A bucket may serve several accounts and Regions.
fn elsewhere(facts: &Facts) -> Option<String> {
    let target = &facts.chain.first()?.as_ref().ok()?.plan.target;
    let here = (facts.execution.account(), facts.execution.region());
    let there = (target.account.as_str(), target.region.as_str());
    (here != there).then(|| format!("the target is in account {} and Region {}: release it there", there.0, there.1))
}

fn held(holder: &Holder) -> Option<String> {
    match holder {
        Holder::Nobody | Holder::Ours | Holder::Dead { .. } => None,
        Holder::Running { case, release: false } => Some(format!("case {case} of this target is open: wait until it is closed")),
        Holder::Running { case, release: true } => Some(format!("release {case} of this target runs: wait until it has ended")),
        Holder::Unknown(reason) => Some(format!("who has the target could not be read: {reason}")),
    }
}

fn target(facts: &Facts) -> Vec<String> {
    let mut all = Vec::new();
    match &facts.target {
        Ok(now) => all.extend(ended(now).map(str::to_owned)),
        Err(reason) => all.push(format!("the target could not be read: {reason}")),
    }
    if let Err(reason) = &facts.groups {
        all.push(format!("the target's groups could not be read: {reason}"));
    }
    all
}

fn ended(now: &Now) -> Option<&'static str> {
    match now.state {
        TargetState::Terminated => Some("the target is terminated: nothing is left to release"),
        TargetState::ShuttingDown => Some("the target is being terminated: nothing is left to release"),
        TargetState::Gone => Some("the target is gone: EC2 does not know it any more"),
        _ => None,
    }
}

/// A later case that found the target free of our groups saved other values than this one: to give back this one's would open
/// what the later one has closed, and with groups from before it.
fn contained_again(facts: &Facts) -> Option<String> {
    let (Ok(now), Ok(groups)) = (&facts.target, &facts.groups) else { return None };
    let contained = now.nics.iter().any(|nic| wears_ours(&nic.groups, groups));
    let later = facts.later.last().filter(|_| contained)?;
    Some(format!("case {later} came later and contained the target again: release that one"))
}
