//! What the steps said of the target, and what of it is not as it should be. Pure.
//!
//! One place for it, so that the manifest, the report and the notice never disagree.
//!
//! INVARIANT: a risk goes only where a step read back that it is gone, and never where that step itself states it.

use jiff::Timestamp;

use crate::context::{Context, ContextStatus, Source, SourceStatus};
use crate::evidence::{
    Capture, CaptureStatus, Containment, ContainmentStatus, Denial, DenialScope, DenialStatus, Freeze, InterfaceOutcome,
    InterfaceStatus, Lockdown, LockdownStatus, Missing, Permission, Termination,
};
use crate::plan::{Cut, DenialPlan, MemoryPlan, Plan, SkipReason};
use crate::protection::{Protection, ProtectionStatus};
use crate::risk::{Risk, RiskKind, merged};
use crate::text::bounded;

/// What the steps said, as far as they came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// How contained the target is.
    pub containment: Option<&'a Containment>,
    /// What keeps it alive.
    pub protection: Option<&'a Protection>,
    /// Whether its role sessions are denied.
    pub denial: Option<&'a Denial>,
    /// How the capture of its memory ended.
    pub memory: Option<&'a Capture>,
    /// Whether anything of it is still open.
    pub lockdown: Option<&'a Lockdown>,
    /// What AWS knows about it.
    pub context: Option<&'a Context>,
    /// How the question ended whether it may be terminated.
    pub permission: Option<&'a Permission>,
    /// How its end went.
    pub termination: Option<&'a Termination>,
}

impl Said<'_> {
    /// The interfaces as they were read back last.
    pub fn interfaces(&self) -> &[InterfaceOutcome] {
        let later = self.lockdown.map(|lockdown| lockdown.interfaces.as_slice()).filter(|interfaces| !interfaces.is_empty());
        later.or(self.containment.map(|containment| containment.interfaces.as_slice())).unwrap_or_default()
    }

    /// The interface that still has the path for memory.
    pub fn path_left(&self) -> Option<&InterfaceOutcome> {
        self.interfaces().iter().find(|interface| interface.status == InterfaceStatus::PathOnly)
    }

    /// Whether the first cut did not reach every interface, but lock-down then read each of them back in its isolation group.
    pub fn cut_late(&self) -> bool {
        let wanting = |status| {
            use ContainmentStatus::{NotContained, PartlyContained, Unknown};
            matches!(status, PartlyContained | NotContained | Unknown)
        };
        self.containment.is_some_and(|containment| wanting(containment.status))
            && self.lockdown.is_some_and(|lockdown| lockdown.status == LockdownStatus::LockedDown)
    }
}

/// What remains, each risk once: the later step knows more.
pub fn risks(plan: Option<&Plan>, said: Said<'_>) -> Vec<Risk> {
    let mut all = plan.map(|plan| plan.risks.clone()).unwrap_or_default();
    if let Some(containment) = said.containment {
        // What read everything back says itself whether the way for memory is open. Where a run broke it may have been before.
        if containment.read_back_at.is_some() {
            close_path(&mut all, containment.read_back_at);
            all.retain(|risk| risk.kind != RiskKind::S3Path || containment.failure.is_some());
        }
        all = merged(&all, &containment.risks);
    }
    if let Some(protection) = said.protection {
        all = later(all, &protection.risks);
        if protection.failure.is_some() {
            all = merged(&all, &[unseen_balancers()]);
        }
    }
    if let Some(memory) = said.memory {
        resolve_memory(&mut all, memory);
    }
    if let Some(denial) = said.denial {
        let gone = denial.status == DenialStatus::Denied && denial.scope == DenialScope::All;
        all.retain(|risk| !(gone && risk.kind == RiskKind::RoleCredentials));
        all = later(all, &denial.risks);
    }
    if let Some(lockdown) = said.lockdown {
        if lockdown.status == LockdownStatus::LockedDown {
            close_path(&mut all, lockdown.read_back_at);
        }
        all.retain(|risk| match risk.kind {
            // Lock-down shortens again what is still long and looks again at what could not be looked at, and states what stays so.
            RiskKind::LongTracking | RiskKind::WaysNotRead => lockdown.read_back_at.is_none(),
            RiskKind::InstanceMetadata => !lockdown.metadata_off,
            _ => true,
        });
        all = later(all, &lockdown.risks);
    }
    if said.terminated() {
        all = outliving(all);
    }
    all
}

/// That the way for memory is closed takes back nothing of what went through it.
fn close_path(all: &mut [Risk], at: Option<Timestamp>) {
    let until = at.map_or_else(|| "lock-down".to_owned(), |at| at.to_string());
    for risk in all.iter_mut().filter(|risk| risk.kind == RiskKind::S3Path) {
        let advice = format!(
            "until {until} the target could reach more through the VPC's endpoints than Systems Manager and the evidence bucket: look \
             in the flow log and in CloudTrail's data events for what it sent, also later by a connection opened before"
        );
        *risk = Risk::new(RiskKind::S3Path, risk.subject.clone(), advice);
    }
}

/// What there is to say of load balancers where the step broke that looks at them.
fn unseen_balancers() -> Risk {
    let advice =
        "nobody could look at load balancers: it may still be sent requests, and what came through one may go on: look by hand";
    Risk::new(RiskKind::LoadBalancer, "", advice)
}

/// What remains, with what the snapshots do not hold as it seems.
pub fn risks_with(plan: Option<&Plan>, said: Said<'_>, freeze: Option<&Freeze>) -> Vec<Risk> {
    let found = freeze.map(|freeze| freeze.risks.as_slice()).unwrap_or_default();
    later(risks(plan, said), found)
}

/// What remains of a target that is no more: what was taken from it, and what was not.
fn outliving(all: Vec<Risk>) -> Vec<Risk> {
    all.into_iter()
        .filter_map(|risk| match risk.kind {
            RiskKind::RoleCredentials | RiskKind::EvidenceNotLocked | RiskKind::BrakeNotCounted => Some(risk),
            RiskKind::MemoryNotCaptured => {
                Some(Risk::new(risk.kind, risk.subject, "its memory was not, or not wholly, captured, and is lost"))
            }
            _ => None,
        })
        .collect()
}

/// With what a step found: what it names exactly replaces what was said before of the target as a whole.
fn later(mut all: Vec<Risk>, found: &[Risk]) -> Vec<Risk> {
    all.retain(|risk| !(risk.subject.is_empty() && found.iter().any(|found| found.kind == risk.kind)));
    merged(&all, found)
}

/// What the plan feared for memory, as it came.
fn resolve_memory(all: &mut Vec<Risk>, memory: &Capture) {
    let lost = match memory.status {
        CaptureStatus::Captured => {
            all.retain(|risk| risk.kind != RiskKind::MemoryNotCaptured);
            return;
        }
        CaptureStatus::Partial => "memory is only partly captured",
        CaptureStatus::Running | CaptureStatus::NotCaptured => "memory is not captured",
    };
    // What the plan says of it was said before anybody tried; where it feared nothing there was no memory.
    for risk in all.iter_mut().filter(|risk| risk.kind == RiskKind::MemoryNotCaptured) {
        let advice = format!("{lost} ({}): do not stop the instance before you have", bounded(&why_not(memory), 200));
        *risk = Risk::new(RiskKind::MemoryNotCaptured, risk.subject.clone(), advice);
    }
}

/// Why memory was not, or not wholly, captured.
pub fn why_not(memory: &Capture) -> String {
    match (&memory.failure, memory.reason.as_str(), memory.status) {
        (Some(failure), "", _) => format!("{} failed with {}: {}", failure.state, failure.error, failure.cause),
        (_, "", CaptureStatus::Running) => "it was given up while it was still under way".to_owned(),
        (_, "", _) => "no reason was given".to_owned(),
        (_, reason, _) => reason.to_owned(),
    }
}

/// The memory that should be in the evidence and is not. Also where the plan could not have it, but not where there was
/// none or nobody wanted it.
pub fn uncaptured(plan: &Plan, memory: Option<&Capture>) -> Option<Missing> {
    let reason = match (&plan.memory, memory) {
        (MemoryPlan::Skip { because: SkipReason::Policy | SkipReason::NoMemory, .. }, _) => return None,
        (MemoryPlan::Skip { because: SkipReason::NoPath | SkipReason::Unsupported, reason }, _) => {
            format!("it was not to be captured: {reason}")
        }
        (MemoryPlan::Capture { .. }, None) => "the run broke before it could say whether it was captured".to_owned(),
        (MemoryPlan::Capture { .. }, Some(memory)) => match memory.status {
            CaptureStatus::Captured => return None,
            CaptureStatus::Partial => format!("it is only partly captured: {}", why_not(memory)),
            CaptureStatus::Running | CaptureStatus::NotCaptured => format!("it is not captured: {}", why_not(memory)),
        },
    };
    Some(Missing::new("memory", reason))
}

/// Whether that memory is missing is what the plan says.
pub const fn memory_skipped(plan: &Plan) -> bool {
    matches!(plan.memory, MemoryPlan::Skip { .. })
}

/// The lock-down that should be there and is not.
pub fn unlocked(plan: &Plan, lockdown: Option<&Lockdown>) -> Option<Missing> {
    if plan.cut != Cut::Now || !plan.target.state.is_alive() {
        return None;
    }
    let said = match lockdown.map(|lockdown| lockdown.status) {
        Some(LockdownStatus::LockedDown | LockdownStatus::NothingToLock) => return None,
        Some(LockdownStatus::Partly) => "the target is only partly locked down",
        Some(LockdownStatus::NotLockedDown) => "the target is not locked down",
        Some(LockdownStatus::Withheld) => "the lock-down was withheld, though the plan cuts the network",
        Some(LockdownStatus::Unknown) => "it could not be read back whether the target is locked down",
        None => "the run broke before it could say whether the target is locked down",
    };
    let (reasons, failure) = lockdown.map_or((&[][..], None), |lockdown| (&lockdown.reasons[..], lockdown.failure.as_ref()));
    Some(Missing::new("lockdown", because(said, reasons, failure)))
}

/// Why the protection of the target is not as planned, in one sentence.
pub fn unprotected(plan: &Plan, protection: Option<&Protection>) -> Option<String> {
    if !plan.target.state.is_alive() {
        return None;
    }
    let said = match protection.map(|protection| protection.status) {
        Some(ProtectionStatus::Protected | ProtectionStatus::NothingToProtect) => return None,
        Some(ProtectionStatus::PartlyProtected) => "the target is only partly protected from being ended by others",
        Some(ProtectionStatus::NotProtected) => "the target is not protected from being ended by others",
        Some(ProtectionStatus::Unknown) => "it could not be read back whether the target is protected from being ended by others",
        None => "the run broke before it could say whether the target is protected from being ended by others",
    };
    let (reasons, failure) =
        protection.map_or((&[][..], None), |protection| (&protection.reasons[..], protection.failure.as_ref()));
    Some(bounded(&because(said, reasons, failure), 400))
}

/// Why the denial of credentials is not as planned, in one sentence.
pub fn undenied(plan: &Plan, denial: Option<&Denial>) -> Option<String> {
    let wanted = plan.credentials == DenialPlan::Deny
        && plan.target.profile.is_some()
        && plan.cut == Cut::Now
        && plan.target.state.is_alive();
    let said = match denial.map(|denial| (denial.status, denial.scope)) {
        Some((DenialStatus::NotDenied | DenialStatus::Lifted, _)) if wanted => "the target's credentials are not denied",
        Some((DenialStatus::Unknown, _)) if wanted => "it could not be read back whether the target's credentials are denied",
        Some((DenialStatus::Denied, DenialScope::AllButSystemsManager)) if wanted => {
            "the target's credentials are denied but for what Systems Manager's agent needs"
        }
        None if wanted => "the run broke before it could say whether the target's credentials are denied",
        Some(_) if denial.is_some_and(|denial| denial.failure.is_some()) => "the denial of the target's credentials failed",
        _ => return None,
    };
    let (reasons, failure) = denial.map_or((&[][..], None), |denial| (&denial.reasons[..], denial.failure.as_ref()));
    Some(bounded(&because(said, reasons, failure), 400))
}

/// Why the context is not as planned, in one sentence. It is never missing from the evidence: see decision 0018.
pub fn uncollected(plan: &Plan, context: Option<&Context>) -> Option<String> {
    // Of a target that is gone AWS knows little, and that it is gone is said already.
    if !plan.target.state.is_alive() {
        return None;
    }
    let said = match context.map(|context| context.status) {
        Some(ContextStatus::Collected) => return None,
        Some(ContextStatus::Partly) => "not all of the target's context is there",
        Some(ContextStatus::NotCollected) => "nothing of the target's context is there",
        Some(ContextStatus::Unknown) => "nobody knows how much of the target's context is there",
        None => "the run broke before it could say how much of the target's context is there",
    };
    let wanting = context.iter().flat_map(|context| context.wanting());
    let reasons: Vec<String> = wanting.map(|outcome| format!("{}: {}", outcome.source, outcome.reason)).collect();
    Some(bounded(&because(said, &reasons, context.and_then(|context| context.failure.as_ref())), 400))
}

/// What in the context people ask for first, in words; empty where there is none of it.
pub fn counted(context: &Context) -> String {
    use Source::{CloudTrailAccessKeys, CloudTrailSessions, CloudTrailTarget, GuardDutyFindings};
    let counts = [
        (CloudTrailTarget, "calls about it"),
        (CloudTrailSessions, "calls by its role sessions"),
        (CloudTrailAccessKeys, "calls with the finding's access keys"),
        (GuardDutyFindings, "GuardDuty findings"),
    ];
    let count = |(source, words): (Source, &str)| {
        let outcome = context.sources.iter().find(|outcome| outcome.source == source && outcome.object.is_some())?;
        let more = if outcome.status == SourceStatus::Bounded { "more than " } else { "" };
        Some(format!("{more}{} {words}", outcome.items))
    };
    counts.into_iter().filter_map(count).collect::<Vec<_>>().join(", ")
}

/// What is so, and why.
fn because(said: &str, reasons: &[String], failure: Option<&crate::evidence::Failure>) -> String {
    let mut why = reasons.to_vec();
    why.extend(failure.map(|failure| format!("{} failed with {}: {}", failure.state, failure.error, failure.cause)));
    if why.is_empty() { said.to_owned() } else { format!("{said}: {}", why.join("; ")) }
}

#[cfg(test)]
mod tests;
