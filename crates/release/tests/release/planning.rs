//! What is given back, and what is not, by how the target stands.

use incident::release::Restore;
use serde_json::json;

use super::account::Account;
use super::support::{DB, DISK, INCIDENT, INSTANCE, NIC, TARGETS, WEB, World, case, case_of};

type Change = fn(&mut Account);

async fn with(change: impl FnOnce(&mut Account)) -> World {
    let world = World::contained().await;
    world.now(change);
    world
}

async fn groups(world: &World) -> Option<Vec<String>> {
    let plan = world.dry_run().await.plan.unwrap();
    plan.restore.iter().find_map(|restore| match restore {
        Restore::Groups { to, .. } => Some(to.iter().map(ToString::to_string).collect()),
        _ => None,
    })
}

#[tokio::test]
async fn a_group_that_does_not_exist_any_more_is_left_out_and_named() {
    let world = with(|account| drop(account.groups.remove(DB))).await;
    assert_eq!(groups(&world).await, Some(vec![WEB.to_owned()]));
    assert!(world.lost(&format!("group {DB} of {NIC}")).await.unwrap().contains("does not exist any more"));

    let world = with(|account| account.groups.retain(|id, _| id != DB && id != WEB)).await;
    assert_eq!(groups(&world).await, None);
    assert!(world.lost(&format!("groups of {NIC}")).await.unwrap().contains("none of the groups"));
}

#[tokio::test]
async fn what_somebody_has_changed_since_stays_and_is_told() {
    let world = with(|account| {
        let nic = account.nics.get_mut(NIC).unwrap();
        nic.groups = vec![WEB.to_owned()];
        nic.tracking = Some(["120", "60", "30"].map(str::to_owned));
        account.attributes.insert("disableApiTermination".to_owned(), "false".to_owned());
        account.metadata.hops = "1".to_owned();
    })
    .await;
    let checked = world.dry_run().await;
    let planned = World::planned(&checked);
    for subject in [format!("groups of {NIC}"), format!("connection tracking of {NIC}"), "termination protection".to_owned()] {
        assert!(!planned.contains(&subject), "{subject}");
    }
    for subject in [format!("groups of {NIC}"), format!("connection tracking of {NIC}")] {
        assert!(world.lost(&subject).await.unwrap().contains("somebody"), "{subject}");
    }
    let to = checked.plan.unwrap().restore.into_iter().find_map(|restore| match restore {
        Restore::Metadata { to } => Some(to),
        _ => None,
    });
    assert_eq!(
        to.map(|to| (to.enabled, to.tokens_required, to.hop_limit)),
        Some((true, true, 1)),
        "nobody's hardening is undone"
    );
}

#[tokio::test]
async fn what_cordon_did_not_change_is_not_given_back() {
    // No case saved the protections: what they are now, somebody else has made them.
    let mut without = case(INCIDENT);
    without.objects.insert("before-protections.json".to_owned(), json!(null));
    without.objects.insert("before-balancers.json".to_owned(), json!(null));
    let world = World::of(vec![without]).await;
    let expected = ["instance metadata".to_owned(), format!("connection tracking of {NIC}"), format!("groups of {NIC}")];
    assert_eq!(World::planned(&world.dry_run().await), expected);
}

#[tokio::test]
async fn what_is_not_attached_any_more_is_not_given_back() {
    let world = with(|account| {
        account.nics.clear();
        account.disks.clear();
    })
    .await;
    let planned = World::planned(&world.dry_run().await);
    assert!(!planned.iter().any(|subject| subject.contains(NIC) || subject.contains(DISK)), "{planned:?}");
    assert!(world.lost(&format!("interface {NIC}")).await.unwrap().contains("not attached"));
    assert!(world.lost(&format!("volume {DISK}")).await.unwrap().contains("not attached"));
    assert!(world.lost("10.0.0.7").await.unwrap().contains("address"), "it may be another's by now");
}

#[tokio::test]
async fn an_assigned_address_does_not_come_back() {
    assert_eq!(World::contained().await.lost("address 203.0.113.7").await, None);
    for public in [None, Some("203.0.113.8".to_owned())] {
        let world = with(|account| account.nics.get_mut(NIC).unwrap().public = public).await;
        assert!(world.lost(&format!("address 203.0.113.7 of {NIC}")).await.unwrap().contains("does not come back"));
    }
    let mut elastic = case(INCIDENT);
    elastic.objects.get_mut("before.json").unwrap()["target"]["interfaces"][0]["address"]["assigned"] = json!(false);
    let world = World::of(vec![elastic]).await;
    world.now(|account| account.nics.get_mut(NIC).unwrap().public = None);
    assert_eq!(world.lost("address").await, None, "an Elastic IP address stays its account's");
}

#[tokio::test]
async fn the_auto_scaling_group_is_joined_only_where_a_person_asks_and_there_is_a_place() {
    let command = format!("cordon release {} --rejoin-group", case_of(INCIDENT));
    let world = World::contained().await;
    assert!(world.lost("Auto Scaling group web").await.unwrap().contains(&command));
    let changes: [(&str, Change); 5] = [
        ("stays cut off", |account| account.groups.retain(|id, _| id != DB && id != WEB)),
        ("no place", |account| *account.scaling.get_mut("web").unwrap() = (4, 4)),
        ("does not exist any more", |account| account.scaling.clear()),
        ("is in the group blue now", |account| account.member_of = Some("blue".to_owned())),
        ("only an instance that runs", |account| account.state = "stopped".to_owned()),
    ];
    for (expected, change) in changes {
        let checked = with(change).await.check().await;
        assert!(!World::planned(&checked).contains(&"Auto Scaling group web".to_owned()), "{expected}");
        let plan = checked.plan.unwrap();
        let lost = plan.not_restorable.iter().find(|lost| lost.what == "Auto Scaling group web").unwrap();
        assert!(lost.reason.contains(expected), "{lost:?}");
    }
    let back = with(|account| account.member_of = Some("web".to_owned())).await;
    assert_eq!(back.lost("Auto Scaling group").await, None);
}

#[tokio::test]
async fn registrations_are_given_back_where_their_place_still_is() {
    let world = with(|account| account.target_groups.clear()).await;
    assert!(world.lost(&format!("{INSTANCE} in {TARGETS}")).await.unwrap().contains("does not exist any more"));
    let world = with(|account| account.classic.clear()).await;
    assert!(world.lost("classic load balancer old").await.unwrap().contains("does not exist any more"));

    // Registered on one of its ports; and on its way out of the other.
    let world = with(|account| {
        let targets = account.target_groups.get_mut(TARGETS).unwrap();
        targets.push((INSTANCE.to_owned(), "80".to_owned()));
        targets.push(("10.0.0.7".to_owned(), "8080 draining".to_owned()));
    })
    .await;
    let planned = World::planned(&world.dry_run().await);
    assert!(!planned.contains(&format!("{INSTANCE} in {TARGETS}")) && planned.contains(&format!("10.0.0.7 in {TARGETS}")));
}

#[tokio::test]
async fn what_nobody_looked_at_and_what_is_too_much_is_told() {
    let mut many = case(INCIDENT);
    let balancers = many.objects.get_mut("before-balancers.json").unwrap();
    balancers["unseen"] = json!(["classic load balancers could not be listed"]);
    balancers["targetGroups"] =
        (0..500).map(|port| json!({"targetGroup": TARGETS, "target": INSTANCE, "port": 1000 + port})).collect();
    let world = World::of(vec![many]).await;
    let checked = world.dry_run().await;
    assert!(serde_json::to_string(&checked).unwrap().len() < 100_000, "a payload has 256 KiB, and other states add to it");
    assert!(world.lost("400 more registrations").await.is_some());
    assert!(world.lost("nobody looked for").await.unwrap().contains("could not be listed"));
}

#[tokio::test]
async fn role_sessions_are_allowed_again_where_there_is_a_role() {
    assert!(World::contained().await.dry_run().await.plan.unwrap().credentials);
    let mut without = case(INCIDENT);
    without.objects.get_mut("before.json").unwrap()["target"]["profile"] = json!(null);
    assert!(!World::of(vec![without]).await.dry_run().await.plan.unwrap().credentials);
}
