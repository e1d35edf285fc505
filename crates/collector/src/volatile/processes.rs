//! Processes: who they are, what they run, and what they have open.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::Look;
use super::items::Items;
use crate::guarded::{Impatient, read, text};

/// The most processes, and the most open files of each, that are looked at.
const MOST_PROCESSES: usize = 65_536;
const MOST_FILES: usize = 256;
/// The most open files that are counted.
const MOST_COUNTED: usize = 65_536;
/// The most bytes of a command line, and the most arguments.
const ARGUMENTS_LIMIT: u64 = 4 << 10;
const MOST_ARGUMENTS: usize = 128;
const LINK_LIMIT: usize = 512;
/// The most network namespaces whose sockets are listed.
const MOST_NETWORKS: usize = 64;

/// A process; absent is what could not be read.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    pid: u32,
    name: Option<String>,
    parent: Option<u32>,
    /// Real, effective, saved, file system.
    uids: Vec<u32>,
    state: Option<String>,
    /// When it began, in clock ticks since boot.
    began: Option<u64>,
    /// What it runs; ` (deleted)` behind it where the file is gone.
    executable: Option<String>,
    working_directory: Option<String>,
    root: Option<String>,
    network: Option<String>,
    arguments: Vec<String>,
    arguments_cut: bool,
    files: Vec<OpenFile>,
    /// How many files it has open, also those that are not shown.
    open_files: usize,
    /// Whether reading of it hangs: it may do that on purpose.
    hangs: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenFile {
    number: u32,
    target: Option<String>,
}

/// A network namespace, and a process in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) pid: u32,
}

/// Lists the processes, and says which network namespaces they are in.
pub(super) fn list(look: &mut Look<'_>, items: &mut Items) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    let Ok((pids, more)) = look.with("the processes", pids) else { return networks };
    if more {
        items.cut_here();
    }
    for pid in pids {
        let process = match look.with(&format!("process {pid}"), move |root| process(root, pid)) {
            Ok(process) => process,
            Err(Impatient::Hangs(_)) => Process { pid, hangs: true, ..Process::default() },
            Err(Impatient::Over) => {
                items.cut_here();
                return networks;
            }
        };
        if let Some(name) = process.network.clone()
            && networks.len() < MOST_NETWORKS
            && networks.iter().all(|network| network.name != name)
        {
            networks.push(Network { name, pid });
        }
        items.add(&process);
    }
    networks
}

/// The processes' numbers in order, and whether there are more.
fn pids(root: &Path) -> (Vec<u32>, bool) {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let mut numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = numbers.by_ref().take(MOST_PROCESSES).collect();
    pids.sort_unstable();
    (pids, numbers.next().is_some())
}

fn process(root: &Path, pid: u32) -> Process {
    let folder = root.join("proc").join(pid.to_string());
    let link = |name: &str| target(&folder.join(name));
    let stat = read(&folder.join("stat"), 4 << 10).ok().and_then(|read| Stat::parse(&read.bytes)).unwrap_or_default();
    let status = read(&folder.join("status"), 16 << 10).map(|read| read.bytes).unwrap_or_default();
    let command = read(&folder.join("cmdline"), ARGUMENTS_LIMIT).ok();
    let (arguments, arguments_cut) = command.map(|read| arguments(&read.bytes, read.cut)).unwrap_or_default();
    let (files, open_files) = files(&folder.join("fd"));
    Process {
        pid,
        name: stat.name,
        parent: stat.parent,
        uids: uids(&status),
        state: stat.state,
        began: stat.began,
        executable: link("exe"),
        working_directory: link("cwd"),
        root: link("root"),
        network: link("ns/net"),
        arguments,
        arguments_cut,
        files,
        open_files,
        hangs: false,
    }
}

fn target(link: &Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(text(fs::read_link(link).ok()?.as_os_str().as_bytes(), LINK_LIMIT))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    name: Option<String>,
    state: Option<String>,
    parent: Option<u32>,
    began: Option<u64>,
}

impl Stat {
    /// `42 (name) S 1 …`: the name may hold whatever its process likes, also `) R 1`, so the last parenthesis ends it.
    fn parse(stat: &[u8]) -> Option<Self> {
        let (open, close) = (stat.iter().position(|byte| *byte == b'(')?, stat.iter().rposition(|byte| *byte == b')')?);
        let mut fields = stat.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let mut field = |skip: usize| fields.nth(skip).map(|field| text(field, 32));
        Some(Self {
            name: Some(text(stat.get(open + 1..close)?, 64)),
            state: field(0),
            parent: field(0).and_then(|parent| parent.parse().ok()),
            // Field 22 of all, and field 4 was the last.
            began: field(17).and_then(|began| began.parse().ok()),
        })
    }
}

/// `Uid:\t0\t0\t0\t0`. The kernel escapes newlines in the name, so that no process can forge the line.
fn uids(status: &[u8]) -> Vec<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"));
    let fields = line.unwrap_or_default().split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).take(4);
    fields.filter_map(|field| text(field, 16).parse().ok()).collect()
}

fn arguments(command: &[u8], cut: bool) -> (Vec<String>, bool) {
    let command = command.strip_suffix(b"\0").unwrap_or(command);
    if command.is_empty() {
        return (Vec::new(), cut);
    }
    let mut all = command.split(|byte| *byte == 0).map(|argument| text(argument, command.len()));
    let arguments = all.by_ref().take(MOST_ARGUMENTS).collect();
    (arguments, cut || all.next().is_some())
}

/// Some of the open files, and how many there are.
fn files(folder: &Path) -> (Vec<OpenFile>, usize) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MOST_COUNTED).collect();
    let file = |number: &u32| OpenFile { number: *number, target: target(&folder.join(number.to_string())) };
    (numbers.iter().take(MOST_FILES).map(file).collect(), numbers.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields_behind_it() {
        let rest = "S 7 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 10";
        for name in ["bash", "a b", "x) R 1 1 (y", "line\nbreak", ""] {
            let stat = Stat::parse(format!("42 ({name}) {rest}").as_bytes()).unwrap();
            let expected =
                Stat { name: Some(name.to_owned()), state: Some("S".to_owned()), parent: Some(7), began: Some(12_345) };
            assert_eq!(stat, expected);
        }
        for stat in [&b""[..], b"42 bash S", b"42 )name( S", b"\xff"] {
            assert_eq!(Stat::parse(stat), None);
        }
        assert_eq!(Stat::parse(b"42 (name)").unwrap().parent, None);
    }

    #[test]
    fn arguments_keep_what_is_between_them_and_are_bounded() {
        let split = |command: &[u8]| arguments(command, false);
        assert_eq!(split(b""), (vec![], false));
        assert_eq!(split(b"sh\0-c\0a\nb\0"), (vec!["sh".to_owned(), "-c".to_owned(), "a\nb".to_owned()], false));
        assert_eq!(split(b"a\0\0b\0").0, ["a", "", "b"]);
        assert_eq!(split(b"\xff\0").0, ["\u{fffd}"]);
        let (some, cut) = split(&b"x\0".repeat(1_000));
        assert_eq!((some.len(), cut), (MOST_ARGUMENTS, true));
    }

    #[test]
    fn the_users_of_a_process_are_read() {
        assert_eq!(uids(b"Name:\tx\\nUid:\t0\nUid:\t1000\t0\t0\t0\n"), [1_000, 0, 0, 0]);
        assert_eq!(uids(b"Name:\tx\n"), [0_u32; 0]);
    }
}
