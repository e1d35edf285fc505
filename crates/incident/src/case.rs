//! The layout of the case file: every key that Cordon ever writes is named here.

use jiff::Timestamp;

use crate::ids::{CaseId, ExecutionArn, InstanceId, SnapshotId};
use crate::permission::Decision;
use crate::progress::Stage;
use crate::text::key_segment;
use crate::visit::stamp;

/// The finding that opened the case, as received.
pub const FINDING: &str = "finding.json";
/// What was decided.
pub const PLAN: &str = "plan.json";
/// What release needs: the state of the target before anything was changed.
pub const BEFORE: &str = "before.json";
/// The target's protections and its Auto Scaling group, before Protect changed them.
pub const BEFORE_PROTECTIONS: &str = "before-protections.json";
/// The target's registrations with load balancers, before Protect ended them.
pub const BEFORE_BALANCERS: &str = "before-balancers.json";
/// What a release gives back; the first object of a release's own file.
pub const RELEASE: &str = "release.json";
/// How a release went.
pub const RELEASED: &str = "released.json";
/// The snapshots at the time of the seal.
pub const SNAPSHOTS: &str = "snapshots.json";
/// The chain over the records up to the seal.
pub const CUSTODY: &str = "custody.jsonl";
/// The chain over the records written after the seal; its first line follows the last line of [`CUSTODY`].
pub const CUSTODY_CLOSING: &str = "custody-closing.jsonl";
/// The manifest over the evidence, made by Seal.
pub const EVIDENCE_MANIFEST: &str = "manifest-evidence.json";
/// The signature (DER, ECDSA P-256 over the SHA-256) of [`EVIDENCE_MANIFEST`].
pub const EVIDENCE_SIGNATURE: &str = "manifest-evidence.json.sig";
/// The report as data.
pub const REPORT: &str = "report.json";
/// The timeline in Timesketch's form.
pub const TIMELINE: &str = "timeline.jsonl";
/// The execution's history, through the event that was the last when the case was closed.
pub const HISTORY: &str = "history.json";
/// The manifest over everything, made by Close or by the last word.
pub const CLOSING_MANIFEST: &str = "manifest-closing.json";
/// The signature of [`CLOSING_MANIFEST`].
pub const CLOSING_SIGNATURE: &str = "manifest-closing.json.sig";
/// The folder of the records.
pub const RECORDS: &str = "records/";
/// The folder of the findings that joined.
pub const FINDINGS: &str = "findings/";
/// The folder of the answers of people: who allowed or forbade that the target is terminated.
pub const APPROVALS: &str = "approvals/";

/// The prefix of a case: `cases/<case-id>/`.
pub fn prefix(case: &CaseId) -> String {
    format!("cases/{case}/")
}

/// The full key of `name` (one of this module's names, or made by one of its functions) in a case.
pub fn key(case: &CaseId, name: &str) -> String {
    format!("cases/{case}/{name}")
}

/// The name of a finding that joined: ids and times of findings are hostile text, so they are made safe.
pub fn joined_finding(finding_id: &str, updated_at: &str) -> String {
    format!("{FINDINGS}{}-{}.json", key_segment(finding_id), key_segment(updated_at))
}

/// The name of a person's answer. A person may approve once and deny once; a denial ends the question.
pub fn approval(decision: Decision, person: &str) -> String {
    format!("{APPROVALS}{}-{}.json", decision.name(), key_segment(person))
}

/// What the `permission` function needs to wake the execution that asks. It holds a task token, so that it is no part of the
/// case file, and that function alone may read it.
pub fn asking(case: &CaseId) -> String {
    format!("permission/{case}.json")
}

/// What is needed to wake the execution that waits for the snapshots of a case. It holds a task token, as [`asking`] does.
pub fn waiting(case: &CaseId) -> String {
    format!("waiting/{case}.json")
}

/// Whose snapshot this is, for whoever hears that it has ended: found without a list, and without asking EC2.
pub fn awaited(snapshot: &SnapshotId) -> String {
    format!("waiting/{snapshot}.json")
}

/// How far a long wait has come, for those who watch. Not evidence.
pub fn progress(case: &CaseId, stage: Stage) -> String {
    format!("work/{case}/progress/{}.json", stage.name())
}

/// Where a joining finding is laid before Close takes it into the case: `joined/<case-id>/<finding>-<updated>.json`.
/// It is no part of the case file, since a late one would make a sealed case fail verification.
pub fn joined_inbox(case: &CaseId) -> String {
    format!("joined/{case}/")
}

/// Says that people have been told how the execution ended. Not evidence: it is written after the case is sealed, and also
/// where no case was opened.
pub fn told(execution: &ExecutionArn) -> String {
    format!("work/told/{}.json", execution.digest())
}

/// The first case of a target whose interfaces still wear our groups: its `before.json` is the one that release needs.
pub fn first_case(instance: &InstanceId) -> String {
    format!("targets/{instance}.json")
}

/// Which instance one of the places for denials on a role is claimed for. IAM is global and a bucket may serve several
/// accounts, so that the account is part of the key.
pub fn role_slot(account: &str, role: &str, slot: u8) -> String {
    format!("roles/{}/{}/{slot}.json", key_segment(account), key_segment(role))
}

/// The folder of the brake's marks, one for each target that was contained without a person.
pub const BRAKE: &str = "work/brake/";

/// The brake's mark of a case opened at `opened`; keys sort by time.
pub fn brake_mark(opened: Timestamp, case: &CaseId) -> String {
    format!("{BRAKE}{}-{case}", stamp(opened))
}
