//! `cordon replay`: starts the response to a case's finding once more, as a new case.

use aws_config::SdkConfig;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use incident::release::ReleasePlan;
use incident::{CaseId, case};
use serde_json::Value;

use crate::bucket::Bucket;
use crate::deployment::Deployment;
use crate::watch::read;
use crate::{Arguments, Error, Replay, deployment, respond};

/// Starts a new execution with the input of the case's own.
pub(crate) async fn run(arguments: &Arguments, given: &Replay) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    // What a release was given says nothing to an incident, and to give something back again takes a reason of its own.
    let release: Option<ReleasePlan> = Box::pin(Bucket::of(&config, &found).document(&given.case, case::RELEASE)).await?;
    if let Some(release) = release {
        return Err(Error::IsRelease { release: given.case.clone(), case: release.case_id });
    }
    let input = Box::pin(input(&config, &found, &given.case)).await?;
    Box::pin(respond::start(arguments, &aws_sdk_sfn::Client::new(&config), &found.state_machine_arn, &input, given.wait)).await
}

/// What the first execution was given: as Step Functions has it, which forgets after 90 days [facts 82], else as it was received
/// into the case file.
async fn input(config: &SdkConfig, found: &Deployment, case_id: &CaseId) -> Result<String, Error> {
    let bucket = Bucket::of(config, found);
    if let Some(execution) = Box::pin(read::execution(&bucket, case_id)).await? {
        let sfn = aws_sdk_sfn::Client::new(config);
        match sfn.describe_execution().execution_arn(execution.as_str()).send().await {
            Ok(answer) if !read::is_over(&answer.status) => return Err(Error::StillOpen(case_id.clone())),
            Ok(answer) => {
                if let Some(input) = answer.input {
                    return Ok(input);
                }
            }
            Err(error) if error.as_service_error().is_some_and(DescribeExecutionError::is_execution_does_not_exist) => {}
            Err(error) => return Err(Error::aws("states:DescribeExecution")(error)),
        }
    }
    let finding: Option<Value> = Box::pin(bucket.document(case_id, case::FINDING)).await?;
    finding.map(|finding| finding.to_string()).ok_or_else(|| Error::Empty(case_id.to_string()))
}
