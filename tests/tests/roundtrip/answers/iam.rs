//! IAM: one profile with one role, and its quotas.

use stub::{Answer, Call};

use super::{members, query};
use crate::account::{ACCOUNT, Account, Role};

/// The name of the role, and of nothing else.
pub(crate) const ROLE: &str = "web-role";

impl Account {
    pub(super) fn iam(&mut self, call: &Call, operation: &str) -> Answer {
        if operation == "GetInstanceProfile" {
            return profile(call, self.role.as_ref());
        }
        assert_eq!(call.param("RoleName"), Some(ROLE), "no other role is looked at");
        let Some(role) = self.role.as_mut() else { return none("the role") };
        let policy = call.param("PolicyArn").unwrap_or_default().to_owned();
        match operation {
            "ListAttachedRolePolicies" => {
                let all = role.attached.iter().map(|arn| format!("<PolicyName>p</PolicyName><PolicyArn>{arn}</PolicyArn>"));
                query(call, &format!("<AttachedPolicies>{}</AttachedPolicies><IsTruncated>false</IsTruncated>", members(all)))
            }
            "ListRoleTags" => {
                let all = role.tags.iter().map(|(key, value)| format!("<Key>{key}</Key><Value>{value}</Value>"));
                query(call, &format!("<Tags>{}</Tags><IsTruncated>false</IsTruncated>", members(all)))
            }
            "AttachRolePolicy" if !role.attached.contains(&policy) && role.attached.len() >= 10 => limit("PoliciesPerRole: 10"),
            "AttachRolePolicy" => {
                role.attached.insert(policy);
                query(call, "")
            }
            "DetachRolePolicy" => {
                if role.attached.remove(&policy) {
                    query(call, "")
                } else {
                    none("the attached policy")
                }
            }
            "TagRole" => {
                let mut tags = role.tags.clone();
                let tag = |n: usize| {
                    let part = |part: &str| call.param(&format!("Tags.member.{n}.{part}")).map(str::to_owned);
                    part("Key").zip(part("Value"))
                };
                tags.extend((1..).map_while(tag));
                if tags.len() > 50 {
                    return limit("TagsPerRole: 50");
                }
                role.tags = tags;
                query(call, "")
            }
            "UntagRole" => {
                for key in call.list("TagKeys") {
                    role.tags.remove(key);
                }
                query(call, "")
            }
            "GetRolePolicy" | "DeleteRolePolicy" => none("the inline policy"),
            _ => panic!("teach the account {}", call.action),
        }
    }
}

fn profile(call: &Call, role: Option<&Role>) -> Answer {
    let created = "<CreateDate>2026-01-01T00:00:00Z</CreateDate>";
    let role = role.map(|Role { path, .. }| {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role{path}{ROLE}");
        format!("<Path>{path}</Path><RoleName>{ROLE}</RoleName><RoleId>AROA1</RoleId><Arn>{arn}</Arn>{created}")
    });
    let profile = format!(
        "<Path>/</Path><InstanceProfileName>web</InstanceProfileName><InstanceProfileId>AIPA1</InstanceProfileId>\
         <Arn>arn:aws:iam::{ACCOUNT}:instance-profile/web</Arn>{created}<Roles>{}</Roles>",
        members(role)
    );
    query(call, &format!("<InstanceProfile>{profile}</InstanceProfile>"))
}

fn limit(what: &str) -> Answer {
    Answer::query_error(409, "LimitExceeded", &format!("Cannot exceed quota for {what}"))
}

fn none(what: &str) -> Answer {
    Answer::query_error(404, "NoSuchEntity", &format!("{what} cannot be found."))
}
