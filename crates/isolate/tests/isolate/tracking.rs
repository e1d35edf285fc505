//! After the cut, idle connections are forgotten as soon as EC2 allows; whatever goes wrong with that costs no containment.

use incident::evidence::{ContainmentStatus, InterfaceStatus};
use incident::risk::RiskKind;
use serde_json::json;
use stub::Answer;

use crate::support::{Cloud, NIC, NIC2, VPC, VPC2, WEB, plan};

fn shortest() -> [String; 3] {
    ["60", "60", "30"].map(str::to_owned)
}

#[tokio::test]
async fn each_interface_that_is_cut_has_its_tracking_shortened_after_it_and_its_old_setting_is_on_record_before() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])]).with_pair();
    cloud.account().nics.get_mut(NIC2).unwrap().tracking = Some(["350", "180", "30"].map(str::to_owned));
    let contained = cloud.run("contain", 0, &plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])])).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained);
    for nic in [NIC, NIC2] {
        assert_eq!(cloud.account().nics[nic].tracking, Some(shortest()), "{nic}");
    }
    let intents = cloud.records("intent");
    let saved = intents
        .iter()
        .flat_map(|intent| intent["changes"].as_array().unwrap())
        .find(|change| change["subject"] == NIC2 && change["from"].get("tracking").is_some());
    assert_eq!(saved.unwrap()["from"]["tracking"], json!({ "tcpEstablished": 350, "udpStream": 180, "udp": 30 }));
    let is_tracking = |call: &stub::Call| call.param("ConnectionTrackingSpecification.UdpTimeout").is_some();
    let moves: Vec<bool> = cloud
        .aws
        .mutations()
        .iter()
        .filter(|call| call.action == "ec2:ModifyNetworkInterfaceAttribute")
        .map(is_tracking)
        .collect();
    assert_eq!(moves, [false, false, false, false, true, true], "every cut precedes it");
    assert!(!contained.risks.iter().any(|risk| risk.kind == RiskKind::LongTracking), "{:?}", contained.risks);
}

#[tokio::test]
async fn what_is_short_already_is_left_alone() {
    let cloud = Cloud::simple().with_pair();
    cloud.account().nics.get_mut(NIC).unwrap().tracking = Some(shortest());
    cloud.contain(0).await.unwrap();
    assert!(cloud.aws.mutations().iter().all(|call| call.param("ConnectionTrackingSpecification.UdpTimeout").is_none()));
}

#[tokio::test]
async fn refused_it_costs_no_containment_and_is_told_and_lock_down_tries_again() {
    for (status, code) in [(400, "UnsupportedOperation"), (403, "UnauthorizedOperation"), (503, "RequestLimitExceeded")] {
        let cloud = Cloud::simple().with_pair();
        cloud.refuse_moves("60", status, code);
        let contained = cloud.contain(0).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained, "{code}");
        assert_eq!(contained.interfaces[0].status, InterfaceStatus::Cut, "{code}");
        let told = contained.risks.iter().find(|risk| risk.kind == RiskKind::LongTracking).unwrap();
        assert_eq!(told.subject, NIC, "{code}");
        let outcomes = cloud.records("outcome");
        let mut changes = outcomes.iter().flat_map(|outcome| outcome["changes"].as_array().unwrap());
        assert!(changes.any(|change| change["result"]["status"] == "failed"), "{code}: the refusal is on record");

        cloud.allow_moves();
        let locked = cloud.lock_down(0, &Cloud::plan()).await.unwrap();
        assert!(!locked.risks.iter().any(|risk| risk.kind == RiskKind::LongTracking), "{code}: {:?}", locked.risks);
        assert_eq!(cloud.account().nics[NIC].tracking, Some(shortest()), "{code}");
    }
}

#[tokio::test]
async fn without_a_record_of_the_old_setting_it_stays() {
    let cloud = Cloud::simple().with_pair();
    cloud.aws.set_fn("s3:PutObject", |call| {
        if call.path.ends_with("-002-intent.json") { Answer::s3_error(403, "AccessDenied", "no") } else { Answer::bucket() }
    });
    let contained = cloud.contain(0).await.unwrap();
    let refused = cloud.aws.calls_of("s3:PutObject").iter().filter(|call| call.path.ends_with("-002-intent.json")).count();
    assert_eq!(refused, 1, "the intent of the tracking is the second one: else this test shows nothing");
    assert_eq!(cloud.account().nics[NIC].tracking, None);
    assert!(contained.risks.iter().any(|risk| risk.kind == RiskKind::LongTracking), "{:?}", contained.risks);
}
