//! A fault at each AWS call of the lift, before and after its effect: nobody else is touched, nothing is changed unannounced,
//! `lifted` is never said unread, and the next attempt brings the rest.

use credentials::{Error, Means};
use incident::evidence::{Denial, DenialStatus};
use incident::{Classify as _, Fault};
use serde_json::Value;

use super::SIBLING;
use crate::support::{CallFault, Heard, INSTANCE, Iam, POLICY, Role};

/// The retries of a fault that may pass, as the definition has them.
const RETRIES: u32 = 5;
const FAULTS: [CallFault; 5] = [CallFault::Denied, CallFault::Throttled, CallFault::Exhausted, CallFault::Lost, CallFault::Gone];

/// How the target was denied, and beside whom.
struct Scene {
    name: &'static str,
    means: fn() -> Means,
    sibling: bool,
}

const SCENES: [Scene; 3] = [
    Scene { name: "alone", means: || Means::Tags, sibling: false },
    Scene { name: "beside a sibling", means: || Means::Tags, sibling: true },
    Scene { name: "by an inline policy", means: || Means::Inline { path: "/".to_owned() }, sibling: false },
];

/// The target denied, and the role as it was without that.
async fn denied(scene: &Scene) -> (Iam, Role) {
    let mut iam = Iam::new();
    iam.settings.means = (scene.means)();
    if scene.sibling {
        iam.claim(2, SIBLING);
        iam.change(|role| {
            role.tags.insert("cordon-deny-2".to_owned(), SIBLING.to_owned());
            role.attached.push(POLICY.to_owned());
        });
    }
    let free = iam.role();
    iam.first(0).await.unwrap();
    iam.all(0).await.unwrap();
    (iam, free)
}

/// As the definition conducts it: what may pass is tried again.
async fn conduct(iam: &Iam, first: u32, at: &str) -> Result<Denial, Error> {
    let mut retry = first;
    loop {
        let lifted = iam.lift(retry).await;
        recorded(iam, retry, lifted.as_ref().err(), at);
        match lifted {
            Err(error) if error.fault() == Fault::Transient && retry < first + RETRIES => retry += 1,
            ended => return ended,
        }
    }
}

/// The records of this attempt of the lift.
fn records(iam: &Iam, phase: &str, retry: u32) -> Vec<Value> {
    let of_visit = |record: &Value| record["visit"]["state"] == "AllowCredentials" && record["visit"]["retry"] == retry;
    iam.records(phase).into_iter().filter(of_visit).collect()
}

/// Every intent has an outcome, unless the attempt failed because it could not be written.
fn recorded(iam: &Iam, retry: u32, failure: Option<&Error>, at: &str) {
    let outcomes = records(iam, "outcome", retry);
    for intent in records(iam, "intent", retry) {
        let known = outcomes.iter().any(|outcome| outcome["number"] == intent["number"]);
        let unwritten = failure.is_some_and(|failure| failure.to_string().contains("s3:PutObject"));
        assert!(known || unwritten, "{at}: nobody knows what became of an intent, and the step says {failure:?}");
    }
}

/// What was heard: nobody else lost or got anything, and each change was announced before it was made, once.
fn audit(heard: &[Heard], free: &Role, denied: &Role, at: &str) {
    let (mut announced, mut made): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for there in heard {
        let action = &there.call.action;
        if let Some(role) = &there.role {
            let kept = free.tags.iter().all(|(key, value)| role.tags.get(key) == Some(value));
            let known = role.tags.iter().all(|(key, value)| denied.tags.get(key) == Some(value));
            assert!(kept && known, "{at}: after {action} the tags are {:?}: only the target's own go", role.tags);
            let held = free.attached.iter().all(|policy| role.attached.contains(policy));
            assert!(held, "{at}: after {action} somebody else's policy is gone: {:?}", role.attached);
            let early = action == "iam:DetachRolePolicy" && there.has_effect && role.tags.values().any(|value| value == INSTANCE);
            assert!(!early, "{at}: the policy went before the target's tags: it goes last");
        }
        if action == "s3:PutObject"
            && there.call.key.as_ref().is_some_and(|key| key.ends_with("-intent.json"))
            && there.has_effect
        {
            let changes = there.call.json()["changes"].as_array().cloned().unwrap_or_default();
            announced = changes.iter().filter_map(|change| change["action"].as_str().map(str::to_owned)).collect();
        }
        if action.starts_with("iam:") && there.call.is_mutation() {
            assert!(announced.contains(action), "{at}: {action} was not announced: write its intent first");
            if there.has_effect {
                assert!(!made.contains(action), "{at}: {action} was made twice: look before changing");
                made.push(action.clone());
            }
        }
    }
}

/// What is said is so, was read back, and has a reason where it is not well.
fn is_truthful(iam: &Iam, said: &Denial, role: Option<&Role>, at: &str) {
    let named = |role: &Role| role.tags.values().any(|value| value == INSTANCE);
    let is_denied =
        role.is_some_and(|role| (named(role) && role.attached.contains(&POLICY.to_owned())) || !role.inline.is_empty());
    match said.status {
        DenialStatus::Lifted => assert!(!is_denied && said.read_back_at.is_some(), "{at}: never `lifted` unread: {said:?}"),
        DenialStatus::Denied => assert!(is_denied, "{at}: said to be denied still, and is not: {said:?}"),
        _ => {}
    }
    assert!(said.status == DenialStatus::Lifted || !said.reasons.is_empty(), "{at}: nobody hears why: {said:?}");
    let aimed = role.is_some_and(named);
    assert!(!aimed || iam.claimant(1).as_deref() == Some(INSTANCE), "{at}: a slot is free only when no tag names the target");
}

#[tokio::test]
async fn a_fault_at_any_call_touches_nobody_else_is_told_and_the_next_attempt_brings_the_rest() {
    let mut runs = 0;
    for scene in &SCENES {
        let (iam, free) = denied(scene).await;
        let undisturbed = iam.fail_call(None, CallFault::Lost);
        let said = conduct(&iam, 0, scene.name).await.unwrap();
        assert_eq!((said.status, iam.role()), (DenialStatus::Lifted, free), "{}: {said:?}", scene.name);
        let calls: Vec<String> = undisturbed.lock().unwrap().iter().map(|there| there.call.action.clone()).collect();
        assert!(calls.len() > 10, "{}: {calls:?}", scene.name);
        for (n, action) in calls.iter().enumerate() {
            for fault in FAULTS {
                let at = format!("{}, call {n}, {action}, {fault:?}", scene.name);
                disturbed(scene, n, fault, &at).await;
                runs += 1;
            }
        }
    }
    assert!(runs > 200, "only {runs} faults were tried");
}

async fn disturbed(scene: &Scene, n: usize, fault: CallFault, at: &str) {
    let (iam, free) = denied(scene).await;
    let denied = iam.role();
    let heard = iam.fail_call(Some(n), fault);
    let ended = conduct(&iam, 0, at).await;
    let (calls, role) = {
        let heard = heard.lock().unwrap();
        (heard.clone(), heard.last().and_then(|there| there.role.clone()))
    };
    audit(&calls, &free, &denied, at);
    match &ended {
        Ok(said) => is_truthful(&iam, said, role.as_ref(), at),
        Err(error) => assert!(error.to_string().contains(':'), "{at}: name the call that failed: {error}"),
    }
    if matches!(fault, CallFault::Throttled | CallFault::Lost) {
        let lifted = ended.as_ref().is_ok_and(|said| said.status == DenialStatus::Lifted && said.reasons.is_empty());
        assert!(lifted, "{at}: what passes is ridden out: {ended:?}");
    }
    let again = iam.fail_call(None, fault);
    let said = conduct(&iam, RETRIES + 1, at).await.unwrap();
    audit(&[calls, again.lock().unwrap().clone()].concat(), &free, &denied, at);
    is_truthful(&iam, &said, role.as_ref().map(|_| iam.role()).as_ref(), at);
    if role.is_none() {
        assert_eq!(said.status, DenialStatus::Unknown, "{at}: a role that is gone is told: {said:?}");
        return;
    }
    assert_eq!((said.status, iam.role()), (DenialStatus::Lifted, free), "{at}: the next attempt brings the rest: {said:?}");
    assert_eq!(iam.claimant(1), None, "{at}: and frees the slot");
}
