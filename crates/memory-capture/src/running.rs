//! One look at a capture whose command is sent: how far it is, and whether it needs URLs, or an end.

use futures_util::future::join3;
use incident::capture::{IMAGE, Progress, RESULT};
use incident::evidence::Capture;
use incident::{Classify as _, Fault};

use crate::decide::{End, Next, Seen};
use crate::preflight::{Agent, file};
use crate::work::{self, Work};
use crate::{Case, Error, decide, finish, parts, running, wave};

/// Looks at what S3 has and at the command.
pub(crate) async fn look(case: &Case<'_>, mut progress: Progress, work: Work) -> Result<Capture, Error> {
    let command_id = progress.command_id.clone().unwrap_or_default();
    let Some(uploads) = &work.uploads else { return Err(Error::Lost { key: work::key(&case.plan.case_id, work::UPLOADS) }) };
    let result = file(RESULT);
    let (image, uploaded, invocation) = join3(
        Box::pin(case.parts(IMAGE, uploads.id(IMAGE))),
        Box::pin(case.parts(&result, uploads.id(&result))),
        Box::pin(case.invocation(&command_id)),
    )
    .await;
    let (command, printed) = invocation?;
    let Some(image) = image? else {
        return Box::pin(finish::finish(case, &progress, &work, End::Already, printed)).await;
    };

    let count = u32::try_from(image.len()).unwrap_or(u32::MAX);
    let bytes = image.iter().map(|part| part.size).sum();
    if (count, bytes) != (progress.parts, progress.bytes) {
        progress.moved = case.now();
    }
    progress.parts = count;
    progress.bytes = bytes;
    progress.percent = decide::percent(bytes, case.plan.target.memory_mib);
    let agent = if decide::doubts(&progress, &command, case.now()) {
        match case.agent().await {
            Ok(agent) => Some(agent.as_ref().is_some_and(Agent::online)),
            Err(error) if error.fault() == Fault::Transient => return Err(error.into()),
            Err(_) => None,
        }
    } else {
        None
    };
    // The result's upload is gone only where an earlier attempt to finish has got that far.
    let there = uploaded?.is_none_or(|parts| !parts.is_empty());
    let seen = Seen { command, result: there, agent, missing: parts::first_missing(&image) };
    match decide::next(&progress, progress.wave.as_ref(), &seen, case.now(), case.deadline()) {
        Next::Finish(end) => Box::pin(finish::finish(case, &progress, &work, end, printed)).await,
        Next::Wait { pause, wave } => {
            if let (Some(range), Some(last)) = (wave, progress.wave) {
                match Box::pin(wave::next(case, uploads, &last, range)).await {
                    Ok(mark) => progress.wave = Some(mark),
                    Err(error) if error.fault() == Fault::Transient => return Err(error),
                    // The collector goes on with what it has; what it cannot send will be missing, and said.
                    Err(error) => tracing::warn!(%error, "no further wave could be written"),
                }
            }
            Ok(running(progress, pause))
        }
    }
}
