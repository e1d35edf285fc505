//! Reads everything that a release is judged and planned by.
//!
//! What may pass (a throttled call) fails the step, which is tried again. Everything else that cannot be read is a fact that
//! the guard refuses by, or that the plan tells.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use futures_util::future::{join, try_join};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use handler::{AwsError, Versions, by_key, failed, told};
use incident::before::Before;
use incident::manifest::ClosingManifest;
use incident::release::ReleaseRequest;
use incident::text::{bounded, sha256};
use incident::{CaseId, Visit, case};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::guard::{Facts, LONGEST_CHAIN};
use crate::look::{capacity, groups, look};
use crate::now::{Capacity, Told};
use crate::sealed::{Case, Filed, Manifest, Read, is_used, open};
use crate::{Clients, claims, saved};

/// How many objects are read at a time.
const AT_ONCE: usize = 16;
/// The most bytes of an object that is read: far more than any that Cordon writes.
const MOST_READ: u64 = 16 << 20;

/// What is in the bucket of this target, by key.
type Keys = BTreeMap<String, Versions>;

/// What was read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) facts: Facts,
    /// The Auto Scaling group that the chain took the target out of; `None` where it is gone or there was none.
    pub(crate) capacity: Told<Option<Capacity>>,
}

/// Reads everything: the target's cases, the claim, the target itself and what is around it.
pub(crate) async fn read(clients: &Clients, visit: &Visit, request: &ReleaseRequest) -> Result<Found, AwsError> {
    let (case, instance) = (&request.case_id, request.case_id.instance());
    let release = CaseId::new(&instance, &visit.execution);
    let listing = async { told(clients.store.versions(&format!("cases/{instance}-")).await) };
    let holder = claims::holder(clients, &instance, &release, &visit.execution);
    let (listing, holder) = Box::pin(try_join(listing, holder)).await?;
    let mut facts = Facts {
        case: case.clone(),
        execution: visit.execution.clone(),
        chain: Vec::new(),
        endless: None,
        later: Vec::new(),
        holder,
        target: Err("nobody looked".to_owned()),
        groups: Ok(BTreeMap::new()),
    };
    match listing.map(by_key) {
        Ok(keys) => {
            Box::pin(chain(clients, &mut facts, &keys)).await?;
            facts.later = Box::pin(later(clients, &facts, &keys)).await?;
        }
        Err(reason) => facts.chain.push(Err(vec![format!("the case could not be listed: {reason}")])),
    }
    let known: Vec<&Case> = facts.chain.iter().rev().filter_map(|case| case.as_ref().ok()).collect();
    let around = saved::around(&known);
    let size = async {
        match saved::membership(&known) {
            Some(membership) => capacity(clients, &membership.name).await,
            None => Ok(None),
        }
    };
    let (now, capacity) = Box::pin(join(look(clients, &instance, &around), size)).await;
    let now = told(now)?;
    if let Some(busy) = now.as_ref().ok().and_then(|now| now.busy()).or(transient(&capacity)) {
        return Err(busy.clone());
    }
    let mut named: BTreeSet<_> = saved::mentioned(&known);
    named.extend(now.iter().flat_map(|now| &now.nics).flat_map(|nic| nic.groups.clone()));
    facts.groups = told(Box::pin(groups(clients, &named)).await)?;
    facts.target = now;
    Ok(Found { facts, capacity })
}

fn transient<T>(told: &Told<T>) -> Option<&AwsError> {
    told.as_ref().err().filter(|error| error.fault == incident::Fault::Transient)
}

/// The case, the earlier one that it names, and so on. What an unverified case names is not followed.
async fn chain(clients: &Clients, facts: &mut Facts, keys: &Keys) -> Result<(), AwsError> {
    let mut seen: Vec<CaseId> = Vec::new();
    let mut next = Some(facts.case.clone());
    while let Some(id) = next.take() {
        if seen.len() >= LONGEST_CHAIN || seen.contains(&id) || id.instance() != facts.case.instance() {
            facts.endless = Some(id);
            return Ok(());
        }
        let case = open(&Box::pin(filed(clients, &id, keys)).await?);
        next = case.as_ref().ok().and_then(|case| case.before.earlier_case.clone());
        facts.chain.push(case);
        seen.push(id);
    }
    Ok(())
}

/// Everything of one case that a release needs.
async fn filed(clients: &Clients, id: &CaseId, keys: &Keys) -> Result<Filed, AwsError> {
    let prefix = case::prefix(id);
    let keys: Keys =
        keys.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(key, versions)| (key.clone(), versions.clone())).collect();
    let manifest = Box::pin(manifest(clients, id, &keys)).await?;
    let items = manifest.iter().flatten().flat_map(|manifest| &manifest.document.items);
    let used = items.filter_map(|item| {
        let name = item.object.key.strip_prefix(&prefix)?;
        is_used(name).then(|| (name.to_owned(), item.object.clone()))
    });
    let reading = used.map(|(name, object)| async move {
        if object.size > MOST_READ {
            return Ok((name, Err("it is larger than anything that Cordon writes".to_owned())));
        }
        let read = told(clients.store.version(&object.key, &object.version_id).await)?;
        Ok::<_, AwsError>((name, read.map(|read| Read { sha256: sha256(&read.bytes), bytes: read.bytes })))
    });
    let objects = Box::pin(stream::iter(reading).buffered(AT_ONCE).try_collect()).await?;
    Ok(Filed { case: id.clone(), keys, manifest, objects })
}

/// The closing manifest, if there is one, and whether its signature holds.
async fn manifest(clients: &Clients, id: &CaseId, keys: &Keys) -> Result<Option<Result<Manifest, String>>, AwsError> {
    let (key, signature) = (case::key(id, case::CLOSING_MANIFEST), case::key(id, case::CLOSING_SIGNATURE));
    let Some(versions) = keys.get(&key) else { return Ok(None) };
    let once = |versions: Option<&Versions>| {
        let small = versions.and_then(Versions::only).filter(|it| it.size <= MOST_READ);
        small.map(|it| it.version_id.clone())
    };
    let (Some(manifest), Some(sealed)) = (once(Some(versions)), once(keys.get(&signature))) else {
        return Ok(Some(Err("there is not exactly one closing manifest with one signature".to_owned())));
    };
    let bytes = async { told(clients.store.version(&key, &manifest).await) };
    let sealed = async { told(clients.store.version(&signature, &sealed).await) };
    let (bytes, sealed) = match Box::pin(try_join(bytes, sealed)).await? {
        (Ok(manifest), Ok(sealed)) => (manifest.bytes, sealed.bytes),
        (Err(reason), _) | (_, Err(reason)) => return Ok(Some(Err(reason))),
    };
    let signature = Box::pin(verify(clients, &bytes, sealed)).await?;
    Ok(Some(parsed(&bytes).map(|document: ClosingManifest| Manifest { document, signature })))
}

/// Whether Seal's key signed these bytes. The key is the one of the deployment, not the one that the manifest names.
async fn verify(clients: &Clients, manifest: &[u8], signature: Vec<u8>) -> Result<Result<(), String>, AwsError> {
    let forged = || Err("its signature is not by the key of this deployment: find out who wrote it".to_owned());
    let verify = clients.kms.verify().key_id(&clients.signing_key);
    let verify = verify.message(Blob::new(Sha256::digest(manifest).to_vec())).message_type(MessageType::Digest);
    let verify = verify.signature(Blob::new(signature)).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
    match verify.send().await.map_err(failed("kms:Verify")) {
        Ok(answer) if answer.signature_valid() => Ok(Ok(())),
        Ok(_) => Ok(forged()),
        Err(error) if error.is("KMSInvalidSignatureException") => Ok(forged()),
        Err(error) => {
            told(Err(error)).map(|found| found.map_err(|reason| format!("its signature could not be checked: {reason}")))
        }
    }
}

/// The cases of the target that were opened later and do not go back to this chain. Nothing is given back from them, so that
/// they need not verify: one that cannot be read counts as later.
async fn later(clients: &Clients, facts: &Facts, keys: &Keys) -> Result<Vec<CaseId>, AwsError> {
    let Some(Ok(asked)) = facts.chain.first() else { return Ok(Vec::new()) };
    let chained = |id: &CaseId| facts.chain.iter().any(|case| case.as_ref().is_ok_and(|case| case.id == *id));
    let mut all = Vec::new();
    for (key, versions) in keys {
        let id = key.strip_suffix(case::BEFORE).and_then(|key| key.strip_prefix("cases/")?.strip_suffix('/'));
        let Some(id) = id.and_then(|id| CaseId::parse(id).ok()).filter(|id| !chained(id)) else { continue };
        let before: Option<Before> = match versions.only() {
            Some(version) if version.size <= MOST_READ => {
                told(clients.store.version(key, &version.version_id).await)?.ok().and_then(|read| parsed(&read.bytes).ok())
            }
            _ => None,
        };
        match before {
            Some(before) if before.opened <= asked.before.opened || before.earlier_case.as_ref().is_some_and(chained) => {}
            Some(before) => all.push((Some(before.opened), id)),
            None => all.push((None, id)),
        }
    }
    all.sort();
    Ok(all.into_iter().map(|(_, id)| id).collect())
}

/// JSON of ours, or why it is none.
fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {}", bounded(&error.to_string(), 300)))
}
