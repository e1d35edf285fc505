//! Where EC2 refuses calls for their number: what closes is asked for again soon, what opens seldom, and what can wait once.

use incident::evidence::ContainmentStatus;
use incident::risk::RiskKind;
use isolate::Pace;

use crate::support::{CONVERSION, Cloud, NIC, NIC2, VPC, WEB, plan};

const CODE: &str = "RequestLimitExceeded";

/// Sends calls again as the function does.
fn patient(mut cloud: Cloud) -> Cloud {
    cloud.clients.pace = Pace::of_many();
    cloud
}

#[tokio::test]
async fn a_throttled_cut_is_asked_for_again_and_the_group_stays_for_the_other_cases() {
    let cloud = patient(Cloud::simple().with_pair());
    cloud.refuse_moves_at_first(3, "cordon-isolation", 503, CODE);
    let contained = cloud.contain(0).await.unwrap();
    assert!(contained.status == ContainmentStatus::Contained && contained.reasons.is_empty(), "{contained:?}");
    assert!(!cloud.account().groups[CONVERSION].ingress.is_empty(), "nothing is stuck in it");
    assert_eq!(cloud.changes().len(), 6, "convert, three refusals, cut, tracking");
}

#[tokio::test]
async fn an_interface_is_as_it_was_while_its_convert_is_throttled_and_holds_up_no_other() {
    let nics: [(&str, &str, &[&str]); 2] = [(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])];
    let cloud = patient(Cloud::new(&nics).with_pair());
    cloud.refuse_moves_at_first(1, "cordon-conversion", 503, CODE);
    let contained = cloud.run("contain", 0, &plan(&nics)).await.unwrap();
    assert!(contained.status == ContainmentStatus::Contained && contained.reasons.is_empty(), "{contained:?}");
    let way: Vec<(String, String)> = cloud.account().history.iter().map(|(nic, groups)| (nic.clone(), groups.concat())).collect();
    let expected =
        [(NIC2, "cordon-conversion"), (NIC2, "cordon-isolation"), (NIC, "cordon-conversion"), (NIC, "cordon-isolation")];
    assert_eq!(way, expected.map(|(nic, group)| (nic.to_owned(), group.to_owned())));
    assert!(contained.risks.iter().all(|risk| risk.subject.is_empty()), "both were made untracked: {:?}", contained.risks);
}

#[tokio::test]
async fn shortening_the_tracking_takes_no_token_twice_from_those_who_are_still_open() {
    let cloud = patient(Cloud::simple().with_pair());
    cloud.refuse_moves("60", 503, CODE);
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained);
    assert_eq!(cloud.changes().len(), 3, "convert, cut, and the tracking once");
    assert!(contained.risks.iter().any(|risk| risk.kind == RiskKind::LongTracking), "{:?}", contained.risks);
}

#[tokio::test]
async fn in_a_group_that_another_case_closed_meanwhile_nothing_became_untracked() {
    let cloud = Cloud::simple().with_pair();
    cloud.close_before_the_first_move(CONVERSION);
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    let tracked = contained.risks.iter().filter(|risk| risk.kind == RiskKind::AutomaticallyTrackedFlows && risk.subject == NIC);
    assert_eq!(tracked.count(), 1, "{:?}", contained.risks);
}
