//! What stands in the way of a denial, and what a person should do about it. Pure.

use handler::AwsError;
use incident::evidence::{DenialScope, DenialStatus};
use incident::text::bounded;
use incident::{Fault, InstanceId};

use crate::decide::{SLOTS, Slot};

/// Why the target's sessions are not denied, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The plan's ARN of the instance profile is none.
    NoProfileName {
        /// What it is.
        arn: String,
    },
    /// The instance profile is gone, or has no role: which role the sessions are of cannot be told any more.
    RoleUnknown {
        /// The profile's name.
        profile: String,
    },
    /// The role is one that AWS's single sign-on keeps.
    SingleSignOn,
    /// The role is linked to an AWS service.
    ServiceLinked,
    /// The role is one of Cordon's own.
    Ours,
    /// Every slot is taken.
    NoSlot,
    /// The role could not be looked at.
    Unread(AwsError),
    /// A change was refused.
    Refused(AwsError),
    /// The changes went through, but were not seen in time.
    NotYetRead,
}

/// Whom and what a piece of advice is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The target.
    pub instance: &'a InstanceId,
    /// What was wanted.
    pub scope: DenialScope,
    /// The slot that was claimed, where one was.
    pub slot: Option<Slot>,
    /// The ARN of the policy that only denies.
    pub policy: &'a str,
}

impl Obstacle {
    /// What can be said of the denial: nothing where the role could not be read, unless it is gone.
    pub fn status(&self) -> DenialStatus {
        match self {
            Self::Unread(error) if error.is("NoSuchEntity") => DenialStatus::NotDenied,
            Self::Unread(_) | Self::NotYetRead => DenialStatus::Unknown,
            _ => DenialStatus::NotDenied,
        }
    }

    /// What happened, in one sentence.
    pub fn reason(&self) -> String {
        match self {
            Self::NoProfileName { arn } => format!("`{}` is not the ARN of an instance profile", bounded(arn, 200)),
            Self::RoleUnknown { profile } => format!("the instance profile `{profile}` is gone or has no role any more"),
            Self::SingleSignOn => "the role belongs to IAM Identity Center, which lets nobody else change it".to_owned(),
            Self::ServiceLinked => "the role is linked to an AWS service, which lets nobody else change it".to_owned(),
            Self::Ours => "the role is one of Cordon's own, which it never changes".to_owned(),
            Self::NoSlot => format!("all {} places for denials on the role are taken by other instances", SLOTS.len()),
            Self::Unread(error) | Self::Refused(error) => error.to_string(),
            Self::NotYetRead => "every change went through, but the role does not show the denial yet".to_owned(),
        }
    }

    /// What a person should do, in one sentence of at most 330 characters: a risk has 400.
    pub fn advice(&self, about: About<'_>) -> String {
        let instance = about.instance;
        let deny = format!("attach a policy that denies everything where aws:userid is like `*:{instance}`");
        match self {
            Self::NoProfileName { .. } | Self::RoleUnknown { .. } => format!(
                "credentials that were issued before stay valid for hours: find the role in CloudTrail by the session name \
                 {instance}, and {deny}"
            ),
            Self::SingleSignOn => {
                "revoke the sessions of its permission set in IAM Identity Center, and look for who put this role on an instance"
                    .to_owned()
            }
            Self::ServiceLinked => format!(
                "deny the sessions of {instance} in the service that the role is linked to, or by a service control policy"
            ),
            Self::Ours => format!("no target should have a role of Cordon's: take it off the instance, and {deny} to it by hand"),
            Self::NoSlot => format!(
                "remove the tags cordon-deny-N and cordon-deny-all-N of an instance that is gone from the role, with \
                 roles/ACCOUNT/ROLE/N.json in the evidence bucket, or {deny}"
            ),
            Self::Unread(error) if error.is("NoSuchEntity") => Self::gone(instance),
            Self::Unread(_) => format!("look at the role's policies and tags; if they deny nothing, {deny}"),
            Self::Refused(error) => refused(error, about, &deny),
            Self::NotYetRead => format!("look at the role's policies and tags in a few minutes; if they deny nothing, {deny}"),
        }
    }

    fn gone(instance: &InstanceId) -> String {
        format!(
            "the role is gone, and with it what its sessions may do: make sure that it is not made anew while {instance} has its profile"
        )
    }
}

fn refused(error: &AwsError, about: About<'_>, deny: &str) -> String {
    let policy = bounded(about.policy.rsplit('/').next().unwrap_or_default(), 128);
    let tags = about.slot.map(|slot| slot.tags(about.scope).join("` and `")).unwrap_or_default();
    match (error.code.as_str(), error.action) {
        ("NoSuchEntity", "iam:AttachRolePolicy") => {
            format!("the role or the policy {policy} is gone: where it is the policy, deploy Cordon's stack again, and {deny}")
        }
        ("NoSuchEntity", _) => Obstacle::gone(about.instance),
        ("UnmodifiableEntity", _) => {
            format!("AWS lets nobody change this role: {deny} in the service that keeps it, or by a service control policy")
        }
        ("LimitExceeded", "iam:AttachRolePolicy") => {
            format!(
                "the role has as many managed policies as it may have: detach one that it can do without, and attach {policy}"
            )
        }
        ("LimitExceeded", "iam:TagRole") => {
            format!(
                "the role has as many tags as it may have: remove one that it can do without, and set `{tags}` to {}",
                about.instance
            )
        }
        ("LimitExceeded", _) => format!("the role's inline policies are full: remove one that it can do without, and {deny}"),
        _ if error.fault == Fault::Denied => {
            format!("something keeps Cordon from changing the role (a service control policy?): lift it, or {deny}")
        }
        _ => format!("{deny}, and find out why the change was refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(action: &'static str, code: &str, fault: Fault) -> AwsError {
        AwsError { action, code: code.to_owned(), message: "m".repeat(600), request_id: "r".to_owned(), fault }
    }

    #[test]
    fn every_obstacle_says_in_whole_sentences_what_to_do() {
        let refusals = [
            ("iam:AttachRolePolicy", "LimitExceeded", Fault::Invalid, "attach cordon-DenyPolicy"),
            ("iam:TagRole", "LimitExceeded", Fault::Invalid, "set `cordon-deny-3` and `cordon-deny-all-3` to i-"),
            ("iam:PutRolePolicy", "LimitExceeded", Fault::Invalid, "inline policies are full"),
            ("iam:AttachRolePolicy", "UnmodifiableEntity", Fault::Invalid, "service control policy"),
            ("iam:TagRole", "NoSuchEntity", Fault::Missing, "the role is gone"),
            ("iam:AttachRolePolicy", "NoSuchEntity", Fault::Missing, "deploy Cordon's stack again"),
            ("iam:TagRole", "AccessDenied", Fault::Denied, "lift it, or attach a policy"),
            ("iam:TagRole", "InvalidInput", Fault::Invalid, "find out why"),
        ];
        let mut all: Vec<(Obstacle, &str)> = vec![
            (Obstacle::NoProfileName { arn: "x".repeat(3_000) }, "CloudTrail by the session name i-"),
            (Obstacle::RoleUnknown { profile: "p".repeat(128) }, "CloudTrail by the session name i-"),
            (Obstacle::SingleSignOn, "Identity Center"),
            (Obstacle::ServiceLinked, "service control policy"),
            (Obstacle::Ours, "take it off"),
            (Obstacle::NoSlot, "remove the tags"),
            (Obstacle::Unread(error("iam:ListRoleTags", "AccessDenied", Fault::Denied)), "look at the role's"),
            (Obstacle::Unread(error("iam:ListRoleTags", "NoSuchEntity", Fault::Invalid)), "the role is gone"),
            (Obstacle::NotYetRead, "in a few minutes"),
        ];
        all.extend(refusals.map(|(action, code, fault, said)| (Obstacle::Refused(error(action, code, fault)), said)));
        let instance = InstanceId::parse("i-0123456789abcdef0").unwrap();
        let policy = format!("arn:aws:iam::111122223333:policy/cordon-DenyPolicy-{}", "X".repeat(100));
        let about = About { instance: &instance, scope: DenialScope::All, slot: Some(SLOTS[2]), policy: &policy };
        for (obstacle, said) in all {
            let advice = obstacle.advice(about);
            assert!(advice.contains(said), "{obstacle:?} should say `{said}`: {advice}");
            assert!(
                advice.chars().count() <= 330,
                "a risk's advice is cut at 400 characters, of which the verdict needs 70: {advice}"
            );
            assert!(!obstacle.reason().is_empty());
        }
    }
}
