//! A target: a folder with `proc` and `sys`, a file of memory, and a plan.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use collector::{Options, Times};
use incident::CaseId;
use incident::capture::{FILES, FileSlot, Settings, Wave};

use crate::server::Server;

pub(crate) const MIB: usize = 1 << 20;
/// A string that is planted at a page's start, across two pages, and at the end.
pub(crate) const PLANTED: &[u8] = b"stratum+tcp://planted.example";

/// The target.
pub(crate) struct Target {
    folder: tempfile::TempDir,
}

impl Target {
    /// A target with this memory and enough of it available.
    pub(crate) fn new(memory: &[u8]) -> Self {
        // In memory where that can be: some tests make thousands of files.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let target = Self { folder };
        fs::write(target.memory(), memory).unwrap();
        target.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n");
        target.write("proc/version", "Linux version 6.1.0-test\n");
        target.write("proc/kallsyms", "ffffffff81000000 T _text\n");
        target.write("proc/modules", "virtio_net 81920 0 - Live 0xffffffffc0a00000\n");
        target.write("proc/self/mountinfo", "36 35 98:0 / / rw - ext4 /dev/root rw\n");
        target.write("proc/net/tcp", "  sl  local\n");
        target.write("sys/kernel/btf/vmlinux", "BTF");
        target.write("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
        target.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
        target
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn memory(&self) -> PathBuf {
        self.folder.path().join("memory")
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Options with pauses that let a test end soon, and bounds that a busy machine does not reach.
    pub(crate) fn options(&self) -> Options {
        let times = Times {
            stall: Duration::from_mins(1),
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(20),
            poll: Some(Duration::from_millis(20)),
            patience: Some(Duration::from_mins(1)),
            ..Times::default()
        };
        Options { root: self.root().to_owned(), file: Some(self.memory()), times }
    }
}

/// Memory of `mib` MiB that repeats nothing, with the planted strings.
pub(crate) fn memory(mib: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut memory: Vec<u8> = words.take(mib * MIB / 8).flatten().collect();
    let end = memory.len() - PLANTED.len();
    for at in [4_096 * 3, 4_096 * 9 - 10, end] {
        memory[at..at + PLANTED.len()].copy_from_slice(PLANTED);
    }
    memory
}

pub(crate) fn case() -> CaseId {
    CaseId::parse("i-0123456789abcdef0-0123456789ab").unwrap()
}

/// A wave whose URLs are `NUMBER/PART` at the server, and whose next is `wave-NEXT`.
pub(crate) fn wave(server: &Server, number: u32, parts: std::ops::RangeInclusive<u32>) -> Wave {
    Wave {
        schema: Wave::SCHEMA.to_owned(),
        case_id: case(),
        number,
        withdrawn: None,
        first_part: *parts.start(),
        parts: parts.map(|part| server.url(&format!("{number}/{part}"))).collect(),
        next: server.url(&format!("wave-{}", number + 1)),
        poll_seconds: 1,
        valid_seconds: 3_600,
        settings: None,
    }
}

/// Wave 1, with settings.
pub(crate) fn plan(server: &Server, parts: std::ops::RangeInclusive<u32>) -> Wave {
    let files = FILES.map(|(name, limit)| FileSlot { name: name.to_owned(), url: server.url(name), limit }).to_vec();
    let settings = Settings { part_bytes: 5 << 20, puts: 2, tries: 3, deadline_seconds: 60, files };
    Wave { settings: Some(settings), ..wave(server, 1, parts) }
}
