//! From an input of any form to a [`Trigger`]: what was found, about which instances, and what triage decides by.
//!
//! INVARIANT: parsing is lenient about what we do not need and strict about what we act on: an instance id that is there
//! and malformed is an error that names the field, never a finding without instances. Everything kept is bounded, and
//! nothing here recurses into the input.

mod asff;
mod guardduty;
mod keys;
#[cfg(test)]
mod tests;
mod value;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{CaseId, ExecutionArn, InstanceId};
use crate::plan::{FindingSummary, Source};
use crate::text::bounded;
use value::{At, text};

pub use keys::access_keys;

/// The instance id that GuardDuty's sample findings carry.
pub const SAMPLE_INSTANCE: &str = "i-99999999";

/// What set triage off.
#[expect(clippy::struct_excessive_bools, reason = "four facts, each independent of the others")]
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// What was found.
    pub summary: FindingSummary,
    /// The instances it is about, each once, in the order of the finding.
    pub instances: Vec<InstanceId>,
    /// The resource type as the detector wrote it; empty where unknown.
    pub resource_type: String,
    /// A sample finding: never acts.
    pub sample: bool,
    /// An archived finding: never acts, also where a person clicked.
    pub archived: bool,
    /// The event's source is not AWS.
    pub drill: bool,
    /// `TARGET` or `ACTOR`; absent is not `TARGET`.
    pub role: Option<String>,
    /// `INBOUND`, `OUTBOUND` or `UNKNOWN`.
    pub direction: Option<String>,
    /// Plan only.
    pub dry_run: bool,
    /// What Security Hub says, for its findings.
    pub security_hub: Option<SecurityHub>,
}

/// What Security Hub says of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecurityHub {
    /// How many findings the event holds; the other fields are those of the first that counts.
    pub findings: usize,
    /// `ProductName`.
    pub product_name: String,
    /// `ProductArn`.
    pub product_arn: String,
    /// `RecordState`.
    pub record_state: String,
    /// `Workflow.Status`.
    pub workflow: String,
    /// `Types`: `namespace/category/classifier`.
    pub types: Vec<String>,
}

/// An input whose shape is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the input's field `{path}` {reason}")]
pub struct FindingError {
    /// Where, `detail.resource.instanceDetails.instanceId`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FindingError {
    fn new(path: impl AsRef<str>, reason: impl AsRef<str>) -> Self {
        Self { path: bounded(path.as_ref(), 200), reason: bounded(reason.as_ref(), 300) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manual {
    instance_id: InstanceId,
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

/// One instance of a finding that names several: the input of the execution that triage starts for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FanOut {
    /// The instance.
    pub instance_id: InstanceId,
    /// The input that named it, whole.
    pub event: Value,
}

/// Parses an input of any form. `execution` gives a manual request its id.
pub fn parse(input: &Value, execution: &ExecutionArn) -> Result<Trigger, FindingError> {
    let Some(object) = input.as_object() else { return Err(FindingError::new(".", "is not a JSON object")) };
    if object.contains_key("instanceId") && object.contains_key("event") {
        let fan_out: FanOut = strict(input)?;
        let only = Some(&fan_out.instance_id);
        let mut trigger = parse_event(&fan_out.event, "event.", only)?;
        if !trigger.instances.contains(&fan_out.instance_id) {
            return Err(FindingError::new("instanceId", "names an instance that `event` does not"));
        }
        trigger.instances = vec![fan_out.instance_id];
        return Ok(trigger);
    }
    if object.contains_key("instanceId") || object.contains_key("reason") {
        return parse_manual(input, execution);
    }
    parse_event(input, "", None)
}

/// The instance that an input is about, where it names one; the first of several.
pub fn target_of(input: &Value) -> Option<InstanceId> {
    if let Some(id) = input.get("instanceId").and_then(Value::as_str) {
        return InstanceId::parse(id).ok();
    }
    parse_event(input, "", None).ok()?.instances.into_iter().next()
}

/// The case that `execution` handles for `input`: the same as triage's, so that a dead run's case can be found. `None`
/// where the input names no instance, or several (each of these has an execution of its own).
pub fn case_of(input: &Value, execution: &ExecutionArn) -> Option<CaseId> {
    let trigger = parse(input, execution).ok()?;
    match trigger.instances.as_slice() {
        [only] => Some(CaseId::new(only, execution)),
        _ => None,
    }
}

/// The input of the execution for one of several instances.
pub fn fan_out(instance: &InstanceId, event: &Value) -> Value {
    json!({"instanceId": instance, "event": event})
}

fn strict<T: serde::de::DeserializeOwned>(input: &Value) -> Result<T, FindingError> {
    serde_path_to_error::deserialize(input)
        .map_err(|error| FindingError::new(error.path().to_string(), error.inner().to_string()))
}

fn parse_manual(input: &Value, execution: &ExecutionArn) -> Result<Trigger, FindingError> {
    let manual: Manual = strict(input)?;
    if manual.reason.trim().is_empty() {
        return Err(FindingError::new("reason", "is empty: say why the instance is to be contained"));
    }
    let name = execution.as_str().splitn(8, ':').nth(7).unwrap_or_default();
    Ok(Trigger {
        summary: FindingSummary {
            source: Source::Manual,
            id: bounded(name, 128),
            kind: "Manual".to_owned(),
            title: bounded(&manual.reason, 400),
            severity: 0.0,
            account: execution.account().to_owned(),
            region: execution.region().to_owned(),
            first_seen: String::new(),
            updated_at: String::new(),
        },
        sample: manual.instance_id.as_str() == SAMPLE_INSTANCE,
        instances: vec![manual.instance_id],
        resource_type: "Instance".to_owned(),
        archived: false,
        drill: false,
        role: None,
        direction: None,
        dry_run: manual.dry_run,
        security_hub: None,
    })
}

/// An event, or what it carries. `only`: the one instance of several that counts.
fn parse_event(input: &Value, prefix: &str, only: Option<&InstanceId>) -> Result<Trigger, FindingError> {
    let root = At { value: input, path: prefix.trim_end_matches('.').to_owned() };
    let (body, envelope) = match input.get("detail") {
        Some(detail) => (At { value: detail, path: format!("{prefix}detail") }, Some(input)),
        None => (root, None),
    };
    if !body.value.is_object() {
        return Err(FindingError::new(&body.path, "is not a JSON object"));
    }
    let mut trigger = if body.get("findings").is_some() || body.get("productArn").is_some() {
        let kind = envelope.map(|e| text(e, "detail-type", 128)).unwrap_or_default();
        let action = kind.contains("Custom Action") || (envelope.is_none() && body.get("actionName").is_some());
        asff::parse(&body, action, only)?
    } else if body.get("type").is_some() && (body.get("service").is_some() || body.get("resource").is_some()) {
        guardduty::parse(&body)?
    } else {
        return Err(FindingError::new(
            if body.path.is_empty() { "." } else { &body.path },
            "is neither a GuardDuty finding, nor a Security Hub finding, nor a manual request (`instanceId`, `reason`)",
        ));
    };
    if let Some(envelope) = envelope {
        let source = text(envelope, "source", 128);
        trigger.drill = !source.is_empty() && !source.starts_with("aws.");
        if trigger.summary.account.is_empty() {
            trigger.summary.account = text(envelope, "account", 64);
        }
        if trigger.summary.region.is_empty() {
            trigger.summary.region = text(envelope, "region", 64);
        }
    }
    trigger.sample |= trigger.instances.iter().any(|id| id.as_str() == SAMPLE_INSTANCE);
    Ok(trigger)
}
