//! Paths of URLs that every reader takes to lead to the same place.
//!
//! A proxy, a web adaptor or a servlet container may decode a path again, drop what follows a `;`, take a backslash
//! or a full-width slash for a slash, or cut dots and blanks off a segment's end. A rule about a path holds only if
//! it holds for all of them: [`read`] refuses what they could read differently in a way that climbs, and gives the
//! reading of the most lenient one for the rest.

/// How often a path may be encoded: nobody encodes more than twice.
const MOST_LAYERS: usize = 4;

/// Why a path can't be trusted to lead where it seems to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafePath {
    /// `.` or `..`, however it is written.
    #[error("its path has a dot segment, plain or in disguise")]
    DotSegment,
    /// `;` begins a parameter for some servers, which they cut off.
    #[error("its path has a ';'")]
    Parameter,
    /// Some take it for a slash.
    #[error("its path has a backslash")]
    Backslash,
    /// A control character; NUL ends the path for some.
    #[error("its path has a control character")]
    Control,
    /// A broken escape, or bytes that are no UTF-8 (overlong ones, too).
    #[error("its path has an escape that is no UTF-8 character")]
    Encoding,
    /// Encoded again and again.
    #[error("its path is encoded too many times")]
    Layers,
}

/// A path that leads to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath {
    /// The segments as the most lenient reader sees them: decoded to the end, split at encoded slashes, cut at an
    /// encoded `?` or `#`, in small ASCII letters, without empty ones, without dots and blanks at their ends.
    pub lenient_segments: Vec<String>,
    /// Whether a slash was encoded, so that readers count segments differently.
    pub has_encoded_slash: bool,
}

/// Reads the path of a URL, without its query.
pub fn read(path: &str) -> Result<SafePath, UnsafePath> {
    let mut text = path.to_owned();
    for layer in 0..MOST_LAYERS {
        let folded: String = text.chars().map(folded).collect();
        check(&folded)?;
        let decoded = decoded(&text, layer == 0)?;
        if decoded == text {
            return Ok(SafePath {
                has_encoded_slash: slashes(&folded) != slashes(path),
                lenient_segments: lenient_segments(&folded),
            });
        }
        text = decoded;
    }
    Err(UnsafePath::Layers)
}

fn slashes(text: &str) -> usize {
    text.matches('/').count()
}

/// What stands there at one layer of encoding.
fn check(text: &str) -> Result<(), UnsafePath> {
    if text.chars().any(char::is_control) {
        return Err(UnsafePath::Control);
    }
    if text.contains('\\') {
        return Err(UnsafePath::Backslash);
    }
    if text.contains(';') {
        return Err(UnsafePath::Parameter);
    }
    let climbs = |segment: &str| segment.contains('.') && segment.chars().all(is_cut_off);
    if text.split(['/', '?', '#']).any(climbs) {
        return Err(UnsafePath::DotSegment);
    }
    Ok(())
}

/// What some readers cut off a segment's end.
fn is_cut_off(letter: char) -> bool {
    letter == '.' || letter.is_whitespace() || is_invisible(letter)
}

/// Format characters that some readers drop.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn lenient_segments(text: &str) -> Vec<String> {
    let seen = text.split(['?', '#']).next().unwrap_or_default();
    let plain = |segment: &str| {
        let cut: String =
            segment.trim_end_matches(is_cut_off).chars().filter(|c| !is_invisible(*c)).collect();
        cut.to_ascii_lowercase()
    };
    seen.split('/').map(plain).filter(|segment| !segment.is_empty()).collect()
}

/// The ASCII character that compatibility normalization (Unicode's NFKC) and the "best fit" tables of Windows make
/// of a look-alike.
fn folded(letter: char) -> char {
    match letter {
        // Full-width forms of the printable ASCII characters.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        '\u{2024}'..='\u{2026}' | '\u{fe19}' | '\u{fe30}' | '\u{fe52}' => '.',
        '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' | '\u{fe68}' => '\\',
        '\u{37e}' | '\u{fe54}' => ';',
        '\u{fe56}' => '?',
        '\u{fe5f}' => '#',
        '\u{fe6a}' => '%',
        other => other,
    }
}

/// One layer of encoding less. `strict`: each `%` must begin an escape; below that it may be meant as it stands.
fn decoded(text: &str, strict: bool) -> Result<String, UnsafePath> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars().map(|letter| if folded(letter) == '%' { '%' } else { letter });
    while let Some(letter) = rest.next() {
        if letter != '%' {
            bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let ahead = rest.clone();
        if let Some(byte) = hexadecimal(ahead.clone(), 2) {
            bytes.push(u8::try_from(byte).expect("two digits are a byte"));
            rest.nth(1);
        } else if strict {
            return Err(UnsafePath::Encoding);
        } else if let Some(unit) = wide_escape(ahead) {
            bytes.extend(unit.encode_utf8(&mut [0; 4]).bytes());
            rest.nth(4);
        } else {
            bytes.push(b'%');
        }
    }
    String::from_utf8(bytes).map_err(|_| UnsafePath::Encoding)
}

/// `%u002e`, as JavaScript's `escape` writes it and IIS reads it, behind its `%`.
fn wide_escape(mut text: impl Iterator<Item = char>) -> Option<char> {
    text.next().filter(|letter| letter.eq_ignore_ascii_case(&'u'))?;
    char::from_u32(hexadecimal(text, 4)?)
}

fn hexadecimal(text: impl Iterator<Item = char>, digits: usize) -> Option<u32> {
    let text: String = text.take(digits).collect();
    let good = text.len() == digits && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(&text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ways to climb out of a folder: one for each reader that takes it so.
    const CLIMBS: [&str; 41] = [
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/a/.%2e/b",
        "/a/%2e%2e/b",
        "/a/%2E%2E/b",
        "/a/%252e%252e/b",
        "/a/%25252e%25252e/b",
        "/a/%252525252e/b",
        "/a/..;/b",
        "/a/..;x=1/b",
        "/a/%2e%2e;/b",
        "/a/..%3b/b",
        "/a/..%253b/b",
        "/a;jsessionid=1/b",
        "/a/b;",
        "/a/..%2fb",
        "/a/..%2Fb",
        "/a%2f..%2fb",
        "/a/..%252fb",
        "/a/..%5cb",
        "/a/..\\b",
        "/a/x%5c..%5cb",
        "/a/..%255cb",
        "/a/..%00/b",
        "/a/%00",
        "/a/%250a",
        "/a/%c0%ae%c0%ae/b",
        "/a/%e0%80%ae/b",
        "/a/%c0%af/b",
        "/a/%u002e%u002e/b",
        "/a/%25u002e%25u002e/b",
        "/a/%ef%bc%8e%ef%bc%8e/b",
        "/a/\u{ff0e}\u{ff0e}\u{ff0f}b",
        "/a/%e2%80%a5/b",
        "/a/..%e2%88%95b",
        "/a/...%20/b",
        "/a/..%20/b",
        "/a/.%e2%80%8b./b",
        "/a/%",
        "/a/..%3fx",
    ];

    #[test]
    fn what_climbs_for_any_reader_is_refused() {
        for climbs in CLIMBS {
            assert!(read(climbs).is_err(), "{climbs}: {:?}", read(climbs));
        }
    }

    #[test]
    fn what_clients_send_is_read() {
        for (path, segments) in [
            ("/sharing/rest/search", &["sharing", "rest", "search"][..]),
            ("//sharing//rest/", &["sharing", "rest"]),
            ("/a/Pairwise%20Buffer", &["a", "pairwise buffer"]),
            ("/a/K%C3%B6ln/\u{65e5}\u{672c}", &["a", "k\u{f6}ln", "\u{65e5}\u{672c}"]),
            ("/a/image.v1..2.png", &["a", "image.v1..2.png"]),
            ("/a/.hidden", &["a", ".hidden"]),
            ("/a/100%25", &["a", "100%"]),
            ("/a/a%2520b.png", &["a", "a b.png"]),
            ("/users/ann@example.com/x", &["users", "ann@example.com", "x"]),
        ] {
            let read = read(path).expect(path);
            assert_eq!(read.lenient_segments, segments, "{path}");
            assert!(!read.has_encoded_slash, "{path}");
        }
    }

    #[test]
    fn readers_that_see_something_else_see_it_here() {
        for (path, last) in [
            ("/users/ann/t%61sks", "tasks"),
            ("/users/ann/t%2561sks", "tasks"),
            ("/users/ann/tasks.", "tasks"),
            ("/users/ann/tasks%20", "tasks"),
            ("/users/ann/Tasks", "tasks"),
            ("/users/ann/tasks%3fx", "tasks"),
            ("/users/ann/tasks%23x", "tasks"),
            ("/users/ann/%ef%bd%94asks", "tasks"),
        ] {
            let read = read(path).expect(path);
            assert_eq!(read.lenient_segments.last().map(String::as_str), Some(last), "{path}");
        }
        let hidden = read("/users%2fann%252ftasks").expect("it does not climb");
        assert_eq!(
            (hidden.lenient_segments, hidden.has_encoded_slash),
            (["users", "ann", "tasks"].map(str::to_owned).to_vec(), true)
        );
    }
}
