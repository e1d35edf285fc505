//! What the collector replaces, and what bounds it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use avml::{Format, Snapshot, Source};
use crc_fast::{CrcAlgorithm, Digest as Crc};
use sha2::{Digest as _, Sha256};
use ureq::Agent;

use crate::collector::PART;
use crate::sink::Sink;

/// Writes `memory` to `image` as `avml` does.
pub(crate) fn dump(memory: &Path, image: &Path) -> Result<(), String> {
    let length = std::fs::metadata(memory).map_err(|error| error.to_string())?.len();
    let range = std::ops::Range { start: 0, end: length };
    let snapshot = Snapshot::new(image, Vec::from([range])).source(Some(Source::Raw(memory.to_owned()))).format(Format::Lime);
    snapshot.create().map_err(|error| format!("{error:?}"))
}

/// Waits until `file` is on its disk, as a file has to that is larger than what the target has free.
pub(crate) fn sync(file: &Path) -> Result<(), String> {
    File::open(file).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}

/// Uploads `file` with one PUT.
pub(crate) fn upload_file(file: &Path, sink: &Sink) -> Result<(), String> {
    let body = File::open(file).map_err(|error| error.to_string())?;
    agent().put(sink.url("image")).send(body).map(|_| ()).map_err(|error| error.to_string())
}

/// The digest, as coreutils make it.
pub(crate) fn sha256sum(file: &Path) -> Result<String, String> {
    let output = Command::new("sha256sum").arg(file).output().map_err(|error| format!("`sha256sum` does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Both digests of `file` and nothing else.
pub(crate) fn hash(file: &Path) -> Result<(), String> {
    let mut file = File::open(file).map_err(|error| error.to_string())?;
    let (mut sha256, mut crc, mut block) = (Sha256::new(), Crc::new(CrcAlgorithm::Crc64Nvme), vec![0; 256 << 10]);
    loop {
        let count = file.read(&mut block).map_err(|error| error.to_string())?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        sha256.update(read);
        crc.update(read);
    }
    std::hint::black_box((sha256.finalize(), crc.finalize()));
    Ok(())
}

/// Uploads `bytes` bytes in parts, two at once, and nothing else.
pub(crate) fn upload_parts(bytes: u64, sink: &Sink) -> Result<(), String> {
    let part = vec![0xA5; usize::try_from(PART).map_err(|error| error.to_string())?];
    let parts = bytes.div_ceil(PART);
    let send = |count: u64| {
        let agent = agent();
        for _ in 0..count {
            agent.put(sink.url("part")).header("expect", "100-continue").send(&part).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| send(parts / 2));
        send(parts - parts / 2)?;
        other.join().map_err(|_| "an upload broke".to_owned())?
    })
}

/// Without a proxy: the server is on the loopback interface.
fn agent() -> Agent {
    Agent::config_builder().proxy(None).build().into()
}
