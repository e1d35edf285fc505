//! The evidence manifest: always made, complete or with what is missing.

use std::sync::Arc;

use handler::{CaseFile, StoreError};
use incident::custody;
use incident::evidence::{Capture, Missing, ObjectRef, Sealed, Standing};
use incident::manifest::{Chain, EvidenceManifest};
use incident::record::Record;
use incident::{Visit, case, said};

use crate::assess::{self, Known};
use crate::locate::Case;
use crate::objects::{self, Object, Objects, Told};
use crate::{Clients, Error, sign, snapshots};

/// The manifests and signatures: what the evidence manifest cannot list.
const AFTER: [&str; 4] = [case::EVIDENCE_MANIFEST, case::EVIDENCE_SIGNATURE, case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE];

/// Seals the evidence of a case with a plan, or finds the seal of an earlier attempt.
pub(crate) async fn seal(
    clients: &Clients,
    case: &Case,
    plan: &incident::plan::Plan,
    visit: &Visit,
    known: Known<'_>,
    target: Option<Standing>,
) -> Result<Sealed, Error> {
    if let Some(sealed) = sealed(clients, case).await? {
        return Ok(sealed);
    }
    let file = &case.file;
    let seen = snapshots::look(clients, visit, known).await?;
    // An attempt that came further than this has said how they stood; that is what counts from then on.
    let (snapshots, _) = file.put_or_read(case::SNAPSHOTS, assess::snapshots(known, seen.as_ref().ok())).await?;
    let told = Told {
        image: known.said.memory.and_then(|memory| memory.image.as_ref()),
        sealed: &[],
        most_hashed: clients.settings.most_hashed,
    };
    let before = Box::pin(objects::read(file, &Objects::default(), told)).await?;
    let custody = chain(file, case::CUSTODY, &before.records().cloned().collect::<Vec<_>>(), Chain::start()).await?;
    let objects = Box::pin(objects::read(file, &before, told)).await?;

    let records: Vec<Record> = objects.records().filter_map(|object| serde_json::from_slice(&object.bytes).ok()).collect();
    let mut missing = assess::missing(plan, known, &snapshots, &records);
    let (items, unlocked) = objects.items(case.retention, &AFTER);
    missing.extend(objects.violations);
    missing.extend(unlocked);
    let missing = assess::once(missing);
    let manifest = EvidenceManifest {
        schema: EvidenceManifest::SCHEMA.to_owned(),
        case_id: plan.case_id.clone(),
        execution: plan.execution.clone(),
        instance_id: plan.target.instance_id.clone(),
        sealed_at: visit.entered,
        complete: missing.is_empty(),
        missing,
        target,
        containment: known.said.containment.cloned(),
        protection: known.said.protection.cloned(),
        denial: known.said.denial.cloned(),
        memory: known.said.memory.cloned().map(|memory| Capture { progress: None, ..memory }),
        lockdown: known.said.lockdown.cloned(),
        context: known.said.context.cloned(),
        snapshots,
        items,
        custody,
        risks: said::risks_with(Some(plan), known.said, known.freeze),
        signing: sign::signing(clients),
    };
    file.put(case::EVIDENCE_MANIFEST, handler::case_file::to_json(&manifest)).await?;
    // Read again rather than assumed: the first writer wins.
    sealed(clients, case)
        .await?
        .ok_or_else(|| StoreError::Conflict { key: case::key(file.case(), case::EVIDENCE_MANIFEST) }.into())
}

/// The seal that is there, signed now if it was not.
pub(crate) async fn sealed(clients: &Clients, case: &Case) -> Result<Option<Sealed>, Error> {
    let Some(fetched) = case.file.get(case::EVIDENCE_MANIFEST).await? else { return Ok(None) };
    let manifest: EvidenceManifest = fetched.json()?;
    sign::sign(clients, &case.file, case::EVIDENCE_SIGNATURE, &fetched.bytes).await?;
    let mut missing = manifest.missing;
    let more = missing.len().saturating_sub(MOST_MISSING);
    if more > 0 {
        missing.truncate(MOST_MISSING);
        missing.push(Missing::new("more", format!("and {more} more items, all in the evidence manifest")));
    }
    Ok(Some(Sealed { manifest: fetched.object(), complete: manifest.complete, missing }))
}

/// The manifest that is there: what was known when the evidence was sealed.
pub(crate) async fn manifest(case: &Case) -> Result<Option<EvidenceManifest>, Error> {
    let Some(fetched) = case.file.get(case::EVIDENCE_MANIFEST).await? else { return Ok(None) };
    Ok(Some(fetched.json()?))
}

/// The most items that are handed on: outputs of states are bounded [facts 82].
const MOST_MISSING: usize = 100;

/// Chains `records` under `name`, or takes the chain that an earlier attempt wrote. Nothing is written for no records.
pub(crate) async fn chain(file: &CaseFile, name: &str, records: &[Object], start: Chain) -> Result<Chain, Error> {
    if let Some(there) = file.get(name).await? {
        return held(name, &there.bytes, &start);
    }
    let records = records.iter().map(|object| -> (ObjectRef, Arc<[u8]>) { (object.item.object.clone(), object.bytes.clone()) });
    let (bytes, chain) = custody::build(records, start.clone());
    match file.put(name, bytes).await? {
        handler::Written::Other { bytes, .. } => held(name, &bytes, &start),
        _ => Ok(chain),
    }
}

fn held(name: &str, bytes: &[u8], start: &Chain) -> Result<Chain, Error> {
    let checked = custody::check(bytes, start);
    checked.map(|(_, chain)| chain).map_err(|source| Error::Custody { key: name.to_owned(), source })
}
