//! The picture of a case as lines of text. Pure.
//!
//! INVARIANT: no line is wider than what it was cut to, so that a terminal never wraps one and a picture can be drawn over.

use incident::text::bounded;
use jiff::Timestamp;

use super::stages::{Bar, Picture, Question, Stage, State};
use crate::words;

/// How many characters a bar has.
const BAR: u64 = 20;
/// Where what is said of a stage begins.
const INDENT: &str = "            ";

/// One line. The mark at its beginning is coloured where there is a terminal for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) mark: String,
    /// Whether the mark is good or bad news; neither is most.
    pub(super) good: Option<bool>,
    pub(super) text: String,
}

impl Line {
    fn plain(text: String) -> Self {
        Self { mark: String::new(), good: None, text }
    }
}

/// The picture, as at `now`, with no line wider than `width`.
pub(super) fn lines(picture: &Picture, now: Timestamp, width: usize) -> Vec<Line> {
    let age = |at: Timestamp| span(at.duration_since(picture.opened.unwrap_or(at)).as_secs());
    let since = match (picture.closed, picture.opened) {
        (Some(closed), Some(_)) => format!(" after {}", age(closed)),
        (None, Some(_)) => format!(" for {}", age(now)),
        (_, None) => String::new(),
    };
    let release = picture.release_of.as_ref().map(|case| format!(", release of {case}")).unwrap_or_default();
    let mut all = vec![Line::plain(format!("{}: {}{since}{release}", picture.case_id, picture.status.words()))];
    for stage in &picture.stages {
        let text = format!("  {:<16}  {:<15}  {}", stage.name, times(stage, picture.opened), stage.said);
        let (word, good) = state(stage.state);
        all.push(Line { mark: format!("  {word:<8}"), good, text: text.trim_end().to_owned() });
        all.extend(stage.progress.iter().map(|progress| Line::plain(format!("{INDENT}{}", bar(progress, now)))));
        all.extend(stage.question.iter().flat_map(question).map(|text| Line::plain(format!("{INDENT}{text}"))));
    }
    for line in &mut all {
        line.text = cut(&line.text, width.saturating_sub(line.mark.len()));
    }
    all
}

/// What is printed when a stage changes its state, as one line; `opened` is when the case was.
pub(super) fn change(stage: &Stage, opened: Option<Timestamp>) -> Line {
    let (word, good) = state(stage.state);
    let at = match stage.state {
        State::Done | State::Failed => stage.ended.or(stage.began),
        _ => stage.began,
    };
    let at = opened.zip(at).map(|(opened, at)| offset(opened, at)).unwrap_or_default();
    let question = stage.question.as_ref().map(|question| format!("{}: {}", answers(question), question.command.join(" ")));
    let said: Vec<String> = [stage.said.clone()].into_iter().chain(question).filter(|said| !said.is_empty()).collect();
    let said = said.join("; ");
    let text = format!("  {:<16}  {at:<9}  {said}", stage.name);
    Line { mark: format!("{word:<8}"), good, text: text.trim_end().to_owned() }
}

/// That the last look failed.
pub(super) fn trouble(why: &str, width: usize) -> Line {
    Line::plain(cut(&format!("  the last look failed, the next one comes soon: {}", bounded(why, 400)), width))
}

/// What a terminal is sent to draw `text` (whole lines) over the last `drawn` lines: up, clear to the end, and no wrapping of
/// lines, should the terminal be narrower than it said.
pub(super) fn over(drawn: usize, text: &str) -> String {
    let up = if drawn > 0 { format!("\u{1b}[{drawn}A\r\u{1b}[J") } else { String::new() };
    format!("{up}\u{1b}[?7l{text}\u{1b}[?7h")
}

const fn state(state: State) -> (&'static str, Option<bool>) {
    match state {
        State::Waiting => ("waiting", None),
        State::Running => ("running", None),
        State::Done => ("done", Some(true)),
        State::Failed => ("FAILED", Some(false)),
        State::LeftOut => ("left out", None),
    }
}

/// From when to when, since the case was opened: `+0:02 to 0:09`.
fn times(stage: &Stage, opened: Option<Timestamp>) -> String {
    let Some(opened) = opened else { return String::new() };
    match (stage.began, stage.ended) {
        (Some(began), Some(ended)) => format!("{}-{}", offset(opened, began), offset(opened, ended).trim_start_matches('+')),
        (Some(at), None) | (None, Some(at)) => offset(opened, at),
        (None, None) => String::new(),
    }
}

fn offset(opened: Timestamp, at: Timestamp) -> String {
    let seconds = at.duration_since(opened).as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("+{hours}:{minutes:02}:{seconds:02}") } else { format!("+{minutes}:{seconds:02}") }
}

/// A length of time in seconds as people read it: its two largest units.
fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// As [`span`], without seconds that nobody can know.
fn rough(seconds: i64) -> String {
    if seconds < 60 { "a minute".to_owned() } else { span(seconds.saturating_add(59) / 60 * 60).replace(" 0 s", "") }
}

fn bar(bar: &Bar, now: Timestamp) -> String {
    let full = u64::from(bar.percent) * BAR / 100;
    let drawn: String = (0..BAR).map(|at| if at < full { '#' } else { '-' }).collect();
    let bytes = match (bar.done_bytes, bar.of_bytes) {
        (Some(done), Some(of)) => Some(format!("{} of {}", words::size(done), words::size(of))),
        (Some(done), None) => Some(words::size(done)),
        _ => None,
    };
    let left = match bar.due {
        Some(due) if due > bar.until => Some(format!("too slow: given up {}", clock(bar.until))),
        Some(due) if due > now => Some(format!("about {} left", rough(due.duration_since(now).as_secs()))),
        _ => None,
    };
    let more: Vec<String> = bytes.into_iter().chain(left).collect();
    format!("[{drawn}] {:>3}%  {}", bar.percent, more.join(", ")).trim_end().to_owned()
}

/// How a question stands.
fn answers(question: &Question) -> String {
    let until = question.until.map(|until| format!(", until {}", clock(until))).unwrap_or_default();
    format!("{} of {} people have approved{until}", question.approved, question.needed)
}

/// What people are asked, line by line: how it stands, and the command.
fn question(question: &Question) -> Vec<String> {
    let mut lines = vec![answers(question)];
    let last = question.command.len().saturating_sub(1);
    let command = question.command.iter().enumerate();
    // One command over several lines: a person copies it as it stands.
    lines.extend(
        command.map(|(at, words)| format!("{}{words}{}", if at == 0 { "" } else { "  " }, if at == last { "" } else { " \\" })),
    );
    lines
}

fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// At most `width` columns of `text`. A character beyond ASCII counts as two, since some are: what is cut too early is no harm.
fn cut(text: &str, width: usize) -> String {
    let columns = |c: char| if c.is_ascii() { 1 } else { 2 };
    if text.chars().map(columns).sum::<usize>() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(2);
    let mut out: String = text
        .chars()
        .take_while(|c| {
            let fits = columns(*c) <= left;
            left = left.saturating_sub(columns(*c));
            fits
        })
        .collect();
    if width > 1 {
        out.push('…');
    }
    out
}
