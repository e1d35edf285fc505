//! Objects of closed cases, each read by its version.

use std::collections::BTreeMap;

use handler::case_file::Version;
use handler::{AwsError, Store, failed};
use incident::{Classify as _, Fault};

use crate::sealed::Versions;

/// The versions by key.
pub(crate) fn by_key(versions: Vec<Version>) -> BTreeMap<String, Versions> {
    let mut keys: BTreeMap<String, Versions> = BTreeMap::new();
    for version in versions {
        let of_key = keys.entry(version.key.clone()).or_default();
        if version.deleted { of_key.deleted = true } else { of_key.all.push((version.version_id, version.size)) }
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
pub(crate) async fn fetch(store: &Store, key: &str, version_id: &str) -> Result<Vec<u8>, AwsError> {
    let get = store.s3.get_object().bucket(&store.bucket).key(key).version_id(version_id);
    let answer = get.send().await.map_err(failed("s3:GetObjectVersion"))?;
    let bytes = answer.body.collect().await.map_err(|error| AwsError {
        action: "s3:GetObjectVersion",
        code: "UnreadableAnswer".to_owned(),
        message: incident::text::bounded(&error.to_string(), 600),
        request_id: String::new(),
        fault: Fault::Transient,
    })?;
    Ok(bytes.to_vec())
}
