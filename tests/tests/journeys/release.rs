//! Protected beside the cut; and given back: every restorable field of the descriptions as it was before.

use journeys::world::{shown, until};
use journeys::{Ended, World};
use serde_json::{Value, json};

use crate::service::{Service, described};

/// A manual request, contained as planned; gives the case.
async fn contained(world: &World, instance: &str) -> (Ended, String) {
    let ended = world.run(&json!({"instanceId": instance, "reason": "a journey"})).await;
    assert_eq!(
        (ended.status.as_str(), ended.text("containment")),
        ("SUCCEEDED", "contained"),
        "{} {}",
        ended.cause,
        ended.output
    );
    let case = ended.case(instance);
    (ended, case)
}

fn request(case: &str) -> Value {
    json!({"caseId": case, "reason": "a false alarm"})
}

#[tokio::test]
async fn what_a_case_took_is_given_back_and_whole_descriptions_are_as_before() {
    let world = World::new().await;
    let web = world.instance("web");
    let service = Service::around(&world, &web).await;
    let credentials = world.credentials(&web);
    let before = service.standing(&world, &web).await;
    let (_, case) = contained(&world, &web).await;
    assert!(service.is_out(&web).await, "it must be out of its balancers");
    assert!(!world.may_list_buckets(&credentials).await, "its credentials must be denied");
    assert_ne!(service.standing(&world, &web).await, before);

    let (calls, keys) = (world.changes().len(), world.keys("cases/").await);
    let dry = world.release(&json!({"caseId": case, "reason": "", "dryRun": true})).await;
    assert_eq!((dry.status.as_str(), dry.text("verdict")), ("SUCCEEDED", "dryRun"), "{} {}", dry.cause, dry.output);
    let restored = dry.output["plan"]["restore"].as_array().cloned().unwrap_or_default();
    assert!(restored.len() >= 8, "interfaces, tracking, metadata, balancers and protections would be restored: {restored:?}");
    assert_eq!((world.changes().len(), world.keys("cases/").await), (calls, keys), "a dry run changes and writes nothing");

    let released = world.release(&request(&case)).await;
    assert_eq!(released.status, "SUCCEEDED", "{} {}", released.cause, released.output);
    assert_eq!(released.output["released"]["status"], "released", "{}", released.output);
    assert_eq!(service.standing(&world, &web).await, before, "every restorable field must be as before");
    assert!(world.may_list_buckets(&credentials).await, "its credentials must be allowed again");
    let release = released.text("releaseId").to_owned();
    world.verified(&release).await;
    world.verified(&case).await;
    let told = world.told("released").await;
    assert_eq!(told["asPlanned"], true, "{told}");
    assert!(world.json(&format!("open/{web}.json")).await.is_null(), "the claim must be released");

    let again = world.release(&request(&case)).await;
    assert_eq!(again.status, "SUCCEEDED", "to release twice is no failure: {} {}", again.cause, again.output);
    assert_eq!(service.standing(&world, &web).await, before);
}

#[tokio::test]
async fn a_member_of_a_group_leaves_it_is_replaced_and_comes_back_only_if_asked_for() {
    let world = World::new().await;
    let like = world.instance("single");
    let service = Service::around(&world, &like).await;
    let member = service.group(&world, &like).await;
    let (_, case) = contained(&world, &member).await;
    let members = service.members().await;
    assert!(!members.contains(&member) && members.len() == 1, "it left, and the group replaced it: {members:?}");
    assert!(service.is_out(&member).await);
    let protection = world.json(&format!("cases/{case}/manifest-evidence.json")).await["protection"].clone();
    assert_eq!(protection["status"], "protected", "{protection}");
    let refused = world.ec2.terminate_instances().instance_ids(&member).send().await.unwrap_err();
    assert!(format!("{refused:?}").contains("OperationNotPermitted"), "nobody ends it by hand: {refused:?}");

    let dry = world.release(&json!({"caseId": case, "reason": "", "dryRun": true})).await;
    let lost = dry.output["plan"]["notRestorable"].to_string();
    assert!(lost.contains("Auto Scaling group"), "{lost}");
    let back = world.release(&json!({"caseId": case, "reason": "a false alarm", "rejoinGroup": true})).await;
    assert_eq!(back.status, "SUCCEEDED", "{} {}", back.cause, back.output);
    assert!(service.members().await.contains(&member), "{}", back.output);
    assert!(!service.is_out(&member).await, "it serves again");
}

#[tokio::test]
async fn a_release_is_refused_with_every_reason_and_changes_nothing() {
    let world = World::new().await;
    let single = world.instance("single");
    let (_, case) = contained(&world, &single).await;
    let standing = described(&world, &single).await;

    let unknown = case.replace(&single, "i-0123456789abcdef0");
    let key = format!("cases/{case}/before.json");
    let broken = async {
        let bytes = world.object(&key).await.unwrap();
        world.s3.put_object().bucket(world.bucket()).key(&key).body(bytes.into()).send().await.unwrap();
    };
    let refused = world.release(&request(&unknown)).await;
    assert_eq!((refused.status.as_str(), refused.cause.is_empty()), ("FAILED", false), "a case that is not there");
    broken.await;
    let refused = world.release(&request(&case)).await;
    assert_eq!(refused.status, "FAILED", "{}", refused.output);
    assert!(refused.cause.contains("verify"), "a case file that was written again must be refused: {}", refused.cause);
    let told = world.told("released").await;
    assert_eq!(told["asPlanned"], false, "{told}");
    assert_eq!(described(&world, &single).await, standing, "nothing is changed");
    assert!(world.json(&format!("open/{single}.json")).await.is_null(), "and nothing is claimed");
}

#[tokio::test]
async fn a_target_that_was_contained_twice_is_given_what_it_had_before_the_first() {
    let world = World::new().await;
    let single = world.instance("single");
    let service = Service::around(&world, &single).await;
    let before = service.standing(&world, &single).await;
    let (_, first) = contained(&world, &single).await;
    let (_, second) = contained(&world, &single).await;
    assert_ne!(first, second);
    let released = world.release(&request(&second)).await;
    assert_eq!(released.status, "SUCCEEDED", "{} {}", released.cause, released.output);
    assert_eq!(service.standing(&world, &single).await, before);
}

#[tokio::test]
async fn a_terminated_target_is_not_released() {
    let world = World::new().await;
    let single = world.instance("single");
    let (_, case) = contained(&world, &single).await;
    let off = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(false).build();
    world.ec2.modify_instance_attribute().instance_id(&single).disable_api_termination(off).send().await.unwrap();
    world.ec2.terminate_instances().instance_ids(&single).send().await.unwrap();
    let refused = world.release(&request(&case)).await;
    assert_eq!(refused.status, "FAILED");
    assert!(refused.cause.contains("terminated") || refused.cause.contains("shutting-down"), "{}", refused.cause);
}

/// Each state of a release that does something, its function, and how many of its invocations come before.
const STATES: [(&str, &str, u32); 5] = [
    ("Check", "release", 0),
    ("AllowCredentials", "credentials", 0),
    ("Restore", "release", 1),
    ("SealRelease", "seal", 0),
    ("NotifyReleased", "notify", 0),
];

/// A contained target with a role, whose memory nobody wants; gives the instance and the case.
async fn quickly_contained(world: &World) -> (String, String) {
    world.policy(&json!({"memory": {"capture": false}})).await;
    let web = world.instance("web");
    let (_, case) = contained(world, &web).await;
    (web, case)
}

/// The next invocation of `function` but `skip` fails with `error`, `before` it runs or `after` that.
fn fail(world: &World, function: &str, skip: u32, kind: &str, error: &str) {
    world.faults(
        &json!([{"action": "lambda:Invoke", "function": function, "kind": kind, "code": error, "count": 1, "skip": skip}]),
    );
}

#[tokio::test]
async fn whichever_state_of_a_release_fails_people_are_told_and_the_target_is_free_for_the_next_finding() {
    // One account for all of them, since each ends with the target as it was.
    let world = World::new().await;
    for (state, function, skip) in STATES {
        let (web, case) = quickly_contained(&world).await;
        let told = || world.kinds().iter().filter(|kind| *kind == "released").count();
        let before = told();
        fail(&world, function, skip, "before", "Denied");
        let ended = world.release(&request(&case)).await;
        assert_eq!(ended.status, "FAILED", "{state}: {}", ended.output);
        until("people are told", || async { (told() > before).then_some(()) }).await;
        if ["Check", "Restore"].contains(&state) {
            assert!(world.is_contained(&web).await, "{state}: {:?}", world.group_roles(&web).await);
        }
        let claim = format!("open/{web}.json");
        until("the claim is released", || async { world.json(&claim).await.is_null().then_some(()) }).await;
        let again = world.release(&request(&case)).await;
        assert_eq!(again.status, "SUCCEEDED", "after {state}: {} {}", again.cause, again.output);
        assert!(!world.is_contained(&web).await, "{state}");
    }
}

#[tokio::test]
async fn a_state_of_a_release_that_runs_twice_gives_back_what_it_gives_back_once() {
    let world = World::new().await;
    for (state, function, skip) in STATES {
        let (web, case) = quickly_contained(&world).await;
        fail(&world, function, skip, "after", "Lambda.ServiceException");
        let ended = world.release(&request(&case)).await;
        assert_eq!(ended.status, "SUCCEEDED", "{state}: {} {}", ended.cause, ended.output);
        assert!(!world.is_contained(&web).await && world.metadata_answers(&web).await, "{state}");
        world.verified(ended.text("releaseId")).await;
    }
}

#[tokio::test]
async fn an_approver_releases_from_the_command_line_and_finds_the_release_again() {
    let world = World::new().await;
    let single = world.instance("single");
    let alice = world.person(&json!({"user": "alice"}));
    let before = described(&world, &single).await.network_interfaces.unwrap_or_default()[0].groups.clone();
    let (_, case) = contained(&world, &single).await;
    let dry = world.cordon_as(&alice, &["release", &case, "--dry-run"]);
    let said = shown(&dry);
    assert!(dry.status.success() && said.contains("groups of eni-") && said.contains("nothing was written or changed"), "{said}");
    let asked = world.cordon_as(&alice, &["release", &case]);
    assert_eq!(asked.status.code(), Some(64), "a reason is needed: {}", shown(&asked));
    let done = world.cordon_as(&alice, &["release", &case, "--reason", "a false alarm"]);
    let said = shown(&done);
    assert!(done.status.success() && said.contains("given back") && said.contains("released: everything"), "{said}");
    let now = described(&world, &single).await.network_interfaces.unwrap_or_default()[0].groups.clone();
    assert_eq!(now, before);
    let release = said.split("cordon verify ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default().to_owned();
    let checked = world.cordon_as(&alice, &["verify", &release]);
    assert!(checked.status.success(), "{}", shown(&checked));
    let again = shown(&world.cordon_as(&alice, &["show", &release]));
    assert!(again.contains(&format!("release of {case}")), "{again}");
    let all = shown(&world.cordon_as(&alice, &["list"]));
    assert!(all.contains(&format!("release of {case}")), "{all}");
    let json = world.cordon_as(&alice, &["--json", "release", &case, "--dry-run"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["schema"], &json["checked"]["verdict"]), (&json!("cordon.release-ended.v1"), &json!("dryRun")));
}

#[tokio::test]
async fn every_vpc_is_prepared_beforehand_and_the_doctor_finds_what_is_open() {
    let world = World::new().await;
    let alice = world.person(&json!({"user": "alice"}));
    let first = world.cordon_as(&alice, &["doctor", "--containment"]);
    let said = shown(&first);
    assert!(first.status.success() && said.contains("cordon prepare --vpc vpc-"), "VPCs without a pair are only noted: {said}");
    let prepared = world.cordon_as(&alice, &["prepare"]);
    assert!(prepared.status.success() && shown(&prepared).contains("made or set right"), "{}", shown(&prepared));
    let clean = shown(&world.cordon_as(&alice, &["doctor"]));
    assert!(!clean.contains("cordon prepare") && clean.contains("nothing is urgent"), "{clean}");

    let single = world.instance("single");
    let target = described(&world, &single).await;
    let vpc = aws_sdk_ec2::types::Filter::builder().name("vpc-id").values(target.vpc_id.unwrap()).build();
    let open = aws_sdk_ec2::types::Filter::builder().name("tag:cordon:role").values("conversion").build();
    let groups = world.ec2.describe_security_groups().filters(vpc).filters(open).send().await.unwrap();
    let nic = target.network_interfaces.unwrap_or_default()[0].network_interface_id.clone().unwrap();
    let door = groups.security_groups()[0].group_id().unwrap();
    world.ec2.modify_network_interface_attribute().network_interface_id(&nic).groups(door).send().await.unwrap();
    let found = world.cordon_as(&alice, &["doctor", "--containment"]);
    let said = shown(&found);
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("URGENT") && said.contains(&nic) && said.contains(&format!("cordon respond {single}")), "{said}");
    let (_, case) = contained(&world, &single).await;
    let healed = shown(&world.cordon_as(&alice, &["doctor"]));
    assert!(healed.contains("nothing is urgent"), "{case}: {healed}");
}
