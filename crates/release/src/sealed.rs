//! Whether a closed case is what was sealed, and what a release needs of it. Pure.
//!
//! The listing of the case must be exactly what its signed closing manifest says: every object once, with the version and the
//! size that were sealed, and nothing else. What the release uses must have the SHA-256 that was sealed as well. Large objects,
//! the memory image among them, are compared by version and size alone: a version never changes, and a release does not use
//! them. `cordon verify` hashes everything.

use std::collections::BTreeMap;

use handler::Versions;
use handler::case_file::Version;
use incident::before::Before;
use incident::manifest::{ClosingManifest, Item};
use incident::plan::Plan;
use incident::protection::{BeforeBalancers, BeforeProtections};
use incident::record::{Change, Phase, Record};
use incident::text::bounded;
use incident::{CaseId, case};
use serde::de::DeserializeOwned;

/// A closed case whose signature holds, as far as a release needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The case.
    pub id: CaseId,
    /// What was decided.
    pub plan: Plan,
    /// The target as triage saw it.
    pub before: Before,
    /// Its protections before they were set; absent where none was.
    pub protections: Option<BeforeProtections>,
    /// Its registrations before they were ended; absent where none was.
    pub balancers: Option<BeforeBalancers>,
    /// Every change that was announced, in order.
    pub changes: Vec<Change>,
}

/// An object that was read by its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A closing manifest, as it is in the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What it says.
    pub document: ClosingManifest,
    /// Whether the signature beside it holds.
    pub signature: Result<(), String>,
}

/// Everything that was read of a case. An `Err` says why something could not be read, and is never overlooked.
#[derive(Debug, Clone, PartialEq)]
pub struct Filed {
    /// The case.
    pub case: CaseId,
    /// What is in it, by full key.
    pub keys: BTreeMap<String, Versions>,
    /// Its closing manifest; absent where there is none.
    pub manifest: Option<Result<Manifest, String>>,
    /// The objects that a release uses, by their names in the case.
    pub objects: BTreeMap<String, Result<Read, String>>,
}

/// How many problems of one case are told.
const MOST_PROBLEMS: usize = 10;

/// The objects that a release uses, where a case has them.
pub fn is_used(name: &str) -> bool {
    const WHOLE: [&str; 4] = [case::PLAN, case::BEFORE, case::BEFORE_PROTECTIONS, case::BEFORE_BALANCERS];
    WHOLE.contains(&name) || name.starts_with(case::RECORDS)
}

/// The case, or each thing that there is against it.
pub fn open(filed: &Filed) -> Result<Case, Vec<String>> {
    let id = &filed.case;
    if filed.keys.is_empty() {
        return Err(vec![format!("there is no case {id} in the bucket: see `cordon list`")]);
    }
    let manifest = match &filed.manifest {
        None => return Err(vec![format!("case {id} is still open, it is not closed yet: wait until it is")]),
        Some(Err(reason)) => return Err(vec![unverified(id, reason)]),
        Some(Ok(manifest)) => manifest,
    };
    if filed.keys.contains_key(&case::key(id, case::RELEASE)) {
        return Err(vec![format!("{id} is a release and no case: name the case that it released")]);
    }
    let mut problems = signed(id, manifest);
    problems.extend(exact(filed, &manifest.document));
    let (contents, unread) = contents(filed, &manifest.document);
    problems.extend(unread);
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    problems.truncate(MOST_PROBLEMS);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    match contents {
        Some(contents) if problems.is_empty() => Ok(contents),
        _ => Err(problems.iter().map(|problem| unverified(id, problem)).collect()),
    }
}

fn unverified(id: &CaseId, problem: &str) -> String {
    format!("the case file does not verify: run `cordon verify {id}` ({})", bounded(problem, 250))
}

/// Whether the manifest is this case's, and signed by our key.
fn signed(id: &CaseId, manifest: &Manifest) -> Vec<String> {
    let document = &manifest.document;
    let mut problems = Vec::new();
    problems.extend(manifest.signature.clone().err());
    // The case's id is made of the execution, so that one cannot stand for the other.
    let same = document.case_id == *id && CaseId::new(&id.instance(), &document.execution) == *id;
    if document.schema != ClosingManifest::SCHEMA || !same {
        problems.push("its closing manifest is not the one of this case and execution".to_owned());
    }
    problems
}

/// Whether the listing is exactly what the manifest says.
fn exact(filed: &Filed, document: &ClosingManifest) -> Vec<String> {
    let mut problems = Vec::new();
    let mut listed: BTreeMap<&str, &Item> = BTreeMap::new();
    for item in &document.items {
        if listed.insert(&item.object.key, item).is_some() {
            problems.push(format!("`{}` is listed twice", item.object.key));
        }
    }
    for (key, item) in &listed {
        let object = &item.object;
        let sealed = |it: &Version| it.version_id == object.version_id && it.size == object.size;
        if !filed.keys.get(*key).and_then(Versions::only).is_some_and(sealed) {
            problems.push(format!("`{key}` is not there once, as it was sealed"));
        }
    }
    let own = [case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE].map(|name| case::key(&filed.case, name));
    for (key, versions) in &filed.keys {
        if own.contains(key) {
            if versions.only().is_none() {
                problems.push(format!("`{key}` was written twice or deleted"));
            }
        } else if !listed.contains_key(key.as_str()) {
            problems.push(format!("`{key}` was added after the case was closed"));
        }
    }
    problems
}

/// What the release needs of the case, each object with the SHA-256 that was sealed.
fn contents(filed: &Filed, document: &ClosingManifest) -> (Option<Case>, Vec<String>) {
    let mut problems = Vec::new();
    let id = &filed.case;
    let plan: Option<Plan> = object(filed, document, case::PLAN, &mut problems);
    let before: Option<Before> = object(filed, document, case::BEFORE, &mut problems);
    let protections = object(filed, document, case::BEFORE_PROTECTIONS, &mut problems);
    let balancers = object(filed, document, case::BEFORE_BALANCERS, &mut problems);
    for (name, missing) in [(case::PLAN, plan.is_none()), (case::BEFORE, before.is_none())] {
        if missing && !filed.objects.contains_key(name) {
            problems.push(format!("it has no {name}, so that nobody knows what to give back"));
        }
    }
    let mut changes = Vec::new();
    // By name, which is the order in which the states were entered.
    for name in filed.objects.keys().filter(|name| name.starts_with(case::RECORDS)) {
        if let Some(record) = object::<Record>(filed, document, name, &mut problems) {
            changes.extend(announced(record));
        }
    }
    let (Some(plan), Some(before)) = (plan, before) else { return (None, problems) };
    let of_case = |other: &CaseId| other == id;
    let protections_fit = protections.as_ref().is_none_or(|it: &BeforeProtections| of_case(&it.case_id));
    let balancers_fit = balancers.as_ref().is_none_or(|it: &BeforeBalancers| of_case(&it.case_id));
    let fit = of_case(&plan.case_id) && of_case(&before.case_id) && protections_fit && balancers_fit;
    if !fit || plan.target.instance_id != id.instance() || before.target.instance_id != id.instance() {
        problems.push("what it holds is of another case or target".to_owned());
    }
    (Some(Case { id: id.clone(), plan, before, protections, balancers, changes }), problems)
}

/// An object as JSON, if the case has it and it is what was sealed.
fn object<T: DeserializeOwned>(filed: &Filed, document: &ClosingManifest, name: &str, problems: &mut Vec<String>) -> Option<T> {
    let key = case::key(&filed.case, name);
    let read = match filed.objects.get(name)? {
        Ok(read) => read,
        Err(reason) => {
            problems.push(format!("`{name}` could not be read: {reason}"));
            return None;
        }
    };
    if !document.items.iter().any(|item| item.object.key == key && item.object.sha256 == read.sha256) {
        problems.push(format!("`{name}` does not have the SHA-256 that was sealed"));
        return None;
    }
    let parsed = serde_json::from_slice(&read.bytes);
    parsed.map_err(|error| problems.push(format!("`{name}` cannot be read: {error}"))).ok()
}

/// What a record says was about to be changed: an intent, or a change that had to be made before anything could be written.
fn announced(record: Record) -> Vec<Change> {
    if record.phase == Phase::Intent {
        return record.changes;
    }
    let unsaid = record.note.get("changedWithoutIntent").cloned().unwrap_or_default();
    serde_json::from_value(unsaid).unwrap_or_default()
}
