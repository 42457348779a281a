//! What is not ours goes on to the real portal as it came, and its answer back.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::Response;
use futures::StreamExt;

use isochrone_arcgis::{Relay, path};

use super::{Front, failure};
use crate::answer::{Answer, Failure, Format};
use crate::client_address::ClientAddress;
use crate::request::{Pace, PacedBody, Place, callback_refused};
use crate::routes;

impl Front {
    /// Where in the real portal a request belongs. None: it is ours. A path that the portal, or a proxy in front of
    /// it, could take for another one is nobody's.
    pub(crate) fn address(&self, uri: &Uri, place: &Place) -> Result<Option<String>, Failure> {
        let Some(segments) = &place.segments else { return Ok(None) };
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if routes::stays_in_front(&segments) {
            return Ok(None);
        }
        let path = uri.path();
        let below_context = path.find("/sharing").or_else(|| path.find("/portaladmin"));
        let path = below_context.map_or("/sharing/rest", |at| &path[at..]);
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if is_ours_to_others(path) {
            return Err(routes::unknown());
        }
        self.relay.address(&format!("{path}{query}")).map(Some).ok_or_else(routes::unknown)
    }

    /// Passes a request on.
    pub(crate) async fn pass(&self, request: Request, place: &Place, address: &str) -> Response {
        let (mut parts, body) = request.into_parts();
        if !Relay::takes(&parts.method) {
            let refused = Failure::new(405, "Method not allowed.");
            return refused.respond(Format::Json, place);
        }
        let signs_in = place.segments.as_deref().is_some_and(|path| path == ["oauth2", "authorize"]);
        if parts.method == Method::GET && signs_in {
            // A browser signs in there: that page is full of the portal's own paths.
            return Answer::Redirect(address.to_owned()).respond(Format::Json, place);
        }
        // A password in a header would be tried there without being counted here.
        let bearer = |value: &HeaderValue| {
            value.as_bytes().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "))
        };
        if parts.headers.get_all(header::AUTHORIZATION).iter().any(|value| !bearer(value)) {
            parts.headers.remove(header::AUTHORIZATION);
        }
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        if form_urlencoded::parse(query).any(|(name, _)| name == "callback") {
            return callback_refused().respond(Format::Json, place);
        }
        let client = parts.extensions.get().map(|ClientAddress(address)| *address);
        let Some(taken) = self.relays.take(client) else {
            return Failure::busy("Too many requests at once. Try again.").respond(Format::Json, place);
        };
        let body = reqwest::Body::wrap_stream(PacedBody::new(body, Pace::RELAYED).into_stream());
        match self.relay.pass(parts.method, address, &parts.headers, body).await {
            Ok(answer) => axum::http::Response::from(answer).map(|body| {
                // Its place is free when its answer has come to its end.
                let pieces = Body::new(body).into_data_stream();
                Body::from_stream(pieces.inspect(move |_| {
                    let _until_here = &taken;
                }))
            }),
            Err(error) => failure(&error).respond(Format::Json, place),
        }
    }
}

/// Whether a lenient reader of the path finds an operation there that is answered here: the portal would carry out
/// what this one never saw. The form of the portal's sign-in page is sent there: here its passwords would not be counted.
fn is_ours_to_others(path: &str) -> bool {
    path::read(path).is_ok_and(|read| {
        let mut segments = read.lenient_segments.iter().map(String::as_str).peekable();
        let sharing = segments.next() == Some("sharing");
        segments.next_if_eq(&"rest");
        let segments: Vec<&str> = segments.collect();
        sharing && (routes::stays_in_front(&segments) || segments == ["oauth2", "signin"])
    })
}
