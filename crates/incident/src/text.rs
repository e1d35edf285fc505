//! Text from outside: bounded, made safe for a key, a mail, a chat and a terminal; and digests written in hexadecimal.

use sha2::{Digest, Sha256};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// At most `limit` characters of `text`, without control characters, and marked with `…` where it was cut.
pub fn bounded(text: &str, limit: usize) -> String {
    let mut clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out: String = clean.by_ref().take(limit).collect();
    if clean.next().is_some() {
        out.pop();
        out.push('…');
    }
    out
}

/// `text` as one segment of an S3 key: itself where it is short and plain, else its digest.
///
/// Two different texts never give the same segment by accident: what is not kept as it is becomes a SHA-256.
pub fn key_segment(text: &str) -> String {
    let plain = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !text.starts_with('.');
    if plain { text.to_owned() } else { format!("sha256-{}", sha256(text.as_bytes())) }
}

/// At most `limit` characters, without control characters and markup, and without anything that a mail program or a chat
/// would turn into a link or a mention. It stays readable.
pub fn harmless(text: &str, limit: usize) -> String {
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
pub fn subject(text: &str) -> String {
    let ascii: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).take(99).collect();
    ascii.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_text_has_no_control_characters_and_ends_in_an_ellipsis_when_cut() {
        for (text, limit, expected) in
            [("plain", 10, "plain"), ("exact", 5, "exact"), ("longer", 5, "long…"), ("a\u{1b}[31m\n", 10, "a [31m ")]
        {
            assert_eq!(bounded(text, limit), expected);
        }
    }

    #[test]
    fn a_key_segment_cannot_leave_its_folder() {
        assert_eq!(key_segment("26b6396cc2a7b63020d30bc0606267af"), "26b6396cc2a7b63020d30bc0606267af");
        for hostile in ["..", "../../open/i-1", "a/b", "", "a\0b", "é", &"x".repeat(65)] {
            let segment = key_segment(hostile);
            assert!(segment.starts_with("sha256-") && segment.len() == 71, "{hostile} -> {segment}");
        }
    }

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
