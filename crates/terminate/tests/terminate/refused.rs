//! Each kind of refusal, as the account's own state leads to it: nothing is terminated, and the record says why.

use incident::evidence::{RefusalKind as Kind, TerminationStatus};
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;

use crate::support::{
    ATTRIBUTE, INSTANCE, INSTANCES, LOCKS, SNAPSHOTS, Sealing, TERMINATE, VERIFY, World, id, key, locks, protection, snapshots,
};

type Before = fn(&mut Sealing);
type After = fn(&mut World);

const NOT_BEFORE: Before = |_| ();
const NOT_AFTER: After = |_| ();

/// What is otherwise before the seal, what changes after it, and the refusals that must follow.
const CASES: &[(&str, Before, After, &[Kind])] = &[
    (
        "quarantine",
        |s| s.plan["disposition"] = json!({"decision": "quarantine", "reason": "text"}),
        NOT_AFTER,
        &[Kind::NotPlanned],
    ),
    ("another manifest is cited", NOT_BEFORE, |w| w.manifest.sha256 = "b".repeat(64), &[Kind::NoManifest]),
    ("another version is cited", NOT_BEFORE, |w| w.manifest.version_id = String::from("version-1"), &[Kind::NoManifest]),
    ("another key is cited", NOT_BEFORE, |w| w.manifest.key = key("plan.json"), &[Kind::NoManifest]),
    (
        "the manifest was written twice",
        NOT_BEFORE,
        |w| w.aws.put_object_in("evidence", &key("manifest-evidence.json"), "{}"),
        &[Kind::NoManifest],
    ),
    (
        "the case may not be listed",
        NOT_BEFORE,
        |w| w.aws.set("s3:ListObjectVersions", Answer::s3_error(403, "AccessDenied", "no")),
        &[Kind::NoManifest],
    ),
    (
        "another case's manifest",
        |s| s.manifest["caseId"] = json!("i-0abc1234def567890-0123456789ab"),
        NOT_AFTER,
        &[Kind::NoManifest],
    ),
    (
        "a signature of another key",
        NOT_BEFORE,
        |w| w.aws.set(VERIFY, Answer::json_error(400, "KMSInvalidSignatureException", "")),
        &[Kind::ManifestForged],
    ),
    (
        "a signature that KMS calls invalid",
        NOT_BEFORE,
        |w| w.aws.set(VERIFY, Answer::json(json!({"SignatureValid": false}))),
        &[Kind::ManifestForged],
    ),
    (
        "a signature that may not be checked",
        NOT_BEFORE,
        |w| w.aws.set(VERIFY, Answer::json_error(400, "AccessDeniedException", "no")),
        &[Kind::ManifestForged],
    ),
    (
        "two signatures",
        NOT_BEFORE,
        |w| w.aws.put_object_in("evidence", &key("manifest-evidence.json.sig"), "x"),
        &[Kind::ManifestForged],
    ),
    (
        "something missing that nobody waived",
        |s| {
            s.manifest["complete"] = json!(false);
            s.manifest["missing"] = json!([{"item": "memory", "reason": "no agent"}]);
        },
        NOT_AFTER,
        &[Kind::EvidenceMissing],
    ),
    (
        "something missing under a standing permission",
        |s| {
            s.plan["disposition"]["decision"] = json!("terminate");
            s.manifest["complete"] = json!(false);
            s.manifest["missing"] = json!([{"item": "memory", "reason": "no agent"}]);
            s.approvers.clear();
        },
        NOT_AFTER,
        &[Kind::EvidenceMissing, Kind::ApprovalMissing],
    ),
    ("a pending snapshot", NOT_BEFORE, |w| w.aws.set(SNAPSHOTS, snapshots("pending")), &[Kind::SnapshotNotCompleted]),
    (
        "a snapshot that is gone",
        NOT_BEFORE,
        |w| w.aws.set(SNAPSHOTS, Answer::xml("<DescribeSnapshotsResponse><snapshotSet/></DescribeSnapshotsResponse>")),
        &[Kind::SnapshotNotCompleted, Kind::EvidenceUnlocked],
    ),
    ("a lock that has expired", NOT_BEFORE, |w| w.aws.set(LOCKS, locks("expired", 30)), &[Kind::EvidenceUnlocked]),
    ("a lock that is too short", NOT_BEFORE, |w| w.aws.set(LOCKS, locks("governance", 29)), &[Kind::EvidenceUnlocked]),
    (
        "locks that may not be read",
        NOT_BEFORE,
        |w| w.aws.set(LOCKS, Answer::ec2_error(403, "UnauthorizedOperation", "no")),
        &[Kind::EvidenceUnlocked],
    ),
    ("objects without a lock", |s| s.locked = false, NOT_AFTER, &[Kind::EvidenceUnlocked]),
    (
        "an object that was written again",
        NOT_BEFORE,
        |w| w.aws.put_object_in("evidence", &key("finding.json"), "another"),
        &[Kind::EvidenceChanged],
    ),
    (
        "an object that may not be read",
        NOT_BEFORE,
        |w| w.aws.push("s3:HeadObject", Answer::s3_error(403, "AccessDenied", "no")),
        &[Kind::EvidenceChanged],
    ),
    ("a restart", NOT_BEFORE, |w| w.now(|i| i.launched = "2026-11-24T05:59:00.000Z"), &[Kind::TargetChanged]),
    ("a stop", NOT_BEFORE, |w| w.now(|i| i.state = "stopped"), &[Kind::TargetChanged]),
    ("an end by somebody else", NOT_BEFORE, |w| w.now(|i| i.state = "terminated"), &[Kind::TargetChanged]),
    ("an instance that is gone", NOT_BEFORE, |w| w.now(|i| i.state = "gone"), &[Kind::TargetChanged]),
    ("no tag of Seal", NOT_BEFORE, |w| w.now(|i| i.tags.clear()), &[Kind::TargetChanged]),
    (
        "an instance that may not be read",
        NOT_BEFORE,
        |w| w.aws.set(INSTANCES, Answer::ec2_error(403, "UnauthorizedOperation", "no")),
        &[Kind::TargetUnknown],
    ),
    ("a seal that did not see the target", |s| s.manifest["target"] = json!(null), NOT_AFTER, &[Kind::TargetUnknown]),
    (
        "protection of somebody else",
        |s| s.protected_before = Some(true),
        |w| w.aws.set(ATTRIBUTE, protection(true)),
        &[Kind::Protected],
    ),
    (
        "protection that may not be ours",
        |s| s.protected_before = None,
        |w| w.aws.set(ATTRIBUTE, protection(true)),
        &[Kind::Protected],
    ),
    (
        "protection that may not be read",
        NOT_BEFORE,
        |w| w.aws.set(ATTRIBUTE, Answer::ec2_error(403, "UnauthorizedOperation", "no")),
        &[Kind::Protected],
    ),
    ("a protected tag", NOT_BEFORE, |w| w.now(|i| i.tags.push(("keep".to_owned(), "x".to_owned()))), &[Kind::Protected]),
    ("one approval of two", |s| s.approvers.truncate(1), NOT_AFTER, &[Kind::ApprovalMissing]),
    ("one person twice", |s| s.approvers = vec!["alice", "Alice"], NOT_AFTER, &[Kind::ApprovedTwiceByOne]),
    (
        "approvals of another manifest",
        |s| s.answers_for = Some("c".repeat(64)),
        NOT_AFTER,
        &[Kind::ApprovalStale, Kind::ApprovalMissing],
    ),
    (
        "an approval that is none",
        NOT_BEFORE,
        |w| w.aws.put_object_in("evidence", &key("approvals/approve-eve.json"), "{}"),
        &[Kind::ApprovalForged],
    ),
    ("a denial", |s| s.denies = true, NOT_AFTER, &[Kind::Denied]),
    (
        "another case's claim",
        NOT_BEFORE,
        |w| {
            let execution = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:two";
            let claim = json!({"caseId": id(), "executionArn": execution, "severity": 1.0});
            w.aws.put_object_in("evidence", &format!("open/{INSTANCE}.json"), claim.to_string());
        },
        &[Kind::OtherCaseOpen],
    ),
];

#[tokio::test]
async fn whatever_the_guard_has_against_it_nothing_is_terminated_and_the_record_says_why() {
    let mut reached = std::collections::BTreeSet::new();
    for (name, before, after, kinds) in CASES {
        let mut world = World::sealed(before).await;
        after(&mut world);
        let ended = world.end(0).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((ended.status, world.aws.count(TERMINATE)), (TerminationStatus::Refused, 0), "{name}: {ended:?}");
        let said: std::collections::BTreeSet<Kind> = ended.refusals.iter().map(|refusal| refusal.kind).collect();
        assert_eq!(said, kinds.iter().copied().collect(), "{name}: {ended:?}");
        assert!(ended.by.is_empty(), "{name}");
        let records = world.records();
        assert_eq!((records.len(), records[0]["note"]["refused"].clone()), (1, json!(ended.refusals)), "{name}");
        reached.extend(said);
    }
    assert_eq!(reached.len(), 16, "{reached:?}");
}

#[tokio::test]
async fn the_plan_that_is_handed_on_permits_nothing() {
    let mut world =
        World::sealed(|sealing| sealing.plan["disposition"] = json!({"decision": "quarantine", "reason": "text"})).await;
    world.hand_on(|plan| plan["disposition"] = json!({"decision": "ask", "persons": 1, "waitSeconds": 60, "protectedTags": []}));
    let ended = world.end(0).await.unwrap();
    assert_eq!((ended.refusals[0].kind, world.aws.count(TERMINATE)), (Kind::NotPlanned, 0));
}

#[tokio::test]
async fn a_payload_of_two_cases_reads_nothing() {
    let mut world = World::permitted().await;
    world.hand_on(|plan| plan["caseId"] = json!("i-0abc1234def567890-0123456789ab"));
    assert_eq!(world.end(0).await.unwrap_err().fault(), Fault::Invalid);
    assert!(world.aws.calls().is_empty(), "{:?}", world.aws.actions());
}

#[tokio::test]
async fn many_refusals_are_bounded_and_the_record_has_them_all() {
    let world = World::permitted().await;
    for n in 0..80 {
        world.aws.put_object_in("evidence", &key(&format!("approvals/approve-{n}.json")), "{}");
    }
    let ended = world.end(0).await.unwrap();
    assert_eq!((ended.refusals.len(), ended.reasons.len()), (50, 1), "{:?}", ended.reasons);
    assert_eq!(world.records()[0]["note"]["refused"].as_array().map(Vec::len), Some(80));
}
