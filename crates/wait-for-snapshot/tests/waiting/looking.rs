//! What the state asks for: the token kept, one look, and the end of the wait where there is nothing to wait for.

use incident::evidence::LookStatus;
use incident::progress::Progress;
use incident::{Classify as _, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::{CASE, LOOK, ONE, TWO, WAKE, aws, completed, described, pending, run, wait, woken};

#[tokio::test]
async fn a_look_says_what_ec2_says_and_ends_the_wait_where_nothing_is_pending() {
    let cases = [
        (vec![(ONE, "completed", "100%"), (TWO, "completed", "100%")], 10, LookStatus::Completed, 100, vec![]),
        (vec![(ONE, "completed", "100%"), (TWO, "pending", "40%")], 10, LookStatus::Pending, 40, vec![]),
        (vec![(ONE, "completed", "100%"), (TWO, "error", "12%")], 10, LookStatus::Incomplete, 12, vec!["failed"]),
        (vec![(ONE, "completed", "100%"), (TWO, "recoverable", "100%")], 10, LookStatus::Incomplete, 99, vec!["recycle bin"]),
        (vec![(ONE, "completed", "100%")], 10, LookStatus::Incomplete, 0, vec!["does not exist"]),
        // What was begun minutes ago EC2 may not show yet.
        (vec![(ONE, "completed", "100%")], 4, LookStatus::Pending, 0, vec![]),
        (vec![], 4, LookStatus::Pending, 0, vec![]),
        (vec![], 6, LookStatus::Incomplete, 0, vec!["does not exist", "does not exist"]),
        (vec![(ONE, "pending", "10%"), (TWO, "pending", "60%")], 121, LookStatus::Incomplete, 10, vec!["deadline", "deadline"]),
        (vec![(ONE, "pending", ""), (TWO, "pending", "n/a")], 1, LookStatus::Pending, 0, vec![]),
    ];
    for (snapshots, minutes, status, percent, missing) in cases {
        let aws = aws(described(&snapshots));
        run(&aws, &wait(&[ONE, TWO], minutes, 1)).await.unwrap();
        let woken = woken(&aws);
        assert_eq!(woken.len(), usize::from(status != LookStatus::Pending), "{snapshots:?}");
        if let Some((token, seen)) = woken.first() {
            assert_eq!(
                (token.as_str(), seen.status, seen.percent),
                (format!("token-{minutes}").as_str(), status, percent),
                "{snapshots:?}"
            );
            assert_eq!(seen.missing.len(), missing.len(), "{snapshots:?}: {seen:?}");
            for (missing, says) in seen.missing.iter().zip(missing) {
                assert!(missing.reason.contains(says), "{snapshots:?}: {missing:?}");
            }
        }
        assert_eq!(aws.count(LOOK), 1, "a look costs one call");
        let said = aws.object(&format!("work/{CASE}/progress/snapshots.json")).unwrap();
        let said: Progress = serde_json::from_slice(&said).unwrap();
        assert_eq!((said.percent, said.ended), (percent, status != LookStatus::Pending), "{snapshots:?}: {said:?}");
    }
}

#[tokio::test]
async fn where_nobody_knows_when_a_snapshot_was_begun_the_case_s_beginning_counts() {
    for (minutes, pending) in [(3, true), (5, false)] {
        let aws = aws(described(&[]));
        let mut input = wait(&[ONE], minutes, 0);
        input["freeze"]["snapshots"][0]["startedAt"] = Value::Null;
        run(&aws, &input).await.unwrap();
        assert_eq!(woken(&aws).is_empty(), pending, "the case began 1 minute before, {minutes} minutes ago");
    }
}

#[tokio::test]
async fn the_token_is_kept_before_the_look_and_nowhere_but_where_it_belongs() {
    let aws = aws(pending());
    run(&aws, &wait(&[ONE, TWO], 0, 0)).await.unwrap();
    let order: Vec<String> =
        aws.calls().iter().map(|call| format!("{} {}", call.action, call.key.clone().unwrap_or_default())).collect();
    let at = |what: &str| order.iter().position(|call| *call == what).unwrap_or_else(|| panic!("{what} is not in {order:?}"));
    for snapshot in [ONE, TWO] {
        assert!(
            at(&format!("s3:PutObject waiting/{snapshot}.json")) < at(&format!("s3:PutObject waiting/{CASE}.json")),
            "{order:?}"
        );
    }
    assert!(at(&format!("s3:PutObject waiting/{CASE}.json")) < at(&format!("{LOOK} ")), "{order:?}");
    let holding = |key: &String| String::from_utf8_lossy(&aws.object(key).unwrap()).contains("token-0");
    assert_eq!(aws.keys().into_iter().filter(holding).collect::<Vec<_>>(), [format!("waiting/{CASE}.json")]);

    aws.forget_calls();
    run(&aws, &wait(&[ONE, TWO], 5, 1)).await.unwrap();
    assert!(
        !aws.calls().iter().any(|call| call.key.as_deref() == Some(&format!("waiting/{ONE}.json"))),
        "whose a snapshot is stays so"
    );
}

#[tokio::test]
async fn a_newer_token_replaces_an_older_one_and_never_the_other_way_round() {
    let aws = aws(pending());
    let token =
        || serde_json::from_slice::<Value>(&aws.object(&format!("waiting/{CASE}.json")).unwrap()).unwrap()["token"].clone();
    for (minutes, retry, given, kept) in
        [(0, 0, "a", "a"), (5, 1, "c", "c"), (5, 0, "b", "c"), (0, 3, "d", "c"), (45, 0, "e", "e")]
    {
        let mut input = wait(&[ONE, TWO], minutes, 0);
        input["token"] = json!(given);
        input["visit"]["retry"] = json!(retry);
        run(&aws, &input).await.unwrap();
        assert_eq!(token(), kept, "after {given}");
    }
}

#[tokio::test]
async fn nothing_to_look_at_asks_ec2_nothing() {
    // No ids would mean every snapshot of the Region.
    let aws = aws(completed());
    run(&aws, &wait(&[], 10, 0)).await.unwrap();
    assert_eq!((aws.count(LOOK), woken(&aws)[0].1.status), (0, LookStatus::Completed));
}

#[tokio::test]
async fn an_execution_that_an_event_has_woken_meanwhile_is_not_woken_again() {
    for code in ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"] {
        let aws = aws(completed());
        aws.set(WAKE, Answer::json_error(400, code, "no"));
        assert_eq!(run(&aws, &wait(&[ONE, TWO], 0, 0)).await.unwrap()["woken"], false, "{code}");
    }
}

#[tokio::test]
async fn what_aws_refuses_is_told_apart() {
    let cases = [
        (LOOK, Answer::ec2_error(503, "RequestLimitExceeded", "no"), Fault::Transient),
        (LOOK, Answer::ec2_error(500, "InternalError", "no"), Fault::Transient),
        (LOOK, Answer::ec2_error(403, "UnauthorizedOperation", "no"), Fault::Denied),
        ("s3:PutObject", Answer::s3_error(503, "SlowDown", "no"), Fault::Transient),
        ("s3:GetObject", Answer::s3_error(403, "AccessDenied", "no"), Fault::Denied),
        (WAKE, Answer::json_error(400, "ThrottlingException", "no"), Fault::Transient),
        (WAKE, Answer::json_error(400, "AccessDeniedException", "no"), Fault::Denied),
    ];
    for (action, answer, fault) in cases {
        let aws = aws(completed());
        aws.push(action, answer);
        let error = run(&aws, &wait(&[ONE, TWO], 0, 0)).await.unwrap_err();
        assert_eq!(error.fault(), fault, "{action}: {error}");
        assert!(error.to_string().contains(action), "the message must name the call: {error}");
        let mut again = wait(&[ONE, TWO], 0, 0);
        again["visit"]["retry"] = json!(1);
        assert_eq!(run(&aws, &again).await.unwrap()["woken"], true, "{action}: tried again");
    }
}
