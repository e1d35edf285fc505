//! The instance as EC2 describes it.

use aws_sdk_ec2::types::Reservation;
use handler::{AwsError, failed};
use serde_json::json;

use super::Found;
use crate::Run;
use crate::answers::{Answers, Page};
use crate::raw::Raw;

const ACTION: &str = "ec2:DescribeInstances";

pub(super) async fn ask(run: &Run<'_>) -> Result<Found, AwsError> {
    let mut answers = Answers::default();
    describe(run, &mut answers).await?;
    Ok(Found::Answers(answers, ""))
}

/// Describes the instance; gives the image that it was launched from.
pub(super) async fn describe(run: &Run<'_>, answers: &mut Answers) -> Result<Option<String>, AwsError> {
    let id = run.plan.target.instance_id.as_str();
    let mut image = None;
    let ask = async |_| {
        let raw = Raw::default();
        let describe = run.clients.ec2.describe_instances().instance_ids(id);
        let answer = describe.customize().interceptor(raw.clone()).send().await.map_err(failed("ec2:DescribeInstances"))?;
        let instances = answer.reservations().iter().flat_map(Reservation::instances);
        let instances: Vec<_> = instances.filter(|instance| instance.instance_id() == Some(id)).collect();
        image = instances.first().and_then(|instance| instance.image_id()).map(str::to_owned);
        Ok(Page { items: instances.len(), answer: raw.xml(), next: None })
    };
    answers.pages((ACTION, json!({"InstanceIds": [id]})), 1, ask).await?;
    Ok(image)
}
