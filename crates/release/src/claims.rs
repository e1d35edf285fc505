//! The claim: who has the target, and taking it for a release.
//!
//! INVARIANT: a claim is replaced only by its `ETag`, and only where its owner does not run any more.

use aws_sdk_sfn::types::ExecutionStatus;
use handler::{AwsError, case_file, failed, told};
use incident::claim::Claim;
use incident::{CaseId, ExecutionArn, InstanceId, Visit};

use crate::guard::Holder;
use crate::{Clients, Error};

/// Who has the target.
pub(crate) async fn holder(
    clients: &Clients,
    instance: &InstanceId,
    release: &CaseId,
    execution: &ExecutionArn,
) -> Result<Holder, AwsError> {
    let there = match told(clients.store.get(&Claim::key(instance)).await)? {
        Ok(None) => return Ok(Holder::Nobody),
        Ok(Some(there)) => there,
        Err(reason) => return Ok(Holder::Unknown(reason)),
    };
    let claim: Claim = match there.json() {
        Ok(claim) => claim,
        Err(error) => return Ok(Holder::Unknown(error.to_string())),
    };
    if claim.case_id == *release && claim.execution_arn == *execution {
        return Ok(Holder::Ours);
    }
    Ok(match told(is_running(clients, &claim.execution_arn).await)? {
        Ok(true) => Holder::Running { case: claim.case_id, release: claim.release },
        Ok(false) => Holder::Dead { etag: there.etag },
        Err(reason) => Holder::Unknown(format!("whether case {} still runs: {reason}", claim.case_id)),
    })
}

/// Claims the target for a release. `holder` is who had it a moment ago.
pub(crate) async fn take(clients: &Clients, visit: &Visit, release: &CaseId, holder: &Holder) -> Result<(), Error> {
    let etag = match holder {
        Holder::Ours => return Ok(()),
        Holder::Nobody => None,
        Holder::Dead { etag } => Some(etag.as_str()),
        Holder::Running { .. } | Holder::Unknown(_) => return Err(Error::Race),
    };
    let instance = release.instance();
    let (case_id, execution_arn) = (release.clone(), visit.execution.clone());
    let ours = Claim { case_id, execution_arn, severity: 0.0, closing: false, release: true };
    if clients.store.put_if(&Claim::key(&instance), case_file::to_json(&ours), etag).await? {
        return Ok(());
    }
    // The SDK sends a put again whose answer was lost: then what is there is ours.
    let there = clients.store.get(&Claim::key(&instance)).await?;
    let there: Option<Claim> = there.map(|there| there.json()).transpose()?;
    if there.as_ref() == Some(&ours) { Ok(()) } else { Err(Error::Race) }
}

/// Whether the release still holds the target, or why not.
pub(crate) async fn held(clients: &Clients, release: &CaseId, execution: &ExecutionArn) -> Result<Result<(), String>, AwsError> {
    let there = clients.store.get(&Claim::key(&release.instance())).await?;
    let claim: Option<Claim> = there.and_then(|there| there.json().ok());
    Ok(match claim {
        Some(claim) if claim.release && claim.case_id == *release && claim.execution_arn == *execution => Ok(()),
        Some(claim) => Err(format!("case {} has claimed the target meanwhile: look at it first", claim.case_id)),
        None => Err("the target is not claimed for this release any more: find out why".to_owned()),
    })
}

/// Whether the owner still runs. One that AWS does not know does not.
async fn is_running(clients: &Clients, execution: &ExecutionArn) -> Result<bool, AwsError> {
    let answer = clients.sfn.describe_execution().execution_arn(execution.as_str()).send().await;
    match answer.map_err(failed("states:DescribeExecution")) {
        Ok(answer) => Ok(matches!(answer.status(), ExecutionStatus::Running | ExecutionStatus::PendingRedrive)),
        Err(error) if error.is("ExecutionDoesNotExist") => Ok(false),
        Err(error) => Err(error),
    }
}
