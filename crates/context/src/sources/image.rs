//! The image that the target was launched from.

use handler::{AwsError, failed};
use serde_json::json;

use super::{Found, filter, instance};
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    const BY: &str = "image-id";
    // Asked here again, so that this source does not depend on the other one.
    let mut described = Answers::default();
    let Some(image) = instance::describe(run, &mut described).await? else {
        return Ok(Found::Nothing("EC2 names no image of it".to_owned()));
    };
    let mut answers = Answers::default();
    let ask = async |_| {
        let raw = Raw::default();
        // By filter, since an image that is gone is no error: its instances outlive it.
        let describe = run.clients.ec2.describe_images().filters(filter(BY, [&image]));
        let answer = describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeImages"))?;
        Ok(Page { items: answer.images().len(), answer: raw.xml(), next: None })
    };
    answers.pages(("ec2:DescribeImages", json!({"Filters": {BY: [image]}})), 1, ask).await?;
    Ok(Found::Answers(answers, ""))
}
