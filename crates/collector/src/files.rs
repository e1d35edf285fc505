//! The files beside the image: each is taken whole, up to its limit, and sent as one object before the dump.

use std::path::{Path, PathBuf};

use incident::CaseId;
use incident::capture::{BTF, CollectedFile, FILES, FileSlot, KALLSYMS, RESULT, VERSION, VOLATILE};
use incident::text::sha256;

use crate::board::Board;
use crate::guarded::{self, Bounded};
use crate::upload::{Sender, Untaken};
use crate::{Options, volatile};

/// The most that a file may take of what the target has available: a quarter.
const SHARE: u64 = 4;
/// How often a file is tried: the image waits meanwhile.
const MOST_TRIES: u8 = 3;

/// Takes and sends every file that there is a URL for but the result. What fails is noted, and the next one goes on.
pub fn take(board: &Board, options: &Options, case: &CaseId, slots: &[FileSlot], tries: u8, available: Option<u64>) {
    let mut sender = Sender::new(board, options, tries.min(MOST_TRIES));
    for (name, most) in FILES.into_iter().filter(|(name, _)| *name != RESULT) {
        let Some(slot) = slots.iter().find(|slot| slot.name == name) else { continue };
        let limit = limit(most.min(slot.limit), available);
        let Some(Bounded { bytes, cut }) = content(board, options, case, name, limit) else { continue };
        match sender.send(name, &slot.url, &bytes) {
            Ok(()) => {
                let length = u64::try_from(bytes.len()).unwrap_or_default();
                let file = CollectedFile { name: name.to_owned(), bytes: length, sha256: sha256(&bytes), cut };
                board.change(|state| state.files.push(file));
            }
            Err(Untaken::Stopped) => return,
            Err(Untaken::Url) => board.note(&format!("{name} was not taken")),
            Err(Untaken::Gone(reason)) => board.note(&reason),
        }
    }
}

/// How many bytes of a file are taken.
fn limit(limit: u64, available: Option<u64>) -> u64 {
    available.map_or(limit, |available| limit.min(available / SHARE))
}

fn content(board: &Board, options: &Options, case: &CaseId, name: &str, limit: u64) -> Option<Bounded> {
    let read = if name == VOLATILE {
        volatile::list(case, options, limit)
    } else {
        let path = path(&options.root, name)?;
        guarded::read(&path, limit).map_err(|error| format!("{name} could not be read: {error}"))
    };
    match read {
        Ok(read) if read.bytes.is_empty() => board.note(&format!("{name} is empty")),
        Ok(read) => {
            if read.cut {
                board.note(&format!("{name} was cut at {} bytes", read.bytes.len()));
            }
            return Some(read);
        }
        Err(error) => board.note(&error),
    }
    None
}

fn path(root: &Path, name: &str) -> Option<PathBuf> {
    match name {
        VERSION => Some(root.join("proc/version")),
        BTF => Some(root.join("sys/kernel/btf/vmlinux")),
        KALLSYMS => Some(root.join("proc/kallsyms")),
        _ => None,
    }
}

/// What the target says is available, in bytes.
pub fn available(root: &Path) -> Option<u64> {
    let read = guarded::read(&root.join("proc/meminfo"), 64 << 10).ok()?;
    let text = String::from_utf8_lossy(&read.bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}

/// Which of its states the kernel's lockdown is in: `none`, `integrity`, `confidentiality`.
pub fn lockdown(root: &Path) -> Option<String> {
    let line = guarded::line(&root.join("sys/kernel/security/lockdown"), 200).ok()?;
    let chosen = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(chosen, _)| chosen.to_owned());
    Some(chosen.unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_takes_at_most_a_quarter_of_what_is_available() {
        assert_eq!(limit(100, None), 100);
        assert_eq!(limit(100, Some(1_000)), 100);
        assert_eq!(limit(100, Some(200)), 50);
    }

    #[test]
    fn what_is_available_and_the_lockdown_are_read_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!((available(root.path()), lockdown(root.path())), (None, None));
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::create_dir_all(root.path().join("sys/kernel/security")).unwrap();
        for (meminfo, expected) in [
            ("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:     200 kB\n", Some(204_800)),
            ("MemTotal: 9 kB\n", None),
            ("MemAvailable: many kB\n", None),
            ("MemAvailable: 18446744073709551615 kB\n", None),
        ] {
            fs::write(root.path().join("proc/meminfo"), meminfo).unwrap();
            assert_eq!(available(root.path()), expected, "{meminfo}");
        }
        for (file, expected) in [("none [integrity] confidentiality\n", "integrity"), ("odd\n", "odd")] {
            fs::write(root.path().join("sys/kernel/security/lockdown"), file).unwrap();
            assert_eq!(lockdown(root.path()).as_deref(), Some(expected));
        }
    }
}
