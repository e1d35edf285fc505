//! What to change, from how the target stands and from what was saved of it. Pure.
//!
//! INVARIANT: nothing is decided whose old value was not saved.
//! INVARIANT: deciding again on the world that results from a decision decides nothing.

use incident::protection::{BeforeProtections, Membership, ShutdownBehavior};
use incident::{CaseId, VolumeId};

use crate::places::Places;

/// How the target stands. What could not be read says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is a Spot instance, as triage or this look saw it.
    pub spot: bool,
    /// Its VPCs and addresses.
    pub places: Result<Places, String>,
    /// Its EBS volumes.
    pub volumes: Result<Vec<Mapping>, String>,
    /// `DisableApiTermination`.
    pub termination: Result<bool, String>,
    /// `DisableApiStop`.
    pub stop: Result<bool, String>,
    /// What a shutdown from inside does.
    pub shutdown: Result<ShutdownBehavior, String>,
    /// Its Auto Scaling group.
    pub group: Result<Option<Membership>, String>,
}

/// One EBS volume of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The volume.
    pub volume: VolumeId,
    /// Its device name.
    pub device: String,
    /// Whether it is deleted with the instance; absent where EC2 does not say.
    pub deleted: Option<bool>,
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The API may not terminate it any more.
    ProtectFromTermination,
    /// The API may not stop it any more.
    ProtectFromStop,
    /// A shutdown from inside stops it.
    StopOnShutdown,
    /// These volumes, which go with it now, outlive it: one call.
    KeepVolumes(Vec<Mapping>),
    /// It leaves this Auto Scaling group, which keeps its capacity.
    LeaveGroup(Membership),
}

/// Decides. `withheld` leaves the target in its group.
///
/// The old value of a volume is no matter of `saved`: only what is to be deleted is changed, and the intent says so.
pub fn decide(seen: &Seen, saved: &BeforeProtections, withheld: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    // EC2 has no termination protection for Spot instances [facts 20].
    if seen.termination == Ok(false) && saved.termination_protection.is_some() && !seen.spot {
        steps.push(Step::ProtectFromTermination);
    }
    if seen.stop == Ok(false) && saved.stop_protection.is_some() {
        steps.push(Step::ProtectFromStop);
    }
    if seen.shutdown == Ok(ShutdownBehavior::Terminate) && saved.shutdown_behavior.is_some() {
        steps.push(Step::StopOnShutdown);
    }
    let volumes = seen.volumes.as_deref().unwrap_or_default();
    let going: Vec<Mapping> = volumes.iter().filter(|volume| volume.deleted == Some(true)).cloned().collect();
    if !going.is_empty() {
        steps.push(Step::KeepVolumes(going));
    }
    if let Ok(Some(group)) = &seen.group
        && !withheld
        && can_leave(group)
        && is_saved(group, saved)
    {
        steps.push(Step::LeaveGroup(group.clone()));
    }
    steps
}

/// What is saved of the target before any of it is changed.
pub fn before(seen: &Seen, case: &CaseId) -> BeforeProtections {
    BeforeProtections {
        schema: BeforeProtections::SCHEMA.to_owned(),
        case_id: case.clone(),
        termination_protection: seen.termination.as_ref().ok().copied(),
        stop_protection: seen.stop.as_ref().ok().copied(),
        shutdown_behavior: seen.shutdown.as_ref().ok().copied(),
        group: seen.group.clone().unwrap_or_default(),
    }
}

/// Whether Auto Scaling lets go of a member in this lifecycle state, and harms nobody by it: detaching one that is in Standby
/// may end others [facts 18].
pub fn can_leave(group: &Membership) -> bool {
    group.lifecycle == "InService"
}

/// Whether it is on its way out of its group, or in none.
pub fn has_left(group: Option<&Membership>) -> bool {
    group.is_none_or(|group| matches!(group.lifecycle.as_str(), "Detaching" | "Detached"))
}

/// Whether this is the group that was saved.
pub fn is_saved(group: &Membership, saved: &BeforeProtections) -> bool {
    saved.group.as_ref().is_some_and(|before| before.name == group.name)
}
