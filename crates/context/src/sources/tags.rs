//! The tags of the instance, its volumes and its interfaces. Whoever may tag chose them.

use handler::{AwsError, failed};
use serde_json::json;

use super::{Found, MOST_PAGES, MOST_VALUES, filter};
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    const BY: &str = "resource-id";
    let target = &run.plan.target;
    let volumes = target.volumes.iter().map(|volume| volume.id.as_str());
    let interfaces = target.interfaces.iter().map(|interface| interface.id.as_str());
    let tagged: Vec<&str> =
        std::iter::once(target.instance_id.as_str()).chain(volumes).chain(interfaces).take(MOST_VALUES).collect();
    let mut answers = Answers::default();
    let ask = async |next| {
        let raw = Raw::default();
        let describe = run.clients.ec2.describe_tags().filters(filter(BY, &tagged)).set_next_token(next);
        let answer = describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeTags"))?;
        Ok(Page { items: answer.tags().len(), answer: raw.xml(), next: answer.next_token })
    };
    answers.pages(("ec2:DescribeTags", json!({"Filters": {BY: tagged}})), MOST_PAGES, ask).await?;
    Ok(Found::Answers(answers, ""))
}
