//! Pages of other sites that ask the portal from a browser (CORS), as ArcGIS lets them.
//!
//! Any site may, unless the operator lists those that may. No cookie is a right here, so that a page can do no more than
//! whoever has its token; only listed sites may send credentials along, which a reverse proxy may want.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use reqwest::Url;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may read of an answer beside what browsers show anyway.
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag, Location, Retry-After, Content-Disposition");
/// Seconds for which a browser need not ask again.
const KEPT: HeaderValue = HeaderValue::from_static("600");
/// More names of headers than any page sends.
const LONGEST: usize = 1_024;

/// A site, as `https://host[:port]`; or any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`
    Any,
    /// This one, as browsers write it.
    Site(String),
}

/// A text that is no [`AllowedOrigin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no origin; expected https://host[:port], or *")]
pub struct InvalidOrigin(String);

impl FromStr for AllowedOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<AllowedOrigin, InvalidOrigin> {
        if text == "*" {
            return Ok(AllowedOrigin::Any);
        }
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.path() == "/"
                && url.username().is_empty()
                && url.password().is_none()
                && !text.contains(['?', '#'])
        });
        let origin = url.map(|url| url.origin().ascii_serialization());
        origin.map(AllowedOrigin::Site).ok_or_else(|| InvalidOrigin(text.to_owned()))
    }
}

impl std::fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AllowedOrigin::Any => "*",
            AllowedOrigin::Site(site) => site,
        })
    }
}

/// What the operator allows, and whether another portal answers for what is not ours.
#[derive(Clone)]
pub(crate) struct Cors {
    pub allowed: Arc<[AllowedOrigin]>,
    pub in_front: bool,
}

impl Cors {
    /// The headers that let a page of this origin read an answer. None: it may not.
    fn grant(&self, origin: &HeaderValue) -> Option<HeaderMap> {
        let sent = origin.to_str().ok()?;
        let listed = |allowed: &AllowedOrigin| matches!(allowed, AllowedOrigin::Site(site) if site == sent);
        let mut headers = HeaderMap::new();
        if self.allowed.iter().any(listed) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        } else if self.allowed.contains(&AllowedOrigin::Any) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            return None;
        }
        Some(headers)
    }

    fn granted(&self, mut answer: Response, origin: &HeaderValue) -> Response {
        if let Some(granted) = self.grant(origin) {
            answer.headers_mut().extend(granted);
            answer.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        answer
    }

    /// The answer to a browser that asks before it sends a request.
    fn preflight(&self, origin: &HeaderValue, asked: &HeaderMap) -> Response {
        let Some(mut headers) = self.grant(origin) else {
            return (StatusCode::FORBIDDEN, "http.allowed_origins does not have this origin").into_response();
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, KEPT);
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(names) = wanted.and_then(names) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        (StatusCode::NO_CONTENT, headers).into_response()
    }
}

/// Names of headers in small letters; none if something else is among them.
fn names(wanted: &HeaderValue) -> Option<HeaderValue> {
    let text = wanted.to_str().ok().filter(|text| text.len() <= LONGEST)?;
    let names: Result<Vec<HeaderName>, _> = text.split(',').map(|name| name.trim().parse()).collect();
    let names: Vec<String> = names.ok()?.iter().map(ToString::to_string).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

/// Lets pages of allowed sites read what they asked for.
pub(crate) async fn allow(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        let mut response = next.run(request).await;
        vary(&mut response);
        return response;
    };
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let preflight = asks.then(|| cors.preflight(&origin, request.headers()));
    let mut response = match preflight {
        Some(answer) if !cors.in_front => answer,
        preflight => {
            let answer = next.run(request).await;
            // A real portal has said itself what it allows.
            let said = answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            if said { answer } else { preflight.unwrap_or_else(|| cors.granted(answer, &origin)) }
        }
    };
    vary(&mut response);
    response
}

/// A cache must not give one site what was said to another.
fn vary(response: &mut Response) {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_site_and_no_more() {
        for (text, origin) in [
            ("*", "*"),
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com/", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
        ] {
            assert_eq!(text.parse::<AllowedOrigin>().map(|origin| origin.to_string()), Ok(origin.to_owned()));
        }
        for wrong in [
            "",
            "app.example.com",
            "https://*.example.com/x",
            "https://a@b",
            "ftp://a",
            "https://a/?",
            "null",
        ] {
            assert!(wrong.parse::<AllowedOrigin>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_names_of_headers_are_repeated() {
        let names = |text: &'static str| names(&HeaderValue::from_static(text));
        assert_eq!(
            names("X-Esri-Authorization, content-type").expect("names"),
            "x-esri-authorization, content-type"
        );
        assert_eq!(names("a b"), None);
        assert_eq!(names(""), None);
    }
}
