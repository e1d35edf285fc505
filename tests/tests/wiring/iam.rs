//! Each function may do what its code does, and no more.

use std::collections::BTreeSet;

use serde_json::json;

use crate::sources;
use crate::template::{functions, resources, statements, template, texts};

/// What a function needs although its code does not name it.
const IMPLIED: [(&str, &str); 12] = [
    ("s3:PutObjectRetention", "a put that carries its lock"),
    ("s3:GetObjectRetention", "a get shows the lock only to those who may see it"),
    ("s3:ListBucket", "without it a key that is not there answers 403 instead of 404"),
    ("kms:GenerateDataKey", "puts into the encrypted bucket, messages to the encrypted topic"),
    ("kms:Decrypt", "gets from the encrypted bucket"),
    ("ec2:CreateTags", "creations that carry tags"),
    ("kms:CreateGrant", "EBS copies in the caller's name after the call has returned"),
    ("kms:DescribeKey", "EBS asks about both keys of a copy in the caller's name"),
    ("kms:ReEncryptFrom", "EBS reads what is copied in the caller's name"),
    ("kms:ReEncryptTo", "EBS writes the copy in the caller's name"),
    ("kms:GenerateDataKeyWithoutPlaintext", "EBS makes the copy's data key in the caller's name"),
    ("sqs:SendMessage", "Lambda puts what failed for good into the queue, in the function's name"),
];

/// Actions that AWS lets nobody narrow to resources [facts 86]: delivery of logs and traces, the end of a command, and a task's
/// success, which is bounded by who has its token.
const WITHOUT_RESOURCES: [&str; 9] = [
    "states:SendTaskSuccess",
    "ssm:CancelCommand",
    "logs:CreateLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:PutResourcePolicy",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "logs:DescribeResourcePolicies",
];

#[test]
fn each_function_has_a_role_of_its_own() {
    for function in functions() {
        assert!(function.properties.get("Role").is_none(), "{}: SAM makes a role for its Policies alone", function.id);
        assert!(!function.statements().is_empty(), "{}: it has no Policies", function.id);
        for statement in function.statements() {
            assert!(
                !statement.sid.is_empty(),
                "{}: give the statement for {:?} a Sid that says why",
                function.id,
                statement.actions()
            );
        }
    }
}

#[test]
fn functions_may_do_what_their_code_does() {
    for step in sources::steps() {
        let granted: BTreeSet<String> =
            functions().iter().filter(|function| function.step() == step).flat_map(super::template::Function::actions).collect();
        for action in sources::actions(&step) {
            assert!(
                granted.contains(&action),
                "crates/{step} calls {action}, but no function of it may: add it in infra/template.yaml"
            );
        }
    }
}

#[test]
fn functions_may_do_no_more_than_their_code_does() {
    for function in functions() {
        let called = sources::actions(function.step());
        for action in function.actions() {
            let implied = IMPLIED.iter().any(|(name, _)| *name == action);
            assert!(
                implied || called.contains(&action),
                "{}: crates/{} never calls {action}: remove it from infra/template.yaml",
                function.id,
                function.step()
            );
        }
    }
    for (id, action) in [("SealFunction", "lambda:InvokeFunction"), ("SealFunction", "states:DescribeExecution")] {
        let granted = functions().iter().any(|function| function.id == id && function.actions().contains(&action.to_owned()));
        assert!(!granted, "{id}: {action} belongs to the last word, which shares its code");
    }
}

#[test]
fn nothing_that_changes_anything_is_allowed_on_everything() {
    let template = template();
    let all = statements(template.get("Resources").unwrap_or_default());
    assert!(all.len() > 30, "only {} statements: does this test still read the template?", all.len());
    for statement in all {
        let everything = statement.resources().iter().any(|resource| resource == "*");
        for action in statement.actions() {
            let verb = action.split_once(':').map_or("", |(_, verb)| verb);
            let looks = ["Describe", "List", "Get", "Lookup"].iter().any(|look| verb.starts_with(look));
            let narrow = !everything || looks || WITHOUT_RESOURCES.contains(&action.as_str());
            assert!(narrow, "{}: {action} on `*`: name the resources", statement.sid);
            assert!(!action.contains('*'), "{}: {action}: name each action", statement.sid);
            assert!(
                !action.starts_with("iam:") || looks || harmless_on_roles(&statement, &action),
                "{}: {action}: no function can take over the account",
                statement.sid
            );
            assert!(
                !["sts:", "organizations:"].iter().any(|service| action.starts_with(service)) || action == "sts:AssumeRole",
                "{}: {action}",
                statement.sid
            );
        }
        for resource in statement.resources() {
            let whole = resource.ends_with("${B}/*") || resource.ends_with(":function:*");
            assert!(!whole, "{}: {resource} is too much: name the prefix", statement.sid);
        }
    }
}

/// Whether an action on roles can only ever deny, or take back what denies.
fn harmless_on_roles(statement: &super::template::Statement, action: &str) -> bool {
    let condition = |pointer: &str| statement.body.pointer(&format!("/Condition{pointer}")).cloned().unwrap_or_default();
    match action {
        "iam:AttachRolePolicy" | "iam:DetachRolePolicy" => condition("/ArnEquals/iam:PolicyARN") == json!({"Ref": "DenyPolicy"}),
        "iam:TagRole" | "iam:UntagRole" => {
            let keys = texts(&condition("/ForAllValues:StringEquals/aws:TagKeys"));
            // Without the second condition a call without tags would match as well.
            !keys.is_empty()
                && keys.iter().all(|key| key.starts_with("cordon-deny-"))
                && condition("/Null/aws:TagKeys") == json!("false")
        }
        // Only where the deployment asks for it, and only below the path that it names.
        "iam:PutRolePolicy" | "iam:DeleteRolePolicy" => {
            statement.resources().iter().all(|resource| resource.ends_with(":role${InlinePath}*"))
        }
        _ => false,
    }
}

#[test]
fn credentials_can_only_be_taken_away_and_never_from_cordon_itself() {
    let policy = resources("AWS::IAM::ManagedPolicy");
    let ids: Vec<&str> = policy.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["ApproverPolicy", "DenyPolicy"]);
    for (id, policy) in policy.iter().filter(|(id, _)| id.as_str() == "DenyPolicy") {
        assert!(statements(policy).is_empty(), "{id} allows something, and a function may attach it to any role");
    }
    let on_roles = |function: &super::template::Function| function.actions().iter().any(|action| action.starts_with("iam:"));
    let functions = functions();
    let with: Vec<&super::template::Function> = functions.iter().filter(|function| on_roles(function)).collect();
    assert_eq!(with.iter().map(|function| function.id.as_str()).collect::<Vec<_>>(), ["CredentialsFunction"]);
    let written =
        template().pointer("/Resources/CredentialsFunction/Properties/Policies/0/Statement").cloned().unwrap_or_default();
    let written = written.as_array().cloned().unwrap_or_default();
    let denied = written
        .iter()
        .filter(|statement| statement["Effect"] == "Deny")
        .find(|statement| texts(&statement["Resource"]).iter().all(|resource| resource.ends_with(":role/${AWS::StackName}-*")));
    let denied = denied.map(|statement| texts(&statement["Action"])).unwrap_or_default();
    for action in with.iter().flat_map(|function| function.actions()).filter(|action| action.starts_with("iam:")) {
        let looks = ["iam:Get", "iam:List"].iter().any(|look| action.starts_with(look));
        assert!(looks || denied.contains(&action), "{action} must be denied on Cordon's own roles");
    }
}

#[test]
fn what_signs_for_a_target_can_upload_parts_and_fetch_what_the_target_may_have() {
    let (_, role) = resources("AWS::IAM::Role").into_iter().find(|(id, _)| id == "UploadRole").unwrap_or_default();
    let mut granted: Vec<(String, String)> = Vec::new();
    for statement in statements(&role) {
        for action in statement.actions() {
            granted.extend(
                statement.resources().iter().filter(|text| text.contains(":s3:")).map(|arn| (action.clone(), arn.clone())),
            );
        }
        let kms = statement.actions().iter().all(|action| action.starts_with("kms:"));
        assert!(kms || statement.actions().iter().all(|action| action.starts_with("s3:")), "{:?}", statement.actions());
    }
    let expected = [
        ("s3:PutObject", "arn:${AWS::Partition}:s3:::${B}/cases/*/memory/*"),
        ("s3:GetObject", "arn:${AWS::Partition}:s3:::${B}/work/*/memory/wave-*"),
        ("s3:GetObject", "arn:${AWS::Partition}:s3:::${B}/tools/*"),
    ];
    assert_eq!(
        granted,
        expected.map(|(action, arn)| (action.to_owned(), arn.to_owned())),
        "each session leaves one key of these"
    );
}

#[test]
fn changes_to_what_others_own_are_bound_to_our_tags() {
    // Groups and snapshots; interfaces cannot be told apart by tag, since they are the target's own.
    for function in functions() {
        for statement in function.statements() {
            let ours = statement
                .resources()
                .iter()
                .any(|resource| ["security-group/*", "snapshot/*"].iter().any(|end| resource.ends_with(end)));
            let creates = texts(&statement.body)
                .iter()
                .any(|text| ["CreateSecurityGroup", "CreateSnapshots", "CopySnapshot"].contains(&text.as_str()));
            // The groups that a target wore before may be any.
            let gives_back = function.id == "ReleaseFunction" && statement.actions() == ["ec2:ModifyNetworkInterfaceAttribute"];
            let bound = !statement.tags().is_empty() || creates || gives_back;
            assert!(!ours || bound, "{}.{}: bind it to a tag of ours", function.id, statement.sid);
        }
    }
}

#[test]
fn keys_of_disks_are_used_through_ebs_alone_and_copies_shared_with_the_forensic_accounts_alone() {
    let mut seen = [0, 0];
    let ebs =
        ["kms:CreateGrant", "kms:DescribeKey", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKeyWithoutPlaintext"];
    for function in functions() {
        for statement in function.statements() {
            let actions = statement.actions();
            let of_ebs = actions.iter().any(|action| ebs.contains(&action.as_str()));
            let shares = actions.iter().any(|action| action == "ec2:ModifySnapshotAttribute");
            seen = [seen[0] + usize::from(of_ebs), seen[1] + usize::from(shares)];
            assert!(!(of_ebs || shares) || function.id == "CopySnapshotFunction", "{}.{}", function.id, statement.sid);
            let said = statement.body.to_string();
            assert!(!of_ebs || said.contains("kms:ViaService"), "{}: through EBS alone", statement.sid);
            assert!(
                !actions.iter().any(|action| action == "kms:CreateGrant") || said.contains("kms:GrantIsForAWSResource"),
                "{}: a grant is for AWS alone, or it is a way out",
                statement.sid
            );
            let bound =
                said.contains(r#""ec2:Add/userId":{"Ref":"ForensicAccounts"}"#) && said.contains("aws:ResourceTag/cordon:copy");
            assert!(!shares || bound, "{}: our copies, and no other account: {said}", statement.sid);
        }
    }
    assert_eq!(seen, [2, 1], "does this test still read the role of CopySnapshotFunction?");
}

#[test]
fn the_tags_that_policies_rely_on_are_those_that_the_code_sets() {
    for function in functions() {
        let code = sources::code(function.step());
        for tag in function.statements().iter().flat_map(super::template::Statement::tags) {
            assert!(code.contains(&format!("\"{tag}\"")), "{}: crates/{} knows no tag {tag}", function.id, function.step());
        }
    }
}

#[test]
fn only_the_state_machine_the_last_word_and_events_run_functions_and_executions() {
    let runs = |actions: Vec<String>| actions.iter().any(|action| action == "lambda:InvokeFunction");
    let functions = functions();
    let running: Vec<&str> =
        functions.iter().filter(|function| runs(function.actions())).map(|function| function.id.as_str()).collect();
    assert_eq!(running, ["LastWordFunction"]);
    for (id, role) in resources("AWS::IAM::Role").into_iter().filter(|(id, _)| id != "UploadRole") {
        for statement in statements(&role) {
            assert!(
                statement.actions().iter().all(|action| action == "states:StartExecution"),
                "{id}: {:?}",
                statement.actions()
            );
        }
    }
}
