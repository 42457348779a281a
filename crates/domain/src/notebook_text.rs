//! A notebook's text as a document, as leniently as Python reads it.

use std::borrow::Cow;

use serde_json::Value;

/// Reads a notebook: a byte order mark may lead it, and `NaN` and `Infinity`, which Python writes, are null.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read_notebook(data: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(data).map_err(|error| format!("it is no UTF-8 text: {error}"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = serde_json::from_str(text).or_else(|error| {
        // The first error is of the text as it is.
        serde_json::from_str(&without_special_numbers(text)).map_err(|_| format!("it is no JSON: {error}"))
    })?;
    match read {
        Value::Object(_) => Ok(read),
        _ => Err("it is no JSON object".to_owned()),
    }
}

/// The text with `null` in place of `NaN` and `Infinity` outside of strings, which Python writes and JSON does not
/// know: they stand in outputs.
pub(crate) fn without_special_numbers(text: &str) -> Cow<'_, str> {
    let mut written = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut rest) = (false, false, text);
    while let Some(letter) = rest.chars().next() {
        if !in_string
            && let Some(special) =
                ["NaN", "-Infinity", "Infinity"].into_iter().find(|special| rest.starts_with(special))
        {
            written.push_str("null");
            rest = &rest[special.len()..];
            continue;
        }
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ => {}
        }
        written.push(letter);
        rest = &rest[letter.len_utf8()..];
    }
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        let read = read_notebook(b"\xef\xbb\xbf{\"a\": NaN, \"b\": \"NaN\", \"c\": [-Infinity]}")
            .expect("a document");
        assert_eq!(read, serde_json::json!({"a": null, "b": "NaN", "c": [null]}));
        for (text, said) in
            [(&b""[..], "no JSON"), (b"[1]", "no JSON object"), (b"\xff", "UTF-8"), (b"{\"a\"", "line 1")]
        {
            let error = read_notebook(text).expect_err("no document");
            assert!(error.contains(said), "{error}");
        }
    }
}
