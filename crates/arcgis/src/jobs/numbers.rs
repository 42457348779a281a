//! JSON whose numbers are none: `NaN` and `Infinity`, as Python writes them, and those that no type here holds.

use std::borrow::Cow;

use serde_json::Value;

/// Digits that fit into no integer here, whatever they are.
const LONG: usize = 20;

/// Whether a number may be in it that would lose digits: an id may be one.
pub(super) fn has_long_one(bytes: &[u8]) -> bool {
    let mut digits = 0;
    bytes.iter().any(|byte| {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits >= LONG
    })
}

/// The JSON document, with null in the place of what is no finite number, and a text in the place of an integer that is
/// too long.
pub(super) fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(&plain(text)).ok()
}

fn plain(text: &str) -> Cow<'_, str> {
    let (mut plain, mut kept, mut at) = (String::new(), 0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = after_text(bytes, at + 1),
            b'-' | b'+' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                let length = bytes[at..].iter().take_while(|byte| is_of_a_word(**byte)).count();
                let word = &text[at..at + length];
                if let Some(other) = in_its_place(word) {
                    plain.push_str(&text[kept..at]);
                    plain.push_str(&other);
                    kept = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    plain.push_str(&text[kept..]);
    Cow::Owned(plain)
}

/// Where the text ends that has begun before `at`.
fn after_text(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn in_its_place(word: &str) -> Option<Cow<'static, str>> {
    let name = word.trim_start_matches(['-', '+']).to_ascii_lowercase();
    if ["nan", "infinity", "inf"].contains(&name.as_str()) {
        return Some(Cow::Borrowed("null"));
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if digits.is_empty() || !digits.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    if digits.len() >= LONG && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let fits = word.parse::<i64>().is_ok() || word.parse::<u64>().is_ok();
        return (!fits).then(|| Cow::Owned(format!("\"{word}\"")));
    }
    word.parse::<f64>().is_ok_and(f64::is_infinite).then_some(Cow::Borrowed("null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_number_hides_nothing() {
        for (text, expected) in [
            (r#"{"status":"running","progress":NaN}"#, json!({"status": "running", "progress": null})),
            ("[-Infinity,1e999,-1E+999,2.5,-3]", json!([null, null, null, 2.5, -3])),
            (r#"{"jobId":123456789012345678901234}"#, json!({"jobId": "123456789012345678901234"})),
            (r#"{"jobId":18446744073709551615}"#, json!({"jobId": u64::MAX})),
            (r#"{"NaN":"a \" NaN","b":true}"#, json!({"NaN": "a \" NaN", "b": true})),
        ] {
            assert_eq!(parsed(text), Some(expected), "{text}");
        }
        for broken in ["{\"a\":NaN", "\"", "{\"a\":nano}", "\"\\"] {
            assert_eq!(parsed(broken), None, "{broken}");
        }
        assert!(
            has_long_one(b"{\"a\":12345678901234567890}") && !has_long_one(b"{\"a\":1234567890123456789}")
        );
    }
}
