//! The closing manifest: the exact set of objects of a case.

use handler::StoreError;
use incident::evidence::{Closed, ObjectRef, Sealed};
use incident::manifest::{Chain, ClosingManifest};
use incident::record::Record;
use incident::report::Report;
use incident::{Classify as _, Fault, case, custody, timeline};

use crate::assess::{self, Known};
use crate::evidence::{chain, seal, sealed};
use crate::last_word::LAST_WORD;
use crate::locate::{self, Case, sentence};
use crate::objects::{self, Object, Objects};
use crate::{Clients, CloseInput, Error, history, inbox, sign};

/// Closes the case of an execution, or finds it closed.
pub(crate) async fn close(clients: &Clients, input: CloseInput) -> Result<Closed, Error> {
    let plan = input.plan.as_deref().cloned();
    let Some(case) = locate::find(clients, &input.visit, plan, &input.input).await? else {
        let mut reasons = assess::reasons(None, None, None, input.failure.as_ref());
        reasons.push("no case was opened: nothing was changed, and there is nothing to close".to_owned());
        return Ok(Closed { as_planned: false, manifest: None, reasons });
    };
    if closed(&case).await?.is_none() {
        Box::pin(write(clients, &case, &input)).await?;
    }
    // Read again rather than assumed: the first writer wins.
    let (manifest, bytes, object) = closed(&case)
        .await?
        .ok_or_else(|| Error::Store(StoreError::Conflict { key: case::key(case.file.case(), case::CLOSING_MANIFEST) }))?;
    sign::sign(clients, &case.file, case::CLOSING_SIGNATURE, &bytes).await?;
    inbox::release(clients, &case).await?;
    Ok(assess::bounded_reasons(Closed { as_planned: manifest.as_planned, manifest: Some(object), reasons: manifest.reasons }))
}

/// The closing manifest that is there.
pub(crate) async fn closed(case: &Case) -> Result<Option<(ClosingManifest, Vec<u8>, ObjectRef)>, Error> {
    let Some(fetched) = case.file.get(case::CLOSING_MANIFEST).await? else { return Ok(None) };
    Ok(Some((fetched.json()?, fetched.bytes.clone(), fetched.object())))
}

async fn write(clients: &Clients, case: &Case, input: &CloseInput) -> Result<(), Error> {
    let file = &case.file;
    let lost = inbox::shut(clients, case, &input.visit).await?;
    let mut problems = inbox::empty(clients, case).await?;
    problems.extend(lost);
    let sealed = match Box::pin(evidence(clients, case, input)).await {
        Ok(sealed) => sealed,
        // A state is tried again; the last word has no other try.
        Err(error) if error.fault() == Fault::Transient && input.visit.state != LAST_WORD => return Err(error),
        Err(error) => {
            problems.push(sentence("the evidence could not be sealed", &error));
            None
        }
    };
    let before = Box::pin(objects::read(file, &Objects::default())).await?;
    let mut reasons = assess::reasons(case.plan.as_ref(), input.containment.as_ref(), sealed.as_ref(), input.failure.as_ref());
    reasons.extend(problems);
    tell(clients, case, input, sealed.as_ref(), &before, &reasons).await?;
    let custody = closing_chain(case, &before).await?;

    let objects = Box::pin(objects::read(file, &before)).await?;
    let (items, unlocked) = objects.items(case.retention, &[case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE]);
    let found = objects.violations.iter().chain(&unlocked);
    for missing in found {
        let reason = format!("{}: {}", missing.item, missing.reason);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let manifest = ClosingManifest {
        schema: ClosingManifest::SCHEMA.to_owned(),
        case_id: file.case().clone(),
        execution: input.visit.execution.clone(),
        closed_at: input.visit.entered,
        closed_by: input.visit.state.clone(),
        as_planned: reasons.is_empty(),
        reasons,
        failure: input.failure.clone(),
        evidence: sealed.map(|sealed| sealed.manifest),
        items,
        custody,
        signing: sign::signing(clients),
    };
    file.put(case::CLOSING_MANIFEST, handler::case_file::to_json(&manifest)).await?;
    Ok(())
}

/// The seal: as handed on, as it is there, or made now, so that a run that broke before Seal has its evidence sealed too.
async fn evidence(clients: &Clients, case: &Case, input: &CloseInput) -> Result<Option<Sealed>, Error> {
    if let Some(sealed) = &input.sealed {
        return Ok(Some(sealed.clone()));
    }
    let known =
        Known { containment: input.containment.as_ref(), freeze: input.freeze.as_ref(), preserved: input.preserved.as_ref() };
    match &case.plan {
        Some(plan) => seal(clients, case, plan, &input.visit, known).await.map(Some),
        None => sealed(clients, case).await,
    }
}

/// The records that are not in the first chain, chained to its head.
async fn closing_chain(case: &Case, objects: &Objects) -> Result<Chain, Error> {
    let (lines, start) = match case.file.get(case::CUSTODY).await? {
        Some(fetched) => custody::check(&fetched.bytes, &Chain::start())
            .map_err(|source| Error::Custody { key: case::CUSTODY.to_owned(), source })?,
        None => (Vec::new(), Chain::start()),
    };
    let chained = |object: &&Object| {
        let object = &object.item.object;
        lines.iter().any(|line| line.key == object.key && line.version_id == object.version_id)
    };
    let later: Vec<Object> = objects.records().filter(|object| !chained(object)).cloned().collect();
    chain(&case.file, case::CUSTODY_CLOSING, &later, start).await
}

/// History, report and timeline. Those of an earlier attempt stay.
async fn tell(
    clients: &Clients,
    case: &Case,
    input: &CloseInput,
    sealed: Option<&Sealed>,
    objects: &Objects,
    reasons: &[String],
) -> Result<(), Error> {
    let file = &case.file;
    let records: Vec<Record> = objects.records().filter_map(|object| serde_json::from_slice(&object.bytes).ok()).collect();
    let history = history::read(clients, &input.visit.execution).await;
    file.put(case::HISTORY, handler::case_file::to_json(&history)).await?;
    let known =
        Known { containment: input.containment.as_ref(), freeze: input.freeze.as_ref(), preserved: input.preserved.as_ref() };
    let report = Report {
        schema: Report::SCHEMA.to_owned(),
        case_id: file.case().clone(),
        instance_id: file.case().instance(),
        execution: input.visit.execution.clone(),
        closed_at: input.visit.entered,
        closed_by: input.visit.state.clone(),
        as_planned: reasons.is_empty(),
        reasons: reasons.to_vec(),
        failure: input.failure.clone(),
        metrics: incident::report::metrics(case.plan.as_ref(), input.containment.as_ref()),
        todo: incident::report::todo(case.plan.as_ref(), input.containment.as_ref(), sealed, input.failure.as_ref()),
        plan: case.plan.clone(),
        containment: input.containment.clone(),
        snapshots: assess::snapshots(known),
        missing: sealed.map(|sealed| sealed.missing.clone()).unwrap_or_default(),
        risks: assess::risks(case.plan.as_ref(), input.containment.as_ref()),
        actions: incident::report::actions(&records),
    };
    file.put(case::REPORT, handler::case_file::to_json(&report)).await?;
    let lines = timeline::build(case.plan.as_ref(), input.containment.as_ref(), &records, &history.entered());
    file.put(case::TIMELINE, timeline::to_jsonl(&lines)).await?;
    Ok(())
}
