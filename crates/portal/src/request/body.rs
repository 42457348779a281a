//! Reads a body within its limits.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};

use super::multipart::Boundary;
use super::pace::{BrokenBody, Pace, PacedBody};
use super::{Parameters, multipart, urlencoded};
use crate::answer::Failure;
use crate::budget::{Budget, FREE, Held, Share};
use crate::items::uploads::Uploads;

/// The largest body that is held in memory, in bytes.
pub(crate) const LARGEST: usize = 2 << 20;

/// The largest body with a file, from a user who may add items.
const LARGEST_FILE: u64 = 64 << 20;

/// How much memory an upload takes while it is written to the artifact store, in bytes.
const UPLOADING: usize = 3 << 20;

/// How long, and how many bytes, a refused client may still send before its connection is cut.
const DRAINED_FOR: Duration = Duration::from_secs(30);
const DRAINED: usize = 64 << 20;

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Without a good token.
    Stranger,
    /// With one.
    User,
    /// A user who may send a file there.
    Uploader,
}

/// What a body is.
pub(super) enum Kind {
    Urlencoded,
    Multipart(Boundary),
    Unknown,
}

/// Where bodies are read.
#[derive(Clone, Copy)]
pub(crate) struct Intake<'a> {
    pub budget: &'a Budget,
    pub uploads: &'a Uploads,
}

/// A body in memory.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub bytes: Bytes,
    /// As long as this is there, its bytes count.
    pub held: Held,
}

/// What has been read of a body.
enum Read {
    Whole(Whole),
    /// More than is held in memory.
    Large(Whole, PacedBody),
}

impl Kind {
    /// The kind of body that the headers announce.
    pub(super) fn of(headers: &HeaderMap) -> Result<Kind, Failure> {
        let content_type = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
        let content_type = content_type.unwrap_or("?");
        match content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
            "" | "application/x-www-form-urlencoded" => Ok(Kind::Urlencoded),
            "multipart/form-data" => Ok(Kind::Multipart(Boundary::of(content_type)?)),
            _ => Ok(Kind::Unknown),
        }
    }
}

/// Reads the parameters in a body. `sender` is asked only if the body is more than a small form.
pub(super) async fn parameters(
    headers: &HeaderMap,
    body: Body,
    intake: Intake<'_>,
    sender: impl AsyncFnOnce() -> Sender,
) -> Result<(Parameters, Held), Failure> {
    let kind = match Kind::of(headers) {
        // Nothing is read of what can't be.
        Ok(Kind::Unknown) if !body.is_end_stream() => {
            let problem = "The body must be application/x-www-form-urlencoded or multipart/form-data.";
            Err(Failure::new(400, problem))
        }
        kind => kind,
    };
    let kind = match kind {
        Ok(kind) => kind,
        Err(failure) => {
            drain(headers, PacedBody::new(body, Pace::READ));
            return Err(failure);
        }
    };
    let may_be_large = matches!(kind, Kind::Multipart(_));
    let read = read(headers, body, intake.budget, sender, may_be_large).await?;
    let (whole, rest) = match read {
        Read::Whole(whole) => (whole, None),
        Read::Large(first, rest) => (first, Some(rest)),
    };
    let parameters = match (kind, rest) {
        (Kind::Multipart(boundary), Some(rest)) => {
            multipart::read_large(boundary, whole.bytes, rest, LARGEST_FILE, intake.uploads).await?
        }
        _ if whole.bytes.is_empty() => Parameters::default(),
        (Kind::Multipart(boundary), None) => multipart::read(boundary, &whole.bytes).await?,
        (Kind::Urlencoded | Kind::Unknown, _) => urlencoded::read(&whole.bytes)?,
    };
    Ok((parameters, whole.held))
}

/// Reads a body of at most [`LARGEST`] bytes from a user.
pub(crate) async fn whole(headers: &HeaderMap, body: Body, budget: &Budget) -> Result<Whole, Failure> {
    match read(headers, body, budget, async || Sender::User, false).await? {
        Read::Whole(whole) => Ok(whole),
        Read::Large(..) => Err(too_large(LARGEST as u64)),
    }
}

/// Reads a body into memory; one that is too large is refused before it is there, or given back half-read.
async fn read(
    headers: &HeaderMap,
    body: Body,
    budget: &Budget,
    sender: impl AsyncFnOnce() -> Sender,
    may_be_large: bool,
) -> Result<Read, Failure> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let announced: u64 = announced.unwrap_or(0);
    let mut body = PacedBody::new(body, Pace::READ);
    let (mut sender, mut known) = (Some(sender), None);
    if announced > LARGEST as u64 {
        known = Some(ask(&mut sender).await);
        let fits = known == Some(Sender::Uploader) && may_be_large && announced <= LARGEST_FILE;
        if !fits {
            drain(headers, body);
            return Err(too_large(if known == Some(Sender::Uploader) {
                LARGEST_FILE
            } else {
                LARGEST as u64
            }));
        }
    }
    let mut whole = Whole::default();
    // Its room is what counts: memory is taken in steps.
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let length = bytes.len() + chunk.len();
        if length > FREE && known.is_none() {
            known = Some(ask(&mut sender).await);
        }
        let large = length > LARGEST;
        if large && !(known == Some(Sender::Uploader) && may_be_large) {
            drop(bytes);
            drain(headers, body);
            return Err(too_large(LARGEST as u64));
        }
        if length > bytes.capacity() {
            let room = length.next_power_of_two().clamp(1 << 10, LARGEST.max(length));
            let counted = bytes.capacity().max(FREE);
            let more = room.saturating_sub(counted) + if large { UPLOADING } else { 0 };
            let share = if known.is_some_and(|sender| sender != Sender::Stranger) {
                Share::Users
            } else {
                Share::Strangers
            };
            if more > 0 && budget.hold(&mut whole.held, share, more).await.is_err() {
                drop(bytes);
                drain(headers, body);
                return Err(Failure::busy("Too many large requests at once. Try again."));
            }
            bytes.reserve(room - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
        if large {
            whole.bytes = bytes.freeze();
            return Ok(Read::Large(whole, body));
        }
    }
    whole.bytes = bytes.freeze();
    Ok(Read::Whole(whole))
}

/// Asks once.
async fn ask(sender: &mut Option<impl AsyncFnOnce() -> Sender>) -> Sender {
    match sender.take() {
        Some(ask) => ask().await,
        None => Sender::Stranger,
    }
}

fn too_large(largest: u64) -> Failure {
    Failure::new(413, format!("The body is larger than {largest} bytes."))
}

/// The answer goes out at once. The rest of the body is thrown away behind it: a connection that is closed
/// on unread bytes is reset, and the client might never see the answer.
fn drain(headers: &HeaderMap, mut rest: PacedBody) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(DRAINED_FOR, async move {
        let mut drained = 0;
        while let Some(Ok(chunk)) = rest.next().await {
            drained += chunk.len();
            if drained > DRAINED {
                break;
            }
        }
    }));
}

impl From<BrokenBody> for Failure {
    fn from(broken: BrokenBody) -> Failure {
        match broken {
            BrokenBody::CutOff => Failure::new(400, "The body could not be read to its end."),
            BrokenBody::Slow => Failure::new(408, "The body took too long to arrive."),
        }
    }
}
