//! The changes as they stand in intents and outcomes.

use aws_sdk_ec2::types::IpPermission;
use handler::AwsError;
use incident::record::{Change, ChangeResult};
use serde_json::{Value, json};

use crate::decide::{Decision, GroupNeed, Nic, Role};
use crate::groups::permissions;

/// One call that was made: the change, and the error where it failed.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) change: Change,
    pub(crate) error: Option<AwsError>,
}

impl Attempt {
    /// How a call went. An error whose code is in `fine` says that nothing was left to do.
    pub(crate) fn new<T>(change: Change, result: Result<T, AwsError>, fine: &[&str]) -> Self {
        let (result, error) = match result {
            Ok(_) => (ChangeResult::Done, None),
            Err(error) if fine.contains(&error.code.as_str()) => (ChangeResult::Already, None),
            Err(error) => (ChangeResult::from(&error), Some(error)),
        };
        Self { change: Change { result: Some(result), ..change }, error }
    }
}

/// A change that is about to be made.
pub(crate) fn change(action: &str, subject: &dyn ToString, from: Value, to: Value) -> Change {
    Change::intended(action, &subject.to_string(), from, to)
}

/// The move of an interface: its groups before, and the role of the group that it is to wear.
pub(crate) fn moved(nic: &Nic, role: Role) -> Change {
    let to = match role {
        // What is isolated already stays so, and what the collection group does not take is isolated.
        Role::Collection => json!({ "group": role.tag(), "otherwise": Role::Isolation.tag() }),
        Role::Conversion | Role::Isolation => json!({ "group": role.tag() }),
    };
    change(MODIFY, &nic.id, json!({ "groups": nic.groups }), to)
}

/// The action that moves an interface.
pub(crate) const MODIFY: &str = "ec2:ModifyNetworkInterfaceAttribute";

/// Everything that a decision is about to change.
pub(crate) fn intended(decision: &Decision) -> Vec<Change> {
    let mut changes = Vec::new();
    for (vpc, need) in &decision.vpcs {
        for group in need.groups() {
            changes.extend(intended_group(vpc.as_str(), group));
        }
    }
    for moving in &decision.moves {
        if moving.convert {
            changes.push(moved(&moving.nic, Role::Conversion));
        }
        changes.push(moved(&moving.nic, moving.to));
    }
    changes
}

fn intended_group(vpc: &str, need: &GroupNeed) -> Vec<Change> {
    let Some(id) = &need.found else {
        let to = json!({ "role": need.role.tag(), "name": need.role.name(need.number) });
        return vec![change("ec2:CreateSecurityGroup", &vpc, Value::Null, to)];
    };
    let mut changes = Vec::new();
    let revokes = [("Ingress", &need.revoke.ingress), ("Egress", &need.revoke.egress)];
    for (direction, rules) in revokes.into_iter().filter(|(_, rules)| !rules.is_empty()) {
        changes.push(change(&format!("ec2:RevokeSecurityGroup{direction}"), &id, rules_json(rules), Value::Null));
    }
    let allows = [("Ingress", &need.allow_in), ("Egress", &need.allow_out)];
    for (direction, families) in allows.into_iter().filter(|(_, families)| !families.is_empty()) {
        let to = rules_json(&permissions(families));
        changes.push(change(&format!("ec2:AuthorizeSecurityGroup{direction}"), &id, Value::Null, to));
    }
    for peer in &need.allow_peers {
        changes.push(change("ec2:AuthorizeSecurityGroupEgress", &id, Value::Null, rules_json(&[peer.rule()])));
    }
    changes
}

/// Rules as they stand in a record: enough to put them back by hand. At most 200, since an attacker may have written them.
pub(crate) fn rules_json(rules: &[IpPermission]) -> Value {
    let rule = |p: &IpPermission| {
        let groups = p.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
        json!({
            "protocol": p.ip_protocol(), "fromPort": p.from_port(), "toPort": p.to_port(),
            "ipv4": p.ip_ranges().iter().filter_map(|range| range.cidr_ip()).collect::<Vec<_>>(),
            "ipv6": p.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6()).collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
            "prefixLists": p.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id()).collect::<Vec<_>>(),
        })
    };
    Value::Array(rules.iter().take(200).map(rule).collect())
}
