//! However much there is, as much is taken as is said.

use incident::context::{ContextStatus, Source, SourceStatus};
use serde_json::json;
use stub::Answer;

use crate::support::{Cloud, KEY, error, events, outcome};

#[tokio::test]
async fn a_trail_without_end_is_taken_to_its_bound_and_says_that_there_is_more() {
    let cloud = Cloud::new();
    cloud.aws.set("cloudtrail:LookupEvents", events(&["a", "b", "c"], Some("more")));
    let context = cloud.collect(0).await.unwrap();
    assert_eq!(context.status, ContextStatus::Collected, "a bound of ours is no failure");
    for source in [Source::CloudTrailTarget, Source::CloudTrailSessions, Source::CloudTrailAccessKeys] {
        let outcome = outcome(&context, source);
        assert_eq!((outcome.status, outcome.items), (SourceStatus::Bounded, 24), "{outcome:?}");
        assert!(outcome.reason.contains("AWS has more"));
        assert_eq!(cloud.document(source).calls.len(), 8);
    }
    assert_eq!(cloud.aws.count("cloudtrail:LookupEvents"), 24);
}

#[tokio::test]
async fn a_page_that_is_denied_leaves_what_came_before_it() {
    let cloud = Cloud::new();
    cloud.aws.set_fn("cloudtrail:LookupEvents", |call| {
        if call.json()["NextToken"].is_null() {
            events(&["a", "b"], Some("more"))
        } else {
            error("cloudtrail:LookupEvents", 403, "AccessDeniedException")
        }
    });
    let context = cloud.collect(0).await.unwrap();
    let sessions = outcome(&context, Source::CloudTrailSessions);
    assert_eq!((sessions.status, sessions.items), (SourceStatus::Partly, 2), "{sessions:?}");
    assert!(sessions.object.is_some() && sessions.reason.contains("AccessDeniedException"));
    assert_eq!(cloud.document(Source::CloudTrailSessions).status, SourceStatus::Partly);
    assert_eq!(context.status, ContextStatus::Partly);
}

#[tokio::test]
async fn no_more_keys_are_looked_up_than_a_finding_has_of_an_intruder() {
    let cloud = Cloud::new();
    let resource = |n: usize| json!({"Type": "AwsIamAccessKey", "Id": format!("{KEY}{n}")});
    let many: Vec<_> = (0..40).map(resource).collect();
    let finding = json!({"detail": {"findings": [{"Resources": many}]}});
    cloud.aws.put_object(&format!("cases/{}/finding.json", crate::support::CASE), finding.to_string());
    let context = cloud.collect(0).await.unwrap();
    let keys = outcome(&context, Source::CloudTrailAccessKeys);
    assert_eq!((keys.status, cloud.document(Source::CloudTrailAccessKeys).calls.len()), (SourceStatus::Bounded, 2), "{keys:?}");
}

#[tokio::test]
async fn no_more_is_kept_as_it_is_than_aws_gives_of_it() {
    let cloud = Cloud::new();
    let huge = "QUFB".repeat(2 << 20);
    cloud.aws.set(
        "ec2:GetConsoleScreenshot",
        Answer::xml(
            format!("<r><imageData>{huge}</imageData></r>")
                .replace("<r>", "<GetConsoleScreenshotResponse>")
                .replace("</r>", "</GetConsoleScreenshotResponse>"),
        ),
    );
    let context = cloud.collect(0).await.unwrap();
    let screenshot = outcome(&context, Source::ConsoleScreenshot);
    assert_eq!((screenshot.status, screenshot.object.is_some()), (SourceStatus::NotTaken, false));
    assert!(screenshot.reason.contains("more than AWS gives"), "{}", screenshot.reason);
    assert!(cloud.kept(Source::ConsoleScreenshot).is_none());
}

#[tokio::test]
async fn what_is_handed_on_fits_into_a_payload() {
    let cloud = Cloud::new();
    let long = "x".repeat(5_000);
    for (action, _) in crate::support::CALLS {
        cloud.aws.set(
            action,
            if action.starts_with("ec2:") {
                Answer::ec2_error(400, &long, &long)
            } else {
                Answer::json_error(400, "ValidationException", &long)
            },
        );
    }
    let context = cloud.collect(0).await.unwrap();
    let size = serde_json::to_vec(&context).unwrap().len();
    assert!(size < 16_384, "{size} bytes: a state's output has 262,144 for everything");
}
