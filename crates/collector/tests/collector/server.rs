//! A server on the loopback interface that takes PUTs as S3 does, and fails as told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Take the body, and answer 200 with this.
    Give(Vec<u8>),
    /// Answer with this status and S3 code before the body, as S3 does where it refuses.
    Refuse(u16, &'static str),
    /// Send it elsewhere, before the body.
    Redirect(String),
    /// Take the body, forget it, and answer with this status.
    Fail(u16),
    /// Read this many bytes of the body and hang up.
    Cut(usize),
    /// Read this many bytes of the body, and no more until the server is dropped.
    Stall(usize),
}

impl Act {
    /// Take the body.
    pub(crate) fn take() -> Self {
        Self::Give(Vec::new())
    }
}

/// A request before its body is read.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Counted from 1, of this path.
    pub(crate) number: usize,
    pub(crate) expects: bool,
}

/// What the server has seen and holds.
#[derive(Debug, Default)]
struct Seen {
    bodies: BTreeMap<String, Vec<u8>>,
    counts: BTreeMap<String, usize>,
    closed: bool,
}

type Rule = dyn Fn(&Request) -> Act + Send + Sync;

/// The server.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<(Mutex<Seen>, Condvar)>,
}

impl Server {
    pub(crate) fn start(rule: impl Fn(&Request) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared: Arc<(Mutex<Seen>, Condvar)> = Arc::default();
        let (rule, seen): (Arc<Rule>, _) = (Arc::new(rule), shared.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.0.lock().unwrap().closed {
                    return;
                }
                let (rule, seen, stream) = (rule.clone(), seen.clone(), stream.unwrap());
                // A client that hangs up is what some tests are about.
                thread::spawn(move || while serve(&stream, &*rule, &seen).is_ok_and(|more| more) {});
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}?X-Amz-Signature=secret", self.address)
    }

    /// What was taken under this path.
    pub(crate) fn body(&self, path: &str) -> Option<Vec<u8>> {
        self.shared.0.lock().unwrap().bodies.get(path).cloned()
    }

    /// How often this path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.shared.0.lock().unwrap().counts.get(path).copied().unwrap_or(0)
    }

    /// All parts from the first on, in order, from whichever wave: paths are `WAVE/PART`.
    pub(crate) fn image(&self) -> Vec<u8> {
        let seen = self.shared.0.lock().unwrap();
        let part = |number: u32| (1..=9).find_map(|wave| seen.bodies.get(&format!("{wave}/{number}")));
        (1..).map_while(part).flatten().copied().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.0.lock().unwrap().closed = true;
        self.shared.1.notify_all();
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves one request; whether there may be another.
fn serve(stream: &TcpStream, rule: &Rule, shared: &(Mutex<Seen>, Condvar)) -> std::io::Result<bool> {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.to_lowercase().trim().to_owned());
    }
    let header = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: usize = header("content-length:").map_or(0, |value| value.parse().unwrap());
    let expects = header("expect:").is_some();
    let path =
        head[0].split(['/', ' ', '?']).skip(2).take_while(|piece| !piece.starts_with("x-amz")).collect::<Vec<_>>().join("/");
    let number = {
        let mut seen = shared.0.lock().unwrap();
        let count = seen.counts.entry(path.clone()).or_default();
        *count += 1;
        *count
    };
    let act = rule(&Request { path: path.clone(), number, expects });
    // In one piece, as S3 does.
    let refusal = |status: u16, more: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} Refused\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    match &act {
        Act::Refuse(status, code) => {
            out.write_all(refusal(*status, "", &format!("<Error><Code>{code}</Code></Error>")).as_bytes())?;
            return Ok(false);
        }
        Act::Redirect(url) => {
            out.write_all(refusal(307, &format!("Location: {url}\r\n"), "").as_bytes())?;
            return Ok(false);
        }
        _ => {}
    }
    if expects {
        write!(out, "HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = vec![0; length];
    let (status, given) = match act {
        Act::Give(given) => (200, given),
        Act::Fail(status) => (status, Vec::new()),
        Act::Refuse(..) | Act::Redirect(_) => return Ok(false),
        Act::Cut(count) => {
            reader.read_exact(&mut body[..count.min(length)])?;
            return Ok(false);
        }
        Act::Stall(count) => {
            reader.read_exact(&mut body[..count.min(length)])?;
            let seen = shared.0.lock().unwrap();
            drop(shared.1.wait_while(seen, |seen| !seen.closed).unwrap());
            return Ok(false);
        }
    };
    reader.read_exact(&mut body)?;
    if status == 200 && header("content-length:").is_some() {
        shared.0.lock().unwrap().bodies.insert(path, body);
    }
    let head = format!("HTTP/1.1 {status} Said\r\nETag: \"x\"\r\nContent-Length: {}\r\n\r\n", given.len());
    out.write_all(&[head.into_bytes(), given].concat())?;
    Ok(true)
}
