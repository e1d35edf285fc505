//! The end that cannot be undone: intent, call, read-back, outcome.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::AttributeBooleanValue;
use handler::recorder::{Recorder, result};
use handler::{AwsError, failed};
use incident::evidence::{Termination, TerminationStatus};
use incident::plan::TargetState;
use incident::record::{Change, ChangeResult};
use incident::text::bounded;
use incident::{Classify as _, Fault, InstanceId, Visit};
use serde_json::json;

use crate::facts::ACTION;
use crate::guard::Permit;
use crate::{Clients, Error, standing};

/// The action that takes our own protection off.
const UNPROTECT: &str = "ec2:ModifyInstanceAttribute";
/// After how many retries an instance that EC2 agreed to terminate, and does not, counts as not terminated. What EC2 shows
/// lags behind what it does.
const MOST_LOOKS: u32 = 3;

/// Terminates what the permit is for. The permit is used up by it.
pub(crate) async fn terminate(
    clients: &Clients,
    permit: Permit,
    recorder: &Recorder,
    visit: &Visit,
) -> Result<Termination, Error> {
    let id = permit.instance();
    let from = json!({"state": standing::name(permit.state())});
    let to = json!({"state": "terminated", "by": permit.by(), "manifest": permit.manifest()});
    let mut change = Change::intended(ACTION, id.as_str(), from, to);
    let clearing = permit.clears_protection().then(|| {
        Change::intended(UNPROTECT, id.as_str(), json!({"disableApiTermination": true}), json!({"disableApiTermination": false}))
    });
    let number = recorder.intent(clearing.iter().chain([&change]).cloned().collect()).await?;

    let cleared = if clearing.is_some() { Some(unprotect(&clients.ec2, id).await) } else { None };
    let clearing = clearing.map(|clearing| Change { result: cleared.as_ref().map(result), ..clearing });
    let called = match cleared {
        // EC2 would refuse it.
        Some(Err(error)) => Some(Err(error)),
        _ if permit.state().is_alive() => Some(end(&clients.ec2, id).await),
        _ => None,
    };
    let now = standing::look(&clients.ec2, id).await.map(|instance| standing::of(instance.as_ref()).state);
    let at = handler::now();

    change.result = Some(called.as_ref().map_or(ChangeResult::Already, result));
    let seen = now
        .as_ref()
        .map_or_else(|error| json!({"notReadBack": error.to_string()}), |state| json!({"readBack": standing::name(*state)}));
    recorder.outcome(number, clearing.into_iter().chain([change]).collect(), seen).await?;

    let (status, reasons) = verdict(called, now.as_ref().copied().map_err(Clone::clone), visit.retry)?;
    let state = now.ok();
    Ok(Termination {
        status,
        by: permit.by().to_vec(),
        state: state.map(|state| standing::name(state).to_owned()).unwrap_or_default(),
        read_back_at: state.map(|_| at),
        refusals: Vec::new(),
        reasons,
        failure: None,
    })
}

/// Takes off the protection that Protect had put on.
async fn unprotect(ec2: &Client, id: &InstanceId) -> Result<(), AwsError> {
    let off = AttributeBooleanValue::builder().value(false).build();
    let call = ec2.modify_instance_attribute().instance_id(id.as_str()).disable_api_termination(off);
    call.send().await.map_err(failed(UNPROTECT)).map(drop)
}

/// `TerminateInstances` for one instance.
///
/// Without the guest's own shutdown: by default EC2 asks the guest to shut down, and what an attacker has put there for that
/// moment would run [facts 23]. The SDK may send it again, since terminating twice is no change [facts 24].
async fn end(ec2: &Client, id: &InstanceId) -> Result<(), AwsError> {
    let call = ec2.terminate_instances().instance_ids(id.as_str()).skip_os_shutdown(true);
    call.send().await.map_err(failed(ACTION)).map(drop)
}

/// What the call and the read-back say together. What was read back counts; what may pass is a failure, and tried again.
fn verdict(
    called: Option<Result<(), AwsError>>,
    now: Result<TargetState, AwsError>,
    retry: u32,
) -> Result<(TerminationStatus, Vec<String>), Error> {
    use TerminationStatus::{NotTerminated, Terminated, Unknown};
    match (called, now) {
        // An instance that was terminated long ago is no longer described.
        (_, Ok(TargetState::ShuttingDown | TargetState::Terminated)) | (None, Ok(TargetState::Gone)) => {
            Ok((Terminated, Vec::new()))
        }
        (Some(Err(error)), _) | (_, Err(error)) if error.fault() == Fault::Transient => Err(error.into()),
        (Some(Err(error)), _) => Ok((NotTerminated, vec![bounded(&error.to_string(), 400)])),
        (_, Err(error)) => Ok((Unknown, vec![bounded(&format!("it could not be read back: {error}"), 400)])),
        (_, Ok(TargetState::Gone)) => {
            Ok((Unknown, vec!["EC2 accepted to terminate it and then did not know it: look at the instance".to_owned()]))
        }
        (_, Ok(state)) if retry < MOST_LOOKS => Err(Error::NotSeen { state: standing::name(state) }),
        (_, Ok(state)) => {
            let state = standing::name(state);
            Ok((
                NotTerminated,
                vec![format!("EC2 accepted to terminate it again and again, and it is still {state}: look at it")],
            ))
        }
    }
}
