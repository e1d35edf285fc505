//! The SSM document: whether it is the one that this function was built for. Pure.
//!
//! INVARIANT: the document is compared by meaning (`CloudFormation` may write it anew), but all of it: it has one step, that
//! step runs our script and nothing else, and there is one parameter.

use serde_json::{Map, Value};

use crate::Deployment;

/// The script, as the template has it.
const SCRIPT: &str = include_str!("document.sh");

/// The script as it stands in the document once the template was deployed with these collectors and arguments.
pub fn script(deployment: &Deployment) -> String {
    SCRIPT
        .replace("${CollectorSha256X86}", &deployment.collector_x86)
        .replace("${CollectorSha256Arm64}", &deployment.collector_arm64)
        .replace("${CollectorArguments}", &deployment.arguments)
}

/// What is wrong with a document; `None` where it is ours.
pub fn problem(content: &str, deployment: &Deployment) -> Option<&'static str> {
    let Ok(document) = serde_json::from_str::<Value>(content) else { return Some("it cannot be parsed") };
    let parameters = document.pointer("/parameters").and_then(Value::as_object);
    if document.pointer("/schemaVersion") != Some(&Value::from("2.2")) {
        return Some("its schema is not 2.2");
    }
    if parameters.is_none_or(|parameters| parameters.len() != 1 || !parameters.contains_key("PlanUrl")) {
        return Some("its parameters are others");
    }
    let Some([step]) = document.pointer("/mainSteps").and_then(Value::as_array).map(Vec::as_slice) else {
        return Some("it does not have one step");
    };
    let Some(inputs) = step.pointer("/inputs").and_then(Value::as_object) else { return Some("its step has no inputs") };
    if step.pointer("/action") != Some(&Value::from("aws:runShellScript")) || !only(inputs, &["runCommand", "timeoutSeconds"]) {
        return Some("its step does something else");
    }
    let lines = inputs.get("runCommand").and_then(Value::as_array).into_iter().flatten().map(Value::as_str);
    let Some(lines) = lines.collect::<Option<Vec<&str>>>() else { return Some("its script is not text") };
    (lines.join("\n").trim_end() != script(deployment).trim_end()).then_some("its script is another")
}

fn only(inputs: &Map<String, Value>, names: &[&str]) -> bool {
    inputs.keys().all(|name| names.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Deployment {
        Deployment {
            role: "arn:aws:iam::111122223333:role/upload".to_owned(),
            document: "cordon-capture".to_owned(),
            collector_x86: "ab".repeat(32),
            collector_arm64: String::new(),
            arguments: "--root .".to_owned(),
            key: None,
        }
    }

    fn document(run_command: &Value) -> Value {
        json!({
            "schemaVersion": "2.2",
            "description": "anything",
            "parameters": {"PlanUrl": {"type": "String"}},
            "mainSteps": [{
                "action": "aws:runShellScript",
                "name": "capture",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {"timeoutSeconds": "43200", "runCommand": run_command},
            }],
        })
    }

    #[test]
    fn our_document_is_known_however_it_is_written() {
        let deployment = deployment();
        let script = script(&deployment);
        let lines: Vec<&str> = script.lines().collect();
        for run in [json!([script]), json!([script.trim_end()]), json!(lines), json!([format!("{script}\n\n")])] {
            for content in [document(&run).to_string(), serde_json::to_string_pretty(&document(&run)).unwrap()] {
                assert_eq!(problem(&content, &deployment), None);
            }
        }
    }

    #[test]
    fn the_script_has_the_hash_and_the_arguments_and_nothing_left_to_fill_in() {
        let script = script(&deployment());
        assert!(script.contains(&format!("x86_64) digest='{}' ;;", "ab".repeat(32))), "{script}");
        assert!(
            script.contains("aarch64) digest='' ;;") && script.trim_end().ends_with("--plan \"$dir/plan\" --root ."),
            "{script}"
        );
        assert!(!script.contains("${"), "{script}");
        assert_eq!(script.matches("{{ ").count(), 1, "only PlanUrl is a parameter: {script}");
    }

    #[test]
    fn no_other_document_is_ours() {
        let deployment = deployment();
        let ours = || document(&json!([script(&deployment)]));
        let changed = |path: &str, value: Value| {
            let mut document = ours();
            *document.pointer_mut(path).unwrap() = value;
            document.to_string()
        };
        let mut twice = ours();
        let step = twice["mainSteps"][0].clone();
        twice["mainSteps"].as_array_mut().unwrap().push(step);
        let mut folder = ours();
        folder["mainSteps"][0]["inputs"]["workingDirectory"] = json!("/tmp");
        let mut parameter = ours();
        parameter["parameters"]["More"] = json!({"type": "String"});
        for content in [
            String::new(),
            "{}".to_owned(),
            "schemaVersion: '2.2'".to_owned(),
            changed("/schemaVersion", json!("0.3")),
            changed("/mainSteps/0/action", json!("aws:runPowerShellScript")),
            changed("/mainSteps/0/inputs/runCommand", json!(["id"])),
            changed("/mainSteps/0/inputs/runCommand", json!([script(&deployment), "id"])),
            changed("/mainSteps/0/inputs/runCommand", json!([script(&deployment), 7])),
            changed("/mainSteps/0/inputs/runCommand", json!(script(&deployment))),
            changed("/mainSteps/0/inputs", json!({})),
            changed("/mainSteps", json!([])),
            changed("/parameters", json!({"Other": {}})),
            twice.to_string(),
            folder.to_string(),
            parameter.to_string(),
        ] {
            assert!(problem(&content, &deployment).is_some(), "{content}");
        }
        let newer = Deployment { collector_x86: "cd".repeat(32), ..deployment.clone() };
        assert_eq!(problem(&ours().to_string(), &newer), Some("its script is another"));
    }
}
