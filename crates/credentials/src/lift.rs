//! Lifts the denial of one target, for a release: its tags, its slot, its inline policy, and the policy itself where it
//! denies nobody any more.
//!
//! INVARIANT: tags and slots that name another instance stay, and so does the policy that they aim. Another case may set its
//! tags while the policy is being detached: it is looked at again after that, and attached again where it is needed.

use aws_sdk_iam::Client;
use handler::{AwsError, Recorder, failed};
use incident::evidence::{Denial, DenialScope, DenialStatus};
use incident::record::Change;
use incident::release::ReleasePlan;
use incident::text::bounded;
use incident::{Fault, InstanceId, Visit};
use serde_json::{Value, json};

use crate::decide::{Look, Role, SLOTS, refused};
use crate::records::{Attempt, in_passing};
use crate::{Clients, Error, Means, documents, role, slots};

const UNTAG: &str = "iam:UntagRole";
const DETACH: &str = "iam:DetachRolePolicy";
const ATTACH: &str = "iam:AttachRolePolicy";
const DELETE: &str = "iam:DeleteRolePolicy";

/// Fails where trying again may help, or where the release's file cannot be written; everything else is said in the output.
pub(crate) async fn lift(clients: &Clients, visit: &Visit, release: &ReleasePlan) -> Result<Denial, Error> {
    let instance = &release.target.instance_id;
    let Some(profile) = &release.target.profile else { return Ok(said(DenialStatus::NothingToDeny, None, &[])) };
    let role = match role::of_profile(&clients.iam, profile).await {
        Ok(Ok(role)) => role,
        Ok(Err(obstacle)) => return Ok(said(DenialStatus::Unknown, None, &[obstacle.reason()])),
        Err(error) => return unread(error, None),
    };
    // Such roles are never denied.
    if refused(&role, &clients.settings).is_some() {
        return Ok(said(DenialStatus::NothingToDeny, Some(&role), &[]));
    }
    let run = Run { clients, role: &role, instance, inline: clients.settings.means.for_role(&role) != Means::Tags };
    let seen = match run.look().await {
        Ok(seen) => seen,
        Err(error) => return unread(error, Some(&role)),
    };
    let recorder = clients.store.case(&release.release_id, release.retention).recorder(visit);
    let errors = run.carry_out(&recorder, &seen).await?;
    slots::free(&clients.store, &role, instance).await?;
    let now = match run.look().await {
        Ok(now) => now,
        Err(error) => return unread(error, Some(&role)),
    };
    if let Some(busy) = errors.iter().find(|error| error.fault == Fault::Transient) {
        return Err(busy.clone().into());
    }
    let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let status = if run.denied(&now) { DenialStatus::Denied } else { DenialStatus::Lifted };
    Ok(Denial { read_back_at: Some(handler::now()), ..said(status, Some(&role), &reasons) })
}

struct Run<'a> {
    clients: &'a Clients,
    role: &'a Role,
    instance: &'a InstanceId,
    /// Whether the role may have an inline policy of ours.
    inline: bool,
}

impl Run<'_> {
    fn iam(&self) -> &Client {
        &self.clients.iam
    }

    fn policy(&self) -> &str {
        &self.clients.settings.policy
    }

    async fn look(&self) -> Result<Look, AwsError> {
        let mut seen = role::look(self.iam(), self.role).await?;
        if self.inline {
            seen.inline = role::look_inline(self.iam(), self.role, &documents::name(self.instance)).await?.inline;
        }
        Ok(seen)
    }

    /// Whether anything of ours denies the target.
    fn denied(&self, seen: &Look) -> bool {
        seen.reached(self.policy(), self.instance).is_some() || self.has_inline(seen)
    }

    /// Whether the inline policy of the target's name is one that we wrote.
    fn has_inline(&self, seen: &Look) -> bool {
        documents::reached(seen.inline.as_ref(), self.instance).is_some()
    }

    /// Our tags that name the target.
    fn tags(&self, seen: &Look) -> Vec<&'static str> {
        let names = |tag: &&str| seen.tags.get(*tag).is_some_and(|value| value == self.instance.as_str());
        SLOTS.iter().flat_map(|slot| [slot.first, slot.all]).filter(names).collect()
    }

    /// Whether our tags name anybody but the target.
    fn aimed_at_others(&self, seen: &Look) -> bool {
        let others = |tag: &str| seen.tags.get(tag).is_some_and(|value| value != self.instance.as_str());
        SLOTS.iter().any(|slot| others(slot.first) || others(slot.all))
    }

    /// What is to be changed. The policy goes last: without tags it denies nobody.
    fn changes(&self, seen: &Look) -> Vec<Change> {
        let mut changes = Vec::new();
        let tags = self.tags(seen);
        if !tags.is_empty() {
            let from: serde_json::Map<String, Value> = tags.iter().map(|tag| ((*tag).to_owned(), json!(self.instance))).collect();
            changes.push(Change::intended(UNTAG, &self.role.arn, json!({ "tags": from }), Value::Null));
        }
        if self.has_inline(seen) {
            let from = json!({ "policy": documents::name(self.instance), "document": seen.inline });
            changes.push(Change::intended(DELETE, &self.role.arn, from, Value::Null));
        }
        if seen.has(self.policy()) && !self.aimed_at_others(seen) {
            let attached = |attached: bool| json!({ "policy": self.policy(), "attached": attached });
            changes.push(Change::intended(DETACH, &self.role.arn, attached(true), attached(false)));
        }
        changes
    }

    /// One after the other, since IAM refuses two changes of one role at once. Gives what was refused.
    async fn carry_out(&self, recorder: &Recorder, seen: &Look) -> Result<Vec<AwsError>, Error> {
        let changes = self.changes(seen);
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let number = recorder.intent(changes.clone()).await?;
        let mut attempts = Vec::new();
        let mut detached = false;
        for change in changes {
            let result = self.call(&change.action, seen).await;
            detached |= change.action == DETACH && result.is_ok();
            attempts.push(Attempt::new(change, Some(result)));
        }
        let again = if detached { self.attach_again().await } else { None };
        let (mut changes, errors): (Vec<_>, Vec<_>) = attempts.into_iter().map(|it| (it.change, it.error)).unzip();
        let (late, failed) = again.map_or((None, None), |attempt| (Some(attempt.change), attempt.error));
        changes.extend(late);
        recorder.outcome(number, changes, Value::Null).await?;
        Ok(errors.into_iter().chain([failed]).flatten().collect())
    }

    /// Another case may have counted on the policy that was just detached.
    async fn attach_again(&self) -> Option<Attempt> {
        let change = Change::intended(ATTACH, &self.role.arn, json!({ "attached": false }), json!({ "attached": true }));
        match role::look(self.iam(), self.role).await {
            Ok(now) if self.aimed_at_others(&now) && !now.has(self.policy()) => {
                let call = self.iam().attach_role_policy().role_name(&self.role.name).policy_arn(self.policy());
                Some(Attempt::new(change, Some(call.send().await.map_err(failed(ATTACH)).map(drop))))
            }
            Ok(_) => None,
            // Whether somebody counts on it is not known: the next attempt looks.
            Err(error) => Some(Attempt::new(change, Some(Err(error.as_fault(Fault::Transient))))),
        }
    }

    async fn call(&self, action: &str, seen: &Look) -> Result<(), AwsError> {
        let name = self.role.name.as_str();
        let result = match action {
            UNTAG => {
                let keys = self.tags(seen).into_iter().map(str::to_owned).collect();
                let call = self.iam().untag_role().role_name(name).set_tag_keys(Some(keys));
                call.send().await.map(drop).map_err(failed(UNTAG))
            }
            DELETE => {
                let call = self.iam().delete_role_policy().role_name(name).policy_name(documents::name(self.instance));
                call.send().await.map(drop).map_err(failed(DELETE))
            }
            _ => {
                let call = self.iam().detach_role_policy().role_name(name).policy_arn(self.policy());
                call.send().await.map(drop).map_err(failed(DETACH))
            }
        };
        match result.map_err(in_passing) {
            // Gone already: somebody was faster.
            Err(error) if error.is("NoSuchEntity") => Ok(()),
            other => other,
        }
    }
}

fn unread(error: AwsError, role: Option<&Role>) -> Result<Denial, Error> {
    if error.fault == Fault::Transient {
        return Err(error.into());
    }
    Ok(said(DenialStatus::Unknown, role, &[error.to_string()]))
}

fn said(status: DenialStatus, role: Option<&Role>, reasons: &[String]) -> Denial {
    Denial {
        status,
        scope: DenialScope::All,
        role: role.map(|role| role.arn.clone()),
        read_back_at: None,
        reasons: reasons.iter().map(|reason| bounded(reason, 600)).collect(),
        risks: Vec::new(),
        failure: None,
    }
}
