//! Whether a case file is what was sealed: every object, both signatures, and the whole custody chain. Pure.
//!
//! INVARIANT: nothing is trusted but the signatures. What a manifest lists must be there, unchanged; what is there must be
//! listed; and every record must be in the chain, exactly once.
//! INVARIANT: whoever reads the objects digests them as they pass. Only what must be parsed ([`is_parsed`]) is kept in memory,
//! so that a case with an image of any size is checked in little memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::case;
use crate::custody::{self, Line};
use crate::evidence::{Missing, ObjectRef};
use crate::ids::CaseId;
use crate::manifest::{Chain, ClosingManifest, DigestBy, EvidenceManifest, Item, Trust};
use crate::plan::Retention;

/// One object of a case, as it was found: of its newest version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// The CRC-64/NVME of its bytes, in Base64 (big-endian), as S3 has it; absent where nobody computed it.
    pub crc64nvme: Option<String>,
    /// Its bytes, where it [`is_parsed`] and has no more than [`MOST_PARSED`].
    pub bytes: Option<Vec<u8>>,
    /// The ids of its versions and delete markers, newest first; empty for a downloaded case, which has none.
    pub versions: Vec<String>,
    /// Its lock, where it is known.
    pub lock: Option<Retention>,
}

/// The most bytes of an object that is parsed: far more than any that Cordon writes, and little enough for any machine.
pub const MOST_PARSED: u64 = 64 << 20;

/// Whether the bytes of the object of this name are needed, and not only its digests.
pub fn is_parsed(name: &str) -> bool {
    const WHOLE: [&str; 6] = [
        case::EVIDENCE_MANIFEST,
        case::EVIDENCE_SIGNATURE,
        case::CLOSING_MANIFEST,
        case::CLOSING_SIGNATURE,
        case::CUSTODY,
        case::CUSTODY_CLOSING,
    ];
    WHOLE.contains(&name) || name.starts_with(case::RECORDS)
}

/// The objects of a case, by their names in it.
pub type Objects = BTreeMap<String, Found>;

/// What the case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Closed, and everything holds.
    Closed,
    /// The evidence is sealed and holds; the case is still open.
    EvidenceSealed,
    /// Nothing is sealed yet.
    Open,
    /// Something does not hold.
    Broken,
}

/// One object and whether it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Its name in the case.
    pub name: String,
    /// Its size in bytes; absent where the object is.
    pub size: Option<u64>,
    /// Its SHA-256 as found; absent where the object is.
    pub sha256: Option<String>,
    /// Its lock: as S3 tells it, else as the manifest says it was.
    pub lock: Option<Retention>,
    /// How far to trust it, as the manifest says; absent for the manifests and their signatures.
    pub trust: Option<Trust>,
    /// Who computed the SHA-256 that the manifest lists; absent where it lists none.
    pub sha256_by: Option<DigestBy>,
    /// What is wrong with it; empty where it holds.
    pub problems: Vec<String>,
}

/// What the verification found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// `cordon.verification.v1`.
    pub schema: &'static str,
    /// The case.
    pub case_id: CaseId,
    /// What the case is.
    pub verdict: Verdict,
    /// Every object, by name.
    pub objects: Vec<Checked>,
    /// How many lines the whole chain has.
    pub custody_lines: u64,
    /// Whether the evidence is complete; absent where there is no manifest that can be read.
    pub complete: Option<bool>,
    /// What is missing from the evidence, by name.
    pub missing: Vec<Missing>,
}

/// Checks a case. `signed` says whether a signature (DER) is one of the deployment's key over the bytes.
pub fn verify(case_id: &CaseId, objects: &Objects, signed: impl Fn(&[u8], &[u8]) -> bool) -> Verification {
    let mut problems = Problems::default();
    let evidence: Option<EvidenceManifest> =
        problems.manifest(objects, case::EVIDENCE_MANIFEST, case::EVIDENCE_SIGNATURE, &signed);
    let closing: Option<ClosingManifest> = problems.manifest(objects, case::CLOSING_MANIFEST, case::CLOSING_SIGNATURE, &signed);
    let mut check = Check { case_id, objects, problems, listed: BTreeMap::new() };
    check.written_once();
    if let Some(evidence) = &evidence {
        check.identity(case::EVIDENCE_MANIFEST, &evidence.schema, EvidenceManifest::SCHEMA, &evidence.case_id);
        check.items(&evidence.items, case::EVIDENCE_MANIFEST);
    }
    if let Some(closing) = &closing {
        check.identity(case::CLOSING_MANIFEST, &closing.schema, ClosingManifest::SCHEMA, &closing.case_id);
        check.items(&closing.items, case::CLOSING_MANIFEST);
        check.exact_set(closing);
        check.same_evidence(closing);
    } else {
        check.not_closed();
    }
    let custody_lines = check.custody(evidence.as_ref(), closing.as_ref());
    check.finish(evidence.as_ref(), closing.is_some(), custody_lines)
}

/// What is wrong, by the object's name.
#[derive(Debug, Default)]
struct Problems(BTreeMap<String, Vec<String>>);

impl Problems {
    fn add(&mut self, name: &str, what: impl Into<String>) {
        let what = what.into();
        let problems = self.0.entry(name.to_owned()).or_default();
        if !problems.contains(&what) {
            problems.push(what);
        }
    }

    /// The bytes of an object that is parsed.
    fn bytes<'a>(&mut self, name: &str, found: &'a Found) -> Option<&'a [u8]> {
        if found.bytes.is_none() {
            self.add(name, format!("it has {} bytes, more than any that Cordon writes, and was not read", found.size));
        }
        found.bytes.as_deref()
    }

    /// A manifest that is there and whose signature holds.
    fn manifest<T: DeserializeOwned>(
        &mut self,
        objects: &Objects,
        name: &str,
        signature: &str,
        signed: &impl Fn(&[u8], &[u8]) -> bool,
    ) -> Option<T> {
        let bytes = self.bytes(name, objects.get(name)?)?;
        match objects.get(signature) {
            Some(sig) if self.bytes(signature, sig).is_some_and(|sig| signed(bytes, sig)) => {}
            Some(_) => {
                self.add(name, "its signature does not hold");
                self.add(signature, format!("it is no signature of this key over `{name}`"));
            }
            None => self.add(signature, format!("it is missing, so that `{name}` proves nothing")),
        }
        match serde_json::from_slice(bytes) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                self.add(name, format!("it cannot be read: {error}"));
                None
            }
        }
    }
}

struct Check<'a> {
    case_id: &'a CaseId,
    objects: &'a Objects,
    problems: Problems,
    listed: BTreeMap<String, &'a Item>,
}

impl<'a> Check<'a> {
    fn problem(&mut self, name: &str, what: impl Into<String>) {
        self.problems.add(name, what);
    }

    fn written_once(&mut self) {
        for (name, found) in self.objects {
            if found.versions.len() > 1 {
                self.problem(
                    name,
                    format!("it has {} versions or delete markers: it was written or deleted again", found.versions.len()),
                );
            }
        }
    }

    fn identity(&mut self, name: &str, schema: &str, expected: &str, case_id: &CaseId) {
        if schema != expected {
            self.problem(name, format!("its schema is not {expected}"));
        }
        if case_id != self.case_id {
            self.problem(name, format!("it belongs to the case {case_id}"));
        }
    }

    fn items(&mut self, items: &'a [Item], manifest: &str) {
        for item in items {
            let Some(name) = self.name_of(&item.object) else {
                self.problem(manifest, format!("it lists `{}`, which is no object of this case", item.object.key));
                continue;
            };
            self.listed.insert(name.clone(), item);
            self.object(&name, &item.object, manifest);
            self.digests(&name, item, manifest);
        }
    }

    fn name_of(&self, object: &ObjectRef) -> Option<String> {
        object.key.strip_prefix(&case::prefix(self.case_id)).map(str::to_owned)
    }

    /// Whether an object is what `manifest` says it is.
    fn object(&mut self, name: &str, listed: &ObjectRef, manifest: &str) {
        let Some(found) = self.objects.get(name) else {
            self.problem(name, format!("it is missing, and `{manifest}` lists it"));
            return;
        };
        if found.size != listed.size {
            self.problem(name, format!("its bytes are not those that `{manifest}` lists"));
        }
        if found.versions.first().is_some_and(|version| *version != listed.version_id) {
            self.problem(name, format!("it is not the version {} that `{manifest}` lists", listed.version_id));
        }
    }

    /// Whether the bytes are those of which `manifest` has the digests. Of an image that nobody hashed there is S3's checksum
    /// alone, and without that nothing is proved.
    fn digests(&mut self, name: &str, item: &Item, manifest: &str) {
        let Some(found) = self.objects.get(name) else { return };
        let same = item.object.sha256 == found.sha256;
        match (item.object.sha256.as_str(), item.sha256_by) {
            ("", _) if item.crc64nvme.is_none() => {
                self.problem(name, format!("`{manifest}` has no digest of it, so that nothing proves its bytes"));
            }
            ("", _) => {}
            (_, DigestBy::Cordon) if !same => {
                self.problem(name, format!("its bytes are not those that `{manifest}` lists"));
            }
            (_, DigestBy::Collector) if !same => {
                let word = "the SHA-256 that the collector gave on the target";
                self.problem(name, format!("its bytes do not have {word}: they were changed, or the target's word was wrong"));
            }
            _ => {}
        }
        if item.crc64nvme.is_some() && item.crc64nvme != found.crc64nvme {
            self.problem(name, format!("its bytes do not have S3's checksum that `{manifest}` lists"));
        }
    }

    fn exact_set(&mut self, closing: &ClosingManifest) {
        let mut listed: BTreeSet<String> = closing.items.iter().filter_map(|item| self.name_of(&item.object)).collect();
        if listed.len() != closing.items.len() {
            self.problem(case::CLOSING_MANIFEST, "it lists an object twice");
        }
        listed.extend([case::CLOSING_MANIFEST.to_owned(), case::CLOSING_SIGNATURE.to_owned()]);
        let extra: Vec<String> = self.objects.keys().filter(|name| !listed.contains(*name)).cloned().collect();
        for name in extra {
            self.problem(&name, "the closing manifest does not list it: it was added afterwards");
        }
    }

    /// Without a closing manifest there must be nothing that only a closed case has; beside one that cannot be read, nothing
    /// proves what the evidence manifest does not list.
    fn not_closed(&mut self) {
        if self.objects.contains_key(case::CLOSING_MANIFEST) {
            let unproved = |name: &&String| !self.listed.contains_key(*name) && !name.starts_with("manifest-");
            let unproved: Vec<String> = self.objects.keys().filter(unproved).cloned().collect();
            for name in unproved {
                self.problem(&name, "no manifest that can be read lists it");
            }
            return;
        }
        let closing = [case::CLOSING_SIGNATURE, case::CUSTODY_CLOSING, case::HISTORY, case::REPORT, case::TIMELINE];
        if closing.iter().any(|name| self.objects.contains_key(*name)) {
            self.problem(
                case::CLOSING_MANIFEST,
                "it is missing, but what is written with it is there: the case is being closed right now, or it was removed",
            );
        }
    }

    fn same_evidence(&mut self, closing: &ClosingManifest) {
        match &closing.evidence {
            Some(object) => {
                self.object(case::EVIDENCE_MANIFEST, object, case::CLOSING_MANIFEST);
                let cited = Item::hashed(object.clone(), Trust::Cordon, None);
                self.digests(case::EVIDENCE_MANIFEST, &cited, case::CLOSING_MANIFEST);
            }
            None if self.objects.contains_key(case::EVIDENCE_MANIFEST) => {
                self.problem(case::EVIDENCE_MANIFEST, "the closing manifest knows of no evidence manifest");
            }
            None => {}
        }
    }

    /// Checks both chains against the manifests and against the records. Gives the number of lines.
    fn custody(&mut self, evidence: Option<&EvidenceManifest>, closing: Option<&ClosingManifest>) -> u64 {
        let mut lines = Vec::new();
        let mut chain = Chain::start();
        for (name, signed) in [
            (case::CUSTODY, evidence.map(|manifest| &manifest.custody)),
            (case::CUSTODY_CLOSING, closing.map(|manifest| &manifest.custody)),
        ] {
            match self.objects.get(name) {
                Some(found) => match self.problems.bytes(name, found).map(|bytes| custody::check(bytes, &chain)) {
                    Some(Ok((more, end))) => {
                        lines.extend(more);
                        chain = end;
                    }
                    Some(Err(error)) => self.problem(name, error.to_string()),
                    None => {}
                },
                None if signed.is_some() => self.problem(name, "it is missing"),
                None => continue,
            }
            if signed.is_some_and(|signed| *signed != chain) {
                self.problem(name, "its end is not the one that the manifest signs: lines are missing or were added");
            }
        }
        self.records(&lines, closing.is_some());
        chain.lines
    }

    /// Every record is in the chain exactly once, and every line has its record.
    fn records(&mut self, lines: &[Line], closed: bool) {
        let mut seen = BTreeSet::new();
        for line in lines {
            let Some(name) = line.key.strip_prefix(&case::prefix(self.case_id)) else {
                self.problem(case::CUSTODY, format!("line {} is about `{}`, which is no record of this case", line.n, line.key));
                continue;
            };
            if !seen.insert(name.to_owned()) {
                self.problem(name, "the custody chain has it twice");
            }
            match self.objects.get(name) {
                None => self.problem(name, "it is missing, and the custody chain has it"),
                Some(found) if found.sha256 != line.sha256 => {
                    self.problem(name, "its bytes are not those in the custody chain");
                }
                Some(found) => {
                    let bytes = self.problems.bytes(name, found).unwrap_or_default();
                    let stored: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
                    let told = serde_json::to_value(&line.record).ok();
                    if stored.is_none() || stored != told {
                        self.problem(name, format!("line {} of the custody chain tells it differently", line.n));
                    }
                }
            }
        }
        if closed {
            let unchained: Vec<String> =
                self.objects.keys().filter(|name| name.starts_with(case::RECORDS) && !seen.contains(*name)).cloned().collect();
            for name in unchained {
                self.problem(&name, "it is not in the custody chain");
            }
        }
    }

    fn finish(self, evidence: Option<&EvidenceManifest>, closed: bool, custody_lines: u64) -> Verification {
        let verdict = match (self.problems.0.is_empty(), closed, evidence.is_some()) {
            (false, _, _) => Verdict::Broken,
            (true, true, _) => Verdict::Closed,
            (true, false, true) => Verdict::EvidenceSealed,
            (true, false, false) => Verdict::Open,
        };
        let names: BTreeSet<&String> = self.objects.keys().chain(self.problems.0.keys()).collect();
        let objects = names
            .into_iter()
            .map(|name| {
                let found = self.objects.get(name);
                let listed = self.listed.get(name);
                Checked {
                    name: name.clone(),
                    size: found.map(|found| found.size),
                    sha256: found.map(|found| found.sha256.clone()),
                    lock: found.and_then(|found| found.lock).or(listed.and_then(|item| item.lock)),
                    trust: listed.map(|item| item.trust),
                    sha256_by: listed.filter(|item| !item.object.sha256.is_empty()).map(|item| item.sha256_by),
                    problems: self.problems.0.get(name).cloned().unwrap_or_default(),
                }
            })
            .collect();
        Verification {
            schema: "cordon.verification.v1",
            case_id: self.case_id.clone(),
            verdict,
            objects,
            custody_lines,
            complete: evidence.map(|evidence| evidence.complete),
            missing: evidence.map(|evidence| evidence.missing.clone()).unwrap_or_default(),
        }
    }
}
