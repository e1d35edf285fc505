//! Incidents that go as planned, from each way in.

use journeys::{Ended, World, findings, world::shown};
use serde_json::{Value, json};

/// What holds at the end of every incident that went as planned.
async fn ended_well(world: &World, ended: &Ended, instance: &str, volumes: usize) {
    assert_eq!(ended.status, "SUCCEEDED", "{}", ended.cause);
    assert_eq!(ended.output["verdict"], "closed", "{}", ended.output);
    assert_eq!(ended.output["asPlanned"], true, "{}", ended.output);
    assert!(
        world.is_contained(instance).await,
        "{instance} must be in its isolation group alone: {:?}",
        world.group_roles(instance).await
    );

    let case = ended.case(instance);
    assert_eq!(ended.text("caseId"), case);
    let said = world.verified(&case).await;
    let file = world.case_file(&case).await;
    for name in [
        "finding.json",
        "before.json",
        "plan.json",
        "snapshots.json",
        "custody.jsonl",
        "report.json",
        "timeline.jsonl",
        "history.json",
    ] {
        assert!(file.contains_key(name), "{name} is missing in {:?}", file.keys().collect::<Vec<_>>());
        assert!(said.contains(name), "cordon verify must list {name}:\n{said}");
    }
    let manifest = world.json(&format!("cases/{case}/manifest-evidence.json")).await;
    // Where nothing would reach a contained target, its memory is missing as planned; nothing else may be.
    let missing: Vec<&str> =
        manifest["missing"].as_array().into_iter().flatten().filter_map(|item| item["item"].as_str()).collect();
    let no_path = world.json(&format!("cases/{case}/plan.json")).await["memory"]["because"] == "noPath";
    assert_eq!(missing, if no_path { vec!["memory"] } else { Vec::new() }, "{}", manifest["missing"]);
    assert_eq!(manifest["complete"], !no_path);
    let snapshots = manifest["snapshots"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(snapshots.len(), volumes, "every volume has a snapshot");
    for snapshot in snapshots {
        assert_eq!(snapshot["taken"]["lock"]["status"], "locked", "{snapshot}");
        assert_eq!(snapshot["look"]["state"], "completed", "{snapshot}");
    }
    assert!(world.json(&format!("open/{instance}.json")).await.is_null(), "the claim must be released");
    assert_eq!(world.kinds(), ["opened", "closed"], "people hear of the opening and of the end, once each");
}

#[tokio::test]
async fn each_kind_of_finding_is_contained_frozen_and_sealed() {
    let kinds = [
        "UnauthorizedAccess:EC2/TorClient",
        "CryptoCurrency:EC2/BitcoinTool.B!DNS",
        "UnauthorizedAccess:EC2/MaliciousIPCaller.Custom",
        "Backdoor:EC2/C&CActivity.B!DNS",
    ];
    for kind in kinds {
        let world = World::new().await;
        let instance = world.instance("single");
        let ended = world.run(&findings::guardduty(world.account(), &instance, kind)).await;
        ended_well(&world, &ended, &instance, 1).await;
    }
}

#[tokio::test]
async fn a_target_with_two_interfaces_and_two_volumes_is_cut_and_frozen_whole() {
    let world = World::new().await;
    let instance = world.instance("web");
    let ended = world.run(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient")).await;
    assert_eq!(world.group_roles(&instance).await.len(), 2);
    ended_well(&world, &ended, &instance, 2).await;
    let converted_before_cut = world.changes();
    let modifications = converted_before_cut.iter().filter(|action| *action == "ec2:ModifyNetworkInterfaceAttribute").count();
    assert_eq!(
        modifications, 7,
        "two interfaces, each converted and cut and its tracking shortened, and one locked down: {converted_before_cut:?}"
    );
}

#[tokio::test]
async fn an_event_on_the_bus_starts_an_incident() {
    let world = World::new().await;
    let instance = world.instance("single");
    world.event(&findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient"));
    let notice = world.told("closed").await;
    assert_eq!(notice["target"]["instanceId"], instance.as_str(), "{notice}");
    let executions = world.executions().await;
    assert_eq!(executions.len(), 1, "one event, one execution: {executions:?}");
    let ended = world.ended(&executions[0]).await;
    ended_well(&world, &ended, &instance, 1).await;
}

#[tokio::test]
async fn every_shape_of_a_finding_reaches_the_same_end() {
    let world = World::new().await;
    let instance = world.instance("single");
    let detail = findings::detail(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
    let ended = world.run(&detail).await;
    ended_well(&world, &ended, &instance, 1).await;
}

#[tokio::test]
async fn a_click_in_security_hub_acts_and_the_same_finding_imported_does_not() {
    let world = World::new().await;
    let instance = world.instance("single");
    let imported = findings::security_hub(world.account(), &instance, "Security Hub Findings - Imported");
    let ended = world.run(&imported).await;
    assert_eq!((ended.status.as_str(), ended.text("verdict")), ("SUCCEEDED", "ignored"), "{}", ended.output);
    assert_eq!(world.changes(), Vec::<String>::new());

    let clicked = findings::security_hub(world.account(), &instance, "Security Hub Findings - Custom Action");
    let ended = world.run(&clicked).await;
    ended_well(&world, &ended, &instance, 1).await;
}

#[tokio::test]
async fn a_person_starts_an_incident_from_the_command_line_and_waits_for_its_end() {
    let world = World::new().await;
    let instance = world.instance("single");
    let output = world.cordon(&["respond", &instance, "--reason", "strange traffic at night", "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let executions = world.executions().await;
    let ended = world.ended(&executions[0]).await;
    ended_well(&world, &ended, &instance, 1).await;
}

#[tokio::test]
async fn a_raw_event_given_to_the_command_line_reaches_the_same_end() {
    let world = World::new().await;
    let instance = world.instance("single");
    let event = findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), event.to_string()).unwrap();
    let output = world.cordon(&["respond", "--event", &file.path().to_string_lossy(), "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    let executions = world.executions().await;
    let ended = world.ended(&executions[0]).await;
    ended_well(&world, &ended, &instance, 1).await;
}

#[tokio::test]
async fn a_dry_run_plans_and_writes_nothing() {
    let world = World::new().await;
    let instance = world.instance("single");
    let ended = world.run(&json!({"instanceId": instance, "reason": "what would happen?", "dryRun": true})).await;
    assert_eq!((ended.status.as_str(), ended.text("verdict")), ("SUCCEEDED", "dryRun"), "{}", ended.output);
    assert_eq!(ended.output["plan"]["target"]["instanceId"], instance.as_str(), "the plan is the answer");
    assert_eq!(world.changes(), Vec::<String>::new());
    // The collector lies there since the deployment.
    let keys: Vec<String> = world.keys("").await.into_iter().filter(|key| !key.starts_with("tools/")).collect();
    assert_eq!(keys, Vec::<String>::new(), "nothing may be written");
    assert_eq!(world.notices(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_replay_of_a_closed_case_is_a_new_case_that_links_to_the_first() {
    let world = World::new().await;
    let instance = world.instance("single");
    let finding = findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
    let first = world.run(&finding).await;
    let second = world.run(&finding).await;
    let (first, second) = (first.case(&instance), second.case(&instance));
    assert_ne!(first, second);
    world.verified(&first).await;
    world.verified(&second).await;
    let plan = world.json(&format!("cases/{second}/plan.json")).await;
    assert_eq!(plan["earlierCase"], first.as_str(), "release needs the first case's before.json");
    assert!(world.is_contained(&instance).await);
}
