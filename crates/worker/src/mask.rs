//! What must not be told of a run: the secrets that it was given, wherever a text of it is kept.
//!
//! A mask is no wall. It covers what happens by accident: a secret that is printed, raised, quoted as JSON, put into a
//! URL, or encoded in base64. A program that takes a secret apart, or encodes it in another way, gets it past the mask.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use isochrone_domain::redact::{self, MASKED};

/// Shorter secrets stand in too much that is no secret.
pub const SHORTEST_SECRET: usize = 6;

/// Takes secrets out of texts. Clones are cheap.
#[derive(Clone, Default)]
pub struct Mask {
    /// Each secret in each form, the longest first: one may hold another.
    forms: Arc<[String]>,
}

impl Mask {
    /// Masks these secrets: as they are, each of their lines, and as they look in JSON, in a URL and in base64 (alone or
    /// within something longer). Those of less than [`SHORTEST_SECRET`] characters are left out.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Mask {
        let mut all: Vec<String> = Vec::new();
        for secret in secrets {
            // Of one of several lines, each line: logs and notebooks have them one by one.
            let lines = secret.lines().map(str::trim).chain([secret]);
            for text in lines.filter(|line| line.chars().count() >= SHORTEST_SECRET) {
                all.extend(forms(text));
            }
        }
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Mask { forms: all.into() }
    }

    /// Masks what both do.
    pub fn and(&self, other: &Mask) -> Mask {
        let mut all: Vec<String> = self.forms.iter().chain(&*other.forms).cloned().collect();
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Mask { forms: all.into() }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// The length of the longest text that is masked, in bytes.
    pub fn longest(&self) -> usize {
        self.forms.first().map_or(0, String::len)
    }

    /// The text without secrets.
    pub fn text(&self, text: String) -> String {
        let mut masked = text;
        for secret in &*self.forms {
            if masked.contains(secret.as_str()) {
                masked = masked.replace(secret.as_str(), MASKED);
            }
        }
        masked
    }

    /// The same of a text that may have been cut: at its end, a secret's beginning is masked, too.
    pub fn cut_text(&self, text: String) -> String {
        let mut masked = self.text(text);
        let begun = |secret: &String| {
            let lengths =
                (SHORTEST_SECRET..secret.len()).rev().filter(|length| secret.is_char_boundary(*length));
            lengths.into_iter().find(|length| masked.ends_with(&secret[..*length]))
        };
        if let Some(length) = self.forms.iter().filter_map(begun).max() {
            masked.truncate(masked.len() - length);
            masked.push_str(MASKED);
        }
        masked
    }

    /// A line for a run's log, or a reason for people: also without users and tokens in URLs.
    pub fn line(&self, line: String) -> String {
        let line = self.text(line);
        match redact::urls(&line) {
            std::borrow::Cow::Borrowed(_) => line,
            std::borrow::Cow::Owned(masked) => masked,
        }
    }
}

/// A secret as it may stand in texts.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let bytes = secret.as_bytes().escape_ascii().to_string();
    let mut forms = vec![
        secret.to_owned(),
        // As a host's name.
        secret.to_lowercase(),
        json.trim_matches('"').to_owned(),
        ascii_json(secret),
        bytes.clone(),
        // Python escapes only the quotation mark that it takes, if it must.
        bytes.replace("\\\"", "\""),
        bytes.replace("\\\"", "\"").replace("\\'", "'"),
        secret.replace('\\', "\\\\").replace('\'', "\\'"),
        percent_encoded(secret, ""),
        percent_encoded(secret, "/"),
        percent_encoded(secret, "").replace("%20", "+"),
    ];
    forms.extend(in_base64(secret.as_bytes()));
    forms.retain(|form| form.chars().count() >= SHORTEST_SECRET);
    forms
}

/// As Python's `json.dumps` writes it.
fn ascii_json(secret: &str) -> String {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let (mut escaped, mut units) = (String::new(), [0; 2]);
    for c in json.trim_matches('"').chars() {
        if c.is_ascii() {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut units) {
            write!(escaped, "\\u{unit:04x}").expect("a text takes all");
        }
    }
    escaped
}

fn percent_encoded(secret: &str, kept: &str) -> String {
    let mut encoded = String::new();
    for byte in secret.bytes() {
        match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "-._~".contains(c) || kept.contains(c) => encoded.push(c),
            _ => write!(encoded, "%{byte:02X}").expect("a text takes all"),
        }
    }
    encoded
}

/// Alone, and the digits that do not depend on what stands around it: three bytes are four digits, so there are three
/// ways in which it may lie.
fn in_base64(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&STANDARD, &URL_SAFE] {
        forms.push(engine.encode(secret));
        for before in 0..3 {
            let bytes = [&vec![0; before][..], secret].concat();
            let digits = engine.encode(&bytes);
            let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            forms.push(digits[first..end].to_owned());
        }
    }
    forms
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests.
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::new(secrets.iter().copied())
    }

    #[test]
    fn secrets_are_taken_out_of_texts_and_out_of_cut_ones() {
        let mask = mask(&["s3cret-word", "s3cret-word-and-more", "first line\nsecond line"]);
        assert_eq!(mask.text("a s3cret-word-and-more, a s3cret-word".to_owned()), "a ***, a ***");
        assert_eq!(mask.text("second line".to_owned()), "***", "each line of a secret of several");
        assert_eq!(mask.cut_text("it is s3cret-wo".to_owned()), "it is ***");
        assert_eq!(
            mask.cut_text("it is s3c".to_owned()),
            "it is s3c",
            "too little to tell it from other words"
        );
    }

    #[test]
    fn a_secret_is_known_in_other_forms() {
        let secret = "S3cret/\"wörd\" +1";
        let mask = mask(&[secret]);
        for text in [
            serde_json::to_string(secret).unwrap(),
            r#"{"a": "S3cret/\"w\u00f6rd\" +1"}"#.to_owned(),
            r#"b'S3cret/\"w\xc3\xb6rd\" +1'"#.to_owned(),
            r#"b'S3cret/"w\xc3\xb6rd" +1'"#.to_owned(),
            "https://h/?q=S3cret%2F%22w%C3%B6rd%22%20%2B1".to_owned(),
            "https://h/S3cret/%22w%C3%B6rd%22%20%2B1".to_owned(),
            "q=S3cret%2F%22w%C3%B6rd%22+%2B1".to_owned(),
            "s3cret/\"wörd\" +1".to_owned(),
        ] {
            let masked = mask.text(text.clone());
            assert!(masked.contains(MASKED) && !masked.to_lowercase().contains("rd"), "{text}: {masked}");
        }
        for engine in [&STANDARD, &URL_SAFE] {
            for before in ["", "u", "us", "ann:", "user:"] {
                for behind in ["", "x", "yz", "@host"] {
                    let whole = engine.encode(format!("{before}{secret}{behind}"));
                    let masked = mask.text(whole.clone());
                    assert!(masked.contains(MASKED), "{before}{behind}: {masked}");
                    let left = masked.replace(MASKED, "").len();
                    assert!(left <= (before.len() + behind.len()) * 4 / 3 + 8, "{before}{behind}: {masked}");
                }
            }
        }
        assert_eq!(
            self::mask(&["abcdef"]).line("see https://a:b@h/?token=x".to_owned()),
            "see https://***@h/?token=***"
        );
    }

    #[test]
    fn two_masks_are_one() {
        let both = mask(&["first-secret"]).and(&mask(&["second-secret"]));
        assert_eq!(both.text("first-secret second-secret".to_owned()), "*** ***");
        assert!(Mask::default().and(&Mask::default()).is_empty());
    }
}
