//! Begins a capture: preflight, uploads, the first wave, and the command, each at most once for a case.

use futures_util::future::{join_all, join3, try_join_all};
use handler::AwsError;
use handler::recorder::result;
use incident::capture::Progress;
use incident::evidence::Capture;
use incident::record::{Change, ChangeResult};
use incident::{Classify as _, Fault};
use serde_json::json;

use crate::preflight::{Agent, Collector, Obstacle, Pinned};
use crate::systems_manager::Sending;
use crate::work::{Claim, Sent, Uploads, Work};
use crate::{Case, Error, change, decide, not_captured, preflight, running, wave, work};

/// The pause while something is waited for that passes in seconds, in seconds.
const SHORT: u32 = 5;

/// What a try to begin led to.
enum Begun {
    /// The command is sent, or was.
    Running,
    /// Somebody else is about to send it, or the agent is not back yet.
    Waiting,
    /// It cannot be begun.
    Impossible(String),
}

/// One look at a capture whose command is not known to be sent.
pub(crate) async fn look(case: &Case<'_>, mut progress: Progress) -> Result<Capture, Error> {
    let mut work = Work::read(&case.clients.store, &case.plan.case_id).await?;
    if let Some(command) = sent_earlier(case, &work).await? {
        progress.wave = wave::there(case, 1).await?;
        progress.command_id = Some(command);
        return Box::pin(running::look(case, progress, work)).await;
    }
    if case.now() >= case.deadline() {
        let reason = "the plan's deadline passed before the capture could begin: take the memory by hand";
        return give_up(case, &work, reason).await;
    }
    let (collector, pinned) = match Box::pin(ready(case, &progress)).await? {
        Ok(ready) => ready,
        Err(Obstacle::Passing(reason)) => {
            tracing::info!(reason, "the capture waits");
            return Ok(running(progress, SHORT));
        }
        Err(Obstacle::Lasting(reason)) => return give_up(case, &work, &reason).await,
    };

    let recorder = case.recorder;
    let intended = [
        ("s3:CreateMultipartUpload", case.key(incident::capture::FOLDER), json!({"uploads": preflight::names().count()})),
        (
            "ssm:SendCommand",
            case.plan.target.instance_id.to_string(),
            json!({"document": case.clients.deployment.document, "pinned": pinned}),
        ),
    ];
    let number =
        recorder.intent(intended.into_iter().map(|(action, subject, to)| change(action, &subject, to)).collect()).await?;
    let mut changes = Vec::new();
    let begun = Box::pin(begin(case, &mut work, &mut progress, (&collector, &pinned), &mut changes)).await;
    let note = match &begun {
        Ok(Begun::Running) => json!({"command": progress.command_id, "wave": progress.wave}),
        Ok(Begun::Waiting) => json!({"waits": true}),
        Ok(Begun::Impossible(reason)) => json!({"impossible": reason}),
        Err(error) => json!({"broke": error.to_string()}),
    };
    recorder.outcome(number, changes, note).await?;
    match begun? {
        Begun::Running => {
            let pause = decide::pause(&progress, 0, case.now(), case.deadline());
            Ok(running(progress, pause))
        }
        Begun::Waiting => Ok(running(progress, SHORT)),
        Begun::Impossible(reason) => give_up(case, &work, &reason).await,
    }
}

/// The command that an earlier attempt sent, whether it could still write that down or not.
async fn sent_earlier(case: &Case<'_>, work: &Work) -> Result<Option<String>, Error> {
    if let Some(sent) = &work.sent {
        return Ok(Some(sent.command_id.clone()));
    }
    let Some((claim, _)) = &work.claim else { return Ok(None) };
    match case.find_command().await? {
        Some(command) => Ok(Some(remember(case, command, &claim.document).await?)),
        None => Ok(None),
    }
}

/// Writes down the command; gives the one that was written down first.
async fn remember(case: &Case<'_>, command_id: String, document: &Pinned) -> Result<String, Error> {
    let sent = Sent { command_id, document: document.clone() };
    let (sent, _) = work::first(&case.clients.store, &case.plan.case_id, work::SENT, sent).await?;
    Ok(sent.command_id)
}

/// Whether everything is there that a capture needs. Only what may pass is an error.
async fn ready(case: &Case<'_>, progress: &Progress) -> Result<Result<(Collector, Pinned), Obstacle>, Error> {
    let deployment = &case.clients.deployment;
    let collector = match preflight::collector(case.plan, deployment) {
        Ok(collector) => collector,
        Err(reason) => return Ok(Err(Obstacle::Lasting(reason))),
    };
    let (agent, document, binary) =
        join3(Box::pin(case.agent()), Box::pin(case.document()), Box::pin(case.exists(&collector.key))).await;
    let (content, pinned) = match ordinary(document)? {
        Ok(document) => document,
        Err(reason) => return Ok(Err(Obstacle::Lasting(format!("the capture's document cannot be read: {reason}")))),
    };
    if let Some(obstacle) = preflight::document(&content, &pinned, deployment) {
        return Ok(Err(obstacle));
    }
    match ordinary(binary)? {
        Ok(true) => {}
        Ok(false) => return Ok(Err(preflight::no_binary(&collector))),
        Err(reason) => return Ok(Err(Obstacle::Lasting(format!("the collector's binary cannot be read: {reason}")))),
    }
    let agent: Option<Agent> = match ordinary(agent)? {
        Ok(agent) => agent,
        Err(reason) => return Ok(Err(Obstacle::Lasting(format!("the agent cannot be asked for: {reason}")))),
    };
    let waited = case.now().duration_since(progress.begun);
    Ok(preflight::agent(agent.as_ref(), waited).map_or(Ok((collector, pinned)), Err))
}

/// An answer, or the reason that there is none for good. What may pass stays an error.
fn ordinary<T>(answer: Result<T, AwsError>) -> Result<Result<T, String>, AwsError> {
    match answer {
        Err(error) if error.fault() == Fault::Transient => Err(error),
        other => Ok(other.map_err(|error| error.to_string())),
    }
}

/// Begins what is not begun. Everything that was changed is in `changes`, also where it breaks.
async fn begin(
    case: &Case<'_>,
    work: &mut Work,
    progress: &mut Progress,
    ready: (&Collector, &Pinned),
    changes: &mut Vec<Change>,
) -> Result<Begun, Error> {
    let (collector, pinned) = ready;
    let uploads = match uploads(case, work, changes).await {
        Ok(uploads) => uploads,
        Err(error) => return impossible(error),
    };
    let (mark, plan_url) = match Box::pin(wave::first(case, &uploads, collector)).await {
        Ok(first) => first,
        Err(error) => return impossible(error),
    };
    progress.wave = Some(mark);
    if !claim(case, work, pinned).await? {
        return Ok(Begun::Waiting);
    }
    // One who took over a claim looks once more: the dead may have sent it after all.
    if work.claim.is_some()
        && let Some(command) = case.find_command().await?
    {
        progress.command_id = Some(remember(case, command, pinned).await?);
        return Ok(Begun::Running);
    }
    let noted = change("ssm:SendCommand", case.plan.target.instance_id.as_str(), json!({"document": pinned}));
    let sending = case.send(pinned, plan_url).await;
    let went = match &sending {
        Sending::Sent(_) => ChangeResult::Done,
        Sending::Refused(error) | Sending::Unknown(error) => ChangeResult::from(error),
    };
    changes.push(Change { result: Some(went), ..noted });
    match sending {
        Sending::Sent(command) => {
            progress.command_id = Some(remember(case, command, pinned).await?);
            progress.moved = case.now();
            Ok(Begun::Running)
        }
        // The claim stays: after a lost answer, the next attempt looks for the command before anybody sends another.
        Sending::Unknown(error) => Err(error.as_fault(Fault::Transient).into()),
        Sending::Refused(error) => {
            release(case, pinned).await;
            // The agent's connection broke between the look at it and now.
            let waited = case.now().duration_since(progress.begun);
            if error.is("InvalidInstanceId") && waited < decide::AGENT_PATIENCE {
                return Ok(Begun::Waiting);
            }
            impossible(error.into())
        }
    }
}

/// What may pass is an error; anything else is a reason to go on without memory.
fn impossible(error: Error) -> Result<Begun, Error> {
    match error {
        Error::Aws(error) if error.fault() != Fault::Transient => Ok(Begun::Impossible(error.to_string())),
        other => Err(other),
    }
}

/// The uploads of the case: those that are known, or new ones. Who comes second drops its own.
async fn uploads(case: &Case<'_>, work: &mut Work, changes: &mut Vec<Change>) -> Result<Uploads, Error> {
    if let Some(uploads) = &work.uploads {
        return Ok(uploads.clone());
    }
    let begun =
        try_join_all(preflight::names().map(async |name| Ok::<_, AwsError>((name.clone(), case.begin_upload(&name).await?))));
    let begun = begun.await;
    let noted = change("s3:CreateMultipartUpload", &case.key(incident::capture::FOLDER), serde_json::Value::Null);
    changes.push(Change { result: Some(result(&begun)), ..noted });
    let ours = Uploads(begun?.into_iter().collect());
    let (uploads, first) = work::first(&case.clients.store, &case.plan.case_id, work::UPLOADS, ours.clone()).await?;
    if !first {
        abort(case, &ours, changes).await?;
    }
    work.uploads = Some(uploads.clone());
    Ok(uploads)
}

/// Whether this look may send the command.
async fn claim(case: &Case<'_>, work: &Work, pinned: &Pinned) -> Result<bool, Error> {
    let etag = match &work.claim {
        None => None,
        Some((there, etag)) if there.released || decide::claim_is_void(there.visit.entered, case.now()) => Some(etag.as_str()),
        Some(_) => return Ok(false),
    };
    let claim = Claim { visit: case.visit.clone(), document: pinned.clone(), released: false };
    let key = work::key(&case.plan.case_id, work::CLAIM);
    Ok(case.clients.store.put_if(&key, handler::case_file::to_json(&claim), etag).await?)
}

/// Gives our claim back, since surely nothing was sent. Where that fails, the next one waits until it is void.
async fn release(case: &Case<'_>, pinned: &Pinned) {
    let key = work::key(&case.plan.case_id, work::CLAIM);
    let claim = Claim { visit: case.visit.clone(), document: pinned.clone(), released: true };
    let store = &case.clients.store;
    let released = async {
        match store.get(&key).await? {
            Some(there) if there.json::<Claim>().is_ok_and(|there| there.visit == *case.visit) => {
                store.put_if(&key, handler::case_file::to_json(&claim), Some(&there.etag)).await
            }
            _ => Ok(false),
        }
    };
    if let Err(error) = released.await {
        tracing::warn!(%error, "the claim could not be given back");
    }
}

/// Drops uploads and what came of them.
async fn abort(case: &Case<'_>, uploads: &Uploads, changes: &mut Vec<Change>) -> Result<(), Error> {
    let aborted = join_all(uploads.0.iter().map(|(name, upload)| case.abort(name, upload))).await;
    let aborted: Result<Vec<()>, AwsError> = aborted.into_iter().collect();
    let noted = change("s3:AbortMultipartUpload", &case.key(incident::capture::FOLDER), json!({"uploads": uploads.0.len()}));
    changes.push(Change { result: Some(result(&aborted)), ..noted });
    match aborted {
        Err(error) if error.fault() == Fault::Transient => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "uploads stay open until the bucket's lifecycle ends them");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Ends a capture that was never begun; what was prepared for it is dropped.
async fn give_up(case: &Case<'_>, work: &Work, reason: &str) -> Result<Capture, Error> {
    let capture = not_captured(reason);
    let recorder = case.recorder;
    let note = json!({"memory": capture.status, "reason": capture.reason});
    let Some(uploads) = &work.uploads else {
        recorder.note(note).await?;
        return Ok(capture);
    };
    let intended = change("s3:AbortMultipartUpload", &case.key(incident::capture::FOLDER), json!({"uploads": uploads.0.len()}));
    let number = recorder.intent(vec![intended]).await?;
    let mut changes = Vec::new();
    let aborted = abort(case, uploads, &mut changes).await;
    recorder.outcome(number, changes, note).await?;
    aborted?;
    Ok(capture)
}
