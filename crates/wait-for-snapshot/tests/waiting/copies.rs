//! The wait for copies: what is under way is waited for, until the copies' deadline, and told as such.

use incident::evidence::LookStatus;
use incident::progress::{Progress, Stage};
use serde_json::{Value, json};

use crate::support::{CASE, LOOK, ONE, TWO, WAKE, aws, described, run, single, wait, woken};

const COPY: &str = "snap-00000000000000c01";
const DONE: &str = "snap-00000000000000c02";

/// The wait for the one copy that is under way; the copies' deadline is after 180 minutes, an hour later than the snapshots'.
fn waiting(minutes: u32) -> Value {
    let mut input = wait(&[ONE, TWO], minutes, 0);
    let copy = |id: &str, of: &str, state: &str| {
        json!({"snapshotId": id, "of": of, "volumeId": of.replace("snap", "vol"), "begun": "2026-11-24T04:00:00Z", "state": state, "percent": 0, "key": null,
            "lock": {"status": "locked", "mode": "governance", "days": 30}, "sharedWith": []})
    };
    input["visit"]["state"] = json!("WaitForCopy");
    input["plan"]["copies"] = json!({"shareWith": ["444455556666"], "until": "2026-11-24T06:00:00Z"});
    input["copies"] = json!({"status": "copying", "since": "2026-11-24T04:00:00Z", "pauseSeconds": 300, "missing": [], "failure": null,
        "copies": [copy(COPY, ONE, "pending"), copy(DONE, TWO, "completed")]});
    input
}

fn event(snapshot: &str) -> Value {
    let mut event = single(snapshot);
    event["detail"]["event"] = json!("copySnapshot");
    event
}

#[tokio::test]
async fn the_copies_under_way_are_waited_for_until_ebs_says_that_they_have_ended() {
    let aws = aws(described(&[(COPY, "pending", "10%")]));
    run(&aws, &waiting(130)).await.unwrap();
    assert_eq!(woken(&aws), [], "it is past the snapshots' deadline, and not past the copies'");
    let said: Progress = serde_json::from_slice(&aws.object(&format!("work/{CASE}/progress/copies.json")).unwrap()).unwrap();
    assert_eq!(
        (said.stage, said.percent, said.ended, said.since.to_string().as_str()),
        (Stage::Copies, 10, false, "2026-11-24T04:00:00Z")
    );

    aws.set(LOOK, described(&[(COPY, "completed", "100%")]));
    for other in [ONE, TWO, DONE] {
        run(&aws, &event(other)).await.unwrap();
        assert_eq!(aws.count(WAKE), 0, "{other} is not waited for");
    }
    run(&aws, &event(COPY)).await.unwrap();
    let (token, seen) = woken(&aws).remove(0);
    assert_eq!((token.as_str(), seen.status, seen.snapshots.len()), ("token-130", LookStatus::Completed, 1));
}

#[tokio::test]
async fn a_copy_that_ec2_does_not_show_yet_is_under_way_and_later_gone() {
    for (minutes, woken_with) in [(61, vec![]), (66, vec![LookStatus::Incomplete])] {
        let aws = aws(described(&[]));
        run(&aws, &waiting(minutes)).await.unwrap();
        let woken: Vec<LookStatus> = woken(&aws).into_iter().map(|(_, seen)| seen.status).collect();
        assert_eq!(woken, woken_with, "a copy that was begun after 60 minutes, looked for after {minutes}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_wakes_too_and_so_does_the_deadline() {
    for (answer, minutes) in [(("error", "0%"), 130), (("pending", "40%"), 181)] {
        let aws = aws(described(&[(COPY, answer.0, answer.1)]));
        run(&aws, &waiting(minutes)).await.unwrap();
        assert_eq!(
            woken(&aws).into_iter().map(|(_, seen)| seen.status).collect::<Vec<_>>(),
            [LookStatus::Incomplete],
            "{answer:?}"
        );
    }
}
