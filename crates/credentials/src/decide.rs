//! Whether to deny, which slot, and what to change: pure functions of the plan and of the role as it was looked at.
//!
//! INVARIANT: deciding again on the role that results from a decision decides nothing, and the slot stays the same through
//! both phases.
//! INVARIANT: a slot whose tags name another instance, or that another instance has claimed, is never chosen.

use std::collections::BTreeMap;

use incident::InstanceId;
use incident::evidence::DenialScope;
use incident::plan::{Cut, DenialPlan, Plan};

use crate::Settings;
use crate::obstacle::Obstacle;

/// Why the plan leaves the credentials alone.
pub fn withheld(plan: &Plan) -> Option<String> {
    match (&plan.credentials, &plan.cut) {
        (DenialPlan::Skip { reason }, _) => Some(reason.clone()),
        (_, Cut::AskFirst { reasons }) => Some(format!("a person must decide first: {}", reasons.join("; "))),
        (DenialPlan::Deny, Cut::Now) => None,
    }
}

/// The target's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name, which may differ from that of the instance profile.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its path, with a slash at both ends.
    pub path: String,
}

impl Role {
    /// The account that it belongs to.
    pub fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }
}

/// The name of an instance profile, from its ARN `arn:aws:iam::ACCOUNT:instance-profile/PATH/NAME`.
pub fn profile_name(arn: &str) -> Result<&str, Obstacle> {
    let plain = |name: &str| {
        (1..=128).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-'))
    };
    let name = arn.split_once(":instance-profile/").map(|(_, rest)| rest.rsplit('/').next().unwrap_or_default());
    name.filter(|name| plain(name)).ok_or_else(|| Obstacle::NoProfileName { arn: arn.to_owned() })
}

/// Why this role must not, or cannot, be changed by us.
pub fn refused(role: &Role, settings: &Settings) -> Option<Obstacle> {
    let own = role.name.get(..settings.own_prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&settings.own_prefix));
    if role.path.starts_with("/aws-reserved/") {
        Some(Obstacle::SingleSignOn)
    } else if role.path.starts_with("/aws-service-role/") {
        Some(Obstacle::ServiceLinked)
    } else if own {
        Some(Obstacle::Ours)
    } else {
        None
    }
}

/// One of the places for denials on a role. The policy compares each place's tags with the caller, so that their number is
/// fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From 1.
    pub number: u8,
    /// The tag that denies all but Systems Manager to the instance that it names.
    pub first: &'static str,
    /// The tag that denies everything to the instance that it names.
    pub all: &'static str,
}

/// The slots of a role, as `DenyPolicy` in `infra/template.yaml` knows them.
pub const SLOTS: [Slot; 5] = [
    Slot { number: 1, first: "cordon-deny-1", all: "cordon-deny-all-1" },
    Slot { number: 2, first: "cordon-deny-2", all: "cordon-deny-all-2" },
    Slot { number: 3, first: "cordon-deny-3", all: "cordon-deny-all-3" },
    Slot { number: 4, first: "cordon-deny-4", all: "cordon-deny-all-4" },
    Slot { number: 5, first: "cordon-deny-5", all: "cordon-deny-all-5" },
];

impl Slot {
    /// The tags that a phase needs.
    pub fn tags(self, scope: DenialScope) -> Vec<&'static str> {
        match scope {
            DenialScope::AllButSystemsManager => vec![self.first],
            DenialScope::All => vec![self.first, self.all],
        }
    }
}

/// Who has claimed a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody yet.
    Free,
    /// This target.
    Ours,
    /// Another instance, or somebody who left what cannot be read.
    Others,
}

/// The role as it was looked at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// The ARNs of the managed policies that are attached.
    pub attached: Vec<String>,
    /// The tags. Keys are in lower case, since IAM compares them so.
    pub tags: BTreeMap<String, String>,
    /// Our inline policy, where one was asked for and is there.
    pub inline: Option<serde_json::Value>,
}

impl Look {
    /// Whether a tag of this slot names another instance.
    fn taken(&self, slot: Slot, instance: &InstanceId) -> bool {
        [slot.first, slot.all].iter().filter_map(|tag| self.tags.get(*tag)).any(|value| value != instance.as_str())
    }

    fn names(&self, tag: &str, instance: &InstanceId) -> bool {
        self.tags.get(tag).is_some_and(|value| value == instance.as_str())
    }

    /// Whether the policy is attached.
    pub fn has(&self, policy: &str) -> bool {
        self.attached.iter().any(|attached| attached == policy)
    }

    /// The tags of this phase that do not name the instance yet.
    pub fn untagged(&self, slot: Slot, scope: DenialScope, instance: &InstanceId) -> Vec<&'static str> {
        slot.tags(scope).into_iter().filter(|tag| !self.names(tag, instance)).collect()
    }

    /// How far the policy and the tags deny the instance. Any slot counts, since any denies.
    pub fn reached(&self, policy: &str, instance: &InstanceId) -> Option<DenialScope> {
        if !self.has(policy) {
            None
        } else if SLOTS.iter().any(|slot| self.names(slot.all, instance)) {
            Some(DenialScope::All)
        } else if SLOTS.iter().any(|slot| self.names(slot.first, instance)) {
            Some(DenialScope::AllButSystemsManager)
        } else {
            None
        }
    }
}

/// The slots that this target may use, best first: the one that it has claimed, else those that are free, and of them the
/// one whose tags name it already (its claim was lost).
pub fn choices(claims: &[Claimed; SLOTS.len()], look: &Look, instance: &InstanceId) -> Vec<(Slot, Claimed)> {
    let usable =
        SLOTS.into_iter().zip(*claims).filter(|(slot, claimed)| *claimed != Claimed::Others && !look.taken(*slot, instance));
    let mut choices: Vec<(Slot, Claimed)> = usable.collect();
    choices.sort_by_key(|(slot, claimed)| (*claimed != Claimed::Ours, look.untagged(*slot, DenialScope::All, instance).len()));
    choices
}

/// Whether what was reached is at least what was wanted.
pub fn covers(reached: Option<DenialScope>, wanted: DenialScope) -> bool {
    reached == Some(wanted) || reached == Some(DenialScope::All)
}
