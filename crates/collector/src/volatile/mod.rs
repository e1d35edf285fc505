//! What is gone when the machine is: processes, sockets, modules, mounts, users and the kernel's state.
//!
//! It is the kernel's word through `/proc`, which whoever owns the kernel can make lie; what the listing leaves out and the
//! image shows is itself a finding. The environment of processes is not taken: it holds secrets, and the image has it.
//!
//! INVARIANT: the listing is whole JSON within its limit, whatever the target holds: each section has a share of the limit
//! and says when it was cut.

mod items;
mod kernel;
mod mounts;
mod processes;
mod sockets;
mod users;

use std::fmt::Display;
use std::path::Path;

use incident::CaseId;
use serde::Serialize;

use crate::Options;
use crate::errors::Errors;
use crate::guarded::{self, Bounded, Impatient, Patience};
use items::Items;

/// The listing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    schema: &'static str,
    case_id: &'a CaseId,
    /// The collector itself is among the processes.
    collector_pid: u32,
    kernel: kernel::Kernel,
    processes: Items,
    sockets: Items,
    modules: Items,
    mounts: Items,
    users: Items,
    sessions: Items,
    /// The sections that have more than is shown.
    cut: Vec<&'static str>,
    errors: Vec<String>,
}

/// Takes the listing, in at most `limit` bytes.
pub fn list(case: &CaseId, options: &Options, limit: u64) -> Result<Bounded, String> {
    let mut look = Look::new(options);
    // What is left over is for the kernel's state and the errors, which are bounded by themselves.
    let share = |percent: u64| Items::within(usize::try_from(limit.saturating_mul(percent) / 100).unwrap_or(usize::MAX));
    let mut listing = Listing {
        schema: "cordon.volatile.v1",
        case_id: case,
        collector_pid: std::process::id(),
        kernel: kernel::read(&mut look),
        processes: share(50),
        sockets: share(20),
        modules: share(5),
        mounts: share(8),
        users: share(4),
        sessions: share(3),
        cut: Vec::new(),
        errors: Vec::new(),
    };
    let networks = processes::list(&mut look, &mut listing.processes);
    sockets::list(&mut look, &networks, &mut listing.sockets);
    mounts::modules(&mut look, &mut listing.modules);
    mounts::list(&mut look, &mut listing.mounts);
    users::known(&mut look, &mut listing.users);
    users::sessions(&mut look, &mut listing.sessions);
    let sections = [
        ("processes", &listing.processes),
        ("sockets", &listing.sockets),
        ("modules", &listing.modules),
        ("mounts", &listing.mounts),
        ("users", &listing.users),
        ("sessions", &listing.sessions),
    ];
    listing.cut = sections.into_iter().filter(|(_, items)| items.cut()).map(|(name, _)| name).collect();
    listing.errors = look.errors.list();
    let mut bytes = serde_json::to_vec(&listing).map_err(|error| format!("the listing cannot be written: {error}"))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let cut = !listing.cut.is_empty() || bytes.len() > limit;
    bytes.truncate(limit);
    Ok(Bounded { bytes, cut })
}

/// How the target is looked at.
#[derive(Debug)]
struct Look<'a> {
    root: &'a Path,
    patience: Patience,
    errors: Errors,
}

impl<'a> Look<'a> {
    fn new(options: &'a Options) -> Self {
        let patience = Patience::new(options.times.one_read, options.times.listing);
        Self { root: &options.root, patience, errors: Errors::default() }
    }

    /// Reads a file below the root; what cannot be read is noted.
    fn read(&mut self, path: &str, limit: u64) -> Option<Bounded> {
        let full = self.root.join(path);
        match self.patience.with(move || guarded::read(&full, limit)) {
            Ok(Ok(read)) => return Some(read),
            Ok(Err(error)) => self.fail(path, &error),
            Err(impatient) => self.fail(path, &impatient),
        }
        None
    }

    /// Does something that concerns the target below the root; what takes too long is noted.
    fn with<T: Send + 'static>(&mut self, what: &str, job: impl FnOnce(&Path) -> T + Send + 'static) -> Result<T, Impatient> {
        let root = self.root.to_owned();
        self.patience.with(move || job(&root)).inspect_err(|impatient| self.errors.note(&format!("{what}: {impatient}")))
    }

    fn fail(&mut self, what: &str, error: &dyn Display) {
        self.errors.note(&format!("{what}: {error}"));
    }

    /// The lines of a file below the root, without their ends; the last is dropped where the file was cut within it.
    fn lines(&mut self, path: &str, limit: u64) -> (Vec<Vec<u8>>, bool) {
        let Some(Bounded { bytes, cut }) = self.read(path, limit) else { return (Vec::new(), false) };
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        // Behind the last line's end is either nothing or what was cut.
        if cut || lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        (lines, cut)
    }
}
