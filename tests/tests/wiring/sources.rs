//! What the crates' code names: variables, AWS actions and tags.

use std::collections::BTreeSet;
use std::path::Path;

use journeys::cloud::root;

/// The crates that are no steps.
const NO_STEPS: [&str; 4] = ["incident", "handler", "collector", "cordon"];

/// Every step: the crates that become functions.
pub(crate) fn steps() -> BTreeSet<String> {
    let folders = std::fs::read_dir(root().join("crates")).into_iter().flatten().flatten();
    folders.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !NO_STEPS.contains(&name.as_str())).collect()
}

/// The code of a crate that ships, all files in one.
pub(crate) fn code(step: &str) -> String {
    let mut all = String::new();
    gather(&root().join("crates").join(step).join("src"), &mut all);
    all
}

fn gather(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            all.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default());
        }
    }
}

/// The environment variables that a step must have, and those that it may have.
pub(crate) fn variables(step: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let code = code(step);
    let mut required = after(&code, "env::required(\"");
    if code.contains("Store::from_env(") {
        required.insert("EVIDENCE_BUCKET".to_owned());
    }
    (required, after(&code, "env::optional(\""))
}

/// The texts that stand between `mark` and the next quotation mark.
fn after(code: &str, mark: &str) -> BTreeSet<String> {
    code.split(mark).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// The AWS actions that a step's code names, as IAM names them.
pub(crate) fn actions(step: &str) -> BTreeSet<String> {
    let code = code(step);
    let quoted = code.split('"').filter(|text| {
        let Some((service, action)) = text.split_once(':') else { return false };
        let services = [
            "ec2",
            "s3",
            "ssm",
            "states",
            "kms",
            "lambda",
            "sns",
            "sqs",
            "sts",
            "iam",
            "autoscaling",
            "elasticloadbalancing",
            "cloudtrail",
            "guardduty",
            "route53resolver",
        ];
        services.contains(&service)
            && action.starts_with(|c: char| c.is_ascii_uppercase())
            && action.chars().all(char::is_alphanumeric)
            // A condition key of a policy that the code writes.
            && !action.ends_with("ARN")
            // Everybody may ask STS who they are.
            && action != "GetCallerIdentity"
    });
    // Calls whose right has another name.
    let right = |call: &str| match call {
        "s3:CreateMultipartUpload" | "s3:CompleteMultipartUpload" | "s3:UploadPart" => "s3:PutObject".to_owned(),
        "s3:ListParts" => "s3:ListMultipartUploadParts".to_owned(),
        "s3:HeadObject" => "s3:GetObject".to_owned(),
        other => other.to_owned(),
    };
    let mut actions: BTreeSet<String> = quoted.map(right).collect();
    // The case file's calls are made by `handler`, for whoever uses it.
    let store = [
        // Whoever writes records reads what is there already; whoever only says how far it is does not.
        (".case(", "s3:GetObject"),
        ("store.get(", "s3:GetObject"),
        ("Store", "s3:PutObject"),
        (".delete_if(", "s3:DeleteObject"),
        (".keys(", "s3:ListBucket"),
        (".versions(", "s3:ListBucketVersions"),
        ("store.version(", "s3:GetObjectVersion"),
    ];
    actions.extend(store.iter().filter(|(mark, _)| code.contains(mark)).map(|(_, action)| (*action).to_owned()));
    actions
}
