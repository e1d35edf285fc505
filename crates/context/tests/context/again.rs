//! Done twice, also by an attempt that another one overtook.

use incident::context::{ContextStatus, Source, SourceStatus};
use stub::Answer;

use crate::support::{CALLS, CASE, Cloud, error, outcome};

#[tokio::test]
async fn a_second_run_asks_nothing_about_what_is_there_and_says_the_same() {
    let cloud = Cloud::new();
    let first = cloud.collect(0).await.unwrap();
    let kept = cloud.aws.keys();
    cloud.aws.forget_calls();
    let second = cloud.collect(1).await.unwrap();
    assert_eq!(second, first);
    assert_eq!(cloud.questions().len(), 0, "{:?}", cloud.aws.actions());
    let new: Vec<String> = cloud.aws.keys().into_iter().filter(|key| !kept.contains(key)).collect();
    assert!(new.iter().all(|key| key.contains("/records/")), "{new:?}");
}

#[tokio::test]
async fn what_was_partly_had_stays_so_for_a_second_run() {
    let cloud = Cloud::new();
    cloud.aws.set("ec2:DescribeFlowLogs", error("ec2:DescribeFlowLogs", 403, "UnauthorizedOperation"));
    let first = cloud.collect(0).await.unwrap();
    let flows = outcome(&first, Source::FlowLogs);
    assert_eq!(
        (flows.status, flows.object.is_some()),
        (SourceStatus::Partly, true),
        "the interfaces had been described: {flows:?}"
    );
    assert_eq!(cloud.collect(1).await.unwrap(), first);
}

#[tokio::test]
async fn the_first_writer_wins_also_where_nobody_could_see_it() {
    let cloud = Cloud::new();
    let first = cloud.collect(0).await.unwrap();
    // The list of what is there is refused, and no retry is left: everything is asked again, and found when it is written.
    cloud.aws.set("s3:ListObjectsV2", error("s3:ListObjectsV2", 403, "AccessDenied"));
    cloud.aws.set("ec2:DescribeVolumes", Answer::xml("<DescribeVolumesResponse><volumeSet/></DescribeVolumesResponse>"));
    let second = cloud.collect(3).await.unwrap();
    assert_eq!(second, first, "what the first attempt saw is what is in the case");
    assert_eq!(cloud.document(Source::Volumes).items, 1);
}

#[tokio::test]
async fn an_object_that_cordon_did_not_write_is_no_source() {
    let cloud = Cloud::new();
    cloud.aws.put_object(&format!("cases/{CASE}/{}", Source::Tags.name()), "{}");
    let context = cloud.collect(0).await.unwrap();
    let tags = outcome(&context, Source::Tags);
    assert_eq!((tags.status, tags.object.is_some()), (SourceStatus::NotTaken, true), "{tags:?}");
    assert_eq!(context.status, ContextStatus::Partly);
}

#[tokio::test]
async fn an_answer_of_the_bucket_that_is_lost_is_found_again() {
    let cloud = Cloud::new();
    cloud.aws.push("s3:PutObject", Answer::bucket_then_lost());
    assert!(cloud.collect(0).await.is_err(), "nobody knows whether it was written");
    let context = cloud.collect(1).await.unwrap();
    assert_eq!(context.status, ContextStatus::Collected, "{context:?}");
}

#[tokio::test]
async fn what_is_busy_is_tried_again_and_nothing_else_is() {
    for (action, sources) in CALLS {
        for busy in
            [error(action, 400, "ThrottlingException"), Answer::timeout(), Answer::lost(), error(action, 503, "Unavailable")]
        {
            let cloud = Cloud::new();
            cloud.aws.push(action, busy);
            let failed = cloud.collect(0).await.unwrap_err();
            assert_eq!(incident::Classify::fault(&failed), incident::Fault::Transient, "{action}: {failed}");
            cloud.aws.forget_calls();
            let context = cloud.collect(1).await.unwrap();
            assert_eq!(context.status, ContextStatus::Collected, "{action}: {context:?}");
            let asked = cloud.questions();
            let expected = |asked: &str| {
                CALLS.iter().any(|(call, others)| *call == asked && others.iter().any(|source| sources.contains(source)))
                    || asked == "route53resolver:ListResolverQueryLogConfigs"
            };
            assert!(asked.iter().all(|call| expected(&call.action)), "{action}: {:?}", cloud.aws.actions());
        }
    }
}
