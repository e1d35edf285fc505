//! The template, with CloudFormation's short forms spelled out, and what its functions may do.

use journeys::cloud::root;
use serde_json::{Map, Value, json};

/// One function of the template.
#[derive(Debug)]
pub(crate) struct Function {
    /// `IsolateFunction`.
    pub(crate) id: String,
    pub(crate) properties: Value,
}

/// One statement of a policy.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: String,
    pub(crate) body: Value,
}

/// The whole template, as JSON.
pub(crate) fn template() -> Value {
    let text = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap_or_default();
    serde_norway::from_str(&text).map(spelled_out).unwrap_or_default()
}

/// `!Ref x` as `{"Ref": "x"}`, `!Sub x` as `{"Fn::Sub": "x"}`.
fn spelled_out(yaml: serde_norway::Value) -> Value {
    use serde_norway::Value as Yaml;
    match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = tag.trim_start_matches('!');
            let name = if name == "Ref" { name.to_owned() } else { format!("Fn::{name}") };
            json!({ name: spelled_out(tagged.value) })
        }
        Yaml::Sequence(list) => list.into_iter().map(spelled_out).collect(),
        Yaml::Mapping(map) => {
            map.into_iter().map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), spelled_out(value))).collect()
        }
        plain => serde_json::to_value(plain).unwrap_or_default(),
    }
}

/// Every resource of a type, by its logical id.
pub(crate) fn resources(kind: &str) -> Vec<(String, Value)> {
    let template = template();
    let all = template.get("Resources").and_then(Value::as_object).cloned().unwrap_or_default();
    all.into_iter().filter(|(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(kind)).collect()
}

/// Every function.
pub(crate) fn functions() -> Vec<Function> {
    let functions = resources("AWS::Serverless::Function").into_iter();
    functions.map(|(id, resource)| Function { id, properties: resource.get("Properties").cloned().unwrap_or_default() }).collect()
}

impl Function {
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.properties.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The crate that it is built from.
    pub(crate) fn step(&self) -> &str {
        self.text("/CodeUri").strip_prefix("../crates/").unwrap_or_default()
    }

    /// Its time limit, in seconds.
    pub(crate) fn timeout(&self) -> u64 {
        self.properties.get("Timeout").and_then(Value::as_u64).unwrap_or_default()
    }

    pub(crate) fn environment(&self) -> Map<String, Value> {
        self.properties.pointer("/Environment/Variables").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    pub(crate) fn statements(&self) -> Vec<Statement> {
        statements(&self.properties)
    }

    /// Every action that it may take.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.statements().iter().flat_map(Statement::actions).collect()
    }
}

/// Every statement in `value`, at any depth, that allows something to whoever it is attached to.
pub(crate) fn statements(value: &Value) -> Vec<Statement> {
    match value {
        Value::Array(list) => list.iter().flat_map(statements).collect(),
        Value::Object(map) if map.contains_key("Effect") => {
            let allows = map.get("Effect").and_then(Value::as_str) == Some("Allow") && !map.contains_key("Principal");
            let sid = map.get("Sid").and_then(Value::as_str).unwrap_or_default().to_owned();
            if allows { vec![Statement { sid, body: value.clone() }] } else { Vec::new() }
        }
        Value::Object(map) => map.values().flat_map(statements).collect(),
        _ => Vec::new(),
    }
}

impl Statement {
    pub(crate) fn actions(&self) -> Vec<String> {
        texts(self.body.get("Action").unwrap_or(&Value::Null))
    }

    /// Every text in its resources: patterns of ARNs and names of resources.
    pub(crate) fn resources(&self) -> Vec<String> {
        texts(self.body.get("Resource").unwrap_or(&Value::Null))
    }

    /// Every tag that its conditions name.
    pub(crate) fn tags(&self) -> Vec<String> {
        let conditions = self.body.get("Condition").and_then(Value::as_object).into_iter().flat_map(Map::values);
        let keys = conditions.filter_map(Value::as_object).flatten();
        keys.flat_map(|(key, value)| match key.split_once('/') {
            Some(("aws:RequestTag" | "aws:ResourceTag", tag)) => vec![tag.to_owned()],
            // `Null` only says whether there is one.
            _ if key == "aws:TagKeys" => texts(value).into_iter().filter(|text| text != "false").collect(),
            _ => Vec::new(),
        })
        .collect()
    }
}

/// Every text in `value`.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
