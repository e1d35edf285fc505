//! Target groups and classic load balancers: what is the target's is found, saved and left, and nothing else.

use incident::protection::{MeasureStatus, ProtectionStatus};
use incident::risk::RiskKind;
use serde_json::json;

use crate::support::{ADDRESSES, Cloud, DEREGISTER, Group, INSTANCE, OTHER, VPC, WEB, measure};

#[tokio::test]
async fn every_port_and_every_address_of_the_target_is_left_and_nobody_elses() {
    let cloud = Cloud::new();
    cloud.account().groups = vec![
        Group::new(WEB, "instance", &[(INSTANCE, 80), (INSTANCE, 8080), (INSTANCE, 9090), (OTHER, 8080)]),
        // The second one is in a prefix that is delegated to the target; the last two are other instances'.
        Group::new(
            ADDRESSES,
            "ip",
            &[("10.0.0.9", 443), ("10.0.1.20", 443), ("2001:0db8:0::7", 443), ("10.0.0.8", 443), ("10.0.1.32", 443)],
        ),
    ];
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    let left: Vec<Vec<(String, u16)>> = cloud.account().groups.iter().map(|group| group.targets.clone()).collect();
    let others = |targets: &[(&str, u16)]| targets.iter().map(|(id, port)| ((*id).to_owned(), *port)).collect::<Vec<_>>();
    assert_eq!(left, [others(&[(OTHER, 8080)]), others(&[("10.0.0.8", 443), ("10.0.1.32", 443)])]);
    let saved = cloud.saved("before-balancers.json");
    assert_eq!(saved["targetGroups"].as_array().unwrap().len(), 6, "{saved}");
    assert_eq!(protection.measures.iter().filter(|it| it.subject == WEB).count(), 1, "a target group is one measure");
}

#[tokio::test]
async fn a_target_that_no_balancer_uses_is_registered_still_and_one_that_drains_is_out() {
    let cloud = Cloud::new();
    {
        let mut account = cloud.account();
        account.unused = true;
        account.groups[1].draining = std::mem::take(&mut account.groups[1].targets);
    }
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    assert_eq!(cloud.aws.count(DEREGISTER), 2, "the two ports, and not what drains already");
    assert_eq!(measure(&protection, "targetGroup", WEB).status, MeasureStatus::Held);
}

#[tokio::test]
async fn an_address_of_another_vpc_is_somebody_elses() {
    let cloud = Cloud::new();
    for group in &mut cloud.account().groups {
        group.vpc = "vpc-0bbbbbbbbbbbbbbbb";
    }
    cloud.protect(0).await.unwrap();
    assert!(!cloud.changes().contains(&DEREGISTER.to_owned()), "{VPC} alone is the target's");
    assert_eq!(cloud.aws.count("elasticloadbalancing:DescribeTargetHealth"), 0);
}

#[tokio::test]
async fn a_target_group_that_is_deleted_meanwhile_holds_nothing() {
    let cloud = Cloud::new();
    let gone = || stub::Answer::query_error(400, "TargetGroupNotFound", "it does not exist");
    cloud.aws.set("elasticloadbalancing:DescribeTargetHealth", gone());
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    assert_eq!(cloud.saved("before-balancers.json")["targetGroups"], json!([]));
}

#[tokio::test]
async fn each_balancer_that_the_target_was_behind_is_named_and_what_came_through_it_may_go_on() {
    let front = |kind: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/{kind}/front/1");
    let cloud = Cloud::new();
    {
        let mut account = cloud.account();
        account.groups[0].fronts = vec![front("net"), front("app")];
        account.groups[1].fronts = vec![front("net")];
        // The target is not in this one.
        account.groups[2].fronts = vec![front("gwy")];
    }
    // The second attempt finds it out of all of them already, and says the same.
    for retry in 0..2 {
        let protection = cloud.protect(retry).await.unwrap();
        let flows = protection.risks.iter().filter(|risk| risk.kind == RiskKind::BalancerFlows);
        let flows: Vec<(&str, &str)> = flows.map(|risk| (risk.subject.as_str(), risk.advice.as_str())).collect();
        let subjects: Vec<&str> = flows.iter().map(|(subject, _)| *subject).collect();
        assert_eq!(subjects, [&front("app"), &front("net"), "old"], "attempt {retry}");
        assert!(flows[0].1.contains("draining") && flows[2].1.contains("draining"), "{flows:?}");
        assert!(flows[1].1.contains("stay tracked"), "{flows:?}");
    }
}

#[tokio::test]
async fn a_balancer_that_could_not_be_looked_at_is_a_risk_that_says_so() {
    for (action, said) in [
        ("elasticloadbalancing:DescribeTargetGroups", "target groups could not be listed"),
        ("elasticloadbalancing:DescribeLoadBalancers", "classic load balancers could not be listed"),
    ] {
        let cloud = Cloud::new();
        cloud.aws.set(action, stub::Answer::query_error(403, "AccessDenied", "no"));
        let protection = cloud.protect(0).await.unwrap();
        let told = protection.risks.iter().find(|risk| risk.kind == RiskKind::LoadBalancer && risk.subject.is_empty());
        assert!(
            told.is_some_and(|risk| risk.advice.contains(said) && risk.advice.contains("not every")),
            "{:?}",
            protection.risks
        );
    }
}

#[tokio::test]
async fn a_target_that_still_serves_has_no_flows_to_end() {
    let mut cloud = Cloud::new();
    cloud.account().groups[0].fronts = vec!["arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/net/front/1".to_owned()];
    cloud.plan["cut"] = json!({ "decision": "askFirst", "reasons": ["a tag"] });
    let protection = cloud.protect(0).await.unwrap();
    assert!(!protection.risks.iter().any(|risk| risk.kind == RiskKind::BalancerFlows), "{:?}", protection.risks);
}

#[tokio::test]
async fn of_very_many_registrations_the_first_are_listed_and_all_are_saved_and_left() {
    let cloud = Cloud::new();
    let many = |n: u32| Group::new(&WEB.replace("web", &format!("g{n}")), "instance", &[(INSTANCE, 80)]);
    cloud.account().groups = (0..120).map(many).collect();
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{:?}", protection.reasons);
    assert!(serde_json::to_vec(&protection).unwrap().len() < 30_000);
    assert!(protection.reasons.iter().any(|reason| reason.starts_with("71 more target groups")), "{:?}", protection.reasons);
    assert_eq!(cloud.saved("before-balancers.json")["targetGroups"].as_array().unwrap().len(), 120);
    assert!(cloud.account().groups.iter().all(|group| group.targets.is_empty()));
}

#[tokio::test]
async fn of_more_target_groups_than_can_be_asked_the_rest_is_unseen_and_told() {
    let cloud = Cloud::new();
    let many = |n: u32| Group::new(&WEB.replace("web", &format!("g{n:03}")), "instance", &[(INSTANCE, 80)]);
    cloud.account().groups = (0..510).map(many).collect();
    // Every one of them refuses, which is the longest that the output can be.
    cloud.aws.set(DEREGISTER, stub::Answer::query_error(403, "AccessDenied", &"no ".repeat(400)));
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::PartlyProtected);
    let saved = cloud.saved("before-balancers.json");
    assert_eq!(saved["targetGroups"].as_array().unwrap().len(), 500);
    assert!(saved["unseen"][0].as_str().unwrap().starts_with("10 of 510 target groups"), "{}", saved["unseen"]);
    assert!(protection.risks.iter().any(|it| it.kind == RiskKind::LoadBalancer));
    let size = serde_json::to_vec(&protection).unwrap().len();
    assert!(size < 80_000, "{size} bytes of a payload that must hold the rest of the case too");
    assert!(protection.measures.len() <= 60 && protection.reasons.len() <= 40 && protection.risks.len() <= 40);
}
