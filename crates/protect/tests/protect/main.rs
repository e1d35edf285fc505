//! The step against the real SDK clients and an account in memory.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test panics where what it needs is not there"
)]

mod again;
mod balancers;
mod degraded;
mod support;

use incident::protection::{MeasureStatus, ProtectionStatus};
use serde_json::json;
use support::{CLASSIC, Cloud, DATA, DEREGISTER, DETACH, MODIFY, ROOT, WEB, measure, open};

#[tokio::test]
async fn the_target_is_protected_leaves_its_group_and_its_balancers_and_all_of_it_is_read_back() {
    let cloud = Cloud::new();
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    assert!(protection.read_back_at.is_some() && protection.reasons.is_empty() && open(&protection).is_empty(), "{protection:?}");
    for (kind, subject) in [
        ("terminationProtection", ""),
        ("stopProtection", ""),
        ("shutdownBehavior", ""),
        ("keepVolume", ROOT),
        ("keepVolume", DATA),
        ("autoScalingGroup", "web"),
        ("targetGroup", WEB),
        ("classicBalancer", "old"),
    ] {
        assert_eq!(measure(&protection, kind, subject).status, MeasureStatus::Held, "{kind} {subject}");
    }
    let account = cloud.account();
    assert!(account.termination && account.stop && account.shutdown == "stop" && account.lifecycle.is_none());
    assert!(account.volumes.iter().all(|(_, _, deleted)| !deleted));
    let left: Vec<usize> = account.groups.iter().map(|group| group.targets.len()).collect();
    assert_eq!(left, [1, 1, 1], "both ports and the address are gone, other instances' are not");
    assert_eq!(account.classic, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_is_saved_before_any_of_it_is_changed() {
    let cloud = Cloud::new();
    cloud.protect(0).await.unwrap();
    let calls = cloud.aws.calls();
    let at = |wanted: &dyn Fn(&stub::Call) -> bool| calls.iter().position(wanted).unwrap();
    let put = |name: &'static str| move |call: &stub::Call| call.action == "s3:PutObject" && call.path.ends_with(name);
    let first = |action: &'static str| move |call: &stub::Call| call.action == action;
    for (saved, change) in [
        ("before-protections.json", MODIFY),
        ("before-protections.json", DETACH),
        ("before-balancers.json", DEREGISTER),
        ("before-balancers.json", CLASSIC),
    ] {
        assert!(at(&put(saved)) < at(&first(change)), "{saved} must be there before {change}");
    }
    assert!(at(&put("-intent.json")) < at(&first(MODIFY)).min(at(&first(DETACH))), "and an intent");
    let before = cloud.saved("before-protections.json");
    assert_eq!(before["group"], json!({ "name": "web", "lifecycle": "InService", "protectedFromScaleIn": false }));
    assert_eq!(
        (&before["terminationProtection"], &before["stopProtection"], &before["shutdownBehavior"]),
        (&json!(false), &json!(false), &json!("terminate"))
    );
    let balancers = cloud.saved("before-balancers.json");
    let ports: Vec<_> = balancers["targetGroups"].as_array().unwrap().iter().map(|it| (&it["target"], &it["port"])).collect();
    assert_eq!(ports.len(), 3, "{balancers}");
    assert_eq!(balancers["classic"], json!(["old"]));
    let (intended, done) = (cloud.recorded("intent").len(), cloud.recorded("outcome"));
    assert_eq!(intended, done.len());
    assert!(done.iter().all(|change| change["result"]["status"] == "done"), "{done:?}");
    assert_eq!(done.len(), 9, "three attributes, one volume, one group, three registrations, one classic balancer: {done:?}");
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_says_the_same() {
    let cloud = Cloud::new();
    let first = cloud.protect(0).await.unwrap();
    cloud.aws.forget_calls();
    let again = cloud.protect(1).await.unwrap();
    assert_eq!(cloud.changes(), Vec::<String>::new());
    assert_eq!((again.status, again.measures), (first.status, first.measures));
    assert_eq!(cloud.saved("before-protections.json")["terminationProtection"], false, "what the first attempt saved stays");
}

#[tokio::test]
async fn what_is_protected_already_is_left_alone_and_an_instance_in_nothing_leaves_nothing() {
    let cloud = Cloud::new();
    {
        let mut account = cloud.account();
        (account.termination, account.stop, account.lifecycle) = (true, true, None);
        "stop".clone_into(&mut account.shutdown);
        account.volumes[0].2 = false;
        account.groups.clear();
        account.classic.clear();
    }
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    assert_eq!(cloud.changes(), Vec::<String>::new());
    assert_eq!(cloud.saved("before-protections.json")["terminationProtection"], true, "it was somebody else's");
    assert_eq!(cloud.saved("before-balancers.json")["targetGroups"], json!([]), "that nothing was there is on record");
}

#[tokio::test]
async fn an_instance_that_is_gone_has_nothing_to_protect() {
    for state in ["gone", "terminated", "shutting-down"] {
        let cloud = Cloud::new();
        cloud.account().state = state;
        let protection = cloud.protect(0).await.unwrap();
        assert_eq!((protection.status, cloud.changes()), (ProtectionStatus::NothingToProtect, Vec::new()), "{state}");
    }
}
