//! The definition as a graph of states, read from the file that is deployed.

use std::collections::BTreeMap;

use crate::cloud::root;
use serde_json::{Map, Value};

/// The top level, or one branch of a Parallel.
#[derive(Debug)]
pub struct Machine {
    /// For messages: empty for the top level, `ContainAndFreeze[0]` for a branch.
    pub name: String,
    /// The state that it starts at.
    pub start: String,
    /// Its states, by name.
    pub states: BTreeMap<String, State>,
    /// The Parallel that this is a branch of, and which one.
    pub parent: Option<(String, usize)>,
}

/// One state.
#[derive(Debug)]
pub struct State {
    /// Its name.
    pub name: String,
    /// It, as it stands in the file.
    pub body: Value,
}

/// One way from a state to another, with what it assigns.
#[derive(Debug)]
pub struct Edge<'a> {
    /// Where it leads.
    pub to: &'a str,
    /// What is assigned on the way.
    pub assign: Option<&'a Map<String, Value>>,
    /// Whether it is taken because the state failed.
    pub caught: bool,
    /// Whether it is taken because nobody sent the state's token back in time, which is no failure.
    pub silence: bool,
    /// The condition of a Choice's rule.
    pub condition: &'a str,
}

/// The definitions in `statemachine/`: the life of an incident first, then the release of its target.
pub const DEFINITIONS: [&str; 2] = ["incident", "release"];

/// The file as it is: `statemachine/NAME.asl.json`.
pub fn definition(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join(format!("statemachine/{name}.asl.json"))).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The top level of each definition and every branch, outermost first.
pub fn machines() -> Vec<Machine> {
    DEFINITIONS.into_iter().flat_map(machines_of).collect()
}

/// The top level of a definition and every branch of it, outermost first.
pub fn machines_of(name: &str) -> Vec<Machine> {
    let mut machines = vec![machine(&definition(name), name.to_owned(), None)];
    let mut next = 0;
    while let Some(outer) = machines.get(next) {
        let inner: Vec<Machine> = outer
            .states
            .values()
            .flat_map(|state| {
                state
                    .list("Branches")
                    .enumerate()
                    .map(|(index, branch)| machine(branch, format!("{}[{index}]", state.name), Some((state.name.clone(), index))))
            })
            .collect();
        machines.extend(inner);
        next += 1;
    }
    machines
}

fn machine(body: &Value, name: String, parent: Option<(String, usize)>) -> Machine {
    let states = body.get("States").and_then(Value::as_object).into_iter().flatten();
    let states = states.map(|(name, body)| (name.clone(), State { name: name.clone(), body: body.clone() })).collect();
    Machine { name, start: text(body, "StartAt").to_owned(), states, parent }
}

/// Every state, of the top level and of all branches.
pub fn states() -> Vec<State> {
    machines().into_iter().flat_map(|machine| machine.states.into_values()).collect()
}

/// Every Task.
pub fn tasks() -> Vec<State> {
    states().into_iter().filter(|state| state.kind() == "Task").collect()
}

impl State {
    /// Its `Type`.
    pub fn kind(&self) -> &str {
        text(&self.body, "Type")
    }

    /// A number in it; 0 where there is none.
    pub fn number(&self, field: &str) -> u64 {
        self.body.get(field).and_then(Value::as_u64).unwrap_or_default()
    }

    /// A list in it; empty where there is none.
    pub fn list(&self, field: &str) -> impl Iterator<Item = &Value> {
        self.body.get(field).and_then(Value::as_array).into_iter().flatten()
    }

    /// A Task's Payload, where it is an object.
    pub fn payload(&self) -> Option<&Map<String, Value>> {
        self.body.pointer("/Arguments/Payload").and_then(Value::as_object)
    }

    /// Whether a Task waits until somebody sends its token back, or its time is over.
    pub fn waits_for_token(&self) -> bool {
        text(&self.body, "Resource").ends_with(".waitForTaskToken")
    }

    /// The function that a Task calls, as the placeholder names it: `Isolate` of `${IsolateFunctionArn}`.
    pub fn function(&self) -> &str {
        let name = self.body.pointer("/Arguments/FunctionName").and_then(Value::as_str).unwrap_or_default();
        name.strip_prefix("${").and_then(|name| name.strip_suffix("FunctionArn}")).unwrap_or_default()
    }

    /// Whether the state ends its machine.
    pub fn ends(&self) -> bool {
        matches!(self.kind(), "Succeed" | "Fail") || self.body.get("End") == Some(&Value::Bool(true))
    }

    /// Every way out of the state.
    pub fn edges(&self) -> Vec<Edge<'_>> {
        let mut edges = Vec::new();
        for field in ["Next", "Default"] {
            if let Some(to) = self.body.get(field).and_then(Value::as_str) {
                edges.push(Edge { to, assign: assign(&self.body), caught: false, silence: false, condition: "" });
            }
        }
        for (field, caught) in [("Choices", false), ("Catch", true)] {
            for rule in self.list(field) {
                let silence = self.waits_for_token() && errors(rule).eq(["States.Timeout"]);
                let (to, condition) = (text(rule, "Next"), text(rule, "Condition"));
                edges.push(Edge { to, assign: assign(rule), caught: caught && !silence, silence, condition });
            }
        }
        edges
    }
}

fn assign(value: &Value) -> Option<&Map<String, Value>> {
    value.get("Assign").and_then(Value::as_object)
}

/// A text in `value`; empty where there is none.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The names of errors in a retrier or catcher.
pub fn errors(rule: &Value) -> impl Iterator<Item = &str> {
    rule.get("ErrorEquals").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Every `JSONata` expression in `value`, without its braces.
pub fn expressions(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => {
            text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}")).map(str::trim).into_iter().collect()
        }
        Value::Array(list) => list.iter().flat_map(expressions).collect(),
        Value::Object(map) => map.values().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// The variables that an expression reads: neither `$states` nor functions.
pub fn variables(expression: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, after) in expression.split('$').enumerate() {
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        if index > 0 && !name.is_empty() && name != "states" && !rest.trim_start().starts_with('(') {
            found.push(name);
        }
    }
    found
}
