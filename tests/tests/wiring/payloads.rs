//! Every payload that the definition builds is one that the step parses, and every field it reads is there.

use std::collections::{BTreeMap, BTreeSet};

use journeys::machine::{Machine, State, expressions, machines};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const CASE: &str = "i-0123456789abcdef0-0123456789ab";
const EXECUTION: &str = "arn:aws:states:us-east-1:111122223333:execution:cordon-incident:one";
const TIME: &str = "2026-11-24T03:30:00Z";

/// Parses a payload as the step that a function runs would.
fn parses(function: &str, payload: Value) -> Result<(), String> {
    fn input<T: DeserializeOwned>(payload: Value) -> Result<(), String> {
        serde_json::from_value::<T>(payload).map(drop).map_err(|error| error.to_string())
    }
    match function {
        "Triage" => input::<triage::Input>(payload),
        "Isolate" | "CloseDoor" => input::<isolate::Input>(payload),
        "Snapshot" => input::<snapshot::Input>(payload),
        "CopySnapshot" => input::<copy_snapshot::Input>(payload),
        "WaitForSnapshot" => input::<wait_for_snapshot::Input>(payload),
        "Seal" => input::<seal::Input>(payload),
        "Notify" => input::<notify::Input>(payload),
        "Credentials" => input::<credentials::Input>(payload),
        "MemoryCapture" => input::<memory_capture::Input>(payload),
        "Permission" => input::<permission::Input>(payload),
        "Terminate" => input::<terminate::Input>(payload),
        "Protect" => input::<protect::Input>(payload),
        "Release" => input::<release::Input>(payload),
        "Context" => input::<context::Input>(payload),
        other => Err(format!("nobody has said what {other}Function parses: add it to this test")),
    }
}

/// What each variable may hold.
fn samples(variable: &str) -> Vec<Value> {
    let object = json!({"key": format!("cases/{CASE}/manifest-evidence.json"), "versionId": "1", "sha256": "ab", "size": 1});
    match variable {
        "plan" => vec![
            plan(json!({"decision": "now"}), json!({"decision": "capture", "path": null})),
            plan(
                json!({"decision": "askFirst", "reasons": ["text"]}),
                json!({"decision": "skip", "because": "noPath", "reason": "text"}),
            ),
        ],
        "triage" => vec![json!({
            "verdict": "respond", "tell": false, "reason": "text", "caseId": CASE, "plan": plan(json!({"decision": "now"}), json!({"decision": "capture", "path": null})),
            "finding": null, "owner": null, "executions": [],
        })],
        "checked" => vec![json!({"verdict": "release", "reasons": [], "plan": release()})],
        "released" => vec![json!({"status": "released", "items": [], "readBackAt": TIME, "reasons": [], "failure": null})],
        "protection" => vec![json!({
            "status": "protected", "measures": [{"measure": "stopProtection", "subject": "", "status": "held", "reason": ""}], "readBackAt": TIME,
            "reasons": [], "risks": [], "failure": null,
        })],
        "context" => vec![json!({
            "status": "partly", "failure": null, "sources": [
                {"source": "instance", "status": "taken", "object": object, "items": 1, "reason": ""},
                {"source": "userData", "status": "notTaken", "object": null, "items": 0, "reason": "text"},
            ],
        })],
        "verdict" => vec![json!("respond")],
        "tell" | "credentials" => vec![json!(true)],
        "looks" | "captureLooks" | "copyLooks" => vec![json!(0)],
        "capture" | "memory" => vec![json!({
            "status": "running", "pauseSeconds": 5, "progress": {
                "begun": TIME, "commandId": null, "wave": {"number": 1, "firstPart": 1, "lastPart": 500, "until": TIME}, "parts": 0, "bytes": 0,
                "percent": 0, "moved": TIME,
            },
            "image": null, "files": [], "reason": "", "failure": null,
        })],
        "locked" | "lockdown" => vec![json!({
            "status": "lockedDown", "interfaces": [], "metadataOff": true, "readBackAt": TIME, "reasons": [], "risks": [], "failure": null,
        })],
        "denied" | "denial" => vec![json!({
            "status": "denied", "scope": "all", "role": null, "readBackAt": TIME, "reasons": [], "risks": [], "failure": null,
        })],
        "containment" | "shut" => vec![
            json!({"status": "contained", "interfaces": [], "readBackAt": TIME, "reasons": [], "risks": [], "failure": null}),
        ],
        "freeze" => vec![
            json!({"snapshots": [], "missing": [], "failure": null}),
            json!({"snapshots": [], "missing": [], "pauses": [300, 60], "failure": null}),
        ],
        "opening" => vec![json!({"told": true, "messageId": "1"}), json!({"told": false, "reason": "text"})],
        "preserved" | "look" => vec![json!({
            "status": "completed", "percent": 100, "snapshots": [], "missing": [], "failure": null,
        })],
        "copies" => vec![json!({
            "status": "copying", "since": TIME, "pauseSeconds": 300, "copies": [{
                "snapshotId": "snap-00000002", "of": "snap-00000001", "volumeId": "vol-00000001", "begun": TIME, "state": "pending", "percent": 0, "key": null,
                "lock": {"status": "locked", "mode": "governance", "days": 365}, "sharedWith": [],
            }],
            "missing": [], "failure": null,
        })],
        "sealed" => vec![json!({"manifest": object, "complete": true, "missing": []})],
        "closed" => vec![json!({"asPlanned": true, "manifest": object, "reasons": []})],
        "permission" => vec![json!({"status": "silence", "answers": [], "failure": null})],
        "termination" => vec![json!({
            "status": "refused", "by": [], "state": "", "readBackAt": null, "refusals": [{"kind": "denied", "reason": "text"}], "reasons": [],
            "failure": null,
        })],
        "failure" => vec![json!({"state": "Isolate", "error": "Denied", "cause": "text"})],
        _ => Vec::new(),
    }
}

fn plan(cut: Value, memory: Value) -> Value {
    let mut plan = json!({
        "schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": TIME,
        "finding": {
            "source": "manual", "id": "one", "type": "Manual", "title": "text", "severity": 0.0, "account": "111122223333",
            "region": "us-east-1", "firstSeen": "", "updatedAt": "",
        },
        "target": {
            "instanceId": "i-0123456789abcdef0", "account": "111122223333", "region": "us-east-1", "state": "running",
            "interfaces": [], "volumes": [], "profile": null, "spot": false, "architecture": "x86_64", "windows": false, "memoryMib": 1024,
            "metadata": {"enabled": true, "tokensRequired": true, "hopLimit": 1},
        },
        "policy": {"from": "parameter", "name": "/cordon/policy", "version": 1}, "snapshotLock": {"mode": "governance", "days": 365}, "copies": {"shareWith": ["444455556666"], "until": TIME},
        "retention": {"mode": "governance", "until": TIME}, "disposition": {"decision": "ask", "persons": 1, "waitSeconds": 86_400, "protectedTags": []}, "deadlines": {"snapshots": TIME, "memory": TIME},
        "credentials": {"decision": "deny"}, "convertPauseSeconds": 5, "earlierCase": null, "risks": [],
    });
    if let Some(plan) = plan.as_object_mut() {
        plan.insert("cut".to_owned(), cut);
        plan.insert("memory".to_owned(), memory);
    }
    plan
}

fn release() -> Value {
    let plan = plan(json!({"decision": "now"}), json!({"decision": "capture", "path": null}));
    let of_plan = |field: &str| plan.get(field).cloned().unwrap_or_default();
    json!({
        "schema": "cordon.release.v1", "releaseId": "i-0123456789abcdef0-ba9876543210", "execution": EXECUTION, "opened": TIME, "caseId": CASE,
        "restoredFrom": CASE, "reason": "text", "target": of_plan("target"), "restore": [{"what": "terminationProtection", "to": false}],
        "notRestorable": [{"what": "text", "reason": "text"}], "credentials": true, "retention": of_plan("retention"),
    })
}

/// What an expression of a payload gives, with each variable holding what `variables` says.
fn evaluated(value: &Value, variables: &BTreeMap<String, Value>) -> Value {
    let Value::String(text) = value else {
        return match value {
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), evaluated(value, variables))).collect(),
            plain => plain.clone(),
        };
    };
    let Some(expression) = text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}")).map(str::trim) else {
        return value.clone();
    };
    match expression {
        "$states.context.Execution.Id" => json!(EXECUTION),
        "$states.context.State.Name" => json!("State"),
        "$states.context.State.EnteredTime" => json!(TIME),
        "$states.context.State.RetryCount" => json!(0),
        "$states.context.Task.Token" => json!("token"),
        "$states.context.Execution.Input" => json!({"instanceId": "i-0123456789abcdef0", "reason": "text"}),
        // A Task that takes its input does so after a Catch.
        "$states.input" => samples("failure").into_iter().next().unwrap_or_default(),
        // `$name`, or `$name.field`.
        _ => {
            let (name, field) = expression.split_once('.').unwrap_or((expression, ""));
            let held = name.strip_prefix('$').and_then(|name| variables.get(name));
            let held = if field.is_empty() { held } else { held.and_then(|held| held.get(field)) };
            held.cloned().unwrap_or_else(|| json!(expression))
        }
    }
}

/// The variables that may be null in each state: some path assigned null last, and no condition on it excluded that.
fn nullable(machines: &[Machine]) -> BTreeMap<String, BTreeSet<String>> {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut changed = true;
    while changed {
        changed = false;
        for machine in machines {
            let outer = machine.parent.as_ref().and_then(|(parent, _)| known.get(parent)).cloned().unwrap_or_default();
            let start = known.entry(machine.start.clone()).or_default();
            changed |= outer.iter().any(|name| start.insert(name.clone()));
            for state in machine.states.values() {
                for edge in state.edges() {
                    let mut nulls = known.get(&state.name).cloned().unwrap_or_default();
                    for part in edge.condition.trim_matches(['{', '%', '}', ' ']).split(" and ") {
                        if let Some(name) = part.trim().strip_prefix('$').and_then(|part| part.strip_suffix(" != null")) {
                            nulls.remove(name);
                        }
                    }
                    for (name, value) in edge.assign.into_iter().flatten() {
                        if value.is_null() {
                            nulls.insert(name.clone())
                        } else {
                            nulls.remove(name)
                        };
                    }
                    let there = known.entry(edge.to.to_owned()).or_default();
                    changed |= nulls.into_iter().any(|name| there.insert(name));
                }
            }
        }
    }
    known
}

#[test]
fn every_payload_is_what_the_step_parses() {
    let machines = machines();
    let nullable = nullable(&machines);
    let mut checked = 0;
    for task in machines.iter().flat_map(|machine| machine.states.values()).filter(|state| state.kind() == "Task") {
        let payload = task.payload().map(|payload| Value::Object(payload.clone())).unwrap_or_default();
        let read: BTreeSet<&str> = expressions(&payload).into_iter().flat_map(journeys::machine::variables).collect();
        let nulls = nullable.get(&task.name).cloned().unwrap_or_default();
        // One variable at a time: a step parses each field by itself.
        let mut usual = BTreeMap::new();
        let mut others = Vec::new();
        for variable in read {
            let mut values = samples(variable).into_iter();
            let Some(first) = values.next() else {
                panic!("{}: nobody has said what ${variable} holds: add it to this test", task.name)
            };
            usual.insert(variable.to_owned(), first);
            let null = nulls.contains(variable).then_some(Value::Null);
            others.extend(values.chain(null).map(|value| (variable.to_owned(), value)));
        }
        let changed = others.iter().map(|(variable, value)| {
            let mut world = usual.clone();
            world.insert(variable.clone(), value.clone());
            world
        });
        // And every one that may be null at once, as where a run broke at its beginning.
        let mut broken = usual.clone();
        broken.extend(others.iter().filter(|(_, value)| value.is_null()).cloned());
        let worlds: Vec<BTreeMap<String, Value>> = changed.chain([usual.clone(), broken]).collect();
        for world in worlds {
            let payload = evaluated(&payload, &world);
            assert_eq!(parses(task.function(), payload.clone()), Ok(()), "{}: {payload}", task.name);
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} payloads were looked at: does this test still read the definition?");
}

#[test]
fn a_field_too_many_too_few_or_of_another_name_is_noticed() {
    let machines = machines();
    let tasks: Vec<&State> =
        machines.iter().flat_map(|machine| machine.states.values()).filter(|state| state.kind() == "Task").collect();
    for task in tasks {
        let names = task.payload().into_iter().flat_map(|payload| expressions_of(payload.values()));
        let world = names.filter_map(|name| Some((name.clone(), samples(&name).into_iter().next()?))).collect();
        let whole = evaluated(&task.payload().map(|payload| Value::Object(payload.clone())).unwrap_or_default(), &world);
        let mut more = whole.clone();
        if let Some(more) = more.as_object_mut() {
            more.insert("extra".to_owned(), json!(1));
        }
        assert!(parses(task.function(), more).is_err(), "{}: the step takes fields that it does not know", task.name);
        let mut less = whole;
        if let Some(less) = less.as_object_mut() {
            less.remove("visit");
        }
        assert!(parses(task.function(), less).is_err(), "{}: the step does without the visit", task.name);
    }
}

fn expressions_of<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    values.flat_map(expressions).flat_map(journeys::machine::variables).map(str::to_owned).collect()
}

#[test]
fn every_field_that_an_expression_reads_is_there() {
    for state in machines().iter().flat_map(|machine| machine.states.values()) {
        let mut own = state.body.clone();
        if let Some(own) = own.as_object_mut() {
            own.remove("Branches");
        }
        for expression in expressions(&own) {
            for variable in journeys::machine::variables(expression) {
                let path = expression.split(&format!("${variable}.")).nth(1).unwrap_or_default();
                let path: String = path.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
                let pointer =
                    if path.is_empty() { String::new() } else { format!("/{}", path.trim_end_matches('.').replace('.', "/")) };
                let there = samples(variable).iter().any(|sample| sample.pointer(&pointer).is_some());
                assert!(there, "{}: ${variable} has no {path}: {expression}", state.name);
            }
        }
    }
}
