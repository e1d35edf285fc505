//! The two ways to deny: the policy and the role's tags, or an inline policy. Each looks, says what it would change, changes
//! what is not yet so, and says from a look how far the target is denied.

use aws_sdk_iam::Client;
use aws_sdk_iam::types::Tag;
use handler::{AwsError, failed};
use incident::InstanceId;
use incident::evidence::DenialScope;
use incident::record::Change;
use serde_json::{Map, Value, json};

use crate::decide::{Look, Role, Slot};
use crate::records::{Attempt, in_passing};
use crate::{documents, role};

/// One way to deny one target of one role.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) iam: &'a Client,
    pub(crate) role: Role,
    pub(crate) instance: &'a InstanceId,
    pub(crate) scope: DenialScope,
    pub(crate) by: By<'a>,
}

/// By what.
#[derive(Debug)]
pub(crate) enum By<'a> {
    /// The policy that only denies, aimed by the tags of a slot.
    Tags { policy: &'a str, slot: Slot },
    /// An inline policy of its own.
    Inline { document: Value },
}

impl Way<'_> {
    pub(crate) async fn look(&self) -> Result<Look, AwsError> {
        match &self.by {
            By::Tags { .. } => role::look(self.iam, &self.role).await,
            By::Inline { .. } => role::look_inline(self.iam, &self.role, &documents::name(self.instance)).await,
        }
    }

    /// How far the target is denied.
    pub(crate) fn reached(&self, look: &Look) -> Option<DenialScope> {
        match &self.by {
            By::Tags { policy, .. } => look.reached(policy, self.instance),
            By::Inline { .. } => documents::reached(look.inline.as_ref(), self.instance),
        }
    }

    /// Everything that this way is made of, from what is there: what release must put back.
    pub(crate) fn changes(&self, look: &Look) -> Vec<Change> {
        match &self.by {
            By::Tags { policy, slot } => {
                let tags = slot.tags(self.scope);
                let before: Map<String, Value> = tags.iter().map(|tag| ((*tag).to_owned(), json!(look.tags.get(*tag)))).collect();
                let after: Map<String, Value> = tags.iter().map(|tag| ((*tag).to_owned(), json!(self.instance))).collect();
                let attached = |attached: bool| json!({ "policy": policy, "attached": attached });
                vec![
                    Change::intended(ATTACH, &self.role.arn, attached(look.has(policy)), attached(true)),
                    Change::intended(TAG, &self.role.arn, json!({ "tags": before }), json!({ "tags": after })),
                ]
            }
            By::Inline { document } => {
                let held = |document: Option<&Value>| json!({ "policy": documents::name(self.instance), "document": document });
                vec![Change::intended(PUT, &self.role.arn, held(look.inline.as_ref()), held(Some(document)))]
            }
        }
    }

    /// Changes what is not yet so. One after the other: IAM refuses two changes of one role at once. Where attaching fails the
    /// tags are set all the same, so that the denial holds as soon as a person attaches the policy.
    pub(crate) async fn apply(&self, look: &Look) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for change in self.changes(look) {
            let needed = match (change.action.as_str(), &self.by) {
                (ATTACH, By::Tags { policy, .. }) => !look.has(policy),
                (TAG, By::Tags { slot, .. }) => !look.untagged(*slot, self.scope, self.instance).is_empty(),
                (_, By::Inline { document }) => look.inline.as_ref() != Some(document),
                _ => false,
            };
            let result = if needed { Some(self.call(&change.action, look).await) } else { None };
            attempts.push(Attempt::new(change, result));
        }
        attempts
    }

    async fn call(&self, action: &str, look: &Look) -> Result<(), AwsError> {
        let name = self.role.name.as_str();
        let result = match &self.by {
            By::Tags { policy, .. } if action == ATTACH => {
                self.iam.attach_role_policy().role_name(name).policy_arn(*policy).send().await.map(drop).map_err(failed(ATTACH))
            }
            By::Tags { slot, .. } => {
                let missing = look.untagged(*slot, self.scope, self.instance);
                let tags =
                    missing.into_iter().filter_map(|key| Tag::builder().key(key).value(self.instance.as_str()).build().ok());
                let call = self.iam.tag_role().role_name(name).set_tags(Some(tags.collect()));
                call.send().await.map(drop).map_err(failed(TAG))
            }
            By::Inline { document } => {
                let call = self.iam.put_role_policy().role_name(name).policy_name(documents::name(self.instance));
                call.policy_document(document.to_string()).send().await.map(drop).map_err(failed(PUT))
            }
        };
        result.map_err(in_passing)
    }
}

const ATTACH: &str = "iam:AttachRolePolicy";
const TAG: &str = "iam:TagRole";
const PUT: &str = "iam:PutRolePolicy";
