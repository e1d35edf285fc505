//! Sources that cannot be had cost themselves, and say why.

use incident::context::{ContextStatus, Source, SourceStatus};
use serde_json::json;
use stub::Answer;

use crate::support::{CALLS, CASE, Cloud, error, outcome};

#[tokio::test]
async fn a_source_that_is_denied_costs_itself_alone() {
    for (action, sources) in CALLS {
        let cloud = Cloud::new();
        let code = if action.starts_with("ec2:") { "UnauthorizedOperation" } else { "AccessDeniedException" };
        cloud.aws.set(action, error(action, 403, code));
        let context = cloud.collect(0).await.unwrap();
        assert_eq!(context.status, ContextStatus::Partly, "{action}");
        for outcome in &context.sources {
            let good = outcome.status.is_good();
            assert_eq!(!good, sources.contains(&outcome.source), "{action}: {outcome:?}");
            assert!(good || outcome.reason.contains(code), "{action}: {}", outcome.reason);
        }
    }
}

#[tokio::test]
async fn what_stays_busy_is_said_after_the_last_attempt() {
    for (action, sources) in CALLS {
        let cloud = Cloud::new();
        cloud.aws.set(action, error(action, 400, "ThrottlingException"));
        for retry in 0..3 {
            assert!(cloud.collect(retry).await.is_err(), "{action}, retry {retry}");
        }
        let context = cloud.collect(3).await.unwrap();
        let wanting: Vec<Source> = context.wanting().map(|outcome| outcome.source).collect();
        assert_eq!(wanting, *sources, "{action}");
        assert!(context.wanting().all(|outcome| outcome.reason.contains("ThrottlingException")), "{action}: {context:?}");
    }
}

#[tokio::test]
async fn where_everything_is_denied_the_case_goes_on_without() {
    let cloud = Cloud::new();
    for (action, _) in CALLS {
        cloud.aws.set(action, error(action, 403, "AccessDenied"));
    }
    let context = cloud.collect(0).await.unwrap();
    let wanting = context.wanting().count();
    assert_eq!(wanting, Source::ALL.len() - 1, "{context:?}");
    assert_eq!(cloud.names().len(), 0);
}

#[tokio::test]
async fn a_bucket_that_takes_nothing_is_said_of_each_source() {
    let cloud = Cloud::new();
    cloud.aws.set("s3:PutObject", error("s3:PutObject", 403, "AccessDenied"));
    let context = cloud.collect(0).await.unwrap();
    assert!(context.wanting().all(|outcome| outcome.reason.contains("could not be written")), "{context:?}");
    assert_eq!(context.wanting().count(), Source::ALL.len() - 1);
}

#[tokio::test]
async fn of_a_target_that_is_gone_aws_knows_what_it_knows() {
    let cloud = Cloud::new();
    let gone = || Answer::ec2_error(400, "InvalidInstanceID.NotFound", "does not exist");
    for action in ["ec2:DescribeInstances", "ec2:DescribeInstanceAttribute", "ec2:GetConsoleOutput", "ec2:GetConsoleScreenshot"] {
        cloud.aws.set(action, gone());
    }
    let context = cloud.collect(0).await.unwrap();
    assert_eq!(context.status, ContextStatus::Collected, "{context:?}");
    let of_the_instance = [Source::Instance, Source::Image, Source::UserData, Source::ConsoleOutput, Source::ConsoleScreenshot];
    for source in of_the_instance {
        let outcome = outcome(&context, source);
        assert_eq!(outcome.status, SourceStatus::Nothing, "{outcome:?}");
        assert!(outcome.reason.contains("does not know the instance any more"));
    }
    assert_eq!(outcome(&context, Source::CloudTrailTarget).status, SourceStatus::Taken, "its calls outlive it");
}

#[tokio::test]
async fn what_there_is_not_is_no_failure() {
    let cloud = Cloud::new();
    cloud.aws.put_object(&format!("cases/{CASE}/finding.json"), json!({"instanceId": "x", "reason": "y"}).to_string());
    cloud.aws.set(
        "ec2:DescribeInstanceAttribute",
        Answer::xml("<DescribeInstanceAttributeResponse><userData/></DescribeInstanceAttributeResponse>"),
    );
    cloud.aws.set("ec2:GetConsoleOutput", Answer::xml("<GetConsoleOutputResponse/>"));
    cloud.aws.set("guardduty:ListDetectors", Answer::json(json!({"detectorIds": []})));
    let refused = [("ec2:GetConsoleScreenshot", "UnsupportedOperation"), ("ec2:GetConsoleScreenshot", "IncorrectInstanceState")];
    for (action, code) in refused {
        cloud.aws.set(action, error(action, 400, code));
        let context = cloud.collect(0).await.unwrap();
        assert_eq!(context.status, ContextStatus::Collected, "{context:?}");
        for (source, why) in [
            (Source::UserData, "none"),
            (Source::ConsoleOutput, "printed nothing"),
            (Source::ConsoleScreenshot, "says AWS"),
            (Source::GuardDutyFindings, "off in this Region"),
            (Source::CloudTrailAccessKeys, "names no access key"),
        ] {
            let outcome = outcome(&context, source);
            assert_eq!((outcome.status, outcome.object.is_some()), (SourceStatus::Nothing, false), "{outcome:?}");
            assert!(outcome.reason.contains(why), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn an_instance_without_a_live_console_gives_what_ec2_fetched_last() {
    let cloud = Cloud::new();
    cloud.aws.set_fn("ec2:GetConsoleOutput", |call| match call.param("Latest") {
        Some("true") => Answer::ec2_error(400, "UnsupportedOperation", "not on this hypervisor"),
        _ => Answer::xml("<GetConsoleOutputResponse><output>b2xk</output></GetConsoleOutputResponse>"),
    });
    cloud.collect(0).await.unwrap();
    assert_eq!(cloud.kept(Source::ConsoleOutput).unwrap(), b"old");
}
