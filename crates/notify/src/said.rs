//! What was done to the target and taken from it, one sentence each: lock-down, credentials, memory. Pure.

use std::fmt::Write as _;

use incident::context::{Context, ContextStatus};
use incident::ending;
use incident::evidence::{Capture, CaptureStatus, Denial, DenialScope, DenialStatus, LockdownStatus};
use incident::manifest::MOST_HASHED;
use incident::plan::{Cut, DenialPlan, MemoryPlan, Plan, SkipReason};
use incident::protection::{Measure, MeasureStatus, Protection, ProtectionStatus};
use incident::said::{self, Said};

use incident::text::harmless;

/// What will be done beside the cut, for the notice of an opening.
pub(crate) fn planned(plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    if plan.cut == Cut::Now && plan.credentials == DenialPlan::Deny && plan.target.profile.is_some() {
        all.push("Its credentials are being denied, for this target alone.".to_owned());
    }
    if let MemoryPlan::Capture { path } = &plan.memory {
        let until = plan.deadlines.memory;
        all.push(match path {
            Some(_) => format!(
                "Its memory will be captured over the one path that is left open, to Systems Manager and S3, until {until} at the latest; then that is closed too."
            ),
            None => format!("Its memory will be captured through Systems Manager, until {until} at the latest."),
        });
    }
    all
}

/// What will not be done beside the cut, and why.
pub(crate) fn not_planned(plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    if let MemoryPlan::Skip { reason, .. } = &plan.memory {
        all.push(format!("memory will not be captured: {reason}"));
    }
    if let (DenialPlan::Skip { reason }, true) = (&plan.credentials, plan.target.profile.is_some()) {
        all.push(format!("the target's credentials will not be denied: {reason}"));
    }
    all
}

/// What was done beside the cut.
pub(crate) fn done(plan: &Plan, said: Said<'_>) -> Vec<String> {
    let mut all = ending::said(said);
    let locked = if said.terminated() { None } else { locked(plan, said) };
    let kept = if said.terminated() { None } else { kept(plan, said.protection) };
    all.extend(
        [locked, kept, denied(plan, said.denial), captured(plan, said.memory), gathered(said.context)].into_iter().flatten(),
    );
    all
}

fn kept(plan: &Plan, protection: Option<&Protection>) -> Option<String> {
    let held = |wanted| {
        let measures = protection.map(|protection| protection.measures.as_slice()).unwrap_or_default();
        measures.iter().filter(move |measure| measure.measure == wanted && measure.status == MeasureStatus::Held)
    };
    match protection.map(|protection| protection.status) {
        Some(ProtectionStatus::NothingToProtect) => None,
        Some(ProtectionStatus::Protected) => {
            let mut text = "It is PROTECTED from being ended by others, as far as AWS offers that".to_owned();
            if let Some(group) = held(Measure::AutoScalingGroup).next() {
                let _ = write!(text, "; it left the Auto Scaling group {}, which replaces it", harmless(&group.subject, 255));
            }
            let balancers = held(Measure::TargetGroup).count() + held(Measure::ClassicBalancer).count();
            if balancers > 0 {
                let _ = write!(text, "; it was taken out of {balancers} load balancer target groups");
            }
            text.push('.');
            Some(text)
        }
        _ => said::unprotected(plan, protection).map(|why| format!("{}.", harmless(&first_up(&why), 300).trim_end_matches('.'))),
    }
}

/// What AWS knows, by its numbers alone: nothing of what it is about stands in a notice.
fn gathered(context: Option<&Context>) -> Option<String> {
    let context = context.filter(|context| matches!(context.status, ContextStatus::Collected | ContextStatus::Partly))?;
    let counts = said::counted(context);
    let counts = if counts.is_empty() { counts } else { format!(": {counts}") };
    let all = if context.status == ContextStatus::Collected { "What" } else { "Part of what" };
    Some(format!("{all} AWS knows about it is in the case{counts}."))
}

/// With a capital letter.
fn first_up(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn locked(plan: &Plan, said: Said<'_>) -> Option<String> {
    match said.lockdown.map(|lockdown| lockdown.status) {
        Some(LockdownStatus::LockedDown) => {
            return Some("It is LOCKED DOWN: no interface has a path left, and its instance metadata is off.".to_owned());
        }
        Some(LockdownStatus::NothingToLock) => return None,
        Some(LockdownStatus::Withheld) => return Some("It was deliberately not locked down either.".to_owned()),
        _ => {}
    }
    said::unlocked(plan, said.lockdown)?;
    let mut open = Vec::new();
    if let Some(left) = said.path_left() {
        open.push(format!("{} can still reach Systems Manager and S3", left.id));
    }
    if !said.lockdown.is_some_and(|lockdown| lockdown.metadata_off) {
        open.push("its instance metadata may still answer".to_owned());
    }
    if open.is_empty() {
        open.push("not all of it was read back as closed".to_owned());
    }
    Some(format!("It is NOT locked down: {}.", open.join(", and ")))
}

fn denied(plan: &Plan, denial: Option<&Denial>) -> Option<String> {
    let text = match denial.map(|denial| (denial.status, denial.scope)) {
        Some((DenialStatus::Denied, DenialScope::All)) => {
            "Its credentials are DENIED, for this target alone, also those that were taken from it."
        }
        Some((DenialStatus::Denied, DenialScope::AllButSystemsManager)) => {
            "Its credentials are DENIED, for this target alone, but for what Systems Manager's agent needs."
        }
        Some((DenialStatus::NotDenied | DenialStatus::Lifted, _)) => {
            "Its credentials are NOT denied: they are still good, also those taken from it."
        }
        Some((DenialStatus::Unknown, _)) => "It is NOT KNOWN whether its credentials are denied: revoke the role's sessions.",
        Some((DenialStatus::Withheld, _)) => "Its credentials were deliberately not denied.",
        Some((DenialStatus::NothingToDeny, _)) => return None,
        None => {
            said::undenied(plan, None)?;
            "The incident broke before it could say whether its credentials are denied."
        }
    };
    Some(text.to_owned())
}

fn captured(plan: &Plan, memory: Option<&Capture>) -> Option<String> {
    if let MemoryPlan::Skip { because, reason } = &plan.memory {
        return (*because != SkipReason::NoMemory).then(|| sentence("Its memory was not to be captured", reason));
    }
    let Some(memory) = memory else {
        return Some("The incident broke before it could say whether its memory is captured.".to_owned());
    };
    let size = memory.image.as_ref().map(|image| size(image.size));
    Some(match (memory.status, size) {
        (CaptureStatus::Captured, size) => {
            let size = size.unwrap_or_else(|| "of unknown size".to_owned());
            let ours = memory.image.as_ref().is_some_and(|image| image.size <= MOST_HASHED);
            let digest = if ours { "" } else { "; its SHA-256 is the target's word" };
            format!("Its memory is CAPTURED ({size}): S3's own checksum says that all of it arrived{digest}.")
        }
        (CaptureStatus::Partial, Some(size)) => {
            sentence(&format!("Its memory is only PARTLY captured ({size})"), &said::why_not(memory))
        }
        (CaptureStatus::Partial, None) => sentence("Its memory is only PARTLY captured", &said::why_not(memory)),
        (CaptureStatus::NotCaptured | CaptureStatus::Running, _) => {
            sentence("Its memory is NOT captured", &said::why_not(memory))
        }
    })
}

fn sentence(what: &str, why: &str) -> String {
    format!("{what}: {}.", harmless(why, 300).trim_end_matches(['.', ' ']))
}

/// A size as people read it, to a tenth.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_610_612_736, "1.5 GiB"),
            (16_642_998_272, "15.5 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
