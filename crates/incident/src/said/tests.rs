//! What remains, and what is missing, by what the steps said.

use super::*;
use serde_json::{Value, json};

fn plan(change: impl FnOnce(&mut Value)) -> Plan {
    let risk = |kind: &str| json!({"kind": kind, "advice": format!("{kind}, as planned")});
    let mut plan = json!({"schema": "cordon.plan.v1", "caseId": "i-0123456789abcdef0-0123456789ab",
        "execution": "arn:aws:states:eu-central-1:111122223333:execution:cordon-incident:one", "opened": "2026-11-24T03:30:00Z",
        "finding": {"source": "manual", "id": "f", "type": "Manual", "title": "t", "severity": 0.0, "account": "1", "region": "r"},
        "target": {"instanceId": "i-0123456789abcdef0", "account": "1", "region": "r", "state": "running", "interfaces": [],
            "volumes": [], "profile": "arn:aws:iam::1:instance-profile/p", "spot": false, "architecture": "x86_64",
            "windows": false, "memoryMib": 8192, "metadata": null},
        "policy": {"from": "parameter", "name": "p", "version": 1}, "cut": {"decision": "now"},
        "memory": {"decision": "capture", "path": null}, "credentials": {"decision": "deny"},
        "snapshotLock": {"mode": "governance", "days": 30},
        "retention": {"mode": "governance", "until": "2027-11-24T03:30:00Z"}, "disposition": {"decision": "quarantine", "reason": "text"},
        "deadlines": {"snapshots": "2026-11-24T05:30:00Z", "memory": "2026-11-24T07:30:00Z"}, "earlierCase": null,
        "risks": [risk("roleCredentials"), risk("instanceMetadata"), risk("memoryNotCaptured"), risk("vpcResolver")]});
    change(&mut plan);
    serde_json::from_value(plan).unwrap()
}

fn containment() -> Containment {
    serde_json::from_value(json!({"status": "contained", "readBackAt": null, "reasons": [], "failure": null,
        "interfaces": [{"id": "eni-0123456789abcdef0", "status": "pathOnly", "groupsBefore": [], "groupsNow": []}],
        "risks": [{"kind": "s3Path", "subject": "eni-0123456789abcdef0", "advice": "any bucket of the Region"}]}))
    .unwrap()
}

fn memory(status: &str, reason: &str, failure: &Value) -> Capture {
    serde_json::from_value(json!({"status": status, "pauseSeconds": 0, "progress": null, "image": null, "files": [],
        "reason": reason, "failure": failure}))
    .unwrap()
}

fn lockdown(status: &str, metadata_off: bool, risks: &Value) -> Lockdown {
    serde_json::from_value(json!({"status": status, "metadataOff": metadata_off, "readBackAt": null, "reasons": ["why"],
        "interfaces": [{"id": "eni-0123456789abcdef0", "status": "cut", "groupsBefore": [], "groupsNow": []}],
        "risks": risks, "failure": null}))
    .unwrap()
}

fn denial(status: &str, scope: &str, risks: &Value) -> Denial {
    serde_json::from_value(json!({"status": status, "scope": scope, "role": "arn:aws:iam::1:role/r", "readBackAt": null,
        "reasons": [], "risks": risks, "failure": null}))
    .unwrap()
}

fn kinds(said: Said<'_>) -> Vec<String> {
    let kind = |risk: &Risk| serde_json::to_value(risk.kind).unwrap().as_str().unwrap().to_owned();
    risks(Some(&plan(|_| ())), said).iter().map(kind).collect()
}

#[test]
fn a_risk_goes_only_where_a_step_read_back_that_it_is_gone() {
    const ALL: [&str; 5] = ["roleCredentials", "instanceMetadata", "memoryNotCaptured", "vpcResolver", "s3Path"];
    let contained = containment();
    let none = json!([]);
    let said = Said { containment: Some(&contained), ..Said::default() };
    assert_eq!(kinds(said), ALL);
    let without = |gone: &[&str]| ALL.into_iter().filter(|kind| !gone.contains(kind)).collect::<Vec<_>>();
    for (status, gone) in [("captured", &["memoryNotCaptured"][..]), ("partial", &[]), ("notCaptured", &[]), ("running", &[])] {
        let memory = memory(status, "no", &Value::Null);
        assert_eq!(kinds(Said { memory: Some(&memory), ..said }), without(gone), "{status}");
    }
    for (status, off, gone) in [
        ("lockedDown", true, &["instanceMetadata"][..]),
        ("lockedDown", false, &[]),
        ("partly", true, &["instanceMetadata"]),
        ("notLockedDown", false, &[]),
        ("withheld", false, &[]),
        ("unknown", false, &[]),
    ] {
        let lockdown = lockdown(status, off, &none);
        assert_eq!(kinds(Said { lockdown: Some(&lockdown), ..said }), without(gone), "{status}");
    }
    for (status, scope, gone) in [
        ("denied", "all", &["roleCredentials"][..]),
        ("denied", "allButSystemsManager", &[]),
        ("notDenied", "all", &[]),
        ("withheld", "all", &[]),
        ("unknown", "all", &[]),
    ] {
        let denial = denial(status, scope, &none);
        assert_eq!(kinds(Said { denial: Some(&denial), ..said }), without(gone), "{status} {scope}");
    }
}

#[test]
fn what_could_not_be_looked_at_is_said_until_lock_down_has_looked() {
    let mut contained = containment();
    contained.risks =
        vec![Risk::new(RiskKind::WaysNotRead, "routes", "refused"), Risk::new(RiskKind::NatGateway, "nat-1", "it stays tracked")];
    let named = |said| -> Vec<String> {
        let kinds = kinds(said).into_iter();
        kinds.filter(|kind| ["waysNotRead", "natGateway", "loadBalancer"].contains(&kind.as_str())).collect()
    };
    let said = Said { containment: Some(&contained), ..Said::default() };
    assert_eq!(named(said), ["waysNotRead", "natGateway"]);
    let unread = lockdown("lockedDown", true, &json!([]));
    assert_eq!(named(Said { lockdown: Some(&unread), ..said }), ["waysNotRead", "natGateway"]);
    let read = Lockdown { read_back_at: Some("2026-11-24T04:30:00Z".parse().unwrap()), ..unread.clone() };
    assert_eq!(named(Said { lockdown: Some(&read), ..said }), ["natGateway"]);

    let failed: Protection = serde_json::from_value(json!({"status": "unknown", "measures": [], "readBackAt": null,
        "reasons": [], "risks": [], "failure": {"state": "Protect", "error": "Denied", "cause": "no"}}))
    .unwrap();
    assert_eq!(named(Said { protection: Some(&failed), ..Said::default() }), ["loadBalancer"]);
}

#[test]
fn the_way_for_memory_is_told_before_while_and_after_it_is_open() {
    let mut plan = plan(|_| ());
    plan.risks.push(Risk::new(RiskKind::S3Path, "eni-0123456789abcdef0", "as planned"));
    let told = |said| -> Vec<String> {
        let all = risks(Some(&plan), said).into_iter();
        all.filter(|risk| risk.kind == RiskKind::S3Path).map(|risk| risk.advice).collect()
    };
    assert_eq!(told(Said::default()), ["as planned"]);
    let open = containment();
    let said = Said { containment: Some(&open), ..Said::default() };
    assert_eq!(told(said), ["any bucket of the Region"]);
    let locked = lockdown("lockedDown", true, &json!([]));
    let locked = Lockdown { read_back_at: Some("2026-11-24T04:30:00Z".parse().unwrap()), ..locked };
    let after = told(Said { lockdown: Some(&locked), ..said });
    assert_eq!(after.len(), 1, "{after:?}");
    assert!(after[0].starts_with("until 2026-11-24T04:30:00Z the target could reach more"), "{after:?}");
    // Nothing is said of a way that was never opened, and all of it where nobody could see.
    let shut = Containment { risks: Vec::new(), ..open.clone() };
    assert_eq!(told(Said { containment: Some(&shut), ..Said::default() }), ["as planned"]);
    let shut = Containment { read_back_at: Some("2026-11-24T03:30:00Z".parse().unwrap()), ..shut.clone() };
    assert_eq!(told(Said { containment: Some(&shut), lockdown: Some(&locked), ..Said::default() }), [""; 0]);
    let broke = serde_json::from_value(json!({"state": "Isolate", "error": "Denied", "cause": "no"})).unwrap();
    let door = Containment { failure: Some(broke), ..shut.clone() };
    let closed = told(Said { containment: Some(&door), ..Said::default() });
    assert!(closed.len() == 1 && closed[0].starts_with("until 2026-11-24T03:30:00Z the target could"), "{closed:?}");
}

#[test]
fn what_a_step_states_itself_stays_and_replaces_what_was_said_before() {
    let stated = |kind: &str, subject: &str| json!([{"kind": kind, "subject": subject, "advice": "as found"}]);
    let denied = denial("denied", "all", &stated("roleCredentials", "arn:aws:iam::1:role/r"));
    let locked = lockdown("partly", true, &stated("s3Path", "eni-0123456789abcdef0"));
    let contained = containment();
    let said = Said { containment: Some(&contained), denial: Some(&denied), lockdown: Some(&locked), ..Said::default() };
    let plan = plan(|_| ());
    let found: Vec<(RiskKind, String)> = risks(Some(&plan), said).into_iter().map(|risk| (risk.kind, risk.advice)).collect();
    let planned = |kind, name: &str| (kind, format!("{name}, as planned"));
    assert_eq!(
        found,
        [
            planned(RiskKind::MemoryNotCaptured, "memoryNotCaptured"),
            planned(RiskKind::VpcResolver, "vpcResolver"),
            (RiskKind::S3Path, "as found".to_owned()),
            (RiskKind::RoleCredentials, "as found".to_owned()),
        ]
    );
}

#[test]
fn memory_that_did_not_come_says_why() {
    let failure = json!({"state": "MemoryCapture", "error": "Denied", "cause": "no"});
    for (memory, said) in [
        (memory("notCaptured", "the agent is lost", &Value::Null), "memory is not captured (the agent is lost)"),
        (memory("partial", "the deadline passed", &Value::Null), "memory is only partly captured (the deadline passed)"),
        (memory("notCaptured", "", &failure), "memory is not captured (MemoryCapture failed with Denied: no)"),
        (memory("running", "", &Value::Null), "memory is not captured (it was given up while it was still under way)"),
    ] {
        let risks = risks(Some(&plan(|_| ())), Said { memory: Some(&memory), ..Said::default() });
        let risk = risks.iter().find(|risk| risk.kind == RiskKind::MemoryNotCaptured).unwrap();
        assert!(risk.advice.starts_with(said), "{}", risk.advice);
    }
}

#[test]
fn memory_is_missing_unless_it_is_there_or_nobody_wanted_it_or_there_was_none() {
    let skip = |because: &str| plan(|plan| plan["memory"] = json!({"decision": "skip", "because": because, "reason": "why"}));
    for (because, missing) in [("policy", false), ("noMemory", false), ("noPath", true), ("unsupported", true)] {
        let found = uncaptured(&skip(because), None);
        assert_eq!(found.is_some(), missing, "{because}: {found:?}");
        assert!(memory_skipped(&skip(because)));
    }
    let wanted = plan(|_| ());
    assert!(!memory_skipped(&wanted));
    for (status, missing) in [("captured", false), ("partial", true), ("notCaptured", true), ("running", true)] {
        let found = uncaptured(&wanted, Some(&memory(status, "why", &Value::Null)));
        assert_eq!(found.is_some(), missing, "{status}: {found:?}");
    }
    assert!(uncaptured(&wanted, None).unwrap().reason.contains("broke"));
}

#[test]
fn a_lockdown_is_missing_where_the_network_was_to_be_cut_and_something_is_open() {
    let all = ["lockedDown", "nothingToLock", "partly", "notLockedDown", "withheld", "unknown"];
    for status in all {
        let lockdown = lockdown(status, false, &json!([]));
        let found = unlocked(&plan(|_| ()), Some(&lockdown));
        let good = ["lockedDown", "nothingToLock"].contains(&status);
        assert_eq!(found.as_ref().map(|missing| missing.reason.ends_with(": why")), (!good).then_some(true), "{status}");
        let ask = plan(|plan| plan["cut"] = json!({"decision": "askFirst", "reasons": []}));
        let gone = plan(|plan| plan["target"]["state"] = json!("terminated"));
        assert_eq!((unlocked(&ask, Some(&lockdown)), unlocked(&gone, Some(&lockdown))), (None, None), "{status}");
    }
    assert!(unlocked(&plan(|_| ()), None).unwrap().reason.contains("broke"));
}

#[test]
fn a_denial_is_as_planned_only_where_it_was_read_back_in_full_or_nothing_was_to_be_denied() {
    let none = json!([]);
    for (status, scope, fine) in [
        ("denied", "all", true),
        ("denied", "allButSystemsManager", false),
        ("notDenied", "all", false),
        ("unknown", "all", false),
        ("nothingToDeny", "all", true),
        ("withheld", "all", true),
    ] {
        let denial = denial(status, scope, &none);
        let found = undenied(&plan(|_| ()), Some(&denial));
        assert_eq!(found.is_none(), fine, "{status} {scope}: {found:?}");
        let skipped = plan(|plan| plan["credentials"] = json!({"decision": "skip", "reason": "why"}));
        let without = plan(|plan| plan["target"]["profile"] = Value::Null);
        let ask = plan(|plan| plan["cut"] = json!({"decision": "askFirst", "reasons": []}));
        for plan in [skipped, without, ask] {
            assert_eq!(undenied(&plan, Some(&denial)), None, "{status} {scope}");
            let failure = Some(crate::evidence::Failure { state: "s".into(), error: "Denied".into(), cause: "no".into() });
            let failed = Denial { failure, ..denial.clone() };
            assert!(undenied(&plan, Some(&failed)).unwrap().contains("s failed with Denied: no"), "{status} {scope}");
        }
    }
    assert!(undenied(&plan(|_| ()), None).unwrap().contains("broke"));
}

#[test]
fn a_context_is_as_planned_where_each_source_is_as_it_should_be_or_the_target_is_gone() {
    let source = |source: &str, status: &str, items: u32| {
        json!({"source": source, "status": status, "items": items, "reason": "denied",
        "object": (items > 0).then(|| json!({"key": "k", "versionId": "v", "sha256": "s", "size": 1}))})
    };
    let sources = json!([
        source("cloudTrailTarget", "taken", 3),
        source("cloudTrailSessions", "bounded", 400),
        source("userData", "notTaken", 0),
        source("guardDutyFindings", "nothing", 0)
    ]);
    let context = |status: &str| -> Context {
        serde_json::from_value(json!({"status": status, "sources": sources, "failure": null})).unwrap()
    };
    let gone = plan(|plan| plan["target"]["state"] = json!("terminated"));
    for (status, said) in [
        ("collected", None),
        ("partly", Some("not all of the target's context is there: its user data: denied")),
        ("notCollected", Some("nothing of the target's context is there: its user data: denied")),
        ("unknown", Some("nobody knows how much of the target's context is there: its user data: denied")),
    ] {
        let context = context(status);
        assert_eq!(uncollected(&plan(|_| ()), Some(&context)).as_deref(), said, "{status}");
        assert_eq!(uncollected(&gone, Some(&context)), None, "{status}");
    }
    assert!(uncollected(&plan(|_| ()), None).unwrap().contains("broke"));
    assert_eq!(counted(&context("partly")), "3 calls about it, more than 400 calls by its role sessions");
}

#[test]
fn the_path_is_left_until_a_later_step_reads_back_that_it_is_closed() {
    let (contained, locked) = (containment(), lockdown("partly", false, &json!([])));
    let said = Said { containment: Some(&contained), ..Said::default() };
    assert_eq!(said.path_left().unwrap().id.as_str(), "eni-0123456789abcdef0");
    assert_eq!(Said { lockdown: Some(&locked), ..said }.path_left(), None);
    assert!(!Said { lockdown: Some(&locked), ..said }.cut_late());
    let all = Lockdown { status: LockdownStatus::LockedDown, ..locked.clone() };
    let partly = Containment { status: ContainmentStatus::PartlyContained, ..contained.clone() };
    let late = |containment| Said { containment: Some(containment), lockdown: Some(&all), ..said }.cut_late();
    assert_eq!((late(&partly), late(&contained)), (true, false));
    let unread = Lockdown { interfaces: Vec::new(), status: LockdownStatus::Unknown, ..locked };
    assert!(Said { lockdown: Some(&unread), ..said }.path_left().is_some(), "what nobody read back counts as open");
}
