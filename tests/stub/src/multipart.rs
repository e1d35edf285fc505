//! Multipart uploads of the memory bucket: parts are no objects until an upload is completed.

use crate::answer::{Answer, escape};
use crate::request::Call;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The smallest part but the last, in bytes.
const SMALLEST: usize = 5 << 20;

#[derive(Debug, Default)]
pub(crate) struct Uploads {
    open: BTreeMap<String, Upload>,
    begun: usize,
    put: usize,
}

#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug)]
struct Part {
    etag: String,
    bytes: Vec<u8>,
}

/// The object that an upload became.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: usize,
}

impl Made {
    /// The CRC-64/NVME of the whole, in Base64, big-endian.
    pub(crate) fn crc64nvme(&self) -> String {
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &self.bytes);
        aws_smithy_types::base64::encode(checksum.to_be_bytes())
    }
}

impl Uploads {
    /// The keys of all uploads that are open.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.open.values().map(|upload| upload.key.clone()).collect();
        keys.sort();
        keys
    }

    pub(crate) fn create(&mut self, bucket: &str, key: &str) -> Answer {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.open.insert(id.clone(), Upload { bucket: bucket.to_owned(), key: key.to_owned(), parts: BTreeMap::new() });
        Answer::xml(format!(
            "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>\
             </InitiateMultipartUploadResult>",
            escape(bucket),
            escape(key)
        ))
    }

    /// The upload that a call names, if its bucket and key are those of the upload.
    fn named(&mut self, call: &Call, bucket: &str, key: &str) -> Result<&mut Upload, Answer> {
        let upload = call.query("uploadId").and_then(|id| self.open.get_mut(id));
        let upload = upload.filter(|upload| upload.bucket == bucket && upload.key == key);
        upload.ok_or_else(|| Answer::s3_error(404, "NoSuchUpload", "The specified upload does not exist."))
    }

    pub(crate) fn put(&mut self, call: &Call, bucket: &str, key: &str) -> Answer {
        let number = call.query("partNumber").and_then(|number| number.parse().ok());
        let Some(number @ 1..=10_000) = number else {
            return Answer::s3_error(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
        };
        self.put += 1;
        let etag = format!("\"part-{}\"", self.put);
        match self.named(call, bucket, key) {
            Ok(upload) => upload.parts.insert(number, Part { etag: etag.clone(), bytes: call.bytes.clone() }),
            Err(refusal) => return refusal,
        };
        Answer::empty(200).header("etag", &etag)
    }

    pub(crate) fn list(&mut self, call: &Call, bucket: &str, key: &str, most: usize) -> Answer {
        let upload = match self.named(call, bucket, key) {
            Ok(upload) => upload,
            Err(refusal) => return refusal,
        };
        let after = call.query("part-number-marker").and_then(|marker| marker.parse().ok()).unwrap_or(0);
        let asked = call.query("max-parts").and_then(|parts| parts.parse().ok()).unwrap_or(1000);
        let mut rest = upload.parts.range(after + 1..);
        let page: Vec<_> = rest.by_ref().take(most.min(asked)).collect();
        let more = rest.next().is_some();
        let mut body = format!("<IsTruncated>{more}</IsTruncated>");
        if let Some((last, _)) = page.last() {
            let _ = write!(body, "<NextPartNumberMarker>{last}</NextPartNumberMarker>");
        }
        for (number, part) in page {
            let (etag, size) = (escape(&part.etag), part.bytes.len());
            let _ = write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{size}</Size></Part>");
        }
        Answer::xml(format!("<ListPartsResult>{body}</ListPartsResult>"))
    }

    pub(crate) fn abort(&mut self, call: &Call, bucket: &str, key: &str) -> Answer {
        match self.named(call, bucket, key) {
            Ok(_) => {
                self.open.remove(call.query("uploadId").unwrap_or_default());
                Answer::empty(204)
            }
            Err(refusal) => refusal,
        }
    }

    /// The object of the parts that the call names, as S3 checks them. The upload is gone after it.
    pub(crate) fn complete(&mut self, call: &Call, bucket: &str, key: &str) -> Result<Made, Answer> {
        let refused = |code: &str| Err(Answer::s3_error(400, code, "refused as S3 refuses it"));
        let element = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once("</").map(|(value, _)| value.replace("&quot;", "\""))
        };
        let named: Vec<(u32, String)> = (call.body.split("<Part>").skip(1))
            .filter_map(|part| Some((element(part, "PartNumber")?.parse().ok()?, element(part, "ETag")?)))
            .collect();
        let upload = self.named(call, bucket, key)?;
        if named.is_empty() {
            return refused("MalformedXML");
        }
        if !named.is_sorted_by(|(one, _), (next, _)| one < next) {
            return refused("InvalidPartOrder");
        }
        let mut made = Made { bytes: Vec::new(), parts: named.len() };
        for (index, (number, etag)) in named.iter().enumerate() {
            match upload.parts.get(number) {
                Some(part) if part.etag.trim_matches('"') == etag.trim_matches('"') => {
                    if part.bytes.len() < SMALLEST && index + 1 < named.len() {
                        return refused("EntityTooSmall");
                    }
                    made.bytes.extend_from_slice(&part.bytes);
                }
                _ => return refused("InvalidPart"),
            }
        }
        let expected = call.header("x-amz-mp-object-size").and_then(|size| size.parse().ok());
        if expected.is_some_and(|size: usize| size != made.bytes.len()) {
            return refused("InvalidRequest");
        }
        self.open.remove(call.query("uploadId").unwrap_or_default());
        Ok(made)
    }
}
