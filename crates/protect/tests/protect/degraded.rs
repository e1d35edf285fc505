//! What AWS refuses, does not offer or is too busy for costs itself alone, and is told.

use incident::protection::{MeasureStatus, ProtectionStatus};
use incident::risk::RiskKind;
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;

use crate::support::{CASE, CLASSIC, Cloud, DATA, DEREGISTER, DETACH, MODIFY, ROOT, WEB, measure, open};

#[tokio::test]
async fn nothing_is_changed_before_triage_has_saved_what_was() {
    let cloud = Cloud::new();
    cloud.aws.set_fn("s3:GetObject", |call| {
        assert!(call.path.ends_with(&format!("{CASE}/before.json")));
        Answer::s3_error(404, "NoSuchKey", "there is none")
    });
    assert_eq!(cloud.protect(0).await.unwrap_err().fault(), Fault::Refused);
    assert_eq!(cloud.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_change_that_is_denied_costs_itself_alone() {
    for (action, kind, subject, risk) in [
        (MODIFY, "terminationProtection", "", RiskKind::Unprotected),
        (DETACH, "autoScalingGroup", "web", RiskKind::AutoScaling),
        (DEREGISTER, "targetGroup", WEB, RiskKind::LoadBalancer),
        (CLASSIC, "classicBalancer", "old", RiskKind::LoadBalancer),
    ] {
        let cloud = Cloud::new();
        let denied = if action == MODIFY {
            Answer::ec2_error(403, "UnauthorizedOperation", "no")
        } else {
            Answer::query_error(403, "AccessDenied", "no")
        };
        cloud.aws.set(action, denied);
        let protection = cloud.protect(0).await.unwrap();
        assert_eq!(protection.status, ProtectionStatus::PartlyProtected, "{action}");
        let it = measure(&protection, kind, subject);
        assert_eq!(it.status, MeasureStatus::NotHeld, "{action}");
        assert!(it.reason.contains("no"), "{action}: {}", it.reason);
        assert!(protection.risks.iter().any(|it| it.kind == risk), "{action}: {:?}", protection.risks);
        let failed = cloud.recorded("outcome").into_iter().filter(|change| change["result"]["status"] == "failed");
        assert!(failed.count() > 0, "{action}: the refusal is on record");
    }
}

/// What is denied, the attribute that it concerns, the measures that nobody knows then, and how many others are held.
type Denied = (&'static str, &'static str, &'static [(&'static str, &'static str)], usize);

#[tokio::test]
async fn a_look_that_is_denied_costs_its_own_source_alone() {
    let health = "elasticloadbalancing:DescribeTargetHealth";
    let cases: [Denied; 8] = [
        ("ec2:DescribeInstances", "", &[("keepVolume", ROOT), ("keepVolume", DATA), ("targetGroup", "")], 6),
        ("ec2:DescribeInstanceAttribute", "disableApiTermination", &[("terminationProtection", "")], 8),
        ("ec2:DescribeInstanceAttribute", "disableApiStop", &[("stopProtection", "")], 8),
        ("ec2:DescribeInstanceAttribute", "instanceInitiatedShutdownBehavior", &[("shutdownBehavior", "")], 8),
        ("autoscaling:DescribeAutoScalingInstances", "", &[("autoScalingGroup", "")], 8),
        ("elasticloadbalancing:DescribeTargetGroups", "", &[("targetGroup", "")], 7),
        (health, "", &[("targetGroup", "")], 7),
        ("elasticloadbalancing:DescribeLoadBalancers", "", &[("targetGroup", "")], 8),
    ];
    for (action, attribute, unknown, held) in cases {
        let cloud = Cloud::new();
        let account = cloud.shared();
        cloud.aws.set_fn(action, move |call| match action.split_once(':').unwrap().0 {
            "ec2" if attribute.is_empty() || call.param("Attribute") == Some(attribute) => {
                Answer::ec2_error(403, "UnauthorizedOperation", "no")
            }
            "ec2" => account.lock().unwrap().answer(call),
            _ => Answer::query_error(403, "AccessDenied", "no"),
        });
        let protection = cloud.protect(0).await.unwrap();
        assert_eq!(protection.status, ProtectionStatus::PartlyProtected, "{action} {attribute}: {protection:?}");
        let (mut wanting, mut risks) = (Vec::new(), 0);
        for (kind, subject) in unknown {
            let it = measure(&protection, kind, subject);
            assert_eq!(it.status, MeasureStatus::Unknown, "{action} {attribute}: {it:?}");
            wanting.push(it.clone());
            risks += 1;
        }
        let others = protection.measures.iter().filter(|it| !wanting.contains(it));
        assert!(others.clone().all(|it| it.status == MeasureStatus::Held), "{action} {attribute}: {protection:?}");
        assert_eq!(others.count(), held, "{action} {attribute}: {protection:?}");
        assert_eq!(open(&protection).len(), risks, "{action} {attribute}: {:?}", protection.risks);
        assert!(protection.reasons.iter().any(|reason| reason.contains("failed with")), "{action}: {:?}", protection.reasons);
    }
}

#[tokio::test]
async fn what_the_first_attempt_could_not_read_stays_as_it_is_also_when_it_can_be_read_later() {
    let cloud = Cloud::new();
    for _ in 0..3 {
        cloud.aws.push("ec2:DescribeInstanceAttribute", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    }
    cloud.aws.push("autoscaling:DescribeAutoScalingInstances", Answer::query_error(403, "AccessDenied", "no"));
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(cloud.saved("before-protections.json")["terminationProtection"], json!(null));
    assert_eq!(measure(&protection, "terminationProtection", "").status, MeasureStatus::NotHeld, "it could be read back");
    cloud.aws.forget_calls();
    let again = cloud.protect(1).await.unwrap();
    assert_eq!(cloud.changes(), Vec::<String>::new(), "its old value is not on record");
    for (kind, subject, risk) in
        [("terminationProtection", "", RiskKind::Unprotected), ("autoScalingGroup", "web", RiskKind::AutoScaling)]
    {
        let it = measure(&again, kind, subject);
        assert!(it.status == MeasureStatus::NotHeld && it.reason.contains("saved"), "{it:?}");
        assert!(again.risks.iter().any(|it| it.kind == risk), "{:?}", again.risks);
    }
    let forgone = cloud.recorded("outcome").into_iter().filter(|change| change["result"]["fault"] == "Refused").count();
    assert_eq!(forgone, 4, "what was announced and then not made is on record as that");
}

#[tokio::test]
async fn throttled_it_fails_as_transient_and_the_retry_completes_what_is_left() {
    for action in [
        MODIFY,
        DETACH,
        DEREGISTER,
        CLASSIC,
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "autoscaling:DescribeAutoScalingInstances",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeLoadBalancers",
    ] {
        let cloud = Cloud::new();
        for _ in 0..8 {
            let busy = if action.starts_with("ec2:") {
                Answer::ec2_error(503, "RequestLimitExceeded", "slow down")
            } else {
                Answer::query_error(400, "Throttling", "slow down")
            };
            cloud.aws.push(action, busy);
        }
        assert_eq!(cloud.protect(0).await.unwrap_err().fault(), Fault::Transient, "{action}");
        while cloud.aws.unused().iter().any(|left| left.contains(action)) && cloud.protect(1).await.is_err() {}
        let protection = cloud.protect(2).await.unwrap();
        assert_eq!(protection.status, ProtectionStatus::Protected, "{action}: {protection:?}");
        assert_eq!(cloud.saved("before-protections.json")["terminationProtection"], false, "{action}");
    }
}

#[tokio::test]
async fn after_the_last_attempt_it_says_what_was_read_back() {
    let cloud = Cloud::new();
    cloud.aws.set(DETACH, Answer::query_error(400, "Throttling", "slow down"));
    let protection = cloud.protect(10).await.unwrap();
    assert_eq!(measure(&protection, "autoScalingGroup", "web").status, MeasureStatus::NotHeld);
    assert_eq!(protection.status, ProtectionStatus::PartlyProtected);
}

#[tokio::test]
async fn a_spot_instance_takes_what_ec2_offers_and_that_is_no_failure() {
    for by_plan in [false, true] {
        let mut cloud = Cloud::new();
        cloud.account().spot = !by_plan;
        cloud.plan["target"]["spot"] = json!(by_plan);
        let protection = cloud.protect(0).await.unwrap();
        assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
        assert_eq!(measure(&protection, "terminationProtection", "").status, MeasureStatus::NotOffered);
        assert_eq!(open(&protection), [RiskKind::SpotInterruption]);
        assert!(cloud.account().stop && cloud.account().lifecycle.is_none());
        let asked = cloud.aws.calls_of(MODIFY).iter().any(|call| call.param("DisableApiTermination.Value").is_some());
        assert!(!asked, "what is refused anyway is not asked for");
    }
}

#[tokio::test]
async fn what_ec2_does_not_offer_is_no_failure_and_a_risk() {
    let cloud = Cloud::new();
    let account = cloud.shared();
    cloud.aws.set_fn(MODIFY, move |call| match call.param("DisableApiStop.Value") {
        Some(_) => Answer::ec2_error(400, "UnsupportedOperation", "not for this one"),
        None => account.lock().unwrap().answer(call),
    });
    let protection = cloud.protect(0).await.unwrap();
    let it = measure(&protection, "stopProtection", "");
    assert!(it.status == MeasureStatus::NotOffered && it.reason.contains("not for this one"), "{it:?}");
    assert_eq!(protection.status, ProtectionStatus::Protected);
    assert!(protection.risks.iter().any(|it| it.kind == RiskKind::Unprotected && it.advice.contains("stop protection")));
}

#[tokio::test]
async fn where_the_cut_is_withheld_it_is_protected_but_stays_in_service() {
    let mut cloud = Cloud::new();
    cloud.plan["cut"] = json!({ "decision": "askFirst", "reasons": ["it is tagged as protected"] });
    let protection = cloud.protect(0).await.unwrap();
    assert_eq!(protection.status, ProtectionStatus::Protected, "{protection:?}");
    assert!(cloud.changes().iter().all(|action| action == MODIFY), "{:?}", cloud.changes());
    for (kind, subject) in [("autoScalingGroup", "web"), ("targetGroup", WEB), ("classicBalancer", "old")] {
        let it = measure(&protection, kind, subject);
        assert!(it.status == MeasureStatus::Withheld && it.reason.contains("tagged as protected"), "{it:?}");
    }
    assert!(protection.risks.is_empty() && protection.reasons.is_empty(), "{protection:?}");
    assert_eq!(cloud.saved("before-balancers.json")["classic"], json!(["old"]), "it was looked at");
}

#[tokio::test]
async fn a_member_that_cannot_be_detached_safely_stays_and_is_told() {
    for lifecycle in ["Standby", "Pending", "Terminating:Wait"] {
        let cloud = Cloud::new();
        cloud.account().lifecycle = Some(lifecycle);
        let protection = cloud.protect(0).await.unwrap();
        assert!(!cloud.changes().contains(&DETACH.to_owned()), "{lifecycle}");
        let it = measure(&protection, "autoScalingGroup", "web");
        assert!(it.status == MeasureStatus::NotHeld && it.reason.contains(lifecycle), "{it:?}");
        assert!(protection.risks.iter().any(|it| it.kind == RiskKind::AutoScaling && it.subject == "web"));
    }
}
