//! `cordon stop`: ends a case's waits. What contains the target stays: the last word, which comes when an execution was
//! stopped, closes what is open and then the case.

use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use incident::manifest::ClosingManifest;
use incident::permission::{LONGEST_REASON, StatementError};
use incident::text::{bounded, harmless};
use incident::{CaseId, ExecutionArn, case};
use serde::Serialize;

use crate::bucket::Bucket;
use crate::output::{coloured, document, say};
use crate::watch::read;
use crate::{Arguments, Error, Stop, deployment, exit};

/// The error's name that the execution ends with.
const ERROR: &str = "Stopped";
/// How often it is looked whether the case is closed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many times at most.
const MOST_LOOKS: u32 = 120;
/// The most reasons that are printed.
const MOST_REASONS: usize = 20;

/// Stops the execution of a case, and waits until the case is closed.
pub(crate) async fn run(arguments: &Arguments, given: &Stop) -> Result<u8, Error> {
    if given.because.trim().is_empty() {
        return Err(StatementError { field: "because", reason: "must say why the case is stopped".to_owned() }.into());
    }
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let bucket = Bucket::of(&config, &found);
    let sfn = aws_sdk_sfn::Client::new(&config);
    let execution = Box::pin(read::execution(&bucket, &given.case)).await?;
    let execution = execution.ok_or_else(|| Error::Empty(given.case.to_string()))?;
    let describe = sfn.describe_execution().execution_arn(execution.as_str()).send().await;
    let status = describe.map_err(Error::aws("states:DescribeExecution"))?.status;
    if read::is_over(&status) {
        return Err(Error::NotRunning { case: given.case.clone(), status: words(&status) });
    }
    let stop = sfn.stop_execution().execution_arn(execution.as_str()).error(ERROR).cause(bounded(&given.because, LONGEST_REASON));
    stop.send().await.map_err(Error::aws("states:StopExecution"))?;
    if !arguments.json {
        say(&format!("stopped {execution}"));
        say("the target stays as contained as it is; the last word closes what is open, then the case, and tells people");
    }
    let closing = Box::pin(closed(&bucket, &given.case)).await?;
    let stopped = Stopped::new(&given.case, &execution, closing.as_ref());
    if arguments.json {
        document(&stopped);
    } else {
        stopped.print();
    }
    Ok(if stopped.closed { exit::OK } else { exit::FAILED })
}

/// How an execution that does not run stands.
const fn words(status: &ExecutionStatus) -> &'static str {
    match status {
        ExecutionStatus::Succeeded => "through",
        ExecutionStatus::Failed => "broken",
        ExecutionStatus::Aborted => "stopped already",
        ExecutionStatus::TimedOut => "timed out",
        _ => "over",
    }
}

/// Waits for the closing manifest and its signature. A look that fails is no reason to stop waiting.
async fn closed(bucket: &Bucket, case_id: &CaseId) -> Result<Option<ClosingManifest>, Error> {
    let mut last = Ok(None);
    for _ in 0..MOST_LOOKS {
        last = Box::pin(closing(bucket, case_id)).await;
        if let Ok(Some(closing)) = last {
            return Ok(Some(closing));
        }
        #[expect(clippy::disallowed_methods, reason = "a person waits; no function does")]
        tokio::time::sleep(LOOK_EVERY).await;
    }
    last
}

async fn closing(bucket: &Bucket, case_id: &CaseId) -> Result<Option<ClosingManifest>, Error> {
    // The signature comes last.
    let signature = Box::pin(bucket.get(&case::key(case_id, case::CLOSING_SIGNATURE))).await?;
    if signature.is_none() {
        return Ok(None);
    }
    Box::pin(bucket.document(case_id, case::CLOSING_MANIFEST)).await
}

/// `cordon.stop.v1`: what came of it. Without `closed` the last word had not closed the case within two minutes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped<'a> {
    schema: &'static str,
    case_id: &'a CaseId,
    execution_arn: &'a ExecutionArn,
    closed: bool,
    closed_by: Option<&'a str>,
    as_planned: Option<bool>,
    reasons: &'a [String],
}

impl<'a> Stopped<'a> {
    fn new(case_id: &'a CaseId, execution_arn: &'a ExecutionArn, closing: Option<&'a ClosingManifest>) -> Self {
        Self {
            schema: "cordon.stop.v1",
            case_id,
            execution_arn,
            closed: closing.is_some(),
            closed_by: closing.map(|closing| closing.closed_by.as_str()),
            as_planned: closing.map(|closing| closing.as_planned),
            reasons: closing.map(|closing| closing.reasons.as_slice()).unwrap_or_default(),
        }
    }

    fn print(&self) {
        let case_id = self.case_id;
        let Some(closed_by) = self.closed_by else {
            let text = format!("the case {case_id} is NOT closed yet");
            say(&format!("{}: see the alarms and cordon-last-word's log, then `cordon show {case_id}`", coloured(&text, false)));
            return;
        };
        let planned = if self.as_planned == Some(true) { "as planned" } else { "not as planned, since it was stopped" };
        say(&format!("the case {case_id} is closed by {}, {planned}", harmless(closed_by, 40)));
        for reason in self.reasons.iter().take(MOST_REASONS) {
            say(&format!("  - {}", harmless(reason, 400)));
        }
        let more = self.reasons.len().saturating_sub(MOST_REASONS);
        if more > 0 {
            say(&format!("  and {more} more, in the report"));
        }
    }
}
