//! The five ways in which a step may fail: the only names that the state machine acts on.

use serde::{Deserialize, Serialize};

/// What the state machine may do about a failure.
///
/// `ErrorEquals` matches whole names and knows no prefixes, so the name is a class to act on, not a detail;
/// the detail is in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// Throttled, a 5xx, a timeout, a lost connection: the same call may go through later.
    Transient,
    /// AWS says that we may not: a person must act.
    Denied,
    /// What the step works on is gone.
    Missing,
    /// The payload or the configuration is wrong: trying again cannot help.
    Invalid,
    /// A rule of our own says no.
    Refused,
}

impl Fault {
    /// Every fault, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Transient, Self::Denied, Self::Missing, Self::Invalid, Self::Refused];

    /// The name as it stands in `ErrorEquals`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "Transient",
            Self::Denied => "Denied",
            Self::Missing => "Missing",
            Self::Invalid => "Invalid",
            Self::Refused => "Refused",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Says which fault an error is. Every step's `Error` implements it; nothing else maps errors to `ErrorEquals` names.
pub trait Classify {
    /// The fault that the state machine sees.
    fn fault(&self) -> Fault;
}
