//! Looks: the target's role, and what is attached to it.

use std::collections::BTreeMap;

use aws_sdk_iam::Client;
use futures_util::future;
use handler::{AwsError, failed};

use crate::decide::{Look, Role, profile_name};
use crate::documents;
use crate::obstacle::Obstacle;
use crate::records::in_passing;

/// The role of an instance profile. It may have another name and path than the profile; a profile holds one at most.
pub(crate) async fn of_profile(iam: &Client, arn: &str) -> Result<Result<Role, Obstacle>, AwsError> {
    let name = match profile_name(arn) {
        Ok(name) => name,
        Err(obstacle) => return Ok(Err(obstacle)),
    };
    let unknown = || Obstacle::RoleUnknown { profile: name.to_owned() };
    let answer = iam.get_instance_profile().instance_profile_name(name).send().await;
    let profile = match answer.map_err(failed("iam:GetInstanceProfile")).map_err(in_passing) {
        Ok(answer) => answer.instance_profile,
        Err(error) if error.is("NoSuchEntity") => return Ok(Err(unknown())),
        Err(error) => return Err(error),
    };
    let role = profile.as_ref().and_then(|profile| profile.roles().first());
    Ok(role
        .map(|role| Role { name: role.role_name().to_owned(), arn: role.arn().to_owned(), path: role.path().to_owned() })
        .ok_or_else(unknown))
}

/// What is attached to the role, and its tags.
pub(crate) async fn look(iam: &Client, role: &Role) -> Result<Look, AwsError> {
    let attached = iam.list_attached_role_policies().role_name(&role.name).into_paginator().items().send();
    let tags = iam.list_role_tags().role_name(&role.name).into_paginator().items().send();
    let (attached, tags) = future::join(attached.collect::<Result<Vec<_>, _>>(), tags.collect::<Result<Vec<_>, _>>()).await;
    let attached = attached.map_err(failed("iam:ListAttachedRolePolicies")).map_err(in_passing)?;
    let tags = tags.map_err(failed("iam:ListRoleTags")).map_err(in_passing)?;
    let tags: BTreeMap<String, String> =
        tags.iter().map(|tag| (tag.key().to_ascii_lowercase(), tag.value().to_owned())).collect();
    Ok(Look {
        attached: attached.iter().filter_map(|policy| policy.policy_arn().map(str::to_owned)).collect(),
        tags,
        inline: None,
    })
}

/// The role's inline policy of this name.
pub(crate) async fn look_inline(iam: &Client, role: &Role, name: &str) -> Result<Look, AwsError> {
    let answer = iam.get_role_policy().role_name(&role.name).policy_name(name).send().await;
    let inline = match answer.map_err(failed("iam:GetRolePolicy")).map_err(in_passing) {
        // What cannot be parsed is not ours, and is replaced: the record keeps it as text.
        Ok(answer) => {
            let text = answer.policy_document();
            Some(documents::parse(text).unwrap_or_else(|| incident::text::bounded(text, 20_000).into()))
        }
        // IAM says the same where the role itself is gone; the change will tell.
        Err(error) if error.is("NoSuchEntity") => None,
        Err(error) => return Err(error),
    };
    Ok(Look { inline, ..Look::default() })
}
