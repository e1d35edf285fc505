//! A capture on its way: progress, more URLs, and the ends that are not the command's own.

use std::fmt::Write as _;

use crate::support::{IMAGE, Sends, World, image, time};
use incident::capture::wave_key;
use incident::evidence::CaptureStatus;
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::{Answer, Stub};

const CANCEL: &str = "ssm:CancelCommand";

/// S3 has this many parts of the image, 8 MiB each, in pages of a thousand.
fn has_parts(aws: &Stub, count: u32) {
    aws.set_fn("s3:ListParts", move |call| {
        if call.key.as_deref() != Some(IMAGE) {
            return Answer::bucket();
        }
        let after: u32 = call.query("part-number-marker").map_or(0, |marker| marker.parse().unwrap());
        let last = count.min(after + 1000);
        let mut body = format!("<IsTruncated>{}</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker>", last < count);
        for number in after + 1..=last {
            let _ = write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>\"{number}\"</ETag><Size>8388608</Size></Part>");
        }
        Answer::xml(format!("<ListPartsResult>{body}</ListPartsResult>"))
    });
}

#[tokio::test]
async fn progress_is_what_s3_has() {
    let mut world = World::new();
    world.plan["target"]["memoryMib"] = json!(65_536);
    let begun = world.begin().await;
    has_parts(&world.aws, 2_048);
    let look = world.look(20, 0, Some(&begun)).await.unwrap();
    let progress = look.progress.unwrap();
    assert_eq!((progress.parts, progress.bytes, progress.percent), (2_048, (2_048 * 8) << 20, 25), "all pages count");
    assert_eq!((progress.begun, progress.moved), (time(0), time(20)));
    assert!((5..=60).contains(&look.pause_seconds), "{}", look.pause_seconds);
}

#[tokio::test]
async fn more_urls_come_before_the_last_ones_are_used() {
    let mut world = World::new();
    world.plan["target"]["memoryMib"] = json!(65_536);
    let begun = world.begin().await;
    let first = world.first_wave();
    has_parts(&world.aws, 200);
    let early = world.look(30, 0, Some(&begun)).await.unwrap();
    assert_eq!(early.progress.as_ref().unwrap().wave.unwrap().number, 1, "300 of 500 are left");
    has_parts(&world.aws, 300);
    let fed = world.look(60, 0, Some(&early)).await.unwrap();
    let mark = fed.progress.as_ref().unwrap().wave.unwrap();
    assert_eq!((mark.number, mark.first_part, mark.last_part, mark.until), (2, 301, 800, time(60 + 3540)));
    let second = world.wave_after(&first).unwrap();
    assert_eq!((second.number, second.first_part, second.parts.len()), (2, 301, 500));
    assert!(second.settings.is_none() && second.withdrawn.is_none());
    assert_eq!(world.use_url("PUT", &second.parts[0], b"x").0, 200);
    assert_eq!(world.wave_after(&second), None);

    // The answer was lost: the same wave counts, and no other is written.
    let again = world.look(60, 1, Some(&early)).await.unwrap();
    assert_eq!(again.progress.unwrap().wave, Some(mark));
    assert!(world.aws.object(&wave_key(&world.plan().case_id, 3)).is_none());
}

#[tokio::test]
async fn urls_that_end_are_replaced_for_what_is_not_there_yet() {
    let world = World::new();
    let begun = world.begin().await;
    let first = world.first_wave();
    world.put_part(&first, 1, &image(5 << 20, 1));
    let mut look = world.look(2_600, 0, Some(&begun)).await.unwrap();
    assert_eq!(look.progress.as_ref().unwrap().wave.unwrap().number, 1, "they hold for more than 15 minutes");
    look = world.look(2_700, 0, Some(&look)).await.unwrap();
    let second = world.wave_after(&first).unwrap();
    assert_eq!((second.first_part, look.progress.unwrap().wave.unwrap().until), (2, time(2_700 + 3540)));
}

#[tokio::test]
async fn a_wave_that_may_not_be_signed_ends_nothing_and_a_throttled_one_is_tried_again() {
    let world = World::new();
    let begun = world.begin().await;
    world.put_part(&world.first_wave(), 1, &image(5 << 20, 1));
    world.aws.set("sts:AssumeRole", Answer::query_error(403, "AccessDenied", "no"));
    let look = world.look(2_700, 0, Some(&begun)).await.unwrap();
    assert_eq!((look.status, look.progress.unwrap().wave.unwrap().number), (CaptureStatus::Running, 1));
    world.aws.set("sts:AssumeRole", Answer::query_error(400, "Throttling", "slow"));
    assert_eq!(world.look(2_700, 1, Some(&begun)).await.unwrap_err().fault(), Fault::Transient);
}

#[tokio::test]
async fn a_command_that_systems_manager_does_not_know_yet_is_running() {
    let world = World::new();
    let begun = world.begin().await;
    for code in ["InvocationDoesNotExist", "AccessDeniedException"] {
        world.aws.set("ssm:GetCommandInvocation", Answer::json_error(400, code, ""));
        assert_eq!(world.look(5, 0, Some(&begun)).await.unwrap().status, CaptureStatus::Running, "{code}");
    }
}

#[tokio::test]
async fn the_deadline_takes_what_there_is_and_stops_the_collector() {
    let world = World::new();
    let begun = world.begin().await;
    let first = world.first_wave();
    world.put_part(&first, 1, &image(5 << 20, 1));
    world.put_part(&first, 2, &image(5 << 20, 2));
    let partial = world.look(14_400, 0, Some(&begun)).await.unwrap();
    assert_eq!((partial.status, partial.image.as_ref().unwrap().parts), (CaptureStatus::Partial, 2));
    assert!(partial.reason.contains("deadline") && partial.reason.contains("no result"), "{}", partial.reason);
    assert!(world.wave_after(&first).unwrap().withdrawn.unwrap().contains("deadline"));
    let actions = world.aws.actions();
    let at = |action: &str| actions.iter().position(|there| there == action).unwrap();
    assert!(at(CANCEL) < at("s3:CompleteMultipartUpload"), "it is stopped first: {actions:?}");
    // What it still sends has nowhere to go.
    assert_eq!(world.use_url("PUT", &first.parts[2], b"late").0, 404);
}

#[tokio::test]
async fn a_whole_image_at_the_deadline_is_captured() {
    let world = World::new();
    let begun = world.begin().await;
    let sends = Sends::small();
    world.send(&sends, &sends.truth(&world.deployment));
    "InProgress".clone_into(&mut world.account().ended.0);
    let captured = world.look(14_400, 0, Some(&begun)).await.unwrap();
    assert_eq!((captured.status, captured.reason.as_str()), (CaptureStatus::Captured, ""));
}

#[tokio::test]
async fn what_stands_still_is_ended_and_a_silent_agent_ends_it_sooner() {
    for (ping, second, status, said) in [
        ("Online", 599, CaptureStatus::Running, ""),
        ("Online", 600, CaptureStatus::Partial, "nothing more came for 10 minutes"),
        ("ConnectionLost", 179, CaptureStatus::Running, ""),
        ("ConnectionLost", 180, CaptureStatus::Partial, "for 3 minutes, and the Systems Manager agent is silent"),
        ("", 180, CaptureStatus::Partial, "silent"),
    ] {
        let world = World::new();
        let begun = world.begin().await;
        world.put_part(&world.first_wave(), 1, b"the beginning");
        let moved = world.look(10, 0, Some(&begun)).await.unwrap();
        ping.clone_into(&mut world.account().ping);
        let look = world.look(10 + second, 0, Some(&moved)).await.unwrap();
        assert_eq!(look.status, status, "{ping} after {second} s: {}", look.reason);
        assert!(look.reason.contains(said), "{}", look.reason);
        assert_eq!(world.aws.count(CANCEL), usize::from(status != CaptureStatus::Running), "{ping} after {second} s");
    }
}

#[tokio::test]
async fn a_silent_agent_ends_nothing_while_parts_come() {
    let world = World::new();
    let mut look = world.begin().await;
    world.account().ping.clear();
    for number in 1..=5 {
        world.put_part(&world.first_wave(), number, &image(5 << 20, 1));
        look = world.look(i64::from(number) * 500, 0, Some(&look)).await.unwrap();
        assert_eq!((look.status, look.progress.as_ref().unwrap().parts), (CaptureStatus::Running, number));
    }
}

#[tokio::test]
async fn a_result_without_an_end_of_the_command_is_an_end() {
    let world = World::new();
    let begun = world.begin().await;
    let sends = Sends { prints: false, ..Sends::small() };
    world.send(&sends, &sends.truth(&world.deployment));
    "InProgress".clone_into(&mut world.account().ended.0);
    let look = world.look(10, 0, Some(&begun)).await.unwrap();
    assert_eq!(look.status, CaptureStatus::Running, "the command has a minute to end by itself");
    let captured = world.look(70, 0, Some(&look)).await.unwrap();
    assert_eq!((captured.status, world.aws.count(CANCEL)), (CaptureStatus::Captured, 1));
}

#[tokio::test]
async fn a_command_that_cannot_be_cancelled_ends_all_the_same() {
    let world = World::new();
    let begun = world.begin().await;
    let sends = Sends::small();
    world.send_image(&sends);
    world.aws.set(CANCEL, Answer::json_error(400, "InvalidCommandId", "no"));
    let partial = world.look(14_400, 0, Some(&begun)).await.unwrap();
    assert_eq!(partial.status, CaptureStatus::Partial);
}

#[tokio::test]
async fn a_wave_that_an_earlier_attempt_left_ahead_is_withdrawn_too() {
    let world = World::new();
    let begun = world.begin().await;
    let first = world.first_wave();
    world.put_part(&first, 1, &image(5 << 20, 1));
    // This look wrote wave 2, and nobody ever got its answer.
    world.look(2_700, 0, Some(&begun)).await.unwrap();
    world.look(14_400, 0, Some(&begun)).await.unwrap();
    let second = world.wave_after(&first).unwrap();
    assert!(second.withdrawn.is_none());
    assert!(world.wave_after(&second).unwrap().withdrawn.is_some());
}

#[tokio::test]
async fn a_capture_whose_uploads_nobody_knows_is_lost_and_says_so() {
    let world = World::new();
    let begun = world.begin().await;
    world.aws.set("s3:GetObject", Answer::s3_error(404, "NoSuchKey", "no"));
    let error = world.look(10, 0, Some(&begun)).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Missing);
    assert!(error.to_string().contains("uploads.json"), "{error}");
}
