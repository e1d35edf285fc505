//! What else GuardDuty has found about the target, as GuardDuty tells it now. Archived findings are among them.

use aws_sdk_guardduty::types::{Condition, FindingCriteria};
use handler::{AwsError, failed};
use serde_json::json;

use super::Found;
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

/// The most pages of findings, 50 each.
const MOST_PAGES: usize = 2;
const INSTANCE: &str = "resource.instanceDetails.instanceId";

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    let mut answers = Answers::default();
    let mut detectors = Vec::new();
    let list = async |next| {
        let raw = Raw::default();
        let list = run.clients.guardduty.list_detectors().set_next_token(next).customize().interceptor(raw.clone());
        let answer = list.send().await.map_err(failed("guardduty:ListDetectors"))?;
        detectors.extend(answer.detector_ids.unwrap_or_default());
        Ok(Page { items: 0, answer: raw.json(), next: answer.next_token })
    };
    answers.pages(("guardduty:ListDetectors", json!({})), 1, list).await?;
    // A Region has one at most.
    let Some(detector) = detectors.first() else { return Ok(Found::Nothing("GuardDuty is off in this Region".to_owned())) };
    let ids = findings(run, &mut answers, detector).await?;
    for ids in ids.chunks(50) {
        let get = async |_| {
            let raw = Raw::default();
            let get = run.clients.guardduty.get_findings().detector_id(detector).set_finding_ids(Some(ids.to_vec()));
            let answer = get.customize().interceptor(raw.clone()).send().await.map_err(failed("guardduty:GetFindings"))?;
            Ok(Page { items: answer.findings().len(), answer: raw.json(), next: None })
        };
        answers.pages(("guardduty:GetFindings", json!({"DetectorId": detector, "FindingIds": ids})), 1, get).await?;
    }
    Ok(Found::Answers(answers, ""))
}

/// The ids of the findings about the target.
async fn findings(run: &Run<'_>, answers: &mut Answers, detector: &str) -> Result<Vec<String>, AwsError> {
    let id = run.plan.target.instance_id.as_str();
    let about = FindingCriteria::builder().criterion(INSTANCE, Condition::builder().equals(id).build()).build();
    let mut ids = Vec::new();
    let list = async |next| {
        let raw = Raw::default();
        let list = run.clients.guardduty.list_findings().detector_id(detector).finding_criteria(about.clone());
        let list = list.max_results(50).set_next_token(next).customize().interceptor(raw.clone());
        let answer = list.send().await.map_err(failed("guardduty:ListFindings"))?;
        ids.extend(answer.finding_ids.unwrap_or_default());
        Ok(Page { items: 0, answer: raw.json(), next: answer.next_token })
    };
    let asked = json!({"DetectorId": detector, "FindingCriteria": {INSTANCE: [id]}});
    answers.pages(("guardduty:ListFindings", asked), MOST_PAGES, list).await?;
    Ok(ids)
}
