//! One open case for each target: claim it, join the case that is open, or take over from an owner that died or only releases.
//!
//! INVARIANT: a finding is joined only to a claim that was read back unchanged after the finding had been laid down, so
//! that Close, which marks the claim before it counts the findings, never misses it.

use aws_sdk_sfn::types::ExecutionStatus;
use handler::{StoreError, failed};
use incident::case::{joined_finding, joined_inbox};
use incident::claim::Claim;
use incident::finding::Trigger;
use incident::{CaseId, ExecutionArn, InstanceId, Visit};
use serde_json::Value;

use crate::{Clients, Error};

/// What became of the claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Claimed {
    /// This execution owns the target.
    Ours,
    /// The finding was added to the case of this claim.
    Joined(Claim),
}

/// Claims `instance` for `case`.
pub(crate) async fn claim(
    clients: &Clients,
    visit: &Visit,
    instance: &InstanceId,
    case: &CaseId,
    trigger: &Trigger,
    input: &Value,
) -> Result<Claimed, Error> {
    let (key, store) = (Claim::key(instance), &clients.store);
    let severity = trigger.summary.severity;
    let ours = Claim { case_id: case.clone(), execution_arn: visit.execution.clone(), severity, closing: false, release: false };
    let body = handler::case_file::to_json(&ours);
    if store.put_if(&key, body.clone(), None).await? {
        return Ok(Claimed::Ours);
    }
    // Gone between the put and the read: the machine tries again.
    let there = store.get(&key).await?.ok_or(Error::Race)?;
    let theirs: Claim = there.json()?;
    if theirs.execution_arn == visit.execution {
        return Ok(Claimed::Ours);
    }
    // A release gives way to a new finding, also while it runs: before and after each step it looks whether it still holds
    // the target.
    if theirs.release || !is_running(clients, &theirs.execution_arn).await? {
        return if store.put_if(&key, body, Some(&there.etag)).await? { Ok(Claimed::Ours) } else { Err(Error::Race) };
    }
    if theirs.closing {
        return Err(Error::Race);
    }
    let name = joined_finding(&trigger.summary.id, &trigger.summary.updated_at);
    let name = name.strip_prefix(incident::case::FINDINGS).unwrap_or(&name);
    let inbox = format!("{}{name}", joined_inbox(&theirs.case_id));
    // `false`: the same finding joined before, by an attempt whose answer was lost or by a second delivery.
    store.put_if(&inbox, handler::case_file::to_json(input), None).await?;
    let again = store.get(&key).await?;
    match again {
        Some(now) if now.etag == there.etag => Ok(Claimed::Joined(theirs)),
        _ => Err(Error::Race),
    }
}

/// Whether the owner still runs. One that AWS does not know does not.
async fn is_running(clients: &Clients, execution: &ExecutionArn) -> Result<bool, Error> {
    let answer = clients.sfn.describe_execution().execution_arn(execution.as_str()).send().await;
    match answer.map_err(failed("states:DescribeExecution")) {
        Ok(answer) => Ok(matches!(answer.status(), ExecutionStatus::Running | ExecutionStatus::PendingRedrive)),
        Err(error) if error.is("ExecutionDoesNotExist") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
