//! Containing, and closing the door where it fails.

use crate::support::{CONVERSION, Cloud, ISOLATION, NIC, NIC2, VPC, VPC2, WEB, plan};
use incident::evidence::{ContainmentStatus, InterfaceStatus};
use incident::risk::RiskKind;
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;

const MODIFY: &str = "ec2:ModifyNetworkInterfaceAttribute";

#[tokio::test]
async fn an_interface_goes_through_the_conversion_group_into_the_isolation_group() {
    let cloud = Cloud::simple().with_pair();
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert!(contained.read_back_at.is_some() && contained.reasons.is_empty(), "{contained:?}");
    assert_eq!(
        cloud.changes(),
        [MODIFY; 3],
        "with the pair there, only the interface is changed: twice moved, then its tracking"
    );
    let way: Vec<Vec<String>> = cloud.account().history.iter().map(|(_, groups)| groups.clone()).collect();
    assert_eq!(way, [["cordon-conversion"], ["cordon-isolation"]]);
    let nic = &contained.interfaces[0];
    assert_eq!(nic.status, InterfaceStatus::Cut);
    assert_eq!((nic.groups_before[0].as_str(), nic.groups_now[0].as_str()), (WEB, ISOLATION));
    for kind in [RiskKind::AutomaticallyTrackedFlows, RiskKind::VpcResolver] {
        assert!(contained.risks.iter().any(|risk| risk.kind == kind), "{kind:?} must be told");
    }
}

#[tokio::test]
async fn the_first_time_in_a_vpc_the_groups_are_made_and_new_egress_is_revoked_for_both_families() {
    let cloud = Cloud::simple();
    let contained = cloud.contain(0).await.unwrap();
    assert!(contained.status == ContainmentStatus::Contained && contained.reasons.is_empty(), "{contained:?}");
    let account = cloud.account();
    let named = |name: &str| account.groups.values().find(|group| group.name == name).unwrap();
    let (conversion, isolation) = (named("cordon-conversion"), named("cordon-isolation"));
    assert!(isolation.ingress.is_empty() && isolation.egress.is_empty(), "{isolation:?}");
    for rules in [&conversion.ingress, &conversion.egress] {
        let mut rules = rules.clone();
        rules.sort();
        assert_eq!(rules, ["0.0.0.0/0", "::/0"], "one family left out stays tracked");
    }
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let cloud = Cloud::simple();
    cloud.contain(0).await.unwrap();
    cloud.aws.forget_calls();
    let again = cloud.contain(1).await.unwrap();
    assert_eq!(again.status, ContainmentStatus::Contained);
    assert_eq!(cloud.changes(), [""; 0], "what is done already must be left alone");
    let outcomes = cloud.records("outcome");
    let last = outcomes.last().unwrap();
    assert!(last["changes"].as_array().unwrap().iter().all(|c| c["result"]["status"] == "already"), "{last}");
}

#[tokio::test]
async fn intents_are_durable_before_the_first_change_and_no_interface_waits_in_the_open_group_for_another() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &["sg-0bbbbbbbbbbbbbbbb"])]);
    let plan = plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &["sg-0bbbbbbbbbbbbbbbb"])]);
    assert_eq!(cloud.run("contain", 0, &plan).await.unwrap().status, ContainmentStatus::Contained);
    let actions = cloud.aws.actions();
    let first_change = actions.iter().position(|a| a.starts_with("ec2:") && !a.starts_with("ec2:Describe")).unwrap();
    let intents = actions.iter().take(first_change).filter(|a| *a == "s3:PutObject").count();
    assert_eq!(intents, 2, "the plan's interfaces, then the groups: {actions:?}");
    let way: Vec<String> = cloud.account().history.iter().flat_map(|(_, groups)| groups.clone()).collect();
    assert_eq!(way, ["cordon-conversion", "cordon-isolation", "cordon-conversion", "cordon-isolation"]);
    assert_eq!(cloud.records("intent").len(), cloud.records("outcome").len(), "each intent has its outcome");
    let said: Vec<String> = cloud.records("intent").iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|intent| intent.contains("ec2:CreateSecurityGroup")), "{said:?}");
}

#[tokio::test]
async fn nothing_is_changed_before_what_was_there_is_saved() {
    let cloud = Cloud::simple().with_pair();
    cloud.aws.set("s3:GetObject", Answer::s3_error(404, "NoSuchKey", "no before.json"));
    let error = cloud.contain(0).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Refused, "{error}");
    assert_eq!(cloud.changes(), [""; 0]);

    let cloud = Cloud::simple().with_pair();
    cloud.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    assert_eq!(cloud.contain(0).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!(cloud.changes(), [""; 0], "without an intent nothing may be changed");
}

#[tokio::test]
async fn an_interface_that_was_attached_after_triage_is_saved_and_cut_too() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &["sg-0bbbbbbbbbbbbbbbb"])]);
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!((contained.status, contained.interfaces.len()), (ContainmentStatus::Contained, 2));
    let intents = cloud.records("intent");
    let saved = intents.iter().flat_map(|intent| intent["changes"].as_array().unwrap());
    let saved =
        saved.filter(|change| change["subject"] == NIC2 && change["from"] == json!({ "groups": ["sg-0bbbbbbbbbbbbbbbb"] }));
    assert_eq!(saved.count(), 2, "its old groups stand in an intent: {intents:?}");
}

#[tokio::test]
async fn groups_that_changed_after_triage_are_saved_as_they_are() {
    let cloud = Cloud::new(&[(NIC, VPC, &["sg-0cccccccccccccccc"])]).with_pair();
    assert_eq!(cloud.contain(0).await.unwrap().status, ContainmentStatus::Contained);
    let intents = cloud.records("intent");
    assert!(intents.iter().any(|intent| intent.to_string().contains("sg-0cccccccccccccccc")), "{intents:?}");
}

#[tokio::test]
async fn throttled_in_the_middle_it_fails_with_transient_and_a_retry_completes() {
    let cloud = Cloud::simple().with_pair();
    cloud.refuse_moves("cordon-isolation", 503, "RequestLimitExceeded");
    let error = cloud.contain(0).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
    assert!(cloud.account().groups[CONVERSION].ingress.is_empty(), "the door must not stay open until the retry");
    cloud.allow_moves();
    let contained = cloud.contain(1).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert_eq!(cloud.records("intent").len(), cloud.records("outcome").len());
}

#[tokio::test]
async fn a_cut_that_fails_closes_the_door_and_retires_the_group() {
    let cloud = Cloud::simple().with_pair();
    cloud.refuse_moves("cordon-isolation", 403, "UnauthorizedOperation");
    assert_eq!(cloud.contain(0).await.unwrap_err().fault(), Fault::Denied);
    let group = cloud.account().groups[CONVERSION].clone();
    assert!(group.ingress.is_empty() && group.egress.is_empty(), "{group:?}");
    assert_eq!(group.tags.get("cordon:retired").map(String::as_str), Some(crate::support::CASE));

    // What the state machine does next.
    let closed = cloud.close_door(0).await.unwrap();
    assert_eq!(closed.interfaces[0].status, InterfaceStatus::DoorClosed, "{closed:?}");
    assert_eq!(closed.status, ContainmentStatus::PartlyContained);
    assert!(closed.failure.is_some());
    assert!(cloud.account().groups[CONVERSION].ingress.is_empty(), "a retired group is never repaired");
}

#[tokio::test]
async fn after_a_retired_conversion_group_the_next_one_is_made() {
    let cloud = Cloud::simple().with_pair();
    {
        let mut account = cloud.account();
        let group = account.groups.get_mut(CONVERSION).unwrap();
        group.tags.insert("cordon:retired".to_owned(), "another".to_owned());
        group.ingress.clear();
        group.egress.clear();
    }
    assert_eq!(cloud.contain(0).await.unwrap().status, ContainmentStatus::Contained);
    let account = cloud.account();
    assert!(account.groups[CONVERSION].ingress.is_empty(), "a retired group is never repaired");
    assert_eq!(account.history[0].1, ["cordon-conversion-2"]);
}

#[tokio::test]
async fn a_convert_that_fails_does_not_keep_the_interface_from_being_cut() {
    let cloud = Cloud::simple().with_pair();
    cloud.refuse_moves("cordon-conversion", 403, "UnauthorizedOperation");
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained);
    assert!(contained.reasons[0].contains("UnauthorizedOperation"), "{contained:?}");
    let tracked = contained.risks.iter().find(|risk| risk.subject == NIC);
    assert_eq!(tracked.map(|risk| risk.kind), Some(RiskKind::AutomaticallyTrackedFlows), "tracked flows may go on");
}

#[tokio::test]
async fn one_interface_that_is_refused_does_not_keep_the_others_open() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]).with_pair();
    cloud.refuse_moves(NIC, 403, "UnauthorizedOperation");
    let partly = cloud.contain(0).await.unwrap();
    assert_eq!(partly.status, ContainmentStatus::PartlyContained);
    assert_eq!((cloud.worn(NIC), cloud.worn(NIC2)), (vec![WEB.to_owned()], vec!["cordon-isolation".to_owned()]));
    assert!(!cloud.account().groups[CONVERSION].ingress.is_empty(), "nobody is in it, so it stays");
}

#[tokio::test]
async fn without_an_isolation_group_nothing_is_converted() {
    let cloud = Cloud::simple();
    cloud.aws.set("ec2:CreateSecurityGroup", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    assert_eq!(cloud.contain(0).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!(cloud.aws.count(MODIFY), 0, "converting would only open the target");
}

#[tokio::test]
async fn an_interface_that_is_gone_is_no_failure() {
    let cloud = Cloud::new(&[]);
    let gone = cloud.contain(0).await.unwrap();
    assert_eq!(gone.status, ContainmentStatus::NothingToCut);
    assert!(gone.reasons[0].contains("is not attached"), "{gone:?}");

    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]).with_pair();
    cloud.refuse_moves(NIC2, 400, "InvalidNetworkInterfaceID.NotFound");
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.interfaces.iter().filter(|nic| nic.status == InterfaceStatus::Cut).count(), 1);
    assert!(!contained.reasons.iter().any(|reason| reason.contains("NotFound")), "{contained:?}");
}

#[tokio::test]
async fn a_group_that_another_run_made_meanwhile_is_used_and_a_strangers_is_not() {
    let cloud = Cloud::simple().with_pair();
    // The tag is not visible yet: the look finds nothing, and only the name tells.
    let none = "<DescribeSecurityGroupsResponse><securityGroupInfo/></DescribeSecurityGroupsResponse>";
    cloud.aws.push("ec2:DescribeSecurityGroups", Answer::xml(none));
    assert_eq!(cloud.contain(0).await.unwrap().status, ContainmentStatus::Contained);
    assert_eq!(cloud.account().groups.len(), 2, "no other group may be made");

    let cloud = Cloud::simple();
    cloud.account().add("sg-0eeeeeeeeeeeeeee1", VPC, "Cordon-Isolation", "", &["0.0.0.0/0"]);
    cloud.account().add("sg-0eeeeeeeeeeeeeee2", VPC, "cordon-conversion", "", &["10.0.0.0/8"]);
    assert_eq!(cloud.contain(0).await.unwrap().status, ContainmentStatus::Contained);
    assert_eq!(cloud.worn(NIC), ["cordon-isolation-2"]);
    assert_eq!(cloud.account().groups["sg-0eeeeeeeeeeeeeee1"].ingress, ["0.0.0.0/0"], "a stranger's group stays as it is");
}

#[tokio::test]
async fn groups_that_somebody_edited_are_put_right() {
    let cloud = Cloud::simple().with_pair();
    {
        let mut account = cloud.account();
        account.groups.get_mut(ISOLATION).unwrap().egress = vec!["203.0.113.7/32".to_owned(), "::/0".to_owned()];
        account.groups.get_mut(CONVERSION).unwrap().ingress = vec!["0.0.0.0/0".to_owned()];
        account.nics.get_mut(NIC).unwrap().groups = vec![ISOLATION.to_owned()];
    }
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    let account = cloud.account();
    assert!(account.groups[ISOLATION].egress.is_empty());
    assert_eq!(account.groups[CONVERSION].ingress.len(), 2);
    assert_eq!(account.history.len(), 2, "flows that came in through the edited rules are tracked: it is converted again");
}

#[tokio::test]
async fn a_tag_alone_makes_no_group_ours() {
    let cloud = Cloud::simple();
    cloud.account().add(WEB, VPC, "web-servers", "isolation", &["0.0.0.0/0"]);
    assert_eq!(cloud.contain(0).await.unwrap().status, ContainmentStatus::Contained);
    assert_eq!(cloud.account().groups[WEB].ingress, ["0.0.0.0/0"], "whoever may tag must not make us empty a group");
}

#[tokio::test]
async fn a_requester_managed_interface_is_left_alone_and_told() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]).with_pair();
    cloud.account().nics.get_mut(NIC2).unwrap().requester_managed = true;
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained);
    assert!(contained.risks.iter().any(|risk| risk.kind == RiskKind::UnmanagedInterface && risk.subject == NIC2));
    assert_eq!(contained.interfaces[1].status, InterfaceStatus::Open);
}

#[tokio::test]
async fn what_is_read_back_decides_and_not_what_the_calls_said() {
    let cloud = Cloud::simple().with_pair();
    let done = "<ModifyNetworkInterfaceAttributeResponse><return>true</return></ModifyNetworkInterfaceAttributeResponse>";
    cloud.aws.set(MODIFY, Answer::xml(done));
    let not = cloud.contain(0).await.unwrap();
    assert_eq!(not.status, ContainmentStatus::NotContained, "{not:?}");
}

#[tokio::test]
async fn what_cannot_be_read_back_is_unknown_and_never_contained() {
    for (status, code, fault) in [(403, "UnauthorizedOperation", None), (503, "RequestLimitExceeded", Some(Fault::Transient))] {
        let cloud = Cloud::simple().with_pair();
        cloud.blind_after_changes(status, code);
        match (cloud.contain(0).await, fault) {
            (Ok(contained), None) => {
                assert_eq!(contained.status, ContainmentStatus::Unknown);
                assert_eq!(contained.interfaces[0].status, InterfaceStatus::Unknown);
                assert!(contained.reasons[0].contains(code), "{contained:?}");
            }
            (Err(error), Some(fault)) => assert_eq!(error.fault(), fault),
            (other, _) => panic!("{code}: {other:?}"),
        }
        assert_eq!(cloud.worn(NIC), ["cordon-isolation"]);
    }
}

#[tokio::test]
async fn a_plan_that_says_ask_is_not_cut_and_the_door_alone_is_closed() {
    let mut asking = plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]);
    asking["cut"] = json!({ "decision": "askFirst", "reasons": ["protected"] });
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[CONVERSION])]).with_pair();
    assert_eq!(cloud.run("contain", 0, &asking).await.unwrap_err().fault(), Fault::Refused);
    let closed = cloud.run("close-door", 0, &asking).await.unwrap();
    assert_eq!((cloud.worn(NIC), cloud.worn(NIC2)), (vec![WEB.to_owned()], vec!["cordon-isolation".to_owned()]));
    assert!(closed.risks.iter().any(|risk| risk.kind == RiskKind::CutWithheld));
}

#[tokio::test]
async fn close_door_cuts_what_is_left_and_needs_no_case_file_for_it() {
    for store_works in [true, false] {
        let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[CONVERSION])]).with_pair();
        if !store_works {
            cloud.aws.set("s3:PutObject", Answer::s3_error(503, "SlowDown", "no"));
            cloud.aws.set("s3:GetObject", Answer::s3_error(503, "SlowDown", "no"));
        }
        let closed = cloud.close_door(0).await.unwrap();
        assert_eq!(closed.status, ContainmentStatus::Contained, "{closed:?}");
        assert_eq!(closed.reasons.is_empty(), store_works, "{closed:?}");
        cloud.aws.forget_calls();
        cloud.close_door(1).await.unwrap();
        assert_eq!(cloud.changes(), [""; 0], "done twice is done once");
    }
}

#[tokio::test]
async fn without_a_case_file_an_interface_whose_groups_nobody_saved_keeps_them() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]).with_pair();
    cloud.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    let closed = cloud.close_door(0).await.unwrap();
    assert_eq!(closed.status, ContainmentStatus::PartlyContained, "{closed:?}");
    assert_eq!(cloud.worn(NIC2), [WEB], "it came after triage: its old groups are nowhere but on it");
}

#[tokio::test]
async fn where_the_interfaces_cannot_be_read_every_conversion_group_of_the_plans_vpcs_is_closed() {
    let cloud = Cloud::new(&[(NIC, VPC, &[CONVERSION])]).with_pair();
    cloud.aws.set("ec2:DescribeNetworkInterfaces", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let closed = cloud.close_door(0).await.unwrap();
    assert_eq!((closed.status, closed.read_back_at), (ContainmentStatus::Unknown, None));
    assert!(cloud.account().groups[CONVERSION].ingress.is_empty());
}

#[tokio::test]
async fn close_door_asks_for_a_retry_while_aws_is_busy_and_then_tells_the_truth() {
    let cloud = Cloud::new(&[(NIC, VPC, &[CONVERSION])]).with_pair();
    cloud.refuse_moves("cordon-isolation", 503, "RequestLimitExceeded");
    assert_eq!(cloud.close_door(0).await.unwrap_err().fault(), Fault::Transient);
    let closed = cloud.close_door(5).await.unwrap();
    assert_eq!(closed.interfaces[0].status, InterfaceStatus::DoorClosed);
}
