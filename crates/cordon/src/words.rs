//! How things ended, in the words that every command uses. What is not as it should be has a word in capitals.

use incident::context::ContextStatus;
use incident::evidence::{
    CaptureStatus, ContainmentStatus, Denial, DenialScope, DenialStatus, LockdownStatus, PermissionStatus, TerminationStatus,
};
use incident::plan::TargetState;
use incident::protection::ProtectionStatus;
use incident::release::ReleaseStatus;

/// How contained a target is.
pub(crate) const fn containment(status: ContainmentStatus) -> &'static str {
    match status {
        ContainmentStatus::Contained => "contained",
        ContainmentStatus::PartlyContained => "only PARTLY contained",
        ContainmentStatus::NotContained => "NOT contained",
        ContainmentStatus::Withheld => "NOT cut, deliberately",
        ContainmentStatus::NothingToCut => "nothing to cut",
        ContainmentStatus::Unknown => "containment UNKNOWN",
    }
}

/// Whether others can still end a target.
pub(crate) const fn protection(status: ProtectionStatus) -> &'static str {
    match status {
        ProtectionStatus::Protected => "protected from being ended by others",
        ProtectionStatus::PartlyProtected => "only PARTLY protected from being ended by others",
        ProtectionStatus::NotProtected => "NOT protected from being ended by others",
        ProtectionStatus::NothingToProtect => "nothing to protect",
        ProtectionStatus::Unknown => "protection UNKNOWN",
    }
}

/// How a release went.
pub(crate) const fn release(status: ReleaseStatus) -> &'static str {
    match status {
        ReleaseStatus::Released => "released: everything was read back as it was before the case",
        ReleaseStatus::PartlyReleased => "only PARTLY released",
        ReleaseStatus::NotReleased => "NOT released: the target is as contained as before",
        ReleaseStatus::Superseded => "STOPPED: a new finding claimed the target, and its case contains it again",
        ReleaseStatus::Unknown => "NOBODY KNOWS how the target stands: look at it",
    }
}

/// Whether a target's credentials are denied.
pub(crate) const fn denial(denial: &Denial) -> &'static str {
    match (denial.status, denial.scope) {
        (DenialStatus::Denied, DenialScope::All) => "denied",
        (DenialStatus::Denied, DenialScope::AllButSystemsManager) => "denied but for Systems Manager's agent",
        (DenialStatus::NotDenied, _) => "NOT denied",
        (DenialStatus::Lifted, _) => "no longer denied",
        (DenialStatus::NothingToDeny, _) => "nothing to deny",
        (DenialStatus::Withheld, _) => "NOT denied, deliberately",
        (DenialStatus::Unknown, _) => "UNKNOWN",
    }
}

/// How the capture of memory stands.
pub(crate) const fn capture(status: CaptureStatus) -> &'static str {
    match status {
        CaptureStatus::Running => "under way",
        CaptureStatus::Captured => "captured",
        CaptureStatus::Partial => "only PARTLY captured",
        CaptureStatus::NotCaptured => "NOT captured",
    }
}

/// Whether anything of a target is open.
pub(crate) const fn lockdown(status: LockdownStatus) -> &'static str {
    match status {
        LockdownStatus::LockedDown => "locked down",
        LockdownStatus::Partly => "only PARTLY locked down",
        LockdownStatus::NotLockedDown => "NOT locked down",
        LockdownStatus::Withheld => "NOT locked down, deliberately",
        LockdownStatus::NothingToLock => "nothing to lock down",
        LockdownStatus::Unknown => "UNKNOWN",
    }
}

/// How much AWS told about a target.
pub(crate) const fn context(status: ContextStatus) -> &'static str {
    match status {
        ContextStatus::Collected => "collected",
        ContextStatus::Partly => "only PARTLY collected",
        ContextStatus::NotCollected => "NOT collected",
        ContextStatus::Unknown => "UNKNOWN",
    }
}

/// How the question for permission ended.
pub(crate) const fn permission(status: PermissionStatus) -> &'static str {
    match status {
        PermissionStatus::Approved => "approved",
        PermissionStatus::Denied => "denied",
        PermissionStatus::Silence => "too few answered in time",
        PermissionStatus::NotAsked => "nobody could be asked",
    }
}

/// How the end of a target went.
pub(crate) const fn termination(status: TerminationStatus) -> &'static str {
    match status {
        TerminationStatus::Terminated => "terminated",
        TerminationStatus::Refused => "REFUSED by the guard",
        TerminationStatus::NotTerminated => "NOT terminated",
        TerminationStatus::Unknown => "termination UNKNOWN",
    }
}

/// What state an instance was in.
pub(crate) const fn state(state: TargetState) -> &'static str {
    match state {
        TargetState::Pending => "pending",
        TargetState::Running => "running",
        TargetState::Stopping => "stopping",
        TargetState::Stopped => "stopped",
        TargetState::ShuttingDown => "shutting down",
        TargetState::Terminated => "terminated",
        TargetState::Gone => "gone",
    }
}

/// A size as people read it, to a tenth.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}
