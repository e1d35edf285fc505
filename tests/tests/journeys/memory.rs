//! Memory: captured with nothing but URLs on the target, or said why not; and then nothing is open any more.

use aws_sdk_lambda::primitives::Blob;
use journeys::{Ended, World, findings, world::until};
use serde_json::{Value, json};

async fn respond(world: &World, instance: &str) -> Ended {
    world.run(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await
}

async fn evidence(world: &World, case: &str) -> Value {
    world.json(&format!("cases/{case}/manifest-evidence.json")).await
}

/// What holds at the end of every incident, however its capture ended: contained, locked down, closed, told, verified.
async fn locked_down(world: &World, ended: &Ended, instance: &str) -> Value {
    assert_eq!(ended.status, "SUCCEEDED", "{}", ended.cause);
    let roles = world.group_roles(instance).await;
    assert!(world.is_contained(instance).await, "after lock-down every interface is isolated without rules: {roles:?}");
    assert_eq!(ended.text("lockdown"), "lockedDown", "{}", ended.output);
    assert!(!world.metadata_answers(instance).await, "instance metadata must be off after lock-down");
    let case = ended.case(instance);
    world.verified(&case).await;
    assert!(world.kinds().contains(&"closed".to_owned()), "{:?}", world.kinds());
    evidence(world, &case).await
}

/// An incident whose memory was not (wholly) captured says so, with `why`, and everything else goes on.
async fn without_memory(world: &World, instance: &str, status: &str, why: &str) -> (Ended, Value) {
    let ended = respond(world, instance).await;
    let manifest = locked_down(world, &ended, instance).await;
    assert_eq!(manifest["memory"]["status"], status, "{}", manifest["memory"]);
    assert!(!why.is_empty(), "name the words that must be said: anything holds an empty text");
    let missing = manifest["missing"].to_string();
    assert!(missing.contains("\"memory\"") && missing.contains(why), "`{why}` must be said of memory: {missing}");
    assert_eq!(manifest["complete"], false);
    (ended, manifest)
}

/// On whose word the capture's statement trusts `what` of the image.
fn word<'a>(statement: &'a Value, what: &str) -> &'a str {
    let said = statement["trust"].as_array().into_iter().flatten();
    let mut of = said.filter(|trust| trust["what"] == format!("memory/image.lime {what}"));
    of.next().and_then(|trust| trust["word"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn memory_is_captured_over_the_path_alone_and_then_nothing_is_open() {
    let world = World::new().await;
    let instance = world.instance("web");
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{}", ended.output);
    let manifest = locked_down(&world, &ended, &instance).await;
    assert_eq!(manifest["complete"], true, "{}", manifest["missing"]);
    let image = &manifest["memory"]["image"];
    assert_eq!(manifest["memory"]["status"], "captured", "{}", manifest["memory"]);

    let case = ended.case(&instance);
    let file = world.case_file(&case).await;
    let bytes = &file["memory/image.lime"];
    assert_eq!(image["size"], bytes.len(), "{image}");
    assert_eq!(image["sha256"], incident::text::sha256(bytes), "{image}");
    let planted = format!("CORDON-CANARY-{instance}");
    assert!(bytes.windows(planted.len()).any(|window| window == planted.as_bytes()), "`{planted}` must be in the image");
    for name in ["volatile.json", "version", "btf", "kallsyms", "result.json", "capture.json"] {
        assert!(file.contains_key(&format!("memory/{name}")), "memory/{name} is missing: {:?}", file.keys());
    }
    let items = manifest["items"].as_array().cloned().unwrap_or_default();
    let item = items.iter().find(|item| item["object"]["key"].as_str().is_some_and(|key| key.ends_with("image.lime")));
    assert_eq!(item.map(|item| item["trust"].clone()), Some(json!("hostDependent")));
    assert_eq!(item.map(|item| item["crc64nvme"].clone()), Some(image["crc64nvme"].clone()));
    assert!(item.is_some_and(|item| item["lock"]["until"].is_string()), "the image must be locked: {item:?}");

    let statement = world.json(&format!("cases/{case}/memory/capture.json")).await;
    for (what, said) in [
        ("size", "S3's own, equal to the target's word"),
        ("parts", "S3's own, equal to the target's word"),
        ("crc64nvme", "S3's own, equal to the target's word"),
        ("sha256", "the target's word"),
    ] {
        assert_eq!(word(&statement, what), said, "{what}: {}", statement["trust"]);
    }
    let content = word(&statement, "content");
    assert!(content.contains("an attacker with root there can have changed it"), "what is in it is the target's: `{content}`");

    // The only group with a way out is worn by nobody any more; what may have gone that way is told.
    let risks = manifest["risks"].to_string();
    assert!(risks.contains("until ") && risks.contains("the target could reach more"), "{risks}");
    assert!(!risks.contains("memoryNotCaptured"), "{risks}");
}

#[tokio::test]
async fn a_target_that_hands_its_credentials_on_can_do_nothing_with_them_and_its_siblings_go_on() {
    let world = World::new().await;
    let (instance, sibling) = (world.instance("web"), world.instance("sibling"));
    let (taken, others) = (world.credentials(&instance), world.credentials(&sibling));
    assert!(world.may_list_buckets(&taken).await, "before the incident the role works");
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["asPlanned"], true, "{}", ended.output);
    assert!(!world.may_list_buckets(&taken).await, "credentials that were taken before must be dead");
    assert!(world.may_list_buckets(&others).await, "an instance with the same role goes on");
    let manifest = evidence(&world, &ended.case(&instance)).await;
    assert_eq!(
        (&manifest["denial"]["status"], &manifest["denial"]["scope"]),
        (&json!("denied"), &json!("all")),
        "{}",
        manifest["denial"]
    );
}

/// The first secret in `text` that has no business there, of those that the cloud has `issued`: a secret key anywhere, and a
/// session token but in a URL for the one object that its session may reach.
fn leak(text: &str, issued: &[Value]) -> Option<String> {
    issued.iter().find_map(|secret| {
        let (of, value) = (&secret["of"], |field: &str| secret[field].as_str().filter(|value| !value.is_empty()));
        if value("secretAccessKey").is_some_and(|key| text.contains(key)) {
            return Some(format!("the secret key of {of}"));
        }
        let token = value("sessionToken")?;
        let object = secret["policy"]["Statement"][0]["Resource"].as_str().and_then(|arn| arn.strip_prefix("arn:aws:s3:::"));
        let mut before: Vec<&str> = text.split(token).collect();
        before.pop();
        let strays = before.iter().any(|before| {
            let url = before.rsplit_once("http://").map_or("", |(_, url)| url);
            let path = url.split_once('?').and_then(|(place, _)| place.split_once('/')).map(|(_, path)| path);
            let cut = url.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c));
            cut || !url.ends_with("X-Amz-Security-Token=") || path != object
        });
        strays.then(|| format!("a session token of {of}, outside of a URL for {object:?}"))
    })
}

#[test]
fn a_secret_is_found_wherever_it_has_no_business() {
    let policy = json!({"Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::evidence/cases/x/memory/image.lime"}]});
    let issued = [
        json!({"of": "a user", "secretAccessKey": "SECRET-1", "sessionToken": null, "policy": null}),
        json!({"of": "a function", "secretAccessKey": "SECRET-2", "sessionToken": "TOKEN-2", "policy": null}),
        json!({"of": "an upload", "secretAccessKey": "SECRET-3", "sessionToken": "TOKEN-3", "policy": policy}),
    ];
    let url = |key: &str, token: &str| {
        format!("{{\"parts\": [\"http://127.0.0.1:1/evidence/{key}?partNumber=1&X-Amz-Security-Token={token}\"]}}")
    };
    let image = "cases/x/memory/image.lime";
    for clean in [String::new(), "SECRET and TOKEN".to_owned(), url(image, "TOKEN-3"), url("cases/x/plan.json", "TOKEN")] {
        assert_eq!(leak(&clean, &issued), None, "{clean}");
    }
    for planted in [
        "environment: AWS_KEY=SECRET-1".to_owned(),
        format!("{} SECRET-3", url(image, "TOKEN-3")),
        "TOKEN-3".to_owned(),
        format!("{} and TOKEN-3", url(image, "TOKEN-3")),
        format!("http://127.0.0.1:1/evidence/{image} X-Amz-Security-Token=TOKEN-3"),
        url("cases/x/plan.json", "TOKEN-3"),
        url(image, "TOKEN-2"),
    ] {
        assert!(leak(&planted, &issued).is_some(), "not found in {planted}");
    }
}

#[tokio::test]
async fn nothing_that_reaches_the_target_or_systems_manager_is_a_credential() {
    let world = World::new().await;
    let instance = world.instance("web");
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["memory"], "captured", "{} {}", ended.output, ended.cause);
    let case = ended.case(&instance);
    let seen = world.guest(&instance, &json!({}));
    let calls = world.calls();
    let commands = world.ssm.list_commands().instance_id(&instance).send().await;
    // The SDK keeps parameters out of what it prints.
    let sent = commands.map(|answer| answer.commands.unwrap_or_default()).unwrap_or_default();
    let parameters: String = sent.iter().map(|command| format!("{command:?} {:?}", command.parameters())).collect();
    let mut places: Vec<(String, String)> = vec![("Systems Manager's commands".to_owned(), parameters)];
    // What the guest has of its command: the script, the environment, the files and the outputs.
    let has = seen.as_object().into_iter().flatten();
    places.extend(has.map(|(name, value)| (format!("the guest's {name}"), value.to_string())));
    places.extend(calls.iter().map(|call| (format!("the call log's {}", call["action"]), call.to_string())));
    let requests = calls.iter().filter_map(|call| Some((call["action"].as_str()?, call["request"].as_str()?)));
    places.extend(requests.map(|(action, request)| (format!("the request of {action}"), request.to_owned())));
    // What the collector fetches, and what it says.
    for key in world.keys(&format!("work/{case}/memory/")).await.into_iter().chain([format!("cases/{case}/memory/result.json")]) {
        let bytes = world.object(&key).await.unwrap_or_default();
        places.push((key, String::from_utf8_lossy(&bytes).into_owned()));
    }

    for looked_at in ["the guest's environment", "the guest's files", "the guest's output", "the request of ssm:SendCommand"] {
        let found = places.iter().find(|(place, _)| place == looked_at);
        assert!(found.is_some_and(|(_, text)| text.len() > 2), "{looked_at} must still be looked at: {found:?}");
    }
    let issued = world.ask("issued", &json!({})).as_array().cloned().unwrap_or_default();
    let uploads: Vec<&Value> = issued.iter().filter(|secret| secret["policy"].is_object()).collect();
    assert!(uploads.len() >= 9 && issued.len() > uploads.len(), "sessions of uploads and of functions must be known: {issued:?}");
    let request = places.iter().find(|(place, _)| place == "the request of ssm:SendCommand");
    let signs = |secret: &Value| {
        request.is_some_and(|(_, text)| secret["sessionToken"].as_str().is_some_and(|token| text.contains(token)))
    };
    assert!(issued.iter().any(signs), "the plan's URL must be among what is looked at: {request:?}");
    for (place, text) in &places {
        assert_eq!(leak(text, &issued), None, "{place} has what it must not have");
        for name in ["SecretAccessKey", "AWS_SECRET", "aws_secret_access_key", "AWS_SESSION_TOKEN"] {
            assert!(!text.contains(name), "{name} was found in {place}");
        }
    }
}

#[tokio::test]
async fn without_a_path_memory_is_not_captured_and_the_plan_says_so() {
    let world = World::new().await;
    let instance = world.instance("single");
    let (ended, manifest) = without_memory(&world, &instance, "notCaptured", "no path").await;
    assert_eq!(ended.output["asPlanned"], true, "the plan said so from the start: {}", ended.output);
    let plan = world.json(&format!("cases/{}/plan.json", ended.case(&instance))).await;
    assert_eq!(plan["memory"]["because"], "noPath", "{}", plan["memory"]);
    assert!(manifest["risks"].to_string().contains("memoryNotCaptured"));
    let groups = world.ec2.describe_security_groups().send().await.unwrap();
    let made: Vec<&str> = groups.security_groups().iter().filter_map(|group| group.group_name()).collect();
    assert!(made.contains(&"cordon-isolation") && !made.contains(&"cordon-collection"), "no way out may be made: {made:?}");
}

/// Takes a target's instance profile away.
async fn without_profile(world: &World, instance: &str) {
    let of = aws_sdk_ec2::types::Filter::builder().name("instance-id").values(instance).build();
    let found = world.ec2.describe_iam_instance_profile_associations().filters(of).send().await.unwrap();
    for association in found.iam_instance_profile_associations() {
        let id = association.association_id().unwrap();
        world.ec2.disassociate_iam_instance_profile().association_id(id).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_target_without_a_profile_is_contained_and_it_says_why_its_memory_is_not_captured() {
    let world = World::new().await;
    let instance = world.instance("web");
    without_profile(&world, &instance).await;
    let why = "it needs the agent and a role that may use Systems Manager";
    let (_, manifest) = without_memory(&world, &instance, "notCaptured", why).await;
    assert_eq!(manifest["denial"]["status"], "nothingToDeny", "{}", manifest["denial"]);
}

#[tokio::test]
async fn a_target_without_a_profile_is_captured_where_systems_manager_gives_its_agent_a_role() {
    let world = World::new().await;
    let instance = world.instance("web");
    without_profile(&world, &instance).await;
    world.guest(&instance, &json!({"dhmc": true}));
    let ended = respond(&world, &instance).await;
    let manifest = locked_down(&world, &ended, &instance).await;
    assert_eq!(manifest["memory"]["status"], "captured", "{}", manifest["memory"]);
    assert_eq!(manifest["denial"]["status"], "nothingToDeny", "{}", manifest["denial"]);
}

#[tokio::test]
async fn what_the_agent_or_the_kernel_does_not_give_is_said_and_the_rest_goes_on() {
    let cases = [
        (json!({"agent": "absent"}), "notCaptured", Value::Null, "Systems Manager does not know the instance"),
        (json!({"agent": "lost"}), "notCaptured", Value::Null, "the Systems Manager agent is silent (ConnectionLost)"),
        (json!({"lockdown": true}), "notCaptured", Value::Null, "the kernel's lockdown is `confidentiality`"),
        (
            json!({"memoryMiB": 40, "killAfterParts": 1}),
            "partial",
            json!(1),
            "the command ended as `Failed`; the collector gave no result",
        ),
        (
            json!({"memoryMiB": 40, "lostAfterParts": 1}),
            "partial",
            json!(1),
            "the Systems Manager agent is silent; the collector gave no result",
        ),
    ];
    for (behaviour, status, parts, why) in cases {
        let world = World::new().await;
        let instance = world.instance("web");
        world.guest(&instance, &behaviour);
        let (ended, manifest) = without_memory(&world, &instance, status, why).await;
        assert_eq!(ended.output["asPlanned"], false, "{behaviour}: {}", ended.output);
        // What came before the end is kept, and nothing that came after.
        assert_eq!(manifest["memory"]["image"]["parts"], parts, "{behaviour}: {}", manifest["memory"]);
    }
}

#[tokio::test]
async fn a_collector_that_is_not_ours_is_not_run() {
    let world = World::new().await;
    let instance = world.instance("web");
    for key in world.keys("tools/").await {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"#!/bin/sh\necho pwned >memory-was-here\n");
        world.s3.put_object().bucket(world.bucket()).key(key).body(body).send().await.unwrap();
    }
    without_memory(&world, &instance, "notCaptured", "the collector is not the one that this document was made for").await;
    let seen = world.guest(&instance, &json!({})).to_string();
    assert!(!seen.contains("memory-was-here") && seen.contains("was not run"), "{seen}");
}

#[tokio::test]
async fn every_part_and_every_file_fails_once_and_the_image_is_whole() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.guest(&instance, &json!({"memoryMiB": 40}));
    let part = |kind: &str, code: &str, status: u16, skip: u8| json!({"action": "s3:PutObject", "principal": "UploadRole", "kind": kind, "code": code, "status": status, "each": true, "skip": skip});
    // Each is refused, then taken without the answer coming back, and then taken.
    world.faults(&json!([part("before", "SlowDown", 503, 0), part("after", "InternalError", 500, 0)]));
    let ended = respond(&world, &instance).await;
    let manifest = locked_down(&world, &ended, &instance).await;
    assert_eq!(manifest["memory"]["status"], "captured", "{}", manifest["memory"]);
    let calls = world.calls();
    let sent: Vec<&Value> = calls
        .iter()
        .filter(|call| {
            call["action"] == "s3:PutObject" && call["principal"].as_str().is_some_and(|who| who.contains("UploadRole"))
        })
        .collect();
    let image = manifest["memory"]["image"]["parts"].as_u64().unwrap_or_default();
    assert!(image >= 5, "{}", manifest["memory"]["image"]);
    for (kind, status) in [("before", 503), ("after", 500)] {
        let hit = sent.iter().filter(|call| call["fault"] == kind && call["status"] == status).count();
        // Beside the image there are the listing, the version, the types, the symbols and the result.
        assert_eq!(hit as u64, image + 5, "each part must have been hit by `{kind}` once");
    }
}

#[tokio::test]
async fn urls_that_expire_midway_are_followed_by_those_of_the_next_wave() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.guest(&instance, &json!({"memoryMiB": 40}));
    // The first wave's URLs for the image end some 6 seconds from now: a minute is kept back of what a session lasts.
    world.ask("sessions", &json!({"of": "memory/image.lime", "seconds": 66}));
    // Four small files and two parts are taken; the next two are on their way for longer than their URLs hold.
    world.faults(&json!([
        {"action": "s3:PutObject", "principal": "UploadRole", "kind": "delay", "seconds": 7, "skip": 6, "count": 2},
    ]));
    let ended = respond(&world, &instance).await;
    let manifest = locked_down(&world, &ended, &instance).await;
    assert_eq!(manifest["memory"]["status"], "captured", "{}", manifest["memory"]);
    let case = ended.case(&instance);
    let calls = world.calls();
    let parts = |status: u16| {
        let image =
            |call: &&Value| call["key"].as_str().is_some_and(|key| key.ends_with(&format!("cases/{case}/memory/image.lime")));
        calls.iter().filter(|call| call["action"] == "s3:PutObject" && call["status"] == status).filter(image).count()
    };
    assert!(
        parts(403) >= 1,
        "no URL has expired: {:?}",
        calls.iter().filter(|call| call["action"] == "s3:PutObject").collect::<Vec<_>>()
    );
    assert!(parts(200) >= 5, "each part must have been taken in the end");
    let result = world.json(&format!("cases/{case}/memory/result.json")).await;
    assert!(result["errors"].to_string().contains("HTTP 403"), "the collector must say what happened: {}", result["errors"]);
    assert!(!world.keys(&format!("work/{case}/memory/wave-2")).await.is_empty(), "there must have been a second wave");
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_image_and_no_second_command() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.faults(&json!([
        {"action": "lambda:Invoke", "function": "memory-capture", "kind": "after", "code": "Lambda.ServiceException", "count": 2},
    ]));
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.output["memory"], "captured", "{} {}", ended.output, ended.cause);
    assert_eq!(taken(&world, "ssm:SendCommand"), 1, "the command must be found again rather than sent twice");
    assert_eq!(images(&world, &ended.case(&instance)).await, 1, "one case, one image");
    world.verified(&ended.case(&instance)).await;
}

/// How many calls of an action had an effect.
fn taken(world: &World, action: &str) -> usize {
    let calls = world.calls();
    calls.iter().filter(|call| call["action"] == action && matches!(call["status"].as_u64(), Some(200 | 204))).count()
}

/// How many versions of its image a case has.
async fn images(world: &World, case: &str) -> usize {
    let versions = world.s3.list_object_versions().bucket(world.bucket()).prefix(format!("cases/{case}/memory/image.lime"));
    versions.send().await.unwrap().versions().len()
}

/// How often the records of a case say that an action was done.
async fn done(world: &World, case: &str, action: &str) -> usize {
    let records = world.case_file(case).await;
    let outcomes = records.iter().filter(|(name, _)| name.ends_with("-outcome.json"));
    let outcomes: Vec<Value> = outcomes.filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect();
    let changes = outcomes.iter().filter_map(|record| record["changes"].as_array()).flatten();
    changes.filter(|change| change["action"] == action && change["result"]["status"] == "done").count()
}

/// A look beside the one that a state machine is at, as its retry makes it where it gave the first one up: what it says.
async fn look_beside(world: &World, case: &str) -> Value {
    let records = world.case_file(case).await;
    let mut intents = records
        .iter()
        .filter(|(name, _)| name.ends_with("-intent.json"))
        .filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok());
    let mut first: Value = intents.find(|record: &Value| record["visit"]["state"] == "MemoryCapture").unwrap();
    let mut visit = first["visit"].take();
    visit["retry"] = json!(1);
    let plan = world.json(&format!("cases/{case}/plan.json")).await;
    let payload = json!({"visit": visit, "plan": plan, "previous": null});
    let invoke = aws_sdk_lambda::Client::new(world.config()).invoke().function_name("cordon-memory-capture");
    let answer = invoke.payload(Blob::new(payload.to_string())).send().await.unwrap();
    let said = String::from_utf8_lossy(answer.payload().unwrap().as_ref()).into_owned();
    assert_eq!(answer.function_error(), None, "the look beside the first must not fail: {said}");
    serde_json::from_str(&said).unwrap()
}

#[tokio::test]
async fn two_captures_at_once_are_one() {
    // The first is held at one of its uploads, after its intent, and the second overtakes it; or it is held at its command, and
    // the second leaves that to it. To begin an upload is s3:PutObject for IAM, whose names these are.
    for (held, skip, overtaken) in [("s3:PutObject", 1, true), ("ssm:SendCommand", 0, false)] {
        let world = World::new().await;
        let instance = world.instance("web");
        world.faults(&json!([{"action": held, "function": "memory-capture", "kind": "hold", "skip": skip}]));
        let execution = world.start(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient")).await;
        let hits = || async { (world.ask("faults", &json!({})) == json!([1])).then_some(()) };
        until(&format!("{held} is held"), hits).await;
        let case = incident::CaseId::new(&instance.parse().unwrap(), &execution.parse().unwrap()).to_string();
        let second = look_beside(&world, &case).await;
        assert_eq!(second["status"], "running", "{held}: {second}");
        assert_eq!(second["progress"]["commandId"].is_string(), overtaken, "{held}: {second}");
        world.faults(&json!([]));

        let ended = world.ended(&execution).await;
        assert_eq!(ended.output["asPlanned"], true, "{held}: {}", ended.output);
        let manifest = locked_down(&world, &ended, &instance).await;
        assert_eq!(manifest["complete"], true, "{held}: {}", manifest["missing"]);
        assert_eq!(manifest["memory"]["status"], "captured", "{held}: {}", manifest["memory"]);
        assert_eq!(taken(&world, "ssm:SendCommand"), 1, "{held}: one collector may run");
        assert_eq!(images(&world, &case).await, 1, "{held}: one case, one image");
        // Whoever comes second with its uploads, of the image and of five files, drops them and says so.
        let begun = if overtaken { (2, 1) } else { (1, 0) };
        let said = (done(&world, &case, "s3:CreateMultipartUpload").await, done(&world, &case, "s3:AbortMultipartUpload").await);
        assert_eq!(said, begun, "{held}: how often the records say that uploads were begun and dropped");
        assert_eq!(taken(&world, "s3:AbortMultipartUpload"), begun.1 * 6, "{held}: uploads that were dropped");
        let open = world.s3.list_multipart_uploads().bucket(world.bucket()).send().await.unwrap();
        assert!(open.uploads().is_empty(), "{held}: nothing may be left open: {:?}", open.uploads());
    }
}

#[tokio::test]
async fn what_a_target_lies_about_is_never_sealed_as_complete() {
    // Each lie, the comparisons that find it, and what is said of it.
    let lies = [
        (json!({"result": {"bytes": 1}}), &["bytes"][..], "bytes: the target says `1`"),
        (json!({"result": {"parts": 9}}), &["parts"], "parts: the target says `9`"),
        (json!({"result": {"crc64nvme": "AAAAAAAAAAA="}}), &["crc64nvme"], "crc64nvme: the target says `AAAAAAAAAAA=`"),
        (json!({"result": {"crc64nvme": "rosUhgp5mIg="}}), &["crc64nvme"], "crc64nvme: the target says `rosUhgp5mIg=`"),
        (json!({"result": {"sha256": "00"}}), &["sha256"], "sha256: the target says `00`"),
        // S3 cannot confirm a digest that looks like one: whoever seals the case reads the image.
        (json!({"result": {"sha256": "ab".repeat(32)}}), &[], "its SHA-256 is not the one that the collector gave"),
        (json!({"part": 1}), &["crc64nvme"], "crc64nvme: the target says"),
    ];
    for (lie, finds, said) in lies {
        let world = World::new().await;
        let instance = world.instance("web");
        world.guest(&instance, &json!({"lies": lie}));
        let ended = respond(&world, &instance).await;
        let manifest = locked_down(&world, &ended, &instance).await;
        assert_eq!(manifest["complete"], false, "{lie}: {}", manifest["memory"]);
        assert_eq!(ended.output["asPlanned"], false, "{lie}: {}", ended.output);
        let missing = manifest["missing"].to_string();
        assert!(missing.contains(said), "{lie}: `{said}` must be said of what is missing: {missing}");
        let statement = world.json(&format!("cases/{}/memory/capture.json", ended.case(&instance))).await;
        let checks = statement["checks"].as_array().into_iter().flatten();
        let failed: Vec<&str> =
            checks.filter(|check| check["holds"] == false).filter_map(|check| check["what"].as_str()).collect();
        assert_eq!(failed, finds, "{lie}: {}", statement["checks"]);
        let status = if finds.is_empty() { "captured" } else { "partial" };
        assert_eq!(manifest["memory"]["status"], status, "{lie}: {}", manifest["memory"]);
        if finds.contains(&"crc64nvme") {
            let said = word(&statement, "crc64nvme");
            assert_eq!(said, "S3's own, which the target's word does not confirm", "{lie}: {}", statement["trust"]);
        }
    }
}

#[tokio::test]
async fn junk_on_the_targets_output_changes_nothing() {
    let world = World::new().await;
    let instance = world.instance("web");
    world.guest(&instance, &json!({"junkBytes": 10_000_000}));
    let ended = respond(&world, &instance).await;
    let manifest = locked_down(&world, &ended, &instance).await;
    assert_eq!(manifest["memory"]["status"], "captured", "the result is read from its upload too: {}", manifest["memory"]);
}

#[tokio::test]
async fn the_document_must_be_the_one_that_the_function_was_built_for() {
    let world = World::new().await;
    let instance = world.instance("web");
    let content = json!({
        "schemaVersion": "2.2", "parameters": {"PlanUrl": {"type": "String"}},
        "mainSteps": [{"action": "aws:runShellScript", "name": "capture", "inputs": {"runCommand": ["echo '{{ PlanUrl }}' >stolen"]}}],
    });
    let update =
        world.ssm.update_document().name("cordon-capture").content(content.to_string()).document_version("$LATEST").send().await;
    let version = update.unwrap().document_description.and_then(|about| about.document_version).unwrap();
    world.ssm.update_document_default_version().name("cordon-capture").document_version(version).send().await.unwrap();
    without_memory(&world, &instance, "notCaptured", "document").await;
    assert!(!world.calls().iter().any(|call| call["action"] == "ssm:SendCommand"), "nothing may be run");
}
