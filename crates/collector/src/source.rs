//! What memory is read from: the kernel's sources in turn, while nothing has been written yet.

use std::fmt;
use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;

use avml::Source;

use crate::board::Board;
use crate::kcore;
use crate::lime::{Copier, Place};
use crate::stream::Splitter;

/// What is read at a time: little enough to stay in the cache where it is looked at for zeros.
const STEP: usize = 256 << 10;
/// What the devices give at a time.
const PAGE: usize = 4_096;
/// A `/proc/kcore` of so many bytes has no memory in it.
const EMPTY_KCORE: u64 = 0x2000;

/// What the target's memory is, and where it may be read.
#[derive(Debug)]
pub struct Memory {
    sources: Vec<Source>,
    /// The ranges of physical memory that are RAM.
    pub ranges: Vec<Range<u64>>,
}

impl Memory {
    /// Looks where memory is: in `file`, or where the kernel says.
    pub fn survey(file: Option<&Path>) -> Result<Self, String> {
        let Some(file) = file else {
            let ranges = avml::iomem::parse().map_err(|error| format!("{error}; the collector has to run as root"))?;
            return Ok(Self { sources: vec![Source::ProcKcore, Source::DevCrash, Source::DevMem], ranges });
        };
        let about = fs::metadata(file).map_err(|error| format!("the file of the memory cannot be read: {error}"))?;
        if !about.is_file() {
            return Err("the file of the memory is no plain file".to_owned());
        }
        Ok(Self { sources: vec![Source::Raw(file.to_owned())], ranges: vec![Range { start: 0, end: about.len() }] })
    }

    /// The bytes of all ranges.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).fold(0, u64::saturating_add)
    }
}

/// How one try of a source ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// What the source said.
    pub result: Result<(), String>,
    /// Whether it can be tried no more: something was written, or the run is stopped.
    pub last: bool,
}

/// Reads memory into the board's pool as LiME, from the first source that the kernel allows; the error is why none did.
/// `lockdown` is what the kernel said of its lockdown before.
pub fn read(board: &Board, memory: &Memory, lockdown: Option<&str>) -> Result<(), String> {
    let found = first(&memory.sources, |source| {
        board.change(|state| state.source = name(source));
        let mut splitter = Splitter::new(board);
        let result = copy(source, &memory.ranges, &mut splitter);
        let written = splitter.written();
        // What was read before an error is sent too.
        let finished = splitter.finish().map_err(|error| error.to_string());
        let result = match result.and(finished) {
            Ok(()) if written == 0 => Err("it reads as zeros only".to_owned()),
            other => other,
        };
        Try { result, last: written > 0 || board.look(|state| state.stop.is_some()) }
    });
    let (source, errors) = found.map_or_else(|errors| (None, errors), |(source, errors)| (Some(source), errors));
    for error in errors {
        board.note(&error);
    }
    match source {
        Some(Source::ProcKcore) => whole(&memory.ranges),
        Some(_) => Ok(()),
        None => {
            board.change(|state| {
                if state.pool.shipped() == 0 {
                    state.source.clear();
                }
            });
            let said = lockdown.map(|state| format!("; the kernel's lockdown is `{state}`")).unwrap_or_default();
            Err(format!("memory could not be read{said}"))
        }
    }
}

/// Copies all of memory from one source.
fn copy(source: &Source, ranges: &[Range<u64>], into: &mut Splitter<'_>) -> Result<(), String> {
    let open = |path: &Path| File::open(path).map_err(|error| error.to_string());
    let plain = |range: &Range<u64>| Place { offset: range.start, range: range.clone() };
    match source {
        Source::ProcKcore => {
            let path = Path::new("/proc/kcore");
            // Under a lockdown it may be there and empty.
            if fs::metadata(path).is_ok_and(|about| about.len() <= EMPTY_KCORE) {
                return Err("it is locked down".to_owned());
            }
            let mut kcore = open(path)?;
            let segments = kcore::segments(&mut kcore).map_err(|error| error.to_string())?;
            let places = kcore::shown(&segments, ranges);
            Copier::new(kcore, STEP, into).copy(&places)
        }
        // It gives whole pages only.
        Source::DevCrash => {
            let whole = |range: &Range<u64>| plain(&(range.start..range.end / PAGE as u64 * PAGE as u64));
            let places: Vec<Place> = ranges.iter().map(whole).collect();
            Copier::new(open(Path::new("/dev/crash"))?, PAGE, into).copy(&places)
        }
        Source::DevMem => {
            let places: Vec<Place> = ranges.iter().map(plain).collect();
            Copier::new(open(Path::new("/dev/mem"))?, PAGE, into).copy(&places)
        }
        Source::Raw(path) => {
            let places: Vec<Place> = ranges.iter().map(plain).collect();
            Copier::new(open(path)?, STEP, into).copy(&places)
        }
    }
}

/// Whether `/proc/kcore` showed all of it.
fn whole(ranges: &[Range<u64>]) -> Result<(), String> {
    let segments = File::open("/proc/kcore").and_then(|mut kcore| kcore::segments(&mut kcore));
    match segments.map(|segments| kcore::uncovered(&segments, ranges)) {
        Ok(0) => Ok(()),
        Ok(missing) => Err(format!("{missing} bytes of memory are not in /proc/kcore and so not in the image")),
        Err(error) => Err(format!("whether /proc/kcore has all of memory cannot be told: {error}")),
    }
}

/// The first source that reads to its end, with the errors of those before it; else the errors of all.
pub fn first<S: fmt::Display>(sources: &[S], mut attempt: impl FnMut(&S) -> Try) -> Result<(&S, Vec<String>), Vec<String>> {
    let mut errors = Vec::new();
    for source in sources {
        let Try { result, last } = attempt(source);
        match result {
            Ok(()) => return Ok((source, errors)),
            Err(error) => errors.push(format!("{source}: {error}")),
        }
        if last {
            break;
        }
    }
    Err(errors)
}

fn name(source: &Source) -> String {
    match source {
        Source::Raw(path) => path.to_string_lossy().into_owned(),
        kernels => kernels.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_tried_in_turn_while_nothing_is_written() {
        let fails = |last| Try { result: Err("no".to_owned()), last };
        let reads = || Try { result: Ok(()), last: true };
        for (name, tries, expected) in [
            ("the first reads", vec![reads()], Ok(("a", 0))),
            ("the second reads", vec![fails(false), reads()], Ok(("b", 1))),
            ("none reads", vec![fails(false), fails(false), fails(false)], Err(3)),
            ("the first breaks in the middle", vec![fails(true), reads()], Err(1)),
        ] {
            let mut left = tries.into_iter();
            let found = first(&["a", "b", "c"], |_| left.next().unwrap());
            let found = found.map(|(source, errors)| (*source, errors.len())).map_err(|errors| errors.len());
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_file_of_memory_is_a_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Memory::survey(Some(&folder.path().join("none"))).is_err());
        assert!(Memory::survey(Some(folder.path())).is_err());
        let file = folder.path().join("memory");
        fs::write(&file, [0; 5_000]).unwrap();
        let memory = Memory::survey(Some(&file)).unwrap();
        assert_eq!((memory.bytes(), memory.ranges.first()), (5_000, Some(&(0..5_000))));
    }
}
