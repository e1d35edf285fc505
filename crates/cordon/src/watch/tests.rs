//! Cases as they are read, and the pictures of them.

mod copies;

use incident::text::sha256;
use incident::{CaseId, case};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::draw;
use super::facts::{Facts, Sealed};
use super::stages::{Picture, State, picture};

const CASE: &str = "i-0abc1234def567890-0123456789ab";
const EXECUTION: &str = "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one";
const MANIFEST: &[u8] = b"the manifest";

fn at(time: &str) -> Timestamp {
    format!("2026-11-24T{time}Z").parse().unwrap()
}

/// A case that was opened at 03:30.
#[derive(Default)]
struct Case(Facts);

impl Case {
    fn opened() -> Self {
        Self::planned(|_| {})
    }

    fn planned(change: impl FnOnce(&mut Value)) -> Self {
        let mut plan = json!({"schema": "cordon.plan.v1", "caseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
            "finding": {"source": "guardDuty", "id": "f", "type": "UnauthorizedAccess:EC2/TorClient", "title": "t",
                "severity": 8.0, "account": "111122223333", "region": "eu-central-1"},
            "target": {"instanceId": "i-0abc1234def567890", "account": "111122223333", "region": "eu-central-1", "state": "running",
                "interfaces": [], "volumes": [{"id": "vol-0abc1234", "device": "/dev/xvda", "root": true}], "profile": null,
                "spot": false, "architecture": "x86_64", "windows": false, "memoryMib": 8192, "metadata": null},
            "policy": {"from": "parameter", "name": "/cordon/policy", "version": 3}, "cut": {"decision": "now"},
            "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
            "snapshotLock": {"mode": "governance", "days": 30},
            "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"},
            "disposition": {"decision": "ask", "persons": 2, "waitSeconds": 86400, "protectedTags": []},
            "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null, "risks": []});
        change(&mut plan);
        let mut facts = Facts { plan: Some(serde_json::from_value(plan).unwrap()), ..Facts::default() };
        facts.names.insert(case::PLAN.to_owned());
        Self(facts)
    }

    /// A record of the visit that was begun at `entered`.
    fn record(mut self, state: &str, entered: &str, at: &str, changes: &Value, note: &Value) -> Self {
        let intent = changes.get(0).is_some_and(|change| change.get("result").is_none());
        let record = json!({"schema": "cordon.record.v1", "caseId": CASE, "number": 1, "by": "f",
            "visit": {"execution": EXECUTION, "state": state, "entered": format!("2026-11-24T{entered}Z"), "retry": 0},
            "phase": if intent { "intent" } else { "outcome" }, "at": format!("2026-11-24T{at}Z"), "changes": changes, "note": note});
        let record: incident::record::Record = serde_json::from_value(record).unwrap();
        self.0.names.insert(record.name());
        self.0.records.insert(record.name(), record);
        self
    }

    fn contained(self) -> Self {
        let denied = json!({"status": "denied", "scope": "allButSystemsManager", "reasons": []});
        self.record("Isolate", "03:30:02", "03:30:09", &json!([]), &json!({"status": "contained", "reasons": []}))
            .record("Protect", "03:30:02", "03:30:04", &json!([]), &json!({"status": "protected", "reasons": []}))
            .record("DenyCredentials", "03:30:02", "03:30:05", &json!([]), &denied)
            .record("Snapshot", "03:30:02", "03:30:06", &change("ec2:CreateSnapshots", &done()), &json!({"reused": 0}))
    }

    fn looked(mut self, stage: &str, time: &str, percent: u8, bytes: Option<u64>, said: &str) -> Self {
        let look = json!({"schema": "cordon.progress.v1", "stage": stage, "since": "2026-11-24T03:30:00Z",
            "at": format!("2026-11-24T{time}Z"), "percent": percent, "doneBytes": bytes,
            "ofBytes": bytes.map(|_| 8_u64 << 30), "said": said, "ended": said == "completed" || said == "incomplete"});
        let looks = match stage {
            "memory" => &mut self.0.memory,
            "copies" => &mut self.0.copies,
            _ => &mut self.0.snapshots,
        };
        looks.push(serde_json::from_value(look).unwrap());
        self
    }

    /// As [`Case::preserved`], but a state has written nothing.
    fn preserved_without(self, state: &str) -> Self {
        let mut case = self.preserved();
        case.0.records.retain(|_, record| record.visit.state != state);
        case
    }

    fn preserved(self) -> Self {
        let denied = json!({"status": "denied", "scope": "all", "reasons": []});
        self.contained()
            .record("MemoryCapture", "03:30:11", "03:42:00", &json!([]), &json!({"memory": "captured", "reason": ""}))
            .record("Lockdown", "03:42:01", "03:42:08", &json!([]), &json!({"status": "contained", "reasons": []}))
            .record("DenyAllCredentials", "03:42:09", "03:42:11", &json!([]), &denied)
            .looked("snapshots", "03:50:00", 100, None, "completed")
            .record("Context", "03:30:11", "03:30:20", &json!([]), &json!({"context": "collected", "sources": []}))
    }

    fn sealed(mut self, missing: &[&str]) -> Self {
        let missing: Vec<Value> = missing.iter().map(|item| json!({"item": item, "reason": "no path"})).collect();
        let told = json!({"sealedAt": "2026-11-24T03:50:10Z", "complete": missing.is_empty(), "missing": missing});
        self.0.names.extend([case::EVIDENCE_MANIFEST, case::EVIDENCE_SIGNATURE].map(str::to_owned));
        self.0.sealed = Some(Sealed { manifest: sha256(MANIFEST), told: serde_json::from_value(told).unwrap() });
        self
    }

    fn asked(self) -> Self {
        self.record("AskPermission", "03:50:15", "03:50:16", &json!([]), &json!({"told": "permission"}))
    }

    fn answered(mut self, person: &str, decision: &str, manifest: &[u8]) -> Self {
        let answer = json!({"schema": "cordon.answer.v1", "caseId": CASE, "execution": EXECUTION,
            "statement": {"schema": "cordon.statement.v1", "caseId": CASE, "manifest": sha256(manifest), "decision": decision,
                "waive": [], "because": "\u{1b}[2Jwhy"},
            "person": person, "arn": "a", "account": "111122223333", "signedAt": "s", "at": "2026-11-24T04:00:00Z", "by": "f"});
        let name = format!("approvals/{}.json", self.0.answers.len());
        self.0.answers.insert(name, serde_json::from_value(answer).unwrap());
        self
    }

    fn closed(mut self, reasons: &[&str]) -> Self {
        let closing = json!({"schema": "cordon.manifest.closing.v1", "caseId": CASE, "execution": EXECUTION,
            "closedAt": "2026-11-24T04:00:30Z", "closedBy": "Close", "asPlanned": reasons.is_empty(), "reasons": reasons,
            "failure": null, "evidence": null, "items": [], "custody": {"lines": 0, "head": "0".repeat(64)},
            "signing": {"key": "k", "algorithm": "ECDSA_SHA_256"}});
        self.0.names.extend([case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE].map(str::to_owned));
        self.0.closing = Some(serde_json::from_value(closing).unwrap());
        self
    }

    fn reported(mut self, report: Value) -> Self {
        self.0.report = serde_json::from_value(report).unwrap();
        self
    }

    fn ended(mut self, how: &str) -> Self {
        self.0.ended = Some(how.to_owned());
        self
    }

    fn picture(&self) -> Picture {
        picture(&CaseId::parse(CASE).unwrap(), &self.0)
    }

    fn state(&self, name: &str) -> (State, String) {
        let picture = self.picture();
        let stage = picture.stages.into_iter().find(|stage| stage.name == name).unwrap();
        (stage.state, stage.said)
    }

    fn drawn(&self, now: &str, width: usize) -> String {
        text(&draw::lines(&self.picture(), at(now), width))
    }
}

fn text(lines: &[draw::Line]) -> String {
    lines.iter().map(|line| format!("{}{}\n", line.mark, line.text)).collect()
}

fn change(action: &str, result: &Value) -> Value {
    json!([{"action": action, "subject": "i-0abc1234def567890", "result": result}])
}

fn done() -> Value {
    json!({"status": "done"})
}

fn failed() -> Value {
    json!({"status": "failed", "fault": "Denied", "message": "you may not"})
}

#[test]
fn a_case_under_way_is_drawn_with_bars_and_estimates() {
    let case = Case::opened()
        .contained()
        .record("MemoryCapture", "03:30:11", "03:30:14", &change("ssm:SendCommand", &done()), &json!({"command": "c"}))
        .looked("memory", "03:32:00", 20, Some((8 << 30) / 5), "running")
        .looked("snapshots", "03:32:10", 1, None, "pending");
    assert_eq!(
        case.drawn("03:33:00", 80),
        "\
i-0abc1234def567890-0123456789ab: open for 3 min 0 s
  done      triage            +0:00            UnauthorizedAccess:EC2/TorClien…
  done      isolate           +0:02-0:09       contained
  done      protect           +0:02-0:04       protected from being ended by o…
  done      deny credentials  +0:02-0:05       denied but for Systems Manager'…
  done      snapshot          +0:02-0:06       taken and locked
  running   memory            +0:11            running
            [####----------------]  20%  1.5 GiB of 8.0 GiB, about 7 min left
  waiting   lock-down
  running   snapshots         +0:06            pending
            [--------------------]   1%  too slow: given up 2026-11-24 05:30 UTC
  running   context
  waiting   seal
  waiting   permission
  waiting   terminate
  waiting   close
"
    );
}

#[test]
fn a_question_is_drawn_with_the_exact_command_that_answers_it() {
    let case =
        Case::opened().preserved().sealed(&["memory", "it's $(x)"]).asked().answered("111122223333/user/a", "approve", MANIFEST);
    let drawn = case.drawn("03:59:00", usize::MAX);
    let question = drawn.split("permission").nth(1).unwrap().split("  waiting").next().unwrap();
    assert_eq!(
        question,
        "        +20:15
            1 of 2 people have approved, until 2026-11-25 03:50 UTC
            cordon approve i-0abc1234def567890-0123456789ab \\
              --waive memory \\
              --waive 'it'\\''s $(x)' \\
              --because '…'
"
    );
    assert!(drawn.contains("  done      seal              +20:10           NOT complete: memory (and 1 more)\n"), "{drawn}");
    let many: Vec<String> = (0..7).map(|n| format!("item-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let drawn = Case::opened().preserved().sealed(&many).asked().drawn("03:59:00", 80);
    assert!(
        drawn.contains("            cordon approve i-0abc1234def567890-0123456789ab\n"),
        "the command says what is missing: {drawn}"
    );
}

#[test]
fn a_closed_case_is_drawn_with_how_it_ended() {
    let case = Case::opened()
        .preserved()
        .sealed(&[])
        .asked()
        .answered("111122223333/user/a", "approve", MANIFEST)
        .answered("111122223333/user/b", "approve", MANIFEST)
        .record("Terminate", "04:00:02", "04:00:04", &change("ec2:TerminateInstances", &done()), &json!({}))
        .closed(&[]);
    assert_eq!(
        case.drawn("09:00:00", 100),
        "\
i-0abc1234def567890-0123456789ab: closed as planned after 30 min 30 s
  done      triage            +0:00            UnauthorizedAccess:EC2/TorClient, severity 8
  done      isolate           +0:02-0:09       contained
  done      protect           +0:02-0:04       protected from being ended by others
  done      deny credentials  +0:02-0:05       denied
  done      snapshot          +0:02-0:06       taken and locked
  done      memory            +0:11-12:00      captured
  done      lock-down         +12:01-12:08     locked down
  done      snapshots         +0:06-20:00      completed
  done      context           +0:11-0:20       collected
  done      seal              +20:10           complete
  done      permission        +20:15-30:00     approved by 111122223333/user/a, 111122223333/user/b
  done      terminate         +30:02-30:04     terminated
  done      close             +30:30           as planned
"
    );
}

#[test]
fn in_a_pipe_each_change_is_one_line() {
    let case = Case::opened().preserved().sealed(&["memory"]).asked();
    let picture = case.picture();
    let lines: Vec<draw::Line> = picture.stages.iter().map(|stage| draw::change(stage, picture.opened)).collect();
    assert_eq!(
        text(&lines),
        "\
done      triage            +0:00      UnauthorizedAccess:EC2/TorClient, severity 8
done      isolate           +0:09      contained
done      protect           +0:04      protected from being ended by others
done      deny credentials  +0:05      denied
done      snapshot          +0:06      taken and locked
done      memory            +12:00     captured
done      lock-down         +12:08     locked down
done      snapshots         +20:00     completed
done      context           +0:20      collected
done      seal              +20:10     NOT complete: memory
running   permission        +20:15     0 of 2 people have approved, until 2026-11-25 03:50 UTC: \
cordon approve i-0abc1234def567890-0123456789ab --waive memory --because '…'
waiting   terminate
waiting   close
"
    );
}

#[test]
fn a_picture_is_drawn_over_the_one_before_and_never_wraps() {
    assert_eq!(draw::over(0, "a\nb\n"), "\u{1b}[?7la\nb\n\u{1b}[?7h");
    assert_eq!(draw::over(2, "c\n"), "\u{1b}[2A\r\u{1b}[J\u{1b}[?7lc\n\u{1b}[?7h");
    let case = Case::planned(|plan| plan["finding"]["type"] = json!("漢字\u{202e}\u{1b}[2J".repeat(20)))
        .preserved()
        .sealed(&["memory"])
        .asked();
    for width in [0, 1, 10, 47, 80] {
        for line in case.drawn("04:00:00", width).lines() {
            let columns: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
            // The mark alone is never cut.
            assert!(columns <= width.max(10), "{width}: {line}");
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        }
    }
}

#[test]
fn what_the_plan_leaves_out_is_shown_with_its_reason() {
    let case = Case::planned(|plan| {
        plan["cut"] = json!({"decision": "askFirst", "reasons": ["protected by a tag"]});
        plan["memory"] = json!({"decision": "skip", "because": "noPath", "reason": "no way to it"});
        plan["credentials"] = json!({"decision": "skip", "reason": "a shared role"});
        plan["target"]["volumes"] = json!([]);
        plan["disposition"] = json!({"decision": "quarantine", "reason": "the policy says so"});
    });
    for (name, reason) in [
        ("isolate", "a person must decide: protected by a tag"),
        ("deny credentials", "a shared role"),
        ("snapshot", "the target has no EBS volumes"),
        ("memory", "no way to it"),
        ("lock-down", "the network is not cut either"),
        ("snapshots", "the target has no EBS volumes"),
        ("permission", "the target stays in quarantine"),
        ("terminate", "the policy says so"),
    ] {
        assert_eq!(case.state(name), (State::LeftOut, reason.to_owned()), "{name}");
    }
    assert_eq!(case.state("close").0, State::Waiting);
}

/// A name, a case, and what it must say of a stage.
type Told<'a> = (&'a str, Case, &'a str, State, &'a str);

fn check(cases: Vec<Told<'_>>) {
    for (what, case, name, state, said) in cases {
        assert_eq!(case.state(name), (state, said.to_owned()), "{what}: {name}");
    }
}

fn intent(action: &str) -> Value {
    json!([{"action": action, "subject": "s"}])
}

#[test]
fn the_first_seconds_say_what_was_done_and_what_broke() {
    let partly = json!({"status": "partlyContained", "reasons": ["eni-1 is open", "eni-2 is open"]});
    let isolating = || Case::opened().record("Isolate", "03:30:02", "03:30:09", &json!([]), &partly);
    let isolate = || Case::opened().record("Isolate", "03:30:02", "03:30:02", &intent("a"), &Value::Null);
    let wanting = json!({"status": "partlyProtected", "reasons": ["it is Standby there"]});
    let protecting = || Case::opened().record("Protect", "03:30:02", "03:30:05", &json!([]), &wanting);
    check(vec![
        ("opened", Case::opened(), "protect", State::Running, ""),
        (
            "may be tried again",
            protecting(),
            "protect",
            State::Running,
            "only PARTLY protected from being ended by others: it is Standby there",
        ),
        (
            "is not tried again",
            protecting().looked("snapshots", "03:31:00", 0, None, "pending"),
            "protect",
            State::Failed,
            "only PARTLY protected from being ended by others: it is Standby there",
        ),
        (
            "the report knows better",
            protecting()
                .closed(&["x"])
                .reported(json!({"protection": {"status": "protected", "measures": [], "readBackAt": null,
                "reasons": [], "risks": [], "failure": null}})),
            "protect",
            State::Done,
            "protected from being ended by others",
        ),
        ("nothing yet", Case::default(), "triage", State::Running, ""),
        ("no plan", Case::default().ended("FAILED"), "triage", State::Failed, "no plan was made"),
        ("no plan", Case::default().ended("FAILED"), "permission", State::LeftOut, "there is no plan"),
        ("opened", Case::opened(), "isolate", State::Running, ""),
        ("intent", isolate(), "isolate", State::Running, ""),
        ("may be tried again", isolating(), "isolate", State::Running, "only PARTLY contained: eni-1 is open (and 1 more)"),
        (
            "is not tried again",
            isolating().looked("snapshots", "03:31:00", 0, None, "pending"),
            "isolate",
            State::Failed,
            "only PARTLY contained: eni-1 is open (and 1 more)",
        ),
        (
            "broke",
            isolate().looked("snapshots", "03:31:00", 0, None, "pending"),
            "isolate",
            State::Failed,
            "no record says how it went",
        ),
        (
            "the report knows better",
            isolating()
                .closed(&["x"])
                .reported(json!({"containment": {"status": "contained", "interfaces": [], "readBackAt": null,
                "reasons": [], "risks": [], "failure": null}})),
            "isolate",
            State::Done,
            "contained",
        ),
    ]);
}

#[test]
fn the_long_waits_and_the_seal_say_how_they_ended() {
    check(vec![
        (
            "locks failed",
            Case::opened()
                .record("Snapshot", "03:30:02", "03:30:06", &change("ec2:LockSnapshot", &failed()), &json!({"reused": 0}))
                .looked("snapshots", "03:31:00", 0, None, "pending"),
            "snapshot",
            State::Failed,
            "NOT all taken and locked: you may not",
        ),
        (
            "no image",
            Case::opened().record(
                "MemoryCapture",
                "03:31:00",
                "03:32:00",
                &json!([]),
                &json!({"memory": "notCaptured", "reason": "no agent"}),
            ),
            "memory",
            State::Failed,
            "NOT captured: no agent",
        ),
        (
            "metadata stays on",
            Case::opened()
                .record(
                    "Lockdown",
                    "03:42:01",
                    "03:42:08",
                    &change("ec2:ModifyInstanceMetadataOptions", &failed()),
                    &json!({"status": "contained"}),
                )
                .sealed(&[]),
            "lock-down",
            State::Failed,
            "only PARTLY locked down: you may not",
        ),
        (
            "incomplete",
            Case::opened().looked("snapshots", "05:30:00", 80, None, "incomplete"),
            "snapshots",
            State::Failed,
            "NOT all completed",
        ),
        (
            "a source may not be asked",
            Case::opened().record(
                "Context",
                "03:30:11",
                "03:30:20",
                &json!([]),
                &json!({"context": "partly", "sources": [{"source": "userData", "status": "notTaken"}, {"source": "tags", "status": "taken"}]}),
            ),
            "context",
            State::Failed,
            "only PARTLY collected: userData",
        ),
        ("a context that broke", Case::opened().preserved_without("Context").sealed(&[]), "context", State::Failed, "no record says how it went"),
        (
            "the seal knows more",
            Case::opened().sealed(&[]).closed(&[]).reported(json!({"context": {"status": "collected", "failure": null, "sources": [
                {"source": "cloudTrailSessions", "status": "bounded", "items": 400, "reason": "",
                    "object": {"key": "k", "versionId": "v", "sha256": "s", "size": 1}}]}})),
            "context",
            State::Done,
            "collected: more than 400 calls by its role sessions",
        ),
        (
            "not signed yet",
            {
                let mut case = Case::opened();
                case.0.names.insert(case::EVIDENCE_MANIFEST.to_owned());
                case
            },
            "seal",
            State::Running,
            "",
        ),
    ]);
}

#[test]
fn the_question_counts_people_and_only_answers_about_this_manifest() {
    check(vec![
        ("asked", Case::opened().preserved().sealed(&[]).asked(), "permission", State::Running, ""),
        (
            "one person twice is one person",
            Case::opened().preserved().sealed(&[]).asked().answered("a", "approve", MANIFEST).answered("a", "approve", MANIFEST),
            "permission",
            State::Running,
            "",
        ),
        (
            "answers about another manifest do not count",
            Case::opened().preserved().sealed(&[]).asked().answered("a", "approve", MANIFEST).answered("b", "approve", b"other"),
            "permission",
            State::Running,
            "",
        ),
        (
            "denied",
            Case::opened().preserved().sealed(&[]).asked().answered("a", "approve", MANIFEST).answered("b", "deny", MANIFEST),
            "permission",
            State::Done,
            "denied by b:  [2Jwhy",
        ),
        (
            "denied",
            Case::opened().preserved().sealed(&[]).asked().answered("b", "deny", MANIFEST),
            "terminate",
            State::LeftOut,
            "it is not permitted: the target stays in quarantine",
        ),
        (
            "silence",
            Case::opened()
                .preserved()
                .sealed(&[])
                .asked()
                .closed(&[])
                .reported(json!({"permission": {"status": "silence", "answers": [], "failure": null}})),
            "permission",
            State::Done,
            "too few answered in time",
        ),
    ]);
}

#[test]
fn the_end_is_told_as_the_records_have_it() {
    let refused = json!({"refused": [{"kind": "evidenceMissing", "subject": "memory", "reason": "not waived"}]});
    let standing = |plan: &mut Value| plan["disposition"]["decision"] = json!("terminate");
    let permitted = || Case::planned(standing).preserved().sealed(&[]);
    let terminate = |case: Case, changes: &Value, note: &Value| case.record("Terminate", "04:00:02", "04:00:04", changes, note);
    let back = json!({"readBack": "shutting-down"});
    let ended = "ec2:TerminateInstances";
    check(vec![
        ("standing", permitted(), "permission", State::LeftOut, "nothing is missing, so that the policy's permission counts"),
        ("standing", permitted(), "terminate", State::Running, ""),
        ("standing and void", Case::planned(standing).preserved().sealed(&["memory"]), "terminate", State::Waiting, ""),
        ("refused", terminate(permitted(), &json!([]), &refused), "terminate", State::Failed, "REFUSED by the guard: not waived"),
        ("intent", terminate(permitted(), &intent(ended), &Value::Null), "terminate", State::Running, ""),
        (
            "tried again",
            terminate(permitted(), &change(ended, &failed()), &back),
            "terminate",
            State::Running,
            "NOT terminated: you may not",
        ),
        (
            "not tried again",
            terminate(permitted(), &change(ended, &failed()), &back).closed(&["x"]),
            "terminate",
            State::Failed,
            "NOT terminated: you may not",
        ),
        ("terminated", terminate(permitted(), &change(ended, &done()), &back), "close", State::Running, ""),
        (
            "the last word comes",
            Case::opened().contained().ended("ABORTED"),
            "close",
            State::Running,
            "the execution has ended (ABORTED): the last word closes the case",
        ),
        ("closed otherwise", Case::opened().closed(&["a", "b"]), "close", State::Failed, "NOT as planned: a (and 1 more)"),
    ]);
}

#[test]
fn a_manifest_without_its_signature_closes_nothing_while_the_execution_runs() {
    let mut case = Case::opened().closed(&[]);
    assert!(case.0.closed());
    case.0.names.remove(case::CLOSING_SIGNATURE);
    assert!(!case.0.closed(), "it is being written");
    assert!(case.ended("SUCCEEDED").0.closed(), "nothing comes any more");
}

/// A release that was begun at 03:30.
fn release(credentials: bool) -> Case {
    let target = serde_json::to_value(Case::opened().0.plan.unwrap().target).unwrap();
    let plan = json!({"schema": "cordon.release.v1", "releaseId": CASE, "execution": EXECUTION, "opened": "2026-11-24T03:30:00Z",
        "caseId": CASE.replace("89ab", "8900"), "restoredFrom": CASE.replace("89ab", "8900"), "reason": "a false alarm", "target": target,
        "restore": [{"what": "terminationProtection", "to": false}],
        "notRestorable": [{"what": "connections", "reason": "they do not come back"}], "credentials": credentials,
        "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"}});
    Case(Facts { release: Some(serde_json::from_value(plan).unwrap()), ..Facts::default() })
}

fn lifted(case: Case) -> Case {
    let note = json!({"status": "lifted", "scope": "all", "reasons": []});
    case.record("AllowCredentials", "03:30:02", "03:30:04", &json!([]), &note)
}

fn given_back(case: Case, status: &str, reasons: &[&str]) -> Case {
    case.record("Restore", "03:30:05", "03:30:12", &json!([]), &json!({"status": status, "items": [], "reasons": reasons}))
}

#[test]
fn a_release_has_stages_of_its_own() {
    assert_eq!(
        given_back(lifted(release(true)), "released", &[]).closed(&[]).drawn("09:00:00", 160),
        "\
i-0abc1234def567890-0123456789ab: closed as planned after 30 min 30 s, release of i-0abc1234def567890-012345678900
  done      check             +0:00            1 things to give back, and 1 that cannot be given back, as before i-0abc1234def567890-012345678900
  done      credentials       +0:02-0:04       no longer denied
  done      give back         +0:05-0:12       released: everything was read back as it was before the case
  done      close             +30:30           as planned
"
    );
    let reported = |case: Case, status: &str| {
        let report = json!({"schema": "cordon.released.v1", "releaseId": CASE, "denial": null, "failure": null,
            "released": {"status": status, "items": [], "readBackAt": null, "reasons": ["a new case"], "failure": null}});
        Case(Facts { report_of_release: Some(serde_json::from_value(report).unwrap()), ..case.0 })
    };
    check(vec![
        ("just begun", release(true), "credentials", State::Running, ""),
        ("just begun", release(true), "give back", State::Waiting, ""),
        ("nothing was denied", release(false), "credentials", State::LeftOut, "they were not denied"),
        (
            "may be tried again",
            given_back(release(true), "partlyReleased", &["a"]),
            "give back",
            State::Running,
            "only PARTLY released: a",
        ),
        (
            "nobody said how",
            given_back(release(true), "released", &[]),
            "credentials",
            State::Failed,
            "no record says how it went",
        ),
        (
            "is not tried again",
            given_back(lifted(release(true)), "partlyReleased", &["a"]).closed(&["x"]),
            "give back",
            State::Failed,
            "only PARTLY released: a",
        ),
        (
            "the report knows better",
            reported(lifted(release(true)).closed(&["x"]), "superseded"),
            "give back",
            State::Failed,
            "STOPPED: a new finding claimed the target, and its case contains it again: a new case",
        ),
        (
            "given back",
            given_back(lifted(release(true)), "released", &[]).ended("SUCCEEDED"),
            "give back",
            State::Done,
            "released: everything was read back as it was before the case",
        ),
        ("broke", release(true).ended("FAILED"), "give back", State::Failed, "no record says how it went"),
    ]);
}
