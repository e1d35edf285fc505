//! A target that was contained already when its case was opened: the chain to the case that saw it free.

use incident::release::{CheckVerdict, Restore};
use serde_json::json;

use super::support::{
    Case, DB, INCIDENT, ISOLATION, LATE, NIC, OTHER, WEB, World, case, case_of, intent, moved, request, tracked,
};

/// A later case, whose target wears our groups, and that names the earlier one.
pub(crate) fn later(execution: &'static str, earlier: &str) -> Case {
    let mut later = case(execution);
    let before = later.objects.get_mut("before.json").unwrap();
    before["earlierCase"] = json!(case_of(earlier));
    before["opened"] = json!("2026-11-24T23:00:00Z");
    before["target"]["interfaces"][0]["groups"] = json!([ISOLATION]);
    before["target"]["interfaces"][0]["tracking"] = json!({"tcpEstablished": 60, "udpStream": 60, "udp": 30});
    before["target"]["metadata"]["enabled"] = json!(false);
    before["target"]["volumes"][0]["deleteOnTermination"] = json!(false);
    let protections = later.objects.get_mut("before-protections.json").unwrap();
    for name in ["terminationProtection", "stopProtection"] {
        protections[name] = json!(true);
    }
    protections["shutdownBehavior"] = json!("stop");
    protections["group"] = json!(null);
    let balancers = later.objects.get_mut("before-balancers.json").unwrap();
    balancers["targetGroups"] = json!([]);
    balancers["classic"] = json!([]);
    later.objects.retain(|name, _| !name.starts_with("records/"));
    later
}

const NAMES: [&str; 7] = [
    INCIDENT,
    "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:c1",
    "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:c2",
    "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:c3",
    "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:c4",
    "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:c5",
    "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:c6",
];

fn groups_of<'a>(plan: &'a [Restore], nic: &str) -> Option<Vec<&'a str>> {
    plan.iter().find_map(|restore| match restore {
        Restore::Groups { interface, to } if interface.as_str() == nic => {
            Some(to.iter().map(incident::GroupId::as_str).collect())
        }
        _ => None,
    })
}

#[tokio::test]
async fn what_is_given_back_is_what_the_earliest_case_saved() {
    let alone = World::contained().await.check().await;
    let world = World::of(vec![case(OTHER), later(INCIDENT, OTHER)]).await;
    let checked = world.check().await;
    assert_eq!(checked.verdict, CheckVerdict::Release, "{:?}", checked.reasons);
    let (plan, alone) = (checked.plan.unwrap(), alone.plan.unwrap());
    assert_eq!((&plan.case_id, &plan.restored_from), (&case_of(INCIDENT), &case_of(OTHER)));
    assert_eq!(plan.restore, alone.restore);
    assert_eq!(plan.target, alone.target);
}

#[tokio::test]
async fn what_only_the_later_case_changed_is_given_back_as_well() {
    let mut first = case(OTHER);
    let protections = first.objects.get_mut("before-protections.json").unwrap();
    protections["stopProtection"] = json!(null);
    first.objects.insert("before-balancers.json".to_owned(), json!(null));
    let mut second = later(INCIDENT, OTHER);
    second.objects.get_mut("before-protections.json").unwrap()["stopProtection"] = json!(false);
    second.objects.get_mut("before-balancers.json").unwrap()["classic"] = json!(["old"]);
    let world = World::of(vec![first, second]).await;
    let planned = World::planned(&world.check().await);
    for subject in ["stop protection", "termination protection", "classic load balancer old", "Auto Scaling group web"] {
        assert!(planned.contains(&subject.to_owned()), "{subject}: {planned:?}");
    }
}

#[tokio::test]
async fn an_interface_that_came_between_two_cases_wears_what_the_later_one_saw() {
    let mut second = later(INCIDENT, OTHER);
    let interfaces = second.objects.get_mut("before.json").unwrap()["target"]["interfaces"].as_array_mut().unwrap();
    interfaces.push(json!({"id": LATE, "vpc": "vpc-0abc1234def567890", "groups": [DB]}));
    let world = World::of(vec![case(OTHER), second]).await;
    late(&world);
    let plan = world.check().await.plan.unwrap();
    assert_eq!(groups_of(&plan.restore, NIC), Some(vec![WEB, DB]));
    assert_eq!(groups_of(&plan.restore, LATE), Some(vec![DB]));
}

#[tokio::test]
async fn an_interface_that_came_after_triage_wears_what_the_earliest_intent_says_that_is_not_ours() {
    let mut with = case(INCIDENT);
    let ours = intent(INCIDENT, "20261124T034000.000Z-Lockdown-00-001", &json!([moved(LATE, &[ISOLATION])]));
    let first = intent(INCIDENT, "20261124T034100.000Z-Lockdown-01-001", &json!([moved(LATE, &[WEB]), tracked(LATE)]));
    let second = intent(INCIDENT, "20261124T034200.000Z-CloseDoor-00-001", &json!([moved(LATE, &[DB])]));
    with.objects.extend([ours, first, second]);
    let world = World::of(vec![with]).await;
    late(&world);
    let checked = world.check().await;
    assert_eq!(groups_of(&checked.plan.clone().unwrap().restore, LATE), Some(vec![WEB]));
    assert!(World::planned(&checked).contains(&format!("connection tracking of {LATE}")));

    // A change that had to be made before anything could be written down is on record afterwards.
    let mut unsaid = case(INCIDENT);
    let (name, mut record) = intent(INCIDENT, "20261124T034000.000Z-CloseDoor-00-001", &json!([]));
    record["phase"] = json!("outcome");
    record["note"] = json!({"changedWithoutIntent": [moved(LATE, &[DB])]});
    unsaid.objects.insert(name, record);
    let world = World::of(vec![unsaid]).await;
    late(&world);
    assert_eq!(groups_of(&world.check().await.plan.unwrap().restore, LATE), Some(vec![DB]));

    let world = World::contained().await;
    late(&world);
    assert!(world.lost(&format!("groups of {LATE}")).await.unwrap().contains("no case has on record"));
}

/// An interface that was attached while the target was contained.
fn late(world: &World) {
    world.now(|account| {
        let nic = account.nics[NIC].clone();
        account.nics.insert(LATE.to_owned(), super::account::Nic { private: "10.0.0.8".to_owned(), public: None, ..nic });
    });
}

#[tokio::test]
async fn an_earlier_case_that_does_not_hold_is_a_refusal() {
    async fn check(first: Option<Case>) -> Vec<String> {
        let world = World::of(first.into_iter().chain([later(INCIDENT, OTHER)]).collect()).await;
        let checked = world.ask(request(), 0).await.unwrap();
        assert_eq!(checked.verdict, CheckVerdict::Refused);
        checked.reasons
    }
    let other = case_of(OTHER);
    assert!(check(None).await[0].contains(&format!("there is no case {other}")));
    assert!(check(Some(Case { closed: false, ..case(OTHER) })).await[0].contains(&format!("case {other} is still open")));
    let mut falsified = case(OTHER);
    falsified.forge = |manifest| {
        let item = manifest.items.iter_mut().find(|item| item.object.key.ends_with("/before.json")).unwrap();
        item.object.sha256 = "0".repeat(64);
    };
    assert!(check(Some(falsified)).await[0].contains(&format!("run `cordon verify {other}`")));
}

#[tokio::test]
async fn a_chain_in_a_circle_or_without_an_end_is_a_refusal() {
    let world = World::of(vec![later(OTHER, INCIDENT), later(INCIDENT, OTHER)]).await;
    let checked = world.check().await;
    assert_eq!(checked.verdict, CheckVerdict::Refused);
    assert!(checked.reasons[0].contains("in a circle"), "{:?}", checked.reasons);

    for (length, verdict) in [(5, CheckVerdict::Release), (6, CheckVerdict::Refused)] {
        let links = (0..length - 1).map(|n| later(NAMES[n], NAMES[n + 1]));
        let world = World::of(links.chain([case(NAMES[length - 1])]).collect()).await;
        assert_eq!(world.check().await.verdict, verdict, "{length}");
    }
}

#[tokio::test]
async fn what_an_unverified_case_names_is_not_read() {
    let world = World::of(vec![case(OTHER), later(INCIDENT, OTHER)]).await;
    world.now(|account| account.signed = false);
    let checked = world.check().await;
    assert_eq!(checked.verdict, CheckVerdict::Refused);
    assert_eq!(world.aws.count("kms:Verify"), 1);
}
