//! `multipart/form-data` (RFC 7578) bodies.
//!
//! A small one is read from memory. Of a large one the file goes to the artifact store while it comes, and nothing else
//! may be large.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use memchr::memmem;

use super::Parameters;
use super::body::LARGEST;
use super::pace::{BrokenBody, PacedBody};
use super::parameters::{Upload, shortened};
use crate::answer::Failure;
use crate::items::uploads::{Incoming, Uploads};

/// What stands between the parts of a body. The longest is 70 characters (RFC 2046, section 5.1.1): looking for it
/// costs no more than the body is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Boundary(String);

/// How much of a large body may be read ahead of a part's data, in bytes: its head, most of all.
const AHEAD: usize = 64 << 10;

/// A large body is handed on in pieces of at most this size, in bytes.
const PIECE: usize = 16 << 10;

impl Boundary {
    /// The one that a content type names.
    pub(super) fn of(content_type: &str) -> Result<Boundary, Failure> {
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            Failure::new(400, "The multipart body has no boundary, or one that can't be read.")
        })?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        if boundary.is_empty()
            || boundary.len() > 70
            || boundary.ends_with(' ')
            || !boundary.bytes().all(allowed)
        {
            let problem =
                "The multipart body's boundary has to be 1 to 70 letters, digits or '()+_,-./:=? (RFC 2046).";
            return Err(Failure::new(400, problem));
        }
        Ok(Boundary(boundary))
    }
}

/// Reads a body that is in memory.
pub(super) async fn read(boundary: Boundary, body: &[u8]) -> Result<Parameters, Failure> {
    let body: Bytes = mend_empty_parts(body, &boundary.0).into();
    let once = stream::iter([Ok::<_, Infallible>(body)]);
    let mut multipart = multer::Multipart::new(once, boundary.0);
    let mut parameters = Parameters::default();
    while let Some(field) = multipart.next_field().await.map_err(|error| unreadable(&error))? {
        let part = Part::of(&field)?;
        let value = field.bytes().await.map_err(|error| unreadable(&error))?;
        if !part.is_file {
            add_text(&mut parameters, part.name, value)?;
        } else if !(part.unnamed && value.is_empty()) {
            parameters.add_upload(Upload::InMemory(value))?;
        }
    }
    Ok(parameters)
}

/// Reads a body of which a beginning has been read, and whose file goes to the artifact store.
pub(super) async fn read_large(
    boundary: Boundary,
    first: Bytes,
    rest: PacedBody,
    largest: u64,
    uploads: &Uploads,
) -> Result<Parameters, Failure> {
    let ahead = Arc::new(AtomicUsize::new(0));
    let body = in_pieces(first, rest, largest, Arc::clone(&ahead));
    let mut multipart = multer::Multipart::new(body, boundary.0);
    let mut parameters = Parameters::default();
    let mut texts = 0;
    loop {
        ahead.store(0, Ordering::Relaxed);
        let Some(mut field) = multipart.next_field().await.map_err(|error| unreadable(&error))? else {
            break;
        };
        let part = Part::of(&field)?;
        let (mut text, mut file) = (BytesMut::new(), None::<Incoming>);
        loop {
            ahead.store(0, Ordering::Relaxed);
            let Some(chunk) = field.chunk().await.map_err(|error| unreadable(&error))? else { break };
            if part.is_file {
                let file = file.get_or_insert_with(|| uploads.begin());
                file.write(&chunk).await?;
                continue;
            }
            texts += chunk.len();
            if texts > LARGEST {
                return Err(Failure::new(
                    413,
                    format!("The body has more than {LARGEST} bytes beside its file."),
                ));
            }
            text.extend_from_slice(&chunk);
        }
        match file {
            Some(file) => parameters.add_upload(Upload::Stored(file.finish().await?))?,
            None if part.is_file && part.unnamed => {}
            None if part.is_file => parameters.add_upload(Upload::InMemory(Bytes::new()))?,
            None => add_text(&mut parameters, part.name, text.freeze())?,
        }
    }
    Ok(parameters)
}

/// What the head of a part says.
struct Part {
    name: String,
    is_file: bool,
    /// A form on which no file was chosen.
    unnamed: bool,
}

impl Part {
    fn of(field: &multer::Field<'_>) -> Result<Part, Failure> {
        let name = field.name().map(str::to_owned);
        let name = name.ok_or_else(|| Failure::new(400, "A part of the multipart body has no name."))?;
        let is_file = field.file_name().is_some() && name == "file";
        Ok(Part { is_file, unnamed: field.file_name().is_some_and(str::is_empty), name })
    }
}

fn add_text(parameters: &mut Parameters, name: String, value: Bytes) -> Result<(), Failure> {
    let value = String::from_utf8(value.into()).map_err(|_| {
        Failure::new(400, format!("'{}' is not valid UTF-8.", shortened(&name))).with_detail(shortened(&name))
    })?;
    parameters.add(name, value)
}

/// Why a large body is not read further.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("{0}")]
    Broken(#[from] BrokenBody),
    #[error("it has more than {0} bytes")]
    Size(u64),
    #[error("a part's head, or what stands before the first part, has more than {AHEAD} bytes")]
    Head,
}

/// The body in small pieces, one each time that it is asked for: the parser takes whatever is there into its memory.
/// `ahead` counts what it took since it was last set to 0.
fn in_pieces(
    first: Bytes,
    rest: PacedBody,
    largest: u64,
    ahead: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, Stopped>> + Send {
    let whole = stream::iter([Ok(first)]).chain(rest.into_stream());
    let pieces = whole.flat_map(|chunk| {
        let pieces: Vec<_> = match chunk {
            Ok(chunk) => (0..chunk.len())
                .step_by(PIECE)
                .map(|at| Ok(chunk.slice(at..chunk.len().min(at + PIECE))))
                .collect(),
            Err(broken) => vec![Err(broken)],
        };
        stream::iter(pieces)
    });
    let mut size = 0;
    let mut pieces = Box::pin(pieces.map(move |piece| {
        let piece = piece?;
        size += piece.len() as u64;
        if size > largest {
            return Err(Stopped::Size(largest));
        }
        if ahead.fetch_add(piece.len(), Ordering::Relaxed) > AHEAD {
            return Err(Stopped::Head);
        }
        Ok(piece)
    }));
    let mut given = false;
    stream::poll_fn(move |cx| {
        if std::mem::take(&mut given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::as_mut(&mut pieces).poll_next(cx);
        given = matches!(next, Poll::Ready(Some(Ok(_))));
        next
    })
}

fn unreadable(error: &multer::Error) -> Failure {
    if let multer::Error::StreamReadFailed(cause) = error {
        match cause.downcast_ref::<Stopped>() {
            Some(Stopped::Broken(broken)) => return (*broken).into(),
            Some(Stopped::Size(_)) => return Failure::new(413, format!("The body is too large: {cause}.")),
            Some(Stopped::Head) => {
                return Failure::new(400, format!("The multipart body can't be read: {cause}."));
            }
            None => {}
        }
    }
    Failure::new(400, format!("The multipart body can't be read: {}.", shortened(&error.to_string())))
}

/// ArcGIS's reference prints an empty `endDate` whose blank line is also the line end before the next
/// boundary. RFC 2046 wants both; a strict reader would take the following part for the value.
fn mend_empty_parts(body: &[u8], boundary: &str) -> Vec<u8> {
    let delimiter = format!("--{boundary}");
    let (delimiters, blank_lines) = (memmem::Finder::new(&delimiter), memmem::Finder::new(b"\r\n\r\n"));
    let mut mended = Vec::with_capacity(body.len() + 64);
    let mut rest = body;
    while let Some(head) = delimiters.find(rest).map(|at| at + delimiter.len()) {
        let end = blank_lines.find(&rest[head..]).map_or(rest.len(), |at| head + at + 4);
        mended.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
        if rest.starts_with(delimiter.as_bytes()) {
            mended.extend_from_slice(b"\r\n");
        }
    }
    mended.extend_from_slice(rest);
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_text(body: &str) -> Result<Parameters, Failure> {
        let boundary = Boundary::of("multipart/form-data; boundary=B").expect("a boundary");
        read(boundary, body.replace('\n', "\r\n").as_bytes()).await
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

    #[test]
    fn a_boundary_is_seventy_characters_of_rfc_2046() {
        let of = |boundary: &str| Boundary::of(&format!("multipart/form-data; boundary={boundary}"));
        for good in ["B", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "\"a b'()+_,-./:=?\"", &"x".repeat(70)] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in ["", "\"\"", "\"a \"", "\"a;b\"", "\"a{b}\"", "\"a\u{e9}\"", &"x".repeat(71)] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(Boundary::of("multipart/form-data").is_err());
        assert!(Boundary::of("multipart/mixed; boundary=B").is_err());
    }

    fn uploads() -> Uploads {
        Uploads::new(Arc::new(object_store::memory::InMemory::new()))
    }

    /// Reads a body as a large one, in chunks of this size.
    async fn read_as_large(body: &[u8], chunk: usize, largest: u64) -> Result<Parameters, Failure> {
        let chunks: Vec<_> =
            body.chunks(chunk).map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))).collect();
        let rest = axum::body::Body::from_stream(stream::iter(chunks));
        let rest = PacedBody::new(rest, super::super::pace::Pace::READ);
        read_large(Boundary("B".to_owned()), Bytes::new(), rest, largest, &uploads()).await
    }

    #[tokio::test]
    async fn a_large_body_is_read_in_pieces() {
        let file: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let part = "Content-Disposition: form-data; name=";
        let head = format!("--B\r\n{part}\"a\"\r\n\r\n1\r\n--B\r\n{part}\"file\"; filename=\"f\"\r\n\r\n");
        let tail = format!("\r\n--B\r\n{part}\"b\"\r\n\r\n2\r\n--B--\r\n");
        let body = [head.as_bytes(), &file, tail.as_bytes()].concat();
        for chunk in [1_000, 65_536, body.len()] {
            let parameters = read_as_large(&body, chunk, 4 << 20).await.expect("readable");
            assert_eq!((parameters.get("a"), parameters.get("b")), (Some("1"), Some("2")));
            let upload = parameters.upload().expect("a file");
            assert_eq!(upload.size(), 3_000_000);
            assert_eq!(upload.bytes().await.expect("stored"), file, "in chunks of {chunk}");
        }
        let refused = read_as_large(&body, 65_536, 1 << 20).await.expect_err("too large");
        assert!(refused.message().contains("more than 1048576 bytes"), "{}", refused.message());
        let cut = read_as_large(&body[..2_000_000], 65_536, 4 << 20).await.expect_err("cut off");
        assert!(cut.message().contains("can't be read"), "{}", cut.message());
    }

    #[tokio::test]
    async fn a_large_body_has_no_large_heads() {
        for begin in ["--B\r\nX: ", "", "--B\r\nContent-Disposition: form-data; name=\"a\"; x=\""] {
            let body = [begin.as_bytes(), &vec![b'x'; 1 << 20]].concat();
            for chunk in [100, 65_536] {
                let refused = read_as_large(&body, chunk, 4 << 20).await.expect_err(begin);
                assert!(refused.message().contains("65536 bytes"), "{}", refused.message());
            }
        }
    }
}
