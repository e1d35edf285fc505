//! Shares completed copies with the plan's accounts, and reads back with whom they are shared.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{CreateVolumePermission, OperationType, SnapshotAttributeName};
use futures_util::future::join_all;
use handler::recorder::result;
use handler::{AwsError, failed};
use incident::SnapshotId;
use incident::copies::SnapshotCopy;
use incident::record::{Change, ChangeResult};
use serde_json::json;

use crate::{Done, change};

/// The most accounts that are named beside those of the plan.
const MOST_OTHERS: usize = 10;

/// Whether a copy is to be shared: it is completed, and one of `with` cannot read it as far as is known.
pub(crate) fn is_due(copy: &SnapshotCopy, with: &[String]) -> bool {
    copy.is_completed() && with.iter().any(|account| !copy.shared_with.contains(account))
}

/// The changes that sharing is: one account in each call, since the role's condition is about one.
pub(crate) fn intended(copy: &SnapshotCopy, with: &[String]) -> Vec<Change> {
    with.iter().map(|account| of(&copy.snapshot_id, account)).collect()
}

fn of(id: &SnapshotId, account: &str) -> Change {
    change("ec2:ModifySnapshotAttribute", id.as_str(), json!({"shareWith": account}))
}

/// Shares what is due. An account that is refused keeps the others from nothing.
pub(crate) async fn all(ec2: &Client, with: &[String], copies: &mut [SnapshotCopy], done: &mut Done) {
    let mut due: Vec<&mut SnapshotCopy> = copies.iter_mut().filter(|copy| is_due(copy, with)).collect();
    let shared = join_all(due.iter().map(|copy| one(ec2, &copy.snapshot_id, with))).await;
    for (copy, shared) in due.iter_mut().zip(shared) {
        done.changes.extend(shared.changes);
        // Where EC2 would not say, what was known before stands: it was read back then.
        if let Some(accounts) = shared.accounts {
            copy.shared_with = accounts;
        }
        for error in shared.errors {
            done.failed(&copy.snapshot_id, &error);
        }
    }
}

/// What became of the sharing of one copy.
#[derive(Default)]
struct Shared {
    changes: Vec<Change>,
    /// Whom EC2 says that it is shared with; absent where it did not say.
    accounts: Option<Vec<String>>,
    errors: Vec<AwsError>,
}

/// Looks, adds the accounts that are not there, and looks again.
async fn one(ec2: &Client, id: &SnapshotId, with: &[String]) -> Shared {
    let mut shared = Shared::default();
    let before = match look(ec2, id, with).await {
        Ok(before) => before,
        Err(error) => {
            shared
                .changes
                .extend(with.iter().map(|account| Change { result: Some(ChangeResult::from(&error)), ..of(id, account) }));
            shared.errors.push(error);
            return shared;
        }
    };
    for account in with {
        if before.contains(account) {
            shared.changes.push(Change { result: Some(ChangeResult::Already), ..of(id, account) });
            continue;
        }
        let call = ec2.modify_snapshot_attribute().snapshot_id(id.as_str()).operation_type(OperationType::Add);
        let call = call.attribute(SnapshotAttributeName::CreateVolumePermission).user_ids(account);
        let added = call.send().await.map_err(failed("ec2:ModifySnapshotAttribute"));
        shared.changes.push(Change { result: Some(result(&added)), ..of(id, account) });
        shared.errors.extend(added.err());
    }
    match look(ec2, id, with).await {
        Ok(after) => shared.accounts = Some(after),
        Err(error) => shared.errors.push(error),
    }
    shared
}

/// Of `accounts` those of the plan, and no more of the others than a state's output has room for: whoever may share a copy may
/// do so with thousands [facts 82].
fn bounded(mut accounts: Vec<String>, with: &[String]) -> Vec<String> {
    accounts.sort();
    let (mut kept, others): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|account| with.contains(account));
    // From the end: everybody, which is `all`, comes after every account.
    kept.extend(others.into_iter().rev().take(MOST_OTHERS));
    kept.sort();
    kept
}

/// Whom EC2 says that a copy is shared with: also whom others have shared it with.
async fn look(ec2: &Client, id: &SnapshotId, with: &[String]) -> Result<Vec<String>, AwsError> {
    let attribute = SnapshotAttributeName::CreateVolumePermission;
    let look = ec2.describe_snapshot_attribute().snapshot_id(id.as_str()).attribute(attribute).send().await;
    let look = look.map_err(failed("ec2:DescribeSnapshotAttribute"))?;
    let who = |permission: &CreateVolumePermission| {
        let account = permission.user_id().map(str::to_owned);
        account.or_else(|| permission.group().map(|group| group.as_str().to_owned()))
    };
    let accounts = look.create_volume_permissions().iter().filter_map(who).collect();
    Ok(bounded(accounts, with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_a_copy_is_shared_with_the_plans_accounts_and_everybody_are_named() {
        let strangers = (0..5_000).map(|number| format!("{number:012}"));
        let planned = ["000000000007", "444455556666"].map(str::to_owned);
        let accounts = strangers.chain(["all".to_owned(), planned[1].clone()]).collect();
        let kept = bounded(accounts, &planned);
        assert_eq!(kept.len(), planned.len() + MOST_OTHERS);
        assert!(planned.iter().all(|account| kept.contains(account)) && kept.contains(&"all".to_owned()), "{kept:?}");
        assert_eq!(bounded(vec!["2".to_owned(), "1".to_owned()], &planned), ["1", "2"]);
    }
}
