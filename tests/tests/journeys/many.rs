//! Many at once, and EC2 refuses calls for their number.

use journeys::World;
use serde_json::{Value, json};

const TARGETS: usize = 12;
const INTERFACES: usize = 2;
const MODIFY: &str = "ec2:ModifyNetworkInterfaceAttribute";

/// Buckets that are to a dozen targets what EC2's are to a hundred and more.
fn small_buckets() -> Value {
    json!({"ModifyNetworkInterfaceAttribute": [14, 4], "ModifyInstanceAttribute": [12, 4], "CreateSnapshots": [6, 2], "LockSnapshot": [6, 2]})
}

#[tokio::test]
async fn a_dozen_targets_at_once_are_all_contained_although_ec2_refuses_calls_for_their_number() {
    let world = World::new().await;
    let made = world.ask("targets", &json!({"count": TARGETS, "interfaces": INTERFACES}));
    let targets: Vec<&str> = made["instances"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(targets.len(), TARGETS);
    world.ask("buckets", &json!({"enforced": true, "sizes": small_buckets()}));
    // A person asks for each: the brake holds back what nobody asked for.
    let mut executions = Vec::new();
    for target in &targets {
        executions.push(world.start(&json!({"instanceId": target, "reason": "many at once"})).await);
    }
    let mut all = Vec::new();
    for execution in &executions {
        all.push(world.ended(execution).await);
    }
    world.ask("buckets", &json!({"enforced": false}));

    for (target, ended) in targets.iter().zip(&all) {
        let at = format!("{target}: {} {} {}", ended.status, ended.output, ended.cause);
        assert_eq!((ended.status.as_str(), ended.text("containment")), ("SUCCEEDED", "contained"), "{at}");
        let roles = world.group_roles(target).await;
        assert_eq!(roles, vec![vec!["isolation".to_owned()]; INTERFACES], "{at}");
        let case = ended.case(target);
        let manifest = world.json(&format!("cases/{case}/manifest-evidence.json")).await;
        let said = &manifest["containment"];
        assert!(said["status"] == "contained" && said["readBackAt"].is_string(), "{target}: it is said as it was read: {said}");
        let cut = said["interfaces"].as_array().unwrap().iter().filter(|nic| nic["status"] == "cut").count();
        assert_eq!(cut, INTERFACES, "{target}: {said}");
        assert_eq!(manifest["protection"]["status"], "protected", "{target}: {}", manifest["protection"]);
        assert_eq!(manifest["snapshots"].as_array().map(Vec::len), Some(1), "{target}: {}", manifest["missing"]);
        world.verified(&case).await;
    }
    assert_eq!(world.keys("open/").await, Vec::<String>::new(), "every case is closed");
    let kinds = world.kinds();
    for kind in ["opened", "closed"] {
        assert_eq!(kinds.iter().filter(|told| *told == kind).count(), TARGETS, "people hear of each case: {kinds:?}");
    }

    let calls = world.calls();
    let ours = |call: &&Value| call["app"].is_string();
    let refused = calls.iter().filter(ours).filter(|call| call["error"] == "RequestLimitExceeded");
    let refused = refused.filter(|call| call["action"] == MODIFY).count();
    assert!(refused > 0, "nothing was refused, so this journey shows nothing");
    let moves =
        calls.iter().filter(ours).filter(|call| call["action"] == MODIFY && call["about"].is_null() && call["status"] == 200);
    assert_eq!(moves.count(), 2 * TARGETS * INTERFACES, "each interface is converted once and cut once");
}
