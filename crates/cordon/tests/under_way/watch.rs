//! `cordon watch`.

use incident::case;
use incident::progress::Stage;
use serde_json::{Value, json};

use crate::aws::{Account, Aws};
use crate::{closing, id, out, plan, record, release_plan, said};

/// A case that has just been opened.
fn opened() -> Aws {
    let aws = Aws::new();
    aws.put(case::PLAN, &plan());
    aws
}

fn isolated(account: &mut Account) {
    let (name, record) = record("Isolate", &json!({"status": "contained", "reasons": []}));
    account.put(&name, &record);
}

fn captured(account: &mut Account) {
    let (name, record) = record("MemoryCapture", &json!({"memory": "captured", "reason": ""}));
    account.put(&name, &record);
}

fn look(account: &mut Account, percent: u8) {
    let at = format!("2026-11-24T03:3{}:00Z", percent / 10);
    let look = json!({"schema": "cordon.progress.v1", "stage": "memory", "since": "2026-11-24T03:30:00Z", "at": at,
        "percent": percent, "doneBytes": null, "ofBytes": null, "said": "running", "ended": false});
    account.put_key(&case::progress(&id(), Stage::Memory), &look);
}

fn closed(account: &mut Account, reasons: &[&str]) {
    account.put(case::CLOSING_MANIFEST, &closing(reasons));
    account.put(case::CLOSING_SIGNATURE, &json!("signature"));
    account.status = "SUCCEEDED";
}

#[test]
fn each_change_is_told_until_the_case_is_closed() {
    let aws = opened();
    aws.then(|_| {});
    aws.then(isolated);
    aws.then(|account| {
        captured(account);
        account.failing = 1;
    });
    aws.then(|account| closed(account, &[]));
    let output = aws.cordon(&["watch", id().as_str()]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let lines: Vec<&str> = text.lines().collect();
    for line in [
        "running   isolate",
        "left out  deny credentials             a shared role",
        "left out  terminate                    the policy says so",
        "done      isolate           +0:09      contained",
        "done      memory            +0:09      captured",
    ] {
        assert_eq!(lines.iter().filter(|said| **said == line).count(), 1, "`{line}` must stand there once: {text}");
    }
    assert_eq!(lines.last(), Some(&"done      close             +30:30     as planned"), "{text}");
    assert!(!text.contains('\u{1b}'), "no terminal, no control characters: {text:?}");
    let reads = aws.with(|account| account.reads.clone());
    let records: Vec<_> = reads.iter().filter(|(key, _)| key.contains("/records/")).collect();
    assert!(records.len() == 2 && records.iter().all(|(_, times)| **times == 1), "what never changes is read once: {reads:?}");
}

#[test]
fn a_case_that_is_not_closed_as_planned_ends_with_1() {
    let aws = opened();
    aws.then(|account| closed(account, &["memory: no path", "b"]));
    let output = aws.cordon(&["watch", id().as_str()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        out(&output).contains("FAILED    close             +30:30     NOT as planned: memory: no path (and 1 more)"),
        "{}",
        said(&output)
    );
}

#[test]
fn once_prints_the_picture_and_ends() {
    let aws = opened();
    aws.with(|account| {
        isolated(account);
        look(account, 20);
    });
    let output = aws.cordon(&["watch", id().as_str(), "--once"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(text.starts_with(&format!("{}: open for ", id())), "{text}");
    assert!(text.contains("  done      isolate           +0:02-0:09       contained\n"), "{text}");
    assert!(text.contains("            [####----------------]  20%"), "{text}");
    assert_eq!(text.lines().count(), 1 + 13 + 1, "a line for each stage, and one for the bar: {text}");
}

#[test]
fn json_is_one_document_for_each_change() {
    let aws = opened();
    aws.with(|account| look(account, 20));
    // Nothing happens with the second look.
    aws.then(|_| {});
    aws.then(|_| {});
    aws.then(|account| look(account, 40));
    aws.then(|account| closed(account, &[]));
    let output = aws.cordon(&["--json", "watch", id().as_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let documents: Vec<Value> = out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |document: &Value| {
        assert_eq!(document["schema"], "cordon.watch.v1");
        assert_eq!(document["caseId"], id().as_str());
        let memory = document["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "memory").unwrap();
        (document["status"].clone(), memory["progress"]["percent"].clone(), memory["progress"]["due"].clone())
    };
    assert_eq!(
        documents.iter().map(told).collect::<Vec<_>>(),
        [
            (json!("open"), json!(20), json!("2026-11-24T03:40:00Z")),
            (json!("open"), json!(40), json!("2026-11-24T03:40:00Z")),
            (json!("closedAsPlanned"), Value::Null, Value::Null),
        ]
    );
    assert!(!out(&output).contains('\u{1b}'));
}

#[test]
fn no_case_and_a_first_look_that_fails_are_told_at_once() {
    let output = Aws::new().cordon(&["watch", id().as_str()]);
    assert!(output.status.code() == Some(1) && said(&output).contains("there is no object of the case"), "{}", said(&output));
    let aws = opened();
    aws.with(|account| account.failing = 1);
    let output = aws.cordon(&["watch", id().as_str()]);
    assert!(output.status.code() == Some(1) && said(&output).contains("s3:ListObjectsV2 failed"), "{}", said(&output));
}

#[test]
fn a_release_is_followed_by_its_own_id_to_its_own_end() {
    let aws = Aws::new();
    aws.put(case::RELEASE, &release_plan());
    aws.then(|_| {});
    aws.then(|account| {
        let (name, record) = record("AllowCredentials", &json!({"status": "lifted", "scope": "all", "reasons": []}));
        account.put(&name, &record);
    });
    aws.then(|account| {
        let (name, record) = record("Restore", &json!({"status": "released", "items": [], "reasons": []}));
        account.put(&name, &record);
    });
    aws.then(|account| closed(account, &[]));
    let output = aws.cordon(&["watch", id().as_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = out(&output);
    for stage in
        ["done      credentials       +0:09      no longer denied", "done      give back         +0:09      released: everything"]
    {
        assert!(text.contains(stage), "`{stage}` must stand there: {text}");
    }
    assert!(!text.contains("triage") && text.ends_with("as planned\n"), "{text}");
}
