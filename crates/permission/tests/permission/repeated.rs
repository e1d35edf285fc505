//! Answers that come again, get lost, or come too late.

use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;

use crate::support::{ALICE, answer, approvals, asking, resending, run, told, woken};

#[tokio::test]
async fn the_same_answer_again_goes_on_where_the_first_attempt_ended_and_another_one_does_not_count() {
    let aws = asking(1, &json!([])).await;
    aws.push("states:SendTaskSuccess", Answer::json_error(400, "ThrottlingException", "slow down"));
    assert_eq!(run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err().fault(), Fault::Transient);
    let again = run(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    assert_eq!((again["status"].as_str(), again["repeated"].as_bool()), (Some("approved"), Some(true)));
    assert_eq!(approvals(&aws).len(), 1);
    let other = run(&aws, &answer(ALICE, &json!({"because": "other words"}))).await.unwrap_err();
    assert!(other.to_string().contains("first answer stands"), "{other}");
}

#[tokio::test]
async fn an_execution_that_waits_no_more_is_not_said_to_be_woken() {
    for code in ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"] {
        let aws = asking(1, &json!([])).await;
        aws.set("states:SendTaskSuccess", Answer::json_error(400, code, "no"));
        let error = run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err();
        assert!(error.fault() == Fault::Refused && error.to_string().contains("does not wait"), "{error}");
        assert_eq!((approvals(&aws).len(), told(&aws).len()), (1, 1), "it was written down, and people hear that it is over");
    }
}

#[tokio::test]
async fn an_answer_whose_writing_got_lost_on_the_way_is_written_once_and_counts() {
    let aws = asking(1, &json!([])).await;
    aws.push("s3:PutObject", Answer::bucket_then_lost());
    let taken = resending(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    assert_eq!((taken["status"].as_str(), approvals(&aws).len(), woken(&aws).len()), (Some("approved"), 1, 1));

    // Where the SDK gives up too, the caller tries again, at another time.
    let aws = asking(1, &json!([])).await;
    aws.push("s3:PutObject", Answer::bucket_then_lost());
    let error = run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err();
    assert_eq!((error.fault(), woken(&aws).len(), told(&aws).len()), (Fault::Transient, 0, 0), "{error}");
    let taken = run(&aws, &answer(ALICE, &json!({}))).await.unwrap();
    assert_eq!((taken["status"].as_str(), taken["repeated"].as_bool()), (Some("approved"), Some(true)));
    assert_eq!((approvals(&aws).len(), woken(&aws).len()), (1, 1));
}

#[tokio::test]
async fn what_aws_cannot_do_just_now_refuses_nobody() {
    for (action, failure) in [
        ("sts:GetCallerIdentity", Answer::query_error(400, "Throttling", "slow down")),
        ("sts:GetCallerIdentity", Answer::query_error(500, "InternalFailure", "sorry")),
        ("sts:GetCallerIdentity", Answer::lost()),
        ("s3:GetObject", Answer::s3_error(503, "SlowDown", "slow down")),
        ("s3:PutObject", Answer::s3_error(503, "SlowDown", "slow down")),
        ("s3:ListObjectsV2", Answer::s3_error(503, "SlowDown", "slow down")),
        ("states:SendTaskSuccess", Answer::lost()),
    ] {
        let aws = asking(1, &json!([])).await;
        aws.push(action, failure);
        let error = run(&aws, &answer(ALICE, &json!({}))).await.unwrap_err();
        assert_eq!((error.fault(), told(&aws).len()), (Fault::Transient, 0), "{action}: {error}");
        assert!(!aws.keys().iter().any(|key| key.contains("-Permission-")), "{action}: nothing was refused");
        assert_eq!(run(&aws, &answer(ALICE, &json!({}))).await.unwrap()["status"], "approved", "{action}");
        assert_eq!(approvals(&aws).len(), 1, "{action}");
    }
}
