//! Reads on a target that may want to harm who looks: bounded in size and time, and never of anything but a plain file.
//!
//! A process can make a read of its own `/proc` files hang for ever, by memory that a file system of its own serves. So
//! whatever concerns a process or a file that others write is read in a thread that may be left behind.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How many threads may be left behind.
const MOST_LEFT: u8 = 8;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded {
    /// At most as many bytes as were asked for.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
}

/// Reads at most `limit` bytes of a plain file. A link, a pipe and a device are errors.
pub fn read(path: &Path, limit: u64) -> io::Result<Bounded> {
    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let cut = bytes.len() > limit;
    bytes.truncate(limit);
    Ok(Bounded { bytes, cut })
}

/// Opening a pipe would wait for who writes to it, and opening some devices has effects: neither is asked for more than its
/// kind.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
}

/// The first line of a small file, without the line's end.
pub fn line(path: &Path, limit: u64) -> io::Result<String> {
    let read = read(path, limit)?;
    let line = read.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(text(line, usize::try_from(limit).unwrap_or(usize::MAX)))
}

/// Text of at most `limit` bytes; what is no UTF-8 is replaced, and `…` marks where it was cut.
pub fn text(bytes: &[u8], limit: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned();
    if bytes.len() > limit {
        text.push('…');
    }
    text
}

/// Does things that may hang, each with a bound, and all of them with one.
#[derive(Debug)]
pub struct Patience {
    each: Duration,
    ends: Instant,
    left: u8,
}

/// Why something was not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Impatient {
    /// This one hangs.
    #[error("it did not answer within {} s", .0.as_secs_f32())]
    Hangs(Duration),
    /// There is no time left for any more, or too many hang.
    #[error("there was no more time for it")]
    Over,
}

impl Patience {
    /// At most `each` for each, and `all` for all of them.
    pub fn new(each: Duration, all: Duration) -> Self {
        Self { each, ends: Instant::now() + all, left: MOST_LEFT }
    }

    /// Does one thing.
    pub fn with<T: Send + 'static>(&mut self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Impatient> {
        let wait = self.each.min(self.ends.saturating_duration_since(Instant::now()));
        if wait.is_zero() || self.left == 0 {
            return Err(Impatient::Over);
        }
        let (done, result) = mpsc::sync_channel(1);
        let job = move || {
            // Whoever asked may have stopped waiting.
            let _ = done.send(job());
        };
        thread::Builder::new().stack_size(256 << 10).spawn(job).map_err(|_| Impatient::Over)?;
        result.recv_timeout(wait).map_err(|_| {
            self.left -= 1;
            Impatient::Hangs(wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        for (limit, expected, cut) in
            [(20, &b"0123456789"[..], false), (10, b"0123456789", false), (4, b"0123", true), (0, b"", true)]
        {
            assert_eq!(read(&path, limit).unwrap(), Bounded { bytes: expected.to_vec(), cut }, "{limit}");
        }
    }

    #[test]
    fn a_link_a_folder_a_pipe_a_socket_and_a_device_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), b"x").unwrap();
        symlink(path("file"), path("link")).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let _listening = UnixListener::bind(path("socket")).unwrap();
        for name in ["link", ".", "pipe", "socket", "none", "/dev/zero"] {
            assert!(read(&path(name), 10).is_err(), "{name} was read");
        }
    }

    #[test]
    fn text_is_bounded_and_always_text() {
        assert_eq!(text(b"plain", 10), "plain");
        assert_eq!(text(b"longer", 3), "lon…");
        assert_eq!(text(b"\xff\xfe\0a\nb", 10), "\u{fffd}\u{fffd}\0a\nb");
        assert_eq!(text("é".as_bytes(), 1), "\u{fffd}…");
    }

    #[test]
    fn what_hangs_is_left_behind_and_too_much_of_it_ends_the_patience() {
        let mut patience = Patience::new(Duration::from_millis(5), Duration::from_mins(1));
        // Who holds the sender lets the threads hang until the end of the test.
        let (_hold, hang) = mpsc::channel::<()>();
        let hang = std::sync::Arc::new(std::sync::Mutex::new(hang));
        assert_eq!(Patience::new(Duration::from_mins(1), Duration::from_mins(1)).with(|| 1), Ok(1));
        for _ in 0..MOST_LEFT {
            let waits = hang.clone();
            let result = patience.with(move || waits.lock().map(|hang| hang.recv().is_ok()).is_ok());
            assert_eq!(result, Err(Impatient::Hangs(Duration::from_millis(5))));
        }
        assert_eq!(patience.with(|| 1), Err(Impatient::Over));
        assert_eq!(Patience::new(Duration::from_secs(1), Duration::ZERO).with(|| 1), Err(Impatient::Over));
    }
}
