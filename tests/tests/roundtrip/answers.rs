//! What the account answers: each service as strict as the real one where the steps rely on it.

mod around;
mod ec2;
mod groups;
mod iam;
mod nics;

pub(crate) use ec2::endpoint_group;

use serde_json::json;
use stub::{Answer, Call};

use crate::account::{Account, INSTANCE};

/// Every action that is answered by the account.
pub(crate) const ACTIONS: [&str; 43] = [
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeTrunkInterfaceAssociations",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeRouteTables",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeManagedPrefixLists",
    "ec2:ModifyInstanceAttribute",
    "ec2:ModifyInstanceMetadataOptions",
    "ec2:ModifyNetworkInterfaceAttribute",
    "ec2:CreateSecurityGroup",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:AuthorizeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:CreateTags",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DetachInstances",
    "autoscaling:AttachInstances",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DeregisterTargets",
    "elasticloadbalancing:RegisterTargets",
    "elasticloadbalancing:DeregisterInstancesFromLoadBalancer",
    "elasticloadbalancing:RegisterInstancesWithLoadBalancer",
    "iam:GetInstanceProfile",
    "iam:ListAttachedRolePolicies",
    "iam:ListRoleTags",
    "iam:AttachRolePolicy",
    "iam:DetachRolePolicy",
    "iam:TagRole",
    "iam:UntagRole",
    "iam:GetRolePolicy",
    "iam:DeleteRolePolicy",
    "kms:Sign",
    "kms:Verify",
    "states:DescribeExecution",
    "states:GetExecutionHistory",
    "ssm:GetParameter",
];

impl Account {
    pub(crate) fn answer(&mut self, call: &Call, policy: &str) -> Answer {
        let (service, operation) = call.action.split_once(':').unwrap();
        match (service, operation) {
            ("ec2", _) => self.ec2(call, operation),
            ("autoscaling", _) => self.autoscaling(call, operation),
            ("elasticloadbalancing", _) => self.balancers(call, operation),
            ("iam", _) => self.iam(call, operation),
            // A signature is what it signs: it holds for that and for nothing else.
            ("kms", "Sign") => Answer::json(json!({ "Signature": call.json()["Message"], "KeyId": "key" })),
            ("kms", "Verify") if call.json()["Message"] == call.json()["Signature"] => {
                Answer::json(json!({ "SignatureValid": true }))
            }
            ("kms", "Verify") => Answer::json_error(400, "KMSInvalidSignatureException", "it does not hold"),
            ("states", "GetExecutionHistory") => Answer::json(json!({ "events": [] })),
            ("states", "DescribeExecution") => {
                Answer::json(json!({ "executionArn": "x", "stateMachineArn": "x", "status": "SUCCEEDED", "startDate": 1 }))
            }
            ("ssm", "GetParameter") => {
                Answer::json(json!({ "Parameter": { "Name": "/cordon/policy", "Value": policy, "Version": 1 } }))
            }
            _ => panic!("teach the account {}", call.action),
        }
    }
}

/// EC2's answer to a change.
fn done(call: &Call) -> Answer {
    ec2(call, "<return>true</return>")
}

/// EC2's answer.
fn ec2(call: &Call, body: &str) -> Answer {
    let name = call.action.split_once(':').unwrap().1;
    Answer::xml(format!("<{name}Response>{body}</{name}Response>"))
}

/// An answer of the other services that speak XML.
fn query(call: &Call, result: &str) -> Answer {
    let name = call.action.split_once(':').unwrap().1;
    Answer::xml(format!("<{name}Response><{name}Result>{result}</{name}Result></{name}Response>"))
}

/// The call's filters, each with its values.
fn filters(call: &Call) -> Vec<(String, Vec<String>)> {
    let filter = |n: usize| {
        let name = call.param(&format!("Filter.{n}.Name"))?.to_owned();
        Some((name, call.list(&format!("Filter.{n}.Value")).into_iter().map(str::to_owned).collect()))
    };
    (1..).map_while(filter).collect()
}

/// A list of EC2's.
fn items(all: impl IntoIterator<Item = String>) -> String {
    all.into_iter().map(|one| format!("<item>{one}</item>")).collect()
}

/// A list of the other services.
fn members(all: impl IntoIterator<Item = String>) -> String {
    all.into_iter().map(|one| format!("<member>{one}</member>")).collect()
}

/// The call is about the target, and about nobody else.
fn about_the_target(ids: &[&str]) {
    assert_eq!(ids, [INSTANCE], "nobody but the target is touched");
}
