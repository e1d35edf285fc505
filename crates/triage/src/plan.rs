//! From what was found and seen to the plan. Pure: no client, no clock.

use incident::copies::CopyPlan;
use incident::finding::Trigger;
use incident::plan::{
    CollectionPath, Cut, Deadlines, DenialPlan, DispositionPlan, MemoryPlan, Plan, PolicySource, Retention, SnapshotLock, Target,
    TargetState, Terms,
};
use incident::policy::{Disposition, Policy};
use incident::risk::{Risk, RiskKind};
use incident::text::bounded;
use incident::{CaseId, Visit};
use jiff::{SignedDuration, Timestamp};

use crate::look::Seen;
use crate::path;

/// What the brake has counted. All zero where it does not hold: a person asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Other targets contained without a person in the hour before.
    pub others: usize,
    /// Members of the target's Auto Scaling group, the target among them; 0 where it is in none.
    pub members: usize,
    /// Other members that are contained.
    pub contained: usize,
    /// Something could not be counted, so that the brake may not hold.
    pub uncounted: bool,
}

/// Everything that a plan is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The case.
    pub case: &'a CaseId,
    /// The visit.
    pub visit: &'a Visit,
    /// What was found.
    pub trigger: &'a Trigger,
    /// The policy.
    pub policy: &'a Policy,
    /// Where it comes from.
    pub source: &'a PolicySource,
    /// The target.
    pub seen: &'a Seen,
    /// The brake.
    pub counted: Counted,
    /// The way for memory to be collected, or why there is none.
    pub path: Result<CollectionPath, String>,
    /// The memory of the target's type, in MiB.
    pub memory_mib: Option<u64>,
    /// The case whose `before.json` release needs.
    pub earlier_case: Option<CaseId>,
}

/// The plan.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let Facts { case, visit, trigger, policy, source, seen, counted, path, memory_mib, earlier_case } = facts;
    let cut = cut(policy, seen, *counted);
    let memory = path::memory(policy, &seen.target, cut == Cut::Now, path);
    let deadlines = Deadlines {
        snapshots: later(visit.entered, SignedDuration::from_hours(policy.snapshots.deadline_hours.into())),
        memory: later(visit.entered, SignedDuration::from_mins(policy.memory.deadline_minutes.into())),
    };
    Plan {
        schema: Plan::SCHEMA.to_owned(),
        case_id: (*case).clone(),
        execution: visit.execution.clone(),
        opened: visit.entered,
        finding: trigger.summary.clone(),
        target: Target { memory_mib: *memory_mib, ..seen.target.clone() },
        policy: (*source).clone(),
        convert_pause_seconds: policy.containment.convert_pause_seconds,
        credentials: denial(policy),
        snapshot_lock: SnapshotLock { mode: policy.snapshots.lock_mode, days: policy.snapshots.lock_days },
        copies: copies(policy, visit),
        retention: retention(policy, visit),
        disposition: disposition(facts, &cut),
        deadlines,
        earlier_case: earlier_case.clone(),
        risks: risks(seen, &cut, &memory, deadlines, *counted),
        cut,
        memory,
    }
}

/// The copies of the snapshots, where the policy names accounts for them. They begin when the snapshots are completed, so that
/// their time counts from the snapshots' deadline.
fn copies(policy: &Policy, visit: &Visit) -> Option<CopyPlan> {
    let hours = i64::from(policy.snapshots.deadline_hours) + i64::from(policy.copies.deadline_hours);
    let until = later(visit.entered, SignedDuration::from_hours(hours));
    let share_with = policy.copies.share_with.clone();
    (!share_with.is_empty()).then_some(CopyPlan { share_with, until })
}

/// The lock of the case file.
pub fn retention(policy: &Policy, visit: &Visit) -> Retention {
    Retention {
        mode: policy.evidence.lock_mode,
        until: later(visit.entered, SignedDuration::from_hours(24 * i64::from(policy.evidence.days))),
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What happens at the end: what the policy says, but quarantine where termination is out of the question from the start.
fn disposition(facts: &Facts<'_>, cut: &Cut) -> DispositionPlan {
    let Facts { policy, source, seen, trigger, .. } = facts;
    let quarantine = |reason: &str| DispositionPlan::Quarantine { reason: reason.to_owned() };
    if policy.disposition == Disposition::Quarantine {
        let fallback = matches!(source, PolicySource::Fallback { .. });
        return quarantine(if fallback { "there is no policy that could be read" } else { "the policy says so" });
    }
    if trigger.drill {
        return quarantine("it is a drill");
    }
    if !seen.target.state.is_alive() {
        return quarantine("the target is terminated or gone");
    }
    if *cut != Cut::Now {
        return quarantine("a person must decide about the cut first");
    }
    let terms = Terms {
        persons: policy.permission.persons,
        wait_seconds: u32::from(policy.permission.wait_hours) * 3_600,
        protected_tags: policy.protected_tags.clone(),
    };
    if policy.disposition == Disposition::Terminate { DispositionPlan::Terminate(terms) } else { DispositionPlan::Ask(terms) }
}

fn denial(policy: &Policy) -> DenialPlan {
    if policy.credentials.deny {
        DenialPlan::Deny
    } else {
        DenialPlan::Skip { reason: "the policy does not ask for credentials to be denied".to_owned() }
    }
}

/// The reasons to ask before the cut because of a tag. They hold for people's requests too: they may not know.
pub fn protection(policy: &Policy, tags: &[(String, String)]) -> Vec<String> {
    let matches = |tag: &&incident::policy::ProtectedTag| {
        tags.iter().any(|(key, value)| *key == tag.key && tag.value.as_ref().is_none_or(|wanted| wanted == value))
    };
    policy
        .protected_tags
        .iter()
        .filter(matches)
        .map(|tag| format!("the target is protected by the tag `{}`", bounded(&tag.key, 128)))
        .collect()
}

fn cut(policy: &Policy, seen: &Seen, counted: Counted) -> Cut {
    let mut reasons = protection(policy, &seen.tags);
    let limit = usize::from(policy.brake.targets_per_hour);
    if counted.others + 1 > limit {
        let others = counted.others;
        reasons.push(format!(
            "the brake: {others} other targets were contained without a person in the last hour, the policy allows {limit}"
        ));
    }
    // One target is no pattern, even where it is half of its group: the rule holds from the second one on.
    let contained = counted.contained + 1;
    #[expect(clippy::cast_precision_loss, reason = "group sizes are far below 2^52")]
    let too_many = counted.members > 0 && contained >= 2 && contained as f64 > policy.brake.group_share * counted.members as f64;
    if too_many {
        let members = counted.members;
        reasons.push(format!("the brake: {contained} of the {members} instances of the Auto Scaling group would be contained"));
    }
    if reasons.is_empty() { Cut::Now } else { Cut::AskFirst { reasons } }
}

/// What is known from the start not to be cut or captured.
fn risks(seen: &Seen, cut: &Cut, memory: &MemoryPlan, deadlines: Deadlines, counted: Counted) -> Vec<Risk> {
    let target = &seen.target;
    if !target.state.is_alive() {
        return Vec::new();
    }
    let mut risks = Vec::new();
    let mut add = |kind, advice: &str| risks.push(Risk::new(kind, "", advice));
    if matches!(cut, Cut::AskFirst { .. }) {
        add(RiskKind::CutWithheld, "the network was not cut: decide, and contain the target by a request of your own or by hand");
    }
    if counted.uncounted {
        add(RiskKind::BrakeNotCounted, "the brake could not count: see whether too many targets are being contained at once");
    }
    add(
        RiskKind::VpcResolver,
        "security groups do not filter the VPC's resolver: watch the resolver's query log or use the DNS firewall",
    );
    if !target.interfaces.is_empty() {
        add(
            RiskKind::AutomaticallyTrackedFlows,
            "nobody has looked yet through which gateways, endpoints and load balancers its flows stay tracked whatever the groups say: \
             see its routes",
        );
    }
    if target.profile.is_some() {
        add(RiskKind::RoleCredentials, "the role's credentials stay valid, also those already taken: revoke its sessions");
    }
    if target.metadata.as_ref().is_none_or(|metadata| metadata.enabled) {
        // A role can be given to it at any time, and what it was started with may hold secrets.
        add(
            RiskKind::InstanceMetadata,
            if target.profile.is_some() {
                "instance metadata still hands out the role's credentials"
            } else {
                "instance metadata still answers: no group filters it, and its user data may hold secrets"
            },
        );
    }
    if matches!(target.state, TargetState::Running | TargetState::Pending) {
        match memory {
            MemoryPlan::Capture { .. } => {
                add(RiskKind::MemoryNotCaptured, "memory is not captured yet: do not stop the instance before it is");
            }
            MemoryPlan::Skip { reason, .. } => {
                let advice = format!("memory is not captured ({reason}): do not stop the instance before you have");
                add(RiskKind::MemoryNotCaptured, &advice);
            }
        }
    }
    if target.spot {
        add(RiskKind::SpotInterruption, "a Spot instance can be taken away at any time");
    }
    add(RiskKind::InstanceStore, "instance-store volumes, if the instance type has any, are in no snapshot and are lost on stop");
    if let MemoryPlan::Capture { path: Some(path) } = memory {
        risks.extend(path.risk(deadlines.memory));
    }
    risks
}
