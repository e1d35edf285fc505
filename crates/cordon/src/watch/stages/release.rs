//! A release: it has a file of its own beside the cases', and stages of its own.

use incident::evidence::{Denial, DenialStatus};
use incident::release::{ReleasePlan, ReleaseStatus, Released};
use serde::Deserialize as _;
use serde_json::Value;

use super::super::facts::Facts;
use super::{Stage, State, end, first, reasons, with};
use crate::words;

/// In the order of the machine: what may be given back, the sessions while the network is still cut, everything else, the file.
pub(super) fn stages(facts: &Facts, plan: &ReleasePlan) -> Vec<Stage> {
    let back = give_back(facts);
    let close = end::close(facts, &back);
    vec![check(plan), allow_credentials(facts, plan), back, close]
}

fn check(plan: &ReleasePlan) -> Stage {
    let lost = match plan.not_restorable.len() {
        0 => String::new(),
        more => format!(", and {more} that cannot be given back"),
    };
    let said = format!("{} things to give back{lost}, as before {}", plan.restore.len(), plan.restored_from);
    Stage { began: Some(plan.opened), ..Stage::new("check", State::Done, said) }
}

fn allow_credentials(facts: &Facts, plan: &ReleasePlan) -> Stage {
    const NAME: &str = "credentials";
    if !plan.credentials {
        return Stage::left_out(NAME, "they were not denied");
    }
    let trail = facts.trail(&["AllowCredentials"]);
    let noted = first::denial(&trail);
    let told = facts.report_of_release.as_ref().and_then(|report| report.denial.as_ref()).or(noted.as_ref());
    let went = told.map(|told| (is_lifted(told), with(words::denial(told), &why(is_lifted(told), &told.reasons))));
    // The next state's records say that this one is behind.
    let behind = facts.over() || !facts.trail(&["Restore"]).0.is_empty();
    started(Stage::of(NAME, &trail, went, behind))
}

fn is_lifted(denial: &Denial) -> bool {
    matches!(denial.status, DenialStatus::Lifted | DenialStatus::NothingToDeny)
}

fn give_back(facts: &Facts) -> Stage {
    const NAME: &str = "give back";
    let trail = facts.trail(&["Restore"]);
    let told: Option<&Released> = facts.report_of_release.as_ref().and_then(|report| report.released.as_ref());
    let noted = || {
        let (record, status) = trail.noted("status")?;
        let said = record.note.get("reasons").and_then(Value::as_array).into_iter().flatten();
        let said = said.filter_map(Value::as_str).map(str::to_owned).collect();
        Some((ReleaseStatus::deserialize(status).ok()?, said))
    };
    let went = told.map(|told| (told.status, told.reasons.clone())).or_else(noted);
    let went = went.map(|(status, said)| {
        let good = status == ReleaseStatus::Released;
        (good, with(words::release(status), &why(good, &said)))
    });
    Stage::of(NAME, &trail, went, facts.over())
}

fn why(good: bool, said: &[String]) -> String {
    if good { String::new() } else { reasons(said.iter().map(String::as_str)) }
}

/// The check is over once there is a plan, and what comes next begins with it.
fn started(stage: Stage) -> Stage {
    if stage.state == State::Waiting { Stage { state: State::Running, ..stage } } else { stage }
}
