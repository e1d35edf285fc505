//! What an operator asks for outside of a case: groups made beforehand, and what is not as it should be.

use incident::sweep::{Prepared, ProblemKind, Swept};
use isolate::Output;
use serde_json::json;
use stub::Answer;

use crate::support::{COLLECTION, CONVERSION, Cloud, ISOLATION, NIC, VPC, VPC2, WEB};

async fn prepared(cloud: &Cloud, vpcs: &[&str]) -> Prepared {
    match cloud.ask(json!({ "mode": "prepare", "vpcs": vpcs })).await.unwrap() {
        Output::Prepared(prepared) => prepared,
        other => panic!("prepare gave {other:?}"),
    }
}

async fn swept(cloud: &Cloud) -> Swept {
    match cloud.ask(json!({ "mode": "sweep" })).await.unwrap() {
        Output::Swept(swept) => swept,
        other => panic!("sweep gave {other:?}"),
    }
}

#[tokio::test]
async fn every_vpc_gets_its_pair_once_and_the_first_incident_then_makes_none() {
    let cloud = Cloud::simple();
    let first = prepared(&cloud, &[]).await;
    assert_eq!(first.vpcs.len(), 2);
    for vpc in &first.vpcs {
        assert!(vpc.isolation.is_some() && vpc.conversion.is_some() && vpc.changed && vpc.reason.is_empty(), "{vpc:?}");
    }
    assert_eq!(cloud.aws.count("ec2:CreateSecurityGroup"), 4);
    let again = prepared(&cloud, &[]).await;
    assert!(again.vpcs.iter().all(|vpc| !vpc.changed), "{again:?}");
    cloud.contain(0).await.unwrap();
    assert_eq!(cloud.aws.count("ec2:CreateSecurityGroup"), 4);
    assert!(cloud.aws.keys().iter().all(|key| !key.contains("prepare")), "no case file is made for it");
}

#[tokio::test]
async fn only_the_vpcs_that_are_named_are_prepared() {
    let cloud = Cloud::simple();
    let prepared = prepared(&cloud, &[VPC2]).await;
    assert_eq!(prepared.vpcs.iter().map(|vpc| vpc.vpc.as_str()).collect::<Vec<_>>(), [VPC2]);
    assert!(cloud.account().groups.values().all(|group| group.vpc == VPC2));
}

#[tokio::test]
async fn a_vpc_whose_isolation_group_cannot_be_had_gets_no_group_that_is_open_to_everybody() {
    let cloud = Cloud::simple();
    cloud.aws.set("ec2:CreateSecurityGroup", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let prepared = prepared(&cloud, &[VPC]).await;
    let [vpc] = prepared.vpcs.as_slice() else { panic!("{prepared:?}") };
    assert!(vpc.isolation.is_none() && vpc.conversion.is_none() && vpc.reason.contains("UnauthorizedOperation"), "{vpc:?}");
    assert_eq!(cloud.aws.count("ec2:CreateSecurityGroup"), 1);
}

#[tokio::test]
async fn a_clean_account_has_no_problems_and_nothing_is_changed_by_looking() {
    let cloud = Cloud::simple();
    prepared(&cloud, &[]).await;
    cloud.contain(0).await.unwrap();
    let before = cloud.aws.mutations().len();
    let swept = swept(&cloud).await;
    assert_eq!((swept.vpcs, swept.groups, swept.interfaces), (2, 4, 1));
    assert_eq!(swept.problems, [], "an interface in its isolation group is no problem");
    assert_eq!(cloud.aws.mutations().len(), before);
}

#[tokio::test]
async fn what_is_open_or_edited_is_found_and_said_with_what_to_run() {
    type Make = fn(&Cloud);
    let cases: [(&str, Make, ProblemKind, &str, &str); 6] = [
        (
            "left in the open group",
            |c| c.account().nics.get_mut(NIC).unwrap().groups = vec![CONVERSION.to_owned()],
            ProblemKind::InConversionGroup,
            NIC,
            "cordon respond",
        ),
        (
            "left in the closed group",
            |c| {
                c.account().nics.get_mut(NIC).unwrap().groups = vec![CONVERSION.to_owned()];
                let mut account = c.account();
                let group = account.groups.get_mut(CONVERSION).unwrap();
                group.ingress.clear();
                group.egress.clear();
            },
            ProblemKind::StuckInterface,
            NIC,
            "by hand",
        ),
        (
            "an isolation group with a rule",
            |c| c.account().groups.get_mut(ISOLATION).unwrap().ingress.push("0.0.0.0/0".to_owned()),
            ProblemKind::EditedGroup,
            ISOLATION,
            "cordon prepare",
        ),
        (
            "a collection group that lets in",
            |c| c.account().groups.get_mut(COLLECTION).unwrap().ingress.push("0.0.0.0/0".to_owned()),
            ProblemKind::EditedGroup,
            COLLECTION,
            "CloudTrail",
        ),
        (
            "the path left open",
            |c| c.account().nics.get_mut(NIC).unwrap().groups = vec![COLLECTION.to_owned()],
            ProblemKind::PathLeftOpen,
            NIC,
            "by hand",
        ),
        ("a VPC without a pair", |c| drop(c.account().groups.remove(ISOLATION)), ProblemKind::Unprepared, VPC, "cordon prepare"),
    ];
    for (name, make, kind, subject, advice) in cases {
        let cloud = Cloud::simple().with_collection();
        prepared(&cloud, &[VPC2]).await;
        make(&cloud);
        let swept = swept(&cloud).await;
        let found = swept.problems.iter().find(|problem| problem.kind == kind && problem.subject == subject);
        assert!(found.is_some_and(|problem| problem.advice.contains(advice)), "{name}: {swept:?}");
    }
}

#[tokio::test]
async fn the_path_of_an_open_case_is_no_problem() {
    let cloud = Cloud::simple().with_collection();
    cloud.account().nics.get_mut(NIC).unwrap().groups = vec![COLLECTION.to_owned()];
    cloud.aws.put_object("open/i-0123456789abcdef0.json", "{}");
    let swept = swept(&cloud).await;
    assert!(!swept.problems.iter().any(|problem| problem.kind == ProblemKind::PathLeftOpen), "{swept:?}");
}

#[tokio::test]
async fn what_cannot_be_looked_at_fails_the_sweep_loudly() {
    for action in ["ec2:DescribeVpcs", "ec2:DescribeSecurityGroups", "ec2:DescribeNetworkInterfaces"] {
        let cloud = Cloud::simple().with_pair();
        cloud.account().nics.get_mut(NIC).unwrap().groups = vec![WEB.to_owned()];
        cloud.aws.set(action, Answer::ec2_error(403, "UnauthorizedOperation", "no"));
        let failed = cloud.ask(json!({ "mode": "sweep" })).await.unwrap_err();
        assert!(failed.to_string().contains(action), "{failed}");
    }
}
