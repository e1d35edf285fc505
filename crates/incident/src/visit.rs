//! One visit of the state machine to one state.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::ExecutionArn;

/// Where in which execution a step runs. Everything that a step needs to know of time comes from here: it is the same
/// on every retry, so that a retry decides the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Visit {
    /// The execution, `$states.context.Execution.Id`.
    pub execution: ExecutionArn,
    /// The state's name, `$states.context.State.Name`.
    pub state: String,
    /// When the state was entered, `$states.context.State.EnteredTime`: the step's *now*.
    pub entered: Timestamp,
    /// How often the state has been tried before, `$states.context.State.RetryCount`.
    pub retry: u32,
}

impl Visit {
    /// The entry time as it stands in keys: `20261124T033000.120Z`. Fixed width, so that keys sort by time, and without
    /// colons, so that a case can be kept in any file system.
    pub fn stamp(&self) -> String {
        stamp(self.entered)
    }
}

/// A time as it stands in keys, in UTC with milliseconds: `20261124T033000.120Z`.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_a_fixed_width_and_sort_by_time() {
        let times = ["2026-11-24T03:30:00Z", "2026-11-24T03:30:00.12Z", "2026-11-24T03:30:00.1234Z", "2026-12-01T00:00:00Z"];
        let stamps: Vec<String> = times.iter().map(|t| stamp(t.parse().unwrap())).collect();
        assert_eq!(stamps, ["20261124T033000.000Z", "20261124T033000.120Z", "20261124T033000.123Z", "20261201T000000.000Z"]);
    }
}
