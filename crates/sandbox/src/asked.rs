//! Requests as the simulated servers see them.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;

/// Of a request's body.
const LARGEST: usize = 16 << 20;

/// A request as a simulated server sees it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) post: bool,
    /// `host:port` as it was asked for.
    pub(super) host: String,
    /// Below the API's root.
    pub(super) path: Vec<String>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) token: Option<String>,
    pub(super) referer: Option<String>,
}

impl Asked {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.parameter(name)?.parse().ok()
    }
}

/// None: it is no request for the API.
pub(super) async fn read(request: Request, root: &str) -> Option<Asked> {
    let path = request.uri().path().strip_prefix(root)?;
    let path = path.split('/').filter(|part| !part.is_empty());
    let path = path.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST).await.ok()?;
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let parameters: BTreeMap<String, String> = form_urlencoded::parse(query)
        .into_owned()
        .chain(form_urlencoded::parse(&body).into_owned())
        .collect();
    let token = bearer(&parts.headers).or_else(|| parameters.get("token").cloned());
    let referer = parts.headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Some(Asked {
        post: parts.method == Method::POST,
        host: host.to_owned(),
        path,
        token,
        referer: referer.map(str::to_owned),
        parameters,
    })
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-esri-authorization").or_else(|| headers.get(header::AUTHORIZATION))?;
    value.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned)
}
