//! The way out for memory, and its end.

use crate::support::{self, COLLECTION, Cloud, MESSAGES, NIC, NIC2, S3, SSM, VPC, WEB, capturing, plan};
use incident::evidence::{ContainmentStatus, InterfaceStatus, LockdownStatus};
use incident::risk::RiskKind;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

const MODIFY: &str = "ec2:ModifyNetworkInterfaceAttribute";

fn two() -> Cloud {
    Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])])
}

fn both() -> Value {
    capturing(plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]))
}

fn egress(cloud: &Cloud, name: &str) -> Vec<String> {
    let account = cloud.account();
    let mut rules = account.groups.values().find(|group| group.name == name).unwrap().egress.clone();
    rules.sort();
    rules
}

#[tokio::test]
async fn only_the_primary_interface_keeps_a_way_out_and_only_to_the_endpoints() {
    let cloud = two();
    let contained = cloud.run("contain", 0, &both()).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert_eq!((cloud.worn(NIC), cloud.worn(NIC2)), (vec!["cordon-collection".to_owned()], vec!["cordon-isolation".to_owned()]));
    let statuses: Vec<InterfaceStatus> = contained.interfaces.iter().map(|nic| nic.status).collect();
    assert_eq!(statuses, [InterfaceStatus::PathOnly, InterfaceStatus::Cut]);
    assert_eq!(egress(&cloud, "cordon-collection"), [S3, SSM, MESSAGES], "the new group's own egress must be gone");
    assert!(cloud.account().groups.values().find(|group| group.name == "cordon-collection").unwrap().ingress.is_empty());
    let risk = contained.risks.iter().find(|risk| risk.kind == RiskKind::S3Path).unwrap();
    assert!(risk.advice.contains("2026-11-24T07:29:59Z"), "the time limit must be said: {}", risk.advice);
}

#[tokio::test]
async fn with_the_groups_there_the_path_costs_no_round_trip_and_a_second_run_changes_nothing() {
    let cloud = two().with_collection();
    cloud.run("contain", 0, &both()).await.unwrap();
    assert_eq!(cloud.changes(), [MODIFY; 6], "two converts, two cuts, and their tracking after that");
    cloud.aws.forget_calls();
    let again = cloud.run("contain", 1, &both()).await.unwrap();
    assert_eq!(again.status, ContainmentStatus::Contained, "{again:?}");
    assert_eq!(cloud.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn rules_that_somebody_added_or_took_are_set_right() {
    for (ingress, egress_now) in [
        (vec![], vec!["0.0.0.0/0", SSM, S3]),
        (vec!["0.0.0.0/0"], vec![SSM, MESSAGES, S3]),
        (vec![], vec!["sg-0dddddddddddddddd"]),
    ] {
        let cloud = two().with_collection();
        {
            let mut account = cloud.account();
            let group = account.groups.get_mut(COLLECTION).unwrap();
            group.ingress = ingress.iter().map(ToString::to_string).collect();
            group.egress = egress_now.iter().map(ToString::to_string).collect();
        }
        let contained = cloud.run("contain", 0, &both()).await.unwrap();
        assert_eq!(contained.interfaces[0].status, InterfaceStatus::PathOnly, "{contained:?}");
        assert_eq!(egress(&cloud, "cordon-collection"), [S3, SSM, MESSAGES]);
        assert!(cloud.account().groups[COLLECTION].ingress.is_empty());
    }
}

#[tokio::test]
async fn where_the_path_cannot_be_had_as_planned_everything_is_isolated() {
    let refusals = [
        ("ec2:AuthorizeSecurityGroupEgress", "RulesPerSecurityGroupLimitExceeded", 400, vec![]),
        ("ec2:RevokeSecurityGroupEgress", "UnauthorizedOperation", 403, vec!["0.0.0.0/0"]),
    ];
    for (action, code, status, rules) in refusals {
        let cloud = two().with_collection();
        cloud.account().groups.get_mut(COLLECTION).unwrap().egress = rules.iter().map(ToString::to_string).collect();
        cloud.aws.set(action, Answer::ec2_error(status, code, "no"));
        let contained = cloud.run("contain", 0, &both()).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained, "{action}: {contained:?}");
        assert_eq!(cloud.worn(NIC), ["cordon-isolation"], "{action}");
        assert!(contained.reasons.iter().any(|reason| reason.contains("memory has no path")), "{:?}", contained.reasons);
        assert!(!contained.risks.iter().any(|risk| risk.kind == RiskKind::S3Path));
    }
}

#[tokio::test]
async fn what_is_isolated_already_is_not_opened_for_its_memory() {
    let cloud = Cloud::new(&[(NIC, VPC, &[support::ISOLATION])]).with_collection();
    let contained = cloud.run("contain", 0, &capturing(plan(&[(NIC, VPC, &[support::ISOLATION])]))).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert_eq!(cloud.worn(NIC), ["cordon-isolation"]);
    assert_eq!(cloud.account().history, [], "it was moved nowhere");
}

#[tokio::test]
async fn closing_the_door_closes_the_path_too() {
    let cloud = two().with_collection();
    cloud.run("contain", 0, &both()).await.unwrap();
    let closed = cloud.run("close-door", 0, &both()).await.unwrap();
    assert_eq!(closed.status, ContainmentStatus::Contained, "{closed:?}");
    assert_eq!(cloud.worn(NIC), ["cordon-isolation"]);
    assert!(!closed.risks.iter().any(|risk| risk.kind == RiskKind::S3Path));
}

#[tokio::test]
async fn lock_down_leaves_nothing_open_and_a_second_time_finds_it_so() {
    let cloud = two().with_collection();
    cloud.run("contain", 0, &both()).await.unwrap();
    cloud.aws.forget_calls();
    let locked = cloud.lock_down(0, &both()).await.unwrap();
    assert_eq!((locked.status, locked.metadata_off), (LockdownStatus::LockedDown, true), "{locked:?}");
    assert!(locked.interfaces.iter().all(|nic| nic.status == InterfaceStatus::Cut) && locked.read_back_at.is_some());
    assert_eq!(cloud.changes().iter().filter(|action| *action == MODIFY).count(), 1, "no conversion: {:?}", cloud.changes());
    let intents = cloud.records("intent");
    let metadata = intents.iter().flat_map(|intent| intent["changes"].as_array().cloned().unwrap_or_default());
    let metadata = metadata.into_iter().find(|change| change["action"] == "ec2:ModifyInstanceMetadataOptions").unwrap();
    assert_eq!(
        metadata["from"],
        json!({ "enabled": true, "tokensRequired": true, "hopLimit": 2 }),
        "release needs the old value"
    );
    cloud.aws.forget_calls();
    let again = cloud.lock_down(1, &both()).await.unwrap();
    assert_eq!(again.status, LockdownStatus::LockedDown, "{again:?}");
    assert_eq!((cloud.worn(NIC), cloud.changes()), (vec!["cordon-isolation".to_owned()], Vec::new()), "done twice is done once");
    for said in [&locked, &again] {
        let flows = said.risks.iter().filter(|risk| risk.kind == RiskKind::AutomaticallyTrackedFlows && risk.subject == NIC);
        assert_eq!(flows.count(), 1, "what the path let through may go on, also where an earlier attempt closed it: {said:?}");
    }
}

#[tokio::test]
async fn lock_down_finds_an_interface_that_was_attached_meanwhile() {
    let cloud = Cloud::simple().with_collection();
    cloud.run("contain", 0, &capturing(Cloud::plan())).await.unwrap();
    let late = support::Nic { vpc: VPC.to_owned(), groups: vec![WEB.to_owned()], ..support::Nic::default() };
    cloud.account().nics.insert(NIC2.to_owned(), late);
    let locked = cloud.lock_down(0, &capturing(Cloud::plan())).await.unwrap();
    assert_eq!(locked.status, LockdownStatus::LockedDown, "{locked:?}");
    assert_eq!(cloud.worn(NIC2), ["cordon-isolation"]);
}

#[tokio::test]
async fn what_lock_down_could_not_do_is_said_and_what_may_pass_is_tried_again() {
    let refused = |code: &str, status| Answer::ec2_error(status, code, "no");
    // (what fails, how, the retry, the verdict; none means that the machine tries again)
    let cases = [
        ("ec2:ModifyInstanceMetadataOptions", refused("UnauthorizedOperation", 403), 0, Some(LockdownStatus::Partly)),
        ("ec2:ModifyInstanceMetadataOptions", refused("RequestLimitExceeded", 503), 0, None),
        ("ec2:ModifyInstanceMetadataOptions", refused("RequestLimitExceeded", 503), 3, Some(LockdownStatus::Partly)),
        ("ec2:DescribeInstances", refused("UnauthorizedOperation", 403), 0, Some(LockdownStatus::Unknown)),
        ("ec2:DescribeInstances", refused("InvalidInstanceID.NotFound", 400), 0, Some(LockdownStatus::LockedDown)),
        (MODIFY, refused("UnauthorizedOperation", 403), 0, Some(LockdownStatus::Partly)),
    ];
    for (action, answer, retry, expected) in cases {
        let cloud = Cloud::simple().with_collection();
        cloud.run("contain", 0, &capturing(Cloud::plan())).await.unwrap();
        cloud.aws.set(action, answer);
        match (cloud.lock_down(retry, &capturing(Cloud::plan())).await, expected) {
            (Ok(locked), Some(status)) => {
                assert_eq!(locked.status, status, "{action}: {locked:?}");
                assert!(status == LockdownStatus::LockedDown || !locked.reasons.is_empty(), "{action}: {locked:?}");
                if status == LockdownStatus::Partly && action != MODIFY {
                    assert!(locked.risks.iter().any(|risk| risk.kind == RiskKind::InstanceMetadata), "{locked:?}");
                }
            }
            (Err(error), None) => assert_eq!(error.fault(), Fault::Transient, "{action}: {error}"),
            (other, expected) => panic!("{action}: {other:?}, not {expected:?}"),
        }
        if action != MODIFY {
            assert_eq!(cloud.worn(NIC), ["cordon-isolation"], "{action}: what could be closed stays closed");
        }
    }
}

#[tokio::test]
async fn lock_down_changes_nothing_where_the_cut_is_withheld_or_nothing_is_on_record() {
    let cloud = Cloud::simple().with_collection();
    let mut plan = capturing(Cloud::plan());
    plan["cut"] = json!({ "decision": "askFirst", "reasons": ["protected"] });
    let locked = cloud.lock_down(0, &plan).await.unwrap();
    assert_eq!((locked.status, cloud.changes()), (LockdownStatus::Withheld, Vec::new()));

    let cloud = Cloud::simple().with_collection();
    cloud.aws.set("s3:GetObject", Answer::s3_error(404, "NoSuchKey", "gone"));
    let error = cloud.lock_down(0, &capturing(Cloud::plan())).await.unwrap_err();
    assert_eq!((error.fault(), cloud.changes()), (Fault::Refused, Vec::new()), "{error}");
}

#[tokio::test]
async fn an_interface_does_not_stay_in_a_collection_group_whose_extra_rules_come_back() {
    let cloud = two().with_collection();
    cloud.account().groups.get_mut(COLLECTION).unwrap().egress.push("0.0.0.0/0".to_owned());
    // Revoked as far as the call says, and there again whenever it is read back.
    let done = "<RevokeSecurityGroupEgressResponse><return>true</return></RevokeSecurityGroupEgressResponse>";
    cloud.aws.set("ec2:RevokeSecurityGroupEgress", Answer::xml(done));
    let contained = cloud.run("contain", 0, &both()).await.unwrap();
    assert_eq!(cloud.worn(NIC), ["cordon-isolation"], "{contained:?}");
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert!(contained.reasons.iter().any(|reason| reason.contains("memory has no path")), "{:?}", contained.reasons);
    let opened = cloud.account().history.iter().filter(|(nic, worn)| nic == NIC && worn[0] == "cordon-conversion").count();
    assert_eq!(opened, 1, "it is opened once in a run at most");
}

#[tokio::test]
async fn an_interface_that_the_collection_group_cannot_hold_is_isolated_at_once() {
    for (status, code) in [(403, "UnauthorizedOperation"), (503, "RequestLimitExceeded")] {
        let cloud = two().with_collection();
        cloud.refuse_moves("cordon-collection", status, code);
        let contained = cloud.run("contain", 0, &both()).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained, "{code}: {contained:?}");
        assert_eq!(cloud.worn(NIC), ["cordon-isolation"], "{code}");
        assert!(contained.reasons.iter().any(|reason| reason.contains("memory has no path")), "{:?}", contained.reasons);
        let conversion = cloud.account().groups[support::CONVERSION].clone();
        assert!(!conversion.ingress.is_empty() && !conversion.tags.contains_key("cordon:retired"), "nothing was stuck in it");
        // What the state machine may do again finds it so, and says nothing else in its records.
        cloud.aws.forget_calls();
        let again = cloud.run("contain", 1, &both()).await.unwrap();
        assert_eq!((again.status, cloud.changes()), (ContainmentStatus::Contained, Vec::new()));
        let moves = cloud.records("intent").into_iter().flat_map(|intent| intent["changes"].as_array().cloned().unwrap());
        let mut ends = moves.filter(|change| change["subject"] == NIC && change["to"]["group"] == "collection");
        assert!(ends.all(|change| change["to"]["otherwise"] == "isolation"), "an intent must name where it may end");
    }
}

#[tokio::test]
async fn a_collection_group_of_another_case_is_set_right_and_its_interfaces_left_alone() {
    let cloud = two().with_collection();
    cloud.account().groups.get_mut(COLLECTION).unwrap().egress = vec!["sg-0dddddddddddddddd".to_owned(), SSM.to_owned()];
    let closed = cloud.run("close-door", 0, &both()).await.unwrap();
    assert_eq!(closed.status, ContainmentStatus::Contained, "{closed:?}");
    assert_eq!(egress(&cloud, "cordon-collection"), ["sg-0dddddddddddddddd", SSM], "whoever is in it may still need it");
}

#[tokio::test]
async fn metadata_that_is_still_being_switched_off_is_looked_at_again_and_in_the_end_it_is_said() {
    let locked = Some(LockdownStatus::LockedDown);
    for (looks, retry, expected) in [(1, 0, None), (9, 3, locked), (0, 0, locked)] {
        let cloud = Cloud::simple().with_collection();
        cloud.run("contain", 0, &capturing(Cloud::plan())).await.unwrap();
        cloud.account().metadata_pending = looks;
        match (cloud.lock_down(retry, &capturing(Cloud::plan())).await, expected) {
            (Ok(locked), Some(status)) => {
                assert_eq!((locked.status, locked.metadata_off), (status, true), "{locked:?}");
                let said = locked.reasons.iter().any(|reason| reason.contains("still being switched off"));
                assert_eq!(said, looks > 0, "{locked:?}");
            }
            (Err(error), None) => {
                assert_eq!(error.fault(), Fault::Transient, "{error}");
                cloud.aws.forget_calls();
                let again = cloud.lock_down(1, &capturing(Cloud::plan())).await.unwrap();
                assert_eq!((again.status, cloud.changes()), (LockdownStatus::LockedDown, Vec::new()), "{again:?}");
            }
            (other, expected) => panic!("{looks} looks: {other:?}, not {expected:?}"),
        }
    }
}

#[tokio::test]
async fn an_instance_that_is_gone_has_nothing_to_lock() {
    let cloud = Cloud::new(&[]);
    cloud.aws.set("ec2:DescribeInstances", Answer::ec2_error(400, "InvalidInstanceID.NotFound", "no"));
    let locked = cloud.lock_down(0, &capturing(Cloud::plan())).await.unwrap();
    assert_eq!((locked.status, cloud.changes()), (LockdownStatus::NothingToLock, Vec::new()), "{locked:?}");
}

#[tokio::test]
async fn metadata_is_switched_off_even_where_the_interfaces_cannot_be_read() {
    let cloud = Cloud::simple().with_collection();
    cloud.aws.set("ec2:DescribeNetworkInterfaces", Answer::ec2_error(503, "RequestLimitExceeded", "no"));
    let error = cloud.lock_down(0, &capturing(Cloud::plan())).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
    assert!(cloud.account().metadata_off, "what can be closed is closed");
    assert_eq!((cloud.records("intent").len(), cloud.records("outcome").len()), (1, 1), "and it is on record");
}

#[tokio::test]
async fn without_a_case_file_only_what_is_on_record_already_is_locked_down() {
    for known in [true, false] {
        let cloud = Cloud::simple().with_collection();
        let mut plan = capturing(Cloud::plan());
        cloud.run("contain", 0, &plan).await.unwrap();
        if !known {
            plan["target"]["metadata"] = Value::Null;
        }
        cloud.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
        let locked = cloud.lock_down(0, &plan).await.unwrap();
        assert_eq!(cloud.worn(NIC), ["cordon-isolation"], "no bookkeeping holds this up");
        assert_eq!(locked.metadata_off, known, "old options that nobody saved are not changed: {locked:?}");
        assert!(locked.reasons.iter().any(|reason| reason.contains("the case file could not be written")), "{locked:?}");
    }
}
