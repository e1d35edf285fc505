//! `cordon symbols`: makes the symbol file by which volatility3 understands a case's memory image, from what the kernel said
//! of itself beside the image. No debug package is needed, which nobody has for a customer's kernel.
//!
//! The image and these files are of one boot: KASLR moves the kernel on each, and with another boot's files an analysis finds
//! nothing and says nothing.
//!
//! INVARIANT: the target chose every byte of what is read. It is bounded and parsed into types; the file's name is a plain
//! one in the current folder, and what exists is not replaced.

mod btf;
mod isf;
mod kallsyms;
mod known;
#[cfg(test)]
mod made;

use std::fs::{self, File};
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use aws_sdk_s3::operation::get_object::GetObjectError;
use incident::capture::{self, BTF, KALLSYMS, VERSION};
use incident::text::{bounded, key_segment};
use incident::{CaseId, case};
use serde::Serialize;

use crate::output::say;
use crate::{Arguments, Error, Symbols, deployment, exit};

use btf::Btf;
use isf::{Files, Isf};
use kallsyms::Kallsyms;

/// The largest symbol file, in bytes; Debian's kernel's is 15 MB.
const LARGEST: usize = 256 << 20;

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    schema: &'static str,
    file: PathBuf,
    /// The kernel's release.
    kernel: String,
    /// How far KASLR had moved the kernel, in hexadecimal; absent where that could not be told.
    moved: Option<String>,
    types: usize,
    enums: usize,
    symbols: usize,
    bytes: usize,
}

/// Makes the symbol file of a case, and says where it is.
pub(crate) async fn run(arguments: &Arguments, given: &Symbols) -> Result<u8, Error> {
    let taken = take(arguments, &given.case).await?;
    let banner = banner(&taken.version).ok_or_else(|| {
        let why =
            "it is not one line that begins with `Linux version` and a release: it was cut, or is not what the kernel wrote";
        wrong(VERSION, why)
    })?;
    let btf = Btf::parse(&taken.btf).map_err(|why| wrong(BTF, why))?;
    let kallsyms = Kallsyms::parse(&taken.kallsyms).map_err(|why| wrong(KALLSYMS, why))?;
    for needed in ["linux_banner", "init_task", "init_files"] {
        if !kallsyms.symbols.contains_key(needed) {
            return Err(wrong(KALLSYMS, kallsyms::KallsymsError::Lacks(needed)));
        }
    }
    let files = Files { btf: &taken.btf, kallsyms: &taken.kallsyms, banner: banner.line };
    let isf = Isf::build(&btf, &kallsyms, files).map_err(|why| wrong(BTF, why))?;
    let mut written = Limited { bytes: Vec::new() };
    serde_json::to_writer(&mut written, &isf).map_err(|_| {
        wrong(BTF, format_args!("a symbol file of more than {} MiB would come of it, which none is", LARGEST >> 20))
    })?;
    let file = given.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.json", key_segment(banner.release))));
    save(&file, &written.bytes).map_err(|why| Error::Unwritable { path: file.clone(), why: why.to_string() })?;
    let made = Made {
        schema: "cordon.symbols.v1",
        file,
        kernel: bounded(banner.release, 80),
        moved: kallsyms.slide.map(|slide| format!("{slide:#x}")),
        types: isf.user_types.len(),
        enums: isf.enums.len(),
        symbols: isf.symbols.len(),
        bytes: written.bytes.len(),
    };
    if arguments.json {
        say(&serde_json::to_string_pretty(&made).unwrap_or_default());
    } else {
        explain(&made);
    }
    Ok(exit::OK)
}

fn explain(made: &Made) {
    let Made { kernel, types, enums, symbols, bytes, .. } = made;
    let file = bounded(&made.file.display().to_string(), 200);
    say(&format!("{file}: {types} types, {enums} enumerations and {symbols} symbols of Linux {kernel} ({bytes} B)"));
    say(&match &made.moved {
        Some(slide) => format!("the kernel had been moved by {slide} on that boot; the addresses are those of one that was not"),
        None => "how far the kernel had been moved cannot be told (it is not of x86-64): the addresses are those of that boot"
            .to_owned(),
    });
    say("to list the processes of the image: vol -s <the folder of this file> -f <case>/memory/image.lime linux.pslist");
}

/// What a symbol file is made from.
struct Taken {
    btf: Vec<u8>,
    kallsyms: Vec<u8>,
    version: Vec<u8>,
}

async fn take(arguments: &Arguments, given: &str) -> Result<Taken, Error> {
    let folder = Path::new(given);
    if folder.is_dir() {
        let read = |name| from_folder(folder, name);
        return Ok(Taken { btf: read(BTF)?, kallsyms: read(KALLSYMS)?, version: read(VERSION)? });
    }
    let case_id = CaseId::parse(given).map_err(|_| Error::NoCase(bounded(given, 80)))?;
    let config = deployment::aws(arguments).await;
    let bucket = deployment::find(arguments, &config).await?.bucket;
    let s3 = aws_sdk_s3::Client::new(&config);
    let read = |name| Box::pin(from_bucket(&s3, &bucket, &case_id, name));
    Ok(Taken { btf: read(BTF).await?, kallsyms: read(KALLSYMS).await?, version: read(VERSION).await? })
}

/// Links are not followed: a downloaded case has none.
fn from_folder(folder: &Path, name: &'static str) -> Result<Vec<u8>, Error> {
    let path = folder.join(capture::FOLDER).join(name);
    if !fs::symlink_metadata(&path).is_ok_and(|about| about.is_file()) {
        return Err(missing(name));
    }
    let unreadable = |why: std::io::Error| Error::Unreadable { path: path.clone(), why: why.to_string() };
    let mut bytes = Vec::new();
    // One byte more than may be, so that too much is told from just enough.
    File::open(&path).map_err(unreadable)?.take(limit(name) + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    fits(name, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
    Ok(bytes)
}

async fn from_bucket(s3: &aws_sdk_s3::Client, bucket: &str, case_id: &CaseId, name: &'static str) -> Result<Vec<u8>, Error> {
    let key = case::key(case_id, &format!("{}{name}", capture::FOLDER));
    match s3.get_object().bucket(bucket).key(key).send().await {
        Ok(answer) => {
            fits(name, answer.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(u64::MAX))?;
            Ok(answer.body.collect().await.map_err(Error::aws("s3:GetObject"))?.to_vec())
        }
        Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Err(missing(name)),
        Err(error) => Err(Error::aws("s3:GetObject")(error)),
    }
}

/// The most bytes that the collector sends of a file.
fn limit(name: &str) -> u64 {
    capture::FILES.iter().find(|(file, _)| *file == name).map_or(0, |(_, limit)| *limit)
}

fn fits(name: &'static str, bytes: u64) -> Result<(), Error> {
    let limit = limit(name);
    if bytes <= limit {
        Ok(())
    } else {
        Err(wrong(name, format_args!("it has more than the {limit} bytes that a collector sends")))
    }
}

fn missing(name: &'static str) -> Error {
    let why = match name {
        BTF => "it is not in the case: no memory was captured, or the kernel has no type information (CONFIG_DEBUG_INFO_BTF)",
        _ => "it is not in the case: no memory was captured, or the collector could not read it (see memory/capture.json)",
    };
    wrong(name, why)
}

fn wrong(name: &'static str, why: impl std::fmt::Display) -> Error {
    Error::Capture { file: format!("{}{name}", capture::FOLDER), why: why.to_string() }
}

/// The kernel's version line, as it stands in its memory.
struct Banner<'a> {
    line: &'a [u8],
    release: &'a str,
}

fn banner(version: &[u8]) -> Option<Banner<'_>> {
    let text = std::str::from_utf8(version).ok()?;
    let line = text.strip_suffix('\n')?;
    let release = line.strip_prefix("Linux version ")?.split(' ').next()?;
    let plain = !release.is_empty() && release.bytes().all(|byte| byte.is_ascii_graphic()) && !line.contains(char::is_control);
    plain.then_some(Banner { line: version, release })
}

/// Writes what is not there yet.
fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    File::create_new(path)?.write_all(bytes)
}

/// As much as a symbol file may have.
struct Limited {
    bytes: Vec<u8>,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > LARGEST {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
