//! A server that takes every PUT and throws it away; a GET finds nothing.
//!
//! It is not what is measured, so it takes as little of the machine as it can: the kernel throws the bodies away before they
//! are copied out to us. What is left is the kernel's own part, the receiving side of TCP, which S3 would have on its own
//! machines. So it stands back behind whoever else wants a core: each packet would else interrupt what is measured.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// The server.
pub(crate) struct Sink {
    address: SocketAddr,
    taken: Arc<AtomicU64>,
}

impl Sink {
    /// Starts it; each connection takes at most `pace` bytes per second.
    pub(crate) fn start(pace: Option<u64>) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let taken = Arc::<AtomicU64>::default();
        let count = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                // A client that hangs up ends its connection and nothing else.
                thread::spawn(move || {
                    stand_back()?;
                    serve(&stream, pace, &count)
                });
            }
        });
        Ok(Self { address, taken })
    }

    /// A URL of the server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// How many bytes it took since it was last asked.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.swap(0, Ordering::SeqCst)
    }
}

/// Lets everyone else have the cores first.
fn stand_back() -> io::Result<()> {
    // Of this thread alone, as Linux has it.
    Ok(rustix::process::setpriority_process(None, 10)?)
}

fn serve(stream: &TcpStream, pace: Option<u64>, taken: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(16 << 10, stream);
    let mut out = stream;
    loop {
        let (mut length, mut expects, mut is_get, mut line) = (0_u64, false, false, String::new());
        while reader.read_line(&mut line)? > 0 && line != "\r\n" {
            let lower = line.to_ascii_lowercase();
            is_get |= lower.starts_with("get ");
            expects |= lower.starts_with("expect:");
            length = lower
                .strip_prefix("content-length:")
                .map_or(Ok(length), |value| value.trim().parse())
                .map_err(io::Error::other)?;
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        if expects {
            out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        discard(&mut reader, stream, length, pace)?;
        taken.fetch_add(length, Ordering::SeqCst);
        let status = if is_get { "404 Not Found" } else { "200 OK" };
        out.write_all(format!("HTTP/1.1 {status}\r\nETag: \"discarded\"\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    }
}

/// Throws away `length` bytes: those that are in the reader already, and the others in the kernel.
fn discard(reader: &mut BufReader<&TcpStream>, stream: &TcpStream, length: u64, pace: Option<u64>) -> io::Result<()> {
    let (began, mut got) = (Instant::now(), 0);
    let socket = SockRef::from(stream);
    // With MSG_TRUNC, TCP counts the bytes and writes none of them here.
    let mut unwritten = vec![MaybeUninit::uninit(); 1 << 20];
    while got < length {
        let left = usize::try_from(length - got).unwrap_or(usize::MAX);
        let buffered = reader.buffer().len().min(left);
        let count = if buffered > 0 {
            reader.consume(buffered);
            buffered
        } else {
            let want = left.min(unwritten.len());
            socket.recv_with_flags(unwritten.get_mut(..want).unwrap_or_default(), libc::MSG_TRUNC)?
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        got += count as u64;
        if let Some(pace) = pace {
            let due = Duration::from_micros(got.saturating_mul(1_000_000) / pace);
            #[expect(clippy::disallowed_methods, reason = "this is no step but a slow server")]
            thread::sleep(due.saturating_sub(began.elapsed()));
        }
    }
    Ok(())
}
