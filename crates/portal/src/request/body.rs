//! Reads a body within its limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use super::{Parameters, multipart, urlencoded};
use crate::answer::Failure;

/// The largest body in bytes.
pub(super) const LARGEST: usize = 2 << 20;

/// The largest body with a file, from a user who may add items.
pub(super) const LARGEST_FILE: usize = 64 << 20;

/// How long a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a refused client may still send, in bytes, before its connection is cut.
const DRAINED: usize = 64 << 20;

/// Reads a body into memory; one that is too large is refused before it is there.
pub(super) async fn read(headers: &HeaderMap, body: Body, largest: usize) -> Result<Bytes, Failure> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut stream = body.into_data_stream();
    if announced.is_some_and(|length: u64| length > largest as u64) {
        return Err(refuse(headers, stream, largest));
    }
    let reading = async {
        let mut read = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Failure::new(400, "The body could not be read to its end."))?;
            if read.len() + chunk.len() > largest {
                return Ok(None);
            }
            read.extend_from_slice(&chunk);
        }
        Ok(Some(read.freeze()))
    };
    match tokio::time::timeout(PATIENCE, reading).await {
        Err(_) => Err(Failure::new(408, "The body took too long to arrive.")),
        Ok(Err(failure)) => Err(failure),
        Ok(Ok(Some(read))) => Ok(read),
        Ok(Ok(None)) => Err(refuse(headers, stream, largest)),
    }
}

/// The answer goes out at once. The rest of the body is thrown away behind it: a connection that is closed
/// on unread bytes is reset, and the client might never see the answer.
fn refuse(headers: &HeaderMap, mut rest: BodyDataStream, largest: usize) -> Failure {
    if !headers.contains_key(header::EXPECT) {
        tokio::spawn(tokio::time::timeout(PATIENCE, async move {
            let mut drained = 0;
            while let Some(Ok(chunk)) = rest.next().await {
                drained += chunk.len();
                if drained > DRAINED {
                    break;
                }
            }
        }));
    }
    Failure::new(413, format!("The body is larger than {largest} bytes."))
}

/// The parameters in a body.
pub(crate) async fn parameters(headers: &HeaderMap, body: Bytes) -> Result<Parameters, Failure> {
    if body.is_empty() {
        return Ok(Parameters::default());
    }
    let content_type = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
    let content_type = content_type.unwrap_or("?");
    match content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "" | "application/x-www-form-urlencoded" => urlencoded::read(&body),
        "multipart/form-data" => multipart::read(content_type, body).await,
        _ => Err(Failure::new(
            400,
            "The body must be application/x-www-form-urlencoded or multipart/form-data.",
        )),
    }
}
