//! The end of a target: asked for, answered, guarded.

use aws_sdk_ec2::types::Tag;
use journeys::world::shown;
use journeys::{Ended, World, findings};
use serde_json::{Value, json};

/// An incident of `role` that is over but for its end, under a policy whose other parts are as quick as may be.
struct Asking {
    world: World,
    instance: String,
    execution: String,
    case: String,
}

impl Asking {
    /// Starts an incident and waits until people are asked.
    async fn begin(role: &str, policy: Value) -> Self {
        let asking = Self::start(role, policy).await;
        asking.world.told("permission").await;
        asking
    }

    async fn start(role: &str, policy: Value) -> Self {
        Self::start_in(World::new().await, role, policy).await
    }

    async fn start_in(world: World, role: &str, mut policy: Value) -> Self {
        let instance = world.instance(role);
        if policy.get("memory").is_none() {
            policy["memory"] = json!({"capture": false});
        }
        world.policy(&policy).await;
        let execution = world.start(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient")).await;
        let ended = Ended { execution: execution.clone(), status: String::new(), output: Value::Null, cause: String::new() };
        let case = ended.case(&instance);
        Self { world, instance, execution, case }
    }

    async fn ended(&self) -> Ended {
        let ended = self.world.ended(&self.execution).await;
        assert_eq!(ended.status, "SUCCEEDED", "{}", ended.cause);
        ended
    }

    async fn state(&self) -> String {
        let described = self.world.ec2.describe_instances().instance_ids(&self.instance).send().await.unwrap();
        let state = described.reservations()[0].instances()[0].state().and_then(|state| state.name()).cloned();
        state.map(|state| state.as_str().to_owned()).unwrap_or_default()
    }

    /// What `cordon approve` says to `who`, with these further arguments.
    fn approve(&self, who: &Value, more: &[&str]) -> (bool, String) {
        let person = self.world.person(who);
        let output = self.world.cordon_as(&person, &[&["approve", self.case.as_str()], more].concat());
        (output.status.success(), shown(&output))
    }

    async fn gone(&self) -> bool {
        ["shutting-down", "terminated"].contains(&self.state().await.as_str())
    }

    fn terminated_calls(&self) -> usize {
        self.world.changes().iter().filter(|change| *change == "ec2:TerminateInstances").count()
    }
}

fn ask() -> Value {
    json!({"disposition": "ask"})
}

fn alice() -> Value {
    json!({"user": "alice"})
}

#[tokio::test]
async fn people_are_asked_and_with_their_permission_the_target_is_terminated() {
    let asking = Asking::begin("web", ask()).await;
    let notice = asking.world.told("permission").await;
    let text = notice.to_string();
    assert!(text.contains(&format!("cordon approve {}", asking.case)), "people must get the exact command: {text}");
    assert!(text.contains(&format!("cordon deny {}", asking.case)), "{text}");
    assert!(!asking.gone().await, "nothing happens before somebody answers");
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(done, "{said}");
    let ended = asking.ended().await;
    assert_eq!((ended.text("permission"), ended.text("termination")), ("approved", "terminated"), "{}", ended.output);
    assert_eq!(ended.output["asPlanned"], true, "{}", ended.output);
    assert!(asking.gone().await);
    let said = asking.world.verified(&asking.case).await;
    assert!(said.contains("approvals/approve-"), "the answer must be part of the case:\n{said}");
    let closed = asking.world.told("closed").await;
    assert!(closed["state"].as_str().unwrap().contains("TERMINATED"), "{closed}");
    let report = asking.world.json(&format!("cases/{}/report.json", asking.case)).await;
    assert!(report["termination"]["by"].to_string().contains("user/alice"), "{report}");
}

#[tokio::test]
async fn two_people_are_needed_where_the_policy_says_so_and_one_role_is_one_person() {
    let asking = Asking::begin("web", json!({"disposition": "ask", "permission": {"persons": 2}})).await;
    let role = |session: &str| json!({"role": "responders", "session": session});
    for who in [role("alice"), role("alice")] {
        let (done, said) = asking.approve(&who, &[]);
        assert!(done, "a repeated answer is the same answer: {said}");
    }
    let (_, said) = asking.approve(&role("bob"), &["--because", "another word by the same role"]);
    assert!(!asking.gone().await, "one role is one person, whatever its sessions are called: {said}");
    let sso = json!({"role": "AWSReservedSSO_DFIR_0123456789abcdef", "session": "carol@example.org"});
    let (done, said) = asking.approve(&sso, &[]);
    assert!(done, "{said}");
    let ended = asking.ended().await;
    assert_eq!(ended.text("termination"), "terminated", "{}", ended.output);
    let report = asking.world.json(&format!("cases/{}/report.json", asking.case)).await;
    let by = report["termination"]["by"].to_string();
    assert!(by.contains("role/responders") && by.contains("sso/carol@example.org"), "{by}");
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn a_denial_ends_the_question_and_the_target_stays_in_quarantine() {
    let asking = Asking::begin("web", json!({"disposition": "ask", "permission": {"persons": 2}})).await;
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(done, "{said}");
    let bob = asking.world.person(&json!({"user": "bob"}));
    let denied = asking.world.cordon_as(&bob, &["deny", &asking.case, "--because", "we still need it running"]);
    assert!(denied.status.success(), "{}", shown(&denied));
    let ended = asking.ended().await;
    assert_eq!((ended.text("permission"), ended.output["termination"].is_null()), ("denied", true), "{}", ended.output);
    assert_eq!(ended.output["asPlanned"], true, "a denial is as planned: {}", ended.output);
    assert!(asking.world.is_contained(&asking.instance).await && !asking.gone().await);
    let closed = asking.world.told("closed").await;
    assert!(closed.to_string().contains("we still need it running"), "{closed}");
    asking.world.verified(&asking.case).await;
    let (late, said) = asking.approve(&json!({"user": "carol"}), &[]);
    assert!(!late, "nobody is asking any more: {said}");
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn silence_means_quarantine() {
    let asking = Asking::start("web", ask()).await;
    asking.world.ask("patience", &json!({"seconds": 0.5}));
    let ended = asking.ended().await;
    assert_eq!((ended.text("permission"), ended.text("containment")), ("silence", "contained"), "{}", ended.output);
    assert_eq!(ended.output["asPlanned"], true, "{}", ended.output);
    assert_eq!(asking.terminated_calls(), 0);
    let (late, said) = asking.approve(&alice(), &[]);
    assert!(!late && !asking.gone().await, "{said}");
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn what_is_missing_must_be_waived_by_name() {
    // Without endpoints there is no way for memory.
    let asking = Asking::begin("single", json!({"disposition": "ask", "memory": {"capture": true}})).await;
    let notice = asking.world.told("permission").await.to_string();
    assert!(notice.contains("--waive memory"), "the command must name what is missing: {notice}");
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(!done && said.contains("memory"), "{said}");
    let (done, said) = asking.approve(&alice(), &["--waive", "snapshot:vol-0123456789abcdef0", "--because", "wrong item"]);
    assert!(!done, "{said}");
    let (done, said) = asking.approve(&alice(), &["--waive", "memory", "--because", "the disk has all we need"]);
    assert!(done, "{said}");
    let ended = asking.ended().await;
    assert_eq!(ended.text("termination"), "terminated", "{}", ended.output);
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn a_standing_permission_needs_nobody_while_nothing_is_missing() {
    let asking = Asking::start("web", json!({"disposition": "terminate"})).await;
    let ended = asking.ended().await;
    assert_eq!((ended.output["permission"].is_null(), ended.text("termination")), (true, "terminated"), "{}", ended.output);
    let report = asking.world.json(&format!("cases/{}/report.json", asking.case)).await;
    assert!(report["termination"]["by"].to_string().contains("version"), "by whose word, and which: {report}");
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn a_standing_permission_is_void_when_anything_is_missing() {
    let asking = Asking::begin("single", json!({"disposition": "terminate", "memory": {"capture": true}})).await;
    assert_eq!(asking.terminated_calls(), 0);
    let bob = asking.world.person(&json!({"user": "bob"}));
    let denied = asking.world.cordon_as(&bob, &["deny", &asking.case, "--because", "get the memory first"]);
    assert!(denied.status.success(), "{}", shown(&denied));
    assert_eq!(asking.ended().await.text("permission"), "denied");
}

/// Something that happens to a target or its case after the seal.
type Change = fn(&Asking) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;

#[tokio::test]
async fn the_guard_refuses_what_was_sealed_otherwise_or_is_protected_or_not_ours() {
    let changes: [(&str, &str, Change); 5] = [
        ("a new volume", "targetChanged", |asking| Box::pin(attach(asking))),
        ("stopped", "targetChanged", |asking| {
            Box::pin(async {
                unprotect(asking).await;
                drop(asking.world.ec2.stop_instances().instance_ids(&asking.instance).send().await.unwrap());
            })
        }),
        ("terminated by somebody else", "targetChanged", |asking| {
            Box::pin(async {
                unprotect(asking).await;
                drop(asking.world.ec2.terminate_instances().instance_ids(&asking.instance).send().await.unwrap());
            })
        }),
        ("a tag that protects", "protected", |asking| Box::pin(tag(asking))),
        ("another case's claim", "otherCaseOpen", |asking| Box::pin(claim(asking))),
    ];
    for (what, kind, change) in changes {
        let asking = Asking::begin("web", json!({"disposition": "ask", "protectedTags": [{"key": "critical"}]})).await;
        change(&asking).await;
        let (done, said) = asking.approve(&alice(), &[]);
        assert!(done, "{what}: the answer counts, the guard decides: {said}");
        let ended = asking.ended().await;
        assert_eq!(ended.text("termination"), "refused", "{what}: {}", ended.output);
        assert_eq!(ended.output["asPlanned"], false, "{what}: {}", ended.output);
        let report = asking.world.json(&format!("cases/{}/report.json", asking.case)).await;
        let refusals = report["termination"]["refusals"].to_string();
        assert!(refusals.contains(kind), "{what}: {refusals}");
        assert_eq!(asking.terminated_calls(), 0, "{what}");
        assert!(asking.world.told("closed").await.to_string().contains("REFUSED"), "{what}: people must hear it");
        asking.world.verified(&asking.case).await;
    }
}

async fn attach(asking: &Asking) {
    let ec2 = &asking.world.ec2;
    let described = ec2.describe_instances().instance_ids(&asking.instance).send().await.unwrap();
    let zone =
        described.reservations()[0].instances()[0].placement().and_then(|place| place.availability_zone()).unwrap().to_owned();
    let volume = ec2.create_volume().size(8).availability_zone(zone).send().await.unwrap().volume_id.unwrap();
    ec2.attach_volume().instance_id(&asking.instance).volume_id(volume).device("/dev/xvdz").send().await.unwrap();
}

async fn tag(asking: &Asking) {
    let tag = Tag::builder().key("critical").value("yes").build();
    asking.world.ec2.create_tags().resources(&asking.instance).tags(tag).send().await.unwrap();
}

/// Somebody takes off what Protect had put on.
async fn unprotect(asking: &Asking) {
    let off = || aws_sdk_ec2::types::AttributeBooleanValue::builder().value(false).build();
    let modify = || asking.world.ec2.modify_instance_attribute().instance_id(&asking.instance);
    modify().disable_api_termination(off()).send().await.unwrap();
    modify().disable_api_stop(off()).send().await.unwrap();
}

#[tokio::test]
async fn the_guard_refuses_a_target_that_somebody_had_protected_before_its_case() {
    let world = World::new().await;
    let on = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(true).build();
    let protect = world.ec2.modify_instance_attribute().instance_id(world.instance("web")).disable_api_termination(on);
    protect.send().await.unwrap();
    let asking = Asking::start_in(world, "web", ask()).await;
    asking.world.told("permission").await;
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(done, "the answer counts, the guard decides: {said}");
    let ended = asking.ended().await;
    assert_eq!(ended.text("termination"), "refused", "{}", ended.output);
    let report = asking.world.json(&format!("cases/{}/report.json", asking.case)).await;
    assert!(report["termination"]["refusals"].to_string().contains("protected"), "{}", report["termination"]);
    assert_eq!(asking.terminated_calls(), 0);
}

async fn claim(asking: &Asking) {
    let other = json!({"caseId": format!("{}-ffffffffffff", asking.instance), "executionArn": asking.execution.replace("cordon-incident:", "cordon-incident:x"), "severity": 8.0});
    let put = asking.world.s3.put_object().bucket(asking.world.bucket()).key(format!("open/{}.json", asking.instance));
    put.body(other.to_string().into_bytes().into()).send().await.unwrap();
}

#[tokio::test]
async fn nobody_but_the_function_writes_an_answer_or_reads_a_token() {
    let asking = Asking::begin("web", ask()).await;
    // Somebody whom IAM allows everything.
    let s3 = asking.world.s3_as(&asking.world.person(&json!({"user": "admin", "everything": true})));
    let mine = s3.put_object().bucket(asking.world.bucket()).if_none_match("*").key(format!("cases/{}/note", asking.case));
    mine.body(b"{}".to_vec().into()).send().await.expect("an administrator may write elsewhere");
    let forged = s3.put_object().bucket(asking.world.bucket()).if_none_match("*");
    let forged = forged.key(format!("cases/{}/approvals/approve-mallory.json", asking.case)).body(b"{}".to_vec().into());
    let refused = forged.send().await.expect_err("only the permission function may write answers");
    assert_eq!(refused.raw_response().map(|answer| answer.status().as_u16()), Some(403));
    let token = s3.get_object().bucket(asking.world.bucket()).key(format!("permission/{}.json", asking.case)).send().await;
    let refused = token.expect_err("the token is nobody's to read");
    assert_eq!(refused.raw_response().map(|answer| answer.status().as_u16()), Some(403));
}

#[tokio::test]
async fn a_question_that_reaches_nobody_ends_in_quarantine_and_raises_the_alarm() {
    let asking = Asking::start("web", ask()).await;
    asking
        .world
        .faults(&json!([{"action": "lambda:Invoke", "function": "permission", "kind": "before", "code": "Denied", "count": -1}]));
    let ended = asking.world.ended(&asking.execution).await;
    assert_eq!(ended.status, "FAILED", "{}", ended.output);
    assert!(asking.world.is_contained(&asking.instance).await && !asking.gone().await);
    asking.world.told("failed").await;
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn a_question_whose_answer_is_lost_is_asked_again_and_one_answer_is_enough() {
    let asking = Asking::start("web", ask()).await;
    asking.world.faults(&json!([{"action": "lambda:Invoke", "function": "permission", "kind": "after", "code": "Lambda.ServiceException", "count": 1}]));
    journeys::world::until("people are asked twice", || async {
        let asked = asking.world.kinds().into_iter().filter(|kind| kind == "permission").count();
        (asked == 2).then_some(())
    })
    .await;
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(done, "{said}");
    let ended = asking.ended().await;
    assert_eq!((ended.text("termination"), ended.output["asPlanned"].as_bool()), ("terminated", Some(true)), "{}", ended.output);
    assert_eq!(asking.terminated_calls(), 1);
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn a_lost_answer_of_the_last_step_terminates_once_and_closes() {
    let asking = Asking::begin("web", ask()).await;
    asking.world.faults(
        &json!([{"action": "lambda:Invoke", "function": "terminate", "kind": "after", "code": "Lambda.Unknown", "count": 1}]),
    );
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(done, "{said}");
    let ended = asking.ended().await;
    assert_eq!(ended.text("termination"), "terminated", "{}", ended.output);
    assert_eq!(asking.terminated_calls(), 1, "what is already ended is not ended again");
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn an_end_that_ec2_refuses_is_told_and_the_target_stays_contained() {
    let asking = Asking::begin("web", ask()).await;
    asking.world.faults(&json!([{"action": "ec2:TerminateInstances", "kind": "before", "code": "UnauthorizedOperation", "status": 403, "count": -1}]));
    let (done, said) = asking.approve(&alice(), &[]);
    assert!(done, "{said}");
    let ended = asking.ended().await;
    assert_eq!(
        (ended.text("termination"), ended.output["asPlanned"].as_bool()),
        ("notTerminated", Some(false)),
        "{}",
        ended.output
    );
    assert!(asking.world.is_contained(&asking.instance).await && !asking.gone().await);
    asking.world.verified(&asking.case).await;
}

#[tokio::test]
async fn a_case_that_is_stopped_while_people_are_asked_is_closed_and_nobody_can_approve_it_any_more() {
    let asking = Asking::begin("web", ask()).await;
    let stopped = asking.world.cordon(&["stop", &asking.case, "--because", "a false alarm"]);
    assert!(stopped.status.success(), "{}", shown(&stopped));
    let ended = asking.world.ended(&asking.execution).await;
    assert_eq!(ended.status, "ABORTED");
    asking.world.told("failed").await;
    let (late, said) = asking.approve(&alice(), &[]);
    assert!(!late, "{said}");
    journeys::world::until("the case is closed", || async {
        asking.world.object(&format!("cases/{}/manifest-closing.json.sig", asking.case)).await
    })
    .await;
    assert!(asking.world.is_contained(&asking.instance).await && !asking.gone().await);
    asking.world.verified(&asking.case).await;
}
