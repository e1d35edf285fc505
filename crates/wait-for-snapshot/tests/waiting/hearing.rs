//! Events: they wake who waits, once, with what EC2 says; what is none of ours, comes twice or too late does nothing.

use incident::evidence::LookStatus;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::{CASE, LOOK, ONE, TWO, WAKE, completed, described, event, run, single, wait, waiting, woken};

#[tokio::test]
async fn the_event_of_a_set_wakes_who_waits_with_what_ec2_says() {
    let aws = waiting().await;
    aws.set(LOOK, completed());
    let said = run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap();
    assert_eq!(said["woken"], true);
    let (token, seen) = &woken(&aws)[0];
    assert_eq!((token.as_str(), seen.status, seen.snapshots.len()), ("token-0", LookStatus::Completed, 2));
    assert_eq!((aws.count(LOOK), aws.count("s3:ListObjectsV2")), (1, 0), "one look, and nothing is listed");
    assert!(!said.to_string().contains("token"), "no token in a log: {said}");
}

#[tokio::test]
async fn what_an_event_says_of_a_snapshot_is_not_believed() {
    let aws = waiting().await;
    aws.set(LOOK, described(&[(ONE, "error", "10%"), (TWO, "error", "10%")]));
    run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap();
    assert_eq!(woken(&aws)[0].1.status, LookStatus::Incomplete, "EC2 says that they failed");

    let aws = waiting().await;
    aws.set(LOOK, completed());
    run(&aws, &event(&[ONE, TWO], "error")).await.unwrap();
    assert_eq!(woken(&aws)[0].1.status, LookStatus::Completed, "EC2 says that they are completed");
}

#[tokio::test]
async fn an_event_that_is_ahead_of_ec2_is_brought_again() {
    let aws = waiting().await;
    let error = run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap_err();
    assert_eq!((error.fault(), woken(&aws).len()), (Fault::Transient, 0), "{error}");
    assert!(error.to_string().contains(ONE), "{error}");
    aws.set(LOOK, completed());
    assert_eq!(run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap()["woken"], true);
}

#[tokio::test]
async fn of_snapshots_that_were_taken_one_by_one_the_last_one_wakes() {
    let aws = waiting().await;
    aws.set(LOOK, described(&[(ONE, "completed", "100%"), (TWO, "pending", "60%")]));
    assert_eq!(run(&aws, &single(ONE)).await.unwrap()["woken"], false);
    aws.set(LOOK, completed());
    assert_eq!(run(&aws, &single(TWO)).await.unwrap()["woken"], true);
    assert_eq!(woken(&aws).len(), 1);
}

#[tokio::test]
async fn an_event_that_comes_twice_or_too_late_does_nothing_and_fails_nothing() {
    for code in ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"] {
        let aws = waiting().await;
        aws.set(LOOK, completed());
        aws.set(WAKE, Answer::json_error(400, code, "no"));
        let said = run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap();
        assert_eq!(said["woken"], false, "{code}");
        assert_eq!(
            aws.mutations()
                .iter()
                .filter(|call| call.key.as_deref() != Some(&format!("work/{CASE}/progress/snapshots.json")))
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_ours_costs_one_read_and_no_call_to_ec2() {
    let aws = waiting().await;
    let said = run(&aws, &event(&["snap-0fffffffffffffff1", "snap-0fffffffffffffff2"], "completed")).await.unwrap();
    assert!(said.to_string().contains("nobody waits"), "{said}");
    let calls: Vec<_> = aws.calls().iter().map(|call| (call.action.clone(), call.key.clone().unwrap_or_default())).collect();
    assert_eq!(calls, [("s3:GetObject".to_owned(), "waiting/snap-0fffffffffffffff1.json".to_owned())]);
}

#[tokio::test]
async fn a_forged_event_does_nothing_at_all() {
    let forged = |pointer: &str, value: Value| {
        let mut event = event(&[ONE, TWO], "completed");
        *event.pointer_mut(pointer).unwrap() = value;
        event
    };
    for event in [
        forged("/source", json!("cordon.drill")),
        forged("/detail-type", json!("EBS Volume Notification")),
        forged("/detail/event", json!("deleteSnapshot")),
        forged("/detail/snapshots", json!([{"snapshot_id": "arn:aws:ec2::eu-central-1:snapshot/../i-1"}])),
        json!({"detail-type": 7}),
    ] {
        let aws = waiting().await;
        aws.set(LOOK, completed());
        run(&aws, &event).await.unwrap();
        assert_eq!(aws.calls().len(), 0, "{event}");
    }
}

#[tokio::test]
async fn an_event_between_the_name_and_the_token_is_made_up_for_by_the_look_after_it() {
    let aws = waiting().await;
    let key = format!("waiting/{CASE}.json");
    aws.fetch("DELETE", &format!("https://evidence.s3.eu-central-1.amazonaws.com/{key}"), b"");
    assert_eq!(aws.object(&key), None);
    aws.forget_calls();
    aws.set(LOOK, completed());
    assert!(run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap().to_string().contains("nobody waits"));
    assert_eq!(run(&aws, &wait(&[ONE, TWO], 0, 0)).await.unwrap()["woken"], true);
}

#[tokio::test]
async fn who_waits_in_another_version_s_way_is_left_to_its_own_looks() {
    for other in [json!({"schema": "cordon.waiting.v0", "more": true}), json!(7)] {
        let aws = waiting().await;
        aws.set(LOOK, completed());
        aws.put_object_in("evidence", &format!("waiting/{CASE}.json"), other.to_string());
        run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap();
        assert_eq!((aws.count(LOOK), aws.count(WAKE)), (0, 0));
    }
}

#[tokio::test]
async fn what_aws_cannot_do_just_now_is_tried_again() {
    let cases = [
        ("s3:GetObject", Answer::s3_error(503, "SlowDown", "no")),
        (LOOK, Answer::ec2_error(503, "RequestLimitExceeded", "no")),
        (WAKE, Answer::json_error(400, "ThrottlingException", "no")),
        (WAKE, Answer::lost()),
    ];
    for (action, answer) in cases {
        let aws = waiting().await;
        aws.set(LOOK, completed());
        aws.push(action, answer);
        let error = run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action}: {error}");
        assert_eq!(run(&aws, &event(&[ONE, TWO], "completed")).await.unwrap()["woken"], true, "{action}");
    }
}
