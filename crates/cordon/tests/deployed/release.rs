//! `cordon release`, and what the other commands make of a release's own file.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use incident::manifest::Chain;
use incident::release::ReleaseRequest;
use incident::{case, custody};
use serde_json::{Value, json};

use crate::aws::{Account, Aws, RELEASES};
use crate::made::{
    INSTANCE, denial, execution, id, plan, put, release_closing, release_execution, release_id, release_plan, release_report,
    released,
};
use crate::{err, out, said};

/// An account in which each release that is started writes its file, and ends so.
fn account(end: &Value, written: impl Fn(&str) -> Vec<(&'static str, Value)> + Send + 'static) -> Aws {
    let aws = Aws::new();
    aws.change(|account| {
        account.end = end.clone();
        account.runs = Some(Box::new(move |account: &mut Account, execution: &str| {
            for (name, document) in written(execution) {
                account.version(&case::key(&release_id(execution), name), Some(document.to_string().into_bytes()));
            }
        }));
    });
    aws
}

fn succeeded(output: &Value) -> Value {
    json!({"status": "SUCCEEDED", "output": output.to_string()})
}

fn failed(error: &str, cause: &str) -> Value {
    json!({"status": "FAILED", "error": error, "cause": cause})
}

fn output(released: &Value, denial: &Value) -> Value {
    json!({"releaseId": "i-0abc1234def567890-000000000000", "caseId": id("one"), "released": released, "denial": denial,
        "closed": {"asPlanned": true, "manifest": null, "reasons": []}})
}

fn release(aws: &Aws, more: &[&str]) -> std::process::Output {
    aws.cordon(&[&["release", id("one").as_str()], more].concat())
}

fn harmless(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}') && !text.contains("https://") && !text.contains('<')
}

#[test]
fn what_is_given_back_is_printed_as_it_was_read_back_and_so_is_what_is_not() {
    let whole = (released("released", "restored"), denial("lifted", &[]));
    let end = succeeded(&output(&whole.0, &whole.1));
    let aws = account(&end, move |execution| vec![(case::RELEASE, release_plan(execution))]);
    let output = release(&aws, &["--reason", "a false alarm"]);
    let text = out(&output);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
    let [started] = aws.started().try_into().unwrap();
    assert_eq!(started["stateMachineArn"], RELEASES);
    let request: ReleaseRequest = serde_json::from_str(started["input"].as_str().unwrap()).unwrap();
    let asked = ReleaseRequest { case_id: id("one"), reason: "a false alarm".to_owned(), dry_run: false, rejoin_group: false };
    assert_eq!(request, asked);
    let name = started["name"].as_str().unwrap();
    let execution = release_execution(name);
    let expected = format!(
        "started {execution}
given back      groups of eni-0123456789abcdef0: [\"sg-0123456789abcdef0\"]
given back      termination protection: false
read back at 2026-11-25T03:30:09Z
credentials: no longer denied
not given back: Auto Scaling group ‹web›: run 'cordon release --rejoin-group'
on record: cordon verify {}
released: everything was read back as it was before the case
",
        release_id(&execution)
    );
    assert_eq!(text, expected);
}

#[test]
fn a_release_that_went_otherwise_ends_with_1_and_says_why_on_standard_error() {
    let partly = (released("partlyReleased", "notRestored"), denial("denied", &["iam:UntagRole failed with AccessDenied: <b>"]));
    let superseded = json!({"status": "superseded", "items": [], "readBackAt": null, "reasons": [], "failure": null});
    let whole = released("released", "restored");
    for (told, lifted, cause, expected, also) in [
        (
            &partly.0,
            &partly.1,
            "the target is only partly released",
            "cordon: only PARTLY released: the target",
            "NOT GIVEN BACK",
        ),
        (
            &superseded,
            &Value::Null,
            "a new finding claimed it",
            "cordon: STOPPED: a new finding claimed the target",
            "NOT read back",
        ),
        (
            &whole,
            &partly.1,
            "still denied",
            "cordon: released, but not all of it went as asked for: still denied",
            "AccessDenied",
        ),
    ] {
        let (told, lifted) = (told.clone(), lifted.clone());
        let aws = account(&failed("NotReleased", &format!("{cause}\u{1b}[2J")), move |execution| {
            vec![(case::RELEASE, release_plan(execution)), (case::RELEASED, release_report(execution, &told, &lifted))]
        });
        let output = release(&aws, &["--reason", "why"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(err(&output).contains(expected) && err(&output).contains("--dry-run"), "{expected}: {}", said(&output));
        assert!(out(&output).contains(also) && harmless(&said(&output)), "{also}: {}", said(&output));
    }
}

#[test]
fn a_refusal_says_every_reason_on_standard_error_and_nothing_was_changed() {
    let reasons =
        "case i-0abc1234def567890-ffffffffffff of this target is open: wait until it is closed; the case file does not verify";
    let aws = account(&failed("Refused", reasons), |_| Vec::new());
    let output = release(&aws, &["--reason", "why"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(err(&output).contains(&format!("cordon: refused, and nothing was changed: {reasons}")), "{}", err(&output));
    assert_eq!(out(&output).lines().count(), 1, "{}", out(&output));
    let json = release(&aws, &["--reason", "why", "--json"]);
    let document: Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!((&document["schema"], &document["error"]), (&json!("cordon.release-ended.v1"), &json!("Refused")));
    assert_eq!((&document["asAsked"], &document["reasons"]), (&json!(false), &json!([reasons])));
    assert_eq!((&document["releaseId"], &document["plan"], &document["released"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(json.status.code(), Some(1));
}

#[test]
fn an_execution_that_breaks_without_a_word_is_no_release() {
    for end in [json!({"status": "ABORTED"}), json!({"status": "TIMED_OUT"}), failed("States.Runtime", "")] {
        let output = release(&account(&end, |_| Vec::new()), &["--reason", "why"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(err(&output).contains("NOBODY KNOWS how the target stands"), "{}", said(&output));
    }
}

#[test]
fn programs_get_one_document_of_a_release() {
    let (given, lifted) = (released("released", "restored"), denial("lifted", &[]));
    let end = succeeded(&output(&given, &lifted));
    let aws = account(&end, move |execution| vec![(case::RELEASE, release_plan(execution))]);
    let output = release(&aws, &["--reason", "why", "--json"]);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
    let text = out(&output);
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let execution = document["execution"].as_str().unwrap();
    let expected = json!({"schema": "cordon.release-ended.v1", "caseId": id("one"), "execution": execution, "status": "SUCCEEDED",
        "error": "", "asAsked": true, "reasons": [], "releaseId": release_id(execution), "checked": null,
        "plan": release_plan(execution), "released": given, "denial": lifted});
    assert_eq!(document, expected);
}

#[test]
fn a_release_whose_file_may_not_be_read_is_told_from_its_execution() {
    let end = succeeded(&output(&released("released", "restored"), &Value::Null));
    let aws = account(&end, move |execution| vec![(case::RELEASE, release_plan(execution))]);
    aws.change(|account| account.secret = vec![case::RELEASE.to_owned()]);
    let output = release(&aws, &["--reason", "why"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(err(&output).contains("release.json of the release is not shown"), "{}", err(&output));
    assert!(out(&output).contains("given back      groups of eni-0123456789abcdef0"), "{}", out(&output));
    assert!(out(&output).contains("on record: cordon verify i-0abc1234def567890-000000000000"), "{}", out(&output));
}

/// What Check says of a dry run.
fn checked(reasons: &[&str], planned: bool) -> Value {
    let plan = planned.then(|| release_plan(&release_execution("dry")));
    json!({"verdict": "dryRun", "reasons": reasons, "plan": plan})
}

#[test]
fn a_dry_run_needs_no_reason_and_says_what_would_be_given_back_and_what_cannot_be() {
    let aws = account(&succeeded(&checked(&[], true)), |_| Vec::new());
    let output = release(&aws, &["--dry-run", "--rejoin-group"]);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{}", said(&output));
    let expected = format!(
        "a release of {INSTANCE} would give back, as it was before {}:
  groups of eni-0123456789abcdef0: [\"sg-0123456789abcdef0\"]
  termination protection: false
  the role's sessions, where they are denied
not given back: Auto Scaling group ‹web›: run 'cordon release --rejoin-group'
dry run: nothing was written or changed
",
        id("first")
    );
    assert!(out(&output).ends_with(&expected), "{}", out(&output));
    let [started] = aws.started().try_into().unwrap();
    assert_eq!(started.get("name"), None, "it may run beside a release, and as often as anybody likes");
    let input: Value = serde_json::from_str(started["input"].as_str().unwrap()).unwrap();
    assert_eq!(input, json!({"caseId": id("one"), "reason": "", "dryRun": true, "rejoinGroup": true}));
    let json = release(&aws, &["--dry-run", "--json"]);
    let document: Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!((&document["checked"], &document["asAsked"]), (&checked(&[], true), &json!(true)));
}

#[test]
fn a_dry_run_of_what_would_be_refused_ends_with_1() {
    let unreadable = json!({"verdict": "perhaps"});
    for (end, expected) in [
        (
            succeeded(&checked(&["the target is terminated\u{1b}[2J <b>", "and more"], true)),
            "it would be refused: the target is term",
        ),
        (succeeded(&checked(&[], false)), "what would be given back could not be made out"),
        (succeeded(&unreadable), "cannot be read"),
        (failed("Invalid", "field `caseId`"), "the dry run itself broke: field"),
    ] {
        let aws = account(&end, |_| Vec::new());
        let output = release(&aws, &["--dry-run"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(err(&output).contains(expected) && harmless(&said(&output)), "{expected}: {}", said(&output));
        let json: Value = serde_json::from_str(&out(&release(&aws, &["--dry-run", "--json"]))).unwrap();
        assert_eq!(json["asAsked"], false, "{json}");
    }
}

#[test]
fn who_asks_twice_starts_one_release() {
    let end = succeeded(&output(&released("released", "restored"), &Value::Null));
    let aws = account(&end, |execution| vec![(case::RELEASE, release_plan(execution))]);
    aws.change(|account| account.ends_after = 2);
    let arguments = ["release", id("one").as_str(), "--reason", "why"].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The first one follows an execution that ends only when the second one has asked.
    let mut first = aws.command(&arguments, &[]);
    let first = first.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let second = aws.cordon(&arguments);
    let first = first.wait_with_output().unwrap();
    for output in [&first, &second] {
        assert_eq!(output.status.code(), Some(0), "{}", said(output));
    }
    let line = |output| out(output).lines().next().unwrap().to_owned();
    assert_eq!(line(&first), line(&second), "both follow the same execution");
    let [one, other] = aws.started().try_into().unwrap();
    assert_eq!(one, other);
}

#[test]
fn a_release_may_be_asked_for_again_when_the_first_has_ended_and_its_name_is_new() {
    let aws = account(&failed("Refused", "not yet"), |_| Vec::new());
    let names =
        |aws: &Aws| -> Vec<String> { aws.started().iter().map(|started| started["name"].as_str().unwrap().to_owned()).collect() };
    for reason in ["why", "why", "for another reason"] {
        assert_eq!(release(&aws, &["--reason", reason]).status.code(), Some(1));
    }
    let names = names(&aws);
    let day = names[0].strip_suffix("-1").unwrap();
    assert!(day.starts_with(&format!("{}-2", id("one"))) && day.len() <= 70, "{day}");
    let expected = ["1", "1", "2", "1", "2", "3"].map(|number| format!("{day}-{number}"));
    assert_eq!(names, expected, "each name that is used up is tried before the next");
}

#[test]
fn an_older_deployment_is_to_be_deployed_again() {
    let aws = Aws::new();
    aws.change(|account| account.old = true);
    let output = release(&aws, &["--reason", "why"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(err(&output).contains("older than this command") && err(&output).contains("deploy"), "{}", said(&output));
    assert_eq!(aws.started(), Vec::<Value>::new());
}

/// The file of a release that gave back a part, of the execution of this name.
fn file(aws: &Aws, name: &str, status: &str, closed: Option<&[&str]>) {
    let execution = release_execution(name);
    let put = |object: &str, document: &Value| aws.put(&case::key(&release_id(&execution), object), document.to_string());
    put(case::RELEASE, &release_plan(&execution));
    if let Some(reasons) = closed {
        put(case::RELEASED, &release_report(&execution, &released(status, "notRestored"), &denial("lifted", &[])));
        put(case::CLOSING_MANIFEST, &release_closing(&execution, reasons, &[]));
    }
}

#[test]
fn a_release_is_listed_as_the_release_of_its_case_whether_it_runs_has_ended_or_is_forgotten() {
    const DAY: i64 = 86_400;
    let aws = Aws::new();
    put(&aws, "one", case::PLAN, &plan("one"));
    file(&aws, "running", "", None);
    file(&aws, "ended", "partlyReleased", Some(&["only partly"]));
    file(&aws, "forgotten", "released", Some(&[]));
    aws.change(|account| {
        // 2026-11-24T00:00:00Z.
        let at = |days: i64| 1_795_478_400 + days * DAY;
        account.executions = vec![
            (release_execution("running"), "RUNNING", at(2)),
            (release_execution("dry"), "SUCCEEDED", at(2)),
            (execution("one"), "RUNNING", at(1)),
            (release_execution("ended"), "FAILED", at(0)),
        ];
    });
    let release = |name: &str| release_id(&release_execution(name));
    let one = id("one");
    let output = aws.cordon(&["list"]);
    let expected = format!(
        "CASE                              OPENED                STATUS                  TARGET
{}  2026-11-26T00:00:00Z  open                    release of {one}
{one}  2026-11-25T00:00:00Z  open                    not known yet
{}  2026-11-24T00:00:00Z  closed, NOT as planned  release of {one}
{}  2026-11-25T03:30:00Z  closed as planned       release of {one} (its execution is forgotten)
",
        release("running"),
        release("ended"),
        release("forgotten")
    );
    assert_eq!((output.status.code(), out(&output)), (Some(0), expected), "{}", said(&output));

    let listed = |arguments: &[&str]| {
        let output = aws.cordon(&[&["list", "--json"], arguments].concat());
        let list: Value = serde_json::from_str(&out(&output)).unwrap();
        let cases = list["cases"].as_array().unwrap();
        let pair = |case: &Value| (case["caseId"].as_str().unwrap().to_owned(), case["releases"].clone());
        (cases.iter().map(pair).collect::<Vec<_>>(), list["more"].as_u64().unwrap())
    };
    let (running, ended) = (release("running").to_string(), release("ended").to_string());
    let open = vec![(running.clone(), json!(one)), (one.to_string(), Value::Null)];
    assert_eq!(listed(&["--open"]), (open.clone(), 0));
    assert_eq!(listed(&["--limit", "2"]), (open, 2), "the newest of both");
    let (all, more) = listed(&["--limit", "3"]);
    assert_eq!((all.last().unwrap().0.as_str(), more), (ended.as_str(), 1));
}

#[test]
fn show_tells_a_release_and_what_it_gave_back() {
    let aws = Aws::new();
    file(&aws, "ended", "partlyReleased", Some(&["the target is only <partly> released"]));
    let release = release_id(&release_execution("ended"));
    let output = aws.cordon(&["show", release.as_str()]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(harmless(&text), "{text}");
    for line in [
        &format!("{release}: closed, NOT as planned, release of {}", id("one")),
        &format!("  target       {INSTANCE}"),
        "  because      see https[://]evil.example  [2Jnow",
        &format!("  begun        2026-11-25T03:30:00Z by {}", release_execution("ended")),
        &format!("  as before    {}", id("first")),
        "  closed       2026-11-24T05:30:00Z",
        "  not planned  the target is only ‹partly› released",
        "NOT GIVEN BACK  groups of eni-0123456789abcdef0: [\"sg-0123456789abcdef0\"] (denied by [2J ‹scp›)",
        "given back      termination protection: false",
        "read back at 2026-11-25T03:30:09Z",
        "credentials: no longer denied",
        "not given back: Auto Scaling group ‹web›: run 'cordon release --rejoin-group'",
    ] {
        let line: &str = line;
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn show_says_of_a_release_that_runs_or_broke_that_nothing_is_known_yet() {
    let aws = Aws::new();
    file(&aws, "running", "", None);
    let release = release_id(&release_execution("running"));
    let document = |aws: &Aws| -> Value {
        let output = aws.cordon(&["show", release.as_str(), "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        serde_json::from_str(&out(&output)).unwrap()
    };
    aws.change(|account| account.executions = vec![(release_execution("running"), "RUNNING", 0)]);
    let open = document(&aws);
    assert_eq!((&open["schema"], &open["status"]), (&json!("cordon.show-release.v1"), &json!("open")));
    assert_eq!((&open["releaseId"], &open["caseId"]), (&json!(release), &json!(id("one"))));
    assert_eq!((&open["released"], &open["plan"]), (&Value::Null, &release_plan(&release_execution("running"))));
    assert!(out(&aws.cordon(&["show", release.as_str()])).contains("what was given back is not known (yet)"));
    aws.change(|account| account.executions.clear());
    assert_eq!(document(&aws)["status"], "broken");
    file(&aws, "running", "released", Some(&[]));
    let closed = document(&aws);
    assert_eq!((&closed["status"], &closed["closedBy"]), (&json!("closedAsPlanned"), &json!("SealRelease")));
    let keys = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&open), keys(&closed), "a field is null where nothing is known, never absent");
}

/// A release's file, sealed as Seal does: a closing manifest over everything, and no evidence manifest.
fn sealed() -> (Aws, String) {
    let aws = Aws::new();
    let execution = release_execution("sealed");
    let release = release_id(&execution);
    let plan = release_plan(&execution).to_string();
    let report = release_report(&execution, &released("released", "restored"), &denial("lifted", &[])).to_string();
    let (chain, chained) = custody::build::<Vec<u8>>([], Chain::start());
    let objects: [(&str, &[u8]); 3] =
        [(case::RELEASE, plan.as_bytes()), (case::RELEASED, report.as_bytes()), (case::CUSTODY_CLOSING, &chain)];
    let mut manifest = release_closing(&execution, &[], &objects);
    manifest["custody"] = serde_json::to_value(chained).unwrap();
    let manifest = manifest.to_string();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signature = pair.sign(&SystemRandom::new(), manifest.as_bytes()).unwrap();
    for (name, bytes) in objects {
        aws.put(&case::key(&release, name), bytes);
    }
    aws.put(&case::key(&release, case::CLOSING_MANIFEST), &manifest);
    aws.put(&case::key(&release, case::CLOSING_SIGNATURE), signature.as_ref());
    let head = [
        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
    ];
    aws.change(|account| account.key = [&head, pair.public_key().as_ref()].concat());
    (aws, release.to_string())
}

#[test]
fn a_release_verifies_and_exports_without_evidence_and_what_was_done_to_it_is_named() {
    let (aws, release) = sealed();
    let output = aws.cordon(&["verify", &release]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(out(&output).ends_with(&format!("VERIFIED: case closed ({release})\n")), "{}", out(&output));
    let to = tempfile::tempdir().unwrap();
    let folder = to.path().join("handed-over");
    let exported = aws.cordon(&["export", &release, folder.to_str().unwrap()]);
    assert!(exported.status.code() == Some(0) && out(&exported).contains("EXPORTED: 5 objects"), "{}", said(&exported));

    aws.put(&case::key(&release_id(&release_execution("sealed")), case::RELEASED), "{}");
    let output = aws.cordon(&["verify", &release]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(out(&output).lines().any(|line| line.starts_with("BROKEN  released.json")), "{}", out(&output));
}
