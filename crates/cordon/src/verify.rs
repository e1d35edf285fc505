//! `cordon verify`: is this case what was sealed?

use std::path::Path;

use incident::manifest::{ClosingManifest, DigestBy, EvidenceManifest, Trust};
use incident::plan::{LockMode, Retention};
use incident::text::bounded;
use incident::verify::{Checked, Objects, Verdict, Verification, verify};
use incident::{CaseId, case as layout};

use crate::output::{coloured, say};
use crate::{Arguments, Error, PublicKey, Verify, case, deployment, exit};

/// Checks a case and prints what was found.
pub(crate) async fn run(arguments: &Arguments, given: &Verify) -> Result<u8, Error> {
    let folder = Path::new(&given.case);
    let (case_id, objects, key) = if folder.is_dir() {
        let key = read_key(given.public_key.as_deref().ok_or(Error::NoKey)?)?;
        let objects = case::from_folder(folder)?;
        (case_of(folder, &objects).ok_or_else(|| Error::NoCase(given.case.clone()))?, objects, key)
    } else {
        let case_id = CaseId::parse(&given.case).map_err(|_| Error::NoCase(bounded(&given.case, 80)))?;
        let config = deployment::aws(arguments).await;
        let found = deployment::find(arguments, &config).await?;
        let key = match &given.public_key {
            Some(path) => read_key(path)?,
            None => Box::pin(deployed_key(&config, &found.signing_key_arn)).await?,
        };
        (case_id.clone(), Box::pin(case::from_bucket(&aws_sdk_s3::Client::new(&config), &found.bucket, &case_id)).await?, key)
    };
    if objects.is_empty() {
        return Err(Error::Empty(case_id.to_string()));
    }
    let verification = verify(&case_id, &objects, |bytes, signature| key.signed(bytes, signature));
    if arguments.json {
        say(&serde_json::to_string_pretty(&verification).unwrap_or_default());
    } else {
        print(&verification);
    }
    Ok(if matches!(verification.verdict, Verdict::Closed | Verdict::EvidenceSealed) { exit::OK } else { exit::FAILED })
}

fn read_key(path: &Path) -> Result<PublicKey, Error> {
    let text = std::fs::read_to_string(path).map_err(|why| Error::Unreadable { path: path.to_owned(), why: why.to_string() })?;
    Ok(PublicKey::from_pem(&text)?)
}

async fn deployed_key(config: &aws_config::SdkConfig, arn: &str) -> Result<PublicKey, Error> {
    let answer = aws_sdk_kms::Client::new(config).get_public_key().key_id(arn).send().await;
    let key = answer.map_err(Error::aws("kms:GetPublicKey"))?.public_key.unwrap_or_else(|| aws_smithy_types::Blob::new([]));
    Ok(PublicKey::from_der(key.as_ref())?)
}

/// The case in a folder: what its manifests say, else the folder's name. A wrong guess fails the verification.
fn case_of(folder: &Path, objects: &Objects) -> Option<CaseId> {
    let bytes = |name: &str| objects.get(name).and_then(|found| found.bytes.as_deref());
    let closing =
        bytes(layout::CLOSING_MANIFEST).and_then(|b| serde_json::from_slice::<ClosingManifest>(b).ok()).map(|m| m.case_id);
    let evidence =
        || bytes(layout::EVIDENCE_MANIFEST).and_then(|b| serde_json::from_slice::<EvidenceManifest>(b).ok()).map(|m| m.case_id);
    let named = || folder.canonicalize().ok()?.file_name()?.to_str().and_then(|name| CaseId::parse(name).ok());
    closing.or_else(evidence).or_else(named)
}

fn print(verification: &Verification) {
    let widest = |of: fn(&Checked) -> usize| verification.objects.iter().map(of).max().unwrap_or_default();
    let widths = (widest(|object| object.name.len()), widest(|object| trust(object).len()).max(11));
    for object in &verification.objects {
        say(&line(object, widths));
        for problem in &object.problems {
            say(&format!("        {}", bounded(problem, 400)));
        }
    }
    say(&format!("custody chain: {} lines", verification.custody_lines));
    for missing in &verification.missing {
        say(&format!("missing from the evidence: {}: {}", bounded(&missing.item, 200), bounded(&missing.reason, 400)));
    }
    for said in honesty(verification).into_iter().chain(secrets(verification)) {
        say(&said);
    }
    let complete = match verification.complete {
        Some(true) => "; the evidence is complete",
        Some(false) => "; the evidence is NOT complete",
        None => "",
    };
    let broken = verification.objects.iter().filter(|object| !object.problems.is_empty()).count();
    let (text, good) = match verification.verdict {
        Verdict::Closed => (format!("VERIFIED: case closed{complete}"), true),
        Verdict::EvidenceSealed => (format!("VERIFIED: evidence sealed, case open{complete}"), true),
        Verdict::Open => ("NOT SEALED: nothing is signed yet".to_owned(), false),
        Verdict::Broken => (format!("NOT VERIFIED: {broken} of {} objects do not hold", verification.objects.len()), false),
    };
    say(&format!("{} ({})", coloured(&text, good), verification.case_id));
}

/// How far the contents of memory can be trusted, which no digest says.
fn honesty(verification: &Verification) -> Option<String> {
    let taken: Vec<&Checked> = verification.objects.iter().filter(|object| object.trust == Some(Trust::HostDependent)).collect();
    let by = |by: Option<DigestBy>| taken.iter().any(|object| object.sha256_by == by && object.sha256.is_some());
    let mut said = (!taken.is_empty())
        .then(|| "memory was taken on the target: what is in it is only as honest as the target's kernel was".to_owned())?;
    if by(Some(DigestBy::Collector)) {
        said.push_str("; the SHA-256 of the image is the collector's word, which S3's checksum ties to what arrived");
    }
    if by(None) {
        said.push_str("; where nobody gave a SHA-256, S3's checksum alone was compared");
    }
    Some(said)
}

/// What may hold secrets, which whoever hands the case on should know.
fn secrets(verification: &Verification) -> Option<String> {
    let own = verification.objects.iter().filter(|object| object.trust == Some(Trust::TargetsOwn));
    let names: Vec<String> = own.map(|object| bounded(&object.name, 200)).collect();
    let said = "may hold secrets of the target's owner: hand the case on only to those who may have them";
    (!names.is_empty()).then(|| format!("{} {said}", names.join(", ")))
}

fn line(object: &Checked, (name_width, trust_width): (usize, usize)) -> String {
    let good = object.problems.is_empty();
    let mark = coloured(if good { "ok    " } else { "BROKEN" }, good);
    let size = object.size.map_or_else(|| "-".to_owned(), |size| format!("{size} B"));
    let digest: String = object.sha256.as_deref().unwrap_or("-").chars().take(16).collect();
    let lock = object.lock.map(locked).unwrap_or_default();
    let (name, trust) = (bounded(&object.name, 200), trust(object));
    format!("{mark}  {name:<name_width$}  {size:>9}  sha256 {digest}  {trust:<trust_width$}  {lock}").trim_end().to_owned()
}

fn trust(object: &Checked) -> &'static str {
    match object.trust {
        Some(Trust::Cordon) => "by Cordon",
        Some(Trust::AsReceived) => "as received",
        Some(Trust::Aws) => "as AWS says",
        Some(Trust::HostDependent) => "taken on the target",
        Some(Trust::TargetsWord) => "the target's word",
        Some(Trust::TargetsOwn) => "target's own, SENSITIVE",
        None => "",
    }
}

fn locked(lock: Retention) -> String {
    let mode = match lock.mode {
        LockMode::Governance => "governance",
        LockMode::Compliance => "compliance",
    };
    format!("locked until {} ({mode})", lock.until.strftime("%Y-%m-%d"))
}
