//! The copies for forensic accounts: a stage only where the plan asks for them.

use super::*;

fn copying() -> Case {
    Case::planned(|plan| plan["copies"] = json!({"shareWith": ["444455556666"], "until": "2026-11-25T05:30:00Z"})).preserved()
}

/// The snapshot as it was sealed, with a copy in `state` that is shared with `accounts`.
fn sealed(case: Case, state: &str, accounts: &[&str]) -> Case {
    let lock = json!({"status": "locked", "mode": "governance", "days": 30});
    let taken =
        json!({"snapshotId": "snap-0abc1234", "volumeId": "vol-0abc1234", "inSet": true, "startedAt": null, "lock": lock});
    let copy = json!({"snapshotId": "snap-0abc5678", "of": "snap-0abc1234", "volumeId": "vol-0abc1234", "state": state, "begun": "2026-11-24T03:50:03Z", "percent": 100, "key": null,
        "lock": lock, "sharedWith": accounts});
    let mut case = case.sealed(&[]);
    let snapshot = json!([{"taken": taken, "look": null, "atSeal": null, "copy": {"copy": copy, "atSeal": null}}]);
    case.0.sealed.as_mut().unwrap().told.snapshots = serde_json::from_value(snapshot).unwrap();
    case
}

#[test]
fn copies_are_a_stage_only_where_the_plan_asks_for_them() {
    let names = |case: &Case| case.picture().stages.iter().map(|stage| stage.name).collect::<Vec<_>>();
    assert!(!names(&Case::opened().preserved()).contains(&"copies"));
    let with = names(&copying());
    let at = |name| with.iter().position(|other| *other == name).unwrap();
    assert!(at("context") < at("copies") && at("copies") < at("seal"), "{with:?}");
}

#[test]
fn it_is_seen_how_far_the_copies_are_and_how_they_ended() {
    let begun =
        || copying().record("CopySnapshot", "03:50:02", "03:50:04", &change("ec2:CopySnapshot", &done()), &json!({"held": 0}));
    let mut under_way = begun();
    under_way = under_way.looked("copies", "03:55:00", 40, None, "pending");
    let bar = under_way.picture().stages.into_iter().find(|stage| stage.name == "copies").unwrap();
    assert_eq!((bar.state, bar.progress.unwrap().percent), (State::Running, 40));
    let cases = vec![
        (copying(), State::Waiting, ""),
        (begun(), State::Running, ""),
        (sealed(begun(), "completed", &["444455556666"]), State::Done, "completed, shared with 444455556666"),
        (sealed(begun(), "completed", &[]), State::Failed, "1 snapshot has NO copy that is completed and shared as planned"),
        (
            sealed(begun(), "error", &["444455556666"]),
            State::Failed,
            "1 snapshot has NO copy that is completed and shared as planned",
        ),
    ];
    for (case, state, said) in cases {
        assert_eq!(case.state("copies"), (state, said.to_owned()));
    }
}
