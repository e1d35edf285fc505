//! The copies of a case: begun, locked, shared, and told where they are not.

#![expect(clippy::unwrap_used, reason = "a test panics where what it needs is not there")]

mod support;

use incident::copies::{Copies, CopyStatus, SnapshotCopy};
use incident::evidence::LockOutcome;
use incident::{Classify as _, Fault};
use stub::Answer;

use support::{CASE, COPY, Ec2, FORENSICS, KEY, LOCK, LOOK, Made, SHARE, snapshot, volume};

/// How something differs from a copy of ours.
type Change<'a> = (&'a str, &'a dyn Fn(&mut Made));

fn missing(copies: &Copies) -> Vec<&str> {
    copies.missing.iter().map(|missing| missing.item.as_str()).collect()
}

fn reasons(copies: &Copies) -> String {
    copies.missing.iter().map(|missing| format!("{}: {}\n", missing.item, missing.reason)).collect()
}

#[tokio::test]
async fn every_completed_snapshot_is_copied_under_our_key_locked_and_shared() {
    let ec2 = Ec2::with(2);
    let first = ec2.visit(0, None, 0).await.unwrap();
    assert_eq!((first.status, first.copies.len(), first.missing.len()), (CopyStatus::Copying, 2, 0));
    assert!((300..=360).contains(&first.pause_seconds), "the first look comes as for the snapshots: {} s", first.pause_seconds);
    for copy in &ec2.account().copies {
        assert_eq!((copy.case.as_str(), copy.key.as_str(), copy.lock.as_deref()), (CASE, KEY, Some("governance 30")));
        assert!(copy.shared.is_empty(), "what is not completed is not shared");
    }
    ec2.end("completed");
    let last = ec2.visit(3, Some(&first), 0).await.unwrap();
    assert_eq!((last.status, last.pause_seconds, last.missing.len()), (CopyStatus::Copied, 0, 0), "{}", reasons(&last));
    for (n, copy) in last.copies.iter().enumerate() {
        assert_eq!((copy.of.to_string(), copy.volume_id.to_string()), (snapshot(n), volume(n)));
        assert_eq!((copy.shared_with.as_slice(), copy.key.as_deref()), ([FORENSICS.to_owned()].as_slice(), Some(KEY)));
        assert!(matches!(copy.lock, LockOutcome::Locked { days: 30, .. }));
    }
    assert_eq!((ec2.aws.count(COPY), ec2.aws.count(LOCK), ec2.aws.count(SHARE)), (2, 2, 2), "nothing twice");
    assert_eq!((ec2.records("intent"), ec2.records("outcome")), (2, 2));
}

#[tokio::test]
async fn a_look_with_nothing_to_do_changes_nothing_and_writes_nothing() {
    let ec2 = Ec2::with(2);
    let first = ec2.visit(0, None, 0).await.unwrap();
    let keys = ec2.aws.keys();
    ec2.aws.forget_calls();
    let again = ec2.visit(6, Some(&first), 0).await.unwrap();
    assert_eq!((again.status, again.copies.len()), (CopyStatus::Copying, 2));
    assert!(again.pause_seconds > first.pause_seconds, "ever more seldom: {} s", again.pause_seconds);
    assert_eq!(ec2.aws.calls().iter().map(|call| call.action.as_str()).collect::<Vec<_>>(), [LOOK, LOOK], "by id and by tag");
    assert_eq!(ec2.aws.keys(), keys);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_copy() {
    for action in [COPY, LOCK, SHARE] {
        let ec2 = Ec2::with(2);
        ec2.lose_an_answer_of(action);
        let mut before = None;
        for minutes in [0, 1, 5, 6] {
            // What got no answer is never tried again at once: EC2 may not show yet what it has begun.
            let said = ec2.visit(minutes, before.as_ref(), 0).await.unwrap();
            let lost = action != SHARE && minutes == 0 || action == SHARE && minutes == 1;
            assert_eq!(said.pause_seconds == 60, lost, "{action} after {minutes} min: {said:?}");
            before = Some(said);
            ec2.end("completed");
        }
        let last = before.unwrap();
        assert_eq!((last.status, last.missing.len()), (CopyStatus::Copied, 0), "{action}: {}", reasons(&last));
        let account = ec2.account();
        assert_eq!(account.copies.len(), 2, "{action}: {:?}", account.copies);
        assert!(
            account.copies.iter().all(|copy| copy.lock.is_some() && copy.shared == [FORENSICS]),
            "{action}: {:?}",
            account.copies
        );
        drop(account);
        assert_eq!(ec2.records("intent"), ec2.records("outcome"), "{action}: every intent has its outcome");
    }
}

#[tokio::test]
async fn what_ec2_does_not_show_yet_is_not_begun_again() {
    let ec2 = Ec2::with(2);
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.account().lagging = true;
    let soon = ec2.visit(1, Some(&first), 0).await.unwrap();
    assert_eq!((soon.status, soon.copies.len(), ec2.account().copies.len()), (CopyStatus::Copying, 2, 2));
    // What it does not show later is not there any more.
    let later = ec2.visit(6, Some(&soon), 0).await.unwrap();
    assert_eq!((later.copies.len(), ec2.account().copies.len()), (2, 4));
}

#[tokio::test]
async fn what_only_has_the_tags_of_a_copy_is_not_sealed_as_one_locked_or_shared() {
    let foreign = |change: &dyn Fn(&mut Made)| {
        let mut made = Made {
            id: snapshot(5_000),
            of: snapshot(0),
            case: CASE.to_owned(),
            key: KEY.to_owned(),
            state: "completed".to_owned(),
            size: 8,
            ..Made::default()
        };
        change(&mut made);
        made
    };
    let changes: [Change<'_>; 4] = [
        ("another key", &|made| made.key = "arn:aws:kms:eu-central-1:111122223333:key/other".to_owned()),
        ("no key", &|made| made.key = String::new()),
        ("another size", &|made| made.size = 1),
        ("of another snapshot", &|made| made.of = snapshot(77)),
    ];
    for (name, change) in changes {
        let ec2 = Ec2::with(1);
        ec2.account().copies.push(foreign(change));
        let first = ec2.visit(0, None, 0).await.unwrap();
        ec2.end("completed");
        let last = ec2.visit(5, Some(&first), 0).await.unwrap();
        assert_eq!(missing(&last), [format!("copy-foreign:{}", snapshot(5_000))], "{name}");
        let account = ec2.account();
        let theirs = account.copies.iter().find(|made| made.id == snapshot(5_000)).unwrap();
        assert_eq!(
            (theirs.lock.as_ref(), theirs.shared.len(), account.copies.len()),
            (None, 0, 2),
            "{name}: ours was made all the same"
        );
    }
}

#[tokio::test]
async fn a_copy_whose_tags_were_taken_off_is_known_by_its_id() {
    let ec2 = Ec2::with(1);
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.account().copies[0].case = String::new();
    ec2.end("completed");
    let last = ec2.visit(20, Some(&first), 0).await.unwrap();
    assert_eq!((last.status, ec2.account().copies.len()), (CopyStatus::Copied, 1));
}

#[tokio::test]
async fn an_account_that_is_refused_keeps_the_others_from_nothing_and_who_has_it_is_told() {
    let mut ec2 = Ec2::with(1);
    ec2.share_with = vec!["777788889999".to_owned(), FORENSICS.to_owned()];
    ec2.refuse_account("777788889999");
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.end("completed");
    let last = ec2.visit(5, Some(&first), 0).await.unwrap();
    assert_eq!(last.copies[0].shared_with, [FORENSICS]);
    let said = reasons(&last);
    assert!(
        said.starts_with("copy-share:") && said.contains("not shared with 777788889999: ") && !said.contains("with 444"),
        "{said}"
    );
}

#[tokio::test]
async fn no_more_are_begun_than_ec2_takes_and_all_are_in_the_end() {
    let ec2 = Ec2::with(45);
    let (mut before, mut waves) = (None, Vec::new());
    for wave in 0..4 {
        let said = ec2.visit(wave, before.as_ref(), 0).await.unwrap();
        waves.push((said.status, ec2.account().copies.iter().filter(|copy| copy.state == "pending").count()));
        ec2.end("completed");
        before = Some(said);
    }
    let copying = CopyStatus::Copying;
    assert_eq!(waves, [(copying, 20), (copying, 20), (copying, 5), (CopyStatus::Copied, 0)]);
    assert_eq!(before.unwrap().copies.len(), 45);
}

#[tokio::test]
async fn where_others_fill_ec2_the_rest_has_its_turn_later() {
    let ec2 = Ec2::with(3);
    ec2.account().of_others = 20;
    let held = ec2.visit(0, None, 0).await.unwrap();
    assert_eq!((held.status, held.copies.len(), held.missing.len()), (CopyStatus::Held, 0, 0));
    assert!(held.pause_seconds >= 60);
    ec2.account().of_others = 19;
    let one = ec2.visit(6, Some(&held), 0).await.unwrap();
    assert_eq!((one.status, one.copies.len()), (CopyStatus::Copying, 1));
    ec2.account().of_others = 0;
    let all = ec2.visit(45, Some(&one), 0).await.unwrap();
    assert_eq!((all.status, all.copies.len()), (CopyStatus::Copying, 3));
    assert_eq!(all.since, held.since, "the deadline and the pauses count from the first look");
}

#[tokio::test]
async fn a_copy_that_failed_is_made_once_more_and_then_missing() {
    let ec2 = Ec2::with(1);
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.end("error");
    let second = ec2.visit(5, Some(&first), 0).await.unwrap();
    assert_eq!((second.status, ec2.account().copies.len()), (CopyStatus::Copying, 2));
    ec2.account().copies[1].why = "Given key ID is not accessible".to_owned();
    ec2.end("error");
    let last = ec2.visit(10, Some(&second), 0).await.unwrap();
    assert_eq!((last.status, ec2.account().copies.len()), (CopyStatus::Incomplete, 2), "not a third time");
    assert_eq!(missing(&last), [format!("copy:{}", volume(0))]);
    assert!(reasons(&last).contains("Given key ID is not accessible") && reasons(&last).contains(&snapshot(0)));
}

#[tokio::test]
async fn what_is_refused_is_missing_by_name_and_the_others_go_on() {
    // Who refuses what, what is missing then, and what is said of it.
    let cases = [
        (COPY, "UnauthorizedOperation", "copy:vol-", "UnauthorizedOperation"),
        (COPY, "InvalidParameterValue", "copy:vol-", "InvalidParameterValue"),
        (SHARE, "UnauthorizedOperation", "copy-share:snap-", "444455556666: ec2:ModifySnapshotAttribute"),
        (SHARE, "OperationNotPermitted", "copy-share:snap-", "OperationNotPermitted"),
        ("ec2:DescribeSnapshotAttribute", "UnauthorizedOperation", "copy-share:snap-", "ec2:DescribeSnapshotAttribute"),
    ];
    for (action, code, item, says) in cases {
        let ec2 = Ec2::with(1);
        ec2.aws.set(action, Answer::ec2_error(403, code, "refused by the test"));
        let first = ec2.visit(0, None, 0).await.unwrap();
        ec2.end("completed");
        let last = ec2.visit(5, Some(&first), 0).await.unwrap();
        assert_eq!(last.status, CopyStatus::Incomplete, "{action} {code}");
        let said = reasons(&last);
        assert!(last.missing.len() == 1 && said.starts_with(item) && said.contains(says), "{action} {code}: {said}");
        assert!(action != COPY || ec2.aws.count(COPY) == 1, "what EC2 will not copy is not asked for again");
    }
    // The seal says of locks what is missing: here the reason is handed on.
    let ec2 = Ec2::with(1);
    ec2.aws.set(LOCK, Answer::ec2_error(403, "UnauthorizedOperation", &"long ".repeat(500)));
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.end("completed");
    let last = ec2.visit(5, Some(&first), 0).await.unwrap();
    assert_eq!((last.status, last.missing.len()), (CopyStatus::Incomplete, 0));
    assert!(
        matches!(&last.copies[0].lock, LockOutcome::NotLocked { reason } if reason.contains("Unauthorized") && reason.len() < 210)
    );
}

#[tokio::test]
async fn what_fails_in_passing_is_left_to_a_look_a_minute_later() {
    for (action, status, code) in [
        (COPY, 503, "RequestLimitExceeded"),
        (COPY, 500, "InternalError"),
        (LOCK, 503, "RequestLimitExceeded"),
        (LOCK, 400, "InvalidSnapshot.NotFound"),
    ] {
        let ec2 = Ec2::with(1);
        ec2.aws.set(action, Answer::ec2_error(status, code, "not now"));
        let held = ec2.visit(0, None, 0).await.unwrap();
        assert!(matches!(held.status, CopyStatus::Held | CopyStatus::Copying), "{action} {code}: {held:?}");
        assert_eq!((held.pause_seconds, held.missing.len()), (60, 0), "{action} {code}: {held:?}");
        assert_eq!((ec2.records("intent"), ec2.records("outcome")), (1, 1), "{action} {code}");
    }
}

#[tokio::test]
async fn a_hundred_and_twenty_eight_refused_locks_and_shares_fit_into_a_payload() {
    let ec2 = Ec2::with(128);
    let long = "encoded authorization failure message ".repeat(40);
    for action in [LOCK, SHARE] {
        ec2.aws.set(action, Answer::ec2_error(403, "UnauthorizedOperation", &long));
    }
    let mut before = None;
    for visit in 0..9 {
        before = Some(ec2.visit(visit, before.as_ref(), 0).await.unwrap());
        ec2.end("completed");
    }
    let last = before.unwrap();
    assert_eq!((last.copies.len(), last.status), (128, CopyStatus::Incomplete));
    let size = serde_json::to_string(&last).unwrap().len();
    assert!(
        size < 160_000,
        "{size} bytes of the 262,144 that a payload may have [facts 82], of which Seal gets the plan and the looks too"
    );
}

#[tokio::test]
async fn a_look_that_fails_fails_the_step_and_changes_nothing() {
    for (code, fault) in [("UnauthorizedOperation", Fault::Denied), ("RequestLimitExceeded", Fault::Transient)] {
        let ec2 = Ec2::with(1);
        ec2.aws.set(LOOK, Answer::ec2_error(503, code, "no"));
        assert_eq!(ec2.visit(0, None, 0).await.unwrap_err().fault(), fault);
        assert_eq!((ec2.account().copies.len(), ec2.aws.keys().len()), (0, 0));
    }
}

#[tokio::test]
async fn at_the_deadline_what_is_not_there_is_missing() {
    let ec2 = Ec2::with(2);
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.account().copies[0].state = "completed".to_owned();
    let last = ec2.visit(24 * 60, Some(&first), 0).await.unwrap();
    assert_eq!((last.status, last.pause_seconds), (CopyStatus::Incomplete, 0));
    assert_eq!(missing(&last), [format!("copy:{}", volume(1))]);
    assert!(reasons(&last).contains("at 40 % at the plan's deadline"), "{}", reasons(&last));
    // Nothing is begun any more.
    let late = Ec2::with(1);
    let said = late.visit(24 * 60, None, 0).await.unwrap();
    assert_eq!((said.status, late.account().copies.len()), (CopyStatus::Incomplete, 0));
}

#[tokio::test]
async fn a_stack_without_a_key_says_so_and_copies_nothing() {
    let mut ec2 = Ec2::with(2);
    ec2.key = None;
    let said = ec2.visit(0, None, 0).await.unwrap();
    assert_eq!((said.status, said.missing.len()), (CopyStatus::Incomplete, 2));
    assert!(reasons(&said).contains("ForensicAccounts"));
    assert!(ec2.aws.calls().is_empty());
}

#[tokio::test]
async fn without_a_completed_snapshot_there_is_nothing_to_copy() {
    let ec2 = Ec2::with(0);
    let said = ec2.visit(0, None, 0).await.unwrap();
    assert_eq!((said.status, said.copies.len(), said.missing.len()), (CopyStatus::Copied, 0, 0));
}

#[tokio::test]
async fn the_owner_is_not_given_what_is_its_own_and_each_account_is_given_it_by_a_call() {
    let mut ec2 = Ec2::with(1);
    ec2.share_with = vec!["111122223333".to_owned(), FORENSICS.to_owned(), "777788889999".to_owned()];
    let first = ec2.visit(0, None, 0).await.unwrap();
    ec2.end("completed");
    let last = ec2.visit(5, Some(&first), 0).await.unwrap();
    assert_eq!(last.status, CopyStatus::Copied, "{}", reasons(&last));
    let shared = |copy: &SnapshotCopy| copy.shared_with.clone();
    assert_eq!(last.copies.iter().map(shared).collect::<Vec<_>>(), [[FORENSICS.to_owned(), "777788889999".to_owned()]]);
    assert_eq!(ec2.aws.count(SHARE), 2);
}
