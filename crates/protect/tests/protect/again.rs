//! Whatever breaks between two calls, the next attempt finds what there is and goes on from there.

use incident::protection::{MeasureStatus, ProtectionStatus};
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;

use crate::support::{ADDRESSES, CLASSIC, Cloud, DEREGISTER, DETACH, INSTANCE, MODIFY, measure};

#[tokio::test]
async fn a_change_that_was_made_and_whose_answer_was_lost_counts_as_it_is_read_back() {
    for action in [MODIFY, DETACH, DEREGISTER, CLASSIC] {
        let cloud = Cloud::new();
        cloud.account().loses = Some(action);
        let protection = cloud.protect(0).await.unwrap();
        assert_eq!(protection.status, ProtectionStatus::Protected, "{action}: {protection:?}");
        cloud.aws.forget_calls();
        assert_eq!(cloud.protect(1).await.unwrap().measures, protection.measures, "{action}");
        assert_eq!(cloud.changes(), Vec::<String>::new(), "{action}");
    }
}

#[tokio::test]
async fn a_change_that_did_not_get_through_is_made_by_the_next_attempt() {
    for action in [MODIFY, DETACH, DEREGISTER, CLASSIC] {
        let cloud = Cloud::new();
        cloud.aws.push(action, Answer::lost());
        assert_eq!(cloud.protect(0).await.unwrap_err().fault(), Fault::Transient, "{action}");
        let protection = cloud.protect(1).await.unwrap();
        assert_eq!(protection.status, ProtectionStatus::Protected, "{action}: {protection:?}");
    }
}

#[tokio::test]
async fn what_was_saved_and_whose_answer_was_lost_stays_and_nothing_is_changed_before_that_is_known() {
    for (name, change) in [("before-protections.json", MODIFY), ("before-balancers.json", DEREGISTER)] {
        let cloud = Cloud::new();
        cloud.aws.set_fn(
            "s3:PutObject",
            move |call| {
                if call.path.ends_with(name) { Answer::bucket_then_lost() } else { Answer::bucket() }
            },
        );
        assert_eq!(cloud.protect(0).await.unwrap_err().fault(), Fault::Transient, "{name}");
        assert!(!cloud.changes().contains(&change.to_owned()), "{name}");
        let first = cloud.saved(name);
        cloud.aws.set("s3:PutObject", Answer::bucket());
        assert_eq!(cloud.protect(1).await.unwrap().status, ProtectionStatus::Protected, "{name}");
        assert_eq!(cloud.saved(name), first);
    }
}

#[tokio::test]
async fn a_chain_that_breaks_leaves_the_other_one_alone() {
    let cloud = Cloud::new();
    cloud.aws.set("elasticloadbalancing:DescribeTargetHealth", Answer::query_error(400, "Throttling", "slow down"));
    assert_eq!(cloud.protect(0).await.unwrap_err().fault(), Fault::Transient);
    assert!(cloud.account().termination && cloud.account().lifecycle.is_none(), "the protections do not wait for balancers");
    let done = cloud.recorded("outcome");
    assert_eq!(done.len(), cloud.recorded("intent").len());
    assert!(done.len() == 5 && done.iter().all(|change| change["result"]["status"] == "done"), "{done:?}");

    // What is in the bucket is not ours: for good.
    let cloud = Cloud::new();
    cloud.aws.put_object(&format!("cases/{}/before-balancers.json", crate::support::CASE), "[]");
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(measure(&protection, "targetGroup", "").status, MeasureStatus::Unknown);
    assert_eq!(measure(&protection, "autoScalingGroup", "web").status, MeasureStatus::Held);
    assert!(!cloud.changes().contains(&DEREGISTER.to_owned()), "what was is not on record");
}

#[tokio::test]
async fn what_aws_has_taken_and_does_not_show_yet_is_looked_at_again() {
    let cloud = Cloud::new();
    cloud.account().slow = true;
    let error = cloud.protect(9).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
    let last = cloud.protect(10).await.unwrap();
    assert_eq!(last.status, ProtectionStatus::PartlyProtected, "one volume was kept before: {last:?}");
    assert_eq!(measure(&last, "stopProtection", "").status, MeasureStatus::NotHeld, "never assumed");
    cloud.account().slow = false;
    assert_eq!(cloud.protect(10).await.unwrap().status, ProtectionStatus::Protected);
}

#[tokio::test]
async fn what_is_registered_after_the_first_attempt_is_left_too_and_told() {
    let cloud = Cloud::new();
    cloud.protect(0).await.unwrap();
    let saved = cloud.saved("before-balancers.json");
    cloud.account().groups[2].targets.push((INSTANCE.to_owned(), 9090));
    let protection = cloud.protect(1).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    assert!(protection.reasons.iter().any(|it| it.contains("came after before-balancers.json")), "{:?}", protection.reasons);
    assert_eq!(cloud.saved("before-balancers.json"), saved);
    assert!(cloud.account().groups[2].targets.iter().all(|(id, _)| id != INSTANCE));
    assert_eq!(measure(&protection, "targetGroup", ADDRESSES).status, MeasureStatus::Held);
}

#[tokio::test]
async fn a_target_that_ends_meanwhile_has_nothing_to_protect_and_its_changes_are_on_record() {
    let cloud = Cloud::new();
    let account = cloud.shared();
    cloud.aws.set_fn(DETACH, move |call| {
        let mut account = account.lock().unwrap();
        account.state = "shutting-down";
        account.answer(call)
    });
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::NothingToProtect);
    assert_eq!(cloud.recorded("intent").len(), cloud.recorded("outcome").len());
}

#[tokio::test]
async fn the_verdict_is_on_record_also_where_nothing_had_to_be_changed() {
    let cloud = Cloud::new();
    cloud.protect(0).await.unwrap();
    cloud.protect(1).await.unwrap();
    let notes = cloud.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().all(|note| note["status"] == json!("protected") && note["measures"].is_array()), "{notes:?}");
}
