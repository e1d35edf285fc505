//! What a check says, and what it writes.

use incident::release::CheckVerdict;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use super::support::{
    CLAIM, DISK, INCIDENT, INSTANCE, NIC, OTHER, RELEASE, TARGETS, World, case_of, claim, denied, request, throttled,
};

#[tokio::test]
async fn what_cordon_changed_is_planned_in_an_order_that_keeps_the_target_closed_and_the_target_is_claimed() {
    let world = World::contained().await;
    let checked = world.check().await;
    assert_eq!((checked.verdict, checked.reasons.as_slice()), (CheckVerdict::Release, [].as_slice()));
    let expected = [
        "instance metadata".to_owned(),
        format!("connection tracking of {NIC}"),
        format!("groups of {NIC}"),
        format!("{INSTANCE} in {TARGETS}"),
        format!("10.0.0.7 in {TARGETS}"),
        "classic load balancer old".to_owned(),
        "Auto Scaling group web".to_owned(),
        format!("delete on termination of {DISK}"),
        "shutdown behaviour".to_owned(),
        "stop protection".to_owned(),
        "termination protection".to_owned(),
    ];
    assert_eq!(World::planned(&checked), expected);
    let plan = checked.plan.unwrap();
    assert_eq!((&plan.case_id, &plan.restored_from), (&case_of(INCIDENT), &case_of(INCIDENT)));
    assert_eq!((&plan.release_id, plan.reason.as_str(), plan.credentials), (&case_of(RELEASE), "a false alarm", true));
    let lost: Vec<&str> = plan.not_restorable.iter().map(|lost| lost.what.as_str()).collect();
    assert_eq!(lost, ["old connections"]);

    let held: Value = serde_json::from_slice(&world.aws.object(CLAIM).unwrap()).unwrap();
    assert_eq!((&held["caseId"], &held["release"], &held["severity"]), (&json!(case_of(RELEASE)), &json!(true), &json!(0.0)));
    let key = incident::case::key(&plan.release_id, "release.json");
    assert_eq!(serde_json::from_slice::<Value>(&world.aws.object(&key).unwrap()).unwrap(), json!(plan));
    let headers = world.aws.object_headers(&key).unwrap();
    assert_eq!(headers["x-amz-object-lock-mode"], "GOVERNANCE");
    assert!(headers["x-amz-object-lock-retain-until-date"].starts_with("2027-11-24"), "as the case's");
    let puts = world.aws.calls_of("s3:PutObject");
    assert_eq!(puts.len(), 2);
    assert!(puts.iter().all(|put| put.header("if-none-match") == Some("*")), "nobody's claim is overwritten");
    assert!(world.changes().is_empty());
    let verified = world.aws.calls_of("kms:Verify")[0].json();
    assert_eq!(verified["KeyId"], "arn:aws:kms:eu-central-1:111122223333:key/ours", "not the key that the manifest names");
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let world = World::contained().await;
    let checked = world.dry_run().await;
    assert_eq!((checked.verdict, checked.reasons.len()), (CheckVerdict::DryRun, 0));
    assert_eq!(World::planned(&checked).len(), 10, "all but the Auto Scaling group, which nobody asked for");
    assert!(world.aws.mutations().iter().all(|call| call.action == "kms:Verify"), "{:?}", world.aws.actions());

    world.claim(OTHER, false);
    world.now(|account| account.running = true);
    let checked = world.dry_run().await;
    assert_eq!(checked.verdict, CheckVerdict::DryRun);
    assert!(checked.reasons[0].contains("is open") && checked.plan.is_some(), "{checked:?}");
}

#[tokio::test]
async fn a_second_check_is_ours_and_goes_on_with_the_first_ones_plan() {
    let world = World::contained().await;
    let first = world.check().await;
    world.now(|account| account.metadata.endpoint = "enabled".to_owned());
    world.aws.forget_calls();
    let again = world.ask(request(), 1).await.unwrap();
    assert_eq!(again.plan, first.plan);
    assert_eq!(world.aws.count("s3:PutObject"), 1, "the claim is ours already; the plan is put, and the first stays");
}

#[tokio::test]
async fn where_nothing_is_left_the_release_still_goes_through() {
    let world = World::contained().await;
    world.now(|account| *account = super::support::free());
    let checked = world.check().await;
    assert_eq!(
        (checked.verdict, checked.reasons.as_slice()),
        (CheckVerdict::Release, ["nothing is left to restore".to_owned()].as_slice())
    );
    assert_eq!(World::planned(&checked).len(), 0);
}

#[tokio::test]
async fn a_claim_whose_owner_died_is_taken_over_by_its_etag() {
    let world = World::contained().await;
    world.claim(OTHER, false);
    assert_eq!(world.check().await.verdict, CheckVerdict::Release);
    let put = &world.aws.calls_of("s3:PutObject")[0];
    assert!(put.header("if-match").is_some() && put.key.as_deref() == Some(CLAIM), "{put:?}");

    let world = World::contained().await;
    world.claim(OTHER, false);
    world.aws.set("states:DescribeExecution", Answer::json_error(400, "ExecutionDoesNotExist", "long ago"));
    assert_eq!(world.check().await.verdict, CheckVerdict::Release);
}

#[tokio::test]
async fn who_loses_the_race_for_the_claim_looks_again_and_finds_the_other() {
    let world = World::contained().await;
    world.aws.push("s3:PutObject", Answer::s3_error(412, "PreconditionFailed", "somebody was faster"));
    let error = world.ask(request(), 0).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
    world.claim(OTHER, false);
    world.now(|account| account.running = true);
    assert_eq!(world.ask(request(), 1).await.unwrap().verdict, CheckVerdict::Refused);
    assert_eq!(world.aws.object(CLAIM).unwrap(), claim(OTHER, false).into_bytes());
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_ours() {
    let world = World::contained().await;
    world.aws.push("s3:PutObject", Answer::bucket_then_lost());
    assert_eq!(world.ask(request(), 0).await.unwrap_err().fault(), Fault::Transient);
    assert_eq!(world.ask(request(), 1).await.unwrap().verdict, CheckVerdict::Release);
}

#[tokio::test]
async fn what_is_no_request_is_invalid_and_names_the_field() {
    let world = World::contained().await;
    for (request, field) in [
        (json!({"reason": "x"}), "caseId"),
        (json!({"caseId": "../open/x", "reason": "x"}), "caseId"),
        (json!({"caseId": case_of(INCIDENT), "reason": ["x"]}), "reason"),
        (json!({"caseId": case_of(INCIDENT), "reason": "x", "groups": ["sg-1"]}), "groups"),
        (json!(["x"]), "caseId"),
    ] {
        let error = world.ask(request, 0).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Invalid);
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    }
    assert!(world.aws.calls().is_empty());
}

#[tokio::test]
async fn what_is_throttled_fails_as_transient_and_the_retry_goes_through() {
    for action in [
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:DescribeSecurityGroups",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeAutoScalingGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeLoadBalancers",
        "kms:Verify",
        "s3:GetObject",
        "s3:ListObjectVersions",
        "s3:PutObject",
    ] {
        let world = World::contained().await;
        world.aws.push(action, throttled(action));
        let error = world.ask(request(), 0).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action}: {error}");
        assert_eq!(world.ask(request(), 1).await.unwrap().verdict, CheckVerdict::Release, "{action}");
    }
}

#[tokio::test]
async fn a_source_that_is_denied_costs_only_what_it_tells() {
    for (action, what) in [
        ("ec2:DescribeInstanceAttribute", "termination protection"),
        ("autoscaling:DescribeAutoScalingInstances", "Auto Scaling group web"),
        ("autoscaling:DescribeAutoScalingGroups", "Auto Scaling group web"),
        ("elasticloadbalancing:DescribeTargetHealth", TARGETS),
        ("elasticloadbalancing:DescribeLoadBalancers", "classic load balancer old"),
    ] {
        let world = World::contained().await;
        world.deny(action);
        let checked = world.check().await;
        assert_eq!(checked.verdict, CheckVerdict::Release, "{action}");
        let plan = checked.plan.unwrap();
        assert!(plan.restore.iter().any(|restore| restore.subject() == format!("groups of {NIC}")), "{action}");
        assert!(!plan.restore.iter().any(|restore| restore.subject().contains(what)), "{action}");
        let lost = plan.not_restorable.iter().find(|lost| lost.what.contains(what)).unwrap();
        assert!(lost.reason.contains("AccessDenied"), "{action}: {lost:?}");
    }
    // What the release cannot do without is a refusal.
    for action in ["ec2:DescribeInstances", "ec2:DescribeSecurityGroups", "kms:Verify", "s3:GetObject", "s3:ListObjectVersions"] {
        let world = World::contained().await;
        world.aws.set(action, denied(action));
        let checked = world.check().await;
        assert_eq!(checked.verdict, CheckVerdict::Refused, "{action}");
        assert!(checked.reasons.iter().any(|reason| reason.contains("AccessDenied")), "{action}: {:?}", checked.reasons);
    }
}

#[tokio::test]
async fn a_lock_that_has_ended_by_now_is_as_long_again() {
    let mut case = super::support::case(INCIDENT);
    case.objects.get_mut("plan.json").unwrap()["retention"]["until"] = json!("2026-11-25T03:30:00Z");
    let world = World::of(vec![case]).await;
    let plan = world.check().await.plan.unwrap();
    assert_eq!(plan.retention.until.to_string(), "2026-11-26T08:00:00Z", "S3 refuses a lock that ends before it begins");
}

#[tokio::test]
async fn a_bucket_in_many_pages_is_read_to_its_end() {
    let World { aws, account, plan, clients } = World::contained().await;
    let world = World { aws: aws.page_size(2), account, plan, clients };
    assert_eq!(world.check().await.verdict, CheckVerdict::Release);
}
