//! The end of a capture: what was captured, what only partly, what not; and every lie on the way.

use crate::support::{IMAGE, STATEMENT, Sends, World, image};
use incident::capture::Collected;
use incident::evidence::{Capture, CaptureStatus};
use incident::{Classify as _, Fault};
use stub::Answer;

const COMPLETE: &str = "s3:CompleteMultipartUpload";
const CANCEL: &str = "ssm:CancelCommand";

#[tokio::test]
async fn a_capture_that_s3_confirms_is_captured_locked_and_stated() {
    let world = World::new();
    let sends = Sends::default();
    let truth = sends.truth(&world.deployment);
    let captured = world.capture(&sends, &truth).await;
    assert_eq!((captured.status, captured.reason.as_str(), captured.pause_seconds), (CaptureStatus::Captured, "", 0));
    let memory = captured.image.unwrap();
    assert_eq!((memory.key.as_str(), memory.size, memory.parts), (IMAGE, truth.bytes, 3));
    assert_eq!((memory.crc64nvme, memory.sha256), (Some(truth.crc64nvme), Some(truth.sha256)));
    assert_eq!((memory.format.as_str(), memory.source.as_str()), ("lime", "/proc/kcore"));
    assert_eq!(world.aws.object(IMAGE).unwrap(), sends.parts.concat());
    let names: Vec<&str> = captured.files.iter().map(|file| file.key.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["volatile.json", "version", "kallsyms", "result.json"]);

    for key in captured.files.iter().map(|file| file.key.as_str()).chain([IMAGE, STATEMENT]) {
        let headers = world.aws.object_headers(key).unwrap();
        assert_eq!(headers["x-amz-object-lock-mode"], "GOVERNANCE", "{key}");
        assert_eq!(headers["x-amz-object-lock-retain-until-date"], "2027-11-24T03:30:00Z", "{key}");
    }
    assert!(world.aws.open_uploads().is_empty(), "what nothing came of is dropped: {:?}", world.aws.open_uploads());
    assert!(world.aws.calls_of(COMPLETE).iter().all(|call| call.header("if-none-match") == Some("*")));
    assert_eq!((world.records("intent"), world.records("outcome"), world.aws.count(CANCEL)), (2, 2, 0));

    let said = world.statement();
    assert!(said.checks.len() >= 11 && said.checks.iter().all(|check| check.holds), "{:#?}", said.checks);
    assert_eq!((said.taken.document_version.as_deref(), said.taken.waves), (Some("3"), 1));
    assert_eq!(said.taken.session_keys.len(), 9, "{:?}", said.taken.session_keys);
    let trusted = |what: &str| said.trust.iter().find(|trust| trust.what.ends_with(what)).unwrap().word.clone();
    assert_eq!(
        (trusted(" sha256").as_str(), trusted(" crc64nvme").as_str()),
        ("the target's word", "S3's own, equal to the target's word")
    );
    let btf = said.files.iter().find(|file| file.name == "btf").unwrap();
    assert_eq!((btf.stored.as_ref(), btf.reason.as_str()), (None, "nothing of it came"));
}

#[tokio::test]
async fn finishing_twice_gives_the_same_and_changes_nothing() {
    let world = World::new();
    let sends = Sends::small();
    let begun = world.begin().await;
    world.send(&sends, &sends.truth(&world.deployment));
    let first = world.look(60, 0, Some(&begun)).await.unwrap();
    assert_eq!(first.status, CaptureStatus::Captured, "{first:?}");
    let (keys, statement) = (world.aws.keys(), world.aws.object(STATEMENT));
    for (second, retry) in [(60, 1), (65, 0)] {
        world.aws.forget_calls();
        assert_eq!(world.look(second, retry, Some(&begun)).await.unwrap(), first);
        let changed: Vec<_> = world.aws.mutations().into_iter().filter_map(|call| call.key).collect();
        assert!(changed.iter().all(|key| key.contains("/progress/")), "{changed:?}");
    }
    assert_eq!((world.aws.keys(), world.aws.object(STATEMENT)), (keys, statement));
}

#[tokio::test]
async fn two_at_once_finish_one_capture() {
    let world = World::new();
    let sends = Sends::small();
    let begun = world.begin().await;
    world.send(&sends, &sends.truth(&world.deployment));
    let (one, two) = futures_util::future::join(world.look(60, 0, Some(&begun)), world.look(60, 1, Some(&begun))).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.status, &one), (CaptureStatus::Captured, &two));
    assert_eq!(world.statement().capture, one);
}

#[tokio::test]
async fn wherever_a_finish_breaks_the_retry_ends_with_the_same_capture() {
    let sends = Sends::small();
    for action in [
        "s3:ListParts",
        "ssm:GetCommandInvocation",
        COMPLETE,
        "s3:PutObjectRetention",
        "s3:HeadObject",
        "s3:GetObject",
        "s3:AbortMultipartUpload",
        "s3:PutObject",
    ] {
        for (nth, lost) in (0..3).flat_map(|nth| [(nth, false), (nth, true)]) {
            if action.starts_with("ssm:") && (lost || nth > 0) {
                continue;
            }
            let world = World::new();
            let begun = world.begin().await;
            world.send(&sends, &sends.truth(&world.deployment));
            (0..nth).for_each(|_| world.aws.push(action, Answer::bucket()));
            world.aws.push(
                action,
                match action {
                    _ if lost => Answer::bucket_then_lost(),
                    "ssm:GetCommandInvocation" => Answer::json_error(400, "ThrottlingException", "slow"),
                    _ => Answer::s3_error(503, "SlowDown", "slow"),
                },
            );
            let told = format!("{action}, call {nth}, lost {lost}");
            // An upload of which nothing came, and what is read once only, may be called less often.
            let captured = match world.look(60, 0, Some(&begun)).await {
                Ok(captured) => captured,
                Err(error) => {
                    assert_eq!(error.fault(), Fault::Transient, "{told}: {error}");
                    world.look(60, 1, Some(&begun)).await.unwrap()
                }
            };
            assert_eq!(captured.status, CaptureStatus::Captured, "{told}: {captured:?}");
            assert_eq!((captured.files.len(), world.aws.open_uploads().len()), (4, 0), "{told}: {captured:?}");
            assert!(world.aws.object_headers(IMAGE).unwrap().contains_key("x-amz-object-lock-mode"), "{told}");
            // Only a record that could not be written, or not be known to be, leaves an intent alone.
            let alone = world.records("intent") - world.records("outcome");
            assert!(alone <= usize::from(action == "s3:PutObject"), "{told}: each intent has its outcome");
        }
    }
}

#[tokio::test]
async fn an_error_in_a_completion_that_began_well_is_an_error() {
    let world = World::new();
    let sends = Sends::small();
    let begun = world.begin().await;
    world.send(&sends, &sends.truth(&world.deployment));
    world.aws.push(COMPLETE, Answer::s3_error(200, "InternalError", "We encountered an internal error."));
    let error = world.look(60, 0, Some(&begun)).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient, "{error}");
    assert_eq!(world.look(60, 1, Some(&begun)).await.unwrap().status, CaptureStatus::Captured);
}

/// A change to what the collector says, and what the reason must name.
type Lie = (&'static str, fn(&mut Collected));

#[tokio::test]
async fn no_lie_is_taken_for_a_capture() {
    let lies: [Lie; 9] = [
        ("bytes: ", |said| said.bytes += 1),
        ("parts: ", |said| said.parts += 1),
        ("crc64nvme: ", |said| "AAAAAAAAAAA=".clone_into(&mut said.crc64nvme)),
        ("crc64nvme: ", |said| said.crc64nvme.clear()),
        ("sha256: ", |said| "not a digest".clone_into(&mut said.sha256)),
        ("format: ", |said| "raw".clone_into(&mut said.format)),
        ("collector: ", |said| said.collector_sha256 = "00".repeat(32)),
        ("not whole: read error", |said| (said.ok, said.errors) = (false, vec!["read error".to_owned()])),
        ("not whole", |said| said.ok = false),
    ];
    for (reason, lie) in lies {
        let world = World::new();
        let sends = Sends::small();
        let mut says = sends.truth(&world.deployment);
        lie(&mut says);
        let partial = world.capture(&sends, &says).await;
        assert_eq!(partial.status, CaptureStatus::Partial, "{reason}");
        assert!(partial.reason.contains(reason), "`{}` must name `{reason}`", partial.reason);
        let memory = partial.image.unwrap();
        assert_eq!(memory.crc64nvme, Some(sends.truth(&world.deployment).crc64nvme), "S3's own word");
        assert_eq!(world.statement().checks.iter().filter(|check| !check.holds).count(), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_target_that_contradicts_itself_is_not_believed() {
    let world = World::new();
    let sends = Sends::small();
    let truth = sends.truth(&world.deployment);
    let begun = world.begin().await;
    world.send(&sends, &truth);
    let other = Collected { sha256: "ef".repeat(32), ..truth };
    world.account().ended.1 = serde_json::to_string(&other).unwrap();
    let partial = world.look(60, 0, Some(&begun)).await.unwrap();
    assert_eq!(partial.status, CaptureStatus::Partial);
    assert!(partial.reason.contains("contradict"), "{}", partial.reason);
}

#[tokio::test]
async fn the_result_may_come_either_way_and_junk_is_none() {
    for (uploads, prints, status) in
        [(true, false, CaptureStatus::Captured), (false, true, CaptureStatus::Captured), (false, false, CaptureStatus::Partial)]
    {
        let world = World::new();
        let sends = Sends { uploads, prints, ..Sends::small() };
        let captured = world.capture(&sends, &sends.truth(&world.deployment)).await;
        assert_eq!(captured.status, status, "uploaded {uploads}, printed {prints}: {}", captured.reason);
        assert!(captured.image.is_some());
    }
    let world = World::new();
    let mut sends = Sends { prints: false, ..Sends::small() };
    sends.files.insert("result.json", b"{\"schema\":\"cordon.collected.v1\", \x1b]0;".to_vec());
    let begun = world.begin().await;
    world.send(&sends, &sends.truth(&world.deployment));
    world.account().ended.1 = "{".repeat(24_000);
    let partial = world.look(60, 0, Some(&begun)).await.unwrap();
    assert_eq!(partial.status, CaptureStatus::Partial);
    assert!(partial.reason.contains("no result"), "{}", partial.reason);
    assert!(partial.files.iter().any(|file| file.key.ends_with("result.json")), "junk is evidence too");
}

#[tokio::test]
async fn what_s3_gives_no_checksum_of_the_whole_for_is_not_captured() {
    let sends = Sends::small();
    for (crc, kind) in [("", ""), ("true", "COMPOSITE"), ("AAAAAAAAAAA=-1", "FULL_OBJECT")] {
        let world = World::new();
        let truth = sends.truth(&world.deployment);
        let crc = if crc == "true" { truth.crc64nvme.as_str() } else { crc };
        let begun = world.begin().await;
        world.send(&sends, &truth);
        let head = Answer::empty(200).header("etag", "\"x-1\"").header("x-amz-version-id", "v").header("content-length", "100");
        let checksums = [("x-amz-checksum-crc64nvme", crc), ("x-amz-checksum-type", kind)];
        let given = checksums.into_iter().filter(|(_, value)| !value.is_empty());
        world.aws.set("s3:HeadObject", given.fold(head, |answer, (name, value)| answer.header(name, value)));
        world.aws.set("s3:PutObjectRetention", Answer::empty(200));
        let partial = world.look(60, 0, Some(&begun)).await.unwrap();
        assert_eq!((partial.status, partial.image.unwrap().crc64nvme), (CaptureStatus::Partial, None), "{crc} {kind}");
        assert!(world.statement().trust.iter().any(|trust| trust.word == "nobody's: S3 gave none"), "{crc} {kind}");
    }
}

#[tokio::test]
async fn an_image_with_a_gap_is_kept_up_to_it_and_said() {
    let mib = 1 << 20;
    let parts = || vec![image(5 * mib, 1), image(5 * mib, 2), image(50, 3)];
    for (numbers, kept, reason) in [(vec![1, 2, 4], 2, "part 3 is missing"), (vec![1, 3, 4], 1, "part 2 is missing")] {
        let world = World::new();
        let sends = Sends { parts: parts(), numbers: Some(numbers), ..Sends::default() };
        let partial = world.capture(&sends, &sends.truth(&world.deployment)).await;
        assert_eq!(partial.status, CaptureStatus::Partial);
        assert!(partial.reason.contains(reason), "{}", partial.reason);
        let memory = partial.image.unwrap();
        assert_eq!((memory.parts, memory.size), (kept, u64::from(kept) * 5 * mib as u64));
    }
    // S3 takes no small part before another: what is before it is kept.
    let world = World::new();
    let sends = Sends { parts: vec![image(10, 1), image(5 * mib, 2)], ..Sends::default() };
    let partial = world.capture(&sends, &sends.truth(&world.deployment)).await;
    assert_eq!((partial.status, partial.image.unwrap().size), (CaptureStatus::Partial, 10));
}

#[tokio::test]
async fn without_a_first_part_there_is_no_image() {
    let world = World::new();
    let sends = Sends { numbers: Some(vec![2, 3, 4]), ..Sends::default() };
    let ended = world.capture(&sends, &sends.truth(&world.deployment)).await;
    assert_eq!((ended.status, ended.image.is_none()), (CaptureStatus::NotCaptured, true));
    assert!(ended.reason.contains("the first part is missing"), "{}", ended.reason);
    assert_eq!(ended.files.len(), 4, "what came beside it is kept");

    let world = World::new();
    let begun = world.begin().await;
    let said = "cordon: the collector is not the one that this document was made for, so it was not run";
    world.account().ended = ("Failed".to_owned(), String::new(), format!("{said}\nfailed to run commands: exit status 1\n"));
    let ended = world.look(20, 0, Some(&begun)).await.unwrap();
    assert_eq!((ended.status, ended.files.len()), (CaptureStatus::NotCaptured, 0));
    assert!(ended.reason.contains("ended as `Failed`") && ended.reason.contains(said), "{}", ended.reason);
    assert!(world.aws.open_uploads().is_empty());
}

#[tokio::test]
async fn files_that_are_too_large_or_in_pieces_are_dropped_and_said() {
    let world = World::new();
    let mut sends = Sends::small();
    sends.files.insert("version", vec![b'v'; (64 << 10) + 1]);
    let captured = world.capture(&sends, &sends.truth(&world.deployment)).await;
    assert_eq!(captured.status, CaptureStatus::Captured, "the image is whole all the same: {}", captured.reason);
    assert!(!captured.files.iter().any(|file| file.key.ends_with("version")));
    let said = world.statement().files.into_iter().find(|file| file.name == "version").unwrap();
    assert!(said.reason.contains("65537 bytes came, and it may have 65536"), "{}", said.reason);
    assert!(world.aws.object("cases/i-0abc1234def567890-0123456789ab/memory/version").is_none());

    // More than one part of a small file: the URL is for part 1 alone, so that only a forger of URLs could.
    let world = World::new();
    let begun = world.begin().await;
    let sends = Sends::small();
    world.send(&sends, &sends.truth(&world.deployment));
    let url = world.first_wave().settings.unwrap().files[0].url.replace("partNumber=1", "partNumber=2");
    world.use_url("PUT", &url, b"more");
    world.look(60, 0, Some(&begun)).await.unwrap();
    let said = world.statement().files.into_iter().find(|file| file.name == "volatile.json").unwrap();
    assert!(said.stored.is_none() && said.reason.contains("2 parts came"), "{}", said.reason);
}

#[tokio::test]
async fn a_result_that_is_too_large_is_dropped_and_the_printed_one_counts() {
    let world = World::new();
    let mut sends = Sends::small();
    sends.files.insert("result.json", vec![b' '; (256 << 10) + 1]);
    let captured = world.capture(&sends, &sends.truth(&world.deployment)).await;
    assert_eq!((captured.status, captured.files.len()), (CaptureStatus::Captured, 3), "{}", captured.reason);
}

#[tokio::test]
async fn what_cannot_be_locked_is_not_captured() {
    let world = World::new();
    world.aws.set("s3:PutObjectRetention", Answer::s3_error(403, "AccessDenied", "no"));
    let sends = Sends::small();
    let partial = world.capture(&sends, &sends.truth(&world.deployment)).await;
    assert_eq!(partial.status, CaptureStatus::Partial);
    assert!(partial.reason.contains("not locked") && partial.reason.contains("AccessDenied"), "{}", partial.reason);
    assert!(world.statement().files.iter().filter(|file| file.stored.is_some()).all(|file| file.reason.contains("not locked")));
}

#[tokio::test]
async fn a_part_that_is_replaced_while_it_is_completed_is_listed_again() {
    let world = World::new();
    let sends = Sends::small();
    let begun = world.begin().await;
    world.send(&sends, &sends.truth(&world.deployment));
    world.aws.push(COMPLETE, Answer::s3_error(400, "InvalidPart", "no"));
    assert_eq!(world.look(60, 0, Some(&begun)).await.unwrap().status, CaptureStatus::Captured);
}

#[tokio::test]
async fn an_upload_that_somebody_ended_is_no_capture() {
    let world = World::new();
    let begun: Capture = world.begin().await;
    let sends = Sends::small();
    let truth = sends.truth(&world.deployment);
    world.send(&sends, &truth);
    world.aws.set("s3:ListParts", Answer::s3_error(404, "NoSuchUpload", "no"));
    let ended = world.look(60, 0, Some(&begun)).await.unwrap();
    assert_eq!((ended.status, ended.files.len()), (CaptureStatus::NotCaptured, 0));
}

#[tokio::test]
async fn hostile_words_are_bounded_and_harmless() {
    let world = World::new();
    let sends = Sends::small();
    let hostile = "\u{1b}[2J<script>`; rm -rf / #{{ PlanUrl }}".repeat(400);
    let says = Collected {
        ok: false,
        source: hostile.clone(),
        sha256: hostile.clone(),
        crc64nvme: hostile.clone(),
        version: hostile.clone(),
        errors: vec![hostile; 3],
        ..sends.truth(&world.deployment)
    };
    let partial = world.capture(&sends, &says).await;
    assert_eq!(partial.status, CaptureStatus::Partial);
    let text = serde_json::to_string(&partial).unwrap();
    assert!(text.len() < 3_000 && !text.contains("\\u001b"), "{text}");
    assert_eq!(partial.image.unwrap().sha256, None, "what is no digest is not handed on as one");
    assert!(world.aws.object(STATEMENT).unwrap().len() < 40_000);
}
