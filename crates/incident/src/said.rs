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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let risk = |kind: &str| json!({"kind": kind, "advice": format!("{kind}, as planned")});
        let mut plan = json!({"schema": "cordon.plan.v1", "caseId": "i-0123456789abcdef0-0123456789ab",
            "execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "manual", "id": "f", "type": "Manual", "title": "t", "severity": 0.0, "account": "1", "region": "r"},
            "target": {"instanceId": "i-0123456789abcdef0", "account": "1", "region": "r", "state": "running", "interfaces": [],
                "volumes": [], "profile": "arn:aws:iam::1:instance-profile/p", "spot": false, "architecture": "x86_64",
                "windows": false, "memoryMib": 8192, "metadata": null},
            "policy": {"from": "parameter", "name": "p", "version": 1}, "cut": {"decision": "now"},
            "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
            "snapshotLock": {"mode": "governance", "days": 30},
            "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"}, "disposition": {"decision": "quarantine", "reason": "text"},
            "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null,
            "risks": [risk("roleCredentials"), risk("instanceMetadata"), risk("memoryNotCaptured"), risk("vpcResolver")]});
        change(&mut plan);
        serde_json::from_value(plan).unwrap()
    }

    fn containment() -> Containment {
        serde_json::from_value(json!({"status": "contained", "readBackAt": null, "reasons": [], "failure": null,
            "interfaces": [{"id": "eni-0123456789abcdef0", "status": "pathOnly", "groupsBefore": [], "groupsNow": []}],
            "risks": [{"kind": "s3Path", "subject": "eni-0123456789abcdef0", "advice": "any bucket of the Region"}]}))
        .unwrap()
    }

    fn memory(status: &str, reason: &str, failure: &Value) -> Capture {
        serde_json::from_value(json!({"status": status, "pauseSeconds": 0, "progress": null, "image": null, "files": [],
            "reason": reason, "failure": failure}))
        .unwrap()
    }

    fn lockdown(status: &str, metadata_off: bool, risks: &Value) -> Lockdown {
        serde_json::from_value(json!({"status": status, "metadataOff": metadata_off, "readBackAt": null, "reasons": ["why"],
            "interfaces": [{"id": "eni-0123456789abcdef0", "status": "cut", "groupsBefore": [], "groupsNow": []}],
            "risks": risks, "failure": null}))
        .unwrap()
    }

    fn denial(status: &str, scope: &str, risks: &Value) -> Denial {
        serde_json::from_value(json!({"status": status, "scope": scope, "role": "arn:aws:iam::1:role/r", "readBackAt": null,
            "reasons": [], "risks": risks, "failure": null}))
        .unwrap()
    }

    fn kinds(said: Said<'_>) -> Vec<String> {
        let kind = |risk: &Risk| serde_json::to_value(risk.kind).unwrap().as_str().unwrap().to_owned();
        risks(Some(&plan(|_| ())), said).iter().map(kind).collect()
    }

    #[test]
    fn a_risk_goes_only_where_a_step_read_back_that_it_is_gone() {
        const ALL: [&str; 5] = ["roleCredentials", "instanceMetadata", "memoryNotCaptured", "vpcResolver", "s3Path"];
        let contained = containment();
        let none = json!([]);
        let said = Said { containment: Some(&contained), ..Said::default() };
        assert_eq!(kinds(said), ALL);
        let without = |gone: &[&str]| ALL.into_iter().filter(|kind| !gone.contains(kind)).collect::<Vec<_>>();
        for (status, gone) in [("captured", &["memoryNotCaptured"][..]), ("partial", &[]), ("notCaptured", &[]), ("running", &[])]
        {
            let memory = memory(status, "no", &Value::Null);
            assert_eq!(kinds(Said { memory: Some(&memory), ..said }), without(gone), "{status}");
        }
        for (status, off, gone) in [
            ("lockedDown", true, &["instanceMetadata"][..]),
            ("lockedDown", false, &[]),
            ("partly", true, &["instanceMetadata"]),
            ("notLockedDown", false, &[]),
            ("withheld", false, &[]),
            ("unknown", false, &[]),
        ] {
            let lockdown = lockdown(status, off, &none);
            assert_eq!(kinds(Said { lockdown: Some(&lockdown), ..said }), without(gone), "{status}");
        }
        for (status, scope, gone) in [
            ("denied", "all", &["roleCredentials"][..]),
            ("denied", "allButSystemsManager", &[]),
            ("notDenied", "all", &[]),
            ("withheld", "all", &[]),
            ("unknown", "all", &[]),
        ] {
            let denial = denial(status, scope, &none);
            assert_eq!(kinds(Said { denial: Some(&denial), ..said }), without(gone), "{status} {scope}");
        }
    }

    #[test]
    fn what_could_not_be_looked_at_is_said_until_lock_down_has_looked() {
        let mut contained = containment();
        contained.risks = vec![
            Risk::new(RiskKind::WaysNotRead, "routes", "refused"),
            Risk::new(RiskKind::NatGateway, "nat-1", "it stays tracked"),
        ];
        let named = |said| -> Vec<String> {
            let kinds = kinds(said).into_iter();
            kinds.filter(|kind| ["waysNotRead", "natGateway", "loadBalancer"].contains(&kind.as_str())).collect()
        };
        let said = Said { containment: Some(&contained), ..Said::default() };
        assert_eq!(named(said), ["waysNotRead", "natGateway"]);
        let unread = lockdown("lockedDown", true, &json!([]));
        assert_eq!(named(Said { lockdown: Some(&unread), ..said }), ["waysNotRead", "natGateway"]);
        let read = Lockdown { read_back_at: Some("2026-11-24T04:30:00Z".parse().unwrap()), ..unread.clone() };
        assert_eq!(named(Said { lockdown: Some(&read), ..said }), ["natGateway"]);

        let failed: Protection = serde_json::from_value(json!({"status": "unknown", "measures": [], "readBackAt": null,
            "reasons": [], "risks": [], "failure": {"state": "Protect", "error": "Denied", "cause": "no"}}))
        .unwrap();
        assert_eq!(named(Said { protection: Some(&failed), ..Said::default() }), ["loadBalancer"]);
    }

    #[test]
    fn the_way_for_memory_is_told_before_while_and_after_it_is_open() {
        let mut plan = plan(|_| ());
        plan.risks.push(Risk::new(RiskKind::S3Path, "eni-0123456789abcdef0", "as planned"));
        let told = |said| -> Vec<String> {
            let all = risks(Some(&plan), said).into_iter();
            all.filter(|risk| risk.kind == RiskKind::S3Path).map(|risk| risk.advice).collect()
        };
        assert_eq!(told(Said::default()), ["as planned"]);
        let open = containment();
        let said = Said { containment: Some(&open), ..Said::default() };
        assert_eq!(told(said), ["any bucket of the Region"]);
        let locked = lockdown("lockedDown", true, &json!([]));
        let locked = Lockdown { read_back_at: Some("2026-11-24T04:30:00Z".parse().unwrap()), ..locked };
        let after = told(Said { lockdown: Some(&locked), ..said });
        assert_eq!(after.len(), 1, "{after:?}");
        assert!(after[0].starts_with("until 2026-11-24T04:30:00Z the target could reach more"), "{after:?}");
        // Nothing is said of a way that was never opened, and all of it where nobody could see.
        let shut = Containment { risks: Vec::new(), ..open.clone() };
        assert_eq!(told(Said { containment: Some(&shut), ..Said::default() }), ["as planned"]);
        let shut = Containment { read_back_at: Some("2026-11-24T03:30:00Z".parse().unwrap()), ..shut.clone() };
        assert_eq!(told(Said { containment: Some(&shut), lockdown: Some(&locked), ..Said::default() }), [""; 0]);
        let broke = serde_json::from_value(json!({"state": "Isolate", "error": "Denied", "cause": "no"})).unwrap();
        let door = Containment { failure: Some(broke), ..shut.clone() };
        let closed = told(Said { containment: Some(&door), ..Said::default() });
        assert!(closed.len() == 1 && closed[0].starts_with("until 2026-11-24T03:30:00Z the target could"), "{closed:?}");
    }

    #[test]
    fn what_a_step_states_itself_stays_and_replaces_what_was_said_before() {
        let stated = |kind: &str, subject: &str| json!([{"kind": kind, "subject": subject, "advice": "as found"}]);
        let denied = denial("denied", "all", &stated("roleCredentials", "arn:aws:iam::1:role/r"));
        let locked = lockdown("partly", true, &stated("s3Path", "eni-0123456789abcdef0"));
        let contained = containment();
        let said = Said { containment: Some(&contained), denial: Some(&denied), lockdown: Some(&locked), ..Said::default() };
        let plan = plan(|_| ());
        let found: Vec<(RiskKind, String)> = risks(Some(&plan), said).into_iter().map(|risk| (risk.kind, risk.advice)).collect();
        let planned = |kind, name: &str| (kind, format!("{name}, as planned"));
        assert_eq!(
            found,
            [
                planned(RiskKind::MemoryNotCaptured, "memoryNotCaptured"),
                planned(RiskKind::VpcResolver, "vpcResolver"),
                (RiskKind::S3Path, "as found".to_owned()),
                (RiskKind::RoleCredentials, "as found".to_owned()),
            ]
        );
    }

    #[test]
    fn memory_that_did_not_come_says_why() {
        let failure = json!({"state": "MemoryCapture", "error": "Denied", "cause": "no"});
        for (memory, said) in [
            (memory("notCaptured", "the agent is lost", &Value::Null), "memory is not captured (the agent is lost)"),
            (memory("partial", "the deadline passed", &Value::Null), "memory is only partly captured (the deadline passed)"),
            (memory("notCaptured", "", &failure), "memory is not captured (MemoryCapture failed with Denied: no)"),
            (memory("running", "", &Value::Null), "memory is not captured (it was given up while it was still under way)"),
        ] {
            let risks = risks(Some(&plan(|_| ())), Said { memory: Some(&memory), ..Said::default() });
            let risk = risks.iter().find(|risk| risk.kind == RiskKind::MemoryNotCaptured).unwrap();
            assert!(risk.advice.starts_with(said), "{}", risk.advice);
        }
    }

    #[test]
    fn memory_is_missing_unless_it_is_there_or_nobody_wanted_it_or_there_was_none() {
        let skip = |because: &str| plan(|plan| plan["memory"] = json!({"decision": "skip", "because": because, "reason": "why"}));
        for (because, missing) in [("policy", false), ("noMemory", false), ("noPath", true), ("unsupported", true)] {
            let found = uncaptured(&skip(because), None);
            assert_eq!(found.is_some(), missing, "{because}: {found:?}");
            assert!(memory_skipped(&skip(because)));
        }
        let wanted = plan(|_| ());
        assert!(!memory_skipped(&wanted));
        for (status, missing) in [("captured", false), ("partial", true), ("notCaptured", true), ("running", true)] {
            let found = uncaptured(&wanted, Some(&memory(status, "why", &Value::Null)));
            assert_eq!(found.is_some(), missing, "{status}: {found:?}");
        }
        assert!(uncaptured(&wanted, None).unwrap().reason.contains("broke"));
    }

    #[test]
    fn a_lockdown_is_missing_where_the_network_was_to_be_cut_and_something_is_open() {
        let all = ["lockedDown", "nothingToLock", "partly", "notLockedDown", "withheld", "unknown"];
        for status in all {
            let lockdown = lockdown(status, false, &json!([]));
            let found = unlocked(&plan(|_| ()), Some(&lockdown));
            let good = ["lockedDown", "nothingToLock"].contains(&status);
            assert_eq!(found.as_ref().map(|missing| missing.reason.ends_with(": why")), (!good).then_some(true), "{status}");
            let ask = plan(|plan| plan["cut"] = json!({"decision": "askFirst", "reasons": []}));
            let gone = plan(|plan| plan["target"]["state"] = json!("terminated"));
            assert_eq!((unlocked(&ask, Some(&lockdown)), unlocked(&gone, Some(&lockdown))), (None, None), "{status}");
        }
        assert!(unlocked(&plan(|_| ()), None).unwrap().reason.contains("broke"));
    }

    #[test]
    fn a_denial_is_as_planned_only_where_it_was_read_back_in_full_or_nothing_was_to_be_denied() {
        let none = json!([]);
        for (status, scope, fine) in [
            ("denied", "all", true),
            ("denied", "allButSystemsManager", false),
            ("notDenied", "all", false),
            ("unknown", "all", false),
            ("nothingToDeny", "all", true),
            ("withheld", "all", true),
        ] {
            let denial = denial(status, scope, &none);
            let found = undenied(&plan(|_| ()), Some(&denial));
            assert_eq!(found.is_none(), fine, "{status} {scope}: {found:?}");
            let skipped = plan(|plan| plan["credentials"] = json!({"decision": "skip", "reason": "why"}));
            let without = plan(|plan| plan["target"]["profile"] = Value::Null);
            let ask = plan(|plan| plan["cut"] = json!({"decision": "askFirst", "reasons": []}));
            for plan in [skipped, without, ask] {
                assert_eq!(undenied(&plan, Some(&denial)), None, "{status} {scope}");
                let failure = Some(crate::evidence::Failure { state: "s".into(), error: "Denied".into(), cause: "no".into() });
                let failed = Denial { failure, ..denial.clone() };
                assert!(undenied(&plan, Some(&failed)).unwrap().contains("s failed with Denied: no"), "{status} {scope}");
            }
        }
        assert!(undenied(&plan(|_| ()), None).unwrap().contains("broke"));
    }

    #[test]
    fn a_context_is_as_planned_where_each_source_is_as_it_should_be_or_the_target_is_gone() {
        let source = |source: &str, status: &str, items: u32| {
            json!({"source": source, "status": status, "items": items, "reason": "denied",
            "object": (items > 0).then(|| json!({"key": "k", "versionId": "v", "sha256": "s", "size": 1}))})
        };
        let sources = json!([
            source("cloudTrailTarget", "taken", 3),
            source("cloudTrailSessions", "bounded", 400),
            source("userData", "notTaken", 0),
            source("guardDutyFindings", "nothing", 0)
        ]);
        let context = |status: &str| -> Context {
            serde_json::from_value(json!({"status": status, "sources": sources, "failure": null})).unwrap()
        };
        let gone = plan(|plan| plan["target"]["state"] = json!("terminated"));
        for (status, said) in [
            ("collected", None),
            ("partly", Some("not all of the target's context is there: its user data: denied")),
            ("notCollected", Some("nothing of the target's context is there: its user data: denied")),
            ("unknown", Some("nobody knows how much of the target's context is there: its user data: denied")),
        ] {
            let context = context(status);
            assert_eq!(uncollected(&plan(|_| ()), Some(&context)).as_deref(), said, "{status}");
            assert_eq!(uncollected(&gone, Some(&context)), None, "{status}");
        }
        assert!(uncollected(&plan(|_| ()), None).unwrap().contains("broke"));
        assert_eq!(counted(&context("partly")), "3 calls about it, more than 400 calls by its role sessions");
    }

    #[test]
    fn the_path_is_left_until_a_later_step_reads_back_that_it_is_closed() {
        let (contained, locked) = (containment(), lockdown("partly", false, &json!([])));
        let said = Said { containment: Some(&contained), ..Said::default() };
        assert_eq!(said.path_left().unwrap().id.as_str(), "eni-0123456789abcdef0");
        assert_eq!(Said { lockdown: Some(&locked), ..said }.path_left(), None);
        assert!(!Said { lockdown: Some(&locked), ..said }.cut_late());
        let all = Lockdown { status: LockdownStatus::LockedDown, ..locked.clone() };
        let partly = Containment { status: ContainmentStatus::PartlyContained, ..contained.clone() };
        let late = |containment| Said { containment: Some(containment), lockdown: Some(&all), ..said }.cut_late();
        assert_eq!((late(&partly), late(&contained)), (true, false));
        let unread = Lockdown { interfaces: Vec::new(), status: LockdownStatus::Unknown, ..locked };
        assert!(Said { lockdown: Some(&unread), ..said }.path_left().is_some(), "what nobody read back counts as open");
    }
}
