//! Looking into JSON whose keys may be camelCase or PascalCase, keeping the path.

use serde_json::Value;

use super::FindingError;
use crate::ids::InstanceId;
use crate::text::bounded;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
}

impl<'a> At<'a> {
    /// The field `name` (given in camelCase) in either case; null and absent are the same.
    pub(super) fn get(&self, name: &str) -> Option<At<'a>> {
        let pascal = pascal(name);
        [name, pascal.as_str()].into_iter().find_map(|key| {
            let value = self.value.get(key).filter(|v| !v.is_null())?;
            let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            Some(At { value, path })
        })
    }

    /// The field at the end of `names`.
    pub(super) fn find(&self, names: &[&str]) -> Option<At<'a>> {
        names.iter().try_fold(self.clone(), |at, name| at.get(name))
    }

    /// The text at the end of `names`, bounded; empty where there is none.
    pub(super) fn text(&self, names: &[&str], limit: usize) -> String {
        self.find(names).and_then(|at| at.as_text(limit)).unwrap_or_default()
    }

    /// The text, where it is one and says something.
    pub(super) fn as_text(&self, limit: usize) -> Option<String> {
        self.value.as_str().filter(|s| !s.is_empty() && *s != "None").map(|s| bounded(s, limit))
    }

    /// Whether the value says true, as a boolean or as text.
    pub(super) fn is_true(&self) -> bool {
        self.value.as_bool().unwrap_or_else(|| self.value.as_str().is_some_and(|s| s.eq_ignore_ascii_case("true")))
    }

    /// The elements of an array, at most `limit` of them, each with its path.
    pub(super) fn items(&self, limit: usize) -> impl Iterator<Item = At<'a>> {
        let path = self.path.clone();
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().take(limit).enumerate().map(move |(n, value)| At { value, path: format!("{path}[{n}]") })
    }

    /// The instance id that stands here, alone or at the end of an ARN.
    pub(super) fn instance(&self) -> Result<InstanceId, FindingError> {
        let Some(id) = self.value.as_str() else { return Err(FindingError::new(&self.path, "is not a string")) };
        let id = id.rsplit_once("instance/").map_or(id, |(_, id)| id);
        InstanceId::parse(id).map_err(|error| FindingError::new(&self.path, error.to_string()))
    }

    /// A number, also where it is written as text.
    pub(super) fn number(&self) -> Option<f64> {
        let number = self.value.as_f64().or_else(|| self.value.as_str()?.trim().parse().ok())?;
        number.is_finite().then_some(number)
    }
}

/// The text under a key as it stands; empty where there is none.
pub(super) fn text(value: &Value, key: &str, limit: usize) -> String {
    value.get(key).and_then(Value::as_str).map(|s| bounded(s, limit)).unwrap_or_default()
}

/// The `{"sample":true}` that GuardDuty hides in a string.
pub(super) fn says_sample(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.get("sample").is_some_and(|s| s == &Value::Bool(true)))
}

fn pascal(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
