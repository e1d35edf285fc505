//! One target, one open case.

use journeys::{World, findings};
use serde_json::json;

#[tokio::test]
async fn of_two_findings_at_once_one_opens_the_case_and_the_other_joins_it() {
    let world = World::new().await;
    let instance = world.instance("single");
    // The first case stays open for a while: its snapshot takes long.
    world.ask("snapshots", &json!({"seconds": 6}));
    let first = findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
    let mut second = first.clone();
    second["detail"]["id"] = json!("ffffffffffffffffffffffffffffffff");
    second["detail"]["type"] = json!("CryptoCurrency:EC2/BitcoinTool.B!DNS");
    let owner = world.start(&first).await;
    journeys::world::until("the first finding has the claim", || async {
        (!world.json(&format!("open/{instance}.json")).await.is_null()).then_some(())
    })
    .await;
    let joined = world.run(&second).await;
    assert_eq!((joined.status.as_str(), joined.text("verdict")), ("SUCCEEDED", "joined"), "{} {}", joined.output, joined.cause);
    assert_eq!(joined.text("owner"), owner);

    let ended = world.ended(&owner).await;
    let case = ended.case(&instance);
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    let file = world.case_file(&case).await;
    let joined: Vec<&String> = file.keys().filter(|name| name.starts_with("findings/")).collect();
    assert_eq!(joined.len(), 1, "the second finding belongs to the first one's case: {:?}", file.keys());
    world.verified(&case).await;
    assert_eq!(world.kinds(), ["opened", "closed"], "a finding that is no worse is not told again");
}

#[tokio::test]
async fn a_finding_after_the_owners_execution_died_takes_the_target_over() {
    let world = World::new().await;
    let instance = world.instance("single");
    let dead = format!("{}:dead", world.text("stateMachineArn").replace(":stateMachine:", ":execution:"));
    let claim = json!({"caseId": format!("{instance}-000000000000"), "executionArn": dead, "severity": 8.0});
    let put = world.s3.put_object().bucket(world.bucket()).key(format!("open/{instance}.json"));
    put.body(claim.to_string().into_bytes().into()).send().await.unwrap();

    let ended = world.run(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient")).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    assert!(world.is_contained(&instance).await);
    world.verified(&ended.case(&instance)).await;
}

#[tokio::test]
async fn several_instances_in_one_finding_each_get_a_case() {
    let world = World::new().await;
    let instances = [world.instance("single"), world.instance("web")];
    let mut event = findings::guardduty(world.account(), &instances[0], "AttackSequence:EC2/CompromisedInstanceGroup");
    event["detail"]["resource"] = json!({"resourceType": "AttackSequence"});
    let resources: Vec<_> = instances
        .iter()
        .map(|id| json!({"uid": format!("arn:aws:ec2:us-east-1:{}:instance/{id}", world.account()), "resourceType": "EC2_INSTANCE"}))
        .collect();
    event["detail"]["service"]["detection"] = json!({"sequence": {"resources": resources}});
    let ended = world.run(&event).await;
    assert_eq!((ended.status.as_str(), ended.text("verdict")), ("SUCCEEDED", "fannedOut"), "{} {}", ended.output, ended.cause);
    for instance in &instances {
        journeys::world::until(&format!("{instance} is contained"), || async {
            world.is_contained(instance).await.then_some(())
        })
        .await;
    }
    let executions = world.executions().await;
    assert_eq!(executions.len(), 3, "the finding's own execution and one for each instance: {executions:?}");
    for execution in executions {
        assert_eq!(world.ended(&execution).await.status, "SUCCEEDED");
    }
}

#[tokio::test]
async fn a_triage_that_breaks_after_its_claim_tells_people_and_does_not_keep_the_target() {
    let world = World::new().await;
    let instance = world.instance("single");
    let event = findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
    // The claim goes through; what was decided cannot be written.
    world.faults(&json!([
        {"action": "s3:PutObject", "kind": "before", "code": "AccessDenied", "status": 403, "count": -1, "skip": 2, "principal": "triage"}
    ]));
    let broken = world.run(&event).await;
    assert_eq!(broken.status, "FAILED", "{}", broken.output);
    let notice = world.told("failed").await;
    assert_eq!(notice["target"]["instanceId"], instance.as_str(), "{notice}");
    assert_eq!(world.changes(), Vec::<String>::new(), "without a plan nothing is changed");
    assert!(world.json(&format!("open/{instance}.json")).await.is_null(), "the claim must be released");

    world.faults(&json!([]));
    let ended = world.run(&event).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    assert!(world.is_contained(&instance).await);
}
