//! A notebook's text as a document, as leniently as Python reads it.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// Why a text is no notebook, or not the part of one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotebookTextError {
    /// It is no UTF-8.
    #[error("it is no UTF-8 text: {0}")]
    NotUtf8(String),
    /// It is no JSON, not even with Python's numbers.
    #[error("it is no JSON: {0}")]
    NotJson(String),
    /// It is JSON of another form.
    #[error("{0}")]
    OtherForm(String),
}

/// Reads of a notebook what `T` has: a byte order mark may lead it, and `NaN` and `Infinity`, which Python writes, are
/// null.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read_notebook_as<T: DeserializeOwned>(data: &[u8]) -> Result<T, NotebookTextError> {
    let text = std::str::from_utf8(data).map_err(|error| NotebookTextError::NotUtf8(error.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let other_form = |error: serde_json::Error| NotebookTextError::OtherForm(error.to_string());
    match serde_json::from_str(text) {
        Err(error) if !error.is_data() => {
            let written_anew = without_special_numbers(text);
            serde_json::from_str(&written_anew).map_err(|second| {
                // Another form shows before what is behind it is read.
                if second.is_data() && serde_json::from_str::<IgnoredAny>(&written_anew).is_ok() {
                    other_form(second)
                } else {
                    // The first error is of the text as it is.
                    NotebookTextError::NotJson(error.to_string())
                }
            })
        }
        read => read.map_err(other_form),
    }
}

/// The whole of a notebook, as [`read_notebook_as`] reads it.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read_notebook(data: &[u8]) -> Result<Value, String> {
    match read_notebook_as(data) {
        Ok(read @ Value::Object(_)) => Ok(read),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The text with `null` in place of `NaN` and `Infinity` outside of strings, which Python writes and JSON does not
/// know: they stand in outputs.
fn without_special_numbers(text: &str) -> String {
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
    written
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

    #[test]
    fn a_part_is_read_and_another_form_is_no_broken_text() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Part {
            nbformat: u8,
        }
        let part = |text: &str| read_notebook_as::<Part>(text.as_bytes());
        assert_eq!(part(r#"{"nbformat": 4, "cells": [NaN, "\" Infinity"]}"#), Ok(Part { nbformat: 4 }));
        let other = part(r#"{"cells": NaN}"#).expect_err("another form");
        assert!(matches!(&other, NotebookTextError::OtherForm(why) if why.contains("nbformat")), "{other}");
        for text in [r#"{"nbformat": NaN5}"#, r#"{"nbformat": "NaN\"#, r#"{"nbformat": 4"#] {
            let error = part(text).expect_err("no JSON");
            assert!(matches!(error, NotebookTextError::NotJson(_)), "{error}");
        }
    }
}
