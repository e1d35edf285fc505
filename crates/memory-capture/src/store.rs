//! What S3 is asked about multipart uploads, and what it makes of them.

use aws_sdk_s3::types::{
    ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, ObjectLockRetention, ObjectLockRetentionMode,
};
use aws_smithy_types::DateTime;
use handler::{AwsError, failed};
use incident::plan::LockMode;
use incident::{Classify as _, Fault};

use crate::Case;
use crate::compare::Stored;
use crate::parts::Part;

impl Case<'_> {
    /// Begins an upload for `name`. No lock, and no checksum algorithm: with either, every part would need a header that
    /// cannot be signed beforehand [facts 51, 52].
    pub(crate) async fn begin_upload(&self, name: &str) -> Result<String, AwsError> {
        let store = &self.clients.store;
        let call = store.s3.create_multipart_upload().bucket(&store.bucket).key(self.key(name));
        let answer = call.content_type("application/octet-stream").send().await;
        Ok(answer.map_err(failed("s3:CreateMultipartUpload"))?.upload_id.unwrap_or_default())
    }

    /// The parts of an upload; `None` where S3 does not know it (any more).
    pub(crate) async fn parts(&self, name: &str, upload: &str) -> Result<Option<Vec<Part>>, AwsError> {
        let store = &self.clients.store;
        let (mut parts, mut after) = (Vec::new(), None);
        loop {
            let call = store.s3.list_parts().bucket(&store.bucket).key(self.key(name)).upload_id(upload);
            let page = match call.set_part_number_marker(after).send().await.map_err(failed("s3:ListParts")) {
                Err(error) if gone(&error) => return Ok(None),
                other => other?,
            };
            parts.extend(page.parts().iter().map(|part| Part {
                number: part.part_number().and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
                size: part.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
                etag: part.e_tag().unwrap_or_default().to_owned(),
            }));
            after = page.next_part_number_marker.filter(|_| page.is_truncated == Some(true));
            if after.is_none() {
                return Ok(Some(parts));
            }
        }
    }

    /// Makes the object of these parts. `false` where one of them is no longer what it was when it was listed.
    ///
    /// The object that is there already, and the upload that is gone, are an earlier attempt's: its answer was lost.
    pub(crate) async fn complete(&self, name: &str, upload: &str, parts: &[&Part]) -> Result<bool, AwsError> {
        let store = &self.clients.store;
        let named = parts.iter().map(|part| {
            CompletedPart::builder().part_number(i32::try_from(part.number).unwrap_or_default()).e_tag(&part.etag).build()
        });
        let size: u64 = parts.iter().map(|part| part.size).sum();
        let call = (store.s3.complete_multipart_upload())
            .bucket(&store.bucket)
            .key(self.key(name))
            .upload_id(upload)
            .if_none_match("*")
            .mpu_object_size(i64::try_from(size).unwrap_or(i64::MAX))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(named.collect())).build());
        match call.send().await.map_err(failed("s3:CompleteMultipartUpload")) {
            Ok(_) => Ok(true),
            Err(error) if gone(&error) || error.is("PreconditionFailed") => Ok(true),
            Err(error) if error.is("InvalidPart") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends an upload and drops its parts. One that is gone is ended.
    pub(crate) async fn abort(&self, name: &str, upload: &str) -> Result<(), AwsError> {
        let store = &self.clients.store;
        let call = store.s3.abort_multipart_upload().bucket(&store.bucket).key(self.key(name)).upload_id(upload);
        match call.send().await.map_err(failed("s3:AbortMultipartUpload")) {
            Err(error) if !gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The object under `name` as S3 has it, with the checksum that S3 computed of it; `None` where there is none.
    pub(crate) async fn stored(&self, name: &str) -> Result<Option<Stored>, AwsError> {
        let store = &self.clients.store;
        let call = store.s3.head_object().bucket(&store.bucket).key(self.key(name)).checksum_mode(ChecksumMode::Enabled);
        let head = match call.send().await.map_err(failed("s3:HeadObject")) {
            Err(error) if error.fault() == Fault::Missing => return Ok(None),
            other => other?,
        };
        // A checksum of the parts' checksums says nothing about the whole.
        let whole = head.checksum_type() != Some(&ChecksumType::Composite);
        let crc64nvme = head.checksum_crc64_nvme.filter(|crc| whole && !crc.contains('-'));
        Ok(Some(Stored {
            key: self.key(name),
            version_id: head.version_id.unwrap_or_default(),
            size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            parts: count(head.e_tag.as_deref().unwrap_or_default()),
            crc64nvme,
        }))
    }

    /// Whether there is an object at `key`.
    pub(crate) async fn exists(&self, key: &str) -> Result<bool, AwsError> {
        let store = &self.clients.store;
        match store.s3.head_object().bucket(&store.bucket).key(key).send().await.map_err(failed("s3:HeadObject")) {
            Ok(_) => Ok(true),
            Err(error) if error.fault() == Fault::Missing => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Locks one version as the plan says. Locking it twice is no change.
    pub(crate) async fn lock(&self, stored: &Stored) -> Result<(), AwsError> {
        let retention = self.plan.retention;
        let mode = match retention.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let until = DateTime::from_secs(retention.until.as_second());
        let lock = ObjectLockRetention::builder().mode(mode).retain_until_date(until).build();
        let store = &self.clients.store;
        let call = store.s3.put_object_retention().bucket(&store.bucket).key(&stored.key).version_id(&stored.version_id);
        call.retention(lock).send().await.map_err(failed("s3:PutObjectRetention")).map(drop)
    }
}

fn gone(error: &AwsError) -> bool {
    error.is("NoSuchUpload")
}

/// How many parts an object was made of: its `ETag` ends in the number where it was an upload.
fn count(etag: &str) -> u32 {
    etag.trim_matches('"').rsplit_once('-').and_then(|(_, parts)| parts.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_parts_is_in_the_etag() {
        for (etag, parts) in [("\"0123-7\"", 7), ("0123-10000", 10_000), ("\"0123\"", 1), ("", 1), ("\"a-b\"", 1)] {
            assert_eq!(count(etag), parts, "{etag}");
        }
    }
}
