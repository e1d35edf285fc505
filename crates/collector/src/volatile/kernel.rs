//! The kernel's own state.

use serde::Serialize;

use super::Look;
use crate::guarded::text;

/// The kernel's state; absent is what could not be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kernel {
    version: Option<String>,
    command_line: Option<String>,
    /// The flags of why the kernel is tainted, as a number.
    tainted: Option<String>,
    /// Seconds since boot, and seconds idle.
    uptime: Option<String>,
    boot_id: Option<String>,
    host_name: Option<String>,
    lockdown: Option<String>,
    kptr_restrict: Option<String>,
}

pub(super) fn read(look: &mut Look<'_>) -> Kernel {
    let mut line = |path| {
        let read = look.read(path, 4 << 10)?;
        Some(text(read.bytes.trim_ascii_end(), 4 << 10))
    };
    Kernel {
        version: line("proc/version"),
        command_line: line("proc/cmdline"),
        tainted: line("proc/sys/kernel/tainted"),
        uptime: line("proc/uptime"),
        boot_id: line("proc/sys/kernel/random/boot_id"),
        host_name: line("proc/sys/kernel/hostname"),
        lockdown: line("sys/kernel/security/lockdown"),
        kptr_restrict: line("proc/sys/kernel/kptr_restrict"),
    }
}
