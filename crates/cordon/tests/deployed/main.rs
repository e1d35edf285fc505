//! The commands that ask AWS, as a person types them: the real binary against a small AWS on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test panics where what it needs is not there"
)]

mod answer;
mod aws;
mod completions;
mod doctor;
mod export;
mod list;
mod made;
mod release;
mod show;

use std::process::Output;

fn said(output: &Output) -> String {
    format!("{}{}", out(output), err(output))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
