//! What must never act changes nothing.

use journeys::{World, findings};
use serde_json::{Value, json};

/// A finding that must not act: what is different from one that acts, the verdict, and a word of the reason.
struct Rule {
    name: &'static str,
    change: fn(&mut Value, &World),
    verdict: &'static str,
    reason: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        name: "a sample title",
        change: |e, _| e["detail"]["title"] = json!("[SAMPLE] EC2 instance behaves badly."),
        verdict: "ignored",
        reason: "sample",
    },
    Rule {
        name: "the sample instance",
        change: |e, _| e["detail"]["resource"]["instanceDetails"]["instanceId"] = json!("i-99999999"),
        verdict: "ignored",
        reason: "sample",
    },
    Rule {
        name: "the sample flag",
        change: |e, _| e["detail"]["service"]["additionalInfo"] = json!({"sample": true}),
        verdict: "ignored",
        reason: "sample",
    },
    Rule {
        name: "the sample flag in a string",
        change: |e, _| e["detail"]["service"]["additionalInfo"] = json!({"value": "{\"sample\":true}", "type": "default"}),
        verdict: "ignored",
        reason: "sample",
    },
    Rule {
        name: "an archived finding",
        change: |e, _| e["detail"]["service"]["archived"] = json!(true),
        verdict: "ignored",
        reason: "archived",
    },
    Rule {
        name: "a port probe",
        change: |e, _| e["detail"]["type"] = json!("Recon:EC2/PortProbeUnprotectedPort"),
        verdict: "ignored",
        reason: "scan",
    },
    Rule {
        name: "inbound brute force",
        change: |e, _| {
            e["detail"]["type"] = json!("UnauthorizedAccess:EC2/SSHBruteForce");
            e["detail"]["service"]["action"]["networkConnectionAction"]["connectionDirection"] = json!("INBOUND");
        },
        verdict: "ignored",
        reason: "brute",
    },
    Rule { name: "a low severity", change: |e, _| e["detail"]["severity"] = json!(4.9), verdict: "ignored", reason: "severity" },
    Rule {
        name: "another account",
        change: |e, _| {
            e["account"] = json!("999999999999");
            e["detail"]["accountId"] = json!("999999999999");
        },
        verdict: "elsewhere",
        reason: "999999999999",
    },
    Rule {
        name: "another Region",
        change: |e, _| {
            e["region"] = json!("eu-west-1");
            e["detail"]["region"] = json!("eu-west-1");
        },
        verdict: "elsewhere",
        reason: "eu-west-1",
    },
    Rule {
        name: "a drill while drills are off",
        change: |e, world| {
            e["source"] = json!("cordon.drill");
            e["detail"]["resource"]["instanceDetails"]["instanceId"] = json!(world.instance("drill"));
        },
        verdict: "ignored",
        reason: "drill",
    },
];

#[tokio::test]
async fn what_must_never_act_changes_nothing_and_says_why() {
    let world = World::new().await;
    let instance = world.instance("single");
    for rule in RULES {
        let mut event = findings::guardduty(world.account(), &instance, "UnauthorizedAccess:EC2/TorClient");
        (rule.change)(&mut event, &world);
        let ended = world.run(&event).await;
        assert_eq!(
            (ended.status.as_str(), ended.text("verdict")),
            ("SUCCEEDED", rule.verdict),
            "{}: {} {}",
            rule.name,
            ended.output,
            ended.cause
        );
        let reason = ended.text("reason").to_lowercase();
        assert!(
            reason.contains(&rule.reason.to_lowercase()),
            "{}: the reason must speak of `{}`: {reason}",
            rule.name,
            rule.reason
        );
    }
    assert_eq!(world.changes(), Vec::<String>::new(), "nothing may be changed");
    assert_eq!(world.keys("cases/").await, Vec::<String>::new(), "no case may be opened");
    assert_eq!(world.keys("open/").await, Vec::<String>::new(), "no claim may stay");
    assert_eq!(world.kinds(), ["elsewhere", "elsewhere"], "a finding about another account or Region is told");
}
