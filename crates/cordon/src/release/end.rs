//! What came of a release: from its execution's output, and from the release's own file.

use incident::evidence::Denial;
use incident::release::{CheckVerdict, Checked, ReleasePlan, ReleaseReport, ReleaseRequest, Released};
use incident::{CaseId, ExecutionArn, case};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bucket::Bucket;
use crate::output::note;
use crate::respond;
use crate::{Error, output};

/// `cordon.release-ended.v1`: what the release's execution came to. `checked` is what a dry run says; `plan`, `released` and
/// `denial` are null where nothing was done, or where it cannot be told. `reasons` are empty where it ended as asked for. Text in
/// it is hostile: whoever shows it must escape it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    schema: &'static str,
    /// The case that was to be released.
    pub(super) case_id: CaseId,
    pub(super) execution: String,
    pub(super) status: String,
    /// `Refused`, `NotReleased`, or what else the execution failed with; empty where it did not.
    pub(super) error: String,
    /// Whether it went as it was asked for; of a dry run, whether a release would not be refused.
    pub(super) as_asked: bool,
    /// Why not.
    pub(super) reasons: Vec<String>,
    /// The release's own file; null for a dry run, and where the release was refused.
    pub(super) release_id: Option<CaseId>,
    /// What a dry run says.
    pub(super) checked: Option<Checked>,
    /// What was to be given back.
    pub(super) plan: Option<ReleasePlan>,
    /// What was, as it was read back.
    pub(super) released: Option<Released>,
    /// Whether the target's credentials are still denied.
    pub(super) denial: Option<Denial>,
}

impl End {
    /// What is known at the execution's end. What cannot be read of the release's file is told, and hides nothing of the rest.
    pub(super) async fn of(bucket: &Bucket, request: &ReleaseRequest, execution: String, ended: respond::End) -> Self {
        let mut end = Self::new(request, execution, &ended);
        if request.dry_run {
            end.dry_run(&ended);
            return end;
        }
        end.released = part(&ended.output, "released");
        end.denial = part(&ended.output, "denial");
        if let Ok(execution) = end.execution.parse::<ExecutionArn>() {
            let id = CaseId::new(&request.case_id.instance(), &execution);
            end.plan = read(bucket, &id, case::RELEASE).await;
            end.release_id = end.plan.is_some().then(|| id.clone()).or_else(|| part(&ended.output, "releaseId"));
            if end.plan.is_some() && (end.released.is_none() || end.denial.is_none()) {
                end.told(read(bucket, &id, case::RELEASED).await);
            }
        }
        end.as_asked = ended.status == "SUCCEEDED";
        if !end.as_asked {
            let cause = Some(ended.cause.trim()).filter(|cause| !cause.is_empty());
            let silent = || format!("the execution ended as {} and did not say why", ended.status);
            end.reasons = vec![cause.map_or_else(silent, str::to_owned)];
        }
        end
    }

    fn new(request: &ReleaseRequest, execution: String, ended: &respond::End) -> Self {
        Self {
            schema: "cordon.release-ended.v1",
            case_id: request.case_id.clone(),
            execution,
            status: ended.status.clone(),
            error: ended.error.clone(),
            as_asked: false,
            reasons: Vec::new(),
            release_id: None,
            checked: None,
            plan: None,
            released: None,
            denial: None,
        }
    }

    /// A dry run succeeds also where a release would be refused: its reasons tell.
    fn dry_run(&mut self, ended: &respond::End) {
        self.checked = serde_json::from_value(ended.output.clone()).ok();
        self.reasons = match &self.checked {
            _ if ended.status != "SUCCEEDED" => vec![format!("the dry run itself broke: {}", ended.cause.trim())],
            Some(checked) if checked.plan.is_none() && checked.reasons.is_empty() => {
                vec!["what would be given back could not be made out".to_owned()]
            }
            Some(checked) => checked.reasons.clone(),
            None => vec!["what it says cannot be read: is this command as old as the deployment?".to_owned()],
        };
        let refused = self.checked.as_ref().is_none_or(|checked| checked.verdict == CheckVerdict::Refused);
        self.as_asked = self.reasons.is_empty() && !refused;
    }

    fn told(&mut self, report: Option<ReleaseReport>) {
        let Some(report) = report else { return };
        self.released = self.released.take().or(report.released);
        self.denial = self.denial.take().or(report.denial);
    }
}

/// A part of the execution's output.
fn part<T: DeserializeOwned>(output: &Value, name: &str) -> Option<T> {
    serde_json::from_value(output.get(name)?.clone()).ok()
}

async fn read<T: DeserializeOwned>(bucket: &Bucket, id: &CaseId, name: &str) -> Option<T> {
    match Box::pin(bucket.document(id, name)).await {
        Ok(document) => document,
        Err(error) => {
            unread(name, &error);
            None
        }
    }
}

fn unread(name: &str, error: &Error) {
    note(&format!("cordon: {name} of the release is not shown: {}", output::plain(error)));
}
