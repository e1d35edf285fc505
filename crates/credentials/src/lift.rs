//! Lifts the denial of one target, for a release: its tags, its slot, its inline policy, and the policy itself where it
//! denies nobody any more.
//!
//! Safe to repeat: it looks first and takes away only what is still there; where nothing is, it says so.
//!
//! INVARIANT: tags and slots that name another instance stay, and so does the policy that they aim. Another case may set its
//! tags while the policy is being detached: it is looked at again after that, and attached again where it is needed. That is
//! announced with the detachment, so that giving it back waits for nothing but IAM.
//! INVARIANT: a slot is free only when no tag names the target any more: who claimed it earlier would find it taken.

use aws_sdk_iam::Client;
use handler::{AwsError, Recorder, failed};
use incident::evidence::{Denial, DenialScope, DenialStatus};
use incident::record::{Change, ChangeResult};
use incident::release::ReleasePlan;
use incident::text::bounded;
use incident::{Classify as _, Fault, InstanceId, Visit};
use serde_json::{Value, json};

use crate::decide::{Look, Role, SLOTS, refused};
use crate::deny::PATIENCE;
use crate::records::{Attempt, in_passing};
use crate::{Clients, Error, Means, documents, role, slots};

const UNTAG: &str = "iam:UntagRole";
const DETACH: &str = "iam:DetachRolePolicy";
const ATTACH: &str = "iam:AttachRolePolicy";
const DELETE: &str = "iam:DeleteRolePolicy";

/// Fails where trying again may help, or where the release's file cannot be written; everything else is said in the output.
pub(crate) async fn lift(clients: &Clients, visit: &Visit, release: &ReleasePlan) -> Result<Denial, Error> {
    let instance = &release.target.instance_id;
    let recorder = clients.store.case(&release.release_id, release.retention).recorder(visit);
    let role = match find(clients, release).await? {
        Ok(role) => role,
        Err(denial) => {
            recorder.note(note(&denial)).await?;
            return Ok(denial);
        }
    };
    let inline = clients.settings.means.for_role(&role) != Means::Tags;
    Run { clients, role: &role, instance, inline }.lift(&recorder, visit).await
}

/// The role whose sessions may be denied, or what there is to say where there is none.
async fn find(clients: &Clients, release: &ReleasePlan) -> Result<Result<Role, Denial>, Error> {
    let Some(profile) = &release.target.profile else { return Ok(Err(said(DenialStatus::NothingToDeny, None, &[]))) };
    Ok(match role::of_profile(&clients.iam, profile).await {
        // Such roles are never denied.
        Ok(Ok(role)) if refused(&role, &clients.settings).is_some() => Err(said(DenialStatus::NothingToDeny, Some(&role), &[])),
        Ok(Ok(role)) => Ok(role),
        Ok(Err(obstacle)) => Err(said(DenialStatus::Unknown, None, &[obstacle.reason()])),
        Err(error) if error.fault == Fault::Transient => return Err(error.into()),
        Err(error) => Err(said(DenialStatus::Unknown, None, &[error.to_string()])),
    })
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

    /// Looks, takes away, looks again.
    async fn lift(&self, recorder: &Recorder, visit: &Visit) -> Result<Denial, Error> {
        let seen = match self.look().await {
            Ok(seen) => seen,
            Err(error) if error.fault == Fault::Transient => return Err(error.into()),
            Err(error) => {
                let denial = said(DenialStatus::Unknown, Some(self.role), &[error.to_string()]);
                recorder.note(note(&denial)).await?;
                return Ok(denial);
            }
        };
        // An attempt before this one may have ended between taking the policy away and looking who needs it.
        let again = visit.retry > 0;
        let changes = self.changes(&seen, self.wanted_by_others(&seen).await?, again);
        let number = if changes.is_empty() { None } else { Some(recorder.intent(changes.clone()).await?) };
        let attempts = self.carry_out(changes, &seen).await;
        let (changes, errors): (Vec<_>, Vec<_>) = attempts.into_iter().map(|attempt| (attempt.change, attempt.error)).unzip();
        let errors: Vec<Error> = errors.into_iter().flatten().collect();
        let now = self.look().await;
        let denial = self.denial(&now, &errors);
        match number {
            Some(number) => recorder.outcome(number, changes, note(&denial)).await?,
            None => recorder.note(note(&denial)).await?,
        };
        if now.as_ref().is_ok_and(|now| self.tags(now).is_empty()) {
            slots::free(&self.clients.store, self.role, self.instance).await?;
        }
        let late = errors.is_empty() && denial.status == DenialStatus::Denied && visit.retry < PATIENCE;
        let unread = now.err().map(Error::Aws).filter(|error| error.fault() == Fault::Transient);
        match errors.into_iter().find(|error| error.fault() == Fault::Transient).or(unread) {
            Some(error) => Err(error),
            None if late => Err(Error::NotYetLifted(self.role.name.clone())),
            None => Ok(denial),
        }
    }

    /// What is so, as it was read back, and what stood in the way.
    fn denial(&self, now: &Result<Look, AwsError>, errors: &[Error]) -> Denial {
        let mut reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let reached = match now {
            Ok(now) => self.reached(now),
            Err(error) => {
                reasons.push(error.to_string());
                return said(DenialStatus::Unknown, Some(self.role), &reasons);
            }
        };
        if reached.is_some() && reasons.is_empty() {
            reasons.push("every change went through, but the role still shows the denial".to_owned());
        }
        let status = if reached.is_some() { DenialStatus::Denied } else { DenialStatus::Lifted };
        let scope = reached.unwrap_or(DenialScope::All);
        Denial { scope, read_back_at: Some(handler::now()), ..said(status, Some(self.role), &reasons) }
    }

    async fn look(&self) -> Result<Look, AwsError> {
        let mut seen = role::look(self.iam(), self.role).await?;
        if self.inline {
            seen.inline = role::look_inline(self.iam(), self.role, &documents::name(self.instance)).await?.inline;
        }
        Ok(seen)
    }

    /// How far the target is denied by anything of ours.
    fn reached(&self, seen: &Look) -> Option<DenialScope> {
        let tags = seen.reached(self.policy(), self.instance);
        let inline = documents::reached(seen.inline.as_ref(), self.instance);
        if tags == Some(DenialScope::All) { tags } else { inline.or(tags) }
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

    /// Whether anybody but the target needs the policy: a tag names another instance, or another case has claimed a slot and is
    /// about to set its tags.
    async fn wanted_by_others(&self, seen: &Look) -> Result<bool, Error> {
        let others = |tag: &str| seen.tags.get(tag).is_some_and(|value| value != self.instance.as_str());
        let aimed = SLOTS.iter().any(|slot| others(slot.first) || others(slot.all));
        Ok(aimed || slots::taken_by_others(&self.clients.store, self.role, self.instance).await?)
    }

    /// What is to be changed. The policy goes last: without tags it denies nobody.
    fn changes(&self, seen: &Look, others: bool, again: bool) -> Vec<Change> {
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
        if seen.has(self.policy()) && !others {
            changes.push(Change::intended(DETACH, &self.role.arn, self.attached(true), self.attached(false)));
            let needed = json!({ "policy": self.policy(), "attached": "if another instance's denial needs it" });
            changes.push(Change::intended(ATTACH, &self.role.arn, self.attached(false), needed));
        } else if again && others && !seen.has(self.policy()) {
            changes.push(Change::intended(ATTACH, &self.role.arn, self.attached(false), self.attached(true)));
        }
        changes
    }

    fn attached(&self, attached: bool) -> Value {
        json!({ "policy": self.policy(), "attached": attached })
    }

    /// One after the other, since IAM refuses two changes of one role at once.
    async fn carry_out(&self, changes: Vec<Change>, seen: &Look) -> Vec<Done> {
        let mut attempts: Vec<Done> = Vec::new();
        for change in changes {
            let failed = |action| attempts.iter().any(|done| done.change.action == action && !done.went());
            let done = match change.action.as_str() {
                DETACH if failed(UNTAG) => Done::left(change),
                ATTACH if seen.has(self.policy()) && failed(DETACH) => Attempt::new(change, None).into(),
                ATTACH if seen.has(self.policy()) => self.give_back(change, seen).await,
                action => {
                    let result = self.call(action, seen).await;
                    Attempt::new(change, Some(result)).into()
                }
            };
            attempts.push(done);
        }
        attempts
    }

    /// Another case may have counted on the policy that was just detached.
    async fn give_back(&self, change: Change, seen: &Look) -> Done {
        let wanted = match role::look(self.iam(), self.role).await {
            Ok(now) if now.has(self.policy()) => Ok(false),
            Ok(now) => self.wanted_by_others(&now).await,
            Err(error) => Err(error.as_fault(Fault::Transient).into()),
        };
        match wanted {
            Ok(true) => {
                let result = self.call(ATTACH, seen).await;
                Attempt::new(change, Some(result)).into()
            }
            Ok(false) => Attempt::new(change, None).into(),
            // Whether somebody counts on it is not known: the next attempt looks.
            Err(error) => Done::unknown(change, error),
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
            ATTACH => {
                let call = self.iam().attach_role_policy().role_name(name).policy_arn(self.policy());
                return call.send().await.map(drop).map_err(failed(ATTACH)).map_err(in_passing);
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

/// One change that was tried, or left.
struct Done {
    change: Change,
    error: Option<Error>,
}

impl From<Attempt> for Done {
    fn from(Attempt { change, error }: Attempt) -> Self {
        Self { change, error: error.map(Error::Aws) }
    }
}

impl Done {
    fn went(&self) -> bool {
        !matches!(self.change.result, Some(ChangeResult::Failed { .. }))
    }

    fn not_done(change: Change, fault: Fault, message: String) -> Change {
        Change { result: Some(ChangeResult::Failed { fault, message }), ..change }
    }

    /// The policy stays while a tag names the target: it would be denied anew as soon as a sibling is.
    fn left(change: Change) -> Self {
        let message = "left, since the target's tags could not be taken away".to_owned();
        Self { change: Self::not_done(change, Fault::Refused, message), error: None }
    }

    fn unknown(change: Change, error: Error) -> Self {
        Self { change: Self::not_done(change, error.fault(), error.to_string()), error: Some(error) }
    }
}

fn note(denial: &Denial) -> Value {
    json!({
        "status": denial.status, "scope": denial.scope, "role": denial.role, "readBackAt": denial.read_back_at,
        "reasons": denial.reasons,
    })
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
