//! Reads a case: from the bucket, or from the folder of a downloaded one.
//!
//! INVARIANT: objects are digested as they pass, so that an image of any size takes no more memory than a record.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ObjectLockMode;
use futures_util::StreamExt as _;
use futures_util::stream;
use incident::plan::{LockMode, Retention};
use incident::verify::{Found, Objects};
use incident::{CaseId, case};
use jiff::Timestamp;

use crate::Error;
use crate::digests::Digests;

/// How many objects are read at once.
const AT_ONCE: usize = 16;

/// Every object of a case in the bucket, with all its versions.
pub(crate) async fn from_bucket(s3: &Client, bucket: &str, case: &CaseId) -> Result<Objects, Error> {
    let prefix = case::prefix(case);
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut key, mut id): (Option<String>, Option<String>) = (None, None);
    loop {
        let list = s3.list_object_versions().bucket(bucket).prefix(&prefix).set_key_marker(key).set_version_id_marker(id);
        let page = list.send().await.map_err(Error::aws("s3:ListObjectVersions"))?;
        let written = page.versions().iter().map(|version| (version.key(), version.version_id()));
        let deleted = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        for (key, id) in written.chain(deleted) {
            let name = key.unwrap_or_default().trim_start_matches(&prefix).to_owned();
            versions.entry(name).or_default().push(id.unwrap_or_default().to_owned());
        }
        if !page.is_truncated().unwrap_or_default() {
            break;
        }
        (key, id) = (page.next_key_marker, page.next_version_id_marker);
    }
    let read = versions.into_iter().map(|(name, versions)| read(s3, bucket, format!("{prefix}{name}"), name, versions));
    let mut objects = Objects::new();
    let mut reads = stream::iter(read).buffer_unordered(AT_ONCE);
    while let Some(object) = reads.next().await {
        let (name, found) = object?;
        objects.insert(name, found);
    }
    Ok(objects)
}

async fn read(s3: &Client, bucket: &str, key: String, name: String, versions: Vec<String>) -> Result<(String, Found), Error> {
    match s3.get_object().bucket(bucket).key(key).send().await {
        Ok(mut answer) => {
            let lock = answer.object_lock_mode().zip(answer.object_lock_retain_until_date()).and_then(|(mode, until)| {
                let mode = if *mode == ObjectLockMode::Compliance { LockMode::Compliance } else { LockMode::Governance };
                Some(Retention { mode, until: Timestamp::from_second(until.secs()).ok()? })
            });
            let mut digests = Digests::of(&name);
            while let Some(chunk) = answer.body.next().await {
                digests.update(&chunk.map_err(Error::aws("s3:GetObject"))?);
            }
            Ok((name, Found { versions, lock, ..digests.finish() }))
        }
        // Behind a delete marker there is nothing to read; its versions tell.
        Err(error) if error.as_service_error().is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key) => {
            let digests = Digests::of(&name);
            Ok((name, Found { versions, ..digests.finish() }))
        }
        Err(error) => Err(Error::aws("s3:GetObject")(error)),
    }
}

/// Every file below a folder, named as in the case. Links are not followed.
pub(crate) fn from_folder(folder: &Path) -> Result<Objects, Error> {
    let mut objects = Objects::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(path) = left.pop() {
        let unreadable = |why: std::io::Error| Error::Unreadable { path: path.clone(), why: why.to_string() };
        let kind = std::fs::symlink_metadata(&path).map_err(unreadable)?.file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(unreadable)? {
                left.push(entry.map_err(unreadable)?.path());
            }
        } else if kind.is_file() {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let found = read_file(&path, &name).map_err(unreadable)?;
            objects.insert(name, found);
        }
    }
    Ok(objects)
}

fn read_file(path: &Path, name: &str) -> std::io::Result<Found> {
    let (mut file, mut digests, mut chunk) = (File::open(path)?, Digests::of(name), vec![0; 1 << 20]);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(digests.finish()),
            Ok(count) => digests.update(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
