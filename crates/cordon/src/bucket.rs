//! The evidence bucket as something to read documents from.
//!
//! INVARIANT: what is read as a whole is bounded, since whoever can write to the bucket chooses how large it is.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectError;
use incident::verify::MOST_PARSED;
use incident::{CaseId, case};
use serde::de::DeserializeOwned;

use crate::Error;
use crate::deployment::Deployment;

/// The evidence bucket.
pub(crate) struct Bucket {
    pub(crate) s3: Client,
    pub(crate) name: String,
}

/// One object below a prefix, with what S3 kept of it.
pub(crate) struct Kept {
    /// Its name below the prefix.
    pub(crate) name: String,
    /// The ids of its versions, the newest first; none where only delete markers are left.
    pub(crate) versions: Vec<String>,
    /// How many delete markers it has.
    pub(crate) deletions: usize,
}

impl Bucket {
    /// The bucket of a deployment.
    pub(crate) fn of(config: &SdkConfig, found: &Deployment) -> Self {
        Self { s3: Client::new(config), name: found.bucket.clone() }
    }

    /// The bytes of an object; none where there is no such object.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.version(key, None).await
    }

    /// The bytes of a version of an object, by default the newest; none where there is no such object.
    pub(crate) async fn version(&self, key: &str, version: Option<&str>) -> Result<Option<Vec<u8>>, Error> {
        let get = self.s3.get_object().bucket(&self.name).key(key).set_version_id(version.map(str::to_owned));
        let mut body = match get.send().await {
            Ok(answer) => answer.body,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => return Ok(None),
            Err(error) => return Err(Error::aws("s3:GetObject")(error)),
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(Error::aws("s3:GetObject"))?);
            if bytes.len() as u64 > MOST_PARSED {
                let why = format!("it has more than {} MiB, which nothing that Cordon writes has", MOST_PARSED >> 20);
                return Err(Error::Capture { file: key.to_owned(), why });
            }
        }
        Ok(Some(bytes))
    }

    /// A document of a case; none where there is no such object.
    pub(crate) async fn document<T: DeserializeOwned>(&self, case_id: &CaseId, name: &str) -> Result<Option<T>, Error> {
        let Some(bytes) = Box::pin(self.get(&case::key(case_id, name))).await? else { return Ok(None) };
        let unreadable = |why: serde_json::Error| Error::Capture { file: name.to_owned(), why: why.to_string() };
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    /// The keys that begin with `prefix`, in order.
    pub(crate) async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut pages = self.s3.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(Error::aws("s3:ListObjectsV2"))?;
            keys.extend(page.contents.into_iter().flatten().filter_map(|object| object.key));
        }
        Ok(keys)
    }

    /// The folders directly below `prefix`, without it and without the slash at their end.
    pub(crate) async fn folders(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let list = self.s3.list_objects_v2().bucket(&self.name).prefix(prefix).delimiter("/");
        let mut pages = list.into_paginator().send();
        let mut folders = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(Error::aws("s3:ListObjectsV2"))?;
            let found = page.common_prefixes.into_iter().flatten().filter_map(|folder| folder.prefix);
            folders.extend(found.filter_map(|folder| Some(folder.strip_prefix(prefix)?.strip_suffix('/')?.to_owned())));
        }
        Ok(folders)
    }

    /// Every object that begins with `prefix`, with all its versions.
    pub(crate) async fn kept(&self, prefix: &str) -> Result<Vec<Kept>, Error> {
        let mut all = BTreeMap::<String, Kept>::new();
        let (mut key, mut id): (Option<String>, Option<String>) = (None, None);
        loop {
            let list = self.s3.list_object_versions().bucket(&self.name).prefix(prefix);
            let page = list.set_key_marker(key).set_version_id_marker(id).send().await;
            let page = page.map_err(Error::aws("s3:ListObjectVersions"))?;
            for version in page.versions() {
                let name = version.key().and_then(|key| key.strip_prefix(prefix)).unwrap_or_default();
                let kept = all.entry(name.to_owned()).or_insert_with(|| Kept::new(name));
                kept.versions.push(version.version_id().unwrap_or_default().to_owned());
            }
            for marker in page.delete_markers() {
                let name = marker.key().and_then(|key| key.strip_prefix(prefix)).unwrap_or_default();
                all.entry(name.to_owned()).or_insert_with(|| Kept::new(name)).deletions += 1;
            }
            if !page.is_truncated().unwrap_or_default() {
                return Ok(all.into_values().collect());
            }
            (key, id) = (page.next_key_marker, page.next_version_id_marker);
        }
    }
}

impl Kept {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), versions: Vec::new(), deletions: 0 }
    }
}
