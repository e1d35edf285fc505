//! What AWS knows about the target: the sources, how each ended, and the form of the documents below `context/`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::{Failure, ObjectRef};
use crate::ids::CaseId;
use crate::manifest::Trust;
use crate::text::bounded;

/// The folder in a case.
pub const FOLDER: &str = "context/";

/// One thing that is asked. Each is asked by itself, so that no other's failure costs it. A closed list: each has its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The instance as EC2 describes it.
    Instance,
    /// Its volumes.
    Volumes,
    /// Its interfaces.
    Interfaces,
    /// The security groups that it wore when triage looked, with their rules.
    SecurityGroups,
    /// The image that it was launched from.
    Image,
    /// The tags of the instance, its volumes and its interfaces.
    Tags,
    /// What it was given to run at its launch.
    UserData,
    /// What it printed on its serial console.
    ConsoleOutput,
    /// What its screen showed.
    ConsoleScreenshot,
    /// Calls about the instance.
    CloudTrailTarget,
    /// Calls by the role sessions of the instance.
    CloudTrailSessions,
    /// Calls with the access keys that the finding names.
    CloudTrailAccessKeys,
    /// The call that started the execution, where a person did.
    CloudTrailStart,
    /// What else GuardDuty has found about the target.
    GuardDutyFindings,
    /// Where the flow logs of its network go.
    FlowLogs,
    /// Where the DNS query logs of its VPCs go.
    DnsQueryLogs,
}

impl Source {
    /// Every source, in the order in which people read them.
    pub const ALL: [Self; 16] = [
        Self::Instance,
        Self::Volumes,
        Self::Interfaces,
        Self::SecurityGroups,
        Self::Image,
        Self::Tags,
        Self::UserData,
        Self::ConsoleOutput,
        Self::ConsoleScreenshot,
        Self::CloudTrailTarget,
        Self::CloudTrailSessions,
        Self::CloudTrailAccessKeys,
        Self::CloudTrailStart,
        Self::GuardDutyFindings,
        Self::FlowLogs,
        Self::DnsQueryLogs,
    ];

    /// The name of its object in the case file. What is the target's own has no ending that a program would open by itself.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Instance => "context/instance.json",
            Self::Volumes => "context/volumes.json",
            Self::Interfaces => "context/interfaces.json",
            Self::SecurityGroups => "context/security-groups.json",
            Self::Image => "context/image.json",
            Self::Tags => "context/tags.json",
            Self::UserData => "context/user-data.bin",
            Self::ConsoleOutput => "context/console-output.txt",
            Self::ConsoleScreenshot => "context/console-screenshot.jpg",
            Self::CloudTrailTarget => "context/cloudtrail-target.json",
            Self::CloudTrailSessions => "context/cloudtrail-sessions.json",
            Self::CloudTrailAccessKeys => "context/cloudtrail-access-keys.json",
            Self::CloudTrailStart => "context/cloudtrail-start.json",
            Self::GuardDutyFindings => "context/guardduty-findings.json",
            Self::FlowLogs => "context/flow-logs.json",
            Self::DnsQueryLogs => "context/dns-query-logs.json",
        }
    }

    /// What it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Instance => "the instance",
            Self::Volumes => "its volumes",
            Self::Interfaces => "its interfaces",
            Self::SecurityGroups => "its security groups",
            Self::Image => "its image",
            Self::Tags => "its tags",
            Self::UserData => "its user data",
            Self::ConsoleOutput => "its console output",
            Self::ConsoleScreenshot => "its console's screenshot",
            Self::CloudTrailTarget => "calls about it",
            Self::CloudTrailSessions => "calls by its role sessions",
            Self::CloudTrailAccessKeys => "calls with the access keys of the finding",
            Self::CloudTrailStart => "the call that started the execution",
            Self::GuardDutyFindings => "other GuardDuty findings about it",
            Self::FlowLogs => "where its flow logs go",
            Self::DnsQueryLogs => "where its DNS query logs go",
        }
    }

    /// Whether it is kept as it is, and not as AWS's answers in a [`Document`].
    pub const fn is_plain(self) -> bool {
        matches!(self, Self::UserData | Self::ConsoleOutput | Self::ConsoleScreenshot)
    }

    /// Whose word it is.
    pub const fn trust(self) -> Trust {
        match self {
            Self::UserData => Trust::TargetsOwn,
            // The machine chose what it prints and shows.
            Self::ConsoleOutput | Self::ConsoleScreenshot => Trust::TargetsWord,
            Self::GuardDutyFindings => Trust::AsReceived,
            _ => Trust::Aws,
        }
    }

    /// The source whose object has this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// Whether it holds events of CloudTrail.
    pub const fn is_trail(self) -> bool {
        matches!(self, Self::CloudTrailTarget | Self::CloudTrailSessions | Self::CloudTrailAccessKeys | Self::CloudTrailStart)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// How one source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceStatus {
    /// All of it is in the case.
    Taken,
    /// As much of it as Cordon takes is in the case, and AWS has more.
    Bounded,
    /// Some of it is in the case, and the rest could not be had.
    Partly,
    /// AWS was asked, and there is none of it.
    Nothing,
    /// It could not be had.
    NotTaken,
}

impl SourceStatus {
    /// Whether it is as it should be.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Taken | Self::Bounded | Self::Nothing)
    }
}

/// One source, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outcome {
    /// The source.
    pub source: Source,
    /// How it ended.
    pub status: SourceStatus,
    /// What is kept of it, where something is.
    pub object: Option<ObjectRef>,
    /// How many things are in it: events, findings, volumes; 1 for what is kept as it is.
    pub items: u32,
    /// Why it is not all there; empty where it is. It may quote AWS.
    pub reason: String,
}

impl Outcome {
    /// A source of which nothing is kept.
    pub fn without(source: Source, status: SourceStatus, reason: &str) -> Self {
        Self { source, status, object: None, items: 0, reason: bounded(reason, 300) }
    }
}

/// How the whole of it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContextStatus {
    /// Every source is as it should be.
    Collected,
    /// Some sources are, some are not.
    Partly,
    /// No source is.
    NotCollected,
    /// Nobody knows: the step broke. What is there stands below `context/`.
    Unknown,
}

/// What Context did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Context {
    /// The verdict.
    pub status: ContextStatus,
    /// Each source.
    pub sources: Vec<Outcome>,
    /// The failure that ended the step, where one did.
    pub failure: Option<Failure>,
}

impl Context {
    /// The verdict over sources that were asked.
    pub fn of(mut sources: Vec<Outcome>) -> Self {
        sources.sort_by_key(|outcome| outcome.source);
        let good = sources.iter().filter(|outcome| outcome.status.is_good()).count();
        let some = sources.iter().any(|outcome| outcome.object.is_some());
        let status = match (good == sources.len(), good > 0 || some) {
            (true, _) => ContextStatus::Collected,
            (false, true) => ContextStatus::Partly,
            (false, false) => ContextStatus::NotCollected,
        };
        Self { status, sources, failure: None }
    }

    /// The sources that are not as they should be.
    pub fn wanting(&self) -> impl Iterator<Item = &Outcome> {
        self.sources.iter().filter(|outcome| !outcome.status.is_good())
    }
}

/// AWS's answers to one question, as they are kept. Text of findings, tags, calls and names in it is hostile: whoever shows it
/// must escape it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// `cordon.context.v1`.
    pub schema: String,
    /// The case.
    pub case_id: CaseId,
    /// The source.
    pub source: Source,
    /// How it ended.
    pub status: SourceStatus,
    /// Why it is not all there; empty where it is.
    pub reason: String,
    /// What the reader must know of it; empty where there is nothing to know.
    pub note: String,
    /// When the last answer came.
    pub taken_at: Timestamp,
    /// How many things are in it.
    pub items: u32,
    /// What was asked, call by call.
    pub calls: Vec<Call>,
}

impl Document {
    /// The schema's name.
    pub const SCHEMA: &'static str = "cordon.context.v1";
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// The API action: `ec2:DescribeVolumes`.
    pub action: String,
    /// What was asked for: the parameters that say so, without the tokens of pages.
    pub asked: Value,
    /// The answer with everything that AWS said in it. What came as XML has the names of its elements, its values are text, and
    /// an element without content is null.
    pub answer: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_source_is_in_the_list_and_has_an_object_of_its_own() {
        let names: BTreeSet<&str> = Source::ALL.iter().map(|source| source.name()).collect();
        assert_eq!(names.len(), Source::ALL.len());
        for source in Source::ALL {
            assert_eq!(Source::of(source.name()), Some(source));
            assert!(source.name().starts_with(FOLDER));
            assert_eq!(source.is_plain(), source.name().strip_suffix(".json").is_none());
        }
        let last = Source::ALL.iter().max().copied();
        assert_eq!(last, Some(Source::DnsQueryLogs), "a new source stands in ALL");
        assert!(Source::ALL.is_sorted(), "outcomes are sorted as people read them");
    }

    #[test]
    fn the_verdict_is_that_of_the_sources() {
        use SourceStatus::{Bounded, NotTaken, Nothing, Partly, Taken};
        let verdict = |statuses: &[SourceStatus]| {
            let outcome = |(source, status): (Source, &SourceStatus)| Outcome::without(source, *status, "why");
            Context::of(Source::ALL.into_iter().zip(statuses).map(outcome).collect()).status
        };
        for (statuses, expected) in [
            (&[Taken, Bounded, Nothing][..], ContextStatus::Collected),
            (&[Taken, NotTaken], ContextStatus::Partly),
            (&[Taken, Partly], ContextStatus::Partly),
            (&[NotTaken, NotTaken], ContextStatus::NotCollected),
        ] {
            assert_eq!(verdict(statuses), expected, "{statuses:?}");
        }
    }
}
