//! `multipart/form-data` (RFC 7578) bodies, whose size was limited before.

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream;

use super::Parameters;
use super::parameters::shortened;
use crate::answer::Failure;

/// Reads a body.
pub(crate) async fn read(content_type: &str, body: Bytes) -> Result<Parameters, Failure> {
    let boundary = multer::parse_boundary(content_type).map_err(|error| unreadable(&error))?;
    // A large one is a client's that sends files, and not written by hand.
    let body =
        if body.len() > super::body::LARGEST { body } else { mend_empty_parts(&body, &boundary).into() };
    let once = stream::iter([Ok::<_, Infallible>(body)]);
    let mut multipart = multer::Multipart::new(once, boundary);
    let mut parameters = Parameters::default();
    while let Some(field) = multipart.next_field().await.map_err(|error| unreadable(&error))? {
        let name = field.name().map(str::to_owned);
        let name = name.ok_or_else(|| Failure::new(400, "A part of the multipart body has no name."))?;
        let is_file = field.file_name().is_some() && name == "file";
        let unnamed = field.file_name().is_some_and(str::is_empty);
        let value = field.bytes().await.map_err(|error| unreadable(&error))?;
        // A form on which no file was chosen.
        if is_file && unnamed && value.is_empty() {
            continue;
        }
        if is_file {
            parameters.add_upload(value)?;
            continue;
        }
        let value = String::from_utf8(value.into()).map_err(|_| {
            Failure::new(400, format!("'{}' is not valid UTF-8.", shortened(&name)))
                .with_detail(shortened(&name))
        })?;
        parameters.add(name, value)?;
    }
    Ok(parameters)
}

fn unreadable(error: &multer::Error) -> Failure {
    Failure::new(400, format!("The multipart body can't be read: {}.", shortened(&error.to_string())))
}

/// ArcGIS's reference prints an empty `endDate` whose blank line is also the line end before the next
/// boundary. RFC 2046 wants both; a strict reader would take the following part for the value.
fn mend_empty_parts(body: &[u8], boundary: &str) -> Vec<u8> {
    let delimiter = format!("--{boundary}");
    let mut mended = Vec::with_capacity(body.len() + 64);
    let mut rest = body;
    while let Some(head) = find(rest, delimiter.as_bytes()).map(|at| at + delimiter.len()) {
        let end = find(&rest[head..], b"\r\n\r\n").map_or(rest.len(), |at| head + at + 4);
        mended.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
        if rest.starts_with(delimiter.as_bytes()) {
            mended.extend_from_slice(b"\r\n");
        }
    }
    mended.extend_from_slice(rest);
    mended
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_text(body: &str) -> Result<Parameters, Failure> {
        read("multipart/form-data; boundary=B", Bytes::from(body.replace('\n', "\r\n"))).await
    }

    #[tokio::test]
    async fn an_empty_part_may_lack_its_second_line_end() {
        let part = "Content-Disposition: form-data; name=";
        let body = format!("--B\n{part}\"a\"\n\n--B\n{part}\"b\"\n\n\n--B\n{part}\"c\"\n\nx\n\n--B--\n");
        let parameters = read_text(&body).await.expect("readable");
        assert_eq!(parameters.get("a"), Some(""));
        assert_eq!(parameters.get("b"), Some(""));
        assert_eq!(parameters.get("c"), Some("x\r\n"));
    }

    #[tokio::test]
    async fn a_cut_off_body_is_refused() {
        let whole = "--B\nContent-Disposition: form-data; name=\"a\"\n\nx\n--B--\n";
        assert!(read_text(whole).await.is_ok());
        for cut in 0..whole.len() - 5 {
            assert!(read_text(&whole[..cut]).await.is_err(), "{cut}");
        }
    }
}
