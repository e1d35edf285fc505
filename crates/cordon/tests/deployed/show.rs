use incident::case;
use incident::permission::Answered;
use incident::text::sha256;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::made::{INSTANCE, closing, contained, evidence, execution, id, plan, put};
use crate::{out, said};

fn record(state: &str, phase: &str, action: &str, result: &Value) -> Value {
    let mut change = json!({"action": action, "subject": INSTANCE});
    if !result.is_null() {
        change["result"] = result.clone();
    }
    json!({"schema": "cordon.record.v1", "caseId": id("one"), "number": 1, "phase": phase, "at": "2026-11-24T03:31:02Z", "by": "cordon",
        "visit": {"execution": execution("one"), "state": state, "entered": "2026-11-24T03:31:00Z", "retry": 0}, "changes": [change]})
}

fn answered(manifest: &str) -> Value {
    let answered = json!({"schema": "cordon.answer.v1", "caseId": id("one"), "execution": execution("one"),
        "statement": {"schema": "cordon.statement.v1", "caseId": id("one"), "manifest": manifest, "decision": "approve",
            "waive": [{"item": "memory", "because": "seen\u{1b}[2J"}], "because": ""},
        "person": "111122223333/role/Responder", "arn": "arn:aws:sts::111122223333:assumed-role/Responder/alice",
        "account": "111122223333", "signedAt": "20261124T050000Z", "at": "2026-11-24T05:00:00Z", "by": "permission"});
    serde_json::from_value::<Answered>(answered.clone()).unwrap();
    answered
}

/// An open case: sealed, with one answer and something that is none.
fn open() -> Aws {
    let aws = Aws::new();
    aws.change(|account| account.executions = vec![(execution("one"), "RUNNING", 0)]);
    put(&aws, "one", case::PLAN, &plan("one"));
    let manifest = evidence("one", &[("memory", "no path")], &[]);
    put(&aws, "one", case::EVIDENCE_MANIFEST, &manifest);
    put(&aws, "one", "records/1-Isolate-00-001-intent.json", &record("Isolate", "intent", "ec2:Modify", &Value::Null));
    put(
        &aws,
        "one",
        "records/1-Isolate-00-001-outcome.json",
        &record("Isolate", "outcome", "ec2:Modify", &json!({"status": "done"})),
    );
    put(&aws, "one", "approvals/approve-sha256-0.json", &answered(&sha256(manifest.to_string().as_bytes())));
    put(&aws, "one", "approvals/other.json", &json!("what"));
    aws
}

#[test]
fn an_open_case_is_told_from_its_plan_its_manifest_and_its_records() {
    let output = open().cordon(&["show", id("one").as_str()]);
    let expected = format!(
        "{case}: open
  finding      UnauthorizedAccess:EC2/TorClient (severity 8, by GuardDuty)
               see https[://]evil.example  [2Jnow
  target       {INSTANCE} of account 111122223333 in eu-central-1, running when the case was opened
  opened       2026-11-24T03:30:00Z
  plan         cut the network at once
               capture memory until 2026-11-24T07:30:00Z
               terminate if people approve (2 needed, within 24 hours)
  policy       /cordon/policy, version 3
  containment  contained
  change       03:31:02 ec2:Modify {INSTANCE}: done
  evidence     sealed at 2026-11-24T04:30:00Z, NOT complete
  missing      memory: no path
  answer       approved by 111122223333/role/Responder at 2026-11-24T05:00:00Z
               does without memory: seen [2J
  answer       approvals/other.json CANNOT be read
  to do        decide whether the target may be terminated: cordon approve {case}, or cordon deny {case} --because '…'
",
        case = id("one")
    );
    assert_eq!((output.status.code(), out(&output)), (Some(0), expected), "{}", said(&output));
}

#[test]
fn a_closed_case_is_told_from_its_report() {
    let aws = open();
    let refused = json!({"status": "refused", "by": [], "state": "", "readBackAt": null, "reasons": [], "failure": null,
        "refusals": [{"kind": "targetChanged", "subject": INSTANCE, "reason": "it was started again"}]});
    let report = json!({"schema": "cordon.report.v1", "closedAt": "2026-11-24T05:30:00Z", "reasons": ["memory: no path"], "plan": plan("one"),
        "containment": contained(), "missing": [{"item": "memory", "reason": "no path"}], "todo": ["look at <b>it</b>"],
        "risks": [{"kind": "instanceStore", "subject": "ephemeral0", "advice": "it is lost on stop"}],
        "memory": {"status": "notCaptured", "pauseSeconds": 0, "progress": null, "image": null, "files": [], "reason": "no path", "failure": null},
        "permission": {"status": "approved", "answers": [], "failure": null}, "termination": refused});
    put(&aws, "one", case::REPORT, &report);
    put(&aws, "one", case::CLOSING_MANIFEST, &closing("one", false, &[]));
    let output = aws.cordon(&["show", id("one").as_str()]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for line in [
        &format!("{}: closed, NOT as planned", id("one")),
        "  closed       2026-11-24T05:30:00Z",
        "  not planned  memory: no path",
        "  memory       NOT captured",
        "  permission   approved",
        "  end          REFUSED by the guard",
        "               targetChanged: i-0abc1234def567890: it was started again",
        "  risk         ephemeral0: it is lost on stop",
        "  to do        look at ‹b›it‹/b›",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn programs_get_one_document_whatever_is_known() {
    let document = |aws: &Aws| -> Value {
        let output = aws.cordon(&["show", id("one").as_str(), "--json"]);
        let text = out(&output);
        assert!(
            output.status.code() == Some(0) && !text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'),
            "{text}"
        );
        serde_json::from_str(&text).unwrap()
    };
    let aws = open();
    let (full, bare) = (document(&aws), Aws::new());
    put(&bare, "one", case::FINDING, &json!({}));
    let bare = document(&bare);
    let keys = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&full), keys(&bare), "a field is null where nothing is known, never absent");
    assert_eq!((&full["schema"], &full["status"], &bare["status"]), (&json!("cordon.show.v1"), &json!("open"), &json!("open")));
    assert_eq!(full["plan"], plan("one"), "escaped text says the same");
    assert_eq!((&full["sealed"]["complete"], &bare["sealed"]), (&json!(false), &Value::Null));
    assert_eq!(full["unreadableAnswers"], json!(["approvals/other.json"]));

    let ended = |result: &Value, status: &str| {
        put(
            &aws,
            "one",
            "records/2-Terminate-00-001-outcome.json",
            &record("Terminate", "outcome", "ec2:TerminateInstances", result),
        );
        assert_eq!(document(&aws)["termination"]["status"], status);
    };
    ended(&json!({"status": "failed", "fault": "Denied", "message": "no"}), "notTerminated");
    ended(&json!({"status": "done"}), "terminated");

    for (status, expected) in [("ABORTED", "broken"), ("PENDING_REDRIVE", "open")] {
        aws.change(|account| account.executions = vec![(execution("one"), status, 0)]);
        assert_eq!(document(&aws)["status"], expected, "{status}");
    }
    aws.change(|account| account.executions.clear());
    assert_eq!(document(&aws)["status"], "broken", "an execution that is forgotten does not run");
}

#[test]
fn a_case_that_is_not_there_ends_with_1() {
    let output = Aws::new().cordon(&["show", id("one").as_str()]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{}", said(&output));
    assert!(said(&output).contains("no object of the case"), "{}", said(&output));
}
