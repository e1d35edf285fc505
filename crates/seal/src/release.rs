//! The end of a release: its own file is chained, listed and signed like a case's, and the target is free again.
//!
//! The closed case stays as it was sealed. A release has no evidence, so that its file has a closing manifest alone.

use incident::evidence::{Closed, Denial, DenialStatus, Failure};
use incident::manifest::ClosingManifest;
use incident::release::{ReleasePlan, ReleaseReport, ReleaseRequest, ReleaseStatus, Released};
use incident::text::bounded;
use incident::{CaseId, Visit, case};
use serde_json::Value;

use crate::close::{closed, closing_chain};
use crate::locate::Case;
use crate::objects::{self, Objects, Told};
use crate::{Clients, Error, assess, inbox, sign};

/// What is known of a release at its end.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// Where in the execution this is.
    pub(crate) visit: Visit,
    /// What was to be given back; absent where the check did not come that far.
    pub(crate) release: Option<ReleasePlan>,
    /// What was.
    pub(crate) released: Option<Released>,
    /// Whether the target's role sessions are still denied; absent where nothing was to be lifted.
    pub(crate) denial: Option<Denial>,
    /// What broke.
    pub(crate) failure: Option<Failure>,
}

/// Closes the file of a release, or finds it closed.
pub(crate) async fn close(clients: &Clients, end: End) -> Result<Closed, Error> {
    let Some(release) = end.release.clone() else {
        let reasons = vec!["nothing was released, so that there is nothing to close".to_owned()];
        return Ok(Closed { as_planned: false, manifest: None, reasons });
    };
    let file = clients.store.case(&release.release_id, release.retention);
    let case = Case { file, plan: None, retention: release.retention };
    if closed(&case).await?.is_none() {
        Box::pin(write(clients, &case, &end)).await?;
    }
    let (manifest, bytes, object) = closed(&case)
        .await?
        .ok_or_else(|| handler::StoreError::Conflict { key: case::key(&release.release_id, case::CLOSING_MANIFEST) })?;
    sign::sign(clients, &case.file, case::CLOSING_SIGNATURE, &bytes).await?;
    inbox::release(clients, &case).await?;
    Ok(assess::bounded_reasons(Closed { as_planned: manifest.as_planned, manifest: Some(object), reasons: manifest.reasons }))
}

async fn write(clients: &Clients, case: &Case, end: &End) -> Result<(), Error> {
    let report = ReleaseReport {
        schema: ReleaseReport::SCHEMA.to_owned(),
        release_id: case.file.case().clone(),
        released: end.released.clone(),
        denial: end.denial.clone(),
        failure: end.failure.clone(),
    };
    case.file.put(case::RELEASED, handler::case_file::to_json(&report)).await?;
    let told = Told { image: None, sealed: &[], most_hashed: clients.settings.most_hashed };
    let before = Box::pin(objects::read(&case.file, &Objects::default(), told)).await?;
    let custody = closing_chain(case, &before).await?;
    let objects = Box::pin(objects::read(&case.file, &before, told)).await?;
    let (items, unlocked) = objects.items(case.retention, &[case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE]);
    let mut reasons = reasons(end);
    let found = objects.violations.iter().chain(&unlocked);
    reasons.extend(found.map(|missing| format!("{}: {}", missing.item, missing.reason)));
    let manifest = ClosingManifest {
        schema: ClosingManifest::SCHEMA.to_owned(),
        case_id: case.file.case().clone(),
        execution: end.visit.execution.clone(),
        closed_at: end.visit.entered,
        closed_by: end.visit.state.clone(),
        as_planned: reasons.is_empty(),
        reasons,
        failure: end.failure.clone(),
        evidence: None,
        items,
        custody,
        signing: sign::signing(clients),
    };
    case.file.put(case::CLOSING_MANIFEST, handler::case_file::to_json(&manifest)).await?;
    Ok(())
}

/// What did not go as it was asked for, one sentence each.
pub(crate) fn reasons(end: &End) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(failure) = &end.failure {
        all.push(format!("{} failed with {}: {}", failure.state, failure.error, failure.cause));
    }
    let said = match end.released.as_ref().map(|released| released.status) {
        Some(ReleaseStatus::Released) => None,
        Some(ReleaseStatus::PartlyReleased) => Some("the target is only partly released"),
        Some(ReleaseStatus::NotReleased) => Some("nothing of the target was released"),
        Some(ReleaseStatus::Superseded) => Some("a new finding claimed the target, so that nothing more was released"),
        Some(ReleaseStatus::Unknown) => Some("it could not be read back how the target stands"),
        None => Some("the run broke before it could say how the target stands"),
    };
    all.extend(said.map(str::to_owned));
    all.extend(end.released.iter().flat_map(|released| released.reasons.iter().cloned()));
    let lifted = |denial: &Denial| matches!(denial.status, DenialStatus::Lifted | DenialStatus::NothingToDeny);
    if let Some(denial) = end.denial.as_ref().filter(|denial| !lifted(denial)) {
        all.push(format!("the target's credentials are still denied, or nobody knows: {}", denial.reasons.join("; ")));
    }
    all.dedup();
    all.iter().map(|reason| bounded(reason, 400)).collect()
}

/// The request and the plan of the release that an execution with this input makes: `None` where it is no release.
pub(crate) async fn of(clients: &Clients, visit: &Visit, input: &Value) -> Result<Option<Option<ReleasePlan>>, Error> {
    let Ok(request) = serde_json::from_value::<ReleaseRequest>(input.clone()) else { return Ok(None) };
    let id = CaseId::new(&request.case_id.instance(), &visit.execution);
    let fetched = clients.store.get(&case::key(&id, case::RELEASE)).await?;
    Ok(Some(fetched.map(|there| there.json::<ReleasePlan>()).transpose()?))
}
