//! A JSON body, read strictly.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::signed_in::text;
use crate::budget::Held;
use crate::request::whole;
use crate::serve::Served;

/// A body that was read, and a digest of its bytes.
pub(super) struct Sent<T> {
    pub(super) body: T,
    pub(super) digest: String,
    /// The memory that it takes.
    pub(super) _held: Held,
}

impl<T: DeserializeOwned> FromRequest<Arc<Served>> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, served: &Arc<Served>) -> Result<Sent<T>, Problem> {
        let media = text(request.headers(), header::CONTENT_TYPE).unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(&*media, "application/json" | "application/merge-patch+json") {
            return Err(Problem::new(415, "The body must be application/json."));
        }
        // Who sends it was found out before: a body is its handler's last argument.
        let (parts, body) = request.into_parts();
        let sent = whole(&parts.headers, body, &served.budget).await?;
        let body = read(&sent.bytes)?;
        Ok(Sent { body, digest: hex::encode(Sha256::digest(&sent.bytes)), _held: sent.held })
    }
}

pub(super) fn read<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            Problem::field(if path == "." { String::new() } else { path }, error.to_string())
        } else {
            Problem::new(400, format!("The body is no JSON: {error}."))
        }
    })?;
    json.end().map_err(|error| Problem::new(400, format!("The body is no JSON: {error}.")))?;
    Ok(body)
}
