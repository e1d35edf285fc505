//! The closing manifest: the exact set of objects of a case.

use std::collections::HashSet;

use handler::{CaseFile, StoreError};
use incident::context::{Document, Source};
use incident::evidence::{Capture, Closed, ObjectRef, Sealed};
use incident::manifest::{Chain, ClosingManifest, EvidenceManifest, Item, SealedSnapshot};
use incident::record::Record;
use incident::report::{self, Report};
use incident::said::{self, Said};
use incident::{Classify as _, Fault, case, custody, disks, timeline};

use crate::assess;
use crate::evidence::{self, chain, seal, sealed};
use crate::last_word::LAST_WORD;
use crate::locate::{self, Case, sentence};
use crate::objects::{self, Object, Objects, Told};
use crate::{Clients, CloseInput, Error, history, inbox, sign};

/// Closes the case of an execution, or finds it closed.
pub(crate) async fn close(clients: &Clients, input: CloseInput) -> Result<Closed, Error> {
    let plan = input.plan.as_deref().cloned();
    let Some(case) = locate::find(clients, &input.visit, plan, &input.input).await? else {
        let mut reasons = assess::reasons(None, Said::default(), None, input.failure.as_ref());
        reasons.push("no case was opened: nothing was changed, and there is nothing to close".to_owned());
        return Ok(Closed { as_planned: false, manifest: None, reasons });
    };
    if closed(&case).await?.is_none() {
        Box::pin(write(clients, &case, input)).await?;
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

async fn write(clients: &Clients, case: &Case, mut input: CloseInput) -> Result<(), Error> {
    let file = &case.file;
    let lost = inbox::shut(clients, case, &input.visit).await?;
    let mut problems = inbox::empty(clients, case).await?;
    problems.extend(lost);
    // A state is tried again; the last word has no other try.
    let fatal = |error: &Error| error.fault() == Fault::Transient && input.visit.state != LAST_WORD;
    let sealed = match Box::pin(sealed_now(clients, case, &input)).await {
        Ok(sealed) => sealed,
        Err(error) if fatal(&error) => return Err(error),
        Err(error) => {
            problems.push(sentence("the evidence could not be sealed", &error));
            None
        }
    };
    let manifest = match evidence::manifest(case).await {
        Ok(manifest) => manifest,
        Err(error) if fatal(&error) => return Err(error),
        Err(error) => {
            problems.push(sentence("the evidence manifest could not be read", &error));
            None
        }
    };
    let (items, snapshots) = remembered(&mut input, manifest);
    let image = input.memory.as_ref().and_then(|memory| memory.image.as_ref());
    let told = Told { image, sealed: &items, most_hashed: clients.settings.most_hashed };
    let before = Box::pin(objects::read(file, &Objects::default(), told)).await?;
    let mut reasons = assess::reasons(case.plan.as_ref(), input.said(), sealed.as_ref(), input.failure.as_ref());
    reasons.extend(problems);
    tell(clients, case, &input, sealed.as_ref(), snapshots, &before, &reasons).await?;
    let custody = closing_chain(case, &before).await?;

    let objects = Box::pin(objects::read(file, &before, told)).await?;
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

/// Fills in what a run that died could not hand on, from what it sealed. Gives the items of the seal, and the snapshots as
/// they were sealed, or as the run has them where there is no seal.
fn remembered(input: &mut CloseInput, manifest: Option<EvidenceManifest>) -> (Vec<Item>, Vec<SealedSnapshot>) {
    let Some(manifest) = manifest else { return (Vec::new(), assess::snapshots(input.known(), None)) };
    input.protection = input.protection.take().or(manifest.protection);
    input.denial = input.denial.take().or(manifest.denial);
    input.memory = input.memory.take().or(manifest.memory);
    input.lockdown = input.lockdown.take().or(manifest.lockdown);
    input.context = input.context.take().or(manifest.context);
    (manifest.items, manifest.snapshots)
}

/// The seal: as handed on, as it is there, or made now, so that a run that broke before Seal has its evidence sealed too.
async fn sealed_now(clients: &Clients, case: &Case, input: &CloseInput) -> Result<Option<Sealed>, Error> {
    if let Some(sealed) = &input.sealed {
        return Ok(Some(sealed.clone()));
    }
    match &case.plan {
        Some(plan) => Box::pin(seal(clients, case, plan, &input.visit, input.known(), None)).await.map(Some),
        None => sealed(clients, case).await,
    }
}

/// The records that are not in the first chain, chained to its head.
pub(crate) async fn closing_chain(case: &Case, objects: &Objects) -> Result<Chain, Error> {
    let (lines, start) = match case.file.get(case::CUSTODY).await? {
        Some(fetched) => custody::check(&fetched.bytes, &Chain::start())
            .map_err(|source| Error::Custody { key: case::CUSTODY.to_owned(), source })?,
        None => (Vec::new(), Chain::start()),
    };
    let chained: HashSet<(&str, &str)> = lines.iter().map(|line| (line.key.as_str(), line.version_id.as_str())).collect();
    let is_chained = |object: &ObjectRef| chained.contains(&(object.key.as_str(), object.version_id.as_str()));
    let later: Vec<Object> = objects.records().filter(|object| !is_chained(&object.item.object)).cloned().collect();
    chain(&case.file, case::CUSTODY_CLOSING, &later, start).await
}

/// What the context has for the timeline. What cannot be read is left out of that; it stays where it is.
async fn heard(file: &CaseFile, objects: &Objects) -> Vec<Document> {
    let mut documents = Vec::new();
    let tells = |source: &Source| source.is_trail() || *source == Source::GuardDutyFindings;
    for source in Source::ALL.into_iter().filter(tells) {
        if !objects.all.iter().any(|object| object.name() == source.name()) {
            continue;
        }
        let document = match file.get(source.name()).await {
            Ok(fetched) => fetched.map(|fetched| fetched.json::<Document>()).transpose(),
            Err(error) => Err(error.into()),
        };
        match document {
            Ok(document) => documents.extend(document),
            Err(error) => tracing::warn!(%error, "the timeline does without {}", source.name()),
        }
    }
    documents
}

/// History, report and timeline. Those of an earlier attempt stay.
async fn tell(
    clients: &Clients,
    case: &Case,
    input: &CloseInput,
    sealed: Option<&Sealed>,
    snapshots: Vec<SealedSnapshot>,
    objects: &Objects,
    reasons: &[String],
) -> Result<(), Error> {
    let file = &case.file;
    let records: Vec<Record> = objects.records().filter_map(|object| serde_json::from_slice(&object.bytes).ok()).collect();
    let history = history::read(clients, &input.visit.execution).await;
    file.put(case::HISTORY, handler::case_file::to_json(&history)).await?;
    let (plan, said) = (case.plan.as_ref(), input.said());
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
        metrics: report::metrics(plan, said.containment),
        todo: report::todo(plan, said, sealed, input.failure.as_ref()),
        plan: case.plan.clone(),
        containment: input.containment.clone(),
        protection: input.protection.clone(),
        denial: input.denial.clone(),
        memory: input.memory.clone().map(|memory| Capture { progress: None, ..memory }),
        lockdown: input.lockdown.clone(),
        context: input.context.clone(),
        permission: input.permission.clone(),
        termination: input.termination.clone(),
        disks: disks::of(plan, &snapshots),
        snapshots,
        missing: sealed.map(|sealed| sealed.missing.clone()).unwrap_or_default(),
        risks: said::risks_with(plan, said, input.freeze.as_ref()),
        actions: report::actions(&records),
    };
    file.put(case::REPORT, handler::case_file::to_json(&report)).await?;
    let lines = timeline::build(plan, said, &records, &history.entered(), &heard(file, objects).await);
    file.put(case::TIMELINE, timeline::to_jsonl(&lines)).await?;
    Ok(())
}
