//! What the looks of one capture leave each other below `work/`: which uploads, who sends the command, which command.
//!
//! INVARIANT: each of these is written by the first who comes and read by all others, so that two captures at once for one
//! case are one capture.

use std::collections::BTreeMap;

use futures_util::future::join3;
use handler::{Store, StoreError};
use incident::{CaseId, Visit};
use serde::{Deserialize, Serialize};

use crate::preflight::Pinned;

/// The multipart uploads of the case, by their names in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Uploads(pub(crate) BTreeMap<String, String>);

impl Uploads {
    /// The id of the upload for `name`; empty where there is none, which S3 does not know either.
    pub(crate) fn id(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// Who sends the command: written before it is sent, since AWS takes no token for that [facts 60].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Claim {
    /// The visit that sends it.
    pub(crate) visit: Visit,
    /// The document that it sends.
    pub(crate) document: Pinned,
    /// Whether AWS refused it, so that surely nothing was sent and the next one may try.
    pub(crate) released: bool,
}

/// The command that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Sent {
    /// Its id.
    pub(crate) command_id: String,
    /// The document that it runs.
    pub(crate) document: Pinned,
}

/// All of it, as far as it is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    pub(crate) uploads: Option<Uploads>,
    /// With the `ETag`, to take it over.
    pub(crate) claim: Option<(Claim, String)>,
    pub(crate) sent: Option<Sent>,
}

pub(crate) const UPLOADS: &str = "uploads.json";
pub(crate) const CLAIM: &str = "claim.json";
pub(crate) const SENT: &str = "command.json";

/// The key of a work file.
pub(crate) fn key(case: &CaseId, name: &str) -> String {
    format!("work/{case}/memory/{name}")
}

impl Work {
    /// Reads what is there.
    pub(crate) async fn read(store: &Store, case: &CaseId) -> Result<Self, StoreError> {
        let get = async |name| store.get(&key(case, name)).await;
        let (uploads, claim, sent) = join3(get(UPLOADS), get(CLAIM), get(SENT)).await;
        let claim = claim?.map(|fetched| fetched.json().map(|claim| (claim, fetched.etag.clone()))).transpose()?;
        let uploads = uploads?.map(|fetched| fetched.json()).transpose()?;
        Ok(Self { uploads, claim, sent: sent?.map(|fetched| fetched.json()).transpose()? })
    }
}

/// Writes `value` under `name` if nothing is there yet; gives what is there then, and whether it is ours.
pub(crate) async fn first<T>(store: &Store, case: &CaseId, name: &str, value: T) -> Result<(T, bool), StoreError>
where
    T: Serialize + serde::de::DeserializeOwned,
{
    let key = key(case, name);
    if store.put_if(&key, handler::case_file::to_json(&value), None).await? {
        return Ok((value, true));
    }
    match store.get(&key).await? {
        Some(there) => Ok((there.json()?, false)),
        // Whoever had written it has taken it back in this very moment: nobody may guess what that means.
        None => Err(StoreError::Conflict { key }),
    }
}
