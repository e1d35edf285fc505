//! `cordon watch`: how far a case, or a release, is, until it is closed.

mod draw;
mod estimate;
mod facts;
pub(crate) mod read;
mod stages;
#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::time::Duration;

use jiff::Timestamp;

use self::draw::Line;
use self::facts::Facts;
use self::read::Reader;
use self::stages::{Picture, State};
use crate::bucket::Bucket;
use crate::list::Status;
use crate::output::{coloured, say, write};
use crate::{Arguments, Error, Watch, deployment, exit};

/// How long after one look the next one comes, at first.
const SOON: Duration = Duration::from_secs(1);
/// How many looks come that soon.
const FAST_LOOKS: u32 = 30;
/// How long after one look the next one comes, later.
const LATER: Duration = Duration::from_secs(2);
/// How many looks in a row may fail.
const MOST_FAILED: u32 = 30;
/// How many looks the last word has to close the case of an execution that has ended: it is called by an event.
const PATIENCE: u32 = 90;
/// The width of a terminal that does not say.
const WIDTH: usize = 80;

/// Follows a case or a release to its end, or prints once how it stands.
pub(crate) async fn run(arguments: &Arguments, given: &Watch) -> Result<u8, Error> {
    let config = deployment::aws(arguments).await;
    let found = deployment::find(arguments, &config).await?;
    let bucket = Bucket::of(&config, &found);
    let sfn = aws_sdk_sfn::Client::new(&config);
    let mut reader = Reader::new(&bucket, &sfn, &given.case);
    let mut facts = Facts::default();
    // The first look tells whether there is such a case, and whether one may read it.
    Box::pin(reader.look(&mut facts)).await?;
    let mut screen = Screen::new(arguments.json, given.once);
    let (mut looks, mut failed, mut orphaned) = (0, 0, 0);
    let mut trouble = None;
    loop {
        let picture = stages::picture(&given.case, &facts);
        screen.show(&picture, trouble.as_ref());
        if given.once || facts.closed() || orphaned >= PATIENCE {
            return Ok(if picture.status.is_good() { exit::OK } else { exit::FAILED });
        }
        #[expect(clippy::disallowed_methods, reason = "a person waits; no function does")]
        tokio::time::sleep(if looks < FAST_LOOKS { SOON } else { LATER }).await;
        looks += 1;
        match Box::pin(reader.look(&mut facts)).await {
            Ok(()) => (failed, trouble) = (0, None),
            Err(error) if failed >= MOST_FAILED => return Err(error),
            Err(error) => (failed, trouble) = (failed + 1, Some(error)),
        }
        orphaned = if picture.status == Status::Broken { orphaned + 1 } else { 0 };
    }
}

/// Where the pictures go.
enum Screen {
    /// To a program: each that differs from the one before, as one line of JSON.
    Json(Option<Picture>),
    /// To a person, once.
    Once,
    /// To a terminal: each over the one before, which had so many lines.
    Terminal(usize),
    /// To a pipe: what has changed.
    Pipe(Vec<State>),
}

impl Screen {
    fn new(json: bool, once: bool) -> Self {
        match (json, once, std::io::stdout().is_terminal()) {
            (true, ..) => Self::Json(None),
            (_, true, _) => Self::Once,
            (.., true) => Self::Terminal(0),
            (.., false) => Self::Pipe(Vec::new()),
        }
    }

    fn show(&mut self, picture: &Picture, trouble: Option<&Error>) {
        match self {
            Self::Json(last) => {
                if last.as_ref() != Some(picture) {
                    // Its texts are harmless by then, and our own types have string keys, so that this cannot fail.
                    say(&serde_json::to_string(picture).unwrap_or_default());
                    *last = Some(picture.clone());
                }
            }
            Self::Once => {
                let width = if std::io::stdout().is_terminal() { width() } else { usize::MAX };
                for line in draw::lines(picture, now(), width) {
                    say(&painted(&line));
                }
            }
            Self::Terminal(drawn) => {
                let width = width();
                let mut lines = draw::lines(picture, now(), width);
                lines.extend(trouble.map(|error| draw::trouble(&error.to_string(), width)));
                let text: String = lines.iter().map(|line| format!("{}\n", painted(line))).collect();
                write(draw::over(*drawn, &text).as_bytes());
                *drawn = lines.len();
            }
            Self::Pipe(states) => {
                for (stage, before) in picture.stages.iter().zip(states.iter().map(Some).chain(std::iter::repeat(None))) {
                    let before = before.copied().unwrap_or(State::Waiting);
                    if stage.state != before {
                        say(&painted(&draw::change(stage, picture.opened)));
                    }
                }
                *states = picture.stages.iter().map(|stage| stage.state).collect();
            }
        }
    }
}

fn painted(line: &Line) -> String {
    let mark = line.good.map_or_else(|| line.mark.clone(), |good| coloured(&line.mark, good));
    format!("{mark}{}", line.text)
}

#[expect(clippy::disallowed_methods, reason = "COLUMNS is the convention of terminals, no configuration of ours")]
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

#[expect(clippy::disallowed_methods, reason = "a person's clock: how long something takes, and which day it is")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
