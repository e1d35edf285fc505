//! `cordon show` of a release: it has a file of its own beside the cases', with neither finding nor evidence.

use aws_config::SdkConfig;
use incident::evidence::{Denial, Failure};
use incident::manifest::ClosingManifest;
use incident::release::{ReleasePlan, ReleaseReport, Released};
use incident::text::harmless;
use incident::{CaseId, InstanceId, case};
use jiff::Timestamp;
use serde::Serialize;

use super::print::came;
use crate::bucket::Bucket;
use crate::list::Status;
use crate::output::{coloured, document, say};
use crate::show::may_run;
use crate::{Arguments, Error, exit};

/// Prints what is known of the release whose plan this is.
pub(crate) async fn show(
    arguments: &Arguments,
    config: &SdkConfig,
    bucket: &Bucket,
    id: &CaseId,
    plan: ReleasePlan,
) -> Result<u8, Error> {
    let closing: Option<ClosingManifest> = Box::pin(bucket.document(id, case::CLOSING_MANIFEST)).await?;
    let report: Option<ReleaseReport> = Box::pin(bucket.document(id, case::RELEASED)).await?;
    let running = closing.is_none() && Box::pin(may_run(config, Some(&plan.execution))).await;
    let known = Known::new(id, plan, closing, report, running);
    if arguments.json {
        document(&known);
    } else {
        known.print();
    }
    Ok(exit::OK)
}

/// `cordon.show-release.v1`: what is known of a release. A field is null, or an empty list, where nothing is known of it (yet).
/// Text in it is hostile: whoever shows it must escape it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    schema: &'static str,
    release_id: CaseId,
    /// The case that it gives back.
    case_id: CaseId,
    instance_id: InstanceId,
    /// As for a case: `open`, `closedAsPlanned`, `closedNotAsPlanned` or `broken`.
    status: Status,
    closed_at: Option<Timestamp>,
    closed_by: Option<String>,
    /// Why it was not closed as planned.
    reasons: Vec<String>,
    /// What it was to give back.
    plan: ReleasePlan,
    /// What it gave back, as it was read back.
    released: Option<Released>,
    denial: Option<Denial>,
    failure: Option<Failure>,
}

impl Known {
    fn new(
        id: &CaseId,
        plan: ReleasePlan,
        closing: Option<ClosingManifest>,
        report: Option<ReleaseReport>,
        running: bool,
    ) -> Self {
        let (released, denial, failure) =
            report.map_or((None, None, None), |report| (report.released, report.denial, report.failure));
        Self {
            schema: "cordon.show-release.v1",
            release_id: id.clone(),
            case_id: plan.case_id.clone(),
            instance_id: id.instance(),
            status: Status::of(closing.as_ref().map(|closing| closing.as_planned), running),
            closed_at: closing.as_ref().map(|closing| closing.closed_at),
            closed_by: closing.as_ref().map(|closing| closing.closed_by.clone()),
            reasons: closing.map(|closing| closing.reasons).unwrap_or_default(),
            plan,
            released,
            denial,
            failure,
        }
    }

    fn print(&self) {
        let status = coloured(self.status.words(), self.status.is_good());
        say(&format!("{}: {status}, release of {}", self.release_id, self.case_id));
        let plan = &self.plan;
        let mut lines = vec![
            ("target", self.instance_id.to_string()),
            ("because", harmless(&plan.reason, 400)),
            ("begun", format!("{} by {}", plan.opened, plan.execution)),
            ("as before", plan.restored_from.to_string()),
        ];
        lines.extend(self.closed_at.map(|at| ("closed", at.to_string())));
        lines.extend(self.reasons.iter().map(|reason| ("not planned", harmless(reason, 400))));
        let failure = self.failure.as_ref().map(|it| format!("{} failed ({}): {}", it.state, it.error, it.cause));
        lines.extend(failure.map(|failure| ("failure", harmless(&failure, 600))));
        for (label, text) in lines {
            say(&format!("  {label:<12} {text}"));
        }
        came(self.released.as_ref(), self.denial.as_ref(), Some(plan));
        if self.released.is_none() {
            say("what was given back is not known (yet)");
        }
    }
}
