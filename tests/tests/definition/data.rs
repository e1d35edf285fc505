//! What states hand on has the type that the next step parses, and fits into the time there is.

use std::collections::BTreeMap;

use incident::context::Context;
use incident::copies::Copies;
use incident::evidence::{Capture, Containment, Denial, Freeze, Lockdown, Permission, Preserved, Termination};
use incident::policy::Policy;
use incident::protection::Protection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use journeys::machine::{Machine, State, definition, errors, machines, tasks};

/// What each variable that takes a branch's result holds, as the steps parse it. A new one belongs here.
fn check(variable: &str, value: &Value) -> Result<(), String> {
    match variable {
        "containment" => whole::<Containment>(value),
        "freeze" => whole::<Freeze>(value),
        "preserved" => whole::<Preserved>(value),
        "copies" => whole::<Copies>(value),
        "capture" => whole::<Capture>(value),
        "locked" => whole::<Lockdown>(value),
        "denial" | "denied" => whole::<Denial>(value),
        "protection" => whole::<Protection>(value),
        "context" => whole::<Context>(value),
        // Notify reads no more of it than this.
        "permission" => whole::<Permission>(value),
        "termination" => whole::<Termination>(value),
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
        Value::String(text) if text.starts_with("{% $shut.") => json!(null),
        Value::String(text)
            if ["{% [$shut.interfaces] %}", "{% [$shut.risks] %}", "{% [$copies.copies] %}"].contains(&text.as_str()) =>
        {
            json!([])
        }
        Value::String(text) if text == "{% $plan.opened %}" => json!("2026-11-24T03:30:00Z"),
        Value::String(text) if text.starts_with("{% [") => json!(["text"]),
        Value::String(text) if text.starts_with("{%") => json!("text"),
        Value::Array(list) => list.iter().map(sample).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), sample(value))).collect(),
        plain => plain.clone(),
    }
}

/// The variables that take a branch's result: one for the whole of it, under an empty name, or one for each of its fields.
fn results_of(machines: &[Machine], branch: &Machine) -> BTreeMap<String, String> {
    let Some((parent, index)) = &branch.parent else { return BTreeMap::new() };
    let state = machines.iter().find_map(|machine| machine.states.get(parent));
    let assign = state.and_then(|state| state.body.get("Assign")).and_then(Value::as_object);
    let taken = assign.into_iter().flatten().filter_map(|(name, value)| {
        let rest = value.as_str()?.strip_prefix(&format!("{{% $states.result[{index}]"))?.strip_suffix(" %}")?;
        Some((rest.trim_start_matches('.').to_owned(), name.clone()))
    });
    taken.collect()
}

#[test]
fn a_branch_that_failed_gives_the_type_of_one_that_did_not() {
    let machines = machines();
    let mut checked = 0;
    for branch in machines.iter().filter(|machine| machine.parent.is_some()) {
        let results = results_of(&machines, branch);
        assert!(!results.is_empty(), "{}: assign $states.result[n] of the branch to a variable", branch.name);
        for state in branch.states.values().filter(|state| state.kind() == "Pass") {
            let output = state.body.get("Output").filter(|output| state.ends() && output.is_object());
            if let (Some(output), Some(variable)) = (output, results.get("")) {
                checked += 1;
                let problem = check(variable, &sample(output)).err();
                assert_eq!(problem, None, "{}: its Output is not what ${variable} holds after a success", state.name);
            } else if let Some(output) = output.and_then(Value::as_object) {
                let fields: Vec<&String> = output.keys().collect();
                assert_eq!(fields.len(), results.len(), "{}: {fields:?} are handed on, {results:?} are taken", state.name);
                assert!(fields.iter().all(|field| results.contains_key(*field)), "{}: {fields:?} {results:?}", state.name);
            }
            let assigned = state.body.get("Assign").and_then(Value::as_object).into_iter().flatten();
            for (variable, value) in assigned.filter(|(_, value)| value.is_object()) {
                checked += 1;
                let problem = check(variable, &sample(value)).err();
                assert_eq!(problem, None, "{}: it is not what ${variable} holds after a success", state.name);
            }
        }
    }
    assert!(checked >= 10, "only {checked} outputs were looked at: does this test still read the definition?");
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
fn what_a_catch_says_of_the_end_is_what_the_steps_parse() {
    let mut checked = 0;
    for state in machines().iter().flat_map(|machine| machine.states.values()) {
        for rule in state.list("Catch") {
            for variable in ["permission", "termination"] {
                let assigned = rule.pointer(&format!("/Assign/{variable}")).filter(|value| value.is_object());
                if let Some(value) = assigned {
                    checked += 1;
                    assert_eq!(check(variable, &sample(value)).err(), None, "{}", state.name);
                }
            }
        }
    }
    assert_eq!(checked, 3, "silence, nobody asked, and an end that nobody knows of");
}

#[test]
fn copies_that_failed_are_what_the_steps_parse() {
    let machines = machines();
    let failed = machines.iter().find_map(|machine| machine.states.get("CopyFailed"));
    let assigned = failed.and_then(|state| state.body.pointer("/Assign/copies")).expect("CopyFailed says what $copies is then");
    assert_eq!(check("copies", &sample(assigned)).err(), None);
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
    let allowed = |hours: &u64| Policy::parse(&json!({"permission": {"waitHours": hours}}).to_string()).is_ok();
    let asked = (1..=1_000).rev().find(allowed).unwrap_or_default();
    assert!(asked > 0, "people may not be asked for any time: does this test still know the policy's form?");
    let allowed = |hours: &u64| Policy::parse(&json!({"copies": {"deadlineHours": hours}}).to_string()).is_ok();
    let copied = (1..=1_000).rev().find(allowed).unwrap_or_default();
    assert!(copied > 0, "copies may not take any time: does this test still know the policy's form?");
    let tasks: u64 = tasks().iter().map(longest).sum();
    let limit = definition("incident").get("TimeoutSeconds").and_then(Value::as_u64).unwrap_or_default();
    assert!(
        (hours + copied + asked) * 3600 + tasks <= limit,
        "{hours} h of waiting for snapshots, {copied} h for their copies, {asked} h for people, and {tasks} s of Tasks that each need every attempt exceed the definition's TimeoutSeconds of {limit}"
    );
}

/// The longest that a Task can take, in seconds: each attempt runs into its time limit, each pause is the longest. What waits
/// for its turn is refused at once.
fn longest(task: &State) -> u64 {
    let (mut attempts, mut pauses) = (1, 0);
    for retrier in task.list("Retry") {
        let number = |field: &str, default| retrier.get(field).and_then(Value::as_u64).unwrap_or(default);
        if !errors(retrier).eq(["Lambda.TooManyRequestsException"]) {
            attempts += number("MaxAttempts", 3);
        }
        pauses += number("MaxAttempts", 3) * number("MaxDelaySeconds", number("IntervalSeconds", 1));
    }
    attempts * task.number("TimeoutSeconds") + pauses
}
