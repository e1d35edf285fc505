//! A pause between the two swaps: what it opens is closed by what comes after it, whatever fails.

use incident::evidence::{ContainmentStatus, Converted};
use incident::risk::RiskKind;
use incident::{Classify as _, Fault};
use isolate::Output;
use serde_json::{Value, json};
use stub::Answer;

use crate::support::{CONVERSION, Cloud, NIC, NIC2, VPC, VPC2, WEB, capturing, plan};

const MODIFY: &str = "ec2:ModifyNetworkInterfaceAttribute";

/// The plan of a pause.
fn pausing(mut plan: Value) -> Value {
    plan["convertPauseSeconds"] = json!(5);
    plan
}

async fn convert(cloud: &Cloud, plan: &Value) -> Result<Converted, isolate::Error> {
    again(cloud, plan, 0).await
}

async fn again(cloud: &Cloud, plan: &Value, retry: u32) -> Result<Converted, isolate::Error> {
    match cloud.step("convert", retry, plan).await? {
        Output::Converted(converted) => Ok(converted),
        other => panic!("convert gave {other:?}"),
    }
}

#[tokio::test]
async fn the_first_half_is_done_before_the_pause_and_the_second_after_it() {
    for plan in [pausing(Cloud::plan()), pausing(capturing(Cloud::plan()))] {
        let cloud = Cloud::simple().with_collection();
        let converted = convert(&cloud, &plan).await.unwrap();
        assert_eq!(converted.interfaces.iter().map(incident::InterfaceId::as_str).collect::<Vec<_>>(), [NIC]);
        assert_eq!((cloud.worn(NIC), converted.reasons.len()), (vec!["cordon-conversion".to_owned()], 0));
        let intent = &cloud.records("intent")[0]["changes"];
        assert_eq!(intent.as_array().unwrap().len(), 1, "nothing else is announced: {intent}");
        assert_eq!(intent[0]["from"]["groups"], json!([WEB]), "its old groups are durable before it is opened");

        let contained = cloud.run("contain", 0, &plan).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
        assert_eq!(cloud.account().history.len(), 2, "it is not opened a second time");
        let tracked = contained.risks.iter().any(|risk| risk.kind == RiskKind::AutomaticallyTrackedFlows && risk.subject == NIC);
        assert!(!tracked, "it was converted: {:?}", contained.risks);
    }
}

#[tokio::test]
async fn what_the_first_half_fails_at_is_said_and_isolate_does_all_of_it() {
    for (status, code) in [(403, "UnauthorizedOperation"), (503, "RequestLimitExceeded")] {
        let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])]);
        let plan = pausing(plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])]));
        cloud.refuse_moves(NIC2, status, code);
        let converted = convert(&cloud, &plan).await.unwrap();
        assert_eq!(converted.interfaces.len(), 1, "{code}: what is busy is not waited for while the other one is open");
        assert!(converted.reasons.iter().any(|reason| reason.contains(code)), "{:?}", converted.reasons);
        cloud.allow_moves();
        let contained = cloud.run("contain", 0, &plan).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained, "{code}: {contained:?}");
        assert_eq!(cloud.account().history.len(), 4, "{code}: each is opened once and cut once");
    }
}

#[tokio::test]
async fn whatever_fails_after_the_pause_nothing_stays_wide_open() {
    // The cut is refused: the door is closed by revoking its rules.
    let cloud = Cloud::simple().with_pair();
    let plan = pausing(Cloud::plan());
    convert(&cloud, &plan).await.unwrap();
    cloud.refuse_moves("cordon-isolation", 403, "UnauthorizedOperation");
    cloud.run("contain", 0, &plan).await.unwrap_err();
    let closed = cloud.run("close-door", 0, &plan).await.unwrap();
    assert_ne!(closed.status, ContainmentStatus::Contained);
    assert!(cloud.account().groups[CONVERSION].ingress.is_empty(), "what is stuck in it must not be open");

    // The run dies in the pause, and the last word closes the door.
    let cloud = Cloud::simple().with_pair();
    convert(&cloud, &plan).await.unwrap();
    let closed = cloud.run("close-door", 3, &plan).await.unwrap();
    assert_eq!(closed.status, ContainmentStatus::Contained, "{closed:?}");
    assert_eq!(cloud.worn(NIC), ["cordon-isolation"]);
}

#[tokio::test]
async fn twice_is_as_once_and_what_is_cut_is_not_opened_again() {
    let cloud = Cloud::simple().with_pair();
    let plan = pausing(Cloud::plan());
    convert(&cloud, &plan).await.unwrap();
    let again = convert(&cloud, &plan).await.unwrap();
    assert_eq!((again.interfaces.len(), cloud.account().history.len()), (0, 1));
    cloud.run("contain", 0, &plan).await.unwrap();
    let after = convert(&cloud, &plan).await.unwrap();
    assert_eq!((after.interfaces.len(), cloud.worn(NIC)), (0, vec!["cordon-isolation".to_owned()]));
}

#[tokio::test]
async fn a_first_attempt_that_cannot_look_is_tried_again_and_a_later_one_gives_way_to_the_cut() {
    for action in ["ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"] {
        let cloud = Cloud::simple().with_pair();
        let plan = pausing(Cloud::plan());
        cloud.aws.set(action, Answer::ec2_error(503, "RequestLimitExceeded", "slow down"));
        assert_eq!(convert(&cloud, &plan).await.unwrap_err().fault(), Fault::Transient, "nothing is open yet");
        let later = again(&cloud, &plan, 1).await.unwrap();
        assert!(later.interfaces.is_empty() && later.reasons[0].contains(action), "it may be open already: {later:?}");
    }
}

#[tokio::test]
async fn nothing_is_opened_where_nothing_can_follow() {
    // Without a place to end in.
    let cloud = Cloud::simple();
    cloud.aws.set_fn("ec2:CreateSecurityGroup", |_| Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let converted = convert(&cloud, &pausing(Cloud::plan())).await.unwrap();
    assert_eq!((converted.interfaces.len(), cloud.worn(NIC)), (0, vec![WEB.to_owned()]));

    // Without what was before on record.
    let cloud = Cloud::simple().with_pair();
    cloud.aws.set("s3:GetObject", Answer::s3_error(404, "NoSuchKey", "gone"));
    assert_eq!(convert(&cloud, &pausing(Cloud::plan())).await.unwrap_err().fault(), Fault::Refused);
    assert_eq!(cloud.aws.count(MODIFY), 0);

    // Where the plan has no pause, or leaves the cut to a person.
    let mut withheld = pausing(Cloud::plan());
    withheld["cut"] = json!({ "decision": "askFirst", "reasons": ["a tag"] });
    for plan in [Cloud::plan(), withheld] {
        let cloud = Cloud::simple().with_pair();
        assert_eq!(convert(&cloud, &plan).await.unwrap_err().fault(), Fault::Refused);
        assert_eq!(cloud.changes(), [""; 0]);
    }
}

#[tokio::test]
async fn a_group_that_is_closed_in_the_pause_made_nothing_untracked_for_sure() {
    let cloud = Cloud::simple().with_pair();
    let plan = pausing(Cloud::plan());
    convert(&cloud, &plan).await.unwrap();
    {
        let mut account = cloud.account();
        let group = account.groups.get_mut(CONVERSION).unwrap();
        group.ingress.clear();
        group.egress.clear();
    }
    let contained = cloud.run("contain", 0, &plan).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    let tracked = contained.risks.iter().any(|risk| risk.kind == RiskKind::AutomaticallyTrackedFlows && risk.subject == NIC);
    assert!(tracked, "{:?}", contained.risks);
}
