//! Context: what AWS knows about the target is in the case, or why not; and nothing of it holds the case up.

use journeys::{Ended, World, findings, world::shown};
use serde_json::{Value, json};

/// Every call that the step makes.
const CALLS: [&str; 16] = [
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeImages",
    "ec2:DescribeTags",
    "ec2:DescribeFlowLogs",
    "ec2:DescribeInstanceAttribute",
    "ec2:GetConsoleOutput",
    "ec2:GetConsoleScreenshot",
    "cloudtrail:LookupEvents",
    "guardduty:ListDetectors",
    "guardduty:ListFindings",
    "guardduty:GetFindings",
    "route53resolver:ListResolverQueryLogConfigAssociations",
    "route53resolver:ListResolverQueryLogConfigs",
];
/// What stands in the web server's user data alone.
const SECRET: &str = "not-for-anybody-elses-eyes";

async fn respond(world: &World, instance: &str) -> Ended {
    world.run(&findings::guardduty(world.account(), instance, "UnauthorizedAccess:EC2/TorClient")).await
}

/// How each source ended, as the seal has it.
async fn sources(world: &World, case: &str) -> Vec<(String, String, u64)> {
    let manifest = world.json(&format!("cases/{case}/manifest-evidence.json")).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |it: &Value| (text(&it["source"]), text(&it["status"]), it["items"].as_u64().unwrap_or_default());
    manifest["context"]["sources"].as_array().into_iter().flatten().map(of).collect()
}

fn shows(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn what_aws_knows_about_the_target_is_in_the_case_sealed_and_told() {
    let world = World::new().await;
    let (web, single) = (world.instance("web"), world.instance("single"));
    // What an intruder would leave behind: calls with the role's credentials, something on the console, more findings.
    assert!(world.may_list_buckets(&world.credentials(&web)).await);
    world.ask("console", &json!({"instance": web, "prints": "\u{1b}[2Jpanic: <script>\r\n"}));
    let more = |instance: &str, id: &str| {
        let mut finding = findings::detail(world.account(), instance, "Trojan:EC2/DNSDataExfiltration");
        finding["id"] = json!(id);
        finding
    };
    let found = json!({"findings": [more(&web, "one"), more(&web, "two"), more(&single, "of-another-target")]});
    world.ask("guardduty", &found);

    let ended = respond(&world, &web).await;
    assert_eq!(
        (&ended.output["asPlanned"], ended.text("context")),
        (&json!(true), "collected"),
        "{} {}",
        ended.output,
        ended.cause
    );
    let case = ended.case(&web);
    let file = world.case_file(&case).await;
    let all = sources(&world, &case).await;
    assert_eq!(all.len(), incident::context::Source::ALL.len(), "{all:?}");
    let of =
        |source: &str| all.iter().find(|(name, ..)| name == source).map(|(_, status, items)| (status.as_str(), *items)).unwrap();
    for (source, status, items) in [
        ("instance", "taken", 1),
        ("volumes", "taken", 2),
        ("interfaces", "taken", 2),
        ("image", "taken", 1),
        ("userData", "taken", 1),
        ("consoleOutput", "taken", 1),
        ("consoleScreenshot", "taken", 1),
        ("guardDutyFindings", "taken", 2),
        ("flowLogs", "taken", 2),
        ("dnsQueryLogs", "taken", 1),
        ("cloudTrailAccessKeys", "nothing", 0),
        ("cloudTrailStart", "nothing", 0),
    ] {
        assert_eq!(of(source), (status, items), "{source}: {all:?}");
    }
    assert!(of("cloudTrailTarget").1 >= 1 && of("cloudTrailSessions").1 >= 1, "{all:?}");
    assert!(shows(&file["context/cloudtrail-target.json"], "RunInstances"), "real events of the target");
    assert!(shows(&file["context/cloudtrail-sessions.json"], "ListBuckets"));
    assert!(!shows(&file["context/guardduty-findings.json"], "of-another-target"));
    assert!(shows(&file["context/console-output.txt"], "\u{1b}[2Jpanic: <script>\r\n"), "as it was printed");

    // Its secret is where it was put, and nowhere else: in no other object, and in no notice.
    for (name, bytes) in &file {
        assert_eq!(shows(bytes, SECRET), name == "context/user-data.bin", "{name}");
    }
    assert!(!format!("{:?}", world.notices()).contains(SECRET));

    let said = world.verified(&case).await;
    for name in file.keys().filter(|name| name.starts_with("context/")) {
        assert!(said.contains(name), "cordon verify must list {name}:\n{said}");
    }
    assert!(
        said.contains("SENSITIVE") && said.contains("the target's word") && said.contains("user-data.bin may hold secrets"),
        "{said}"
    );
    let shown_case = shown(&world.cordon(&["show", &case]));
    assert!(shown_case.contains("context      collected: ") && shown_case.contains("2 GuardDuty findings"), "{shown_case}");
    let watched = shown(&world.cordon(&["watch", &case, "--once"]));
    assert!(watched.contains("  done      context "), "{watched}");
    let notice = world.told("closed").await;
    assert!(notice["also"].to_string().contains("What AWS knows about it is in the case"), "{notice}");
}

#[tokio::test]
async fn calls_and_findings_of_the_target_are_on_the_cases_timeline_as_timesketch_reads_it() {
    let world = World::new().await;
    let web = world.instance("web");
    assert!(world.may_list_buckets(&world.credentials(&web)).await);
    let mut other = findings::detail(world.account(), &web, "Trojan:EC2/DNSDataExfiltration");
    other["title"] = json!("one line\nanother {\"message\": \"forged\"}");
    world.ask("guardduty", &json!({"findings": [other]}));
    let ended = respond(&world, &web).await;
    let bytes = world.case_file(&ended.case(&web)).await.remove("timeline.jsonl").unwrap();
    // As Timesketch's importer reads it: a line is a JSON object with these three, and a time that can be parsed.
    let text = String::from_utf8(bytes).unwrap();
    let mut sources = std::collections::BTreeSet::new();
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap();
        for field in ["message", "datetime", "timestamp_desc"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
        let parsed = line["datetime"].as_str().unwrap().parse::<jiff::Timestamp>();
        assert!(parsed.is_ok(), "{line}");
        sources.insert(line["source"].as_str().unwrap_or_default().to_owned());
    }
    for source in ["finding", "plan", "record", "history", "containment", "cloudtrail", "guardduty"] {
        assert!(sources.contains(source), "{source} is missing: {sources:?}");
    }
    assert!(text.contains("s3:ListBuckets by arn:aws:sts:"), "{text}");
}

#[tokio::test]
async fn where_no_source_can_be_had_the_case_closes_without_and_says_what_is_missing() {
    let world = World::new().await;
    let web = world.instance("web");
    let denied = |action: &str| {
        let code = if action.starts_with("ec2:") { "UnauthorizedOperation" } else { "AccessDeniedException" };
        json!({"action": action, "function": "context", "kind": "before", "code": code, "status": 403, "count": -1})
    };
    world.faults(&CALLS.iter().map(|action| denied(action)).collect());
    let ended = respond(&world, &web).await;
    assert_eq!((ended.status.as_str(), ended.text("context")), ("SUCCEEDED", "partly"), "{} {}", ended.output, ended.cause);
    assert_eq!(
        (&ended.output["asPlanned"], &ended.output["complete"]),
        (&json!(false), &json!(true)),
        "it is told, and blocks nothing"
    );
    let case = ended.case(&web);
    let all = sources(&world, &case).await;
    let not_taken = all.iter().filter(|(_, status, _)| status == "notTaken").count();
    // Nobody names an access key, and no person started the execution: of those there is nothing to deny.
    assert_eq!(not_taken, incident::context::Source::ALL.len() - 2, "{all:?}");
    let file = world.case_file(&case).await;
    assert!(!file.keys().any(|name| name.starts_with("context/")), "{:?}", file.keys());
    let report: Value = serde_json::from_slice(&file["report.json"]).unwrap();
    let told = format!("{} {}", report["reasons"], report["todo"]);
    assert!(told.contains("not all of the target's context is there") && told.contains("its console output"), "{told}");
    world.verified(&case).await;
    let notice = world.told("closed").await;
    assert!(notice["notDone"].to_string().contains("context"), "{notice}");
    assert!(world.is_contained(&web).await);
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_again_and_then_the_case_is_as_planned() {
    let world = World::new().await;
    let instance = world.instance("single");
    // Beyond the SDK's own three attempts of the first question, so that the state is tried again.
    let busy = |action: &str, code: &str, count: u32| json!({"action": action, "function": "context", "kind": "before", "code": code, "status": 400, "count": count});
    world.faults(&json!([
        busy("cloudtrail:LookupEvents", "ThrottlingException", 4),
        busy("guardduty:ListFindings", "TooManyRequestsException", 3)
    ]));
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.text("context"), "collected", "{} {}", ended.output, ended.cause);
    let looked_up =
        world.calls().iter().filter(|call| call["action"] == "cloudtrail:LookupEvents" && call["status"] == 200).count();
    assert_eq!(looked_up, 2, "calls about it and by its sessions, each had once");
    world.verified(&ended.case(&instance)).await;
}

#[tokio::test]
async fn a_finding_that_names_an_access_key_brings_the_calls_made_with_it() {
    let world = World::new().await;
    let web = world.instance("web");
    let taken = world.credentials(&web);
    assert!(world.may_list_buckets(&taken).await);
    let mut event =
        findings::guardduty(world.account(), &web, "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS");
    event["detail"]["resource"]["accessKeyDetails"] = json!({"accessKeyId": taken["accessKeyId"], "userName": "web"});
    let ended = world.run(&event).await;
    let case = ended.case(&web);
    let kept = world.json(&format!("cases/{case}/context/cloudtrail-access-keys.json")).await;
    assert!(kept["items"].as_u64() >= Some(1) && kept.to_string().contains("ListBuckets"), "{} {kept}", ended.output);
}

#[tokio::test]
async fn the_call_that_started_a_manual_run_is_kept_with_who_made_it() {
    let world = World::new().await;
    let instance = world.instance("single");
    let ended = world.run(&json!({"instanceId": instance, "reason": "strange traffic at night"})).await;
    let case = ended.case(&instance);
    let kept = world.json(&format!("cases/{case}/context/cloudtrail-start.json")).await;
    assert_eq!(kept["items"], 1, "{kept}");
    let record = kept["calls"][0]["answer"]["Events"][0]["CloudTrailEvent"].as_str().unwrap_or_default();
    assert!(record.contains(&ended.execution) && record.contains("userIdentity"), "{record}");
}

#[tokio::test]
async fn a_terminated_target_has_the_context_that_aws_still_has() {
    let world = World::new().await;
    let instance = world.instance("terminated");
    let ended = respond(&world, &instance).await;
    assert_eq!(ended.text("context"), "collected", "{} {}", ended.output, ended.cause);
    let all = sources(&world, &ended.case(&instance)).await;
    let of = |source: &str| all.iter().find(|(name, ..)| name == source).map(|(_, status, _)| status.as_str());
    assert_eq!((of("consoleScreenshot"), of("cloudTrailTarget")), (Some("nothing"), Some("taken")), "{all:?}");
}
