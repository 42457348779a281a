//! Answers, written as the client asks: json, pjson or html.

mod failure;
mod form;
mod html;
mod sign_in;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;

pub(crate) use failure::{Failure, Shape, missing};
pub(crate) use sign_in::SignInPage;

use crate::counted::ErrorCode;
use crate::request::{Parameters, Place};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For programs.
    Json,
    /// Indented, for people.
    PrettyJson,
    /// A page: ArcGIS's default.
    Html,
}

impl Format {
    /// The format that the parameters ask for.
    pub(crate) fn of(parameters: &Parameters) -> Result<Format, Failure> {
        match parameters.given("f") {
            Some("json") => Ok(Format::Json),
            Some("pjson") => Ok(Format::PrettyJson),
            Some("html") | None => Ok(Format::Html),
            Some(other) => {
                let other = other.chars().take(20).collect::<String>();
                Err(Failure::parameter("f", format!("is '{other}'; expected html, json or pjson")))
            }
        }
    }

    /// Json, where none is asked for.
    pub(crate) fn or_json(self, parameters: &Parameters) -> Format {
        if parameters.given("f").is_some() { self } else { Format::Json }
    }
}

/// What a successful request is answered with.
pub(crate) enum Answer {
    /// A document in the asked format.
    Document(Document),
    /// Bytes as they are, to be saved.
    File(File),
    /// The browser goes on there.
    Redirect(String),
    /// The page on which a program's user signs in.
    SignIn(SignInPage),
    /// The page that shows a code.
    Approval {
        /// Programs read the code from it.
        title: String,
        /// For people.
        code: String,
    },
}

/// A JSON document, and what its page shows around it.
pub(crate) struct Document {
    body: Box<dyn Written>,
    title: String,
    links: Vec<Link>,
    /// What its page lets people do.
    does: Does,
}

/// What a page lets people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// What its resource can do.
    Operations,
    /// Sign in.
    SignIn,
    /// Read.
    Nothing,
}

/// A way on from a page.
pub(crate) struct Link {
    /// What stands there.
    pub label: String,
    /// The path below the API's root.
    pub path: String,
}

/// Bytes to be saved by a browser, never shown.
pub(crate) struct File {
    /// The name under which it is saved.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub body: Body,
}

/// A value that can still be written in any of the formats.
trait Written: Send {
    fn compact(&self) -> String;
    fn pretty(&self) -> String;
}

impl<T: Serialize + Send> Written for T {
    fn compact(&self) -> String {
        serde_json::to_string(self).expect("answers have text keys and finite numbers")
    }
    fn pretty(&self) -> String {
        serde_json::to_string_pretty(self).expect("answers have text keys and finite numbers")
    }
}

impl Document {
    /// A document with a title for its page.
    pub(crate) fn new(title: impl Into<String>, body: impl Serialize + Send + 'static) -> Document {
        Document { body: Box::new(body), title: title.into(), links: Vec::new(), does: Does::Operations }
    }

    /// Adds a way on from its page.
    pub(crate) fn link(mut self, label: impl Into<String>, path: impl Into<String>) -> Document {
        self.links.push(Link { label: label.into(), path: path.into() });
        self
    }

    /// Lets its page ask for user name and password.
    pub(crate) fn with_sign_in(mut self) -> Document {
        self.does = Does::SignIn;
        self
    }

    /// Its page has no forms.
    fn without_forms(mut self) -> Document {
        self.does = Does::Nothing;
        self
    }

    fn respond(&self, format: Format, place: &Place) -> Response {
        match format {
            Format::Json => text("application/json;charset=utf-8", self.body.compact()),
            Format::PrettyJson => text("text/plain;charset=utf-8", self.body.pretty()),
            Format::Html => html::page(place, &self.title, &self.links, self.does, &self.body.compact()),
        }
    }
}

impl From<Document> for Answer {
    fn from(document: Document) -> Answer {
        Answer::Document(document)
    }
}

impl Answer {
    /// The answer on the wire.
    pub(crate) fn respond(self, format: Format, place: &Place) -> Response {
        match self {
            Answer::Document(document) => document.respond(format, place),
            Answer::File(file) => file.respond(),
            Answer::Redirect(to) => redirect(&to),
            Answer::SignIn(page) => page.respond(place),
            Answer::Approval { title, code } => sign_in::approval(&title, &code),
        }
    }
}

impl Failure {
    /// The failure on the wire: HTTP 200, as ArcGIS's clients expect it, unless they shall come back.
    pub(crate) fn respond(&self, format: Format, place: &Place) -> Response {
        let page = Document::new("Error", self.shape());
        // Whoever came without a good token, or mistyped a password, gets another try.
        let at_sign_in = place.segments.as_deref().is_some_and(|segments| segments == ["generateToken"]);
        let page =
            if self.asks_for_token() || at_sign_in { page.with_sign_in() } else { page.without_forms() };
        let mut response = page.respond(format, place);
        response.extensions_mut().insert(ErrorCode(self.code()));
        if self.is_busy() {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl File {
    pub(crate) fn respond(self) -> Response {
        let content_type = HeaderValue::try_from(self.content_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        // An artifact's name may have folders, which browsers would write into the file's name.
        let name = self.name.rsplit('/').next().unwrap_or_default();
        let name = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        let disposition = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{name}"))
            .expect("percent-encoded text is ASCII");
        with_headers(
            self.body,
            [
                (header::CONTENT_TYPE, content_type),
                (header::CONTENT_LENGTH, self.size.into()),
                (header::CONTENT_DISPOSITION, disposition),
                (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
            ],
        )
    }
}

fn redirect(to: &str) -> Response {
    // Addresses that come so far are plain ASCII.
    let location = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    let mut response = with_headers(Body::empty(), [(header::LOCATION, location)]);
    *response.status_mut() = StatusCode::FOUND;
    response
}

fn text(content_type: &'static str, text: String) -> Response {
    with_headers(text.into(), [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

/// A response with these headers and the ones that every response has.
fn with_headers(body: Body, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Response {
    let mut response = Response::new(body);
    let for_all = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    response.headers_mut().extend(for_all.into_iter().chain(headers));
    response
}
