//! What has been read of a case by now. Pure.

use std::collections::{BTreeMap, BTreeSet};

use incident::case;
use incident::context::Context;
use incident::evidence::{Capture, Containment, Denial, Lockdown, Missing, Permission, Termination};
use incident::manifest::{ClosingManifest, SealedSnapshot};
use incident::permission::Answered;
use incident::plan::Plan;
use incident::progress::Progress;
use incident::protection::Protection;
use incident::record::{ChangeResult, Phase, Record};
use incident::release::{ReleasePlan, ReleaseReport};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The names of the case's objects.
    pub(super) names: BTreeSet<String>,
    pub(super) plan: Option<Plan>,
    /// What a release gives back; absent of a case.
    pub(super) release: Option<ReleasePlan>,
    /// How the release went, once it says so.
    pub(super) report_of_release: Option<ReleaseReport>,
    /// By their names, which sort in the order in which the states were entered.
    pub(super) records: BTreeMap<String, Record>,
    pub(super) answers: BTreeMap<String, Answered>,
    /// The looks at the capture of memory that were seen, the oldest first.
    pub(super) memory: Vec<Progress>,
    /// The looks at the snapshots.
    pub(super) snapshots: Vec<Progress>,
    /// The looks at their copies.
    pub(super) copies: Vec<Progress>,
    pub(super) sealed: Option<Sealed>,
    /// What the report says, once there is one.
    pub(super) report: Told,
    pub(super) closing: Option<ClosingManifest>,
    /// How the execution ended; absent while it runs, and where nobody may say.
    pub(super) ended: Option<String>,
}

/// The evidence as it was sealed.
#[derive(Debug)]
pub(super) struct Sealed {
    /// The SHA-256 of the evidence manifest, which answers are about.
    pub(super) manifest: String,
    pub(super) told: Told,
}

/// As much of the evidence manifest and of the report as is shown. Unknown fields are those of later versions.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Told {
    pub(super) sealed_at: Option<Timestamp>,
    pub(super) complete: bool,
    pub(super) missing: Vec<Missing>,
    pub(super) containment: Option<Containment>,
    pub(super) protection: Option<Protection>,
    pub(super) denial: Option<Denial>,
    pub(super) memory: Option<Capture>,
    pub(super) lockdown: Option<Lockdown>,
    pub(super) context: Option<Context>,
    pub(super) snapshots: Vec<SealedSnapshot>,
    pub(super) permission: Option<Permission>,
    pub(super) termination: Option<Termination>,
}

impl Facts {
    /// Whether the case is closed for good: signed, and nothing may follow.
    pub(super) fn closed(&self) -> bool {
        self.closing.is_some() && (self.ended.is_some() || self.names.contains(case::CLOSING_SIGNATURE))
    }

    /// Whether nothing can follow but the closing.
    pub(super) fn over(&self) -> bool {
        self.closing.is_some() || self.ended.is_some()
    }

    /// Whether containment is behind: what it did not say by then, it never will.
    pub(super) fn contained(&self) -> bool {
        let later = self.trail(&["MemoryCapture", "Lockdown", "ClosePath", "DenyAllCredentials", "Context"]);
        !later.0.is_empty() || !self.memory.is_empty() || !self.snapshots.is_empty() || self.preserved()
    }

    /// Whether the long waits are behind.
    pub(super) fn preserved(&self) -> bool {
        self.names.contains(case::EVIDENCE_MANIFEST) || self.over()
    }

    /// What a document that is made from all records says: the report, else the evidence manifest.
    pub(super) fn told<'a, T>(&'a self, field: impl Fn(&'a Told) -> Option<&'a T>) -> Option<&'a T> {
        field(&self.report).or_else(|| self.sealed.as_ref().and_then(|sealed| field(&sealed.told)))
    }

    /// The records of some states.
    pub(super) fn trail(&self, states: &[&str]) -> Trail<'_> {
        Trail(self.records.values().filter(|record| states.contains(&record.visit.state.as_str())).collect())
    }
}

/// The records of a stage, in order.
pub(super) struct Trail<'a>(pub(super) Vec<&'a Record>);

impl<'a> Trail<'a> {
    /// When the first of its states was entered.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.0.first().map(|record| record.visit.entered)
    }

    fn outcomes(&self) -> impl DoubleEndedIterator<Item = &'a Record> {
        self.0.iter().copied().filter(|record| record.phase == Phase::Outcome)
    }

    /// The newest outcome.
    pub(super) fn outcome(&self) -> Option<&'a Record> {
        self.outcomes().next_back()
    }

    /// The newest outcome whose note has this field, and the field.
    pub(super) fn noted(&self, field: &str) -> Option<(&'a Record, &'a Value)> {
        self.outcomes().rev().find_map(|record| Some((record, record.note.get(field)?)))
    }

    /// What was said of the changes that failed, in the newest visit.
    pub(super) fn failures(&self) -> Vec<&'a str> {
        let Some(last) = self.outcome() else { return Vec::new() };
        let changes = self.outcomes().filter(|record| record.visit == last.visit).flat_map(|record| &record.changes);
        let failed = changes.filter_map(|change| match &change.result {
            Some(ChangeResult::Failed { message, .. }) => Some(message.as_str()),
            _ => None,
        });
        failed.collect()
    }
}
