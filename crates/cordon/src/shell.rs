//! Text as one word of a command that a person copies into a shell.

/// `text` as one word of bash and zsh. It stays one line of printable ASCII, whatever `text` is.
pub(crate) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b',' | b'+');
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    // What is not printable is written as the shell reads it, so that the command is exact and moves no cursor.
    let escaped = text.bytes().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        byte if byte.is_ascii_graphic() || byte == b' ' => char::from(byte).to_string(),
        byte => format!("\\{byte:03o}"),
    });
    format!("$'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn ordinary_items_stay_as_they_are_and_others_are_quoted() {
        for (text, expected) in [
            ("memory", "memory"),
            ("snapshot:vol-0abc1234", "snapshot:vol-0abc1234"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's; rm -rf $HOME", r"'it'\''s; rm -rf $HOME'"),
            ("a\nb\u{1b}[2J'", r"$'a\012b\033[2J\''"),
            ("é\u{202e}", r"$'\303\251\342\200\256'"),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in ["memory", "", "a b", "it's; rm -rf $HOME `x` \"y\" !z", "a\nb\u{1b}[2J'\\", "é\u{202e}1"] {
            let script = format!("printf %s {}", word(text));
            let Ok(output) = Command::new("bash").arg("-c").arg(script).output() else { return };
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        }
    }
}
