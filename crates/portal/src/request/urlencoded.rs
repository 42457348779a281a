//! `application/x-www-form-urlencoded`, in queries and bodies.
//!
//! Strict where a lenient reader would change what was meant (a broken percent escape, bytes that are no
//! UTF-8), lenient where real clients are: blanks, quotes, braces, `*`, `/` and `?` may stand unescaped,
//! as in ArcGIS's own examples.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::Parameters;
use super::parameters::shortened;
use crate::answer::Failure;

/// Reads a query or a body.
pub(crate) fn read(text: &[u8]) -> Result<Parameters, Failure> {
    let mut parameters = Parameters::default();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let cut = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = cut.map_or((pair, &[][..]), |cut| (&pair[..cut], &pair[cut + 1..]));
        let name = decode(name).map_err(|broken| failure("A parameter's name", broken))?;
        let value = decode(value).map_err(|broken| failure(&format!("'{}'", shortened(&name)), broken))?;
        parameters.add(name, value)?;
    }
    Ok(parameters)
}

/// A path's segment; none if it is broken.
pub(crate) fn decode_segment(segment: &str) -> Option<String> {
    if broken_escape(segment.as_bytes()) {
        return None;
    }
    let text = percent_decode(segment.as_bytes()).decode_utf8().ok()?;
    (!text.contains('\0')).then(|| text.into_owned())
}

/// Why a text can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Escape,
    Utf8,
}

fn failure(what: &str, broken: Broken) -> Failure {
    let problem = match broken {
        Broken::Escape => "has a '%' that is not followed by two hex digits",
        Broken::Utf8 => "is not valid UTF-8",
    };
    Failure::new(400, format!("{what} {problem}.")).with_detail(what.trim_matches('\'').to_owned())
}

fn decode(text: &[u8]) -> Result<String, Broken> {
    if broken_escape(text) {
        return Err(Broken::Escape);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    match percent_decode(&spaced).decode_utf8() {
        Ok(Cow::Owned(text)) => Ok(text),
        Ok(Cow::Borrowed(text)) => Ok(text.to_owned()),
        Err(_) => Err(Broken::Utf8),
    }
}

fn broken_escape(text: &[u8]) -> bool {
    let escapes = text.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    escapes.into_iter().any(|(at, _)| {
        !text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_special_characters_may_stand_as_they_are() {
        let text = br#"parameters={"a": "b/c?d"}&minute=*/1&title=one+two%2B&empty=&bare"#;
        let parameters = read(text).expect("readable");
        assert_eq!(parameters.get("parameters"), Some(r#"{"a": "b/c?d"}"#));
        assert_eq!(parameters.get("minute"), Some("*/1"));
        assert_eq!(parameters.get("title"), Some("one two+"));
        assert_eq!(parameters.get("empty"), Some(""));
        assert_eq!(parameters.get("bare"), Some(""));
    }

    #[test]
    fn what_is_broken_is_refused() {
        for (broken, name) in [("title=%", "title"), ("title=%4", "title"), ("title=%zz", "title")] {
            let failure = read(broken.as_bytes()).expect_err(broken);
            assert!(failure.message().contains(name), "{}", failure.message());
        }
        assert!(
            read(b"title=%ED%A0%80")
                .expect_err("a lone surrogate")
                .message()
                .contains("'title' is not valid UTF-8")
        );
        assert!(read(b"title=\xff").is_err());
        assert!(read(b"title=a%00b").expect_err("NUL").message().contains("'title' has a NUL"));
        assert!(read(b"a=1&a=1").expect_err("doubled").message().contains("'a' is given more than once"));
    }
}
