//! A release lifts the denial of its target, and of nobody else.

mod each_call;

use credentials::Means;
use incident::evidence::{DenialScope, DenialStatus};
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::{INSTANCE, Iam, POLICY};

const SIBLING: &str = "i-0fedcba9876543210";

fn changes(iam: &Iam) -> Vec<String> {
    let calls = iam.aws.mutations().into_iter().map(|call| call.action);
    calls.filter(|action| action.starts_with("iam:")).collect()
}

/// Just before the policy goes, the case of a sibling sets its tag.
fn tagged_meanwhile(iam: &Iam) {
    iam.answers_then("iam:DetachRolePolicy", |role| {
        role.tags.insert("cordon-deny-2".to_owned(), SIBLING.to_owned());
    });
}

#[tokio::test]
async fn the_role_is_as_it_was_before_the_case_and_the_slot_is_free() {
    for phases in [1, 2] {
        let iam = Iam::new();
        let before = iam.role();
        iam.first(0).await.unwrap();
        if phases == 2 {
            iam.all(0).await.unwrap();
        }
        let lifted = iam.lift(0).await.unwrap();
        assert_eq!((lifted.status, lifted.reasons.is_empty()), (DenialStatus::Lifted, true), "{lifted:?}");
        assert!(lifted.read_back_at.is_some());
        assert_eq!((iam.role().tags, iam.role().attached), (before.tags, before.attached), "after {phases} phases");
        assert_eq!(iam.claimant(1), None, "the slot is free");
    }
}

#[tokio::test]
async fn a_second_time_nothing_is_changed_and_of_a_target_that_was_never_denied_nothing_either() {
    let iam = Iam::new();
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    assert_eq!(changes(&iam), Vec::<String>::new());
    let looked = iam.records("outcome").pop().unwrap();
    assert_eq!((&looked["changes"], &looked["note"]["status"]), (&Value::Null, &json!("lifted")), "what was seen is on record");
    iam.all(0).await.unwrap();
    iam.lift(0).await.unwrap();
    iam.aws.forget_calls();
    assert_eq!(iam.lift(1).await.unwrap().status, DenialStatus::Lifted);
    assert_eq!(changes(&iam), Vec::<String>::new());
}

#[tokio::test]
async fn a_siblings_denial_stays_and_so_does_the_policy() {
    let iam = Iam::new();
    iam.claim(1, SIBLING);
    iam.change(|role| {
        role.tags.insert("cordon-deny-1".to_owned(), SIBLING.to_owned());
        role.attached.push(POLICY.to_owned());
    });
    iam.all(0).await.unwrap();
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    let role = iam.role();
    assert_eq!(role.tags.get("cordon-deny-1").map(String::as_str), Some(SIBLING));
    assert!(role.attached.contains(&POLICY.to_owned()), "the sibling's denial needs it");
    assert!(!role.tags.values().any(|value| value == INSTANCE));
    assert_eq!((iam.claimant(1).as_deref(), iam.claimant(2)), (Some(SIBLING), None));
}

#[tokio::test]
async fn a_case_that_denies_a_sibling_meanwhile_gets_the_policy_back() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    // The sibling's case has seen the policy attached, and sets its tag just before the policy goes.
    tagged_meanwhile(&iam);
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    assert!(iam.role().attached.contains(&POLICY.to_owned()), "{:?}", iam.role());
    assert!(changes(&iam).ends_with(&["iam:AttachRolePolicy".to_owned()]), "{:?}", changes(&iam));
    let announced = iam.records("intent").pop().unwrap()["changes"].clone();
    let actions: Vec<&str> = announced.as_array().unwrap().iter().filter_map(|change| change["action"].as_str()).collect();
    assert_eq!(actions, ["iam:UntagRole", "iam:DetachRolePolicy", "iam:AttachRolePolicy"], "all of it before the first change");
}

#[tokio::test]
async fn a_bucket_that_fails_meanwhile_keeps_no_sibling_from_its_denial() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    tagged_meanwhile(&iam);
    // The intent is the last that it takes.
    iam.aws.push("s3:PutObject", Answer::bucket());
    iam.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    assert_eq!(iam.lift(0).await.unwrap_err().fault(), Fault::Denied);
    assert!(iam.role().attached.contains(&POLICY.to_owned()), "{:?}", iam.role());
}

#[tokio::test]
async fn a_sibling_whose_case_has_a_slot_and_no_tag_yet_finds_the_policy_as_it_saw_it() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    iam.claim(2, SIBLING);
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    assert!(iam.role().attached.contains(&POLICY.to_owned()), "{:?}", iam.role());
    assert_eq!(changes(&iam).last().map(String::as_str), Some("iam:UntagRole"), "{:?}", changes(&iam));
    assert_eq!((iam.claimant(1), iam.claimant(2).as_deref()), (None, Some(SIBLING)));
}

#[tokio::test]
async fn a_policy_that_was_taken_from_a_sibling_unseen_is_given_back_by_the_retry() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    // The sibling's case tags meanwhile, and nobody can look at that before this attempt ends.
    tagged_meanwhile(&iam);
    let throttled = || Answer::query_error(400, "Throttling", "slow down");
    // The first look has two pages of tags.
    iam.answers_after("iam:ListRoleTags", 2, throttled);
    let error = iam.lift(0).await.unwrap_err();
    assert_eq!((error.fault(), iam.role().attached.contains(&POLICY.to_owned())), (Fault::Transient, false), "{error}");
    iam.answer_as_ever("iam:ListRoleTags");
    assert_eq!(iam.lift(1).await.unwrap().status, DenialStatus::Lifted);
    let role = iam.role();
    assert!(role.attached.contains(&POLICY.to_owned()) && role.tags.contains_key("cordon-deny-2"), "{role:?}");
}

#[tokio::test]
async fn a_denial_that_the_role_still_shows_is_waited_for_and_in_the_end_said() {
    for all in [false, true] {
        let iam = Iam::new();
        iam.first(0).await.unwrap();
        if all {
            iam.all(0).await.unwrap();
        }
        iam.freeze_looks();
        for retry in 0..3 {
            let error = iam.lift(retry).await.unwrap_err();
            assert_eq!(error.fault(), Fault::Transient, "retry {retry}: {error}");
            assert_eq!(iam.claimant(1).as_deref(), Some(INSTANCE), "a slot whose tags are still seen is not free");
        }
        let lifted = iam.lift(3).await.unwrap();
        let scope = if all { DenialScope::All } else { DenialScope::AllButSystemsManager };
        assert_eq!((lifted.status, lifted.scope), (DenialStatus::Denied, scope), "never `lifted` unread: {lifted:?}");
        assert!(lifted.reasons.iter().any(|reason| reason.contains("still shows the denial")), "{lifted:?}");
    }
}

#[tokio::test]
async fn while_its_tags_stay_the_slot_and_the_policy_stay_too() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    iam.aws.set("iam:UntagRole", Answer::query_error(403, "AccessDenied", "no"));
    iam.aws.forget_calls();
    let lifted = iam.lift(0).await.unwrap();
    assert_eq!(lifted.status, DenialStatus::Denied, "{lifted:?}");
    assert_eq!(changes(&iam), ["iam:UntagRole"], "without the policy a sibling's case would deny the target anew, unseen");
    assert_eq!(iam.claimant(1).as_deref(), Some(INSTANCE));
    let last = iam.records("outcome").pop().unwrap();
    let of = |action: &str| last["changes"].as_array().unwrap().iter().find(|change| change["action"] == action).unwrap().clone();
    let left = of("iam:DetachRolePolicy");
    assert!(left["result"]["message"].as_str().unwrap().starts_with("left"), "{left}");
    assert_eq!(of("iam:AttachRolePolicy")["result"]["status"], "already", "it was never taken away");
}

#[tokio::test]
async fn a_change_that_was_made_and_whose_answer_was_lost_is_no_failure_of_the_retry() {
    for action in ["iam:UntagRole", "iam:DetachRolePolicy"] {
        let iam = Iam::new();
        let before = iam.role();
        iam.all(0).await.unwrap();
        iam.lose_the_next_answer(action);
        assert_eq!(iam.lift(0).await.unwrap_err().fault(), Fault::Transient, "{action}");
        let lifted = iam.lift(1).await.unwrap();
        assert_eq!((lifted.status, lifted.reasons.is_empty()), (DenialStatus::Lifted, true), "{action}: {lifted:?}");
        assert_eq!((iam.role().tags, iam.role().attached), (before.tags, before.attached), "{action}");
    }
}

#[tokio::test]
async fn intent_and_outcome_stand_in_the_releases_own_file_with_what_was_read_back() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    iam.aws.forget_calls();
    let earlier = iam.aws.keys();
    iam.lift(0).await.unwrap();
    let actions = iam.aws.actions();
    let first = |wanted: &str| actions.iter().position(|action| action == wanted).unwrap();
    assert!(
        first("s3:PutObject") < first("iam:UntagRole") && first("iam:UntagRole") < first("iam:DetachRolePolicy"),
        "{actions:?}"
    );
    let written: Vec<String> = iam.aws.keys().into_iter().filter(|key| !earlier.contains(key)).collect();
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written.iter().all(|key| key.starts_with("cases/i-0123456789abcdef0-ba9876543210/records/")), "{written:?}");
    let note = |phase: &str| {
        let key = written.iter().find(|key| key.ends_with(&format!("-{phase}.json"))).unwrap();
        let record: Value = serde_json::from_slice(&iam.aws.object(key).unwrap()).unwrap();
        record
    };
    assert_eq!(note("intent")["changes"][0]["from"], json!({"tags": {"cordon-deny-1": INSTANCE, "cordon-deny-all-1": INSTANCE}}));
    let outcome = note("outcome");
    assert_eq!((&outcome["note"]["status"], &outcome["changes"][1]["result"]["status"]), (&json!("lifted"), &json!("done")));
    let results = |record: &Value| record["changes"].as_array().unwrap().len();
    assert_eq!((results(&outcome), results(&note("intent"))), (3, 3), "each change that was announced has its result");
}

#[tokio::test]
async fn without_an_intent_nothing_is_changed() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    iam.aws.forget_calls();
    iam.aws.push("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    assert_eq!(iam.lift(0).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!(changes(&iam), Vec::<String>::new());
}

#[tokio::test]
async fn a_denial_of_all_sessions_goes_with_the_targets_own_policy_and_a_siblings_stays() {
    let mut iam = Iam::new();
    iam.settings.means = Means::AllSessions { path: "/".to_owned() };
    iam.all(0).await.unwrap();
    let sibling = format!("cordon-deny-{SIBLING}");
    iam.change(|role| {
        let document = role.inline.values().next().cloned().unwrap_or_default();
        assert!(document.contains("aws:TokenIssueTime"), "{document}");
        role.inline.insert(sibling.clone(), document.replace(INSTANCE, SIBLING));
    });
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    assert_eq!(iam.role().inline.keys().collect::<Vec<_>>(), [&sibling]);
}

#[tokio::test]
async fn an_inline_policy_of_ours_goes_and_one_of_somebody_elses_stays() {
    let mut iam = Iam::new();
    iam.settings.means = Means::Inline { path: "/".to_owned() };
    iam.all(0).await.unwrap();
    assert_eq!(iam.role().inline.len(), 1);
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    assert_eq!(iam.role().inline.len(), 0);
    iam.change(|role| {
        role.inline.insert(format!("cordon-deny-{INSTANCE}"), json!({"Version": "2012-10-17", "Statement": []}).to_string());
    });
    iam.aws.forget_calls();
    iam.lift(0).await.unwrap();
    assert_eq!((iam.role().inline.len(), changes(&iam)), (1, Vec::new()), "we did not write it");
}

#[tokio::test]
async fn throttled_it_fails_as_transient_and_the_retry_completes() {
    for action in ["iam:UntagRole", "iam:DetachRolePolicy", "iam:ListRoleTags", "iam:GetInstanceProfile"] {
        let iam = Iam::new();
        iam.all(0).await.unwrap();
        iam.aws.push(action, Answer::query_error(400, "Throttling", "slow down"));
        assert_eq!(iam.lift(0).await.unwrap_err().fault(), Fault::Transient, "{action}");
        assert_eq!(iam.lift(1).await.unwrap().status, DenialStatus::Lifted, "{action}");
        assert!(!iam.role().attached.contains(&POLICY.to_owned()), "{action}");
    }
}

#[tokio::test]
async fn denied_it_says_that_the_target_is_still_denied() {
    let iam = Iam::new();
    iam.all(0).await.unwrap();
    for action in ["iam:UntagRole", "iam:DetachRolePolicy"] {
        iam.aws.set(action, Answer::query_error(403, "AccessDenied", "no"));
    }
    let lifted = iam.lift(0).await.unwrap();
    assert_eq!(lifted.status, DenialStatus::Denied);
    assert!(lifted.reasons.iter().any(|reason| reason.contains("AccessDenied")), "{lifted:?}");
    let outcomes = iam.records("outcome");
    let failed: Vec<&Value> = outcomes.iter().flat_map(|it| it["changes"].as_array().unwrap()).collect();
    assert!(failed.iter().any(|change| change["result"]["status"] == "failed"), "the refusal is on record");
}

#[tokio::test]
async fn without_a_profile_or_its_role_nothing_is_changed() {
    let mut iam = Iam::new();
    iam.plan = json!({"target": {"profile": null}});
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::NothingToDeny);
    let gone = Iam::new();
    gone.delete_role();
    assert_eq!(gone.lift(0).await.unwrap().status, DenialStatus::Unknown);
    assert_eq!((changes(&iam), changes(&gone)), (Vec::new(), Vec::new()));
}
