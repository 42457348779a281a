//! A request as the handlers see it.

mod body;
mod multipart;
pub(crate) mod origin;
mod pace;
mod parameters;
mod tokens;
mod urlencoded;
mod values;

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};

pub(crate) use body::{Intake, Sender, whole};
pub(crate) use pace::{Pace, PacedBody};
pub(crate) use parameters::{Parameters, Upload};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use urlencoded::read as parameters_of_query;
pub(crate) use values::Limit;

use crate::answer::{Failure, Format};
use crate::budget::Held;
use crate::client_address::ClientAddress;
use crate::{Config, OverTls};

/// Where in the portal a request goes.
pub(crate) struct Place {
    /// The API's root as a path, such as `/portal/sharing/rest`; as browsers see it.
    pub root: String,
    /// The context's root as a URL, such as `https://host/portal`.
    pub base: String,
    /// The decoded segments below the API's root. None: the path is not below it.
    pub segments: Option<Vec<String>>,
    /// The token that a browser came with in the query: the links of its page carry it on.
    pub token: Option<String>,
}

/// A request that was read.
pub(crate) struct Call {
    /// Whether it may change something.
    pub post: bool,
    /// Its parameters; those of the body before those of the query.
    pub parameters: Parameters,
    /// The names that the query gave.
    pub in_query: Vec<String>,
    /// Where it goes.
    pub place: Place,
    /// Where it came from.
    pub ip: Option<IpAddr>,
    /// Its `Referer`.
    pub referer: Option<String>,
    /// The token that it carries.
    pub token: Option<String>,
    /// The memory that its parameters take.
    pub held: Held,
}

/// A request that could not be read, and how to say so.
pub(crate) struct Unread {
    pub failure: Failure,
    pub format: Format,
    pub place: Place,
}

impl Call {
    /// Reads a request, its body included.
    /// `sender` says who sends it: only then is more than a small form read.
    pub(crate) async fn read(
        request: Request,
        config: &Config,
        intake: Intake<'_>,
        sender: impl AsyncFnOnce(&Call) -> Sender,
    ) -> Result<(Call, Format), Unread> {
        let (parts, body) = request.into_parts();
        let place = Place::of(&parts, config);
        let query = urlencoded::read(parts.uri.query().unwrap_or("").as_bytes());
        // Whoever sends something unreadable is a program, unless its query says otherwise.
        let told = query.as_ref().ok().filter(|query| query.given("f").is_some());
        let early = told.and_then(|query| Format::of(query).ok()).unwrap_or(Format::Json);
        let head = Self::head(&parts, query.as_ref().ok(), place);
        let sender = async || sender(&head).await;
        let read = Self::read_parts(&parts, body, query, intake, sender).await;
        let place = head.place;
        match read {
            Ok((mut call, format)) => {
                call.place = place;
                // A form's, or the query's. One in a header is a program's and never put into links.
                call.place.token = call.parameters.given("token").map(str::to_owned);
                Ok((call, format))
            }
            Err(failure) => Err(Unread { failure, format: early, place }),
        }
    }

    /// What is known of a request before its body.
    fn head(parts: &Parts, query: Option<&Parameters>, place: Place) -> Call {
        let none = Parameters::default();
        let token = tokens::only_one(&parts.headers, query.unwrap_or(&none), &none);
        Call {
            post: parts.method == Method::POST,
            token: token.ok().flatten(),
            parameters: none,
            in_query: Vec::new(),
            place,
            ip: ip(parts),
            referer: header_text(&parts.headers, &header::REFERER),
            held: Held::default(),
        }
    }

    async fn read_parts(
        parts: &Parts,
        body: axum::body::Body,
        query: Result<Parameters, Failure>,
        intake: Intake<'_>,
        sender: impl AsyncFnOnce() -> Sender,
    ) -> Result<(Call, Format), Failure> {
        let post = parts.method == Method::POST;
        if !post && parts.method != Method::GET && parts.method != Method::HEAD {
            return Err(Failure::new(405, "Method not allowed: use GET or POST."));
        }
        let query = query?;
        let (sent, held) = if post {
            body::parameters(&parts.headers, body, intake, sender).await?
        } else {
            (Parameters::default(), Held::default())
        };
        let token = tokens::only_one(&parts.headers, &query, &sent)?;
        let in_query = query.names().map(str::to_owned).collect();
        let parameters = sent.over(query)?;
        let format = Format::of(&parameters)?;
        if parameters.given("callback").is_some() {
            return Err(callback_refused());
        }
        let place = Place { root: String::new(), base: String::new(), segments: None, token: None };
        let referer = header_text(&parts.headers, &header::REFERER);
        Ok((Call { post, parameters, in_query, place, ip: ip(parts), referer, token, held }, format))
    }

    /// A change must be a POST: a link or an image must not be able to make one.
    pub(crate) fn must_post(&self) -> Result<(), Failure> {
        if self.post {
            Ok(())
        } else {
            Err(Failure::new(405, "Method not allowed: this operation needs POST."))
        }
    }

    /// The API's URL followed by `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/sharing/rest{path}", self.place.base)
    }
}

impl Place {
    /// The context as a path; empty where there is none.
    pub(crate) fn context(&self) -> &str {
        self.root.trim_end_matches("/sharing/rest")
    }

    /// Where a request goes.
    pub(crate) fn of_request(request: &Request, config: &Config) -> Place {
        Place::of_head(request.uri(), request.headers(), request.extensions().get::<OverTls>(), config)
    }

    /// Where a request goes, by its head.
    pub(crate) fn of(parts: &Parts, config: &Config) -> Place {
        Place::of_head(&parts.uri, &parts.headers, parts.extensions.get::<OverTls>(), config)
    }

    fn of_head(uri: &Uri, headers: &HeaderMap, over_tls: Option<&OverTls>, config: &Config) -> Place {
        let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty()).peekable();
        let context = config.context.trim_matches('/');
        let context = match segments.next_if(|first| *first == context) {
            Some(context) => format!("/{context}"),
            None => String::new(),
        };
        let below = match segments.next() {
            None => Some(Vec::new()),
            Some("sharing") => {
                segments.next_if(|segment| *segment == "rest");
                segments.map(urlencoded::decode_segment).collect()
            }
            // What the Python client asks beside the sharing API.
            Some("portaladmin") if segments.peek().is_none() => Some(vec!["portaladmin".to_owned()]),
            Some(_) => None,
        };
        let (base, prefix) = if let Some(url) = &config.public_url {
            let url = url.trim_end_matches('/');
            // A proxy may have taken this path off; the browser's links need it.
            let host_and_path = url.split_once("://").map_or(url, |(_, rest)| rest);
            let path = host_and_path.find('/').map_or("", |at| &host_and_path[at..]);
            (url.to_owned(), path.to_owned())
        } else {
            let base = match origin::of_request(headers, over_tls, config) {
                Some(origin) => format!("{origin}{context}"),
                None => config.own_url.trim_end_matches('/').to_owned(),
            };
            (base, context)
        };
        Place { root: format!("{prefix}/sharing/rest"), base, segments: below, token: None }
    }
}

/// What whoever asks for JSONP is told.
pub(crate) fn callback_refused() -> Failure {
    let problem = "'callback' is not supported: JSONP would let any web page read the answer.";
    Failure::new(400, problem).about("callback")
}

fn ip(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get().map(|ClientAddress(address)| *address)
}

fn header_text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A small multipart body, for the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn parameters_of_multipart(content_type: &str, body: &[u8]) -> Result<Parameters, Failure> {
    multipart::read(multipart::Boundary::of(content_type)?, body).await
}

/// A multipart body that is read while it comes in these chunks, for the fuzz targets.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn parameters_of_multipart_stream(
    boundary: &str,
    chunks: Vec<bytes::Bytes>,
    uploads: &crate::items::uploads::Uploads,
) -> Result<Parameters, Failure> {
    let boundary = multipart::Boundary::of(&format!("multipart/form-data; boundary={boundary}"))?;
    let chunks = futures::stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>));
    let body = PacedBody::new(axum::body::Body::from_stream(chunks), Pace::READ);
    multipart::read_large(boundary, bytes::Bytes::new(), body, u64::MAX, uploads).await
}
