//! What EBS says of snapshots that have ended [facts 67]. Pure.
//!
//! Nothing of it is believed: it says which snapshots to look at, and no more.

use incident::SnapshotId;
use serde_json::Value;

/// The most snapshots that one event is read for: a set has at most 128.
const MOST: usize = 200;

/// The snapshots that an event says have ended, however they ended; none where it says nothing of the kind.
pub fn ended(event: &Value) -> Vec<SnapshotId> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    // As the rule has it. Whoever may invoke this function could leave it out.
    let members = match (text("/source"), text("/detail-type"), text("/detail/event")) {
        ("aws.ec2", "EBS Multi-Volume Snapshots Completion Status", "createSnapshots") => {
            let list = event.pointer("/detail/snapshots").and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|member| member.get("snapshot_id")).collect()
        }
        ("aws.ec2", "EBS Snapshot Notification", "createSnapshot" | "copySnapshot") => {
            event.pointer("/detail/snapshot_id").into_iter().collect()
        }
        _ => Vec::new(),
    };
    // AWS writes the ARN in two ways, `arn:aws:ec2::REGION:snapshot/…` and `arn:aws:ec2:REGION::snapshot/…`.
    let id = |arn: &Value| SnapshotId::parse(arn.as_str()?.rsplit_once(":snapshot/")?.1).ok();
    members.into_iter().take(MOST).filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn arn(id: &str) -> String {
        format!("arn:aws:ec2::eu-central-1:snapshot/{id}")
    }

    fn set() -> Value {
        let member = |id: &str| json!({"snapshot_id": arn(id), "source": "arn:aws:ec2::eu-central-1:volume/vol-00000001", "status": "completed"});
        json!({"version": "0", "source": "aws.ec2", "detail-type": "EBS Multi-Volume Snapshots Completion Status", "account": "111122223333",
            "detail": {"event": "createSnapshots", "result": "succeeded", "cause": "", "request-id": "", "snapshots": [member("snap-00000001"), member("snap-00000002")]}})
    }

    fn single(event: &str, snapshot: &str) -> Value {
        json!({"version": "0", "source": "aws.ec2", "detail-type": "EBS Snapshot Notification",
            "detail": {"event": event, "result": "failed", "cause": "text", "snapshot_id": snapshot, "source": "arn:aws:ec2:us-east-1::snapshot/snap-00000009"}})
    }

    #[test]
    fn the_snapshots_of_an_event_are_read_however_aws_writes_them() {
        let cases = [
            (set(), vec!["snap-00000001", "snap-00000002"]),
            (single("createSnapshot", &arn("snap-00000003")), vec!["snap-00000003"]),
            (
                single("createSnapshot", "arn:aws-cn:ec2:cn-north-1::snapshot/snap-0123456789abcdef0"),
                vec!["snap-0123456789abcdef0"],
            ),
            (single("copySnapshot", &arn("snap-00000004")), vec!["snap-00000004"]),
        ];
        for (event, expected) in cases {
            let ids = ended(&event).into_iter().map(String::from).collect::<Vec<_>>();
            assert_eq!(ids, expected, "{event}");
        }
    }

    #[test]
    fn what_says_nothing_of_the_kind_names_nothing() {
        let with = |pointer: &str, value: Value| {
            let mut event = set();
            *event.pointer_mut(pointer).unwrap() = value;
            event
        };
        let cases = [
            json!({}),
            json!(7),
            with("/source", json!("cordon.drill")),
            with("/source", json!("aws.ec2 ")),
            with("/detail-type", json!("EBS Volume Notification")),
            with("/detail/event", json!("deleteSnapshot")),
            with("/detail/snapshots", json!({"snapshot_id": arn("snap-00000001")})),
            with(
                "/detail/snapshots",
                json!([{"snapshot_id": "snap-00000001"}, {"snapshot_id": ":snapshot/../../open/i-1"}, 7, {}]),
            ),
            single("shareSnapshot", &arn("snap-00000001")),
            single("lockSnapshot", &arn("snap-00000001")),
            single("createSnapshot", "arn:aws:ec2::eu-central-1:volume/vol-00000001"),
        ];
        for event in cases {
            assert_eq!(ended(&event), Vec::<SnapshotId>::new(), "{event}");
        }
        let many = with("/detail/snapshots", json!(vec![json!({"snapshot_id": arn("snap-00000001")}); 5_000]));
        assert_eq!(ended(&many).len(), MOST);
    }
}
