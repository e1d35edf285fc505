//! Definition, template and crates name the same things.

mod iam;
mod payloads;
mod sources;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use incident::policy::Policy;
use journeys::cloud::root;
use journeys::machine::{DEFINITIONS, expressions, machines_of, states, tasks, text};
use serde_json::{Value, json};

use template::{functions, resources, template, texts};

/// States whose names are not those of their crates, with the crate and the mode; a step with one state needs no line.
const MODES: [(&str, &str, &str); 24] = [
    ("Convert", "isolate", "convert"),
    ("Isolate", "isolate", "contain"),
    ("Lockdown", "isolate", "lockdown"),
    ("ClosePath", "isolate", "close-door"),
    ("DenyCredentials", "credentials", "first"),
    ("DenyAllCredentials", "credentials", "all"),
    ("CloseDoor", "isolate", "close-door"),
    ("CloseDoorAfterFailure", "isolate", "close-door"),
    ("Seal", "seal", "evidence"),
    ("Close", "seal", "close"),
    ("CloseFailed", "seal", "close"),
    ("RecordFailure", "seal", "failure"),
    ("AskPermission", "permission", "ask"),
    ("NotifyVerdict", "notify", "verdict"),
    ("NotifyOpened", "notify", "opened"),
    ("NotifyClosed", "notify", "closed"),
    ("NotifyFailed", "notify", "failed"),
    ("Snapshot", "snapshot", ""),
    ("WaitForCopy", "wait-for-snapshot", ""),
    ("Check", "release", "check"),
    ("AllowCredentials", "credentials", "lift"),
    ("Restore", "release", "restore"),
    ("SealRelease", "seal", "release"),
    ("NotifyReleased", "notify", "released"),
];

/// The states that only close. They have a function of their own, that can open nothing and waits for no turn.
const CLOSING: [&str; 4] = ["CloseDoor", "ClosePath", "CloseDoorAfterFailure", "Lockdown"];

/// The functions that run a step under another name, and why: the last word has rights that Seal must not have, and what
/// closes must not have those of what opens.
const OTHERS: [&str; 2] = ["last-word", "close-door"];

/// `wait-for-snapshot` as `WaitForSnapshot`.
fn pascal(step: &str) -> String {
    let upper = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    step.split('-').map(upper).collect()
}

#[test]
fn every_state_calls_the_function_of_its_step() {
    let modes: BTreeMap<&str, (&str, &str)> = MODES.iter().map(|(state, step, mode)| (*state, (*step, *mode))).collect();
    for task in tasks() {
        let by_name = sources::steps().into_iter().find(|step| pascal(step) == task.name);
        let (step, mode) = match (modes.get(task.name.as_str()), &by_name) {
            (Some((step, mode)), _) => (*step, *mode),
            (None, Some(step)) => (step.as_str(), ""),
            (None, None) => panic!("{}: a state is named after its crate, or stands in MODES of this test", task.name),
        };
        let function = if CLOSING.contains(&task.name.as_str()) { "CloseDoor".to_owned() } else { pascal(step) };
        assert_eq!(task.function(), function, "{}: it must call the function of crates/{step}", task.name);
        let given = task.payload().and_then(|payload| payload.get("mode")).and_then(Value::as_str).unwrap_or_default();
        assert_eq!(given, mode, "{}: the mode of its payload", task.name);
    }
    let known: BTreeSet<String> = states().into_iter().map(|state| state.name).collect();
    for (state, _, _) in MODES {
        assert!(known.contains(state), "{state} stands in MODES of this test, but not in the definition");
    }
}

#[test]
fn every_step_has_a_function_and_is_named_after_it() {
    let functions = functions();
    let built: BTreeSet<String> = functions.iter().map(|function| function.step().to_owned()).collect();
    assert_eq!(built, sources::steps(), "crates on the right, CodeUri on the left");
    for function in &functions {
        let id = &function.id;
        let name = function.text("/Environment/Variables/AWS_SDK_UA_APP_ID");
        assert_eq!(*id, format!("{}Function", pascal(name)), "AWS_SDK_UA_APP_ID names the caller in CloudTrail");
        assert_eq!(function.text("/FunctionName"), format!("cordon-{name}"), "{id}");
        assert!(name == function.step() || OTHERS.contains(&name), "{id}: it runs crates/{}", function.step());
        let manifest =
            std::fs::read_to_string(root().join("crates").join(function.step()).join("Cargo.toml")).unwrap_or_default();
        let binary = format!("[[bin]]\nname = \"{}\"", function.step());
        assert!(manifest.contains(&binary), "{id}: crates/{} makes no binary of that name", function.step());
    }
}

#[test]
fn every_placeholder_of_the_definition_is_the_version_of_its_function() {
    for name in DEFINITIONS {
        placeholders(name);
    }
}

/// The machine `cordon-NAME` of the template.
fn machine_of(name: &str) -> Value {
    let machines = resources("AWS::Serverless::StateMachine").into_iter().map(|(_, machine)| machine);
    let named = |machine: &Value| machine.pointer("/Properties/Name") == Some(&json!(format!("cordon-{name}")));
    // Null where the template has none: what is looked for in it then says so.
    machines.into_iter().find(named).unwrap_or_default()
}

fn placeholders(name: &str) {
    let machine = machine_of(name);
    assert_eq!(machine.pointer("/Properties/DefinitionUri"), Some(&json!(format!("../statemachine/{name}.asl.json"))));
    let given = machine.pointer("/Properties/DefinitionSubstitutions").and_then(Value::as_object).cloned().unwrap_or_default();
    let states = machines_of(name).into_iter().flat_map(|machine| machine.states.into_values());
    let tasks = states.filter(|state| state.kind() == "Task");
    let used: BTreeSet<String> = tasks.map(|task| format!("{}FunctionArn", task.function())).collect();
    assert_eq!(
        given.keys().cloned().collect::<BTreeSet<_>>(),
        used,
        "DefinitionSubstitutions on the left, placeholders on the right"
    );
    for (placeholder, value) in &given {
        let function = placeholder.strip_suffix("Arn").unwrap_or_default();
        assert_eq!(
            *value,
            json!({"Ref": format!("{function}.Version")}),
            "{placeholder}: a version never changes under a running case"
        );
        let invoked = texts(machine.pointer("/Properties/Policies").unwrap_or_default());
        assert!(invoked.contains(&format!("${{{function}.Arn}}:*")), "the state machine's role may not run {function}");
    }
    let text = std::fs::read_to_string(root().join(format!("statemachine/{name}.asl.json"))).unwrap_or_default();
    let named: BTreeSet<&str> = text.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    assert_eq!(
        named,
        used.iter().map(String::as_str).collect(),
        "placeholders outside FunctionName are not substituted by anything"
    );
}

#[test]
fn the_machine_has_the_name_that_functions_know_it_by() {
    let names = DEFINITIONS.map(|name| machine_of(name).pointer("/Properties/Name").and_then(Value::as_str).map(str::to_owned));
    for function in functions() {
        for resource in function.statements().iter().flat_map(template::Statement::resources) {
            let ours = |name: &String| {
                resource.ends_with(&format!(":execution:{name}:*")) || resource.ends_with(&format!(":stateMachine:{name}"))
            };
            let fits = !resource.contains(":states:") || names.iter().flatten().any(ours);
            assert!(fits, "{}: {resource} is none of {names:?}", function.id);
        }
    }
}

#[test]
fn every_variable_that_is_read_is_set_and_every_one_that_is_set_is_read() {
    let functions = functions();
    for function in &functions {
        let (required, optional) = sources::variables(function.step());
        let set: BTreeSet<String> = function.environment().keys().cloned().collect();
        for name in &required {
            assert!(
                set.contains(name),
                "{}: crates/{} needs {name}: set it in infra/template.yaml",
                function.id,
                function.step()
            );
        }
        for name in set.iter().filter(|name| *name != "AWS_SDK_UA_APP_ID") {
            let read = required.contains(name) || optional.contains(name);
            assert!(read, "{}: crates/{} never reads {name}: remove it from infra/template.yaml", function.id, function.step());
        }
        for name in &optional {
            let same = functions.iter().filter(|other| other.step() == function.step());
            let somewhere = same.into_iter().any(|other| other.environment().contains_key(name));
            assert!(
                somewhere,
                "crates/{} may read {name}, but no function of it has it: set it in infra/template.yaml",
                function.step()
            );
        }
    }
}

#[test]
fn functions_give_up_before_their_tasks_do() {
    let limits: BTreeMap<String, u64> = functions().iter().map(|function| (function.id.clone(), function.timeout())).collect();
    let limit = |name: &str| limits.get(&format!("{name}Function")).copied().unwrap_or_default();
    for task in tasks() {
        let (function, task_limit) = (limit(task.function()), task.number("TimeoutSeconds"));
        assert!(function > 0, "{}Function: set Timeout", task.function());
        // Whoever sends the token takes longer than any function.
        if task.waits_for_token() {
            continue;
        }
        assert!(function < task_limit, "{}: the function's {function} s must end within the Task's {task_limit} s", task.name);
    }
    let parts = limit("CloseDoor") + limit("Seal") + limit("Notify");
    assert!(limit("LastWord") >= parts, "the last word runs CloseDoor, seals and runs Notify: that may take {parts} s");
}

#[test]
fn the_policy_that_is_deployed_is_the_default() {
    let template = template();
    let default = |name: &str| template.pointer(&format!("/Parameters/{name}/Default")).cloned().unwrap_or_default();
    let file = std::fs::read_to_string(root().join("infra/policy.default.json")).unwrap_or_default();
    let file = Policy::parse(&file).expect("infra/policy.default.json can be read");
    let deployed = Policy::parse(default("Policy").as_str().unwrap_or_default());
    assert_eq!(deployed, Ok(file.clone()), "the template's parameter Policy and infra/policy.default.json differ");
    assert_eq!(
        default("EvidenceDays"),
        json!(file.evidence.days),
        "the template's EvidenceDays and the policy's evidence.days differ"
    );
    let parameters = resources("AWS::SSM::Parameter");
    let named: BTreeSet<&str> = parameters.iter().map(|(_, parameter)| text(&parameter["Properties"], "Name")).collect();
    assert_eq!(named, BTreeSet::from(["/cordon/policy", "/cordon/deployment"]));
    let rule =
        template.pointer("/Resources/GuardDutyRule/Properties/EventPattern/detail/severity/0/numeric/1").and_then(Value::as_f64);
    assert!(
        rule.is_some_and(|rule| rule <= file.minimum_severity),
        "GuardDutyRule keeps back findings that the policy would act on"
    );
}

#[test]
fn every_event_that_cannot_be_delivered_is_kept() {
    let rules = resources("AWS::Events::Rule");
    assert!(rules.len() >= 5, "rules are missing");
    for (id, rule) in rules {
        for target in rule.pointer("/Properties/Targets").and_then(Value::as_array).into_iter().flatten() {
            assert!(target.get("DeadLetterConfig").is_some() && target.get("RetryPolicy").is_some(), "{id}: add both");
        }
    }
    let machine = json!([{"Ref": "IncidentMachine"}, {"Ref": "ReleaseMachine"}]);
    let ends = template().pointer("/Resources/LastWordRule/Properties/EventPattern/detail").cloned().unwrap_or_default();
    assert_eq!(ends, json!({"status": ["FAILED", "TIMED_OUT", "ABORTED"], "stateMachineArn": machine}));
}

#[test]
fn every_function_logs_to_a_group_with_a_retention() {
    let groups: BTreeMap<String, Value> = resources("AWS::Logs::LogGroup").into_iter().collect();
    for function in functions() {
        let group = function.text("/LoggingConfig/LogGroup/Ref");
        let properties = groups.get(group).map(|group| group["Properties"].clone()).unwrap_or_default();
        assert_eq!(
            text(&properties, "LogGroupName"),
            format!("/aws/lambda/{}", function.text("/FunctionName")),
            "{}",
            function.id
        );
        assert!(properties.get("RetentionInDays").is_some(), "{group}: set RetentionInDays");
    }
}

#[test]
fn the_document_runs_the_script_that_the_function_was_built_for() {
    let document = resources("AWS::SSM::Document").into_iter().next().map(|(_, document)| document).unwrap_or_default();
    let steps = document.pointer("/Properties/Content/mainSteps").and_then(Value::as_array).cloned().unwrap_or_default();
    assert_eq!(steps.len(), 1, "the function takes no document with another step");
    let lines = steps.first().and_then(|step| step.pointer("/inputs/runCommand/0/Fn::Sub")).and_then(Value::as_str);
    let script = std::fs::read_to_string(root().join("crates/memory-capture/src/document.sh")).unwrap_or_default();
    assert!(!script.is_empty(), "crates/memory-capture/src/document.sh cannot be read");
    assert_eq!(
        lines.map(str::trim_end),
        Some(script.trim_end()),
        "the script in infra/template.yaml and crates/memory-capture/src/document.sh differ: copy the one that is right"
    );
}

#[test]
fn what_keeps_the_evidence_outlives_the_stack() {
    let kept = ["AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::KMS::Key"].into_iter().flat_map(resources);
    for (id, resource) in kept {
        assert_eq!(text(&resource, "DeletionPolicy"), "Retain", "{id}");
        assert_eq!(text(&resource, "UpdateReplacePolicy"), "Retain", "{id}");
    }
    let keys = resources("AWS::KMS::Key");
    for (id, key) in keys {
        let policy = key.pointer("/Properties/KeyPolicy/Statement").and_then(Value::as_array).cloned().unwrap_or_default();
        let denied: Vec<String> = policy
            .iter()
            .filter(|statement| text(statement, "Effect") == "Deny")
            .flat_map(|statement| texts(&statement["Action"]))
            .collect();
        assert!(denied.iter().any(|action| action == "kms:ScheduleKeyDeletion"), "{id}: deny its deletion");
    }
}

#[test]
fn the_drawing_board_is_read() {
    // Guards the other tests: an unreadable file would make most of them pass.
    assert!(functions().len() >= 7 && tasks().len() >= 12 && sources::steps().len() >= 6);
    assert!(states().iter().any(|state| !expressions(&state.body).is_empty()));
}
