//! The definition as a Mermaid diagram, as README shows it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The state diagram of a definition: its states, branches as composite states, failures dotted.
pub fn mermaid(definition: &Value) -> String {
    let mut out = String::from("stateDiagram-v2\n");
    machine(&mut out, definition, 1);
    out
}

fn machine(out: &mut String, machine: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    let empty = Map::new();
    let states = machine.get("States").and_then(Value::as_object).unwrap_or(&empty);
    let start = machine.get("StartAt").and_then(Value::as_str).unwrap_or_default();
    line(out, &pad, &format!("[*] --> {}", id(start)));
    for (name, state) in states {
        if id(name) != *name {
            line(out, &pad, &format!("state \"{name}\" as {}", id(name)));
        }
        branches(out, name, state, depth);
        edges(out, &pad, name, state);
    }
}

fn branches(out: &mut String, name: &str, state: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    let Some(branches) = state.get("Branches").and_then(Value::as_array) else { return };
    line(out, &pad, &format!("state {} {{", id(name)));
    for (index, branch) in branches.iter().enumerate() {
        if index > 0 {
            line(out, &pad, "  --");
        }
        machine(out, branch, depth + 1);
    }
    line(out, &pad, "}");
}

fn edges(out: &mut String, pad: &str, name: &str, state: &Value) {
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
    let chosen = list(state, "Choices").filter_map(|choice| text(choice, "Next"));
    let ways: BTreeSet<String> = chosen.chain(["Next", "Default"].iter().filter_map(|field| text(state, field))).collect();
    for next in ways {
        line(out, pad, &format!("{} --> {}", id(name), id(&next)));
    }
    for catch in list(state, "Catch") {
        let how = if list(catch, "ErrorEquals").eq(["States.Timeout"]) { "timed out" } else { "failed" };
        if let Some(next) = text(catch, "Next") {
            line(out, pad, &format!("{} --> {}: {how}", id(name), id(&next)));
        }
    }
    let ends = state.get("End").and_then(Value::as_bool).unwrap_or_default();
    if ends || matches!(state.get("Type").and_then(Value::as_str), Some("Succeed" | "Fail")) {
        line(out, pad, &format!("{} --> [*]", id(name)));
    }
}

fn list<'a>(state: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    state.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// Mermaid's names have no question marks.
fn id(name: &str) -> String {
    name.replace('?', "Q")
}

fn line(out: &mut String, pad: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{pad}{text}");
}
