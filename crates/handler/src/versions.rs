//! The versions of what is in a case file, for those who believe only what was written once: each object is read by its
//! version.

use std::collections::BTreeMap;

use crate::aws::{AwsError, failed};
use crate::case_file::{Fetched, Store, Version, bytes};

/// The versions of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// The versions, without delete markers.
    pub all: Vec<Version>,
    /// Whether there is a delete marker.
    pub deleted: bool,
}

impl Versions {
    /// The one version of a key that was written once and never deleted.
    pub fn only(&self) -> Option<&Version> {
        match self.all.as_slice() {
            [version] if !self.deleted => Some(version),
            _ => None,
        }
    }
}

/// What [`Store::versions`] lists, by key.
pub fn by_key(versions: Vec<Version>) -> BTreeMap<String, Versions> {
    let mut keys: BTreeMap<String, Versions> = BTreeMap::new();
    for version in versions {
        let of_key = keys.entry(version.key.clone()).or_default();
        if version.deleted { of_key.deleted = true } else { of_key.all.push(version) }
    }
    keys
}

impl Store {
    /// The object at `key`, of this very version.
    pub async fn version(&self, key: &str, version_id: &str) -> Result<Fetched, AwsError> {
        const ACTION: &str = "s3:GetObjectVersion";
        let get = self.s3.get_object().bucket(&self.bucket).key(key).version_id(version_id);
        let answer = get.send().await.map_err(failed(ACTION))?;
        let etag = answer.e_tag.unwrap_or_default();
        let bytes = bytes(ACTION, answer.body).await?;
        Ok(Fetched { key: key.to_owned(), version_id: version_id.to_owned(), etag, bytes })
    }
}
