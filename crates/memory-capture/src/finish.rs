//! Finishes a capture: stops the collector, makes objects of what came, locks them, and says what they are worth.

use futures_util::future::{join, join_all};
use handler::AwsError;
use handler::recorder::result;
use incident::capture::{Collected, FILES, IMAGE, Progress, RESULT, STATEMENT, wave_key};
use incident::evidence::{Capture, CapturedFile, Image};
use incident::record::{Change, ChangeResult};
use incident::text::bounded;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};

use crate::compare::{self, Check, Claims, Stored};
use crate::decide::End;
use crate::preflight::file;
use crate::statement::{FileSaid, Statement, Taken, trust};
use crate::systems_manager::Printed;
use crate::work::{self, Work};
use crate::{Case, Error, change, not_captured, parts, preflight, wave};

/// How often an upload is listed again because a part was replaced in the very moment.
const ROUNDS: u32 = 3;

/// What became of one upload.
#[derive(Debug, Default)]
struct Settled {
    /// The object that it became.
    stored: Option<Stored>,
    /// The first part that is missing though later ones came.
    gap: Option<u32>,
    /// How many parts could not become part of the object.
    others: u32,
    /// Why there is no object.
    reason: String,
    /// Why it is not locked.
    unlocked: Option<String>,
    changes: Vec<Change>,
}

/// Ends the capture with what there is.
pub(crate) async fn finish(
    case: &Case<'_>,
    progress: &Progress,
    work: &Work,
    end: End,
    printed: Printed,
) -> Result<Capture, Error> {
    // What was said of it once is said again, whatever the world looks like by now.
    if let Some(said) = case.file().get(STATEMENT).await? {
        return Ok(said.json::<Statement>()?.capture);
    }
    let recorder = case.recorder;
    let folder = case.key(incident::capture::FOLDER);
    let mut intended = vec![
        change("s3:CompleteMultipartUpload", &folder, json!({"end": ended(&end), "parts": progress.parts})),
        change("s3:PutObjectRetention", &folder, json!(case.plan.retention)),
    ];
    if end.leaves_it_running() {
        intended.push(change("ssm:CancelCommand", progress.command_id.as_deref().unwrap_or_default(), Value::Null));
    }
    let number = recorder.intent(intended).await?;
    let mut changes = Vec::new();
    let statement = Box::pin(settle_all(case, progress, work, &end, &printed, &mut changes)).await;
    let note = match &statement {
        Ok(statement) => json!({"memory": statement.capture.status, "reason": statement.capture.reason}),
        Err(error) => json!({"broke": error.to_string()}),
    };
    recorder.outcome(number, changes, note).await?;
    let (statement, _) = case.file().put_or_read(STATEMENT, statement?).await?;
    Ok(statement.capture)
}

async fn settle_all(
    case: &Case<'_>,
    progress: &Progress,
    work: &Work,
    end: &End,
    printed: &Printed,
    changes: &mut Vec<Change>,
) -> Result<Statement, Error> {
    if end.leaves_it_running() {
        stop(case, progress, end, changes).await?;
    }
    let Some(uploads) = &work.uploads else { return Err(Error::Lost { key: work::key(&case.plan.case_id, work::UPLOADS) }) };
    let files = join_all(FILES.iter().map(|(name, limit)| {
        let name = file(name);
        async move { Box::pin(settle(case, &name, uploads.id(&name), Some(*limit))).await }
    }));
    let (image, files) = join(Box::pin(settle(case, IMAGE, uploads.id(IMAGE), None)), files).await;
    // Everything that was changed is told, also where one of them broke.
    let mut broken = None;
    let mut keep = |(settled, failure): (Settled, Option<AwsError>)| {
        changes.extend(settled.changes.iter().cloned());
        broken = broken.take().or(failure);
        settled
    };
    let image = keep(image);
    let files: Vec<Settled> = files.into_iter().map(&mut keep).collect();
    if let Some(error) = broken {
        return Err(error.into());
    }
    let uploaded = uploaded_result(case, &files).await?;
    let in_output = Collected::find(printed.output.as_bytes(), &case.plan.case_id);
    Ok(state(case, progress, work, end, printed, &image, &files, (uploaded, in_output)))
}

/// Tells the collector to stop: in the next wave, and through the agent. Whether it does, nothing here depends on.
async fn stop(case: &Case<'_>, progress: &Progress, end: &End, changes: &mut Vec<Change>) -> Result<(), Error> {
    let command = progress.command_id.as_deref().unwrap_or_default();
    let last = progress.wave.map_or(0, |wave| wave.number);
    let reason = ended(end);
    let (withdrawn, cancelled) = join(Box::pin(wave::withdraw(case, last, &reason)), Box::pin(case.cancel(command))).await;
    changes.push(Change { result: Some(result(&cancelled)), ..change("ssm:CancelCommand", command, Value::Null) });
    withdrawn
}

/// How the capture ended, in words.
fn ended(end: &End) -> String {
    end.reason().unwrap_or_else(|| match end {
        End::Already => "an earlier attempt ended it".to_owned(),
        End::Result => "the collector's result is there, though the command did not end".to_owned(),
        _ => "the command succeeded".to_owned(),
    })
}

/// Makes an object of an upload and locks it; or drops it, where what came is too much or nothing. What it did is given also
/// where it breaks.
async fn settle(case: &Case<'_>, name: &str, upload: &str, limit: Option<u64>) -> (Settled, Option<AwsError>) {
    let mut settled = Settled::default();
    let failure = Box::pin(settle_into(case, name, upload, limit, &mut settled)).await.err();
    (settled, failure)
}

async fn settle_into(
    case: &Case<'_>,
    name: &str,
    upload: &str,
    limit: Option<u64>,
    settled: &mut Settled,
) -> Result<(), AwsError> {
    let key = case.key(name);
    let noted = |action: &str, to: Value, went| Change { result: Some(went), ..change(action, &key, to) };
    for _ in 0..ROUNDS {
        let Some(listed) = case.parts(name, upload).await? else { break };
        let (taken, rest) = parts::completable(&listed);
        settled.others = u32::try_from(listed.len() - taken.len()).unwrap_or(u32::MAX);
        settled.gap = rest.then(|| u32::try_from(taken.len()).unwrap_or(u32::MAX).saturating_add(1));
        settled.reason = refusal(&listed, taken.len(), limit);
        if !settled.reason.is_empty() {
            let aborted = case.abort(name, upload).await;
            settled.changes.push(noted("s3:AbortMultipartUpload", Value::Null, result(&aborted)));
            return aborted.or_else(not_fatal);
        }
        let completed = case.complete(name, upload, &taken).await;
        let went = match &completed {
            Ok(true) => ChangeResult::Done,
            Ok(false) => ChangeResult::Failed { fault: Fault::Transient, message: "a part was replaced meanwhile".to_owned() },
            Err(_) => result(&completed),
        };
        settled.changes.push(noted("s3:CompleteMultipartUpload", json!({"parts": taken.len()}), went));
        if completed? {
            break;
        }
    }
    // S3 says what there is now, whoever completed it, and when.
    let Some(stored) = case.stored(name).await? else {
        "its upload is gone, and there is no object: somebody ended it".clone_into(&mut settled.reason);
        return Ok(());
    };
    let locked = case.lock(&stored).await;
    settled.changes.push(noted("s3:PutObjectRetention", json!({"versionId": stored.version_id}), result(&locked)));
    settled.stored = Some(stored);
    if let Err(error) = locked {
        settled.unlocked = Some(error.to_string());
        return not_fatal(error);
    }
    Ok(())
}

fn not_fatal(error: AwsError) -> Result<(), AwsError> {
    if error.fault() == Fault::Transient { Err(error) } else { Ok(()) }
}

/// Why an upload becomes no object; empty where it does.
fn refusal(listed: &[parts::Part], taken: usize, limit: Option<u64>) -> String {
    let bytes: u64 = listed.iter().map(|part| part.size).sum();
    match limit {
        _ if listed.is_empty() => "nothing of it came".to_owned(),
        Some(limit) if bytes > limit => format!("{bytes} bytes came, and it may have {limit}: it was dropped"),
        Some(_) if listed.len() > 1 => format!("{} parts came of what is one: it was dropped", listed.len()),
        _ if taken == 0 => "its first part is missing: the others were dropped".to_owned(),
        _ => String::new(),
    }
}

/// The result that the collector uploaded, where it did and it can be read.
async fn uploaded_result(case: &Case<'_>, files: &[Settled]) -> Result<Option<Collected>, AwsError> {
    let key = case.key(&file(RESULT));
    let limit = FILES.iter().find(|(name, _)| *name == RESULT).map_or(0, |(_, limit)| *limit);
    let there =
        files.iter().filter_map(|settled| settled.stored.as_ref()).any(|stored| stored.key == key && stored.size <= limit);
    if !there {
        return Ok(None);
    }
    let fetched = case.clients.store.get(&key).await?;
    Ok(fetched.and_then(|fetched| Collected::find(&fetched.bytes, &case.plan.case_id)))
}

#[expect(clippy::too_many_arguments, reason = "all that is known of a capture comes together here, once")]
fn state(
    case: &Case<'_>,
    progress: &Progress,
    work: &Work,
    end: &End,
    printed: &Printed,
    image: &Settled,
    files: &[Settled],
    results: (Option<Collected>, Option<Collected>),
) -> Statement {
    let (uploaded, in_output) = results;
    let deployment = &case.clients.deployment;
    let collector = preflight::collector(case.plan, deployment).map(|collector| collector.sha256).unwrap_or_default();
    let contradiction = uploaded.as_ref().and(in_output.as_ref());
    let collected = uploaded.as_ref().or(in_output.as_ref());
    let checks = image.stored.as_ref().map_or_else(Vec::new, |stored| {
        compare::checks(&Claims {
            collected,
            printed: contradiction,
            stored,
            collector_sha256: &collector,
            gap: image.gap,
            unlocked: image.unlocked.as_deref(),
        })
    });
    let capture = capture(end, printed, image, files, collected, &checks);
    let document = work.sent.as_ref().map(|sent| &sent.document).or(work.claim.as_ref().map(|(claim, _)| &claim.document));
    Statement {
        schema: Statement::SCHEMA.to_owned(),
        case_id: case.plan.case_id.clone(),
        taken: Taken {
            command_id: progress.command_id.clone().unwrap_or_default(),
            document: deployment.document.clone(),
            document_version: document.map(|document| document.version.clone()),
            document_hash: document.map(|document| document.hash.clone()),
            collector_sha256: collector,
            arguments: deployment.arguments.clone(),
            part_bytes: parts::part_bytes(case.plan.target.memory_mib),
            waves: progress.wave.map_or(0, |wave| wave.number),
            session_keys: session_keys(case, progress),
            begun: progress.begun,
            moved: progress.moved,
            ended: ended(end),
        },
        collected: collected.cloned(),
        image: image.stored.clone(),
        files: FILES.iter().zip(files).map(|((name, _), settled)| said(name, settled, collected)).collect(),
        trust: trust(image.stored.as_ref(), &checks),
        checks,
        capture,
    }
}

/// The keys that URLs were signed for: the uploads, the collector's binary, and each wave, of which the last was only announced.
fn session_keys(case: &Case<'_>, progress: &Progress) -> Vec<String> {
    let waves = progress.wave.map_or(0, |wave| wave.number + 1);
    let binary = preflight::collector(case.plan, &case.clients.deployment).map(|collector| collector.key);
    let uploads = preflight::names().map(|name| case.key(&name));
    uploads.chain(binary.ok()).chain((1..=waves).map(|number| wave_key(&case.plan.case_id, number))).collect()
}

/// What goes to the state machine.
fn capture(
    end: &End,
    printed: &Printed,
    image: &Settled,
    files: &[Settled],
    collected: Option<&Collected>,
    checks: &[Check],
) -> Capture {
    let files = files.iter().filter_map(|settled| settled.stored.as_ref());
    let files: Vec<CapturedFile> = files
        .map(|stored| CapturedFile { key: stored.key.clone(), version_id: stored.version_id.clone(), size: stored.size })
        .collect();
    let reason = end.reason();
    let Some(stored) = &image.stored else {
        let nothing = compare::nothing(reason.as_deref(), image.others, collected, printed.last_line());
        return Capture { files, ..not_captured(&nothing) };
    };
    let (status, reason) = compare::verdict(checks, reason.as_deref());
    let sha256 = collected.filter(|_| checks.iter().any(|check| check.what == "sha256" && check.holds));
    let image = Image {
        key: stored.key.clone(),
        version_id: stored.version_id.clone(),
        size: stored.size,
        parts: stored.parts,
        crc64nvme: stored.crc64nvme.clone(),
        sha256: sha256.map(|said| said.sha256.to_ascii_lowercase()),
        format: "lime".to_owned(),
        source: collected.map(|said| said.source.clone()).unwrap_or_default(),
    };
    Capture { status, pause_seconds: 0, progress: None, image: Some(image), files, reason, failure: None }
}

/// What is said of one file beside the image.
fn said(name: &str, settled: &Settled, collected: Option<&Collected>) -> FileSaid {
    let claimed = collected.and_then(|said| said.files.iter().find(|file| file.name == name));
    let size = settled.stored.as_ref().map(|stored| stored.size);
    // The result cannot say its own size.
    let differs = claimed.filter(|claimed| name != RESULT && size.is_some_and(|size| size != claimed.bytes));
    let differs = differs.map(|claimed| format!("the target says that it has {} bytes", claimed.bytes));
    let unlocked = settled.unlocked.as_ref().map(|reason| format!("it is not locked: {reason}"));
    let reasons = [Some(settled.reason.clone()).filter(|reason| !reason.is_empty()), differs, unlocked];
    FileSaid {
        name: name.to_owned(),
        stored: settled.stored.clone(),
        said_bytes: claimed.map(|claimed| claimed.bytes),
        said_sha256: claimed.map(|claimed| claimed.sha256.clone()),
        cut: claimed.map(|claimed| claimed.cut),
        reason: bounded(&reasons.into_iter().flatten().collect::<Vec<_>>().join("; "), 400),
    }
}
