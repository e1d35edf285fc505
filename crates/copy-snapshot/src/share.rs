//! Shares completed copies with the plan's accounts, and reads back with whom they are shared.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};
use futures_util::future::join_all;
use handler::recorder::result;
use handler::{AwsError, failed};
use incident::copies::SnapshotCopy;
use incident::record::Change;
use incident::{Classify as _, Fault, SnapshotId};
use serde_json::json;

use crate::{Done, change};

/// Whether a copy is to be shared: it is completed, and one of `with` cannot read it as far as is known.
pub(crate) fn is_due(copy: &SnapshotCopy, with: &[String]) -> bool {
    copy.is_completed() && with.iter().any(|account| !copy.shared_with.contains(account))
}

/// The change that sharing is.
pub(crate) fn intended(copy: &SnapshotCopy, with: &[String]) -> Change {
    change("ec2:ModifySnapshotAttribute", copy.snapshot_id.as_str(), json!({"shareWith": with}))
}

/// Shares what is due.
pub(crate) async fn all(ec2: &Client, with: &[String], copies: &mut [SnapshotCopy], done: &mut Done) {
    let mut due: Vec<&mut SnapshotCopy> = copies.iter_mut().filter(|copy| is_due(copy, with)).collect();
    let shared = join_all(due.iter().map(|copy| one(ec2, &copy.snapshot_id, with))).await;
    for (copy, shared) in due.iter_mut().zip(shared) {
        done.changes.push(Change { result: Some(result(&shared)), ..intended(copy, with) });
        match shared {
            Ok(accounts) => copy.shared_with = accounts,
            Err(error) if error.fault() == Fault::Transient => done.failed_in_passing(error),
            Err(error) => done.refused.push((copy.snapshot_id.clone(), error.to_string())),
        }
    }
}

/// Adding an account again is no change. Gives whom EC2 then says that it is shared with.
async fn one(ec2: &Client, id: &SnapshotId, with: &[String]) -> Result<Vec<String>, AwsError> {
    let attribute = SnapshotAttributeName::CreateVolumePermission;
    // One account in each call: the role's condition is about one.
    for account in with {
        let call = ec2.modify_snapshot_attribute().snapshot_id(id.as_str()).attribute(attribute.clone());
        let call = call.operation_type(OperationType::Add).user_ids(account);
        call.send().await.map_err(failed("ec2:ModifySnapshotAttribute"))?;
    }
    let look = ec2.describe_snapshot_attribute().snapshot_id(id.as_str()).attribute(attribute).send().await;
    let look = look.map_err(failed("ec2:DescribeSnapshotAttribute"))?;
    let accounts = look.create_volume_permissions().iter().filter_map(|permission| permission.user_id());
    let mut accounts: Vec<String> =
        accounts.filter(|account| with.iter().any(|wanted| wanted == account)).map(str::to_owned).collect();
    accounts.sort();
    Ok(accounts)
}
