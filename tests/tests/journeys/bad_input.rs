//! Input that is wrong or hostile: the field is named, people are told, and nothing is changed.

use journeys::{World, findings};
use serde_json::{Value, json};

#[tokio::test]
async fn wrong_input_is_refused_by_the_name_of_its_field_and_told() {
    let cases: Vec<(Value, &str)> = vec![
        (json!({}), "instanceId"),
        (json!([]), ""),
        (json!("i-0123456789abcdef0"), ""),
        (json!({"instanceId": "i-xyz", "reason": "r"}), "instanceId"),
        (json!({"instanceId": "i-0123456789abcdef0; rm -rf /", "reason": "r"}), "instanceId"),
        (json!({"instanceId": 7, "reason": "r"}), "instanceId"),
        (json!({"instanceId": "i-0123456789abcdef0"}), "reason"),
        (json!({"instanceId": "i-0123456789abcdef0", "reason": "r", "dryrun": true}), "dryrun"),
    ];
    let world = World::new().await;
    let mut failed = 0;
    for (input, field) in cases {
        let ended = world.run(&input).await;
        failed += usize::from(ended.status == "FAILED");
        let told = format!("{} {}", ended.cause, ended.output);
        assert!(ended.status == "FAILED" || ended.text("verdict") == "ignored", "{input}: {told}");
        assert!(told.contains(field), "{input}: `{field}` must be named: {told}");
    }
    assert_eq!(world.changes(), Vec::<String>::new());
    assert_eq!(world.keys("cases/").await, Vec::<String>::new());
    journeys::world::until("the last word has looked at each failed execution", || async {
        let spoke = |call: &&Value| call["action"] == "lambda:Invoke" && call["function"] == "cordon-last-word";
        (world.calls().iter().filter(spoke).count() == failed).then_some(())
    })
    .await;
    assert_eq!(world.kinds(), vec!["failed"; failed], "people are told of each, and once");
}

#[tokio::test]
async fn hostile_text_in_a_finding_reaches_people_escaped_and_the_case_file_as_received() {
    let world = World::new().await;
    let instance = world.instance("single");
    let mut event = findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
    let hostile = "<script>alert(1)</script>\r\nSubject: all is well\u{1b}[2J";
    event["detail"]["title"] = json!(hostile);
    event["detail"]["id"] = json!("../../open/i-0123456789abcdef0");
    let ended = world.run(&event).await;
    assert_eq!(ended.output["asPlanned"], true, "{} {}", ended.output, ended.cause);
    for notice in world.notices() {
        let text = notice.to_string();
        assert!(!text.contains("<script>") && !text.contains('\u{1b}'), "{text}");
    }
    let case = ended.case(&instance);
    let finding = world.json(&format!("cases/{case}/finding.json")).await;
    assert_eq!(finding["detail"]["title"], hostile, "evidence is kept as received");
    world.verified(&case).await;
}

#[tokio::test]
async fn a_deeply_nested_input_ends_with_people_told_and_nothing_changed() {
    let world = World::new().await;
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!({"a": nested});
    }
    let ended = world.run(&json!({"detail": nested})).await;
    assert!(ended.status == "FAILED" || ended.text("verdict") == "ignored", "{} {}", ended.status, ended.output);
    assert_eq!(world.changes(), Vec::<String>::new());
}
