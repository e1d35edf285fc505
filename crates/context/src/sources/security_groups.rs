//! The groups that the target wore when triage looked, with their rules as they are now. What it wears since is Cordon's own.

use std::collections::BTreeSet;

use handler::{AwsError, failed};
use serde_json::json;

use super::{Found, MOST_PAGES, MOST_VALUES, filter};
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    const BY: &str = "group-id";
    let worn: BTreeSet<&str> =
        run.plan.target.interfaces.iter().flat_map(|it| &it.groups).map(incident::GroupId::as_str).take(MOST_VALUES).collect();
    if worn.is_empty() {
        return Ok(Found::Nothing("it wore no groups".to_owned()));
    }
    let mut answers = Answers::default();
    let ask = async |next| {
        let raw = Raw::default();
        let describe = run.clients.ec2.describe_security_groups().filters(filter(BY, &worn)).set_next_token(next);
        let answer = describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeSecurityGroups"))?;
        Ok(Page { items: answer.security_groups().len(), answer: raw.xml(), next: answer.next_token })
    };
    answers.pages(("ec2:DescribeSecurityGroups", json!({"Filters": {BY: worn}})), MOST_PAGES, ask).await?;
    Ok(Found::Answers(answers, ""))
}
