//! What is not ours goes on to the real portal as it came, and its answer back.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Uri};
use axum::response::Response;

use super::{Front, failure};
use crate::answer::{Answer, Format};
use crate::request::{Place, callback_refused};
use crate::routes;

impl Front {
    /// Where in the real portal a request belongs. None: it is ours.
    pub(crate) fn address(&self, uri: &Uri, place: &Place) -> Option<String> {
        let segments: Vec<&str> = place.segments.as_ref()?.iter().map(String::as_str).collect();
        if routes::stays_in_front(&segments) {
            return None;
        }
        let path = uri.path();
        let below_context = path.find("/sharing").or_else(|| path.find("/portaladmin"));
        let path = below_context.map_or("/sharing/rest", |at| &path[at..]);
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        self.relay.address(&format!("{path}{query}"))
    }

    /// Passes a request on.
    pub(crate) async fn pass(&self, request: Request, place: &Place, address: &str) -> Response {
        let (parts, body) = request.into_parts();
        let signs_in = place.segments.as_deref().is_some_and(|path| path == ["oauth2", "authorize"]);
        if parts.method == Method::GET && signs_in {
            // A browser signs in there: that page is full of the portal's own paths.
            return Answer::Redirect(address.to_owned()).respond(Format::Json, place);
        }
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        if form_urlencoded::parse(query).any(|(name, _)| name == "callback") {
            return callback_refused().respond(Format::Json, place);
        }
        let body = reqwest::Body::wrap_stream(body.into_data_stream());
        match self.relay.pass(parts.method, address, &parts.headers, body).await {
            Ok(answer) => axum::http::Response::from(answer).map(Body::new),
            Err(error) => failure(&error).respond(Format::Json, place),
        }
    }
}
