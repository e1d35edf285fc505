//! What the tests of `watch` look at.

use incident::progress::{Progress, Stage};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::stages::Facts;

/// A case that runs, whose plan was changed in this way.
pub(crate) fn facts(change: impl FnOnce(&mut Value)) -> Facts {
    let mut plan = json!({"schema": "cordon.plan.v1", "caseId": "i-0abc1234def567890-0123456789ab",
        "execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "opened": "2026-11-25T10:00:00Z",
        "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333", "region": "eu-central-1"},
        "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running", "interfaces": [],
            "volumes": [], "profile": "arn:aws:iam::111122223333:instance-profile/web", "spot": false, "windows": false},
        "policy": {"from": "parameter", "name": "/cordon/policy", "version": 1}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"}, "snapshotLock": {"mode": "governance", "days": 1},
        "retention": {"mode": "governance", "until": "2027-11-25T10:00:00Z"},
        "disposition": {"decision": "ask", "persons": 2, "waitSeconds": 3590, "protectedTags": []},
        "deadlines": {"snapshots": "2026-11-26T10:00:00Z", "memory": "2026-11-25T14:00:00Z"}, "earlierCase": null, "risks": []});
    change(&mut plan);
    Facts { plan: serde_json::from_value(plan).unwrap(), running: true, ..Facts::default() }
}

/// A case that runs and has these objects.
pub(crate) fn named(names: &[String]) -> Facts {
    Facts { names: names.to_vec(), ..facts(|_| ()) }
}

/// A wait that began with the case.
pub(crate) fn progress(seconds: i64, percent: u8, bytes: Option<(u64, u64)>, ended: bool) -> Progress {
    let since: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
    Progress {
        schema: Progress::SCHEMA.to_owned(),
        stage: Stage::Memory,
        since,
        at: since.checked_add(SignedDuration::from_secs(seconds)).unwrap(),
        percent,
        done_bytes: bytes.map(|(done, _)| done),
        of_bytes: bytes.map(|(_, of)| of),
        said: "running".to_owned(),
        ended,
    }
}
