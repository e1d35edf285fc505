//! What is in the case file: every version of every object, its digest and its lock, as S3 tells them.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use handler::case_file::Version;
use handler::{AwsError, CaseFile, failed};
use incident::evidence::{Missing, ObjectRef};
use incident::manifest::{Item, Trust};
use incident::plan::{LockMode, Retention};
use incident::text::hex;
use incident::{Classify, Fault, case};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// How many objects are read at a time.
const AT_ONCE: usize = 16;

/// One version of one object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// As manifests cite it.
    pub(crate) item: Item,
    /// Its bytes, where it is a record: the rest is digested as it passes.
    pub(crate) bytes: Vec<u8>,
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
pub(crate) async fn read(file: &CaseFile, known: &Objects) -> Result<Objects, AwsError> {
    let versions = file.store().versions(&case::prefix(file.case())).await?;
    let mut violations = rewritten(&versions);
    let present = versions.into_iter().filter(|version| !version.deleted);
    let read: Vec<Result<Object, Missing>> = stream::iter(present)
        .map(|version| async move {
            let same =
                |object: &&Object| object.item.object.key == version.key && object.item.object.version_id == version.version_id;
            if let Some(object) = known.all.iter().find(same) {
                return Ok(Ok(object.clone()));
            }
            match fetch(file, &version).await {
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

/// One GET tells the bytes of this very version and its lock.
async fn fetch(file: &CaseFile, version: &Version) -> Result<Object, AwsError> {
    let store = file.store();
    let get = store.s3.get_object().bucket(&store.bucket).key(&version.key).version_id(&version.version_id);
    let mut answer = get.send().await.map_err(failed("s3:GetObjectVersion"))?;
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
    let mode = match answer.object_lock_mode.as_ref().map(AsRef::<str>::as_ref) {
        Some("GOVERNANCE") => Some(LockMode::Governance),
        Some("COMPLIANCE") => Some(LockMode::Compliance),
        _ => None,
    };
    let until = answer.object_lock_retain_until_date.and_then(|until| Timestamp::from_second(until.secs()).ok());
    let object =
        ObjectRef { key: version.key.clone(), version_id: version.version_id.clone(), sha256: hex(&digest.finalize()), size };
    let lock = mode.zip(until).map(|(mode, until)| Retention { mode, until });
    Ok(Object { item: Item { trust: trust(name_of(&version.key)), object, lock }, bytes })
}

fn trust(name: &str) -> Trust {
    match name {
        case::FINDING => Trust::AsReceived,
        case::BEFORE | case::SNAPSHOTS | case::HISTORY => Trust::Aws,
        _ if name.starts_with(case::FINDINGS) => Trust::AsReceived,
        _ => Trust::Cordon,
    }
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
