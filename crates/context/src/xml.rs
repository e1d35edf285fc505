//! EC2's answers, which are XML, as JSON: every element that EC2 sent, also those that no type of ours knows. Pure.
//!
//! INVARIANT: no recursion and no entity but XML's own five and character references, so that no answer can take the stack or
//! grow: a name in it may have been chosen by whoever owns the target.

use serde_json::{Map, Value};
use xmlparser::{ElementEnd, Token, Tokenizer};

/// How deep elements may stand in each other. EC2's own answers have a dozen levels.
const DEEPEST: usize = 64;

/// An element that is open.
#[derive(Debug, Default)]
struct Open {
    name: String,
    text: String,
    children: Vec<(String, Value)>,
}

/// The content of an answer's one outermost element. `None` where it is no XML that EC2 would send.
pub fn to_json(answer: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut open: Vec<Open> = Vec::new();
    let mut whole = None;
    for token in Tokenizer::from(text) {
        let closed = match token.ok()? {
            Token::ElementStart { local, .. } if open.len() < DEEPEST && whole.is_none() => {
                open.push(Open { name: local.as_str().to_owned(), ..Open::default() });
                false
            }
            Token::ElementEnd { end: ElementEnd::Close(_, local), .. } => {
                if open.last()?.name != local.as_str() {
                    return None;
                }
                true
            }
            Token::ElementEnd { end, .. } => matches!(end, ElementEnd::Empty),
            Token::Text { text } => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&unescaped(text.as_str())?);
                }
                false
            }
            Token::Cdata { text, .. } => {
                open.last_mut()?.text.push_str(text.as_str());
                false
            }
            // Namespaces say nothing of the target.
            Token::Attribute { .. } | Token::Declaration { .. } | Token::Comment { .. } | Token::ProcessingInstruction { .. } => {
                false
            }
            // Too deep, or after the end; and EC2 sends no document type: what could define entities is not read.
            Token::ElementStart { .. }
            | Token::DtdStart { .. }
            | Token::EmptyDtd { .. }
            | Token::EntityDeclaration { .. }
            | Token::DtdEnd { .. } => return None,
        };
        if closed {
            let inner = open.pop()?;
            let name = inner.name.clone();
            let value = value(inner);
            match open.last_mut() {
                Some(outer) => outer.children.push((name, value)),
                None => whole = Some(value),
            }
        }
    }
    whole.filter(|_| open.is_empty())
}

/// An element's content: text, a list where all children are `item` or `member`, else an object; null where there is none.
fn value(element: Open) -> Value {
    let Open { text, children, .. } = element;
    if children.is_empty() {
        return if text.is_empty() { Value::Null } else { Value::String(text) };
    }
    if children.iter().all(|(name, _)| name == "item" || name == "member") {
        return children.into_iter().map(|(_, value)| value).collect();
    }
    let mut object = Map::new();
    for (name, value) in children {
        match object.remove(&name) {
            None => object.insert(name, value),
            // The same name twice, outside of a list: nothing of it is lost.
            Some(Value::Array(mut all)) => {
                all.push(value);
                object.insert(name, Value::Array(all))
            }
            Some(first) => object.insert(name, Value::Array(vec![first, value])),
        };
    }
    Value::Object(object)
}

/// Text with XML's own five entities and its character references in place.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let number = other.strip_prefix('#')?;
                let hex = number.strip_prefix('x').map(|digits| u32::from_str_radix(digits, 16));
                char::from_u32(hex.unwrap_or_else(|| number.parse()).ok()?)?
            }
        });
        out.push_str(rest);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_answer_keeps_every_element_that_ec2_sent() {
        let answer = br#"<?xml version="1.0" encoding="UTF-8"?>
            <DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><volumeSet>
            <item><volumeId>vol-1</volumeId><size>8</size><snapshotId/><neverHeardOf><a>1</a></neverHeardOf></item>
            <item><volumeId>vol-2</volumeId></item></volumeSet><nextToken></nextToken></DescribeVolumesResponse>"#;
        let text = String::from_utf8_lossy(answer).replace("\n            ", "");
        assert_eq!(
            to_json(text.as_bytes()),
            Some(json!({"requestId": "r", "nextToken": null, "volumeSet": [
                {"volumeId": "vol-1", "size": "8", "snapshotId": null, "neverHeardOf": {"a": "1"}}, {"volumeId": "vol-2"}]}))
        );
    }

    #[test]
    fn text_is_what_was_meant() {
        for (content, expected) in [
            ("a &lt;b&gt; &amp;amp; &#65;&#x1F525;", json!("a <b> &amp; A\u{1f525}")),
            ("<![CDATA[<tag> & more]]>", json!("<tag> & more")),
            ("", Value::Null),
            ("  a tag's value  ", json!("  a tag's value  ")),
            ("<a>1</a><a>2</a><a>3</a>", json!({"a": ["1", "2", "3"]})),
            ("<item><k>1</k></item>", json!([{"k": "1"}])),
        ] {
            assert_eq!(to_json(format!("<r>{content}</r>").as_bytes()), Some(expected), "{content}");
        }
    }

    #[test]
    fn what_ec2_would_not_send_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        let bomb = r#"<!DOCTYPE r [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><r>&b;</r>"#;
        for answer in
            [&deep, bomb, "<a></b>", "<a>", "<a/><b/>", "no xml", "", "<a>&unknown;</a>", "<a>&#xD800;</a>", "<a>&amp</a>"]
        {
            assert_eq!(to_json(answer.as_bytes()), None, "{}", answer.get(..40).unwrap_or(answer));
        }
        assert_eq!(to_json(b"<a>\xff</a>"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_changed_on_the_way(text in "[^\\p{Cc}\u{fffe}\u{ffff}]{0,40}") {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let expected = if text.is_empty() { Value::Null } else { Value::String(text) };
            prop_assert_eq!(to_json(format!("<r><v>{escaped}</v></r>").as_bytes()), Some(json!({ "v": expected })));
        }

        #[test]
        fn nothing_that_is_sent_ends_the_step(answer in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_json(&answer);
        }
    }
}
