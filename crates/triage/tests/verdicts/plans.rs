//! What the plan says of the policy, the brake and earlier cases.

use incident::plan::{Cut, PolicySource};
use incident::risk::RiskKind;
use incident::{Classify, Fault};
use serde_json::{Value, json};
use stub::Answer;

use crate::support::*;

#[tokio::test]
async fn without_a_policy_the_target_is_contained_and_the_plan_says_so() {
    let answers = [
        Answer::json_error(400, "ParameterNotFound", "no"),
        Answer::json_error(400, "AccessDeniedException", "no"),
        parameter(&json!({"brakes": 1})),
    ];
    for answer in answers {
        let out = run(&aws().on("ssm:GetParameter", answer), &finding()).await.unwrap();
        let plan = out.plan.unwrap();
        assert_eq!(plan.cut, Cut::Now);
        assert!(matches!(&plan.policy, PolicySource::Fallback { problem } if !problem.is_empty()), "{:?}", plan.policy);
    }
}

#[tokio::test]
async fn a_protected_target_is_not_cut_without_a_person() {
    let policy = json!({"protectedTags": [{"key": "tier", "value": "core"}]});
    for (value, asks) in [("core", true), ("edge", false)] {
        let aws = aws().on("ssm:GetParameter", parameter(&policy));
        let aws = aws.on("ec2:DescribeInstances", described(&instance(INSTANCE, "web", &[("tier", value)])));
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        assert_eq!(matches!(plan.cut, Cut::AskFirst { .. }), asks, "{:?}", plan.cut);
    }
}

#[tokio::test]
async fn the_brake_counts_other_targets_of_the_last_hour_and_holds_for_machines_only() {
    for (others, minutes, manual, asks) in
        [(9, 10, false, false), (10, 10, false, true), (10, 90, false, false), (10, 10, true, false)]
    {
        let aws = aws();
        for n in 0..others {
            let case = format!("i-0000000{n:x}-0123456789ab");
            // Two cases of one target are one target.
            for case in [case.clone(), case.replace("0123456789ab", "ba9876543210")] {
                let at = if minutes == 10 { "20261124T032000.000Z" } else { "20261124T020000.000Z" };
                aws.put_object(&format!("work/brake/{at}-{case}"), "{}");
            }
        }
        let input = if manual { json!({"instanceId": INSTANCE, "reason": "r"}) } else { finding() };
        let plan = run(&aws, &input).await.unwrap().plan.unwrap();
        assert_eq!(matches!(plan.cut, Cut::AskFirst { .. }), asks, "{others} {minutes} {manual}: {:?}", plan.cut);
    }
}

#[tokio::test]
async fn a_brake_that_cannot_count_keeps_no_target_open_and_the_plan_says_so() {
    for action in ["s3:ListObjectsV2", "s3:PutObject"] {
        let aws = aws();
        if action == "s3:PutObject" {
            aws.set_fn(action, |call| {
                let mark = call.path.contains("work/brake/");
                if mark { Answer::s3_error(403, "AccessDenied", "no") } else { Answer::bucket() }
            });
        } else {
            aws.set(action, Answer::s3_error(403, "AccessDenied", "no"));
        }
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        assert_eq!(plan.cut, Cut::Now, "{action}");
        assert!(plan.risks.iter().any(|risk| risk.kind == RiskKind::BrakeNotCounted), "{action}: {:?}", plan.risks);
    }
    let aws = aws().on("s3:ListObjectsV2", Answer::s3_error(503, "SlowDown", "no"));
    assert_eq!(run(&aws, &finding()).await.unwrap_err().fault(), Fault::Transient, "busy is tried again first");
}

#[tokio::test]
async fn more_than_half_of_an_auto_scaling_group_is_not_cut_without_a_person() {
    let tags = [("aws:autoscaling:groupName", "fleet")];
    for (isolated, healthy, asks) in [(0, 0, false), (1, 2, false), (1, 1, true), (2, 1, true)] {
        let member = |n: usize, group: &str| instance(&format!("i-0000000{n}"), group, &tags);
        let mut members = instance(INSTANCE, "web", &tags);
        members.extend((0..isolated).map(|n| member(n, "cordon-isolation")));
        members.extend((5..5 + healthy).map(|n| member(n, "web")));
        let plan = run(&aws().on("ec2:DescribeInstances", described(&members)), &finding()).await.unwrap().plan.unwrap();
        assert_eq!(matches!(plan.cut, Cut::AskFirst { .. }), asks, "{isolated} of {}: {:?}", isolated + healthy + 1, plan.cut);
    }
}

#[tokio::test]
async fn what_a_release_needs_is_saved_as_ec2_says_it() {
    let set =
        "<connectionTrackingConfiguration><tcpEstablishedTimeout>350</tcpEstablishedTimeout></connectionTrackingConfiguration>";
    let address =
        |owner: &str| format!("<association><publicIp>203.0.113.7</publicIp><ipOwnerId>{owner}</ipOwnerId></association>");
    for (inside, tracking, addressed) in [
        (String::new(), Value::Null, Value::Null),
        (set.to_owned(), json!({"tcpEstablished": 350, "udpStream": null, "udp": null}), Value::Null),
        (address("amazon"), Value::Null, json!({"ip": "203.0.113.7", "assigned": true})),
        (address("123456789012"), Value::Null, json!({"ip": "203.0.113.7", "assigned": false})),
        (address("amazon").replace("203.0.113.7", "a name"), Value::Null, Value::Null),
    ] {
        let one = instance(INSTANCE, "web", &[]).replace("<groupSet>", &format!("{inside}<groupSet>"));
        let kept = one.replace("</volumeId></ebs>", "</volumeId><deleteOnTermination>true</deleteOnTermination></ebs>");
        let aws = aws().on("ec2:DescribeInstances", described(&kept));
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        let key = format!("cases/{}/before.json", plan.case_id);
        let before: Value = serde_json::from_slice(&aws.object(&key).unwrap()).unwrap();
        let nic = &before["target"]["interfaces"][0];
        assert_eq!((&nic["tracking"], &nic["address"]), (&tracking, &addressed), "{inside}");
        assert_eq!(before["target"]["volumes"][0]["deleteOnTermination"], true);
    }
}

#[tokio::test]
async fn a_target_in_our_groups_is_linked_to_its_first_case() {
    let ours = |items: &str| {
        Answer::xml(format!(
            "<DescribeSecurityGroupsResponse><securityGroupInfo>{items}</securityGroupInfo></DescribeSecurityGroupsResponse>"
        ))
    };
    let first = format!("{INSTANCE}-000000000000");
    for (answer, linked) in [(ours("<item><groupId>sg-0abc1234</groupId></item>"), true), (ours(""), false)] {
        let aws = aws()
            .on("ec2:DescribeInstances", described(&instance(INSTANCE, "cordon-isolation", &[])))
            .on("ec2:DescribeSecurityGroups", answer);
        aws.put_object(&format!("targets/{INSTANCE}.json"), json!({"firstCase": first}).to_string());
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        assert_eq!(
            plan.earlier_case.map(String::from),
            linked.then(|| first.clone()),
            "only our tag proves that a group is ours"
        );
    }
}

#[tokio::test]
async fn the_end_is_what_the_policy_says_unless_it_is_out_of_the_question_from_the_start() {
    let tagged = |tags: &[(&str, &str)]| described(&instance(INSTANCE, "web", tags));
    let gone = described(&instance(INSTANCE, "web", &[]).replace("<name>running</name>", "<name>terminated</name>"));
    let protected = json!({"disposition": "ask", "protectedTags": [{"key": "tier"}]});
    for (policy, answer, decision, persons) in [
        (json!({}), tagged(&[]), "ask", Some(1)),
        (json!({"disposition": "quarantine"}), tagged(&[]), "quarantine", None),
        (json!({"disposition": "ask", "permission": {"persons": 2, "waitHours": 1}}), tagged(&[]), "ask", Some(2)),
        (json!({"disposition": "terminate"}), tagged(&[]), "terminate", Some(1)),
        (protected, tagged(&[("tier", "core")]), "quarantine", None),
        (json!({"disposition": "terminate"}), gone, "quarantine", None),
        (json!({"brakes": 1}), tagged(&[]), "quarantine", None),
    ] {
        let aws = aws().on("ssm:GetParameter", parameter(&policy)).on("ec2:DescribeInstances", answer);
        let plan = run(&aws, &finding()).await.unwrap().plan.unwrap();
        let said = serde_json::to_value(&plan.disposition).unwrap();
        assert_eq!(said["decision"], decision, "{policy}: {said}");
        assert_eq!(plan.disposition.terms().map(|terms| terms.persons), persons, "{policy}");
        assert_eq!(
            said["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
            decision == "quarantine",
            "{policy}: {said}"
        );
        let hours = policy["permission"]["waitHours"].as_u64().unwrap_or(24);
        assert_eq!(
            plan.disposition.terms().map(|terms| u64::from(terms.wait_seconds)),
            persons.map(|_| hours * 3600),
            "{policy}"
        );
    }
}
