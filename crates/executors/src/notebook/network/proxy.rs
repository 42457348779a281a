//! The HTTP proxy of a notebook: `CONNECT`, and plain HTTP by absolute URL.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::connect::{Duplex, NoConnection, Scheme};
use super::serve::{IDLE, Serving};
use super::splice::splice;

/// How long a request's head may take.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// The most bytes of a head.
const LONGEST_HEAD: usize = 64 << 10;

/// Of one connection, not of the message: RFC 9110, 7.6.1, and those that only proxies know.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A longer or slower body of a refused request is not waited for.
const MOST_DRAINED: usize = 64 << 10;
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

type Body = BoxBody<Bytes, hyper::Error>;
/// What is left to do once the connection is the notebook's own.
type Tunnel = Arc<Mutex<Option<(OnUpgrade, Box<dyn Duplex>)>>>;

/// Answers the requests of one connection.
pub(super) async fn serve(serving: &Arc<Serving>, stream: TcpStream) {
    let tunnel = Tunnel::default();
    let service = hyper::service::service_fn(|request| {
        let (serving, tunnel) = (Arc::clone(serving), Arc::clone(&tunnel));
        async move { Ok::<_, Infallible>(answer(&serving, &tunnel, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a notebook's connection to its proxy ended");
    }
    let opened = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, outside)) = opened
        && let Ok(inside) = upgrade.await
    {
        drop(splice(TokioIo::new(inside), outside, IDLE).await);
    }
}

async fn answer(serving: &Arc<Serving>, tunnel: &Tunnel, request: Request<Incoming>) -> Response<Body> {
    let answered = match *request.method() {
        Method::CONNECT => open(serving, tunnel, request).await,
        _ => forward(serving, request).await,
    };
    answered.unwrap_or_else(|error| told(serving, &error))
}

async fn open(
    serving: &Arc<Serving>,
    tunnel: &Tunnel,
    request: Request<Incoming>,
) -> Result<Response<Body>, NoConnection> {
    let to = connect_target(request.uri()).and_then(|(host, port)| serving.destination(host, port));
    let to = to.ok_or_else(|| NoConnection::Failed("CONNECT names no host and port".to_owned()))?;
    let outside = serving.connector.connect(&to, Scheme::Https).await?;
    *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some((hyper::upgrade::on(request), outside));
    Ok(Response::new(text("")))
}

async fn forward(
    serving: &Arc<Serving>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, NoConnection> {
    let uri = request.uri();
    let to = forward_target(uri).and_then(|(host, port)| serving.destination(host, port));
    let to = to.ok_or_else(|| NoConnection::Failed("this is a proxy: it needs an http:// URL".to_owned()))?;
    let host = uri.authority().and_then(|authority| {
        let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        HeaderValue::from_str(host).ok()
    });
    let outside = match serving.connector.connect(&to, Scheme::Http).await {
        Ok(outside) => outside,
        Err(error) => {
            drain(request.into_body()).await;
            return Err(error);
        }
    };
    let failed = |error: hyper::Error| NoConnection::Failed(format!("{to}: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(outside)).await.map_err(failed)?;
    serving.spawn(async move { drop(connection.await) });
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    strip(request.headers_mut());
    if let Some(host) = host {
        // What is connected to, whatever else the request says.
        request.headers_mut().insert(header::HOST, host);
    }
    let mut response = sender.send_request(request).await.map_err(failed)?;
    strip(response.headers_mut());
    Ok(response.map(BodyExt::boxed))
}

/// The host and port that a `CONNECT` names.
pub(super) fn connect_target(uri: &Uri) -> Option<(&str, u16)> {
    let authority = uri.authority()?;
    Some((authority.host(), authority.port_u16()?))
}

/// The host and port of an `http://` URL.
pub(super) fn forward_target(uri: &Uri) -> Option<(&str, u16)> {
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
    Some((authority.host(), authority.port_u16().unwrap_or(80)))
}

/// Reads the body of a request that is refused: else its connection is closed after an answer that does not say so, and
/// the client's next request on it fails.
async fn drain(body: Incoming) {
    let rest = Limited::new(body, MOST_DRAINED).collect();
    drop(tokio::time::timeout(DRAINED_WITHIN, rest).await);
}

fn strip(headers: &mut hyper::HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The reason stands in the status line, too: of a refused CONNECT, clients show no more.
fn told(serving: &Serving, error: &NoConnection) -> Response<Body> {
    let status = match error {
        NoConnection::Refused(_) => StatusCode::FORBIDDEN,
        NoConnection::Failed(_) => StatusCode::BAD_GATEWAY,
    };
    let why = error.to_string();
    serving.refusals.log(&*why);
    let mut response = Response::new(text(&format!("{why}\n")));
    *response.status_mut() = status;
    if let Ok(reason) = ReasonPhrase::try_from(why.into_bytes()) {
        response.extensions_mut().insert(reason);
    }
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn text(text: &str) -> Body {
    Full::new(Bytes::from(text.to_owned())).map_err(|never| match never {}).boxed()
}
