//! One exchange with the server: a presigned PUT or GET. No redirect is followed, and no URL ever stands in an error.

use std::io::{self, Read};

use incident::text::bounded;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, SendBody};

use crate::Options;
use crate::names::Names;
use crate::watch::Pulse;

/// The most bytes of an answer to an upload that are read.
const LONGEST_ANSWER: u64 = 16 << 10;

/// How the server answered an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// S3's code of the error; empty where there is none.
    pub code: String,
}

/// What was fetched.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It is there.
    Body(Vec<u8>),
    /// It is not there yet: S3 says that it is forbidden where the URL's session may not list.
    NotYet,
}

/// A client with connections of its own. No proxy that the target's environment names is used: the bucket is reached directly,
/// as the document reaches it.
pub fn agent(options: &Options) -> Agent {
    let connect = Some(options.times.connect);
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("cordon-collector")
        .timeout_resolve(connect)
        .timeout_connect(connect)
        .build();
    Agent::with_parts(config, DefaultConnector::default(), <Names>::default())
}

/// Uploads `data`.
pub fn put(agent: &Agent, url: &str, data: &[u8], pulse: &Pulse) -> Result<Answer, String> {
    let mut body = Paced { inner: data, pulse };
    let mut request = agent.put(url).header("content-length", data.len().to_string());
    if !data.is_empty() {
        // Without it the server may answer and hang up while the body is being sent, and the answer is lost.
        request = request.header("expect", "100-continue");
    }
    let mut response = request.send(SendBody::from_reader(&mut body)).map_err(|error| describe(&error))?;
    pulse.beat();
    let status = response.status().as_u16();
    // What cannot be read of an answer does not change its status.
    let text = read(response.body_mut(), LONGEST_ANSWER, pulse).unwrap_or_default();
    let code = if (200..300).contains(&status) { String::new() } else { code(&text) };
    Ok(Answer { status, code })
}

/// Fetches at most `limit` bytes.
pub fn get(agent: &Agent, url: &str, limit: u64, pulse: &Pulse) -> Result<Fetched, String> {
    let mut response = agent.get(url).call().map_err(|error| describe(&error))?;
    pulse.beat();
    match response.status().as_u16() {
        200 => {
            let bytes = read(response.body_mut(), limit + 1, pulse).map_err(|error| error.to_string())?;
            let short = u64::try_from(bytes.len()).is_ok_and(|length| length <= limit);
            if short { Ok(Fetched::Body(bytes)) } else { Err(format!("it has more than {limit} bytes")) }
        }
        403 | 404 => Ok(Fetched::NotYet),
        status => Err(format!("HTTP {status}")),
    }
}

fn read(body: &mut Body, limit: u64, pulse: &Pulse) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Paced { inner: body.as_reader().take(limit), pulse }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// S3's code in an answer.
fn code(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map(|(code, _)| bounded(code, 40)).unwrap_or_default()
}

/// An error without the URL.
fn describe(error: &Error) -> String {
    match error {
        Error::BadUri(_) => "the URL is malformed".to_owned(),
        other => other.to_string(),
    }
}

/// Tells the watchdog of every byte that moves.
struct Paced<'a, R> {
    inner: R,
    pulse: &'a Pulse,
}

impl<R: Read> Read for Paced<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pulse.beat();
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found_and_bounded() {
        for (answer, expected) in [
            ("<?xml version=\"1.0\"?>\n<Error><Code>ExpiredToken</Code><Message>m</Message></Error>", "ExpiredToken"),
            ("<Code>open", ""),
            ("", ""),
            ("<Code></Code>", ""),
        ] {
            assert_eq!(code(answer.as_bytes()), expected);
        }
        assert_eq!(code(format!("<Code>{}</Code>", "x".repeat(500)).as_bytes()).chars().count(), 40);
    }

    #[test]
    fn a_url_that_is_none_is_not_shown() {
        let board = crate::board::Board::new(std::time::Duration::from_mins(1));
        let agent = agent(&Options::default());
        let watch = crate::watch::Watch::begin(&board, &agent).unwrap();
        for url in ["not a url", "/path?X-Amz-Signature=secret", "ftp://host/?X-Amz-Signature=secret"] {
            let error = put(&agent, url, b"x", watch.pulse()).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
