//! The connection to an ArcGIS server: TLS, time limits, size limits, no redirects to elsewhere.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest::header::{self, HeaderMap};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, Url};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::jobs::{Exchange, Incomplete, JobResponse, SubmitOutcome, words};
use crate::{Error, Result, answer, observed};

const MIB: usize = 1 << 20;
/// Of a document.
pub(crate) const LARGEST_DOCUMENT: usize = 16 * MIB;
/// Of what came of a job: larger ones are not kept, and the run says so.
pub(crate) const LARGEST_RESULTS: usize = 64 * MIB;
/// A body for which there is always room.
const SMALL: usize = MIB / 4;
/// For all bodies that are longer and are read at the same time: a worker's memory does not depend on what its hundred
/// jobs' servers send.
const ROOM_MIB: u32 = 128;
static ROOM: Semaphore = Semaphore::const_new(ROOM_MIB as usize);
/// Until a connection stands.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Until an answer is there as a whole.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// What a server may ask for: more is the same, and can't be added to anything.
const LONGEST_RETRY: Duration = Duration::from_hours(24 * 365);
/// Redirects that are followed, on the same server.
const REDIRECTS: usize = 5;

/// Whose certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities.
    #[default]
    System,
    /// These authorities (PEM) beside the system's.
    File(PathBuf),
    /// Anybody's: whoever sits on the way reads everything.
    Anybody,
}

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `https://host[:port][/context]`.
    pub url: String,
    /// Whose certificate it may have.
    pub trust: Trust,
    /// How long one request may take; none: a minute.
    pub timeout: Option<Duration>,
}

/// TLS needs to be told which cryptography it is to use, before a client is made.
pub fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error: another thread has chosen meanwhile.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    /// Follows no redirect.
    unredirected: Client,
    /// Without a slash at its end.
    base: String,
}

impl Http {
    pub(crate) fn new(connection: &Connection) -> Result<Http> {
        let client = |redirects: Policy| {
            let timeout = connection.timeout.unwrap_or(ANSWER_WITHIN);
            build(Client::builder().timeout(timeout).redirect(redirects), &connection.trust)
        };
        let (redirected, unredirected) = (client(Policy::custom(same_server))?, client(Policy::none())?);
        Ok(Http { client: redirected, unredirected, base: base(&connection.url)? })
    }

    /// The server's address, without what was secret in it.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    /// The same for what begins something: no redirect of it is followed.
    pub(crate) fn post_here(&self, path: &str) -> RequestBuilder {
        self.unredirected.post(format!("{}{path}", self.base))
    }

    /// To an address that this server gave of itself.
    pub(crate) fn post_to(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }
}

/// The client, once it knows whom it may believe.
pub(crate) fn build(client: ClientBuilder, trust: &Trust) -> Result<Client> {
    choose_cryptography();
    // A redirect's `Referer` would tell its target what the first address was asked, a token in it included.
    let client = client.connect_timeout(CONNECT_WITHIN).referer(false);
    let client = match trust {
        Trust::System => client,
        Trust::File(path) => client.tls_certs_merge(certificates(path)?),
        Trust::Anybody => client.tls_danger_accept_invalid_certs(true),
    };
    client.build().map_err(|error| Error::Config(text(error)))
}

/// Sends a request and gives its answer's text, if it tells of no failure.
pub(crate) async fn document(request: RequestBuilder) -> Result<String> {
    let (status, body) = text_of(request).await?;
    answer::read(status, &body)?;
    Ok(body)
}

/// Sends a request and gives its answer, unread. A server that says when it wants to be asked again has not answered.
pub(crate) async fn answered(request: RequestBuilder) -> Result<Response> {
    not_busy(observed::sent(request).await.map_err(unavailable)?)
}

fn not_busy(response: Response) -> Result<Response> {
    match retry_after(response.headers()) {
        Some(again_in) if matches!(response.status().as_u16(), 429 | 503) => Err(Error::Busy(again_in)),
        _ => Ok(response),
    }
}

async fn text_of(request: RequestBuilder) -> Result<(u16, String)> {
    let response = response(request, LARGEST_DOCUMENT).await?;
    Ok((response.status, response.text()))
}

/// When the server wants to be asked again: seconds, or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let told = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = told.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY));
    }
    let then = httpdate::parse_http_date(told).ok()?;
    Some(then.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST_RETRY))
}

/// Sends a request that begins something, once, and gives what became of it. Redirects are not followed by the client
/// that made the request.
pub(crate) async fn exchanged(request: RequestBuilder, most: usize) -> Exchange {
    match observed::sent(request).await {
        Ok(response) => Exchange::Answered(received(response, most).await),
        Err(error) if error.is_connect() || error.is_builder() => Exchange::NotSent(unavailable(error)),
        Err(error) => Exchange::NoAnswer(unavailable(error)),
    }
}

/// Sends a request that changes nothing, and gives its whole response, whatever it says. A server that says when it
/// wants to be asked again has not answered.
pub(crate) async fn response(request: RequestBuilder, most: usize) -> Result<JobResponse> {
    let response = received(answered(request).await?, most).await;
    match &response.incomplete {
        Some(why) => Err(why.clone().into()),
        None => Ok(response),
    }
}

/// A response with its body, as far as it came, `most` bytes at most.
async fn received(response: Response, most: usize) -> JobResponse {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    let incomplete = read_body(response, most, &mut body).await.err();
    JobResponse { status, headers, body, incomplete }.decompressed(most)
}

/// A submission whose token was refused is an error, so that whoever has another one tries again.
pub(crate) fn token_refused<H>(outcome: SubmitOutcome<H>) -> Result<SubmitOutcome<H>> {
    match outcome {
        SubmitOutcome::NotBegun { error: error @ Error::Token(_), .. } => Err(error),
        outcome => Ok(outcome),
    }
}

/// The same of a response to a request that changes nothing.
pub(crate) fn token_accepted(response: JobResponse) -> Result<JobResponse> {
    match words::refused_token(&response) {
        Some(refusal) => Err(Error::Token(refusal)),
        None => Ok(response),
    }
}

/// Sends a request for a file and gives its bytes, `most` at most. A failure comes as JSON in place of the file:
/// what is asked for must not have ArcGIS's shape of one.
pub(crate) async fn file(request: RequestBuilder, most: usize) -> Result<Vec<u8>> {
    let response = answered(request).await?;
    let status = response.status();
    let body = bytes(response, most).await?;
    let told = match std::str::from_utf8(&body) {
        Ok(text) => answer::read(status.as_u16(), text).map(drop),
        Err(_) if status.is_success() => Ok(()),
        Err(_) => Err(answer::by_status(status.as_u16())),
    };
    match told {
        // A file need not be JSON.
        Err(Error::Unreadable(_)) if status.is_success() => Ok(body),
        Err(error) => Err(error),
        Ok(()) => Ok(body),
    }
}

/// A body, `most` bytes at most.
pub(crate) async fn bytes(response: Response, most: usize) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    read_body(response, most, &mut body).await?;
    Ok(body)
}

/// Reads a body, `most` bytes at most. An error: `body` has what there is of it.
async fn read_body(
    mut response: Response,
    most: usize,
    body: &mut Vec<u8>,
) -> std::result::Result<(), Incomplete> {
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(Incomplete::TooLong(most));
    }
    let mut room = None;
    while let Some(part) =
        response.chunk().await.map_err(|error| Incomplete::Cut(unavailable(error).to_string()))?
    {
        if body.len() + part.len() > most {
            return Err(Incomplete::TooLong(most));
        }
        if body.len() + part.len() > SMALL && room.is_none() {
            room = Some(room_for(most).await);
            // At once: what a growing one leaves behind, the allocator keeps. Only what is written takes memory.
            body.reserve_exact(most - body.len());
        }
        body.extend_from_slice(&part);
    }
    Ok(())
}

/// Waits until a body of `most` bytes may be read beside the others. All of it is taken at once: two that wait for each
/// other's rest would wait for ever.
async fn room_for(most: usize) -> SemaphorePermit<'static> {
    let mib = u32::try_from(most.div_ceil(MIB)).unwrap_or(u32::MAX).min(ROOM_MIB);
    ROOM.acquire_many(mib).await.expect("nobody closes it")
}

/// A redirect to another server would take the token there.
fn same_server(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let asked = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() > REDIRECTS {
        attempt.error("too many redirects")
    } else if asked == Some(attempt.url().origin()) {
        attempt.follow()
    } else {
        attempt.error("it redirects to another server")
    }
}

/// The address to which paths are added.
pub(crate) fn base(url: &str) -> Result<String> {
    let wrong =
        |problem: &str| Error::Config(format!("the URL {problem}; expected https://host[:port][/context]"));
    let url = Url::parse(url.trim()).map_err(|_| wrong("can't be read"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("is neither https nor http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("has a user name or a password in it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let url = url.as_str().trim_end_matches('/');
    // People copy what they see.
    let url =
        ["/sharing/rest", "/sharing", "/home"].iter().find_map(|tail| url.strip_suffix(tail)).unwrap_or(url);
    Ok(url.to_owned())
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>> {
    let unusable =
        |problem: String| Error::Config(format!("the authorities in {} {problem}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable(format!("can't be read: {error}")))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| unusable("are no PEM".to_owned()))?;
    if certificates.is_empty() { Err(unusable("are none".to_owned())) } else { Ok(certificates) }
}

pub(crate) fn unavailable(error: reqwest::Error) -> Error {
    let timeout = error.is_timeout();
    let text = text(error);
    Error::Unavailable(if timeout { format!("no answer in time ({text})") } else { text })
}

/// The error and its causes; never its URL.
fn text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_in_seconds_or_by_a_date() {
        let told = |text: &str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().expect("a header"))]);
            retry_after(&headers)
        };
        assert_eq!(told(" 7 "), Some(Duration::from_secs(7)));
        let in_an_hour = SystemTime::now() + Duration::from_hours(1);
        let until = told(&httpdate::fmt_http_date(in_an_hour)).expect("a date");
        assert!((Duration::from_mins(59)..=Duration::from_hours(1)).contains(&until), "{until:?}");
        assert_eq!(told("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "it is over");
        assert_eq!((told("soon"), told("-1")), (None, None));
        assert_eq!(told("18446744073709551615"), Some(LONGEST_RETRY), "it can be added to");
    }

    #[test]
    fn the_address_is_what_people_copy_of_it() {
        for url in [
            "https://gis.example.com/portal",
            "https://gis.example.com/portal/",
            "https://gis.example.com/portal/sharing/rest",
            " https://gis.example.com/portal/home/ ",
        ] {
            assert_eq!(base(url), Ok("https://gis.example.com/portal".to_owned()));
        }
        assert_eq!(base("http://127.0.0.1:7"), Ok("http://127.0.0.1:7".to_owned()));
        for wrong in
            ["gis.example.com", "ftp://x", "https://ann:secret@x/portal", "https://x/portal?token=secret"]
        {
            let error = base(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
