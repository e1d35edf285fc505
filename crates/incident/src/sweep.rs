//! What an operator asks about containment outside of any case: groups made beforehand, and what is not as it should be.

use serde::{Deserialize, Serialize};

use crate::ids::{GroupId, VpcId};

/// The groups of one VPC after `prepare`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreparedVpc {
    /// The VPC.
    pub vpc: VpcId,
    /// Its isolation group; absent where it could not be had.
    pub isolation: Option<GroupId>,
    /// Its conversion group; absent where it could not be had.
    pub conversion: Option<GroupId>,
    /// Whether anything had to be made or set right.
    pub changed: bool,
    /// Why a group is missing or not as it must be; empty where all is well.
    #[serde(default)]
    pub reason: String,
}

/// What `prepare` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prepared {
    /// Each VPC of the Region, or each that was named.
    pub vpcs: Vec<PreparedVpc>,
}

/// What kind of thing is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProblemKind {
    /// An interface sits in a conversion group that lets something pass: it is open to everybody.
    InConversionGroup,
    /// An interface sits in a conversion group that was closed in an emergency: nothing passes, but it must be moved by hand.
    StuckInterface,
    /// A group of ours has rules that it must not have.
    EditedGroup,
    /// A collection group is worn by an interface although no case of its instance is open.
    PathLeftOpen,
    /// A claim whose execution no longer runs: new findings take it over, but nobody closed its case.
    DeadClaim,
    /// A VPC without a group pair: the first incident in it takes two round trips more.
    Unprepared,
    /// Something could not be looked at.
    Unread,
}

impl ProblemKind {
    /// Whether it is about something open or undone; the others only cost time.
    pub const fn is_urgent(self) -> bool {
        !matches!(self, Self::Unprepared)
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// What it concerns: an id or a key.
    pub subject: String,
    /// What it means and what to run, in one or two sentences.
    pub advice: String,
}

/// What the sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Swept {
    /// How many VPCs were looked at.
    pub vpcs: usize,
    /// How many of our groups.
    pub groups: usize,
    /// How many interfaces in them.
    pub interfaces: usize,
    /// What is not as it should be, the urgent first.
    pub problems: Vec<Problem>,
}
