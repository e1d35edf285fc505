//! The volumes that are attached to the target.

use handler::{AwsError, failed};
use serde_json::json;

use super::{Found, MOST_PAGES, filter};
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    const BY: &str = "attachment.instance-id";
    let id = run.plan.target.instance_id.as_str();
    let mut answers = Answers::default();
    let ask = async |next| {
        let raw = Raw::default();
        let describe = run.clients.ec2.describe_volumes().filters(filter(BY, [id])).set_next_token(next);
        let answer = describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeVolumes"))?;
        Ok(Page { items: answer.volumes().len(), answer: raw.xml(), next: answer.next_token })
    };
    answers.pages(("ec2:DescribeVolumes", json!({"Filters": {BY: [id]}})), MOST_PAGES, ask).await?;
    Ok(Found::Answers(answers, ""))
}
