//! A response as it was received, and the texts in it.

use std::io::Read;
use std::time::Duration;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{self, HeaderMap, HeaderName};
use serde_json::Value;

use super::{numbers, words};
use crate::Error;
use crate::http::retry_after;

/// The longest body that is read as a document rather than as a file.
const LONGEST_DOCUMENT: usize = 16 << 20;

/// Of a text that is shown.
const EXCERPT: usize = 16 << 10;

/// What became of a request that was sent once.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// It never reached the server.
    NotSent(Error),
    /// It may have reached the server, which did not answer.
    NoAnswer(Error),
    /// The server answered.
    Answered(JobResponse),
}

/// Why a body is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Incomplete {
    /// It is longer than this many bytes.
    #[error("it has more than {0} bytes")]
    TooLong(usize),
    /// The connection ended within it.
    #[error("{0}")]
    Cut(String),
    /// It is not what its `Content-Encoding` says.
    #[error("its compression can't be undone: {0}")]
    Compression(String),
}

impl From<Incomplete> for Error {
    fn from(why: Incomplete) -> Error {
        match why {
            Incomplete::Cut(why) => Error::Unavailable(why),
            Incomplete::TooLong(_) | Incomplete::Compression(_) => Error::Unreadable(why.to_string()),
        }
    }
}

/// A response as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobResponse {
    /// Of HTTP.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Why the body is not whole, if it is not.
    pub(crate) incomplete: Option<Incomplete>,
}

impl JobResponse {
    /// With a compressed body made plain, `most` bytes at most: some servers compress what nobody asked them to.
    pub(crate) fn decompressed(mut self, most: usize) -> JobResponse {
        let coding = self.header(header::CONTENT_ENCODING).to_ascii_lowercase();
        let mut plain = Vec::new();
        let limit = most as u64 + 1;
        let read = match coding.as_str() {
            "" | "identity" => return self,
            // Something on the way has undone it and left the header.
            _ if self.body.is_empty()
                || matches!(self.body.trim_ascii_start().first(), Some(b'{' | b'[' | b'<')) =>
            {
                return self;
            }
            "gzip" | "x-gzip" => MultiGzDecoder::new(&*self.body).take(limit).read_to_end(&mut plain),
            "deflate" => ZlibDecoder::new(&*self.body).take(limit).read_to_end(&mut plain).or_else(|_| {
                // What some servers take for it (RFC 9110, 8.4.1.2).
                plain.clear();
                DeflateDecoder::new(&*self.body).take(limit).read_to_end(&mut plain)
            }),
            other => {
                let why = Incomplete::Compression(format!("'{}' is unknown here", words::short(other)));
                self.incomplete.get_or_insert(why);
                return self;
            }
        };
        if let Err(error) = read {
            self.incomplete.get_or_insert(Incomplete::Compression(error.to_string()));
        }
        if plain.len() > most {
            plain.truncate(most);
            self.incomplete.get_or_insert(Incomplete::TooLong(most));
        }
        self.body = plain;
        self
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's text; empty where there is none. Headers are Latin-1 where they are not ASCII.
    pub(crate) fn header(&self, name: HeaderName) -> String {
        self.headers.get(name).map(header_text).unwrap_or_default()
    }

    /// The media type alone, in small letters; empty where the server names none.
    pub(crate) fn media_type(&self) -> String {
        let content_type = self.header(header::CONTENT_TYPE);
        content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// When the server wants to be asked again, if it says so.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers)
    }

    /// Whether there is nothing in the body.
    pub(crate) fn is_empty(&self) -> bool {
        without_mark(&self.body).iter().all(u8::is_ascii_whitespace)
    }

    /// The body as text: by its byte order mark, else by the charset that is declared, else as UTF-8, else as
    /// Windows-1252, which is what servers send that declare nothing and have no UTF-8.
    pub(crate) fn text(&self) -> String {
        decoded(&self.body, &self.header(header::CONTENT_TYPE))
    }

    /// What the text begins with, for people.
    pub(crate) fn excerpt(&self) -> String {
        decoded(&self.body[..self.body.len().min(EXCERPT)], &self.header(header::CONTENT_TYPE))
    }

    /// Whether it is meant to be JSON, and is none.
    pub(crate) fn is_broken_json(&self) -> bool {
        let start = without_mark(&self.body).trim_ascii_start();
        let meant = self.media_type().ends_with("json") || matches!(start.first(), Some(b'{' | b'['));
        meant && self.body.len() <= LONGEST_DOCUMENT && self.json().is_none()
    }

    /// The body, if it is JSON: whatever type the server declares.
    pub(crate) fn json(&self) -> Option<Value> {
        if self.incomplete.is_some() || self.body.len() > LONGEST_DOCUMENT {
            return None;
        }
        match serde_json::from_slice(without_mark(&self.body)) {
            Ok(document) if !numbers::has_long_one(&self.body) => Some(document),
            read => numbers::parsed(self.text().trim()).or(read.ok()),
        }
    }
}

/// Without UTF-8's byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn header_text(value: &header::HeaderValue) -> String {
    value
        .to_str()
        .map_or_else(|_| value.as_bytes().iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
        .trim()
        .to_owned()
}

/// Bytes as text, of which `content_type` may declare the charset.
pub(crate) fn decoded(bytes: &[u8], content_type: &str) -> String {
    let declared = content_type.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    });
    let declared = declared.and_then(|name| encoding_rs::Encoding::for_label(name.as_bytes()));
    if let Some((encoding, length)) = encoding_rs::Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0.into_owned();
    }
    if let Some(encoding) = utf_16(bytes).filter(|_| declared.is_none_or(|it| it == encoding_rs::UTF_8)) {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    match (std::str::from_utf8(bytes), declared) {
        // What is declared may be wrong, and UTF-8 is never what it is by chance, unless it is ASCII.
        (Ok(text), Some(encoding)) if encoding.is_ascii_compatible() => text.to_owned(),
        (Ok(text), None) => text.to_owned(),
        (_, encoding) => {
            let encoding =
                encoding.filter(|it| *it != encoding_rs::UTF_8).unwrap_or(encoding_rs::WINDOWS_1252);
            encoding.decode_without_bom_handling(bytes).0.into_owned()
        }
    }
}

/// UTF-16 without a byte order mark, as what a document begins with shows (RFC 4627, 3).
fn utf_16(bytes: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    match bytes {
        [first, 0, second, 0, ..] if *first != 0 && *second != 0 => Some(encoding_rs::UTF_16LE),
        [0, first, 0, second, ..] if *first != 0 && *second != 0 => Some(encoding_rs::UTF_16BE),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A response with these headers.
    pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> JobResponse {
        let named = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                header::HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
            )
        };
        let headers = headers.iter().map(named).collect();
        JobResponse { status, headers, body: body.as_ref().to_vec(), incomplete: None }
    }

    #[test]
    fn texts_are_read_in_the_charset_that_they_have() {
        for (bytes, content_type, expected) in [
            (&b"\xef\xbb\xbf{\"a\":1}"[..], "", "{\"a\":1}"),
            (b"\xff\xfeh\x00i\x00", "", "hi"),
            (b"\xfe\xff\x00h\x00i", "application/json", "hi"),
            (b"fl\xe4che", "text/plain; charset=ISO-8859-1", "fl\u{e4}che"),
            (b"fl\xe4che", "text/plain", "fl\u{e4}che"),
            (b"fl\xc3\xa4che", "text/plain; charset=iso-8859-1", "fl\u{e4}che"),
            (b"fl\xe4che", "text/plain; charset=utf-8", "fl\u{e4}che"),
            (b"{\x00}\x00", "application/json", "{}"),
            (b"\x00{\x00}", "application/json; charset=utf-8", "{}"),
            (b"\x8e\xa9", "text/plain; charset=\"shift_jis\"", "\u{81ea}"),
        ] {
            assert_eq!(decoded(bytes, content_type), expected, "{content_type}: {bytes:?}");
        }
        let bom = response(200, &[], b"\xef\xbb\xbf{\"status\":\"running\"}");
        assert_eq!(bom.json().map(|document| document["status"] == "running"), Some(true));
        let latin = response(200, &[], b"{\"message\":\"gel\xf6scht\"}");
        assert_eq!(latin.json().map(|document| document["message"] == "gel\u{f6}scht"), Some(true));
    }

    #[test]
    fn what_is_compressed_is_made_plain_within_the_limit() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b' '; 100_000]).expect("it fits");
        let bomb = encoder.finish().expect("it fits");
        let plain = response(200, &[("content-encoding", "gzip")], &bomb).decompressed(200_000);
        assert_eq!((plain.body.len(), plain.incomplete), (100_000, None));
        let cut = response(200, &[("content-encoding", "gzip")], &bomb).decompressed(1_000);
        assert!(cut.body.len() == 1_000 && cut.incomplete.is_some());
        let broken = response(200, &[("content-encoding", "gzip")], "no gzip").decompressed(1_000);
        assert!(broken.incomplete.is_some());
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(b"{\"a\":1}").expect("it fits");
        let raw = raw.finish().expect("it fits");
        for (coding, body, expected) in [
            ("deflate", &raw[..], Some("{\"a\":1}")),
            ("gzip", b"{\"a\":1}", Some("{\"a\":1}")),
            ("identity", b"{\"a\":1}", Some("{\"a\":1}")),
            ("br", b"\x0b\x03", None),
        ] {
            let read = response(200, &[("content-encoding", coding)], body).decompressed(1_000);
            assert_eq!(read.incomplete.is_none().then(|| read.text()).as_deref(), expected, "{coding}");
        }
    }
}
