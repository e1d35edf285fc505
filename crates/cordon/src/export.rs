//! `cordon export`: a case as a folder that can be checked without AWS, and handed to others.
//!
//! INVARIANT: nothing is written outside the folder, and nothing that exists is replaced: an object whose name is no plain
//! path is left out, and said.
//! INVARIANT: nothing is hidden. Whatever is not as the manifest has it is named, and then the command fails: a second version,
//! a delete marker, other bytes, an object too much or too few.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use aws_smithy_types::base64;
use futures_util::stream::{self, StreamExt as _};
use incident::manifest::{ClosingManifest, EvidenceManifest, Item};
use incident::text::bounded;
use incident::verify::Found;
use incident::{CaseId, case};
use serde::Serialize;

use crate::bucket::{Bucket, Kept};
use crate::digests::Digests;
use crate::output::{coloured, document, note, say};
use crate::{Arguments, Error, Export, PublicKey, deployment, exit, shell, words};

/// How many objects are downloaded at once.
const AT_ONCE: usize = 4;
/// The public key's file. It lies beside the case, since a case has no object but those that were sealed.
const KEY_FILE: &str = "cordon-signing-key.pem";

/// Downloads a case, and says whether it came as it was sealed.
pub(crate) async fn run(arguments: &Arguments, given: &Export) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let bucket = Bucket::of(&config, &found);
    let kept = Box::pin(bucket.kept(&case::prefix(&given.case))).await?;
    if kept.is_empty() {
        return Err(Error::Empty(given.case.to_string()));
    }
    let key = Box::pin(public_key(&config, &found.signing_key_arn)).await?;
    let manifest = Box::pin(manifest(&bucket, &given.case, &kept)).await?;
    let folder = make_folder(&given.folder, &given.case)?;
    let key_file = given.folder.join(KEY_FILE);
    save(&key_file, key.as_bytes()).map_err(|why| unsaved(&key_file, &why))?;

    let plans = kept.iter().map(|kept| Plan::new(kept, &manifest));
    let mut downloads = stream::iter(plans).map(|plan| Box::pin(download(&bucket, &given.case, &folder, plan))).buffered(AT_ONCE);
    let mut exported = Exported {
        schema: "cordon.export.v1",
        case_id: &given.case,
        folder: folder.display().to_string(),
        public_key: key_file.display().to_string(),
        manifest: manifest.kind,
        objects: 0,
        bytes: 0,
        problems: manifest.absent(&kept),
    };
    while let Some(done) = downloads.next().await {
        let done = done?;
        if !arguments.json {
            note(&done.line());
        }
        exported.objects += usize::from(done.size.is_some());
        exported.bytes += done.size.unwrap_or_default();
        exported.problems.extend(done.problems.into_iter().map(|problem| Problem { name: done.name.clone(), problem }));
    }
    if arguments.json {
        document(&exported);
    } else {
        exported.print();
    }
    Ok(if exported.problems.is_empty() { exit::OK } else { exit::FAILED })
}

/// `cordon.export.v1`: what was downloaded to where. `manifest` is `closing` or `evidence`, whichever the digests were compared
/// with, or null where the case has none yet; `problems` is empty where everything is as that manifest has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported<'a> {
    schema: &'static str,
    case_id: &'a CaseId,
    folder: String,
    public_key: String,
    manifest: Option<Kind>,
    objects: usize,
    bytes: u64,
    problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Problem {
    name: String,
    problem: String,
}

impl Exported<'_> {
    fn print(&self) {
        for Problem { name, problem } in &self.problems {
            say(&format!("{}: {}", bounded(name, 200), bounded(problem, 400)));
        }
        let compared = match self.manifest {
            Some(Kind::Closing) => "as the closing manifest has them",
            Some(Kind::Evidence) => "as the evidence manifest has them; the case is not closed yet",
            None => "compared with nothing: the case is not sealed yet",
        };
        let (folder, key) = (shell::word(&self.folder), shell::word(&self.public_key));
        let (text, good) = match self.problems.len() {
            0 => (format!("EXPORTED: {} objects ({}), {compared}", self.objects, words::size(self.bytes)), true),
            1 => ("EXPORTED, but 1 thing is NOT as it must be".to_owned(), false),
            count => (format!("EXPORTED, but {count} things are NOT as they must be"), false),
        };
        say(&format!("{} ({})", coloured(&text, good), self.case_id));
        say(&format!("to check it without AWS: cordon verify {folder} --public-key {key}"));
    }
}

/// Which of the two manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Closing,
    Evidence,
}

/// What the case must have.
struct Manifest {
    kind: Option<Kind>,
    prefix: String,
    items: Vec<Item>,
}

/// The last manifest that was written. Whether it is signed is for `cordon verify` to say.
async fn manifest(bucket: &Bucket, case_id: &CaseId, kept: &[Kept]) -> Result<Manifest, Error> {
    let there = |name: &str| kept.iter().find(|kept| kept.name == name && !kept.versions.is_empty());
    let prefix = case::prefix(case_id);
    if let Some(kept) = there(case::CLOSING_MANIFEST) {
        let manifest: ClosingManifest = first(bucket, &prefix, kept).await?;
        return Ok(Manifest { kind: Some(Kind::Closing), prefix, items: manifest.items });
    }
    match there(case::EVIDENCE_MANIFEST) {
        Some(kept) => {
            let manifest: EvidenceManifest = first(bucket, &prefix, kept).await?;
            Ok(Manifest { kind: Some(Kind::Evidence), prefix, items: manifest.items })
        }
        None => Ok(Manifest { kind: None, prefix, items: Vec::new() }),
    }
}

/// A document, as it was written first.
async fn first<T: serde::de::DeserializeOwned>(bucket: &Bucket, prefix: &str, kept: &Kept) -> Result<T, Error> {
    let unusable = |why: String| Error::Capture { file: kept.name.clone(), why };
    let bytes = Box::pin(bucket.version(&format!("{prefix}{}", kept.name), kept.versions.last().map(String::as_str))).await?;
    let bytes = bytes.ok_or_else(|| unusable("it is gone while it was read".to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))
}

impl Manifest {
    fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.object.key.strip_prefix(&self.prefix) == Some(name))
    }

    /// What is listed and has no version at all.
    fn absent(&self, kept: &[Kept]) -> Vec<Problem> {
        let name = |item: &Item| item.object.key.strip_prefix(&self.prefix).unwrap_or(&item.object.key).to_owned();
        let there = |name: &String| kept.iter().any(|kept| kept.name == *name);
        let absent = self.items.iter().map(name).filter(|name| !there(name));
        absent.map(|name| Problem { name, problem: "it is missing, and the manifest has it".to_owned() }).collect()
    }

    /// Whether an object may be there without being listed.
    fn admits(&self, name: &str) -> bool {
        self.kind != Some(Kind::Closing) || matches!(name, case::CLOSING_MANIFEST | case::CLOSING_SIGNATURE)
    }
}

/// One object: which version is downloaded, and what is wrong already.
struct Plan<'a> {
    name: &'a str,
    item: Option<&'a Item>,
    version: Option<&'a str>,
    problems: Vec<String>,
}

impl<'a> Plan<'a> {
    /// The version that was sealed; of what the manifest does not cite, the first: everything is written once.
    fn new(kept: &'a Kept, manifest: &'a Manifest) -> Self {
        let item = manifest.item(&kept.name);
        let sealed = item.map(|item| item.object.version_id.as_str());
        let sealed_there = sealed.and_then(|sealed| kept.versions.iter().map(String::as_str).find(|version| *version == sealed));
        let version = sealed_there.or_else(|| kept.versions.last().map(String::as_str));
        let mut problems = Vec::new();
        if kept.versions.len() > 1 {
            let which = if sealed_there.is_some() { "the sealed one" } else { "the first" };
            problems
                .push(format!("it has {} versions, and everything is written once: {which} was downloaded", kept.versions.len()));
        }
        if kept.deletions > 0 {
            problems.push("it was deleted: a delete marker lies on it".to_owned());
        }
        if sealed.is_some() && sealed_there.is_none() && version.is_some() {
            problems.push("the version that was sealed is gone".to_owned());
        }
        if version.is_none() {
            problems.push("none of its versions is left".to_owned());
        }
        if item.is_none() && !manifest.admits(&kept.name) {
            problems.push("the closing manifest does not have it".to_owned());
        }
        Self { name: &kept.name, item, version, problems }
    }
}

/// What came of one object.
struct Done {
    name: String,
    /// Its size; absent where nothing was written.
    size: Option<u64>,
    problems: Vec<String>,
}

impl Done {
    fn line(&self) -> String {
        let mark = if self.problems.is_empty() { "ok    " } else { "BROKEN" };
        let size = self.size.map_or_else(|| "not written".to_owned(), words::size);
        format!("{mark}  {size:>11}  {}", bounded(&self.name, 200))
    }
}

async fn download(bucket: &Bucket, case_id: &CaseId, folder: &Path, plan: Plan<'_>) -> Result<Done, Error> {
    let Plan { name, item, version, mut problems } = plan;
    let done = |size, problems| Ok(Done { name: name.to_owned(), size, problems });
    let Some(path) = inside(folder, name) else {
        problems.push("its name is no plain path: it is left out".to_owned());
        return done(None, problems);
    };
    let Some(version) = version else { return done(None, problems) };
    let mut partial = match Partial::create(&path) {
        Ok(partial) => partial,
        Err(why) if is_of_the_name(why.kind()) => {
            problems.push(format!("no file can have its name here: it is left out ({why})"));
            return done(None, problems);
        }
        Err(why) => return Err(unsaved(&path, &why)),
    };
    let get = bucket.s3.get_object().bucket(&bucket.name).key(case::key(case_id, name)).version_id(version);
    let mut body = get.send().await.map_err(Error::aws("s3:GetObject"))?.body;
    let mut digests = Digests::of(name);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(Error::aws("s3:GetObject"))?;
        digests.update(&chunk);
        partial.file.write_all(&chunk).map_err(|why| unsaved(&path, &why))?;
    }
    partial.keep();
    let found = digests.finish();
    problems.extend(item.into_iter().flat_map(|item| differences(item, &found)));
    done(Some(found.size), problems)
}

/// What of an object is not as its manifest has it.
fn differences(item: &Item, found: &Found) -> Vec<String> {
    let mut all = Vec::new();
    if item.object.size != found.size {
        all.push(format!("it has {} bytes, and the manifest says {}", found.size, item.object.size));
    }
    if !item.object.sha256.is_empty() && item.object.sha256 != found.sha256 {
        all.push("its SHA-256 is not the one in the manifest".to_owned());
    }
    if item.crc64nvme.is_some() && item.crc64nvme != found.crc64nvme {
        all.push("its bytes are not those of which S3's checksum stands in the manifest".to_owned());
    }
    all
}

/// Where an object of this name is written; none where that is not surely inside the folder, or no name that a person can read
/// and type. Whoever can write to the bucket chooses names.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..") && !segment.contains(|c: char| c.is_control() || matches!(c, '\\' | ':'))
    };
    name.split('/').all(plain).then(|| name.split('/').fold(folder.to_owned(), |path, segment| path.join(segment)))
}

/// Whether a file cannot be made because of what it is called: another object has the name in this file system, or a part of
/// it, or it is too long.
fn is_of_the_name(kind: ErrorKind) -> bool {
    use ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
    matches!(kind, AlreadyExists | NotADirectory | IsADirectory | InvalidFilename)
}

/// A file that goes away again unless it is whole.
struct Partial {
    path: PathBuf,
    file: File,
    whole: bool,
}

impl Partial {
    fn create(path: &Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            private().create(folder)?;
        }
        Ok(Self { path: path.to_owned(), file: File::create_new(path)?, whole: false })
    }

    fn keep(mut self) {
        self.whole = true;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.whole {
            // Nothing more can be done about it, and the command fails anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut partial = Partial::create(path)?;
    partial.file.write_all(bytes)?;
    partial.keep();
    Ok(())
}

/// Makes `<folder>/<case-id>` in a folder that is new or empty.
fn make_folder(folder: &Path, case_id: &CaseId) -> Result<PathBuf, Error> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(why) if why.kind() == ErrorKind::NotFound => {}
        Ok(false) | Err(_) => return Err(Error::Exists(folder.to_owned())),
    }
    let path = folder.join(case_id.as_str());
    private().create(&path).map_err(|why| unsaved(&path, &why))?;
    Ok(path)
}

/// Folders that nobody else can look into: memory has everybody's secrets in it.
fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn unsaved(path: &Path, why: &std::io::Error) -> Error {
    Error::Unsaved { path: path.to_owned(), why: why.to_string() }
}

/// The deployment's public key as PEM.
async fn public_key(config: &SdkConfig, arn: &str) -> Result<String, Error> {
    let answer = aws_sdk_kms::Client::new(config).get_public_key().key_id(arn).send().await;
    let der = answer.map_err(Error::aws("kms:GetPublicKey"))?.public_key.unwrap_or_else(|| aws_smithy_types::Blob::new([]));
    // What `cordon verify` could not read is of no use to anybody.
    PublicKey::from_der(der.as_ref())?;
    Ok(pem(der.as_ref()))
}

fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    for (n, c) in base64::encode(der).chars().enumerate() {
        if n > 0 && n % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str("\n-----END PUBLIC KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_plain_names_are_paths() {
        let folder = Path::new("/case");
        for (name, path) in [
            ("finding.json", Some("/case/finding.json")),
            ("memory/image.lime", Some("/case/memory/image.lime")),
            ("...", Some("/case/...")),
            ("", None),
            ("/etc/passwd", None),
            ("..", None),
            ("a/../../b", None),
            ("a//b", None),
            ("a/", None),
            ("./a", None),
            ("a\\..\\b", None),
            ("C:a", None),
            ("a\0b", None),
            ("a\nb", None),
            ("\u{1b}[2J", None),
        ] {
            assert_eq!(inside(folder, name), path.map(PathBuf::from), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_the_folder(name in r"[a./\\:\x00-\x1f\u{202e}]{0,12}|.{0,40}") {
            if let Some(path) = inside(Path::new("/case"), &name) {
                prop_assert!(path.starts_with("/case") && path != Path::new("/case"));
                prop_assert!(path.components().all(|part| !matches!(part, std::path::Component::ParentDir)));
            }
        }
    }

    #[test]
    fn what_is_not_whole_goes_away_and_what_exists_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        drop(Partial::create(&path).unwrap());
        assert!(!path.exists());
        save(&path, b"first").unwrap();
        assert!(is_of_the_name(save(&path, b"second").unwrap_err().kind()));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert!(is_of_the_name(save(&path.join("c"), b"below a file").unwrap_err().kind()));
    }

    #[test]
    fn the_key_is_written_as_openssl_writes_it() {
        let text = pem(&[0; 91]);
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [26, 64, 60, 24]);
    }
}
