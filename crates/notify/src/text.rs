//! Makes text from outside harmless in a mail, a chat and a terminal.

use incident::text::bounded;

/// At most `limit` characters, without control characters and markup, and without anything that a mail program or a chat
/// would turn into a link or a mention. It stays readable.
pub(crate) fn harmless(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in bounded(text, limit).chars() {
        match c {
            '<' => out.push('‹'),
            '>' => out.push('›'),
            '&' => out.push_str(" and "),
            '@' => out.push_str("(at)"),
            '`' => out.push('\''),
            // Separators that break lines, and marks that turn the direction of text or join nothing visible can hide what stands there.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            c => out.push(c),
        }
    }
    out.replace("://", "[://]").replace("www.", "www[.]").replace("](", "] (")
}

/// A subject as SNS takes it: ASCII, one line, below 100 characters, beginning with a letter [facts 81].
pub(crate) fn subject(text: &str) -> String {
    let ascii: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(99).collect();
    ascii.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_readable_and_becomes_harmless() {
        let cases = [
            ("plain text", "plain text"),
            ("<script>alert(1)</script>", "‹script›alert(1)‹/script›"),
            ("a\r\nSubject: b\u{1b}[2J", "a  Subject: b [2J"),
            ("see https://evil.example/x", "see https[://]evil.example/x"),
            ("[click](http://x)", "[click] (http[://]x)"),
            ("@here `x`", "(at)here 'x'"),
            ("a\u{202e}b\u{200b}\u{2028}", "ab"),
        ];
        for (text, expected) in cases {
            assert_eq!(harmless(text, 200), expected);
        }
        assert_eq!(harmless(&"x".repeat(500), 10), "xxxxxxxxx…");
    }
}
