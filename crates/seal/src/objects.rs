//! What is in the case file: every version of every object, its digest and its lock, as S3 tells them.
//!
//! INVARIANT: bytes are hashed as they pass; only records are kept in memory. An image that is too large to be hashed in a
//! function's time is listed with the collector's SHA-256, marked as its word, and with S3's own checksum of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ChecksumMode, ObjectLockMode};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use handler::case_file::Version;
use handler::{AwsError, CaseFile, failed};
use incident::context::Source;
use incident::evidence::{Image, Missing, ObjectRef};
use incident::manifest::{DigestBy, Item, Trust};
use incident::plan::{LockMode, Retention};
use incident::text::hex;
use incident::{Classify, Fault, capture, case, context};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// How many objects are read at a time.
const AT_ONCE: usize = 16;

/// One version of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// As manifests cite it.
    pub(crate) item: Item,
    /// Its bytes, where it is a record: the rest is digested as it passes. Shared, since a case may have thousands and is
    /// read more than once.
    pub(crate) bytes: Arc<[u8]>,
}

impl Object {
    /// Its name in the case file.
    pub(crate) fn name(&self) -> &str {
        name_of(&self.item.object.key)
    }
}

/// The name of a key in its case file.
pub(crate) fn name_of(key: &str) -> &str {
    key.splitn(3, '/').nth(2).unwrap_or_default()
}

/// What is known of the objects of memory before they are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    /// The image, as the capture has it.
    pub(crate) image: Option<&'a Image>,
    /// The items of the seal: what was hashed there need not be hashed again, since a version never changes.
    pub(crate) sealed: &'a [Item],
    /// The largest object of memory that is hashed here, in bytes.
    pub(crate) most_hashed: u64,
}

/// Every object of a case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    /// Every version, by key.
    pub(crate) all: Vec<Object>,
    /// What could not be read, or is not write-once.
    pub(crate) violations: Vec<Missing>,
}

impl Objects {
    /// The records, in the order of their names.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Object> {
        self.all.iter().filter(|object| object.name().starts_with(case::RECORDS))
    }

    /// The objects as items, and what is not locked as planned.
    pub(crate) fn items(&self, planned: Retention, except: &[&str]) -> (Vec<Item>, Vec<Missing>) {
        let items: Vec<Item> =
            self.all.iter().filter(|object| !except.contains(&object.name())).map(|object| object.item.clone()).collect();
        let unlocked = items.iter().filter_map(|item| unlocked(item, planned)).collect();
        (items, unlocked)
    }
}

/// Reads the whole case; what `known` holds already is not read again, since a version never changes.
pub(crate) async fn read(file: &CaseFile, known: &Objects, told: Told<'_>) -> Result<Objects, AwsError> {
    let versions = file.store().versions(&case::prefix(file.case())).await?;
    let mut violations = rewritten(&versions);
    let present = versions.into_iter().filter(|version| !version.deleted);
    let known: HashMap<(&str, &str), &Object> = known
        .all
        .iter()
        .map(|object| ((object.item.object.key.as_str(), object.item.object.version_id.as_str()), object))
        .collect();
    let known = &known;
    let read: Vec<Result<Object, Missing>> = stream::iter(present)
        .map(|version| async move {
            if let Some(object) = known.get(&(version.key.as_str(), version.version_id.as_str())) {
                return Ok(Ok(Object::clone(object)));
            }
            match look(file, &version, told).await {
                Ok(object) => Ok(Ok(object)),
                Err(error) if error.fault() == Fault::Transient => Err(error),
                Err(error) => Ok(Err(Missing::new(format!("object:{}", version.key), error.to_string()))),
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut all = Vec::with_capacity(read.len());
    for object in read {
        match object {
            Ok(object) => all.push(object),
            Err(missing) => violations.push(missing),
        }
    }
    violations.extend(all.iter().flat_map(|object| disputed(&object.item, told.image)));
    Ok(Objects { all, violations })
}

/// The keys that have been written twice or deleted: a case file is write-once.
fn rewritten(versions: &[Version]) -> Vec<Missing> {
    let mut keys: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for version in versions {
        let (written, deleted) = keys.entry(&version.key).or_default();
        if version.deleted { *deleted += 1 } else { *written += 1 }
    }
    keys.into_iter()
        .filter_map(|(key, counts)| {
            let reason = match counts {
                (1, 0) => return None,
                (_, 0) => "it was written more than once: every version is listed, and the first is the one that Cordon wrote",
                _ => "it was deleted: find out by whom, and remove the delete marker",
            };
            Some(Missing::new(format!("object:{key}"), reason))
        })
        .collect()
}

async fn look(file: &CaseFile, version: &Version, told: Told<'_>) -> Result<Object, AwsError> {
    if trust(name_of(&version.key)) != Trust::HostDependent {
        return fetch(file, version).await;
    }
    let same = |item: &&Item| item.object.key == version.key && item.object.version_id == version.version_id;
    match told.sealed.iter().find(same) {
        Some(sealed) => {
            Ok(Object { item: Item { lock: head(file, version).await?.lock, ..sealed.clone() }, bytes: Arc::default() })
        }
        None if version.size <= told.most_hashed => fetch(file, version).await,
        None => {
            let image = told.image.filter(|image| image.key == version.key && image.version_id == version.version_id);
            let word = image.and_then(|image| image.sha256.clone()).filter(|word| is_sha256(word));
            let mut item = head(file, version).await?;
            item.sha256_by = if word.is_some() { DigestBy::Collector } else { DigestBy::Cordon };
            item.object.sha256 = word.unwrap_or_default();
            Ok(Object { item, bytes: Arc::default() })
        }
    }
}

/// What S3 tells of this very version without its bytes; the SHA-256 is left empty.
async fn head(file: &CaseFile, version: &Version) -> Result<Item, AwsError> {
    let store = file.store();
    let head = store.s3.head_object().bucket(&store.bucket).key(&version.key).version_id(&version.version_id);
    // IAM has no action of its own for a HEAD: reading the version covers it.
    let answer = head.checksum_mode(ChecksumMode::Enabled).send().await.map_err(failed("s3:GetObjectVersion"))?;
    let object = ObjectRef {
        key: version.key.clone(),
        version_id: version.version_id.clone(),
        sha256: String::new(),
        size: answer.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(version.size),
    };
    Ok(Item {
        object,
        trust: trust(name_of(&version.key)),
        lock: lock(answer.object_lock_mode(), answer.object_lock_retain_until_date()),
        crc64nvme: answer.checksum_crc64_nvme().map(str::to_owned),
        sha256_by: DigestBy::Cordon,
    })
}

/// One GET tells the bytes of this very version and its lock.
async fn fetch(file: &CaseFile, version: &Version) -> Result<Object, AwsError> {
    let store = file.store();
    let get = store.s3.get_object().bucket(&store.bucket).key(&version.key).version_id(&version.version_id);
    let mut answer = get.checksum_mode(ChecksumMode::Enabled).send().await.map_err(failed("s3:GetObjectVersion"))?;
    let (mut digest, mut size, mut bytes) = (Sha256::new(), 0_u64, Vec::new());
    let keep = name_of(&version.key).starts_with(case::RECORDS);
    while let Some(chunk) = answer.body.next().await {
        let chunk = chunk.map_err(|error| AwsError {
            action: "s3:GetObjectVersion",
            code: "UnreadableAnswer".to_owned(),
            message: incident::text::bounded(&error.to_string(), 600),
            request_id: String::new(),
            fault: Fault::Transient,
        })?;
        digest.update(&chunk);
        size += chunk.len() as u64;
        if keep {
            bytes.extend_from_slice(&chunk);
        }
    }
    let object =
        ObjectRef { key: version.key.clone(), version_id: version.version_id.clone(), sha256: hex(&digest.finalize()), size };
    let trust = trust(name_of(&version.key));
    let lock = lock(answer.object_lock_mode.as_ref(), answer.object_lock_retain_until_date.as_ref());
    let crc64nvme = answer.checksum_crc64_nvme.filter(|_| trust == Trust::HostDependent);
    Ok(Object { item: Item { crc64nvme, ..Item::hashed(object, trust, lock) }, bytes: bytes.into() })
}

fn lock(mode: Option<&ObjectLockMode>, until: Option<&DateTime>) -> Option<Retention> {
    let mode = match mode? {
        ObjectLockMode::Governance => LockMode::Governance,
        ObjectLockMode::Compliance => LockMode::Compliance,
        _ => return None,
    };
    Some(Retention { mode, until: Timestamp::from_second(until?.secs()).ok()? })
}

fn trust(name: &str) -> Trust {
    match name {
        case::FINDING => Trust::AsReceived,
        case::BEFORE | case::BEFORE_PROTECTIONS | case::BEFORE_BALANCERS | case::SNAPSHOTS | case::HISTORY => Trust::Aws,
        _ if name.starts_with(case::FINDINGS) => Trust::AsReceived,
        // What lies there and is no source was put there by somebody else.
        _ if name.starts_with(context::FOLDER) => Source::of(name).map_or(Trust::AsReceived, Source::trust),
        _ if name.starts_with(capture::FOLDER) && name != capture::STATEMENT => Trust::HostDependent,
        _ => Trust::Cordon,
    }
}

fn is_sha256(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where the digests of an object of memory are wanting, or not those of its capture.
fn disputed(item: &Item, image: Option<&Image>) -> Vec<Missing> {
    let key = &item.object.key;
    let mut all = Vec::new();
    if item.object.sha256.is_empty() {
        let reason =
            "it is not hashed: it is too large for a function, and the collector gave no SHA-256; hash a copy of it yourself";
        all.push(Missing::new(format!("digest:{key}"), reason));
    }
    let Some(image) = image.filter(|image| image.key == *key && image.version_id == item.object.version_id) else { return all };
    let mut dispute = |reason: &str| all.push(Missing::new(format!("object:{key}"), reason));
    let ours = (item.sha256_by == DigestBy::Cordon).then_some(&item.object.sha256).filter(|ours| !ours.is_empty());
    if let (Some(ours), Some(word)) = (ours, &image.sha256)
        && ours != word
    {
        dispute("its SHA-256 is not the one that the collector gave: the target's word is wrong, or the image was changed");
    }
    match (&image.crc64nvme, &item.crc64nvme) {
        (Some(captured), Some(now)) if captured == now => {}
        (Some(_), Some(_)) => dispute("S3's checksum of it is not the one that it had when it was captured"),
        (Some(_), None) => dispute("S3 has no checksum of it any more, though it had one when it was captured"),
        (None, _) => {}
    }
    all
}

/// What is wrong with the lock of `item`, if anything. Locks have whole seconds.
fn unlocked(item: &Item, planned: Retention) -> Option<Missing> {
    let reason = match item.lock {
        None => "it has no Object Lock: lock it now",
        Some(lock) if lock.until.as_second() < planned.until.as_second() => "its Object Lock ends before the plan's retention",
        Some(lock) if planned.mode == LockMode::Compliance && lock.mode != LockMode::Compliance => {
            "it is locked in governance mode, the plan says compliance"
        }
        Some(_) => return None,
    };
    Some(Missing::new(format!("lock:{}", item.object.key), reason))
}
