//! Reads everything that the guard judges by, by version, and what does not depend on each other together.
//!
//! What may pass (a throttled call) fails the step, which is tried again. Everything else that cannot be read is a fact that
//! the guard refuses by.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, Filter, Instance, InstanceAttributeName, LockState, LockedSnapshotsInfo};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use futures_util::future::{join, try_join, try_join_all, try_join3, try_join4};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use handler::{AwsError, Versions, by_key, failed, told};
use incident::claim::Claim;
use incident::evidence::ObjectRef;
use incident::manifest::EvidenceManifest;
use incident::permission::Answered;
use incident::plan::{LockMode, Plan, SnapshotLock};
use incident::protection::BeforeProtections;
use incident::record::{ChangeResult, Record};
use incident::text::{bounded, sha256};
use incident::{CaseId, ExecutionArn, Fault, InstanceId, SnapshotId, case};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::approvals::Kept;
use crate::guard::{Facts, Manifest, Object, Snapshot, Target};
use crate::{Clients, objects, standing};

/// How many objects are read at a time.
const AT_ONCE: usize = 16;
/// The longest answer that is read, in bytes: a hundred waivers with their reasons.
const LONGEST_ANSWER: u64 = 1 << 20;
/// The state whose intents are ours.
const STATE: &str = "Terminate";
/// The action of those intents.
pub(crate) const ACTION: &str = "ec2:TerminateInstances";

/// What is in the case, by key.
type Keys = BTreeMap<String, Versions>;

/// Reads everything. `cited` says which manifest the permission is for.
pub(crate) async fn read(
    clients: &Clients,
    case: &CaseId,
    execution: &ExecutionArn,
    cited: &ObjectRef,
) -> Result<Facts, AwsError> {
    let instance = case.instance();
    let filed = async { told(clients.store.versions(&case::prefix(case)).await).map(|found| found.map(by_key)) };
    let (filed, claim, target) = Box::pin(try_join3(filed, claim(clients, &instance), target(clients, &instance))).await?;
    let (keys, unlisted) = match filed {
        Ok(keys) => (keys, None),
        Err(reason) => (Keys::new(), Some(reason)),
    };
    let (manifest, answers, intended) = Box::pin(try_join3(
        manifest(clients, case, &keys, cited),
        answers(clients, case, &keys),
        intended(clients, case, execution, &keys),
    ))
    .await?;
    let manifest = unlisted.map_or(manifest, Err);
    let mut facts = Facts {
        case: case.clone(),
        execution: execution.clone(),
        manifest,
        plan: Err("there is no manifest that says which plan was sealed".to_owned()),
        answers,
        claim,
        target,
        protected_before: Err("there is no manifest that says what was before".to_owned()),
        snapshots: Vec::new(),
        objects: Vec::new(),
        intended,
    };
    if let Ok(Manifest { document, .. }) = &facts.manifest {
        let (plan, before, objects, snapshots) = Box::pin(try_join4(
            sealed::<Plan>(clients, case, document, case::PLAN),
            sealed::<BeforeProtections>(clients, case, document, case::BEFORE_PROTECTIONS),
            sealed_objects(clients, document, &keys),
            snapshots(clients, document),
        ))
        .await?;
        facts.protected_before = protected_before(clients, before, plan.as_ref().ok()).await?;
        (facts.plan, facts.objects, facts.snapshots) = (plan, objects, snapshots);
    }
    Ok(facts)
}

async fn claim(clients: &Clients, instance: &InstanceId) -> Result<Result<Option<Claim>, String>, AwsError> {
    let found = told(clients.store.get(&Claim::key(instance)).await)?;
    Ok(found.and_then(|found| found.map(|found| parsed(&found.bytes)).transpose()))
}

/// The target, its tags and its protection.
async fn target(clients: &Clients, id: &InstanceId) -> Result<Result<Target, String>, AwsError> {
    let attribute = clients.ec2.describe_instance_attribute().instance_id(id.as_str());
    let attribute = attribute.attribute(InstanceAttributeName::DisableApiTermination);
    let (instance, attribute) = Box::pin(join(standing::look(&clients.ec2, id), attribute.send())).await;
    let protection = told(attribute.map_err(failed("ec2:DescribeInstanceAttribute")))?.and_then(|answer| {
        let word = answer.disable_api_termination().and_then(AttributeBooleanValue::value);
        word.ok_or_else(|| "the answer does not say".to_owned())
    });
    let at = handler::now();
    Ok(told(instance)?.map(|instance| {
        let tags = instance.iter().flat_map(Instance::tags);
        let tags = tags.map(|tag| (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned()));
        Target { standing: standing::of(instance.as_ref()), tags: tags.collect(), protection, at }
    }))
}

/// The manifest that the permission is for, if it is the case's only one, and whether its signature holds.
async fn manifest(
    clients: &Clients,
    case: &CaseId,
    keys: &Keys,
    cited: &ObjectRef,
) -> Result<Result<Manifest, String>, AwsError> {
    let (key, signature) = (case::key(case, case::EVIDENCE_MANIFEST), case::key(case, case::EVIDENCE_SIGNATURE));
    if cited.key != key {
        return Ok(Err("what is cited is not the manifest of this case".to_owned()));
    }
    let Some(versions) = keys.get(&key) else { return Ok(Err("the case has no evidence manifest".to_owned())) };
    if versions.only().is_none_or(|version| version.version_id != cited.version_id) {
        return Ok(Err("the manifest was written twice or deleted, or another one is cited: find out by whom".to_owned()));
    }
    let sealing = async {
        let only = keys.get(&signature).and_then(Versions::only);
        let Some(only) = only else { return Ok(Err("there is not exactly one signature beside it".to_owned())) };
        told(clients.store.version(&signature, &only.version_id).await)
    };
    let bytes = async { told(clients.store.version(&key, &cited.version_id).await) };
    let (bytes, signature) = Box::pin(try_join(bytes, sealing)).await?;
    let bytes = match bytes {
        Ok(fetched) => fetched.bytes,
        Err(reason) => return Ok(Err(reason)),
    };
    let digest = sha256(&bytes);
    if digest != cited.sha256 {
        return Ok(Err("it does not have the SHA-256 that is cited".to_owned()));
    }
    let signature = match signature {
        Ok(signature) => verify(clients, &bytes, signature.bytes).await?,
        Err(reason) => Err(reason),
    };
    Ok(parsed(&bytes).map(|document: EvidenceManifest| Manifest { document, sha256: digest, signature }))
}

/// Whether Seal's key signed these bytes. The key is the one of the deployment, not the one that the manifest names.
async fn verify(clients: &Clients, manifest: &[u8], signature: Vec<u8>) -> Result<Result<(), String>, AwsError> {
    let verify = clients.kms.verify().key_id(&clients.signing_key);
    let verify = verify.message(Blob::new(Sha256::digest(manifest).to_vec())).message_type(MessageType::Digest);
    let verify = verify.signature(Blob::new(signature)).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
    match verify.send().await.map_err(failed("kms:Verify")) {
        Ok(answer) if answer.signature_valid() => Ok(Ok(())),
        Ok(_) => Ok(Err("its signature is not by the key of this deployment: find out who wrote it".to_owned())),
        Err(error) if error.is("KMSInvalidSignatureException") => {
            Ok(Err("its signature is not by the key of this deployment: find out who wrote it".to_owned()))
        }
        Err(error) => {
            told(Err(error)).map(|found| found.map_err(|reason| format!("its signature could not be checked: {reason}")))
        }
    }
}

/// A document as it was sealed: the version and the digest that the manifest lists.
async fn sealed<T: DeserializeOwned>(
    clients: &Clients,
    case: &CaseId,
    document: &EvidenceManifest,
    name: &str,
) -> Result<Result<T, String>, AwsError> {
    let key = case::key(case, name);
    let mut sealed = document.items.iter().map(|item| &item.object).filter(|object| object.key == key);
    let (Some(object), None) = (sealed.next(), sealed.next()) else {
        return Ok(Err(format!("the manifest does not list exactly one `{name}`")));
    };
    let fetched = told(clients.store.version(&key, &object.version_id).await)?;
    Ok(fetched.and_then(|fetched| {
        let same = sha256(&fetched.bytes) == object.sha256;
        if same { parsed(&fetched.bytes) } else { Err("it does not have the SHA-256 that was sealed".to_owned()) }
    }))
}

/// Whether the target was protected against termination before Cordon came. A case of a target that an earlier one had
/// contained found that one's protection there: what counts is what the first one found.
async fn protected_before(
    clients: &Clients,
    before: Result<BeforeProtections, String>,
    plan: Option<&Plan>,
) -> Result<Result<bool, String>, AwsError> {
    let said = |before: BeforeProtections| before.termination_protection.ok_or_else(|| "EC2 had not said".to_owned());
    let found = before.and_then(said);
    let Some(earlier) = plan.and_then(|plan| plan.earlier_case.as_ref()).filter(|_| found == Ok(true)) else {
        return Ok(found);
    };
    let first = told(clients.store.get(&case::key(earlier, case::BEFORE_PROTECTIONS)).await)?;
    // A case that protected nothing left nothing of its own.
    Ok(first.and_then(|there| there.map_or(Ok(true), |there| parsed(&there.bytes).and_then(said))))
}

/// Every object below `approvals/`, whatever it is.
async fn answers(clients: &Clients, case: &CaseId, keys: &Keys) -> Result<Vec<Kept>, AwsError> {
    let folder = case::key(case, case::APPROVALS);
    let kept = keys.iter().filter(|(key, _)| key.starts_with(&folder)).map(|(key, versions)| async move {
        let answered = match versions.only() {
            Some(version) if version.size <= LONGEST_ANSWER => {
                let fetched = told(clients.store.version(key, &version.version_id).await)?;
                fetched.and_then(|fetched| parsed::<Answered>(&fetched.bytes))
            }
            Some(_) => Err("it is too large to be an answer".to_owned()),
            None => Err("it has not exactly one version".to_owned()),
        };
        Ok(Kept { key: key.clone(), versions: versions.all.len(), deleted: versions.deleted, answered })
    });
    Box::pin(stream::iter(kept).buffered(AT_ONCE).try_collect()).await
}

/// Whether an earlier attempt of this execution may have terminated the target: it said so, and EC2 did not say no.
async fn intended(clients: &Clients, case: &CaseId, execution: &ExecutionArn, keys: &Keys) -> Result<bool, AwsError> {
    let records = case::key(case, case::RECORDS);
    let ours = keys.iter().filter(|(key, _)| key.starts_with(&records) && key.contains(&format!("-{STATE}-")));
    let read = ours.filter_map(|(key, versions)| Some((key, versions.only()?))).map(|(key, version)| async move {
        let fetched = told(clients.store.version(key, &version.version_id).await)?;
        Ok::<_, AwsError>(fetched.ok().and_then(|fetched| parsed::<Record>(&fetched.bytes).ok()))
    });
    let records: Vec<Record> = try_join_all(read).await?.into_iter().flatten().collect();
    let instance = case.instance();
    let ending = |record: &&Record| {
        record.case_id == *case
            && record.visit.execution == *execution
            && record.visit.state == STATE
            && record.changes.iter().any(|change| change.action == ACTION && change.subject == instance.as_str())
    };
    let refused = |record: &Record| {
        let said_no = |result: &ChangeResult| matches!(result, ChangeResult::Failed { fault, .. } if *fault != Fault::Transient);
        record.changes.iter().any(|change| change.result.as_ref().is_some_and(said_no))
    };
    let mut attempts: BTreeMap<(jiff::Timestamp, u32, u32), bool> = BTreeMap::new();
    for record in records.iter().filter(ending) {
        let attempt = attempts.entry((record.visit.entered, record.visit.retry, record.number)).or_insert(true);
        *attempt &= !refused(record);
    }
    Ok(attempts.into_values().any(|attempt| attempt))
}

/// The sealed objects as S3 has them now. A version never changes, so that its bytes need not be read again.
async fn sealed_objects(clients: &Clients, document: &EvidenceManifest, keys: &Keys) -> Result<Vec<Object>, AwsError> {
    let read = document.items.iter().map(|item| async move {
        let object = &item.object;
        let lock = told(objects::lock(&clients.store, object).await)?;
        let sealed = |id: &str| document.items.iter().any(|item| item.object.key == object.key && item.object.version_id == id);
        let now = keys.get(&object.key);
        let rewritten = now.is_none_or(|now| now.deleted || now.all.iter().any(|version| !sealed(&version.version_id)));
        Ok(Object { key: object.key.clone(), version_id: object.version_id.clone(), lock, rewritten })
    });
    Box::pin(stream::iter(read).buffered(AT_ONCE).try_collect()).await
}

/// The manifest's snapshots as EC2 has them now, and their locks.
async fn snapshots(clients: &Clients, document: &EvidenceManifest) -> Result<Vec<Snapshot>, AwsError> {
    let ids: Vec<&SnapshotId> = document.snapshots.iter().map(|sealed| &sealed.taken.snapshot_id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // A filter, since an id that EC2 does not know would fail the whole call.
    let filter = Filter::builder().name("snapshot-id").set_values(Some(ids.iter().map(ToString::to_string).collect())).build();
    let described = clients.ec2.describe_snapshots().owner_ids("self").filters(filter).send().await;
    let described = told(described.map_err(failed("ec2:DescribeSnapshots")))?;
    let states: Result<BTreeMap<String, String>, String> = described.map(|page| {
        let state = |snapshot: &aws_sdk_ec2::types::Snapshot| {
            Some((snapshot.snapshot_id()?.to_owned(), snapshot.state()?.as_str().to_owned()))
        };
        page.snapshots().iter().filter_map(state).collect()
    });
    let there = |id: &&&SnapshotId| states.as_ref().is_ok_and(|states| states.contains_key(id.as_str()));
    let locks = locks(clients, ids.iter().filter(there).map(ToString::to_string).collect()).await?;
    let snapshot = |id: &SnapshotId| Snapshot {
        id: id.clone(),
        state: states.clone().map(|states| states.get(id.as_str()).cloned().unwrap_or_else(|| "gone".to_owned())),
        lock: locks.clone().map(|locks| locks.get(id.as_str()).copied()),
    };
    Ok(ids.into_iter().map(snapshot).collect())
}

/// The locks of these snapshots, by id.
async fn locks(clients: &Clients, ids: Vec<String>) -> Result<Result<BTreeMap<String, SnapshotLock>, String>, AwsError> {
    if ids.is_empty() {
        return Ok(Ok(BTreeMap::new()));
    }
    let described = clients.ec2.describe_locked_snapshots().set_snapshot_ids(Some(ids)).send().await;
    let described = told(described.map_err(failed("ec2:DescribeLockedSnapshots")))?;
    Ok(described.map(|page| {
        let lock = |info: &LockedSnapshotsInfo| Some((info.snapshot_id()?.to_owned(), snapshot_lock(info)?));
        page.snapshots().iter().filter_map(lock).collect()
    }))
}

/// The lock, as far as it counts: in its cooling-off period a compliance lock can still be lifted [facts 69].
fn snapshot_lock(info: &LockedSnapshotsInfo) -> Option<SnapshotLock> {
    let mode = match info.lock_state()? {
        LockState::Compliance => LockMode::Compliance,
        LockState::Governance | LockState::ComplianceCooloff => LockMode::Governance,
        _ => return None,
    };
    let days = info.lock_duration().and_then(|days| u16::try_from(days).ok())?;
    Some(SnapshotLock { mode, days })
}

/// JSON of ours, or why it is none.
fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {}", bounded(&error.to_string(), 300)))
}
