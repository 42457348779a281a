//! Who asks: the token in `Authorization`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use isochrone_scheduler::Caller;

use super::problem::Problem;
use crate::answer::Failure;
use crate::client_address::ClientAddress;
use crate::lasting_access::Credentials;
use crate::serve::Served;

/// Somebody with a good token. In the query it is not looked for: addresses end up in logs.
pub(super) struct SignedIn(pub(super) Caller);

/// The same with the token, for answers that last.
pub(super) struct LongSignedIn(pub(super) Caller, pub(super) Credentials);

impl FromRequestParts<Arc<Served>> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, served: &Arc<Served>) -> Result<SignedIn, Problem> {
        LongSignedIn::from_request_parts(parts, served).await.map(|LongSignedIn(caller, _)| SignedIn(caller))
    }
}

impl FromRequestParts<Arc<Served>> for LongSignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, served: &Arc<Served>) -> Result<LongSignedIn, Problem> {
        let mut tokens = parts.headers.get_all(header::AUTHORIZATION).iter();
        let token = tokens.next().and_then(|value| bearer(value.to_str().ok()?));
        let token = token.ok_or_else(|| Failure::new(499, "Token Required"))?.to_owned();
        if tokens.next().is_some() {
            return Err(Problem::new(400, "The request has two Authorization headers."));
        }
        let ip = parts.extensions.get().map(|ClientAddress(address)| *address);
        let referer = text(&parts.headers, header::REFERER).map(str::to_owned);
        let caller = served.sign_in.bearer(&token, ip, referer.as_deref()).await?;
        Ok(LongSignedIn(caller, Credentials { token, ip, referer }))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// A header's text.
pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
