//! The case file in S3: write-once objects, each put with its lock and its digest.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ObjectLockMode;
use aws_smithy_types::DateTime;
use aws_smithy_types::base64;
use incident::evidence::ObjectRef;
use incident::plan::{LockMode, Retention};
use incident::{CaseId, Classify, Fault, Visit, case};
use serde::{Serialize, de::DeserializeOwned};

use crate::aws::{AwsError, failed};
use crate::recorder::Recorder;

/// How often what is the latest is written before it gives up against others.
const LATEST_TRIES: u8 = 3;

/// The evidence bucket.
#[derive(Debug, Clone)]
pub struct Store {
    /// The client.
    pub s3: Client,
    /// The bucket's name.
    pub bucket: String,
}

/// What became of a write-once put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// The object is new.
    New(ObjectRef),
    /// It was there already, with these very bytes: an earlier attempt whose answer was lost.
    Same(ObjectRef),
    /// It was there already with other bytes, which stay. The first writer wins.
    Other {
        /// The object that is there.
        object: ObjectRef,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

impl Written {
    /// The object that is there now, whoever wrote it.
    pub fn object(&self) -> &ObjectRef {
        match self {
            Self::New(object) | Self::Same(object) | Self::Other { object, .. } => object,
        }
    }
}

/// Why the case file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// S3 said no.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// An object that must be ours holds something else.
    #[error("`{key}` exists with other content; the case file is write-once, so nothing was replaced: find out who wrote it")]
    Conflict {
        /// The object's key.
        key: String,
    },
    /// An object cannot be parsed.
    #[error("`{key}` cannot be read at `{path}`: {reason}")]
    Malformed {
        /// The object's key.
        key: String,
        /// Where in it.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Classify for StoreError {
    fn fault(&self) -> Fault {
        match self {
            Self::Aws(error) => error.fault(),
            Self::Conflict { .. } => Fault::Refused,
            Self::Malformed { .. } => Fault::Invalid,
        }
    }
}

impl Store {
    /// The store that the environment names (`EVIDENCE_BUCKET`).
    pub fn from_env(config: &aws_config::SdkConfig) -> Result<Self, crate::Fatal> {
        Ok(Self { s3: Client::new(config), bucket: crate::env::required("EVIDENCE_BUCKET")? })
    }

    /// The case file of `case`, whose objects are locked as `retention` says.
    pub fn case(&self, case: &CaseId, retention: Retention) -> CaseFile {
        CaseFile { store: self.clone(), case: case.clone(), retention }
    }

    /// The object at `key`, and its version and `ETag`; `None` where there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Fetched>, AwsError> {
        let answer = self.s3.get_object().bucket(&self.bucket).key(key).send().await.map_err(failed("s3:GetObject"));
        let answer = match answer {
            Err(error) if error.is("NoSuchKey") => return Ok(None),
            other => other?,
        };
        let (version_id, etag) = (answer.version_id.unwrap_or_default(), answer.e_tag.unwrap_or_default());
        let bytes = bytes("s3:GetObject", answer.body).await?;
        Ok(Some(Fetched { key: key.to_owned(), version_id, etag, bytes }))
    }

    /// Puts an object that is no evidence and may be replaced: work files and marks.
    pub async fn put_plain(&self, key: &str, body: Vec<u8>) -> Result<(), AwsError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(body));
        put.send().await.map_err(failed("s3:PutObject")).map(drop)
    }

    /// Puts `body` at `key` if there is nothing yet (`if_match` is `None`) or if what is there has the `ETag` `if_match`.
    /// `false` where the condition did not hold.
    pub async fn put_if(&self, key: &str, body: Vec<u8>, if_match: Option<&str>) -> Result<bool, AwsError> {
        let put =
            self.s3.put_object().bucket(&self.bucket).key(key).content_type("application/json").body(ByteStream::from(body));
        let put = match if_match {
            Some(etag) => put.if_match(etag),
            None => put.if_none_match("*"),
        };
        match put.send().await.map_err(failed("s3:PutObject")) {
            Ok(_) => Ok(true),
            // 404: the object that should match is gone.
            Err(error) if error.is("PreconditionFailed") || (if_match.is_some() && error.is("NoSuchKey")) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes `value` at `key`, unless a later attempt has written there: of several tokens the latest is waited for.
    /// `attempt` orders the attempts.
    pub async fn put_latest<T, O>(&self, key: &str, value: &T, attempt: impl Fn(&T) -> O) -> Result<(), StoreError>
    where
        T: Serialize + DeserializeOwned,
        O: PartialOrd,
    {
        for _ in 0..LATEST_TRIES {
            let there = self.get(key).await?;
            let later =
                there.as_ref().and_then(|there| there.json::<T>().ok()).is_some_and(|there| attempt(value) < attempt(&there));
            if later || self.put_if(key, to_json(value), there.as_ref().map(|there| there.etag.as_str())).await? {
                return Ok(());
            }
        }
        Err(StoreError::Conflict { key: key.to_owned() })
    }

    /// Deletes the object at `key` if it has this `ETag`. `false` where it has another or is gone.
    pub async fn delete_if(&self, key: &str, etag: &str) -> Result<bool, AwsError> {
        let delete = self.s3.delete_object().bucket(&self.bucket).key(key).if_match(etag);
        match delete.send().await.map_err(failed("s3:DeleteObject")) {
            Ok(_) => Ok(true),
            Err(error) if error.is("PreconditionFailed") || error.is("NoSuchKey") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The keys below `prefix` that come after `after` (all of them for an empty `after`), in order.
    pub async fn keys(&self, prefix: &str, after: &str) -> Result<Vec<String>, AwsError> {
        let mut keys = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).set_continuation_token(next.take());
            let list = if after.is_empty() { list } else { list.start_after(after) };
            let page = list.send().await.map_err(failed("s3:ListBucket"))?;
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            match page.next_continuation_token {
                Some(token) => next = Some(token),
                None => return Ok(keys),
            }
        }
    }

    /// Every version and delete marker below `prefix`, in the order of the keys.
    pub async fn versions(&self, prefix: &str) -> Result<Vec<Version>, AwsError> {
        let mut versions = Vec::new();
        let (mut key, mut id): (Option<String>, Option<String>) = (None, None);
        loop {
            let list = self.s3.list_object_versions().bucket(&self.bucket).prefix(prefix);
            let page =
                list.set_key_marker(key).set_version_id_marker(id).send().await.map_err(failed("s3:ListBucketVersions"))?;
            versions.extend(page.versions().iter().map(|v| Version {
                key: v.key().unwrap_or_default().to_owned(),
                version_id: v.version_id().unwrap_or_default().to_owned(),
                size: u64::try_from(v.size().unwrap_or_default()).unwrap_or_default(),
                deleted: false,
            }));
            versions.extend(page.delete_markers().iter().map(|m| Version {
                key: m.key().unwrap_or_default().to_owned(),
                version_id: m.version_id().unwrap_or_default().to_owned(),
                size: 0,
                deleted: true,
            }));
            if !page.is_truncated().unwrap_or_default() {
                versions.sort_by(|a, b| a.key.cmp(&b.key));
                return Ok(versions);
            }
            (key, id) = (page.next_key_marker, page.next_version_id_marker);
        }
    }
}

/// The whole of an answer's body.
pub(crate) async fn bytes(action: &'static str, body: ByteStream) -> Result<Vec<u8>, AwsError> {
    let bytes = body.collect().await.map_err(|error| AwsError {
        action,
        code: "UnreadableAnswer".to_owned(),
        message: incident::text::bounded(&error.to_string(), 600),
        request_id: String::new(),
        fault: Fault::Transient,
    })?;
    Ok(bytes.to_vec())
}

/// An object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version_id: String,
    /// Its `ETag`, for conditional writes.
    pub etag: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Fetched {
    /// The object as manifests cite it.
    pub fn object(&self) -> ObjectRef {
        object_ref(self.key.clone(), self.version_id.clone(), &self.bytes)
    }

    /// The object as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        let mut reader = serde_json::Deserializer::from_slice(&self.bytes);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| StoreError::Malformed {
            key: self.key.clone(),
            path: error.path().to_string(),
            reason: incident::text::bounded(&error.inner().to_string(), 300),
        })
    }
}

/// One version, or one delete marker, of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The key.
    pub key: String,
    /// The version's id.
    pub version_id: String,
    /// Its size in bytes; 0 for a delete marker.
    pub size: u64,
    /// Whether it is a delete marker.
    pub deleted: bool,
}

/// The case file of one case.
#[derive(Debug, Clone)]
pub struct CaseFile {
    store: Store,
    case: CaseId,
    retention: Retention,
}

impl CaseFile {
    /// The case.
    pub fn case(&self) -> &CaseId {
        &self.case
    }

    /// The bucket below it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Begins the records of one visit.
    pub fn recorder(&self, visit: &Visit) -> Recorder {
        Recorder::new(self.clone(), visit.clone())
    }

    /// Writes `bytes` under `name` (see [`incident::case`]) unless something is there already.
    ///
    /// The put carries `If-None-Match` (the bucket policy demands it), the SHA-256, and the Object Lock of the plan.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<Written, StoreError> {
        let key = case::key(&self.case, name);
        let digest = incident::text::sha256(&bytes);
        let put = self
            .store
            .s3
            .put_object()
            .bucket(&self.store.bucket)
            .key(&key)
            .if_none_match("*")
            .checksum_sha256(base64::encode(unhex(&digest)))
            .content_type(content_type(name))
            .object_lock_mode(match self.retention.mode {
                LockMode::Governance => ObjectLockMode::Governance,
                LockMode::Compliance => ObjectLockMode::Compliance,
            })
            .object_lock_retain_until_date(DateTime::from_secs(self.retention.until.as_second()))
            .body(ByteStream::from(bytes.clone()));
        match put.send().await.map_err(failed("s3:PutObject")) {
            Ok(answer) => Ok(Written::New(object_ref(key, answer.version_id.unwrap_or_default(), &bytes))),
            Err(error) if error.is("PreconditionFailed") => {
                let there = self.store.get(&key).await?.ok_or(StoreError::Conflict { key })?;
                let object = there.object();
                Ok(if there.bytes == bytes { Written::Same(object) } else { Written::Other { object, bytes: there.bytes } })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes `value` as JSON. What is already there must be the same.
    pub async fn put_json<T: Serialize>(&self, name: &str, value: &T) -> Result<ObjectRef, StoreError> {
        match self.put(name, to_json(value)).await? {
            Written::New(object) | Written::Same(object) => Ok(object),
            Written::Other { object, .. } => Err(StoreError::Conflict { key: object.key }),
        }
    }

    /// Writes `value` as JSON, or reads what the first writer wrote: a retry that sees another world than the first
    /// attempt goes on with what the first attempt decided.
    pub async fn put_or_read<T: Serialize + DeserializeOwned>(&self, name: &str, value: T) -> Result<(T, ObjectRef), StoreError> {
        match self.put(name, to_json(&value)).await? {
            Written::New(object) | Written::Same(object) => Ok((value, object)),
            Written::Other { object, bytes } => {
                let there =
                    Fetched { key: object.key.clone(), version_id: object.version_id.clone(), etag: String::new(), bytes };
                Ok((there.json()?, object))
            }
        }
    }

    /// The object under `name`, where there is one.
    pub async fn get(&self, name: &str) -> Result<Option<Fetched>, AwsError> {
        self.store.get(&case::key(&self.case, name)).await
    }
}

fn object_ref(key: String, version_id: String, bytes: &[u8]) -> ObjectRef {
    ObjectRef { key, version_id, sha256: incident::text::sha256(bytes), size: bytes.len() as u64 }
}

/// JSON as it stands in the case file: indented, since people read it, with a final line feed.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // Our own types have string keys and finite numbers, so that this cannot fail; a null would fail verification loudly.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_else(|_| b"null".to_vec());
    bytes.push(b'\n');
    bytes
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("jsonl") => "application/jsonl",
        Some("html") => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn unhex(digest: &str) -> Vec<u8> {
    digest.as_bytes().chunks(2).filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
