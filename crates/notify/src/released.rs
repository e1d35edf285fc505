//! What people are told of a release. Pure.

use incident::CaseId;
use incident::evidence::DenialStatus;
use incident::release::{CheckVerdict, ReleasePlan, ReleaseStatus, RestoredStatus};
use incident::text::harmless;

use crate::ReleaseEnd;
use crate::message::{Kind, Notice, about, lines};

/// The notice of a release.
pub(crate) fn notice(end: &ReleaseEnd) -> Notice {
    let plan = end.checked.as_ref().and_then(|checked| checked.plan.as_ref());
    let asked = end.request.get("caseId").and_then(serde_json::Value::as_str).and_then(|id| CaseId::parse(id).ok());
    let instance_id = asked.as_ref().map(CaseId::instance).or_else(|| plan.map(|plan| plan.target.instance_id.clone()));
    let refused = end.checked.as_ref().is_some_and(|checked| checked.verdict == CheckVerdict::Refused);
    let released = end.released.as_ref().is_some_and(|released| released.status == ReleaseStatus::Released);
    let closed = end.closed.as_ref().is_some_and(|closed| closed.as_planned);
    let mut notice = Notice {
        case_id: plan.map(|plan| plan.release_id.clone()).or(asked),
        state: state(end, refused),
        also: also(end, plan),
        as_planned: Some(released && closed && end.failure.is_none()),
        not_done: lines(&not_done(end)),
        risks: plan.map(|plan| lines(&lost(plan))).unwrap_or_default(),
        todo: todo(end, refused, plan),
        ..about(Kind::Released, &end.visit.execution, None)
    };
    notice.target.instance_id = instance_id;
    notice
}

fn state(end: &ReleaseEnd, refused: bool) -> String {
    let text = match end.released.as_ref().map(|released| released.status) {
        Some(ReleaseStatus::Released) => "The target is RELEASED: what Cordon had changed was read back as it was before.",
        Some(ReleaseStatus::PartlyReleased) => "The target is only PARTLY released.",
        Some(ReleaseStatus::NotReleased) => "The target is NOT released: it is as contained as before.",
        Some(ReleaseStatus::Superseded) => {
            "The release was STOPPED: a new finding claimed the target, and its case contains it again."
        }
        Some(ReleaseStatus::Unknown) => "It is NOT KNOWN whether the target is released: look at it.",
        None if refused => "The release was REFUSED: nothing was changed, the target is as contained as before.",
        None => "The release BROKE before it could say what it gave back: look at the target.",
    };
    text.to_owned()
}

fn also(end: &ReleaseEnd, plan: Option<&ReleasePlan>) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(plan) = plan {
        all.push(format!("It was contained by the case {}.", plan.case_id));
        all.push(format!("Reason given: {}", harmless(&plan.reason, 400)));
    }
    let denied = match end.denial.as_ref().map(|denial| denial.status) {
        Some(DenialStatus::Lifted) => Some("Its credentials are no longer denied."),
        Some(DenialStatus::NothingToDeny) | None => None,
        Some(_) => Some("Its credentials are still denied, or nobody knows."),
    };
    all.extend(denied.map(str::to_owned));
    lines(&all)
}

fn not_done(end: &ReleaseEnd) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(end.failure.iter().map(|it| format!("{} failed with {}: {}", it.state, it.error, it.cause)));
    all.extend(end.checked.iter().filter(|it| it.verdict == CheckVerdict::Refused).flat_map(|it| it.reasons.clone()));
    let items = end.released.iter().flat_map(|released| &released.items);
    let left = items.filter(|item| item.status != RestoredStatus::Restored);
    all.extend(left.map(|item| format!("{}: {}", item.restore.subject(), item.reason)));
    all.extend(end.closed.iter().flat_map(|closed| closed.reasons.clone()));
    all.dedup();
    all
}

/// What no release gives back.
fn lost(plan: &ReleasePlan) -> Vec<String> {
    plan.not_restorable.iter().map(|lost| format!("{}: {}", lost.what, lost.reason)).collect()
}

fn todo(end: &ReleaseEnd, refused: bool, plan: Option<&ReleasePlan>) -> Vec<String> {
    let mut all = Vec::new();
    let case = plan.map_or_else(|| "CASE".to_owned(), |plan| plan.case_id.to_string());
    match end.released.as_ref().map(|released| released.status) {
        Some(ReleaseStatus::Released) => {
            all.push("Rotate what the target knew, and watch it: what was on it is still on it.".to_owned());
        }
        Some(ReleaseStatus::Superseded) => all.push("Look at the new case first.".to_owned()),
        _ if refused => {
            all.push(format!("Remove the reasons, see what would be done, and ask again: cordon release {case} --dry-run"));
        }
        _ => all.push(format!("See what is left and run it again: cordon release {case} --dry-run")),
    }
    all
}
