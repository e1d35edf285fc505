//! The guard: whether the target may be terminated. Pure.
//!
//! INVARIANT: there is no permit unless the evidence manifest is complete, or each missing item was waived by name by
//! everybody who approved.

#[cfg(test)]
mod tests;

use incident::claim::Claim;
use incident::evidence::{LockOutcome, Refusal, RefusalKind, Standing};
use incident::manifest::EvidenceManifest;
use incident::plan::{DispositionPlan, LockMode, Plan, PolicySource, Retention, SnapshotLock, TargetState};
use incident::policy::ProtectedTag;
use incident::text::bounded;
use incident::{CaseId, ExecutionArn, InstanceId, SnapshotId, case};
use jiff::Timestamp;

use crate::approvals::{self, Asked, Kept};

/// The tag that Seal sets on a target whose evidence is sealed: its value is the case.
pub const SEALED: &str = "cordon:sealed";

/// Everything that the guard judges by, read anew. An `Err` says why something could not be read, and is never overlooked.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The case that the execution handles.
    pub case: CaseId,
    /// The execution.
    pub execution: ExecutionArn,
    /// The evidence manifest.
    pub manifest: Result<Manifest, String>,
    /// The plan, as it was sealed.
    pub plan: Result<Plan, String>,
    /// The objects below `approvals/`.
    pub answers: Vec<Kept>,
    /// Who has the target.
    pub claim: Result<Option<Claim>, String>,
    /// The target now.
    pub target: Result<Target, String>,
    /// Whether the target was protected against termination before the case, so that the protection is not ours to take off.
    pub protected_before: Result<bool, String>,
    /// The manifest's snapshots now.
    pub snapshots: Vec<Snapshot>,
    /// The manifest's objects now.
    pub objects: Vec<Object>,
    /// Whether an earlier attempt of this execution set out to terminate the target.
    pub intended: bool,
}

/// The evidence manifest, as it is in the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// What it says.
    pub document: EvidenceManifest,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Whether the signature beside it holds.
    pub signature: Result<(), String>,
}

/// The target, as EC2 has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How it stands.
    pub standing: Standing,
    /// Its tags. Hostile.
    pub tags: Vec<(String, String)>,
    /// Whether EC2 refuses to terminate it (`disableApiTermination`).
    pub protection: Result<bool, String>,
    /// When EC2 was asked. Nothing is decided by it.
    pub at: Timestamp,
}

/// A snapshot of the manifest, as EC2 has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which.
    pub id: SnapshotId,
    /// EC2's state, `gone` where it does not know the snapshot; or why it could not be read.
    pub state: Result<String, String>,
    /// Its lock; absent where there is none.
    pub lock: Result<Option<SnapshotLock>, String>,
}

/// An object of the manifest, as S3 has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its full key.
    pub key: String,
    /// The sealed version.
    pub version_id: String,
    /// The lock of the sealed version, or why that version could not be read.
    pub lock: Result<Option<Retention>, String>,
    /// Whether the key has versions or delete markers that the manifest does not name.
    pub rewritten: bool,
}

/// The proof that the target may be terminated. Only [`judge`] makes one, it cannot be copied, and it is used up by the end.
///
/// ```
/// fn may_be_held(permit: terminate::guard::Permit) -> Vec<String> {
///     permit.by().to_vec()
/// }
/// ```
///
/// It cannot be made anywhere else:
///
/// ```compile_fail,E0451
/// let instance = incident::InstanceId::parse("i-0abc1234").unwrap();
/// let (by, manifest, state) = (Vec::new(), String::new(), incident::plan::TargetState::Running);
/// let permit = terminate::guard::Permit { instance, by, manifest, state, clears_protection: false };
/// ```
///
/// nor used twice:
///
/// ```compile_fail,E0599
/// fn twice(permit: terminate::guard::Permit) -> terminate::guard::Permit {
///     permit.clone()
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    instance: InstanceId,
    by: Vec<String>,
    manifest: String,
    state: TargetState,
    clears_protection: bool,
}

impl Permit {
    /// What may be terminated: this instance alone.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// By whose word.
    pub fn by(&self) -> &[String] {
        &self.by
    }

    /// The SHA-256 of the evidence manifest that it cites.
    pub fn manifest(&self) -> &str {
        &self.manifest
    }

    /// The state of the target when it was judged: on its way out where an earlier attempt had ended it.
    pub fn state(&self) -> TargetState {
        self.state
    }

    /// Whether our own protection against termination has to be taken off first.
    pub fn clears_protection(&self) -> bool {
        self.clears_protection
    }
}

impl Facts {
    /// Whether the target is on its way out, and by an earlier attempt of this execution.
    pub fn ended_by_us(&self) -> bool {
        self.intended && self.target.as_ref().is_ok_and(|target| !target.standing.state.is_alive())
    }
}

/// Whether the target may be terminated, or everything that there is against it.
pub fn judge(facts: &Facts) -> Result<Permit, Vec<Refusal>> {
    let mut refusals = whole(facts);
    refusals.extend(claimed(facts));
    refusals.extend(locked_snapshots(facts));
    refusals.extend(unchanged_objects(facts));
    refusals.extend(same_target(facts));
    refusals.extend(protected(facts));
    let by = allowed(facts, &mut refusals);
    match (&facts.manifest, &facts.target) {
        (Ok(manifest), Ok(target)) if refusals.is_empty() && !by.is_empty() => {
            let clears_protection = target.standing.state.is_alive() && target.protection == Ok(true);
            let (instance, manifest, state) = (facts.case.instance(), manifest.sha256.clone(), target.standing.state);
            Ok(Permit { instance, by, manifest, state, clears_protection })
        }
        _ if refusals.is_empty() => Err(vec![against(RefusalKind::ApprovalMissing, "", "nobody has allowed it")]),
        _ => Err(refusals),
    }
}

/// One thing against it, bounded.
pub(crate) fn against(kind: RefusalKind, subject: impl AsRef<str>, reason: impl AsRef<str>) -> Refusal {
    Refusal { kind, subject: bounded(subject.as_ref(), 400), reason: bounded(reason.as_ref(), 400) }
}

/// Whether there is a manifest, of this case, with a signature, and the plan that it seals.
fn whole(facts: &Facts) -> Vec<Refusal> {
    let manifest = match &facts.manifest {
        Ok(manifest) => manifest,
        Err(reason) => return vec![against(RefusalKind::NoManifest, case::EVIDENCE_MANIFEST, reason)],
    };
    let document = &manifest.document;
    let mut all = Vec::new();
    let same = document.schema == EvidenceManifest::SCHEMA
        && document.case_id == facts.case
        && document.execution == facts.execution
        && document.instance_id == facts.case.instance();
    if !same {
        let reason = "it is not the manifest of this case, execution and target: find out who put it there";
        all.push(against(RefusalKind::NoManifest, case::EVIDENCE_MANIFEST, reason));
    }
    if let Err(reason) = &manifest.signature {
        all.push(against(RefusalKind::ManifestForged, case::EVIDENCE_MANIFEST, reason));
    }
    let planned = facts.plan.as_ref().map_err(String::as_str).and_then(|plan| {
        let same = plan.schema == Plan::SCHEMA
            && plan.case_id == facts.case
            && plan.execution == facts.execution
            && plan.target.instance_id == facts.case.instance();
        same.then_some(()).ok_or("it is not the plan of this case, execution and target")
    });
    if let Err(reason) = planned {
        all.push(against(RefusalKind::EvidenceChanged, case::PLAN, reason));
    }
    all
}

/// Whether this case, and no other, has the target.
fn claimed(facts: &Facts) -> Option<Refusal> {
    let reason = match &facts.claim {
        Ok(Some(claim)) if claim.case_id != facts.case || claim.execution_arn != facts.execution => {
            format!("the target is claimed by case {}: it must be closed first", claim.case_id)
        }
        Ok(Some(claim)) if claim.closing => "this case is being closed already".to_owned(),
        Ok(Some(_)) => return None,
        Ok(None) => "nothing claims the target, so that this case is not open".to_owned(),
        Err(reason) => format!("who has the target could not be read: {reason}"),
    };
    Some(against(RefusalKind::OtherCaseOpen, Claim::key(&facts.case.instance()), reason))
}

/// By whose word the target may be terminated. What there is against it goes into `refusals`.
fn allowed(facts: &Facts, refusals: &mut Vec<Refusal>) -> Vec<String> {
    let (Ok(manifest), Ok(plan)) = (&facts.manifest, &facts.plan) else { return Vec::new() };
    let document = &manifest.document;
    let complete = document.complete && document.missing.is_empty();
    if !document.complete && document.missing.is_empty() {
        let reason = "the manifest says that something is missing and not what, so that nobody can waive it";
        refusals.push(against(RefusalKind::EvidenceMissing, "", reason));
    }
    let policy = match (&plan.disposition, &plan.policy) {
        (DispositionPlan::Terminate(_), PolicySource::Parameter { name, version }) if complete => {
            Some(format!("policy {name} version {version}"))
        }
        _ => None,
    };
    let needed = match (plan.disposition.terms(), &policy) {
        (None, _) => {
            refusals.push(against(RefusalKind::NotPlanned, "", "the plan is that the target stays in quarantine"));
            0
        }
        (Some(_), Some(_)) => 0,
        (Some(terms), None) => usize::from(terms.persons).max(1),
    };
    let counted = approvals::count(
        &facts.answers,
        Asked {
            case: &facts.case,
            execution: &facts.execution,
            account: facts.execution.account(),
            manifest: &manifest.sha256,
            missing: &document.missing,
            needed,
        },
    );
    refusals.extend(counted.refusals);
    policy.map_or(counted.by, |policy| vec![policy])
}

/// Whether a manifest says itself that `item` is missing: then people have been asked about it, by its name.
fn told(document: &EvidenceManifest, item: &str) -> bool {
    document.missing.iter().any(|missing| missing.item == item)
}

/// Whether every volume has its snapshot, completed and locked as planned; but for what the manifest says is missing.
fn locked_snapshots(facts: &Facts) -> Vec<Refusal> {
    let Ok(Manifest { document, .. }) = &facts.manifest else { return Vec::new() };
    let mut all = Vec::new();
    // A volume that came after triage and before the seal is of the target, and no plan knows it.
    let volumes = document.target.iter().flat_map(|standing| &standing.volumes);
    for volume in volumes.filter(|volume| !document.snapshots.iter().any(|sealed| sealed.taken.volume_id == **volume)) {
        let item = format!("snapshot:{volume}");
        if !told(document, &item) {
            let reason = "the volume was there at the seal, there is no snapshot of it, and nobody was asked about it";
            all.push(against(RefusalKind::EvidenceMissing, item, reason));
        }
    }
    for sealed in &document.snapshots {
        let id = &sealed.taken.snapshot_id;
        let now = facts.snapshots.iter().find(|now| now.id == *id);
        if !told(document, &format!("snapshot:{}", sealed.taken.volume_id)) {
            let reason = match now.map(|now| &now.state) {
                Some(Ok(state)) if state == "completed" => None,
                Some(Ok(state)) => Some(format!("its state is `{state}`, so that the volume may be the only copy")),
                Some(Err(reason)) => Some(format!("its state could not be read: {reason}")),
                None => Some("nobody looked at it".to_owned()),
            };
            all.extend(reason.map(|reason| against(RefusalKind::SnapshotNotCompleted, id.as_str(), reason)));
        }
        if !told(document, &format!("snapshot-lock:{id}")) {
            let reason = match now.map(|now| &now.lock) {
                Some(Ok(lock)) => unlocked(&sealed.taken.lock, *lock, facts.plan.as_ref().ok().map(|plan| plan.snapshot_lock)),
                Some(Err(reason)) => Some(format!("its lock could not be read: {reason}")),
                None => Some("nobody looked at its lock".to_owned()),
            };
            all.extend(reason.map(|reason| against(RefusalKind::EvidenceUnlocked, id.as_str(), reason)));
        }
    }
    all
}

/// What is wrong with a snapshot's lock, if anything: it must be what Snapshot set and what the plan wants.
fn unlocked(taken: &LockOutcome, now: Option<SnapshotLock>, planned: Option<SnapshotLock>) -> Option<String> {
    let Some(now) = now else { return Some("it is not locked: lock it now".to_owned()) };
    let set = match taken {
        LockOutcome::Locked { mode, days } => Some(SnapshotLock { mode: *mode, days: *days }),
        LockOutcome::NotLocked { .. } => None,
    };
    for wanted in [set, planned].into_iter().flatten() {
        if now.days < wanted.days {
            return Some(format!("it is locked for {} days instead of {}", now.days, wanted.days));
        }
        if wanted.mode == LockMode::Compliance && now.mode != LockMode::Compliance {
            return Some("it is locked in governance mode instead of compliance mode".to_owned());
        }
    }
    None
}

/// Whether every object is as it was sealed, and locked as planned; but for what the manifest says is missing.
fn unchanged_objects(facts: &Facts) -> Vec<Refusal> {
    let Ok(Manifest { document, .. }) = &facts.manifest else { return Vec::new() };
    let mut all = Vec::new();
    for item in &document.items {
        let key = &item.object.key;
        let same = |now: &&Object| now.key == *key && now.version_id == item.object.version_id;
        let Some(now) = facts.objects.iter().find(same) else {
            all.push(against(RefusalKind::EvidenceChanged, key, "nobody looked at it"));
            continue;
        };
        if now.rewritten && !told(document, &format!("object:{key}")) {
            let reason = "it was written again or deleted since it was sealed: find out by whom";
            all.push(against(RefusalKind::EvidenceChanged, key, reason));
        }
        match &now.lock {
            Err(reason) => {
                let reason = format!("the sealed version could not be read: {reason}");
                all.push(against(RefusalKind::EvidenceChanged, key, reason));
            }
            Ok(_) if told(document, &format!("lock:{key}")) => {}
            Ok(lock) => {
                let planned = facts.plan.as_ref().ok().map(|plan| plan.retention);
                let reason = unretained(*lock, planned);
                all.extend(reason.map(|reason| against(RefusalKind::EvidenceUnlocked, key, reason)));
            }
        }
    }
    all
}

/// What is wrong with an object's lock, if anything. Locks have whole seconds.
fn unretained(lock: Option<Retention>, planned: Option<Retention>) -> Option<&'static str> {
    match (lock, planned) {
        (None, _) => Some("it has no Object Lock: lock it now"),
        (Some(lock), Some(planned)) if lock.until.as_second() < planned.until.as_second() => {
            Some("its Object Lock ends before the plan's retention")
        }
        (Some(lock), Some(planned)) if planned.mode == LockMode::Compliance && lock.mode != LockMode::Compliance => {
            Some("it is locked in governance mode, the plan says compliance")
        }
        (Some(_), _) => None,
    }
}

/// Whether the target is as it was sealed. One that an earlier attempt has ended is.
fn same_target(facts: &Facts) -> Vec<Refusal> {
    let unknown = |reason: &str| vec![against(RefusalKind::TargetUnknown, facts.case.instance().as_str(), reason)];
    let changed = |subject: &str, reason: String| against(RefusalKind::TargetChanged, subject, reason);
    let target = match &facts.target {
        Ok(target) => target,
        Err(reason) => return unknown(&format!("how it stands could not be read: {reason}")),
    };
    let now = &target.standing;
    if !now.state.is_alive() {
        let reason = "it was terminated, or is being, by somebody else: find out by whom".to_owned();
        return if facts.intended { Vec::new() } else { vec![changed(facts.case.instance().as_str(), reason)] };
    }
    let Ok(Manifest { document, .. }) = &facts.manifest else { return Vec::new() };
    let Some(sealed) = document.target.as_ref().filter(|sealed| sealed.launched.is_some()) else {
        return unknown("how it stood when the evidence was sealed is not in the manifest");
    };
    let mut all = Vec::new();
    if now.state != sealed.state {
        let (now, sealed) = (crate::standing::name(now.state), crate::standing::name(sealed.state));
        all.push(changed("state", format!("it is {now}, and was {sealed} when the evidence was sealed")));
    }
    if now.launched != sealed.launched {
        all.push(changed("launched", "it was started again since the evidence was sealed".to_owned()));
    }
    for interface in different(&now.interfaces, &sealed.interfaces) {
        all.push(changed(interface.as_str(), "the interface came or went since the evidence was sealed".to_owned()));
    }
    for volume in different(&now.volumes, &sealed.volumes) {
        all.push(changed(volume.as_str(), "the volume came or went since the evidence was sealed".to_owned()));
    }
    if !target.tags.iter().any(|(key, value)| key == SEALED && value == facts.case.as_str()) {
        all.push(changed(SEALED, format!("it does not have this tag with the value {}, which Seal sets", facts.case)));
    }
    all
}

/// What is in one list and not in the other.
fn different<'a, T: PartialEq>(one: &'a [T], other: &'a [T]) -> Vec<&'a T> {
    let only = |here: &'a [T], there: &'a [T]| here.iter().filter(move |item| !there.contains(item));
    only(one, other).chain(only(other, one)).collect()
}

/// What protects the target, of the policy or of somebody else. One that is on its way out needs no protection.
fn protected(facts: &Facts) -> Vec<Refusal> {
    let Some(target) = facts.target.as_ref().ok().filter(|target| target.standing.state.is_alive()) else { return Vec::new() };
    let terms = facts.plan.as_ref().ok().and_then(|plan| plan.disposition.terms());
    let has = |wanted: &ProtectedTag| {
        target.tags.iter().any(|(key, value)| *key == wanted.key && wanted.value.as_ref().is_none_or(|wanted| wanted == value))
    };
    let tags = terms.into_iter().flat_map(|terms| &terms.protected_tags).filter(|tag| has(tag));
    let mut all: Vec<Refusal> = tags
        .map(|tag| against(RefusalKind::Protected, &tag.key, "the target has this tag of the policy: remove it if it may go"))
        .collect();
    let reason = match (&target.protection, &facts.protected_before) {
        // Ours goes with a permit.
        (Ok(false), _) | (Ok(true), Ok(false)) => return all,
        (Ok(true), Ok(true)) => {
            "somebody had protected it against termination before the case: ask them, and take the protection off".to_owned()
        }
        (Ok(true), Err(reason)) => {
            format!("it is protected against termination, and whether Cordon did that could not be read: {reason}")
        }
        (Err(reason), _) => format!("whether it is protected against termination could not be read: {reason}"),
    };
    all.push(against(RefusalKind::Protected, "disableApiTermination", reason));
    all
}
