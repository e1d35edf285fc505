//! A release for a person to read.
//!
//! INVARIANT: every text that is not ours is bounded and made harmless here.

use incident::evidence::Denial;
use incident::release::{Checked, ReleasePlan, ReleaseStatus, Released, RestoredStatus};
use incident::text::harmless;
use serde::Serialize;
use serde_json::Value;

use super::end::End;
use crate::output::{coloured, say};
use crate::words;

/// Prints what came of a release.
pub(super) fn print(end: &End) {
    if let Some(checked) = &end.checked {
        would(checked);
        say("dry run: nothing was written or changed");
        return;
    }
    came(end.released.as_ref(), end.denial.as_ref(), end.plan.as_ref());
    if let Some(id) = end.release_id.as_ref().filter(|_| end.released.is_some()) {
        say(&format!("on record: cordon verify {id}"));
    }
    if end.as_asked {
        say(&coloured(words::release(ReleaseStatus::Released), true));
    }
}

/// Why it did not go as it was asked for: for standard error, one line each.
pub(super) fn complaints(end: &End) -> Vec<String> {
    let what = match (&end.released, end.error.as_str()) {
        _ if end.as_asked => return Vec::new(),
        _ if end.checked.is_some() => "it would be refused",
        (None, "Refused") => "refused, and nothing was changed",
        // All of the target was given back, and something else was not: its credentials, or the file's end.
        (Some(released), _) if released.status == ReleaseStatus::Released => "released, but not all of it went as asked for",
        (Some(released), _) => words::release(released.status),
        (None, _) => words::release(ReleaseStatus::Unknown),
    };
    let mut all: Vec<String> = end.reasons.iter().map(|reason| format!("cordon: {what}: {}", harmless(reason, 2_000))).collect();
    if end.checked.is_none() {
        all.push(format!("cordon: what is left to do: cordon release {} --dry-run", end.case_id));
    }
    all
}

/// What was given back, how it was read back, and what was not.
pub(super) fn came(released: Option<&Released>, denial: Option<&Denial>, plan: Option<&ReleasePlan>) {
    if let Some(released) = released {
        items(released);
    }
    if let Some(denial) = denial {
        say(&format!("credentials: {}", words::denial(denial)));
        for reason in &denial.reasons {
            say(&format!("  - {}", harmless(reason, 400)));
        }
    }
    if let Some(plan) = plan {
        lost(plan);
    }
}

fn items(released: &Released) {
    for item in &released.items {
        let (mark, good) = match item.status {
            RestoredStatus::Restored => ("given back", true),
            RestoredStatus::NotRestored => ("NOT GIVEN BACK", false),
            RestoredStatus::Unknown => ("UNKNOWN", false),
        };
        let why = if item.reason.is_empty() { String::new() } else { format!(" ({})", harmless(&item.reason, 400)) };
        // Padded before it is coloured: a terminal does not count what colours.
        say(&format!("{}  {}{why}", coloured(&format!("{mark:<14}"), good), subject(&item.restore.subject(), &item.restore)));
    }
    if released.items.is_empty() {
        say("nothing of the instance was left to give back");
    }
    for reason in &released.reasons {
        say(&format!("  - {}", harmless(reason, 400)));
    }
    match released.read_back_at {
        Some(at) => say(&format!("read back at {at}")),
        None => say(&coloured("NOT read back", false)),
    }
}

/// What a release would do.
fn would(checked: &Checked) {
    let Some(plan) = &checked.plan else { return };
    say(&format!("a release of {} would give back, as it was before {}:", plan.target.instance_id, plan.restored_from));
    for restore in &plan.restore {
        say(&format!("  {}", subject(&restore.subject(), restore)));
    }
    if plan.restore.is_empty() {
        say("  nothing of the instance: it stands as it did before");
    }
    if plan.credentials {
        say("  the role's sessions, where they are denied");
    }
    lost(plan);
}

/// A thing to give back, with its value.
fn subject(subject: &str, restore: &impl Serialize) -> String {
    let subject = harmless(subject, 300);
    let fields = serde_json::to_value(restore).unwrap_or_default();
    match fields.get("to") {
        Some(Value::Null) | None => subject,
        Some(to) => format!("{subject}: {}", harmless(&to.to_string(), 300)),
    }
}

fn lost(plan: &ReleasePlan) {
    for lost in &plan.not_restorable {
        say(&format!("not given back: {}: {}", harmless(&lost.what, 200), harmless(&lost.reason, 400)));
    }
}
