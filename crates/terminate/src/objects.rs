//! The lock of an object of the case file, by its version.

use aws_sdk_s3::types::ObjectLockMode;
use handler::{AwsError, Store, failed};
use incident::evidence::ObjectRef;
use incident::plan::{LockMode, Retention};
use jiff::Timestamp;

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
