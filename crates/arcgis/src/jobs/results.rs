//! What came of a job: bytes as the server sent them, with the type that they have.

use base64::Engine;
use reqwest::header;

use super::response::JobResponse;
use super::{media, multipart, page, status, words, xml};
use crate::{Error, Result};

/// What came of a job, or why it can't be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The files that it came to.
    pub parts: Vec<Part>,
    /// What of it is missing, and why, for people.
    pub note: Option<String>,
}

/// One of the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// A name that is good for a file: of its type, and unlike the others' names.
    pub name: String,
    /// As the server declares it, with its charset; where it declares none, what the bytes are.
    pub media_type: String,
    /// To the letter.
    pub bytes: Vec<u8>,
}

impl Part {
    /// Whether it is plain JSON, which can stand in the run's result.
    pub fn is_json(&self) -> bool {
        media::ending(&self.media_type) == "json"
    }

    /// The text of a part that is one; none: it is none.
    pub fn text(&self) -> Option<String> {
        let essence = self.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let textual = essence.starts_with("text/") || essence.ends_with("json") || essence.ends_with("xml");
        textual.then(|| super::response::decoded(&self.bytes, &self.media_type))
    }
}

impl Results {
    /// None, for this reason.
    pub fn missing(why: impl Into<String>) -> Results {
        Results { parts: Vec::new(), note: Some(why.into()) }
    }

    /// What the response to a request for results has. An error: it has something else in their place.
    pub(crate) fn read(response: JobResponse) -> Result<Results> {
        if !response.is_success() {
            return Err(super::submit::by_status(&response));
        }
        if let Some(why) = &response.incomplete {
            return Err(why.clone().into());
        }
        if response.status == 204 || response.is_empty() {
            return Ok(Results::missing("the server's results are empty"));
        }
        if let Some(document) = response.json() {
            if let Some(refusal) = words::problem(&document) {
                return Err(Error::told(refusal));
            }
            if status::tells_of_a_job(&document) {
                return Err(Error::Unreadable(format!("it is the state of a job: {}", words::of(&response))));
            }
        }
        if response.is_broken_json() && !media::is_a_file(&response.body) {
            return Err(Error::Unreadable(format!("it is no JSON: {}", words::of(&response))));
        }
        if page::is_page(&response) && page::tells_of_trouble(&response.text()) {
            return Err(Error::Unreadable(format!("it is {}", words::of(&response))));
        }
        if response.body.starts_with(b"<")
            && let Some(exception) = xml::exception(&response.text())
        {
            return Err(Error::Unreadable(exception));
        }
        Ok(Results::of(response))
    }

    /// What the body has.
    pub(crate) fn of(response: JobResponse) -> Results {
        let declared = response.header(header::CONTENT_TYPE);
        let several = response.media_type().starts_with("multipart/");
        let several = several.then(|| multipart::parts(&declared, &response.body)).flatten();
        let parts = if let Some(parts) = several {
            parts.into_iter().enumerate().map(|(number, part)| of_part(number, part)).collect()
        } else {
            let media_type = media::media_type(&declared, &response.body);
            let name = format!("results.{}", media::ending(&media_type));
            vec![Part { name, media_type, bytes: response.body }]
        };
        Results {
            parts: apart(parts),
            note: response.incomplete.map(|why| format!("the results are incomplete: {why}")),
        }
    }
}

fn of_part(number: usize, part: multipart::BodyPart) -> Part {
    let bytes = match part.encoding.as_str() {
        "base64" => {
            let plain: Vec<u8> =
                part.bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            base64::engine::general_purpose::STANDARD.decode(plain).unwrap_or(part.bytes)
        }
        _ => part.bytes,
    };
    let media_type = media::media_type(&part.content_type, &bytes);
    let ending = media::ending(&media_type);
    let name = part.name.as_deref().map(file_name).filter(|name| !name.is_empty());
    let name = match name {
        Some(name) if name.to_ascii_lowercase().ends_with(&format!(".{ending}")) => name,
        Some(name) => format!("{name}.{ending}"),
        None => format!("results-{}.{ending}", number + 1),
    };
    Part { name, media_type, bytes }
}

/// A server's name for a result, as far as it is good for a file.
pub(crate) fn file_name(name: &str) -> String {
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
    let name: String = name.chars().take(64).map(plain).collect();
    name.trim_start_matches('.').to_owned()
}

/// Each with a name of its own.
fn apart(mut parts: Vec<Part>) -> Vec<Part> {
    let mut names = std::collections::BTreeSet::new();
    for (number, part) in parts.iter_mut().enumerate() {
        if !names.insert(part.name.clone()) {
            part.name = format!("{}-{}", number + 1, part.name);
            names.insert(part.name.clone());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::response::tests::response;
    use super::*;

    #[test]
    fn bytes_stay_what_they_are() {
        let tiff = [b'I', b'I', b'*', 0, 0xff, 0xfe, 0x80];
        let read = Results::read(response(200, &[("content-type", "image/tiff; application=geotiff")], tiff));
        let read = read.expect("results");
        assert_eq!((read.parts[0].name.as_str(), &read.parts[0].bytes[..]), ("results.tif", &tiff[..]));
        let two = response(
            200,
            &[("content-type", "multipart/related; boundary=b")],
            b"--b\r\nContent-Type: image/png\r\nContent-ID: <map>\r\n\r\n\x89PNG\r\n--b\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\neyJhIjoxfQ==\r\n--b--",
        );
        let read = Results::read(two).expect("results").parts;
        let names: Vec<&str> = read.iter().map(|part| part.name.as_str()).collect();
        assert_eq!((names, &read[1].bytes[..]), (vec!["map.png", "results-2.json"], &b"{\"a\":1}"[..]));
        let latin = response(200, &[("content-type", "text/plain; charset=iso-8859-1")], b"fl\xe4che");
        let part = &Results::read(latin).expect("results").parts[0];
        assert_eq!((part.text().as_deref(), part.bytes.len()), (Some("fl\u{e4}che"), 6));
    }

    #[test]
    fn what_is_none_is_told() {
        assert!(Results::read(response(204, &[], "")).is_ok_and(|read| read.note.is_some()));
        for (status, body) in [
            (404, "{\"title\":\"ResultNotReady\"}"),
            (500, "<html>Server Error</html>"),
            (200, "<html><title>Sign in</title></html>"),
            (200, "{\"error\":{\"code\":498,\"message\":\"Invalid token.\"}}"),
            (
                200,
                "<ExceptionReport><Exception><ExceptionText>x</ExceptionText></Exception></ExceptionReport>",
            ),
        ] {
            assert!(Results::read(response(status, &[], body)).is_err(), "{body}");
        }
    }
}
