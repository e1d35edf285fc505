//! Objects of the case file, each read by its version.

use std::collections::BTreeMap;

use aws_sdk_s3::types::ObjectLockMode;
use handler::case_file::{Fetched, Version};
use handler::{AwsError, Store, failed};
use incident::evidence::ObjectRef;
use incident::plan::{LockMode, Retention};
use incident::{Classify as _, Fault};
use jiff::Timestamp;

/// The versions of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// The versions, without delete markers.
    pub(crate) all: Vec<Version>,
    /// Whether there is a delete marker.
    pub(crate) deleted: bool,
}

impl Versions {
    /// The one version of a key that was written once and never deleted.
    pub(crate) fn only(&self) -> Option<&Version> {
        match self.all.as_slice() {
            [version] if !self.deleted => Some(version),
            _ => None,
        }
    }
}

/// The versions by key.
pub(crate) fn by_key(versions: Vec<Version>) -> BTreeMap<String, Versions> {
    let mut keys: BTreeMap<String, Versions> = BTreeMap::new();
    for version in versions {
        let of_key = keys.entry(version.key.clone()).or_default();
        if version.deleted { of_key.deleted = true } else { of_key.all.push(version) }
    }
    keys
}

/// What could be read, or why not. Only what may pass is a failure of the step: the rest is a fact for the guard.
pub(crate) fn told<T>(answer: Result<T, AwsError>) -> Result<Result<T, String>, AwsError> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.fault() == Fault::Transient => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// The bytes of this very version.
pub(crate) async fn fetch(store: &Store, key: &str, version_id: &str) -> Result<Fetched, AwsError> {
    let get = store.s3.get_object().bucket(&store.bucket).key(key).version_id(version_id);
    let answer = get.send().await.map_err(failed("s3:GetObjectVersion"))?;
    let etag = answer.e_tag.unwrap_or_default();
    let bytes = answer.body.collect().await.map_err(|error| AwsError {
        action: "s3:GetObjectVersion",
        code: "UnreadableAnswer".to_owned(),
        message: incident::text::bounded(&error.to_string(), 600),
        request_id: String::new(),
        fault: Fault::Transient,
    })?;
    Ok(Fetched { key: key.to_owned(), version_id: version_id.to_owned(), etag, bytes: bytes.to_vec() })
}

/// The lock of this very version.
pub(crate) async fn lock(store: &Store, object: &ObjectRef) -> Result<Option<Retention>, AwsError> {
    let head = store.s3.head_object().bucket(&store.bucket).key(&object.key).version_id(&object.version_id);
    // IAM has no action of its own for a HEAD: reading the version covers it.
    let answer = head.send().await.map_err(failed("s3:GetObjectVersion"))?;
    let mode = match answer.object_lock_mode() {
        Some(ObjectLockMode::Governance) => LockMode::Governance,
        Some(ObjectLockMode::Compliance) => LockMode::Compliance,
        _ => return Ok(None),
    };
    let until = answer.object_lock_retain_until_date().and_then(|until| Timestamp::from_second(until.secs()).ok());
    Ok(until.map(|until| Retention { mode, until }))
}
