//! Each refusal by exactly one flaw in a case that is permitted, and all of them together.

use std::collections::BTreeSet;

use incident::evidence::RefusalKind as Kind;
use incident::permission::{Answered, Decision, Statement, Waiver, person};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
const INSTANCE: &str = "i-0abc1234def567890";
const SNAPSHOT: &str = "snap-0abc1234def567890";
const VOLUME: &str = "vol-0abc1234def567890";

fn execution() -> ExecutionArn {
    ExecutionArn::parse(EXECUTION).unwrap()
}

fn id() -> CaseId {
    CaseId::new(&InstanceId::parse(INSTANCE).unwrap(), &execution())
}

fn plan() -> Plan {
    let plan = json!({"schema": "cordon.plan.v1", "caseId": id(), "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "guardDuty", "id": "f1", "type": "t", "title": "t", "severity": 8.0, "account": "111122223333",
            "region": "eu-central-1"},
        "target": {"instanceId": INSTANCE, "account": "111122223333", "region": "eu-central-1", "state": "running",
            "interfaces": [], "volumes": [], "profile": null, "spot": false, "windows": false},
        "policy": {"from": "parameter", "name": "/cordon/policy", "version": 7}, "cut": {"decision": "now"},
        "snapshotLock": {"mode": "governance", "days": 30}, "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
        "disposition": {"decision": "ask", "persons": 2, "waitSeconds": 3600, "protectedTags": [{"key": "keep"}]},
        "memory": {"decision": "skip", "because": "policy", "reason": "text"}, "credentials": {"decision": "deny"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T05:30:00Z"}, "earlierCase": null, "risks": []});
    serde_json::from_value(plan).unwrap()
}

fn document() -> EvidenceManifest {
    let item = |name: &str| {
        json!({"object": {"key": case::key(&id(), name), "versionId": "v", "sha256": "ab", "size": 1}, "trust": "cordon",
            "lock": {"mode": "governance", "until": "2027-11-24T03:30:00Z"}})
    };
    let document = json!({"schema": "cordon.manifest.evidence.v1", "caseId": id(), "execution": EXECUTION, "instanceId": INSTANCE,
        "sealedAt": "2026-11-24T04:00:00Z", "complete": true, "missing": [], "target": standing(), "containment": null,
        "denial": null, "memory": null, "lockdown": null, "items": [item("plan.json"), item("finding.json")],
        "snapshots": [{"taken": {"snapshotId": SNAPSHOT, "volumeId": VOLUME, "inSet": true, "startedAt": null,
            "lock": {"status": "locked", "mode": "governance", "days": 30}}, "look": null}],
        "custody": {"lines": 0, "head": "0"}, "risks": [], "signing": {"key": "k", "algorithm": "ECDSA_SHA_256"}});
    serde_json::from_value(document).unwrap()
}

fn standing() -> Standing {
    Standing {
        state: TargetState::Running,
        launched: "2026-11-01T00:00:00Z".parse().ok(),
        interfaces: vec!["eni-0abc1234def567890".parse().unwrap()],
        volumes: vec![VOLUME.parse().unwrap()],
    }
}

fn answer(decision: Decision, arn: &str) -> Kept {
    let person = person(arn).unwrap();
    let statement = Statement {
        schema: Statement::SCHEMA.to_owned(),
        case_id: id(),
        manifest: "a".repeat(64),
        decision,
        waive: Vec::new(),
        because: "why".to_owned(),
    };
    let answered = Answered {
        schema: Answered::SCHEMA.to_owned(),
        case_id: id(),
        execution: execution(),
        statement,
        person: person.clone(),
        arn: arn.to_owned(),
        account: "111122223333".to_owned(),
        signed_at: "20261124T040000Z".to_owned(),
        at: "2026-11-24T04:00:00Z".parse().unwrap(),
        by: "permission:1".to_owned(),
    };
    let key = case::key(&id(), &case::approval(decision, &person));
    Kept { key, versions: 1, deleted: false, answered: Ok(answered) }
}

fn approval(user: &str) -> Kept {
    answer(Decision::Approve, &format!("arn:aws:iam::111122223333:user/{user}"))
}

/// A case that two people have approved, with nothing against it.
fn permitted() -> Facts {
    let lock = "2027-11-24T03:30:00Z".parse().map(|until| Retention { mode: LockMode::Governance, until }).ok();
    let object =
        |name: &str| Object { key: case::key(&id(), name), version_id: "v".to_owned(), lock: Ok(lock), rewritten: false };
    Facts {
        case: id(),
        execution: execution(),
        manifest: Ok(Manifest { document: document(), sha256: "a".repeat(64), signature: Ok(()) }),
        plan: Ok(plan()),
        answers: vec![approval("alice"), approval("bob")],
        claim: Ok(Some(Claim { case_id: id(), execution_arn: execution(), severity: 8.0, closing: false, release: false })),
        target: Ok(Target {
            standing: standing(),
            tags: vec![(SEALED.to_owned(), id().to_string())],
            protection: Ok(false),
            at: "2026-11-24T05:00:00Z".parse().unwrap(),
        }),
        protected_before: Ok(false),
        snapshots: vec![Snapshot {
            id: SNAPSHOT.parse().unwrap(),
            state: Ok("completed".to_owned()),
            lock: Ok(Some(SnapshotLock { mode: LockMode::Governance, days: 30 })),
        }],
        objects: vec![object("plan.json"), object("finding.json")],
        intended: false,
    }
}

fn sealed(facts: &mut Facts) -> &mut EvidenceManifest {
    &mut facts.manifest.as_mut().unwrap().document
}

fn target(facts: &mut Facts) -> &mut Target {
    facts.target.as_mut().unwrap()
}

fn terms(facts: &mut Facts) -> &mut DispositionPlan {
    &mut facts.plan.as_mut().unwrap().disposition
}

/// One more answer, with something changed in it.
fn more(facts: &mut Facts, change: impl FnOnce(&mut Answered)) {
    let mut kept = approval("dave");
    change(kept.answered.as_mut().unwrap());
    facts.answers.push(kept);
}

fn missing(facts: &mut Facts, item: &str) {
    sealed(facts).complete = false;
    sealed(facts).missing.push(incident::evidence::Missing::new(item, "it is not there"));
}

fn waive(kept: &mut Kept, item: &str) {
    let waiver = Waiver { item: item.to_owned(), because: "enough without".to_owned() };
    kept.answered.as_mut().unwrap().statement.waive.push(waiver);
}

/// What is wrong, in one of several places that do not depend on each other, and the refusal that must follow.
type Flaw = (&'static str, Kind, fn(&mut Facts));

/// Each group is of one place. Two flaws of one place may hide each other; those of different places never do.
const GROUPS: &[&[Flaw]] = &[
    &[
        ("quarantine", Kind::NotPlanned, |f| *terms(f) = DispositionPlan::Quarantine { reason: "text".to_owned() }),
        ("no answer", Kind::ApprovalMissing, |f| f.answers.clear()),
        ("one answer of two", Kind::ApprovalMissing, |f| f.answers.truncate(1)),
        ("one person twice", Kind::ApprovedTwiceByOne, |f| f.answers = vec![approval("alice"), approval("Alice")]),
        ("a tag of the policy", Kind::Protected, |f| target(f).tags.push(("keep".to_owned(), "any".to_owned()))),
    ],
    &[
        ("another manifest's answer", Kind::ApprovalStale, |f| more(f, |a| a.statement.manifest = "b".repeat(64))),
        ("another execution's answer", Kind::ApprovalStale, |f| {
            more(f, |a| a.execution = ExecutionArn::parse(&format!("{EXECUTION}-again")).unwrap());
        }),
        ("another case's answer", Kind::ApprovalStale, |f| {
            more(f, |a| a.case_id = CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap());
        }),
        ("another case's statement", Kind::ApprovalStale, |f| {
            more(f, |a| a.statement.case_id = CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap());
        }),
        ("an answer of another schema", Kind::ApprovalForged, |f| more(f, |a| a.schema = "v2".to_owned())),
        ("an answer under another's name", Kind::ApprovalForged, |f| {
            more(f, |a| a.person = "111122223333/user/eve".to_owned());
        }),
        ("an answer of another account", Kind::ApprovalForged, |f| more(f, |a| a.account = "999999999999".to_owned())),
        ("an answer of an instance", Kind::ApprovalForged, |f| {
            more(f, |a| a.arn = format!("arn:aws:sts::111122223333:assumed-role/web/{INSTANCE}"));
        }),
        ("an answer that says nothing", Kind::ApprovalForged, |f| more(f, |a| a.statement.manifest = "no digest".to_owned())),
        ("an answer in another's place", Kind::ApprovalForged, |f| {
            more(f, |_| ());
            f.answers.last_mut().unwrap().key = case::key(&id(), "approvals/approve-anybody.json");
        }),
        ("an answer written twice", Kind::ApprovalForged, |f| {
            more(f, |_| ());
            f.answers.last_mut().unwrap().versions = 2;
        }),
        ("an answer that was deleted", Kind::ApprovalForged, |f| {
            more(f, |_| ());
            f.answers.last_mut().unwrap().deleted = true;
        }),
        ("an answer that cannot be read", Kind::ApprovalForged, |f| {
            more(f, |_| ());
            f.answers.last_mut().unwrap().answered = Err("denied".to_owned());
        }),
        ("a denial", Kind::Denied, |f| f.answers.push(answer(Decision::Deny, "arn:aws:iam::111122223333:user/erin"))),
    ],
    &[
        ("another case's manifest", Kind::NoManifest, |f| {
            sealed(f).case_id = CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap();
        }),
        ("another execution's manifest", Kind::NoManifest, |f| {
            sealed(f).execution = ExecutionArn::parse(&format!("{EXECUTION}-again")).unwrap();
        }),
        ("another target's manifest", Kind::NoManifest, |f| sealed(f).instance_id = InstanceId::parse("i-00000000").unwrap()),
        ("a manifest of another schema", Kind::NoManifest, |f| sealed(f).schema = "v2".to_owned()),
    ],
    &[("a signature that does not hold", Kind::ManifestForged, |f| {
        f.manifest.as_mut().unwrap().signature = Err("no".to_owned());
    })],
    &[
        ("something missing", Kind::EvidenceMissing, |f| missing(f, "memory")),
        ("something missing that has no name", Kind::EvidenceMissing, |f| sealed(f).complete = false),
        ("something missing that is called complete", Kind::EvidenceMissing, |f| {
            missing(f, "memory");
            sealed(f).complete = true;
        }),
    ],
    &[
        ("a pending snapshot", Kind::SnapshotNotCompleted, |f| f.snapshots[0].state = Ok("pending".to_owned())),
        ("a snapshot that is gone", Kind::SnapshotNotCompleted, |f| f.snapshots[0].state = Ok("gone".to_owned())),
        ("a snapshot that cannot be read", Kind::SnapshotNotCompleted, |f| f.snapshots[0].state = Err("no".to_owned())),
    ],
    &[
        ("an unlocked snapshot", Kind::EvidenceUnlocked, |f| f.snapshots[0].lock = Ok(None)),
        ("a lock that cannot be read", Kind::EvidenceUnlocked, |f| f.snapshots[0].lock = Err("no".to_owned())),
        ("a snapshot's short lock", Kind::EvidenceUnlocked, |f| {
            f.snapshots[0].lock = Ok(Some(SnapshotLock { mode: LockMode::Compliance, days: 29 }));
        }),
        ("a snapshot's weak lock", Kind::EvidenceUnlocked, |f| {
            f.plan.as_mut().unwrap().snapshot_lock.mode = LockMode::Compliance;
        }),
    ],
    &[
        ("an unlocked object", Kind::EvidenceUnlocked, |f| f.objects[0].lock = Ok(None)),
        ("an object's short lock", Kind::EvidenceUnlocked, |f| {
            let until = "2027-11-24T03:29:59Z".parse().unwrap();
            f.objects[0].lock = Ok(Some(Retention { mode: LockMode::Compliance, until }));
        }),
        ("an object's weak lock", Kind::EvidenceUnlocked, |f| f.plan.as_mut().unwrap().retention.mode = LockMode::Compliance),
    ],
    &[
        ("an object that was written again", Kind::EvidenceChanged, |f| f.objects[1].rewritten = true),
        ("an object that cannot be read", Kind::EvidenceChanged, |f| f.objects[1].lock = Err("gone".to_owned())),
        ("an object that nobody looked at", Kind::EvidenceChanged, |f| f.objects.truncate(1)),
        ("another version of an object", Kind::EvidenceChanged, |f| f.objects[1].version_id = "w".to_owned()),
        ("another case's plan", Kind::EvidenceChanged, |f| {
            f.plan.as_mut().unwrap().case_id = CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap();
        }),
    ],
    &[
        ("a stop", Kind::TargetChanged, |f| target(f).standing.state = TargetState::Stopped),
        ("a start", Kind::TargetChanged, |f| target(f).standing.launched = "2026-11-02T00:00:00Z".parse().ok()),
        ("a new volume", Kind::TargetChanged, |f| target(f).standing.volumes.push("vol-00000000000000003".parse().unwrap())),
        ("a volume that went", Kind::TargetChanged, |f| {
            target(f).standing.volumes.retain(|volume| volume.as_str() != VOLUME);
        }),
        ("a new interface", Kind::TargetChanged, |f| target(f).standing.interfaces.push("eni-00000000".parse().unwrap())),
        ("no tag of Seal", Kind::TargetChanged, |f| target(f).tags.retain(|(key, _)| key != SEALED)),
        ("Seal's tag of another case", Kind::TargetChanged, |f| target(f).tags[0].1 = "i-00000000-0123456789ab".to_owned()),
        ("a volume that nobody froze", Kind::EvidenceMissing, |f| {
            let more: incident::VolumeId = "vol-00000000000000002".parse().unwrap();
            sealed(f).target.as_mut().unwrap().volumes.push(more.clone());
            target(f).standing.volumes.push(more);
        }),
        ("a seal that did not see the target", Kind::TargetUnknown, |f| sealed(f).target = None),
        ("a seal without the launch", Kind::TargetUnknown, |f| {
            sealed(f).target.as_mut().unwrap().launched = None;
        }),
    ],
    &[
        ("protection of somebody else", Kind::Protected, |f| {
            target(f).protection = Ok(true);
            f.protected_before = Ok(true);
        }),
        ("protection that may not be ours", Kind::Protected, |f| {
            target(f).protection = Ok(true);
            f.protected_before = Err("no".to_owned());
        }),
        ("protection that cannot be read", Kind::Protected, |f| target(f).protection = Err("no".to_owned())),
    ],
    &[
        ("no claim", Kind::OtherCaseOpen, |f| f.claim = Ok(None)),
        ("a claim that cannot be read", Kind::OtherCaseOpen, |f| f.claim = Err("no".to_owned())),
        ("another case's claim", Kind::OtherCaseOpen, |f| {
            let case_id = CaseId::parse("i-0abc1234def567890-0123456789ab").unwrap();
            f.claim = Ok(Some(Claim { case_id, execution_arn: execution(), severity: 1.0, closing: false, release: false }));
        }),
        ("a case that is closing", Kind::OtherCaseOpen, |f| {
            f.claim = Ok(Some(Claim { case_id: id(), execution_arn: execution(), severity: 1.0, closing: true, release: false }));
        }),
    ],
];

/// Flaws that leave nothing else to look at.
const BLINDING: &[Flaw] = &[
    ("no manifest", Kind::NoManifest, |f| f.manifest = Err("there is none".to_owned())),
    ("a plan that is not the sealed one", Kind::EvidenceChanged, |f| f.plan = Err("another digest".to_owned())),
    ("a target that cannot be read", Kind::TargetUnknown, |f| f.target = Err("denied".to_owned())),
    ("a target that somebody else ended", Kind::TargetChanged, |f| target(f).standing.state = TargetState::ShuttingDown),
    ("a target that is gone", Kind::TargetChanged, |f| target(f).standing.state = TargetState::Gone),
];

fn kinds(judged: &Result<Permit, Vec<Refusal>>) -> BTreeSet<Kind> {
    judged.as_ref().err().into_iter().flatten().map(|refusal| refusal.kind).collect()
}

#[test]
fn with_nothing_against_it_those_who_approved_are_the_permit() {
    let permit = judge(&permitted()).unwrap();
    assert_eq!(permit.by(), ["111122223333/user/alice", "111122223333/user/bob"]);
    assert_eq!((permit.instance().as_str(), permit.manifest()), (INSTANCE, "a".repeat(64).as_str()));
}

#[test]
fn each_flaw_alone_is_refused_for_what_it_is() {
    let mut reached = BTreeSet::new();
    for (name, kind, flaw) in GROUPS.iter().copied().flatten().chain(BLINDING) {
        let mut facts = permitted();
        flaw(&mut facts);
        let judged = judge(&facts);
        assert_eq!(kinds(&judged), BTreeSet::from([*kind]), "{name}: {judged:?}");
        for refusal in judged.unwrap_err() {
            assert!(!refusal.reason.is_empty() && refusal.reason.chars().count() <= 400, "{name}: {refusal:?}");
        }
        reached.insert(*kind);
    }
    assert_eq!(reached.len(), 16, "every kind must have its flaw: {reached:?}");
}

#[test]
fn what_is_missing_must_be_waived_by_name_by_everybody_who_approves() {
    let judged = |waivers: [&[&str]; 2]| {
        let mut facts = permitted();
        missing(&mut facts, "memory");
        missing(&mut facts, &format!("snapshot:{VOLUME}"));
        facts.snapshots[0].state = Ok("error".to_owned());
        for (answer, items) in facts.answers.iter_mut().zip(waivers) {
            for item in items {
                waive(answer, item);
            }
        }
        judge(&facts)
    };
    let both: &[&str] = &["memory", "snapshot:vol-0abc1234def567890"];
    assert!(judged([both, both]).is_ok(), "a waived snapshot need not be completed");
    for waivers in [[both, &both[..1]], [&both[1..], both], [both, &[]], [&[], &[]]] {
        assert_eq!(kinds(&judged(waivers)), BTreeSet::from([Kind::EvidenceMissing]), "{waivers:?}");
    }
}

#[test]
fn what_was_not_locked_at_the_seal_and_was_waived_is_not_asked_for_again() {
    let mut facts = permitted();
    let items = [
        format!("lock:{}", facts.objects[0].key),
        format!("object:{}", facts.objects[1].key),
        format!("snapshot-lock:{SNAPSHOT}"),
    ];
    for item in &items {
        missing(&mut facts, item);
        facts.answers.iter_mut().for_each(|answer| waive(answer, item));
    }
    facts.objects[0].lock = Ok(None);
    facts.objects[1].rewritten = true;
    facts.snapshots[0].lock = Ok(None);
    assert_eq!(kinds(&judge(&facts)), BTreeSet::new());
    facts.objects[1].lock = Err("gone".to_owned());
    assert_eq!(kinds(&judge(&facts)), BTreeSet::from([Kind::EvidenceChanged]), "but the sealed version must be there");
}

#[test]
fn a_standing_permission_needs_nobody_while_nothing_is_missing() {
    let standing = || {
        let mut facts = permitted();
        if let DispositionPlan::Ask(asked) = terms(&mut facts).clone() {
            *terms(&mut facts) = DispositionPlan::Terminate(asked);
        }
        facts.answers.clear();
        facts
    };
    assert_eq!(judge(&standing()).unwrap().by(), ["policy /cordon/policy version 7"]);

    let mut incomplete = standing();
    missing(&mut incomplete, "memory");
    assert_eq!(kinds(&judge(&incomplete)), BTreeSet::from([Kind::EvidenceMissing, Kind::ApprovalMissing]));
    incomplete.answers = vec![approval("alice"), approval("bob")];
    incomplete.answers.iter_mut().for_each(|answer| waive(answer, "memory"));
    assert_eq!(judge(&incomplete).unwrap().by().len(), 2, "then it is the people's word");

    let mut denied = standing();
    denied.answers = vec![answer(Decision::Deny, "arn:aws:iam::111122223333:user/erin")];
    assert_eq!(kinds(&judge(&denied)), BTreeSet::from([Kind::Denied]));

    let mut without = standing();
    without.plan.as_mut().unwrap().policy = PolicySource::Fallback { problem: "none".to_owned() };
    assert_eq!(kinds(&judge(&without)), BTreeSet::from([Kind::ApprovalMissing]), "no policy, no standing permission");
}

#[test]
fn one_person_who_answers_twice_counts_once_and_is_no_flaw_where_enough_others_answered() {
    let mut facts = permitted();
    facts.answers.push(approval("ALICE"));
    assert_eq!(judge(&facts).unwrap().by().len(), 2);
    let role = |session: &str| answer(Decision::Approve, &format!("arn:aws:sts::111122223333:assumed-role/Responder/{session}"));
    facts.answers = vec![role("alice"), role("bob")];
    assert_eq!(kinds(&judge(&facts)), BTreeSet::from([Kind::ApprovedTwiceByOne]), "a role is one person");
}

#[test]
fn nobody_is_never_enough() {
    let mut facts = permitted();
    if let DispositionPlan::Ask(asked) = terms(&mut facts) {
        asked.persons = 0;
    }
    facts.answers.clear();
    assert_eq!(kinds(&judge(&facts)), BTreeSet::from([Kind::ApprovalMissing]));
}

#[test]
fn a_target_that_an_earlier_attempt_ended_is_as_it_was_left() {
    for state in [TargetState::ShuttingDown, TargetState::Terminated, TargetState::Gone] {
        let mut facts = permitted();
        facts.intended = true;
        *target(&mut facts) = Target {
            standing: Standing { state, launched: None, interfaces: Vec::new(), volumes: Vec::new() },
            tags: Vec::new(),
            protection: Err("IncorrectInstanceState".to_owned()),
            at: "2026-11-24T05:00:00Z".parse().unwrap(),
        };
        assert!(facts.ended_by_us());
        assert_eq!(judge(&facts).unwrap().state(), state);
    }
    let mut alive = permitted();
    alive.intended = true;
    assert!(!alive.ended_by_us(), "an intent alone ends nothing");
}

#[test]
fn our_own_protection_against_termination_goes_with_a_permit_and_only_where_it_is_on() {
    for (protection, clears) in [(true, true), (false, false)] {
        let mut facts = permitted();
        target(&mut facts).protection = Ok(protection);
        assert_eq!(judge(&facts).unwrap().clears_protection(), clears);
    }
}

proptest! {
    #[test]
    fn there_is_a_permit_only_without_a_flaw_and_the_refusals_name_each(
        picks in proptest::collection::vec(proptest::option::weighted(0.3, any::<prop::sample::Index>()), GROUPS.len()),
    ) {
        let mut facts = permitted();
        let mut expected = BTreeSet::new();
        for (group, pick) in GROUPS.iter().zip(picks) {
            if let Some(pick) = pick {
                let (_, kind, flaw) = pick.get(group);
                flaw(&mut facts);
                expected.insert(*kind);
            }
        }
        let judged = judge(&facts);
        prop_assert_eq!(judged.is_ok(), expected.is_empty());
        let named = kinds(&judged);
        prop_assert!(expected.is_subset(&named), "{:?} are not in {:?}", expected, named);
    }
}
