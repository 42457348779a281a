//! What judges strangers' paths, for the fuzz targets in `crates/testkit/fuzz`.

use percent_encoding::percent_decode_str;

use crate::path;

/// A path that is accepted: no reader climbs with it, however often it decodes, and those that see the same segments
/// see them again.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = path::read(text) else { return };
    for segment in &read.lenient_segments {
        assert!(!segment.contains(['/', '\\', ';', '?', '#']), "{segment:?}");
        assert!(!segment.ends_with(['.', ' ']), "{segment:?}");
    }
    let mut seen = text.to_owned();
    for _ in 0..6 {
        for segment in seen.split(['/', '\\', '?', '#']) {
            let name = segment.split(';').next().unwrap_or_default().trim();
            assert!(name != "." && name != "..", "{seen:?} climbs");
        }
        assert!(!seen.contains(['\0', '\r', '\n', ';', '\\']), "{seen:?}");
        let Ok(decoded) = percent_decode_str(&seen).decode_utf8() else { panic!("{seen:?} is no text") };
        let decoded = decoded.into_owned();
        if decoded == seen {
            break;
        }
        seen = decoded;
    }
    // A browser's reader resolves dot segments in several spellings: here it finds none.
    if text.starts_with('/') && !text.starts_with("//") && !text.contains(['?', '#']) {
        let url = url::Url::parse(&format!("https://host{text}")).expect("a path makes a URL");
        let again = path::read(url.path()).expect("it is the same path");
        assert_eq!(again.lenient_segments, read.lenient_segments);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_is_read_without_a_panic() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/fuzz/corpus/path");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        for input in inputs {
            super::path(&std::fs::read(input).unwrap());
        }
    }
}
