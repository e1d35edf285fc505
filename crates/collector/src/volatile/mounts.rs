//! Kernel modules and mounts.

use serde::Serialize;

use super::Look;
use super::items::Items;
use crate::guarded::text;

/// What is read of each file.
const MODULES_LIMIT: u64 = 1 << 20;
const MOUNTS_LIMIT: u64 = 4 << 20;
/// The most bytes of a line that could not be understood.
const RAW_LIMIT: usize = 1_024;
const FIELD_LIMIT: usize = 512;

/// A line that could not be understood, as it is.
#[derive(Debug, Serialize)]
pub(super) struct Raw {
    raw: String,
}

impl Raw {
    pub(super) fn of(line: &[u8]) -> Self {
        Self { raw: text(line, RAW_LIMIT) }
    }
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Module {
    name: String,
    bytes: u64,
    /// How many use it.
    users: String,
    used_by: String,
    state: String,
    address: String,
    /// Why it taints the kernel: `O` is not of the kernel's own tree, `E` is unsigned.
    taints: Option<String>,
}

pub(super) fn modules(look: &mut Look<'_>, items: &mut Items) {
    let (lines, cut) = look.lines("proc/modules", MODULES_LIMIT);
    for line in &lines {
        match module(line) {
            Some(module) => items.add(&module),
            None => items.add(&Raw::of(line)),
        }
    }
    if cut {
        items.cut_here();
    }
}

/// `nf_tables 311296 2 nft_ct,nft_nat, Live 0xffffffffc0a00000 (OE)`
fn module(line: &[u8]) -> Option<Module> {
    let mut fields = fields(line);
    let mut next = || fields.next();
    Some(Module {
        name: next()?,
        bytes: next()?.parse().ok()?,
        users: next()?,
        used_by: next()?,
        state: next()?,
        address: next()?,
        taints: next(),
    })
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    id: u32,
    parent: u32,
    device: String,
    /// What of the file system is mounted.
    root: String,
    point: String,
    options: String,
    kind: String,
    source: String,
}

/// The mounts as the collector sees them; those of containers are in the image.
pub(super) fn list(look: &mut Look<'_>, items: &mut Items) {
    let (lines, cut) = look.lines("proc/self/mountinfo", MOUNTS_LIMIT);
    for line in &lines {
        match mount(line) {
            Some(mount) => items.add(&mount),
            None => items.add(&Raw::of(line)),
        }
    }
    if cut {
        items.cut_here();
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`; spaces are written as `\040`.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = fields(line);
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let [device, root, point, options] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    fields.find(|field| field == "-")?;
    Some(Mount { id, parent, device, root, point, options, kind: fields.next()?, source: fields.next()? })
}

/// The fields of a line, each bounded.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = String> + '_ {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).map(|field| text(field, FIELD_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_read() {
        let module = |line: &str| module(line.as_bytes());
        let tainting = module("rootkit 16384 0 - Live 0xffffffffc0a00000 (OE)").unwrap();
        assert_eq!((tainting.name.as_str(), tainting.taints.as_deref()), ("rootkit", Some("(OE)")));
        assert_eq!(module("nf_tables 311296 2 nft_ct,nft_nat, Live 0x0").unwrap().taints, None);
        for line in ["", "short 1", "name many 0 - Live 0x0"] {
            assert_eq!(module(line), None, "{line}");
        }
    }

    #[test]
    fn a_mount_is_read() {
        let seen = mount(b"36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw").unwrap();
        assert_eq!((seen.id, seen.point.as_str(), seen.kind.as_str()), (36, "/a\\040b", "ext3"));
        for line in [&b""[..], b"36 35 98:0 / / rw", b"x 35 98:0 / / rw - ext4 /dev/root rw", b"\xff\xff - "] {
            assert_eq!(mount(line), None);
        }
    }
}
