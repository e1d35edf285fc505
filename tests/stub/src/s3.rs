//! The memory bucket: a versioned S3 bucket with conditional writes and object lock.
//!
//! Buckets need no creation, and each has its own keys. Multipart uploads are in [`crate::multipart`]. What it does not do
//! (ranges, URL-encoded listings, …) is answered `NotImplemented`, never half-done.

use crate::answer::{Answer, escape};
use crate::multipart::Uploads;
use crate::request::Call;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// By bucket and key, oldest version first. The bucket of an object that a test put without
    /// naming one is empty: it is seen in every bucket that has no object of that key.
    objects: BTreeMap<(String, String), Vec<Version>>,
    written: usize,
    pub(crate) page: Option<usize>,
    pub(crate) uploads: Uploads,
}

#[derive(Debug)]
struct Version {
    number: usize,
    etag: String,
    /// `None` is a delete marker.
    bytes: Option<Vec<u8>>,
    headers: BTreeMap<String, String>,
}

impl Version {
    fn id(&self) -> String {
        format!("version-{}", self.number)
    }

    fn locked(&self, bypass: bool) -> bool {
        let header = |name: &str| self.headers.get(name).map(String::as_str);
        let retained = match header("x-amz-object-lock-mode") {
            Some("GOVERNANCE") => !bypass,
            mode => mode.is_some(),
        };
        retained || header("x-amz-object-lock-legal-hold") == Some("ON")
    }

    /// Minute and second of the first hour of 2026: later versions are later, and every run is the same.
    fn time(&self) -> String {
        format!("{:02}:{:02}", self.number / 60 % 60, self.number % 60)
    }
}

impl Buckets {
    /// `None`: not an action of the memory bucket.
    pub(crate) fn answer(&mut self, call: &Call) -> Option<Answer> {
        let operation = call.action.strip_prefix("s3:")?;
        let bucket = call.bucket.as_deref()?;
        let unsupported = [call.query("encoding-type"), call.query("partNumber"), call.header("range")];
        let versioned_delimiter = operation == "ListObjectVersions" && call.query("delimiter").is_some();
        let known = matches!(
            operation,
            "PutObject" | "GetObject" | "HeadObject" | "DeleteObject" | "ListObjectsV2" | "ListObjectVersions"
        );
        if known && (versioned_delimiter || unsupported.iter().any(Option::is_some)) {
            return Some(Answer::s3_error(
                501,
                "NotImplemented",
                "the memory bucket of `stub` does not do this: stub the action",
            ));
        }
        Some(match (operation, call.key.as_deref()) {
            ("PutObject", Some(key)) => self.put(call, bucket, key),
            ("GetObject" | "HeadObject", Some(key)) => self.get(call, bucket, key),
            ("DeleteObject", Some(key)) => self.delete(call, bucket, key),
            ("PutObjectRetention", Some(key)) => self.retain(call, bucket, key),
            ("CreateMultipartUpload", Some(key)) => self.uploads.create(bucket, key),
            ("UploadPart", Some(key)) => self.uploads.put(call, bucket, key),
            ("ListParts", Some(key)) => self.uploads.list(call, bucket, key, self.page.unwrap_or(1000)),
            ("AbortMultipartUpload", Some(key)) => self.uploads.abort(call, bucket, key),
            ("CompleteMultipartUpload", Some(key)) => self.complete(call, bucket, key),
            ("ListObjectsV2", None) => self.list(call, bucket),
            ("ListObjectVersions", None) => self.list_versions(call, bucket),
            _ => return None,
        })
    }

    pub(crate) fn write(
        &mut self,
        bucket: &str,
        key: &str,
        bytes: Option<Vec<u8>>,
        headers: BTreeMap<String, String>,
    ) -> (String, String) {
        self.written += 1;
        let mut digest = DefaultHasher::new();
        bytes.hash(&mut digest);
        let version = Version { number: self.written, etag: format!("\"{:032x}\"", digest.finish()), bytes, headers };
        let ids = (version.id(), version.etag.clone());
        self.versions_mut(bucket, key).push(version);
        ids
    }

    /// The object as it is now, in the first bucket (by name) that has it.
    pub(crate) fn object(&self, bucket: Option<&str>, key: &str) -> Option<(&Vec<u8>, &BTreeMap<String, String>)> {
        let mut wanted = self.objects.iter().filter(|((of, name), _)| name == key && bucket.is_none_or(|bucket| bucket == of));
        wanted.find_map(|(_, versions)| current(versions).and_then(|version| Some((version.bytes.as_ref()?, &version.headers))))
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let present = self.objects.iter().filter(|(_, versions)| current(versions).is_some());
        present.map(|((_, key), _)| key.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn versions(&self, bucket: &str, key: &str) -> &[Version] {
        let of = |bucket: &str| self.objects.get(&(bucket.to_owned(), key.to_owned()));
        of(bucket).or_else(|| of("")).map_or(&[], Vec::as_slice)
    }

    /// A change makes an object that was in every bucket one of this bucket.
    fn versions_mut(&mut self, bucket: &str, key: &str) -> &mut Vec<Version> {
        let name = (bucket.to_owned(), key.to_owned());
        if !self.objects.contains_key(&name)
            && let Some(versions) = self.objects.remove(&(String::new(), key.to_owned()))
        {
            self.objects.insert(name.clone(), versions);
        }
        self.objects.entry(name).or_default()
    }

    fn put(&mut self, call: &Call, bucket: &str, key: &str) -> Answer {
        let present = current(self.versions(bucket, key));
        if call.header("if-none-match").is_some() && present.is_some() {
            return failed("If-None-Match");
        }
        if let Some(refusal) = if_match(call, present) {
            return refusal;
        }
        let mut headers = call.headers.clone();
        if let Some(coding) = headers.remove("content-encoding") {
            let rest: Vec<_> = coding.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
            if !rest.is_empty() {
                headers.insert("content-encoding".to_owned(), rest.join(","));
            }
        }
        let (id, etag) = self.write(bucket, key, Some(call.bytes.clone()), headers);
        let stored = Answer::empty(200).header("etag", &etag).header("x-amz-version-id", &id);
        let checksums = call.headers.iter().filter(|(name, _)| is_checksum(name));
        checksums.fold(stored, |answer, (name, value)| answer.header(name, value))
    }

    /// Makes an object of an upload's parts, with the checksum that S3 computes of the whole.
    fn complete(&mut self, call: &Call, bucket: &str, key: &str) -> Answer {
        if call.header("if-none-match").is_some() && current(self.versions(bucket, key)).is_some() {
            return failed("If-None-Match");
        }
        let made = match self.uploads.complete(call, bucket, key) {
            Ok(made) => made,
            Err(refusal) => return refusal,
        };
        let checksum = made.crc64nvme();
        let headers = BTreeMap::from([
            ("x-amz-checksum-crc64nvme".to_owned(), checksum.clone()),
            ("x-amz-checksum-type".to_owned(), "FULL_OBJECT".to_owned()),
        ]);
        let (id, etag) = self.write(bucket, key, Some(made.bytes), headers);
        // The ETag of a multipart upload tells how many parts it had.
        let etag = format!("\"{}-{}\"", etag.trim_matches('"'), made.parts);
        if let Some(version) = self.versions_mut(bucket, key).last_mut() {
            version.etag.clone_from(&etag);
        }
        let body = format!(
            "<CompleteMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag>\
             <ChecksumCRC64NVME>{checksum}</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>\
             </CompleteMultipartUploadResult>",
            escape(bucket),
            escape(key),
            escape(&etag)
        );
        Answer::xml(body).header("x-amz-version-id", &id)
    }

    /// Locks one version until a date; a lock may be made longer, never shorter.
    fn retain(&mut self, call: &Call, bucket: &str, key: &str) -> Answer {
        const UNTIL: &str = "x-amz-object-lock-retain-until-date";
        let element = |name: &str| {
            let (_, rest) = call.body.split_once(&format!("<{name}>"))?;
            rest.split_once("</").map(|(value, _)| value.to_owned())
        };
        let (Some(mode), Some(until)) = (element("Mode"), element("RetainUntilDate")) else {
            return Answer::s3_error(400, "MalformedXML", "a retention has a mode and a date");
        };
        let wanted = call.query("versionId");
        let versions = self.versions_mut(bucket, key);
        let version = versions.iter_mut().rev().find(|version| wanted.is_none_or(|id| version.id() == id));
        let Some(version) = version else {
            let code = if wanted.is_some() { "NoSuchVersion" } else { "NoSuchKey" };
            return Answer::s3_error(404, code, &format!("no {key} in {bucket}"));
        };
        if version.headers.get(UNTIL).is_some_and(|there| *there > until) {
            return Answer::s3_error(403, "AccessDenied", "Access Denied because object protected by object lock.");
        }
        version.headers.insert("x-amz-object-lock-mode".to_owned(), mode);
        version.headers.insert(UNTIL.to_owned(), until);
        Answer::empty(200)
    }

    fn get(&self, call: &Call, bucket: &str, key: &str) -> Answer {
        let versions = self.versions(bucket, key);
        let wanted = call.query("versionId");
        let version = wanted.map_or_else(|| versions.last(), |id| versions.iter().find(|version| version.id() == id));
        let Some(version) = version else {
            let code = if wanted.is_some() { "NoSuchVersion" } else { "NoSuchKey" };
            return Answer::s3_error(404, code, &format!("no {key} in {bucket}"));
        };
        let Some(bytes) = &version.bytes else {
            let (status, code) = if wanted.is_some() { (405, "MethodNotAllowed") } else { (404, "NoSuchKey") };
            return Answer::s3_error(status, code, "a delete marker").header("x-amz-delete-marker", "true");
        };
        if let Some(refusal) = if_match(call, Some(version)) {
            return refusal;
        }
        if call.header("if-none-match").is_some_and(|etag| matches(etag, version)) {
            return Answer::empty(304);
        }
        let mut answer = Answer::bytes(200, bytes.clone())
            .header("etag", &version.etag)
            .header("x-amz-version-id", &version.id())
            .header("content-length", &bytes.len().to_string())
            .header("last-modified", &format!("Thu, 01 Jan 2026 00:{} GMT", version.time()));
        for (name, value) in &version.headers {
            let wanted = is_checksum(name) && call.header("x-amz-checksum-mode") == Some("ENABLED");
            let kept = ["content-type", "content-encoding", "cache-control"].contains(&name.as_str())
                || name.starts_with("x-amz-meta-")
                || name.starts_with("x-amz-object-lock-")
                || name.starts_with("x-amz-server-side-encryption");
            if kept || wanted {
                answer = answer.header(name, value);
            }
        }
        answer
    }

    /// Without a version, leaves a delete marker, as a versioned bucket does; with one, removes
    /// that version unless it is locked.
    fn delete(&mut self, call: &Call, bucket: &str, key: &str) -> Answer {
        if let Some(refusal) = if_match(call, current(self.versions(bucket, key))) {
            return refusal;
        }
        let Some(wanted) = call.query("versionId") else {
            let (id, _) = self.write(bucket, key, None, BTreeMap::new());
            return Answer::empty(204).header("x-amz-version-id", &id).header("x-amz-delete-marker", "true");
        };
        let bypass = call.header("x-amz-bypass-governance-retention") == Some("true");
        let versions = self.versions_mut(bucket, key);
        if versions.iter().any(|version| version.id() == wanted && version.locked(bypass)) {
            return Answer::s3_error(403, "AccessDenied", "Access Denied because object protected by object lock.");
        }
        versions.retain(|version| version.id() != wanted);
        Answer::empty(204).header("x-amz-version-id", wanted)
    }

    /// The objects of a bucket in key order, those put without a bucket among them.
    fn of_bucket(&self, bucket: &str) -> BTreeMap<&str, &[Version]> {
        let names = self.objects.keys().filter(|(of, _)| of == bucket || of.is_empty());
        names.map(|(_, key)| (key.as_str(), self.versions(bucket, key))).collect()
    }

    fn page(&self, call: &Call) -> usize {
        let asked = call.query("max-keys").and_then(|keys| keys.parse().ok()).unwrap_or(1000);
        self.page.unwrap_or(1000).min(asked)
    }

    fn list(&self, call: &Call, bucket: &str) -> Answer {
        let prefix = call.query("prefix").unwrap_or_default();
        let after = call.query("continuation-token").or_else(|| call.query("start-after")).unwrap_or_default();
        let delimiter = call.query("delimiter").filter(|delimiter| !delimiter.is_empty());
        // One entry per key or, with a delimiter, per group of keys; a group is `None`.
        let mut entries: BTreeMap<String, Option<&Version>> = BTreeMap::new();
        for (key, versions) in self.of_bucket(bucket) {
            let (Some(rest), Some(version)) = (key.strip_prefix(prefix), current(versions)) else { continue };
            match delimiter.and_then(|delimiter| Some((delimiter, rest.split_once(delimiter)?))) {
                Some((delimiter, (group, _))) => entries.insert(format!("{prefix}{group}{delimiter}"), None),
                None => entries.insert(key.to_owned(), Some(version)),
            };
        }
        let mut rest = entries.into_iter().filter(|(name, _)| name.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(self.page(call)).collect();
        let next = rest.next().and_then(|_| page.last()).map(|(name, _)| name.clone());
        let mut body = format!(
            "<Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
            escape(bucket),
            escape(prefix),
            page.len(),
            self.page(call),
            next.is_some(),
        );
        if let Some(next) = next {
            let _ = write!(body, "<NextContinuationToken>{}</NextContinuationToken>", escape(&next));
        }
        for (name, version) in page {
            let name = escape(&name);
            let _ = match version {
                Some(version) => write!(body, "<Contents><Key>{name}</Key>{}</Contents>", facts(version)),
                None => write!(body, "<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
            };
        }
        listing("ListBucketResult", &body)
    }

    fn list_versions(&self, call: &Call, bucket: &str) -> Answer {
        let prefix = call.query("prefix").unwrap_or_default();
        let (after_key, after_version) = (call.query("key-marker").unwrap_or_default(), call.query("version-id-marker"));
        let objects = self.of_bucket(bucket);
        let mut rest = objects.iter().filter(|(key, _)| key.starts_with(prefix)).flat_map(|(key, versions)| {
            // Newest first. The marker of a version stops within its key; that of a key skips it.
            let seen = match after_version {
                Some(id) if *key == after_key => versions.iter().rev().take_while(|version| version.id() != id).count() + 1,
                _ if *key <= after_key => versions.len(),
                _ => 0,
            };
            let newest = versions.last().map(|version| version.number);
            versions.iter().rev().skip(seen).map(move |version| (*key, version, newest == Some(version.number)))
        });
        let page: Vec<_> = rest.by_ref().take(self.page(call)).collect();
        let next = rest.next().and_then(|_| page.last());
        let mut body = format!(
            "<Name>{}</Name><Prefix>{}</Prefix><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
            escape(bucket),
            escape(prefix),
            self.page(call),
            next.is_some(),
        );
        if let Some((key, version, _)) = next {
            let (key, id) = (escape(key), version.id());
            let _ = write!(body, "<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>");
        }
        for (key, version, latest) in &page {
            let (kind, key, id, facts) =
                (if version.bytes.is_some() { "Version" } else { "DeleteMarker" }, escape(key), version.id(), facts(version));
            let _ =
                write!(body, "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>{facts}</{kind}>");
        }
        listing("ListVersionsResult", &body)
    }
}

/// The version a plain read gets, unless it is a delete marker.
fn current(versions: &[Version]) -> Option<&Version> {
    versions.last().filter(|version| version.bytes.is_some())
}

/// The header of a checksum, which the SDK computed and S3 stores and tells; the bucket takes its word.
fn is_checksum(name: &str) -> bool {
    let kind = name.strip_prefix("x-amz-checksum-");
    kind.is_some_and(|kind| ["crc32", "crc32c", "crc64nvme", "sha1", "sha256", "type"].contains(&kind))
}

fn matches(condition: &str, version: &Version) -> bool {
    condition == "*" || condition.trim_matches('"') == version.etag.trim_matches('"')
}

/// Why a call with `If-Match` is refused: 404 when there is nothing to match, 412 when it differs.
fn if_match(call: &Call, present: Option<&Version>) -> Option<Answer> {
    let etag = call.header("if-match")?;
    match present {
        None => Some(Answer::s3_error(404, "NoSuchKey", "The specified key does not exist.")),
        Some(version) if matches(etag, version) => None,
        Some(_) => Some(failed("If-Match")),
    }
}

fn failed(condition: &str) -> Answer {
    let message = format!("At least one of the pre-conditions you specified did not hold: {condition}");
    Answer::s3_error(412, "PreconditionFailed", &message)
}

/// What a listing says of a version; a delete marker has neither size nor `ETag`.
fn facts(version: &Version) -> String {
    let time = format!("<LastModified>2026-01-01T00:{}.000Z</LastModified>", version.time());
    let Some(bytes) = &version.bytes else { return time };
    format!("{time}<ETag>{}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass>", escape(&version.etag), bytes.len())
}

fn listing(root: &str, body: &str) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{body}</{root}>"
    );
    Answer::xml(xml)
}
