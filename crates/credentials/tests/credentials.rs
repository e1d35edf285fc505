//! The step against the real SDK clients and an IAM that remembers its role.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test panics where what it needs is not there")]

mod lifting;
mod support;

use credentials::Means;
use incident::evidence::{Denial, DenialScope, DenialStatus};
use incident::risk::RiskKind;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;
use support::{INSTANCE, Iam, POLICY, ROLE};

const ATTACH: &str = "iam:AttachRolePolicy";
const TAG: &str = "iam:TagRole";
const PUT: &str = "iam:PutRolePolicy";
const OTHER: &str = "i-0fedcba9876543210";

/// What a person is told to do about the credentials.
fn advice(denial: &Denial) -> &str {
    let mut risks = denial.risks.iter().filter(|risk| risk.kind == RiskKind::RoleCredentials);
    let advice = risks.next().map(|risk| risk.advice.as_str()).unwrap_or_default();
    assert!(!advice.ends_with('…'), "it must be a whole sentence: {advice}");
    advice
}

/// The status of each change of the last outcome.
fn results(iam: &Iam) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let last = iam.records("outcome").pop().unwrap();
    let changes = last["changes"].as_array().cloned().unwrap_or_default();
    changes.iter().map(|change| (text(&change["action"]), text(&change["result"]["status"]))).collect()
}

fn changed(iam: &Iam) -> Vec<String> {
    iam.aws.mutations().into_iter().map(|call| call.action).filter(|action| action.starts_with("iam:")).collect()
}

#[tokio::test]
async fn the_first_phase_attaches_and_tags_and_the_second_denies_the_rest() {
    let iam = Iam::new();
    let first = iam.first(0).await.unwrap();
    assert_eq!((first.status, first.scope), (DenialStatus::Denied, DenialScope::AllButSystemsManager), "{first:?}");
    assert_eq!((first.role.as_deref(), first.reasons.len()), (Some(ROLE), 0), "{first:?}");
    assert!(first.read_back_at.is_some() && first.failure.is_none());
    assert!(advice(&first).contains("until lock-down"), "{}", advice(&first));
    let role = iam.role();
    assert!(role.attached.contains(&POLICY.to_owned()));
    assert_eq!(role.tags.get("cordon-deny-1").map(String::as_str), Some(INSTANCE));
    assert_eq!(role.tags.get("cordon-deny-all-1"), None, "the agent must live until memory is captured");
    assert_eq!(iam.claimant(1).as_deref(), Some(INSTANCE));

    iam.aws.forget_calls();
    let all = iam.all(0).await.unwrap();
    assert_eq!((all.status, all.scope), (DenialStatus::Denied, DenialScope::All), "{all:?}");
    assert!(advice(&all).contains(INSTANCE) && !advice(&all).contains("lock-down"), "{}", advice(&all));
    assert_eq!(changed(&iam), [TAG], "the policy is attached already");
    let tags = iam.role().tags;
    assert_eq!(["cordon-deny-1", "cordon-deny-all-1", "team"].map(|tag| tags[tag].as_str()), [INSTANCE, INSTANCE, "web"]);
    assert_eq!(tags.len(), 3, "one slot, and what was there stays: {tags:?}");
}

#[tokio::test]
async fn the_intent_comes_first_and_holds_what_release_must_put_back() {
    let iam = Iam::new();
    iam.first(0).await.unwrap();
    let actions = iam.aws.actions();
    let first = |wanted: &str| actions.iter().position(|action| action == wanted).unwrap();
    let intent = actions.iter().enumerate().filter(|(_, action)| *action == "s3:PutObject").nth(1).map(|(at, _)| at).unwrap();
    assert!(intent < first(ATTACH) && first(ATTACH) < first(TAG), "claim, intent, attach, tag: {actions:?}");
    iam.all(0).await.unwrap();
    let intents = iam.records("intent");
    let [earlier, second] = [&intents[0], &intents[1]].map(|record| record["changes"].clone());
    assert_eq!(earlier[0]["action"], ATTACH);
    assert_eq!(earlier[0]["subject"], ROLE);
    assert_eq!(earlier[0]["from"], json!({"policy": POLICY, "attached": false}));
    assert_eq!(earlier[0]["to"], json!({"policy": POLICY, "attached": true}));
    assert_eq!(earlier[1]["from"], json!({"tags": {"cordon-deny-1": null}}));
    assert_eq!(earlier[1]["to"], json!({"tags": {"cordon-deny-1": INSTANCE}}));
    assert_eq!(second[0]["from"]["attached"], true);
    assert_eq!(second[1]["from"], json!({"tags": {"cordon-deny-1": INSTANCE, "cordon-deny-all-1": null}}));
    assert!(intents.iter().all(|intent| intent["changes"].as_array().unwrap().iter().all(|change| change["result"].is_null())));
}

#[tokio::test]
async fn done_twice_is_already_done() {
    let iam = Iam::new();
    let first = iam.first(0).await.unwrap();
    iam.aws.forget_calls();
    let again = iam.first(1).await.unwrap();
    assert_eq!(Denial { read_back_at: first.read_back_at, ..again }, first, "later steps see no difference");
    assert_eq!(changed(&iam), Vec::<String>::new());
    assert_eq!(results(&iam), [(ATTACH.to_owned(), "already".to_owned()), (TAG.to_owned(), "already".to_owned())]);
}

#[tokio::test]
async fn a_second_case_of_the_target_uses_the_slot_of_the_first_and_does_not_hide_that_the_agent_is_deaf() {
    let iam = Iam::new();
    iam.first(0).await.unwrap();
    iam.all(0).await.unwrap();
    let again = iam.first(1).await.unwrap();
    assert_eq!((again.status, again.scope), (DenialStatus::Denied, DenialScope::All), "what is so, not what was asked");
    assert!(again.reasons[0].contains("Systems Manager's agent"), "{:?}", again.reasons);
    assert_eq!(iam.claimant(2), None);
}

#[tokio::test]
async fn whatever_is_busy_fails_as_transient_and_the_retry_goes_on() {
    let busy = [
        ("iam:GetInstanceProfile", 400, "Throttling"),
        ("iam:ListAttachedRolePolicies", 400, "Throttling"),
        ("iam:ListRoleTags", 503, "ServiceFailure"),
        (ATTACH, 400, "Throttling"),
        (TAG, 409, "ConcurrentModification"),
        (TAG, 409, "EntityTemporarilyUnmodifiable"),
    ];
    for (action, status, code) in busy {
        let iam = Iam::new();
        iam.aws.push(action, Answer::query_error(status, code, "later"));
        let error = iam.first(0).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action} {code}: {error}");
        let denial = iam.first(1).await.unwrap();
        assert_eq!(denial.status, DenialStatus::Denied, "{action} {code}");
        assert_eq!((iam.claimant(1).as_deref(), iam.claimant(2)), (Some(INSTANCE), None), "{action}: one slot");
        assert_eq!(iam.records("intent").len(), iam.records("outcome").len(), "{action}: each intent has its outcome");
    }
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_counts_as_it_is_read_back() {
    for action in [ATTACH, TAG] {
        let iam = Iam::new();
        iam.lose_the_next_answer(action);
        let denial = iam.first(0).await.unwrap();
        assert_eq!((denial.status, denial.reasons.len()), (DenialStatus::Denied, 0), "{action}: {denial:?}");
    }
}

#[tokio::test]
async fn what_the_role_does_not_show_yet_is_tried_again_and_in_the_end_unknown() {
    let iam = Iam::new();
    iam.freeze_looks();
    for retry in 0..3 {
        let error = iam.first(retry).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "retry {retry}: {error}");
    }
    let denial = iam.first(3).await.unwrap();
    assert_eq!(denial.status, DenialStatus::Unknown, "never `denied` unread");
    assert!(advice(&denial).contains("in a few minutes"), "{}", advice(&denial));
}

#[tokio::test]
async fn what_is_refused_is_said_with_what_to_do() {
    let cases = [
        (ATTACH, 403, "AccessDenied", "service control policy"),
        (TAG, 403, "AccessDenied", "service control policy"),
        (ATTACH, 400, "UnmodifiableEntity", "AWS lets nobody change this role"),
        (ATTACH, 400, "PolicyNotAttachable", "find out why"),
        (ATTACH, 404, "NoSuchEntity", "deploy Cordon's stack again"),
        (TAG, 404, "NoSuchEntity", "the role is gone"),
        (ATTACH, 409, "LimitExceeded", "detach one"),
        (TAG, 409, "LimitExceeded", "remove one"),
    ];
    for (action, status, code, said) in cases {
        let iam = Iam::new();
        iam.aws.set(action, Answer::query_error(status, code, "no"));
        let denial = iam.first(0).await.unwrap();
        assert_eq!(denial.status, DenialStatus::NotDenied, "{action} {code}");
        assert!(denial.reasons.iter().any(|reason| reason.contains(code)), "{action} {code}: {:?}", denial.reasons);
        assert!(advice(&denial).contains(said), "{action} {code}: {}", advice(&denial));
        assert!(denial.read_back_at.is_some(), "{action} {code}: it was read back that nothing is denied");
        assert!(results(&iam).contains(&(action.to_owned(), "failed".to_owned())), "{action} {code}");
    }
}

#[tokio::test]
async fn where_attaching_fails_the_tags_are_set_so_that_a_person_only_has_to_attach() {
    let iam = Iam::new();
    iam.change(|role| role.attached = (0..10).map(|n| format!("arn:aws:iam::111122223333:policy/p{n}")).collect());
    let denial = iam.first(0).await.unwrap();
    assert_eq!(denial.status, DenialStatus::NotDenied);
    assert!(advice(&denial).contains("attach cordon-DenyPolicy-1"), "{}", advice(&denial));
    assert_eq!(iam.role().tags["cordon-deny-1"], INSTANCE);
    iam.change(|role| role.attached = vec![POLICY.to_owned()]);
    assert_eq!(iam.first(1).await.unwrap().status, DenialStatus::Denied);
}

#[tokio::test]
async fn a_role_full_of_tags_is_said_with_the_tags_to_set() {
    let iam = Iam::new();
    iam.change(|role| role.tags = (0..50).map(|n| (format!("t{n}"), String::new())).collect());
    let denial = iam.all(0).await.unwrap();
    assert_eq!(denial.status, DenialStatus::NotDenied);
    assert!(advice(&denial).contains("`cordon-deny-1` and `cordon-deny-all-1`"), "{}", advice(&denial));
}

#[tokio::test]
async fn a_second_phase_that_is_refused_leaves_the_first_and_says_so() {
    let iam = Iam::new();
    iam.first(0).await.unwrap();
    iam.aws.set(TAG, Answer::query_error(403, "AccessDenied", "no"));
    let denial = iam.all(0).await.unwrap();
    assert_eq!((denial.status, denial.scope), (DenialStatus::Denied, DenialScope::AllButSystemsManager), "{denial:?}");
    assert!(denial.reasons[0].contains("AccessDenied") && advice(&denial).contains("may still do"), "{denial:?}");
}

#[tokio::test]
async fn a_role_that_cannot_be_read_is_unknown() {
    for action in ["iam:GetInstanceProfile", "iam:ListAttachedRolePolicies", "iam:ListRoleTags"] {
        let iam = Iam::new();
        iam.aws.set(action, Answer::query_error(403, "AccessDenied", "no"));
        let denial = iam.first(0).await.unwrap();
        assert_eq!(denial.status, DenialStatus::Unknown, "{action}");
        assert!(denial.reasons[0].contains(action) && advice(&denial).contains("look at the role's"), "{denial:?}");
        assert_eq!(changed(&iam), Vec::<String>::new(), "{action}");
    }
}

#[tokio::test]
async fn a_read_back_that_is_refused_is_unknown_and_the_changes_are_on_record() {
    let iam = Iam::new();
    let (role, looks) = (std::sync::Arc::new(std::sync::Mutex::new(0)), "iam:ListRoleTags");
    iam.aws.set_fn(looks, move |_| {
        *role.lock().unwrap() += 1;
        if *role.lock().unwrap() > 1 {
            return Answer::query_error(403, "AccessDenied", "no");
        }
        Answer::xml("<ListRoleTagsResponse><ListRoleTagsResult><Tags/><IsTruncated>false</IsTruncated></ListRoleTagsResult></ListRoleTagsResponse>")
    });
    let denial = iam.first(0).await.unwrap();
    assert_eq!((denial.status, denial.read_back_at), (DenialStatus::Unknown, None), "{denial:?}");
    assert_eq!(results(&iam), [(ATTACH.to_owned(), "done".to_owned()), (TAG.to_owned(), "done".to_owned())]);
}

#[tokio::test]
async fn what_is_gone_is_said() {
    let gone = Iam::new();
    gone.delete_role();
    let denial = gone.first(0).await.unwrap();
    assert_eq!((denial.status, denial.role.clone()), (DenialStatus::NotDenied, None));
    assert!(advice(&denial).contains("find the role in CloudTrail"), "what was issued stays good for hours: {denial:?}");
    for looks in ["iam:ListAttachedRolePolicies", "iam:ListRoleTags"] {
        let deleted = Iam::new();
        deleted.aws.set(looks, Answer::query_error(404, "NoSuchEntity", "gone meanwhile"));
        let denial = deleted.first(0).await.unwrap();
        assert_eq!((denial.status, denial.role.as_deref()), (DenialStatus::NotDenied, Some(ROLE)), "{looks}");
        assert!(advice(&denial).contains("the role is gone"), "{}", advice(&denial));
    }
    let mut other = Iam::new();
    other.plan = json!({"target": {"profile": "arn:aws:iam::111122223333:instance-profile/other"}});
    assert!(advice(&other.first(0).await.unwrap()).contains("find the role in CloudTrail"));
    other.plan = json!({"target": {"profile": "nonsense"}});
    assert_eq!(other.first(0).await.unwrap().status, DenialStatus::NotDenied);
}

#[tokio::test]
async fn roles_that_are_not_ours_to_change_are_left_alone() {
    let cases = [
        ("/aws-reserved/sso.amazonaws.com/", "AWSReservedSSO_Admin", "Identity Center"),
        ("/aws-service-role/ecs.amazonaws.com/", "AWSServiceRoleForECS", "service control policy"),
        ("/", "cordon-IsolateFunctionRole-1", "no target should have"),
    ];
    for (path, name, said) in cases {
        let iam = Iam::new();
        iam.change(|role| (role.path, role.name) = (path.to_owned(), name.to_owned()));
        let denial = iam.first(0).await.unwrap();
        assert_eq!(denial.status, DenialStatus::NotDenied, "{name}");
        assert!(advice(&denial).contains(said), "{name}: {}", advice(&denial));
        assert_eq!(changed(&iam), Vec::<String>::new(), "{name}");
        assert_eq!(iam.records("outcome")[0]["note"]["status"], "notDenied", "{name}: the case file says why");
    }
}

#[tokio::test]
async fn a_slot_that_another_case_takes_first_is_left_to_it() {
    let iam = Iam::new();
    iam.aws.set_fn("s3:PutObject", {
        let raced = std::sync::Mutex::new(false);
        move |call| {
            let first = call.key.as_deref() == Some("roles/111122223333/web-role/1.json");
            let race = first && !std::mem::replace(&mut *raced.lock().unwrap(), true);
            if race { Answer::s3_error(412, "PreconditionFailed", "lost the race") } else { Answer::bucket() }
        }
    });
    let denial = iam.first(0).await.unwrap();
    assert_eq!(denial.status, DenialStatus::Denied);
    assert_eq!(iam.role().tags.get("cordon-deny-1"), None, "it is another's");
    assert_eq!(iam.role().tags["cordon-deny-2"], INSTANCE);
    assert_eq!(iam.claimant(2).as_deref(), Some(INSTANCE));
    assert_eq!(iam.all(0).await.unwrap().status, DenialStatus::Denied);
    assert_eq!(iam.role().tags["cordon-deny-all-2"], INSTANCE, "the second phase keeps the slot");
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_found_again() {
    let iam = Iam::new();
    iam.aws.push("s3:PutObject", Answer::bucket_then_lost());
    assert_eq!(iam.first(0).await.unwrap_err().fault(), Fault::Transient);
    assert_eq!(iam.first(1).await.unwrap().status, DenialStatus::Denied);
    assert_eq!((iam.claimant(1).as_deref(), iam.claimant(2)), (Some(INSTANCE), None));
}

#[tokio::test]
async fn siblings_keep_their_slots_and_the_sixth_is_told_to_a_person() {
    let iam = Iam::new();
    for slot in 1..=4 {
        iam.claim(slot, OTHER);
    }
    iam.change(|role| role.tags.extend([("cordon-deny-5".to_owned(), OTHER.to_owned())]));
    let before = iam.role().tags;
    let denial = iam.first(0).await.unwrap();
    assert_eq!(denial.status, DenialStatus::NotDenied);
    assert!(denial.reasons[0].contains("all 5 places") && advice(&denial).contains("remove the tags"), "{denial:?}");
    assert_eq!((iam.role().tags, changed(&iam)), (before, Vec::new()), "nobody else's denial is touched");

    iam.change(|role| role.tags.remove("cordon-deny-5").map(drop).unwrap());
    assert_eq!(iam.first(1).await.unwrap().status, DenialStatus::Denied, "once one is freed");
    assert_eq!(iam.role().tags["cordon-deny-5"], INSTANCE);
}

#[tokio::test]
async fn a_claim_that_cannot_be_read_is_somebody_elses() {
    let iam = Iam::new();
    iam.aws.put_object("roles/111122223333/web-role/1.json", "not json");
    assert_eq!(iam.first(0).await.unwrap().status, DenialStatus::Denied);
    assert_eq!(iam.role().tags["cordon-deny-2"], INSTANCE);
}

#[tokio::test]
async fn what_is_withheld_calls_nobody() {
    let cases = [
        (json!({"credentials": {"decision": "skip", "reason": "the policy says no"}}), "the policy says no"),
        (json!({"cut": {"decision": "askFirst", "reasons": ["the brake"]}}), "the brake"),
    ];
    for (plan, said) in cases {
        let mut iam = Iam::new();
        iam.plan = plan;
        for denial in [iam.first(0).await.unwrap(), iam.all(0).await.unwrap()] {
            assert_eq!(denial.status, DenialStatus::Withheld);
            assert!(denial.reasons[0].contains(said), "{denial:?}");
        }
        assert_eq!(iam.aws.actions(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_a_profile_there_is_nothing_to_deny_and_the_rest_is_said() {
    for (state, said) in [("running", "default host management"), ("terminated", "CloudTrail")] {
        let mut iam = Iam::new();
        iam.plan = json!({"target": {"profile": null, "state": state}});
        let denial = iam.first(0).await.unwrap();
        assert_eq!((denial.status, denial.role.clone()), (DenialStatus::NothingToDeny, None), "{state}");
        assert!(advice(&denial).contains(said), "{state}: {}", advice(&denial));
        assert_eq!(iam.aws.actions(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn credentials_outlive_the_instance_so_a_dead_target_is_denied_too() {
    for state in ["stopped", "terminated", "gone"] {
        let mut iam = Iam::new();
        iam.plan = json!({"target": {"state": state}});
        assert_eq!(iam.first(0).await.unwrap().status, DenialStatus::Denied, "{state}");
    }
}

#[tokio::test]
async fn without_an_intent_nothing_is_changed() {
    let iam = Iam::new();
    iam.aws.set_fn("s3:PutObject", |call| {
        let record = call.key.as_deref().is_some_and(|key| key.starts_with("cases/"));
        if record { Answer::s3_error(403, "AccessDenied", "no") } else { Answer::bucket() }
    });
    assert_eq!(iam.first(0).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!(changed(&iam), Vec::<String>::new());
}

#[tokio::test]
async fn inline_denies_this_target_alone_and_only_below_the_path() {
    let mut iam = Iam::new();
    iam.settings.means = Means::Inline { path: "/may/".to_owned() };
    iam.change(|role| {
        role.path = "/may/team/".to_owned();
        role.inline.insert("own".to_owned(), "{}".to_owned());
    });
    let first = iam.first(0).await.unwrap();
    assert_eq!((first.status, first.scope), (DenialStatus::Denied, DenialScope::AllButSystemsManager), "{first:?}");
    assert_eq!(iam.first(1).await.unwrap().status, DenialStatus::Denied);
    assert_eq!(changed(&iam), [PUT], "the second run found it done");
    let all = iam.all(0).await.unwrap();
    assert_eq!((all.status, all.scope), (DenialStatus::Denied, DenialScope::All), "{all:?}");
    let inline = iam.role().inline;
    assert_eq!(inline.keys().map(String::as_str).collect::<Vec<_>>(), [&format!("cordon-deny-{INSTANCE}"), "own"]);
    let document: Value = serde_json::from_str(&inline[&format!("cordon-deny-{INSTANCE}")]).unwrap();
    assert_eq!(document["Statement"][0]["Condition"], json!({"StringLike": {"aws:userid": format!("*:{INSTANCE}")}}));
    assert_eq!(document["Statement"].as_array().map(Vec::len), Some(2), "nobody else is denied");
    assert_eq!(iam.aws.count(ATTACH) + iam.aws.count(TAG), 0);
    let last = iam.records("intent").pop().unwrap();
    assert!(last["changes"][0]["from"]["document"]["Statement"].is_array(), "release needs what was there: {last}");

    let again = iam.first(3).await.unwrap();
    assert_eq!((again.scope, iam.role().inline), (DenialScope::All, inline), "a later case never gives anything back");

    iam.change(|role| role.path = "/".to_owned());
    iam.first(2).await.unwrap();
    assert_eq!((iam.aws.count(ATTACH), iam.aws.count(TAG)), (1, 1), "elsewhere by tags");
}

#[tokio::test]
async fn all_sessions_says_whom_it_hits_and_keeps_the_time_of_the_first_phase() {
    let mut iam = Iam::new();
    iam.settings.means = Means::AllSessions { path: "/may/".to_owned() };
    iam.change(|role| role.path = "/may/".to_owned());
    for scope in [DenialScope::AllButSystemsManager, DenialScope::All] {
        let run = if scope == DenialScope::All { iam.all(0).await } else { iam.first(0).await };
        let denial = run.unwrap();
        assert_eq!((denial.status, denial.scope), (DenialStatus::Denied, scope));
        assert!(advice(&denial).contains("every other instance"), "{}", advice(&denial));
        let document: Value = serde_json::from_str(&iam.role().inline[&format!("cordon-deny-{INSTANCE}")]).unwrap();
        assert_eq!(
            document["Statement"][2]["Condition"],
            json!({"DateLessThan": {"aws:TokenIssueTime": "2026-11-24T03:30:01Z"}})
        );
    }
}

#[tokio::test]
async fn inline_policies_that_are_full_or_refused_are_said() {
    for (code, status, said) in
        [("LimitExceeded", 409, "inline policies are full"), ("AccessDenied", 403, "service control policy")]
    {
        let mut iam = Iam::new();
        iam.settings.means = Means::Inline { path: "/may/".to_owned() };
        iam.change(|role| role.path = "/may/".to_owned());
        iam.aws.set(PUT, Answer::query_error(status, code, "no"));
        let denial = iam.first(0).await.unwrap();
        assert_eq!(denial.status, DenialStatus::NotDenied, "{code}");
        assert!(advice(&denial).contains(said), "{code}: {}", advice(&denial));
    }
}
