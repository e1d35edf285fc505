//! Who is known, and who is logged in.

use serde::Serialize;

use super::Look;
use super::items::Items;
use super::mounts::Raw;
use crate::guarded::text;

/// What is read of each file.
const PASSWD_LIMIT: u64 = 1 << 20;
const UTMP_LIMIT: u64 = 1 << 20;
const FIELD_LIMIT: usize = 256;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
    shell: String,
}

/// Who is in `/etc/passwd`.
pub(super) fn known(look: &mut Look<'_>, items: &mut Items) {
    let (lines, cut) = look.lines("etc/passwd", PASSWD_LIMIT);
    for line in &lines {
        match user(line) {
            Some(user) => items.add(&user),
            None => items.add(&Raw::of(line)),
        }
    }
    if cut {
        items.cut_here();
    }
}

fn user(line: &[u8]) -> Option<User> {
    let mut fields = line.split(|byte| *byte == b':').map(|field| text(field, FIELD_LIMIT));
    let name = fields.next()?;
    let _password = fields.next()?;
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let _comment = fields.next()?;
    Some(User { name, uid, gid, home: fields.next()?, shell: fields.next()? })
}

/// Where a record of `utmp` has what (glibc's `struct utmp`).
struct Layout {
    record: usize,
    seconds: usize,
    /// How many bytes the seconds have.
    wide: bool,
}

/// The session and the time are 32 bits wide where 32-bit programs share the file, and 64 bits elsewhere.
const LAYOUT: Layout = if cfg!(target_arch = "x86_64") {
    Layout { record: 384, seconds: 340, wide: false }
} else {
    Layout { record: 400, seconds: 344, wide: true }
};

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    user: String,
    line: String,
    host: String,
    pid: i32,
    /// When it began, in seconds since 1970, by the target's clock.
    began: i64,
}

/// Who is logged in, as `/run/utmp` says; not every system has it.
pub(super) fn sessions(look: &mut Look<'_>, items: &mut Items) {
    let Some(read) = look.read("run/utmp", UTMP_LIMIT) else { return };
    read.bytes.chunks_exact(LAYOUT.record).filter_map(session).for_each(|session| items.add(&session));
    if read.cut {
        items.cut_here();
    }
}

fn session(record: &[u8]) -> Option<Session> {
    const USER_PROCESS: i16 = 7;
    let kind = i16::from_ne_bytes(record.get(..2)?.try_into().ok()?);
    let string = |from: usize, length: usize| {
        let field = record.get(from..from + length)?;
        Some(text(field.split(|byte| *byte == 0).next()?, length))
    };
    let seconds = record.get(LAYOUT.seconds..)?;
    let began = if LAYOUT.wide {
        i64::from_ne_bytes(seconds.get(..8)?.try_into().ok()?)
    } else {
        i32::from_ne_bytes(seconds.get(..4)?.try_into().ok()?).into()
    };
    let pid = i32::from_ne_bytes(record.get(4..8)?.try_into().ok()?);
    (kind == USER_PROCESS).then_some(Session { user: string(44, 32)?, line: string(8, 32)?, host: string(76, 256)?, pid, began })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read() {
        let root = user(b"root:x:0:0:root:/root:/bin/bash").unwrap();
        assert_eq!((root.uid, root.shell.as_str()), (0, "/bin/bash"));
        for line in [&b""[..], b"name", b"name:x:many:0::/:/bin/sh", b"name:x:0:0:c:/"] {
            assert_eq!(user(line), None);
        }
    }

    #[test]
    fn a_session_is_read_and_other_records_are_not() {
        let mut record = vec![0; LAYOUT.record];
        record[..2].copy_from_slice(&7_i16.to_ne_bytes());
        record[4..8].copy_from_slice(&42_i32.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..52].copy_from_slice(b"ec2-user");
        record[76..86].copy_from_slice(b"192.0.2.77");
        let at = LAYOUT.seconds;
        if LAYOUT.wide {
            record[at..at + 8].copy_from_slice(&1_800_000_000_i64.to_ne_bytes());
        } else {
            record[at..at + 4].copy_from_slice(&1_800_000_000_i32.to_ne_bytes());
        }
        let expected = Session {
            user: "ec2-user".to_owned(),
            line: "pts/0".to_owned(),
            host: "192.0.2.77".to_owned(),
            pid: 42,
            began: 1_800_000_000,
        };
        assert_eq!(session(&record), Some(expected));
        record[0] = 8;
        assert_eq!(session(&record), None);
        assert_eq!(session(&record[..50]), None);
    }
}
