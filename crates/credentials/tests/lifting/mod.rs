//! A release lifts the denial of its target, and of nobody else.

use credentials::Means;
use incident::evidence::DenialStatus;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::{INSTANCE, Iam, POLICY};

const SIBLING: &str = "i-0fedcba9876543210";

fn changes(iam: &Iam) -> Vec<String> {
    let calls = iam.aws.mutations().into_iter().map(|call| call.action);
    calls.filter(|action| action.starts_with("iam:")).collect()
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
    iam.answers_then("iam:DetachRolePolicy", |role| {
        role.tags.insert("cordon-deny-2".to_owned(), SIBLING.to_owned());
    });
    assert_eq!(iam.lift(0).await.unwrap().status, DenialStatus::Lifted);
    assert!(iam.role().attached.contains(&POLICY.to_owned()), "{:?}", iam.role());
    assert!(changes(&iam).ends_with(&["iam:AttachRolePolicy".to_owned()]), "{:?}", changes(&iam));
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
