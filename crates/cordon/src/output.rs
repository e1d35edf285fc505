//! Printing. A closed pipe is no error: `cordon … | head` is how people read.

use std::io::{IsTerminal as _, Write as _};

use incident::text::bounded;
use serde::Serialize;

/// Prints a line that we made.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a document for programs. What a terminal would act on is escaped in it: text of findings and targets is hostile.
pub(crate) fn document(value: &impl Serialize) {
    // Our own types have string keys, so that this cannot fail.
    say(&escaped(&serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// JSON leaves some control characters as they are, and marks that turn the direction of text. All of them stand in strings.
fn escaped(json: &str) -> String {
    let acts = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    json.chars().map(|c| if acts(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }).collect()
}

/// Prints bytes that we made, as they are.
pub(crate) fn write(bytes: &[u8]) {
    let _ = std::io::stdout().write_all(bytes);
}

/// Prints a line that we made for a person to read beside the result.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a complaint.
pub(crate) fn complain(error: &dyn std::error::Error) {
    note(&format!("cordon: {}", plain(error)));
}

/// An error as one line that no terminal acts on.
pub(crate) fn plain(error: &dyn std::error::Error) -> String {
    bounded(&error.to_string(), 1_000)
}

/// `text` in green or red, where people look at a terminal and have not asked for plain text.
pub(crate) fn coloured(text: &str, good: bool) -> String {
    #[expect(clippy::disallowed_methods, reason = "NO_COLOR is the convention of terminals, no configuration of ours")]
    let plain = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty()) || !std::io::stdout().is_terminal();
    if plain { text.to_owned() } else { format!("\u{1b}[{}m{text}\u{1b}[0m", if good { 32 } else { 31 }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_the_same_when_it_is_escaped_and_moves_no_cursor() {
        let hostile = "a\u{1b}[2J\u{9b}2J\u{7f}\n\u{202e}\u{2028}é";
        let json = escaped(&serde_json::to_string_pretty(&[hostile]).unwrap());
        assert!(json.chars().all(|c| c == '\n' || c == 'é' || c.is_ascii_graphic() || c == ' '), "{json}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [hostile]);
    }
}
