//! The definition keeps the rules that the steps and the people on call rely on.

mod data;
mod flow;

use std::collections::BTreeSet;

use incident::Fault;
use serde_json::{Value, json};

use flow::{looping, reached};
use journeys::machine::{self, DEFINITIONS, definition, errors, machines, machines_of, states, tasks, text, variables};

/// What Lambda itself may fail with before or after the function has run [facts 87]. The last two are what newer runtimes say
/// of a function that ran out of time or of memory.
const LAMBDA: [&str; 8] = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
];

/// How long the Tasks that wait for a token do so: people are asked as long as the plan says, and snapshots are waited for
/// until they are looked at again, which the step that took them says.
const PATIENCE: [(&str, &str); 3] = [
    ("AskPermission", "{% $plan.disposition.waitSeconds %}"),
    ("WaitForSnapshot", "{% $freeze.pauses[$looks] %}"),
    ("WaitForCopy", "{% $copies.pauseSeconds %}"),
];

/// The most events that an execution's history holds [facts 82]; beyond, Step Functions ends it.
const MOST_EVENTS: u64 = 25_000;

fn is_our_fault(name: &str) -> bool {
    Fault::ALL.iter().any(|fault| fault.name() == name)
}

#[test]
fn the_definition_is_jsonata_from_the_top_and_has_a_time_limit() {
    for name in DEFINITIONS {
        let definition = definition(name);
        assert_eq!(text(&definition, "QueryLanguage"), "JSONata", "{name}");
        assert!(definition.get("TimeoutSeconds").is_some(), "{name}: without TimeoutSeconds a lost execution runs for a year");
        assert!(
            machines_of(name).iter().any(|machine| !machine.states.is_empty()),
            "statemachine/{name}.asl.json cannot be read"
        );
    }
}

#[test]
fn every_state_says_why_it_is_there() {
    for state in states() {
        assert!(text(&state.body, "Comment").len() > 10, "{}: add a Comment that says why", state.name);
    }
}

#[test]
fn names_say_what_kind_of_state_it_is() {
    for state in states() {
        let name = &state.name;
        assert_eq!(state.kind() == "Choice", name.ends_with('?'), "{name}: Choice states are questions, and only they");
        assert_eq!(state.kind() == "Wait", name.starts_with("Pause"), "{name}: Wait states begin with `Pause`, and only they");
    }
    let names: Vec<String> = states().into_iter().map(|state| state.name).collect();
    let unique: BTreeSet<&String> = names.iter().collect();
    assert_eq!(names.len(), unique.len(), "records and logs name states, so that two must not share a name");
}

#[test]
fn every_task_calls_lambda_with_a_time_limit_and_each_field_of_its_payload() {
    for task in tasks() {
        let name = &task.name;
        let suffix = if task.waits_for_token() { ".waitForTaskToken" } else { "" };
        assert_eq!(text(&task.body, "Resource"), format!("arn:aws:states:::lambda:invoke{suffix}"), "{name}");
        if task.waits_for_token() {
            let token = task.payload().and_then(|payload| payload.get("token")).and_then(Value::as_str);
            assert_eq!(token, Some("{% $states.context.Task.Token %}"), "{name}: nobody could wake it");
            let patience = PATIENCE.iter().find(|(state, _)| state == name).map(|(_, patience)| *patience);
            assert_eq!(Some(text(&task.body, "TimeoutSeconds")), patience, "{name}: how long it waits for its token");
        } else {
            assert!(task.number("TimeoutSeconds") > 0, "{name}: add TimeoutSeconds, a little above the function's own");
        }
        assert!(!task.function().is_empty(), "{name}: FunctionName must be a placeholder like ${{TriageFunctionArn}}");
        let payload = task.payload();
        assert!(payload.is_some(), "{name}: Payload must list each field, since the steps refuse unknown ones");
        let visit = json!({
            "execution": "{% $states.context.Execution.Id %}",
            "state": "{% $states.context.State.Name %}",
            "entered": "{% $states.context.State.EnteredTime %}",
            "retry": "{% $states.context.State.RetryCount %}",
        });
        assert_eq!(payload.and_then(|payload| payload.get("visit")), Some(&visit), "{name}: records are keyed by the visit");
    }
}

#[test]
fn every_task_tries_again_what_may_pass_and_nothing_else() {
    for task in tasks() {
        let name = &task.name;
        let retriers: Vec<&Value> = task.list("Retry").collect();
        let of = |error: &str| retriers.iter().find(|retrier| errors(retrier).any(|name| name == error));
        for error in LAMBDA.iter().chain(&["Transient", "States.Timeout"]) {
            let silence = task.waits_for_token() && *error == "States.Timeout";
            assert_eq!(of(error).is_some(), !silence, "{name}: add a retrier for {error}, but silence is no failure");
        }
        for error in ["Transient", "Lambda.TooManyRequestsException"] {
            let retrier = of(error).copied().cloned().unwrap_or_default();
            assert!(retrier.get("MaxDelaySeconds").is_some(), "{name}: the retrier for {error} needs MaxDelaySeconds");
            assert_eq!(text(&retrier, "JitterStrategy"), "FULL", "{name}: the retrier for {error} needs full jitter");
            assert!(retrier.get("MaxAttempts").and_then(Value::as_u64) >= Some(3), "{name}: {error} deserves three attempts");
        }
        for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::Transient) {
            assert!(of(fault.name()).is_none(), "{name}: {fault} stays what it is, however often it is tried");
        }
        for all in ["States.ALL", "States.TaskFailed"] {
            assert!(of(all).is_none(), "{name}: a retrier for {all} tries again what cannot pass");
        }
    }
}

#[test]
fn every_failure_is_caught_and_every_name_is_one_that_can_occur() {
    for state in states() {
        let name = &state.name;
        for rule in state.list("Retry").chain(state.list("Catch")) {
            for error in errors(rule) {
                let aws = error.starts_with("States.") || LAMBDA.contains(&error);
                assert!(aws || is_our_fault(error), "{name}: nothing fails with `{error}`");
            }
        }
        if matches!(state.kind(), "Task" | "Parallel") {
            for fault in Fault::ALL {
                let caught =
                    |rule: &Value| errors(rule).any(|error| [fault.name(), "States.ALL", "States.TaskFailed"].contains(&error));
                assert!(state.list("Catch").any(caught), "{name}: {fault} is not caught");
            }
            let last = state.list("Catch").last().cloned().unwrap_or_default();
            assert!(errors(&last).eq(["States.ALL"]), "{name}: the last Catch must be for States.ALL alone");
        }
    }
}

#[test]
fn what_an_error_says_is_bounded_before_it_is_handed_on() {
    for state in states() {
        for expression in machine::expressions(&state.body) {
            let causes = expression.matches("errorOutput.Cause").count();
            let tested = expression.matches("$exists($states.errorOutput.Cause)").count();
            let cut = expression.matches("$substring($states.errorOutput.Cause, 0, ").count();
            assert_eq!(causes, tested + cut, "{}: a Cause of 256 KiB breaks the state after, uncaught: {expression}", state.name);
            assert_eq!(tested, cut, "{}: Cause may be absent, and then $substring fails: {expression}", state.name);
        }
    }
}

#[test]
fn every_state_is_reached_every_next_exists_and_every_machine_ends() {
    for machine in machines() {
        let reached = reached(&machine, &machine.start, &BTreeSet::new());
        let declared: BTreeSet<String> = machine.states.keys().cloned().collect();
        assert_eq!(reached, declared, "{}: states that are named but not there, or there but not reached", machine.name);
        for state in machine.states.values() {
            let on = state.edges().iter().any(|edge| !edge.caught && !edge.silence);
            assert_ne!(state.ends(), on, "{}: no way on, or none needed", state.name);
            let ends = flow::reached(&machine, &state.name, &BTreeSet::new());
            let ends = ends.iter().any(|name| machine.states.get(name).is_some_and(machine::State::ends));
            assert!(ends, "{}: no path from here ends", state.name);
        }
        for state in machine.states.values().filter(|state| state.kind() == "Choice") {
            assert!(
                state.body.get("Default").is_some(),
                "{}: States.NoChoiceMatched cannot be caught: add a Default",
                state.name
            );
        }
    }
}

#[test]
fn expressions_read_only_what_every_path_has_assigned() {
    let machines = machines();
    let assigned = flow::assigned(&machines);
    for machine in &machines {
        for state in machine.states.values() {
            let mut own = state.body.clone();
            if let Some(own) = own.as_object_mut() {
                own.remove("Branches");
            }
            let known = assigned.get(&state.name).cloned().unwrap_or_default();
            for expression in machine::expressions(&own) {
                for variable in variables(expression) {
                    assert!(
                        known.contains(variable),
                        "{}: a path leads here that has not assigned ${variable}, and an error in a Choice cannot be caught: assign null",
                        state.name
                    );
                }
            }
        }
    }
}

#[test]
fn variables_are_told_from_functions_and_from_states() {
    let cases = [
        ("$plan.cut.decision = 'now'", vec!["plan"]),
        ("$count($freeze.snapshots) > 0", vec!["freeze"]),
        ("$states.result.Payload", vec![]),
        ("$plan != null and $containment = null", vec!["plan", "containment"]),
        ("[$closed.reasons]", vec!["closed"]),
    ];
    for (expression, expected) in cases {
        assert_eq!(variables(expression), expected, "{expression}");
    }
}

#[test]
fn every_loop_has_a_bound() {
    for machine in machines() {
        let endless = looping(&machine, &BTreeSet::new());
        if endless.is_empty() {
            continue;
        }
        // A Choice that goes round only while a counter is below a number.
        let bounding = |state: &machine::State| {
            let edges = state.edges();
            let round = edges.iter().filter(|edge| endless.contains(edge.to));
            round.map(|edge| bound(edge.condition)).collect::<Option<Vec<_>>>().and_then(|bounds| bounds.into_iter().next())
        };
        let choices: Vec<(&machine::State, (String, u64))> = machine
            .states
            .values()
            .filter(|state| state.kind() == "Choice" && endless.contains(&state.name))
            .filter_map(|state| Some((state, bounding(state)?)))
            .collect();
        let stops = choices.iter().map(|(state, _)| state.name.clone()).collect();
        let left = looping(&machine, &stops);
        assert!(
            left.is_empty(),
            "{}: nothing bounds the loop through {left:?}: add `and $counter < 100` to its Choice",
            machine.name
        );
        for (choice, (counter, most)) in choices {
            let step = format!("{{% ${counter} + 1 %}}");
            let counts = |state: &&machine::State| {
                let edges = state.edges();
                let counting = |assign: Option<&serde_json::Map<String, Value>>| {
                    assign.and_then(|assign| assign.get(&counter)).and_then(Value::as_str) == Some(&step)
                };
                let mut round = edges.iter().filter(|edge| endless.contains(edge.to)).peekable();
                round.peek().is_some() && round.all(|edge| counting(edge.assign))
            };
            let counting = machine.states.values().filter(counts).map(|state| state.name.clone()).collect();
            let uncounted = looping(&machine, &counting);
            assert!(uncounted.is_empty(), "{}: a round through {uncounted:?} does not count ${counter}", choice.name);
            let round: u64 = machine.states.values().filter(|state| endless.contains(&state.name)).map(events).sum();
            assert!(most * round < MOST_EVENTS, "{}: {most} rounds of up to {round} events overflow the history", choice.name);
        }
    }
}

/// The counter and the number of `... and $counter < 100`.
fn bound(condition: &str) -> Option<(String, u64)> {
    let inside = condition.strip_prefix("{%")?.strip_suffix("%}")?;
    if inside.contains(" or ") {
        return None;
    }
    inside.split(" and ").find_map(|part| {
        let (counter, most) = part.split_once('<')?;
        Some((counter.trim().strip_prefix('$')?.to_owned(), most.trim().parse().ok()?))
    })
}

/// The most events that one visit of a state writes: entered and exited, and three for each attempt of a Task, four where it
/// waits for a token.
fn events(state: &machine::State) -> u64 {
    let retries: u64 = state.list("Retry").filter_map(|retrier| retrier.get("MaxAttempts").and_then(Value::as_u64)).sum();
    let attempt = if state.waits_for_token() { 4 } else { 3 };
    2 + if state.kind() == "Task" { attempt * (1 + retries) } else { 0 }
}

#[test]
fn people_are_told_on_every_way_out_of_a_case() {
    let machines = machines();
    let top = machines.iter().find(|machine| machine.parent.is_none()).expect("there is a top level");
    let telling: BTreeSet<String> =
        top.states.values().filter(|state| state.function() == "Notify").map(|state| state.name.clone()).collect();
    for state in top.states.values().filter(|state| !telling.contains(&state.name)) {
        for edge in state.edges().into_iter().filter(|edge| edge.caught || edge.to == "ContainAndFreeze") {
            let silent = reached(top, edge.to, &telling);
            let ends: Vec<&String> =
                silent.iter().filter(|name| top.states.get(*name).is_some_and(machine::State::ends)).collect();
            assert!(ends.is_empty(), "{} -> {}: {ends:?} is reached without anybody being told", state.name, edge.to);
        }
    }
}

#[test]
fn what_broke_never_ends_well() {
    let machines = machines();
    let top = machines.iter().find(|machine| machine.parent.is_none()).expect("there is a top level");
    for state in top.states.values() {
        // What of the copies failed is handed on to Seal, as a branch does, and the case does not end as planned.
        let copying = ["CopySnapshot", "WaitForCopy"].contains(&state.name.as_str());
        for edge in state.edges().into_iter().filter(|edge| edge.caught && !copying) {
            let reached = reached(top, edge.to, &BTreeSet::new());
            let well = reached.iter().find(|name| top.states.get(*name).is_some_and(|state| state.kind() == "Succeed"));
            assert_eq!(well, None, "{}: after its failure the execution may succeed, and no alarm is raised", state.name);
        }
    }
}
