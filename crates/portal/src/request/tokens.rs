//! The token that a request carries, in any of the four places where clients put it.

use axum::http::{HeaderMap, header};

use super::Parameters;
use crate::answer::Failure;

/// No portal's token is longer, in bytes.
const LONGEST: usize = 8 << 10;

/// The request's token. Two different ones are refused: whose request would it be?
pub(crate) fn only_one(
    headers: &HeaderMap,
    query: &Parameters,
    body: &Parameters,
) -> Result<Option<String>, Failure> {
    let bearers = ["x-esri-authorization", header::AUTHORIZATION.as_str()]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .filter_map(|value| bearer(value.to_str().ok()?));
    let mut tokens = bearers.chain(query.given("token")).chain(body.given("token"));
    let first = tokens.next();
    if tokens.any(|token| Some(token) != first) {
        return Err(Failure::new(400, "The request carries two different tokens.").with_detail("token"));
    }
    // Pages repeat it in each of their links.
    if first.is_some_and(|token| token.len() > LONGEST) {
        return Err(Failure::new(498, "Invalid token."));
    }
    Ok(first.map(str::to_owned))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
