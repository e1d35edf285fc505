//! The findings that joined while the case was open. See `docs/decisions/0004-joining.md`.

use handler::Written;
use incident::claim::Claim;
use incident::text::key_segment;
use incident::{Visit, case};

use crate::locate::{self, Case};
use crate::{Clients, Error};

/// Marks the claim: from now on nothing joins. Says why the claim is not ours any more, if it is not.
pub(crate) async fn shut(clients: &Clients, case: &Case, visit: &Visit) -> Result<Option<String>, Error> {
    let instance = case.file.case().instance();
    let Some((claim, etag)) = locate::claim(clients, &instance).await? else {
        return Ok(Some("the claim on the target is gone: another case of it may have been opened meanwhile".to_owned()));
    };
    if claim.case_id != *case.file.case() || claim.execution_arn != visit.execution {
        return Ok(Some(format!("the claim on the target belongs to case {}, which took it over", claim.case_id)));
    }
    if claim.closing {
        return Ok(None);
    }
    let marked = handler::case_file::to_json(&Claim { closing: true, ..claim });
    let ours = clients.store.put_if(&Claim::key(&instance), marked, Some(&etag)).await?;
    if ours {
        return Ok(None);
    }
    // The SDK sends a put again whose answer was lost: then the mark is ours, under another ETag.
    let again = locate::claim(clients, &instance).await?;
    let ours = again.is_some_and(|(claim, _)| claim.closing && claim.case_id == *case.file.case());
    Ok((!ours).then(|| "the claim on the target changed while the case was being closed".to_owned()))
}

/// Takes the findings that joined into the case.
pub(crate) async fn empty(clients: &Clients, case: &Case) -> Result<Vec<String>, Error> {
    let inbox = case::joined_inbox(case.file.case());
    let mut problems = Vec::new();
    for key in clients.store.keys(&inbox, "").await? {
        let stem = key.strip_prefix(&inbox).unwrap_or_default();
        let stem = stem.strip_suffix(".json").unwrap_or(stem);
        // Two segments of up to 71 characters: what is longer, or holds a slash, was not written by triage.
        let plain = stem.len() <= 143 && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let name = format!("{}{}.json", case::FINDINGS, if plain { stem.to_owned() } else { key_segment(stem) });
        let Some(fetched) = clients.store.get(&key).await? else { continue };
        if let Written::Other { .. } = case.file.put(&name, fetched.bytes).await? {
            problems.push(format!("{name} was there already with other content, which stays"));
        }
    }
    Ok(problems)
}

/// Releases the claim, if it is ours.
pub(crate) async fn release(clients: &Clients, case: &Case) -> Result<(), Error> {
    let instance = case.file.case().instance();
    if let Some((claim, etag)) = locate::claim(clients, &instance).await?
        && claim.case_id == *case.file.case()
    {
        clients.store.delete_if(&Claim::key(&instance), &etag).await?;
    }
    Ok(())
}
