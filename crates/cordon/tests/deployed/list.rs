use incident::case;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::made::{closing, contained, evidence, execution, id, plan, put};
use crate::{out, said};

const DAY: i64 = 86_400;
/// 2026-11-24T00:00:00Z.
const FIRST: i64 = 1_795_478_400;

/// Executions of every kind, the newest first, and two cases whose executions are forgotten.
fn account() -> Aws {
    let aws = Aws::new();
    let executions = [
        ("running", "RUNNING"),
        ("ignored", "SUCCEEDED"),
        ("sealed", "RUNNING"),
        ("planned", "SUCCEEDED"),
        ("closing", "RUNNING"),
        ("broken", "FAILED"),
    ];
    aws.change(|account| {
        let started = (0..).map(|n| FIRST - n * DAY);
        account.executions = executions.iter().zip(started).map(|((name, status), at)| (execution(name), *status, at)).collect();
    });
    for name in ["running", "sealed", "planned", "closing", "broken", "elder", "old"] {
        put(&aws, name, case::PLAN, &plan(name));
    }
    put(&aws, "sealed", case::EVIDENCE_MANIFEST, &evidence("sealed", &[], &[]));
    // By its id alone it would come before the other one.
    let mut older = plan("elder");
    older["opened"] = json!("2026-01-02T00:00:00Z");
    aws.put(&case::key(&id("elder"), case::PLAN), older.to_string());
    let mut old = plan("old");
    old["opened"] = json!("2026-02-02T00:00:00Z");
    let terminated = json!({"status": "terminated", "by": ["p"], "state": "terminated", "readBackAt": null, "refusals": [], "reasons": [],
        "failure": null});
    for (name, as_planned, report) in [
        ("planned", true, json!({"containment": contained(), "termination": terminated})),
        ("closing", false, json!({"containment": contained()})),
        ("old", true, json!({"plan": old, "containment": contained()})),
    ] {
        put(&aws, name, case::CLOSING_MANIFEST, &closing(name, as_planned, &[]));
        put(&aws, name, case::REPORT, &report);
    }
    aws.put("cases/\u{1b}[2J/finding.json", "{}");
    aws
}

#[test]
fn cases_are_listed_newest_first_and_those_without_an_execution_last() {
    let output = account().cordon(&["list"]);
    let expected = format!(
        "CASE                              OPENED                STATUS                  TARGET
{}  2026-11-24T00:00:00Z  open                    not known yet
{}  2026-11-22T00:00:00Z  open                    contained
{}  2026-11-21T00:00:00Z  closed as planned       terminated
{}  2026-11-20T00:00:00Z  closed, NOT as planned  contained
{}  2026-11-19T00:00:00Z  BROKEN                  not known yet
{}  2026-02-02T00:00:00Z  closed as planned       contained (its execution is forgotten)
{}  2026-01-02T00:00:00Z  BROKEN                  not known yet (its execution is forgotten)
",
        id("running"),
        id("sealed"),
        id("planned"),
        id("closing"),
        id("broken"),
        id("old"),
        id("elder")
    );
    assert_eq!((output.status.code(), out(&output)), (Some(0), expected), "{}", said(&output));
}

#[test]
fn open_lists_what_runs_and_a_limit_says_what_it_leaves_out() {
    let cases = |arguments: &[&str]| {
        let output = account().cordon(&[&["list", "--json"], arguments].concat());
        let parsed: Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(parsed["schema"], "cordon.list.v1", "{}", said(&output));
        let cases = parsed["cases"].as_array().unwrap();
        let ids: Vec<String> = cases.iter().map(|case| case["caseId"].as_str().unwrap().to_owned()).collect();
        (ids, parsed["more"].as_u64().unwrap())
    };
    let ids = |names: &[&str]| names.iter().map(|name| id(name).to_string()).collect::<Vec<_>>();
    assert_eq!(cases(&["--open"]), (ids(&["running", "sealed"]), 0), "one that has closed already is not open");
    assert_eq!(cases(&["--limit", "2"]), (ids(&["running", "sealed"]), 5));
    assert_eq!(cases(&["--limit", "5"]).1, 2);
    assert_eq!(cases(&[]).0.len(), 7);
}

#[test]
fn a_line_for_programs_says_what_is_known_and_null_where_nothing_is() {
    let output = account().cordon(&["list", "--json", "--limit", "3"]);
    let parsed: Value = serde_json::from_str(&out(&output)).unwrap();
    let case = |name: &str, opened: &str, status: &str, run: &str, containment: Value, termination: Value| {
        json!({"caseId": id(name), "instanceId": "i-0abc1234def567890", "opened": opened, "status": status,
            "execution": execution(name), "executionStatus": run, "containment": containment, "termination": termination,
            "releases": null})
    };
    assert_eq!(
        parsed["cases"],
        json!([
            case("running", "2026-11-24T00:00:00Z", "open", "RUNNING", Value::Null, Value::Null),
            case("sealed", "2026-11-22T00:00:00Z", "open", "RUNNING", json!("contained"), Value::Null),
            case("planned", "2026-11-21T00:00:00Z", "closedAsPlanned", "SUCCEEDED", json!("contained"), json!("terminated")),
        ])
    );
}

#[test]
fn an_account_without_cases_says_so() {
    let output = Aws::new().cordon(&["list"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "no cases\n"), "{}", said(&output));
}
