//! Where probes ask: `/livez`, does the process live; `/readyz`, can it do its work; `/metrics`, what has it done;
//! `/log-filter`, what does it log, which can be changed with a token.
//!
//! Whoever changes something shows the token `admin.token`, or the one that is kept in the data directory: whoever may
//! read that may do everything. A token, and no Unix socket, because Landlock keeps notebooks from files, but not
//! from sockets. A browser's request is refused where its page is another's (`Host`, `Origin`).

use std::fmt::Write as _;
use std::future::Future;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use isochrone_portal::client_address::TrustedProxies;
use isochrone_store::clocks::ClockGuard;
use isochrone_store::{Role, Store};
use isochrone_telemetry::Metrics;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use super::connections::{ConnectionLimits, Listener, Registry};
use super::stop::Stop;
use crate::config::Loaded;
use crate::logging::LogFilter;
use crate::wiring::{House, Line};

/// How long the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// In the data directory.
const TOKEN_FILE: &str = "admin.token";

/// Prometheus's text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Probed {
    store: Arc<dyn Store>,
    clocks: Arc<ClockGuard>,
    line: Line,
    /// A portal does without: tasks are made, and schedulers publish their runs.
    needs_queue: bool,
    /// A Redis that may lose what it acknowledged will do.
    allows_weak: bool,
    draining: CancellationToken,
    metrics: Metrics,
    log_filter: LogFilter,
    token: Arc<str>,
}

/// None: the default port is another process's, as where several members of a fleet share a machine.
/// It has room of its own: however many connections the portal has, probes are answered.
pub(super) async fn listen(loaded: &Loaded, metrics: &Metrics) -> Result<Option<Listener>> {
    let address = loaded.config.admin.listen;
    let connections = Registry::new(ConnectionLimits::admin(), TrustedProxies::none(), metrics.clone());
    match Listener::bind(address, &connections).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if loaded.is_default("admin.listen") => {
            tracing::warn!(%address, %error, "no admin listener: set admin.listen to a free port");
            Ok(None)
        }
        Err(error) => {
            Err(error).with_context(|| format!("the admin listener can't have {address} (admin.listen)"))
        }
    }
}

pub(super) fn serve(
    listener: Listener,
    (loaded, roles): (&Loaded, &[Role]),
    house: &House,
    line: &Line,
    log_filter: LogFilter,
    token: Arc<str>,
    stop: &Stop,
) -> impl Future<Output = ()> + use<> {
    let probed = Probed {
        store: Arc::clone(&house.store),
        clocks: Arc::clone(&house.clocks),
        line: line.clone(),
        needs_queue: roles.iter().any(|role| *role != Role::Portal),
        allows_weak: loaded.config.redis.allow_weak_durability,
        draining: stop.draining.clone(),
        metrics: house.metrics.clone(),
        log_filter,
        token,
    };
    let changes = get(log_filter_now)
        .put(set_log_filter)
        .layer(middleware::from_fn_with_state(probed.clone(), only_for_the_operator));
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/log-filter", changes)
        .with_state(probed);
    listener.serve(None, router, stop.stopped.clone())
}

async fn metrics(State(probed): State<Probed>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, TEXT)], probed.metrics.render())
}

async fn log_filter_now(State(probed): State<Probed>) -> String {
    format!("{}\n", probed.log_filter.get())
}

/// The body has the directives, such as `isochrone_worker=debug,info`. A restart forgets them.
async fn set_log_filter(State(probed): State<Probed>, directives: String) -> (StatusCode, String) {
    match probed.log_filter.set(directives.trim()) {
        Ok(()) => {
            let filter = probed.log_filter.get();
            tracing::warn!(filter, "the log's filter was changed");
            (StatusCode::OK, format!("{filter}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}

/// Lets a request through that changes nothing, or shows the token; and none that a foreign page makes.
async fn only_for_the_operator(State(probed): State<Probed>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Err(why) = own_page(headers) {
        return (StatusCode::FORBIDDEN, format!("{why}\n")).into_response();
    }
    if !request.method().is_safe() && !shows(headers, &probed.token) {
        let how = "this needs a token: Authorization: Bearer TOKEN, with admin.token (ISOCHRONE_ADMIN_TOKEN) or what \
                   the file admin.token in the data directory holds\n";
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], how).into_response();
    }
    next.run(request).await
}

/// No page of somebody else's: a name of somebody else's may be made to lead here.
fn own_page(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    let Ok(authority) = host.parse::<Authority>() else { return Err("Host is missing or can't be read") };
    let name = authority.host().trim_matches(['[', ']']);
    let own = name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case(&super::presence::host());
    if !own {
        return Err("Host is neither an address, nor localhost, nor this machine's name");
    }
    match text(header::ORIGIN) {
        Some(origin) if origin.split_once("://").is_none_or(|(_, origin)| origin != host) => {
            Err("Origin is another one than Host")
        }
        _ => Ok(()),
    }
}

fn shows(headers: &HeaderMap, token: &str) -> bool {
    let given =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

/// The configured token; else the data directory's, which is made where it is missing.
pub(super) fn token(loaded: &Loaded, data_dir: &Path) -> Result<Arc<str>> {
    if let Some(token) = &loaded.config.admin.token {
        return Ok(token.reveal().into());
    }
    let file = data_dir.join(TOKEN_FILE);
    if !file.exists() {
        make_token(&file).with_context(|| format!("{} can't be made", file.display()))?;
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} can't be read", file.display()))?;
    match text.trim() {
        token if token.len() >= 32 => Ok(token.into()),
        _ => bail!("{} has no token: remove it, and a start makes a new one", file.display()),
    }
}

/// Whole or not at all, and never in place of another process's.
fn make_token(file: &Path) -> std::io::Result<()> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let new = file.with_extension(format!("token.{}", std::process::id()));
    let _ = std::fs::remove_file(&new);
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(made, "{}", hex::encode(bytes))?;
    made.sync_all()?;
    let linked = std::fs::hard_link(&new, file);
    std::fs::remove_file(&new)?;
    linked.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

/// A line a part; clocks and durability have one only where something is wrong. What no role of this process needs does
/// not count.
async fn ready(State(probed): State<Probed>) -> (StatusCode, String) {
    let store = match tokio::time::timeout(PATIENCE, probed.store.now()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it does not answer".to_owned()),
    };
    let stops = probed.draining.is_cancelled().then(|| "it stops".to_owned());
    let clocks = probed.clocks.disagreement();
    let weak = probed.store.weak_durability();
    let parts = [
        ("store", store, true),
        ("queue", probed.line.trouble(), probed.needs_queue),
        ("process", stops, true),
    ];
    let mut troubled = parts.iter().any(|(_, trouble, counts)| *counts && trouble.is_some());
    let mut lines = parts
        .map(|(part, trouble, counts)| match trouble {
            None => format!("{part}: ok\n"),
            Some(trouble) if counts => format!("{part}: {trouble}\n"),
            Some(trouble) => format!("{part}: {trouble} (this process goes on without)\n"),
        })
        .concat();
    if let Some(disagreement) = &clocks {
        troubled = true;
        writeln!(lines, "clocks: {disagreement}").expect("a text takes everything");
    }
    if let Some(weak) = &weak {
        troubled |= !probed.allows_weak;
        writeln!(lines, "durability: {weak}").expect("a text takes everything");
    }
    let status = if troubled { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a value"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_foreign_page_changes_nothing() {
        let own = super::super::presence::host();
        for good in ["127.0.0.1:9600", "localhost", "[::1]:9600", "10.0.0.5:9600", &*own] {
            assert_eq!(own_page(&headers(good, None)), Ok(()), "{good}");
            assert_eq!(own_page(&headers(good, Some(&format!("http://{good}")))), Ok(()), "{good}");
            for foreign in ["http://evil.example.com", "null", "http://127.0.0.1:1", ""] {
                assert!(own_page(&headers(good, Some(foreign))).is_err(), "{foreign}");
            }
        }
        for foreign in
            ["evil.example.com", "localhost.evil.example.com", "127.0.0.1.evil.example.com", "", "a b"]
        {
            assert!(own_page(&headers(foreign, None)).is_err(), "{foreign}");
        }
        assert!(own_page(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_token_is_shown_whole() {
        let mut given = HeaderMap::new();
        assert!(!shows(&given, "secret"));
        for (value, good) in [
            ("Bearer secret", true),
            ("Bearer secre", false),
            ("Bearer ", false),
            ("secret", false),
            ("Bearer secret ", false),
        ] {
            given.insert(header::AUTHORIZATION, value.parse().expect("a value"));
            assert_eq!(shows(&given, "secret"), good, "{value}");
        }
    }
}
