//! Printing. A closed pipe is no error: `cordon … | head` is how people read.

use std::io::{IsTerminal as _, Write as _};

use incident::text::bounded;

/// Prints a line that we made.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a complaint.
pub(crate) fn complain(error: &dyn std::error::Error) {
    let _ = writeln!(std::io::stderr(), "cordon: {}", bounded(&error.to_string(), 1_000));
}

/// `text` in green or red, where people look at a terminal and have not asked for plain text.
pub(crate) fn coloured(text: &str, good: bool) -> String {
    #[expect(clippy::disallowed_methods, reason = "NO_COLOR is the convention of terminals, no configuration of ours")]
    let plain = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty()) || !std::io::stdout().is_terminal();
    if plain { text.to_owned() } else { format!("\u{1b}[{}m{text}\u{1b}[0m", if good { 32 } else { 31 }) }
}
