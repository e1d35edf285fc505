//! The groups of a VPC: found or made, and brought to the rules they must have.
//!
//! EC2 has no client token for groups [facts 13]: a group that an earlier attempt made is found again by tag or, where the
//! tag is not visible yet, by name.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, ResourceType, Tag, TagSpecification};
use futures_util::future;
use handler::{AwsError, failed};
use incident::plan::CollectionPath;
use incident::{CaseId, Fault, GroupId, VpcId};
use serde_json::{Value, json};

use crate::Clients;
use crate::decide::{Family, GroupNeed, Role, Rules};
use crate::path::{self, Peer};
use crate::records::{Attempt, change, rules_json};
use crate::world::{RETIRED, ROLE, group_named};

/// How many names are tried where others have taken ours.
const NAMES: u32 = 5;

/// What became of a group that must be there.
#[derive(Debug, Default)]
pub(crate) struct Ensured {
    /// The group, if it can be used.
    pub(crate) id: Option<GroupId>,
    /// The calls.
    pub(crate) attempts: Vec<Attempt>,
}

/// Finds or makes the group, and sets its rules right. `maker` is the case that needs it, for the tag of a new group.
pub(crate) async fn ensure(ec2: &Client, maker: &str, vpc: &VpcId, need: &GroupNeed, path: Option<&CollectionPath>) -> Ensured {
    let mut ensured = Ensured::default();
    match &need.found {
        Some(id) => fix(ec2, id, need, &mut ensured).await,
        None => make(ec2, maker, vpc, need, path, &mut ensured).await,
    }
    ensured
}

async fn make(ec2: &Client, maker: &str, vpc: &VpcId, need: &GroupNeed, path: Option<&CollectionPath>, ensured: &mut Ensured) {
    for number in need.number..need.number.saturating_add(NAMES) {
        let name = need.role.name(number);
        let intended = change("ec2:CreateSecurityGroup", &vpc, Value::Null, json!({ "role": need.role.tag(), "name": name }));
        let created = create(ec2, maker, vpc, need.role, &name).await;
        match created {
            Err(error) if error.is("InvalidGroup.Duplicate") => match group_named(ec2, vpc, &name).await {
                Ok(Some(group)) if group.role == need.role && group.is_usable() => {
                    ensured.attempts.push(Attempt::new(intended, Err::<(), _>(error), &["InvalidGroup.Duplicate"]));
                    return fix(ec2, &group.id, &GroupNeed::repair(&group, path), ensured).await;
                }
                // Somebody else's group, or a retired one: the next name.
                Ok(_) if number + 1 < need.number.saturating_add(NAMES) => {}
                Ok(_) => return ensured.attempts.push(Attempt::new(intended, Err::<(), _>(error), &[])),
                Err(error) => return ensured.attempts.push(Attempt::new(intended, Err::<(), _>(error), &[])),
            },
            Ok(id) => {
                ensured.attempts.push(Attempt::new(intended, Ok(()), &[]));
                return fix(ec2, &id, &fresh(need.role, &id, number, path), ensured).await;
            }
            Err(error) => return ensured.attempts.push(Attempt::new(intended, Err::<(), _>(error), &[])),
        }
    }
}

async fn create(ec2: &Client, maker: &str, vpc: &VpcId, role: Role, name: &str) -> Result<GroupId, AwsError> {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::SecurityGroup)
        .tags(tag(ROLE, role.tag()))
        .tags(tag("cordon:case", maker))
        .build();
    let description = match role {
        Role::Conversion => "Cordon: allow-all for the moment that makes flows untracked. Do not use.",
        Role::Collection => "Cordon: nothing in, and out just what memory is collected through. Instances in it are contained.",
        Role::Isolation => "Cordon: no rules at all. Instances in it are contained.",
    };
    let create = ec2.create_security_group().group_name(name).description(description).vpc_id(vpc.as_str());
    let answer = create.tag_specifications(tags).send().await.map_err(failed("ec2:CreateSecurityGroup"))?;
    GroupId::parse(answer.group_id().unwrap_or_default()).map_err(|error| AwsError {
        action: "ec2:CreateSecurityGroup",
        code: "UnreadableAnswer".to_owned(),
        message: error.to_string(),
        request_id: String::new(),
        fault: Fault::Transient,
    })
}

/// What a group that has just been made needs. It allows all egress: IPv4 and, where the VPC has it, IPv6 [facts 13]; a look
/// would cost a round trip, so both are revoked unseen, and the read-back shows whether anything is left.
fn fresh(role: Role, id: &GroupId, number: u32, path: Option<&CollectionPath>) -> GroupNeed {
    let both = || vec![Family::V4, Family::V6];
    let mut need = GroupNeed::none(role, Some(id.clone()), number);
    match role {
        Role::Isolation | Role::Collection => need.revoke.egress = permissions(&both()),
        Role::Conversion => (need.allow_in, need.allow_out) = (both(), vec![Family::V6]),
    }
    if let (Role::Collection, Some(path)) = (role, path) {
        need.allow_peers = path::peers(path).into_iter().collect();
    }
    need
}

async fn fix(ec2: &Client, id: &GroupId, need: &GroupNeed, ensured: &mut Ensured) {
    let everything = |families: &[Family]| families.iter().map(|family| permission(*family)).collect::<Vec<_>>();
    let out: Vec<IpPermission> = everything(&need.allow_out).into_iter().chain(need.allow_peers.iter().map(Peer::rule)).collect();
    let pace = Builder::new();
    let ((ingress, egress), (allowed_in, allowed_out)) = future::join(
        future::join(revoke(ec2, id, true, &need.revoke.ingress, &pace), revoke(ec2, id, false, &need.revoke.egress, &pace)),
        future::join(allow(ec2, id, true, &everything(&need.allow_in)), allow(ec2, id, false, &out)),
    )
    .await;
    let attempts: Vec<Attempt> = [ingress, egress, allowed_in, allowed_out].into_iter().flatten().collect();
    // A conversion group without its four rules converts nothing, and a collection group with others than its own is no
    // place to end in. An isolation group with rules is still a better place than the one where the interface is, and the
    // read-back tells the truth about it.
    let usable = need.role == Role::Isolation || attempts.iter().all(|attempt| attempt.error.is_none());
    ensured.id = usable.then(|| id.clone());
    ensured.attempts.extend(attempts);
}

/// Closes a conversion group for good: revokes the rules that it has and marks it. All at once, since each moment counts.
pub(crate) async fn retire(clients: &Clients, case: &CaseId, id: &GroupId, rules: &Rules) -> Vec<Attempt> {
    let (ec2, pace) = (&clients.ec2, clients.pace.closing());
    let mark = async {
        let tag = Tag::builder().key(RETIRED).value(case.as_str()).build();
        let result = ec2.create_tags().resources(id.as_str()).tags(tag).send().await.map_err(failed("ec2:CreateTags"));
        Attempt::new(retirement(case, id), result, &[])
    };
    let (mark, (ingress, egress)) = future::join(
        mark,
        future::join(revoke(ec2, id, true, &rules.ingress, &pace), revoke(ec2, id, false, &rules.egress, &pace)),
    )
    .await;
    ingress.into_iter().chain(egress).chain([mark]).collect()
}

/// The mark of a retired group, as a change.
pub(crate) fn retirement(case: &CaseId, id: &GroupId) -> incident::record::Change {
    change("ec2:CreateTags", &id, Value::Null, json!({ RETIRED: case }))
}

/// The four rules of a conversion group, for closing it where it cannot be described.
pub(crate) fn allow_all() -> Rules {
    let both = permissions(&[Family::V4, Family::V6]);
    Rules { ingress: both.clone(), egress: both }
}

/// One call for each rule, all at the same time: a rule that is gone already must not keep the others in force.
async fn revoke(ec2: &Client, id: &GroupId, ingress: bool, rules: &[IpPermission], pace: &Builder) -> Vec<Attempt> {
    future::join_all(rules.iter().map(|rule| async {
        let one = std::slice::from_ref(rule);
        let group = id.as_str();
        let (action, result) = if ingress {
            let action = "ec2:RevokeSecurityGroupIngress";
            let call = ec2.revoke_security_group_ingress().group_id(group).ip_permissions(rule.clone());
            let call = call.customize().config_override(pace.clone());
            (action, call.send().await.map(drop).map_err(failed(action)))
        } else {
            let action = "ec2:RevokeSecurityGroupEgress";
            let call = ec2.revoke_security_group_egress().group_id(group).ip_permissions(rule.clone());
            let call = call.customize().config_override(pace.clone());
            (action, call.send().await.map(drop).map_err(failed(action)))
        };
        Attempt::new(change(action, &id, rules_json(one), Value::Null), result.map_err(unseen), &["InvalidPermission.NotFound"])
    }))
    .await
}

/// One call for each rule, all at the same time: one that is there already must not keep the others out.
async fn allow(ec2: &Client, id: &GroupId, ingress: bool, rules: &[IpPermission]) -> Vec<Attempt> {
    future::join_all(rules.iter().map(|rule| async {
        let group = id.as_str();
        let (action, result) = if ingress {
            let action = "ec2:AuthorizeSecurityGroupIngress";
            let call = ec2.authorize_security_group_ingress().group_id(group).ip_permissions(rule.clone());
            (action, call.send().await.map(drop).map_err(failed(action)))
        } else {
            let action = "ec2:AuthorizeSecurityGroupEgress";
            let call = ec2.authorize_security_group_egress().group_id(group).ip_permissions(rule.clone());
            (action, call.send().await.map(drop).map_err(failed(action)))
        };
        let to = rules_json(std::slice::from_ref(rule));
        Attempt::new(change(action, &id, Value::Null, to), result.map_err(unseen), &["InvalidPermission.Duplicate"])
    }))
    .await
}

/// A group that has just been made may not be visible everywhere yet: trying again helps.
fn unseen(error: AwsError) -> AwsError {
    if error.is("InvalidGroup.NotFound") { error.as_fault(Fault::Transient) } else { error }
}

pub(crate) fn permissions(families: &[Family]) -> Vec<IpPermission> {
    families.iter().copied().map(permission).collect()
}

fn permission(family: Family) -> IpPermission {
    let all = IpPermission::builder().ip_protocol("-1");
    match family {
        Family::V4 => all.ip_ranges(IpRange::builder().cidr_ip(family.everything()).build()).build(),
        Family::V6 => all.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(family.everything()).build()).build(),
    }
}
