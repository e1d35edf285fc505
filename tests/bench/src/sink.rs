//! A server that takes every PUT, reads it and forgets it; a GET finds nothing.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
                thread::spawn(move || serve(&stream, pace, &count));
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

fn serve(stream: &TcpStream, pace: Option<u64>, taken: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
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
        discard(&mut reader, length, pace)?;
        taken.fetch_add(length, Ordering::SeqCst);
        let status = if is_get { "404 Not Found" } else { "200 OK" };
        out.write_all(format!("HTTP/1.1 {status}\r\nETag: \"discarded\"\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    }
}

fn discard(reader: &mut impl Read, length: u64, pace: Option<u64>) -> io::Result<()> {
    let (began, mut got, mut block) = (Instant::now(), 0, vec![0; 256 << 10]);
    while got < length {
        let want = usize::try_from(length - got).unwrap_or(usize::MAX).min(block.len());
        let count = reader.read(block.get_mut(..want).unwrap_or_default())?;
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
