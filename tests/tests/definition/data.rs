//! What states hand on has the type that the next step parses, and fits into the time there is.

use incident::evidence::{Containment, Freeze, Preserved};
use incident::policy::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use journeys::machine::{Machine, State, definition, machines, tasks};

/// What each variable that takes a branch's result holds, as the steps parse it. A new one belongs here.
fn check(variable: &str, value: &Value) -> Result<(), String> {
    match variable {
        "containment" => whole::<Containment>(value),
        "freeze" => whole::<Freeze>(value),
        "preserved" => whole::<Preserved>(value),
        // Notify reads no more of it than this.
        "opening" => {
            if value.get("told") == Some(&json!(false)) {
                Ok(())
            } else {
                Err("it must say `\"told\": false`".to_owned())
            }
        }
        _ => Err(format!("nobody has said what type ${variable} has: add it to this test")),
    }
}

/// Whether `value` is a `T` with each field in place.
fn whole<T: DeserializeOwned + Serialize>(value: &Value) -> Result<(), String> {
    let parsed: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&parsed).map_err(|error| error.to_string())?;
    if again == *value { Ok(()) } else { Err(format!("fields are absent: it should be {again}")) }
}

/// An Output with each expression replaced by a value of the form that it gives.
fn sample(output: &Value) -> Value {
    match output {
        Value::String(text) if text.starts_with("{% $states.input %}") => json!({"state": "S", "error": "E", "cause": "C"}),
        Value::String(text) if text.starts_with("{% [") => json!(["text"]),
        Value::String(text) if text.starts_with("{%") => json!("text"),
        Value::Array(list) => list.iter().map(sample).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), sample(value))).collect(),
        plain => plain.clone(),
    }
}

/// The variable that takes a branch's result.
fn result_of(machines: &[Machine], branch: &Machine) -> Option<String> {
    let (parent, index) = branch.parent.as_ref()?;
    let state = machines.iter().find_map(|machine| machine.states.get(parent))?;
    let expression = format!("{{% $states.result[{index}] %}}");
    let assign = state.body.get("Assign")?.as_object()?;
    assign.iter().find(|(_, value)| value.as_str() == Some(&expression)).map(|(name, _)| name.clone())
}

#[test]
fn a_branch_that_failed_gives_the_type_of_one_that_did_not() {
    let machines = machines();
    let mut checked = 0;
    for branch in machines.iter().filter(|machine| machine.parent.is_some()) {
        let variable = result_of(&machines, branch);
        let variable =
            variable.unwrap_or_else(|| panic!("{}: assign $states.result[n] of the branch to a variable", branch.name));
        for state in branch.states.values().filter(|state| state.ends() && state.kind() == "Pass") {
            let output = state.body.get("Output").cloned().unwrap_or_default();
            if !output.is_object() {
                continue;
            }
            checked += 1;
            let problem = check(&variable, &sample(&output)).err();
            assert_eq!(problem, None, "{}: its Output is not what ${variable} holds after a success", state.name);
        }
    }
    assert!(checked >= 5, "only {checked} outputs were looked at: does this test still read the definition?");
}

#[test]
fn a_failure_inside_a_branch_stays_inside() {
    for branch in machines().iter().filter(|machine| machine.parent.is_some()) {
        for state in branch.states.values() {
            assert!(state.kind() != "Fail", "{}: it would stop the other branches", state.name);
            for rule in state.list("Catch") {
                let output: Vec<&String> =
                    rule.get("Output").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()).collect();
                let mut sorted = output.clone();
                sorted.sort();
                assert_eq!(sorted, ["cause", "error", "state"], "{}: its Catch must hand on a whole failure", state.name);
            }
        }
    }
}

#[test]
fn every_failure_is_assigned_whole() {
    for state in machines().iter().flat_map(|machine| machine.states.values()) {
        for rule in state.list("Catch") {
            if let Some(failure) = rule.pointer("/Assign/failure") {
                let problem = whole::<incident::evidence::Failure>(&sample(failure)).err();
                assert_eq!(problem, None, "{}", state.name);
            }
        }
    }
}

#[test]
fn the_longest_incident_fits_into_the_time_limit() {
    // The longest deadline that a policy may set for the snapshots; the look that ends the wait comes right after it.
    let allowed = |hours: &u64| Policy::parse(&json!({"snapshots": {"deadlineHours": hours}}).to_string()).is_ok();
    let hours = (1..=1_000).rev().find(allowed).unwrap_or_default();
    assert!(hours > 0, "no deadline is allowed: does this test still know the policy's form?");
    let tasks: u64 = tasks().iter().map(longest).sum();
    let limit = definition().get("TimeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
    assert!(
        hours * 3600 + tasks <= limit,
        "{hours} h of waiting and {tasks} s of Tasks that each need every attempt exceed the definition's TimeoutSeconds of {limit}"
    );
}

/// The longest that a Task can take, in seconds: each attempt runs into its time limit, each pause is the longest.
fn longest(task: &State) -> u64 {
    let (mut attempts, mut pauses) = (1, 0);
    for retrier in task.list("Retry") {
        let number = |field: &str, default| retrier.get(field).and_then(Value::as_u64).unwrap_or(default);
        attempts += number("MaxAttempts", 3);
        pauses += number("MaxAttempts", 3) * number("MaxDelaySeconds", number("IntervalSeconds", 1));
    }
    attempts * task.number("TimeoutSeconds") + pauses
}
