//! Where probes ask: `/livez`, does the process live; `/readyz`, can it do its work; `/metrics`, what has it done;
//! `/log-filter`, what does it log, which can be changed from the same machine.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use isochrone_portal::client_address::TrustedProxies;
use isochrone_store::Store;
use isochrone_telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use super::connections::{ConnectionLimits, Listener, Registry};
use super::stop::Stop;
use crate::config::Loaded;
use crate::logging::LogFilter;
use crate::wiring::{House, Line};

/// How long the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prometheus's text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Probed {
    store: Arc<dyn Store>,
    line: Line,
    draining: CancellationToken,
    metrics: Metrics,
    log_filter: LogFilter,
}

/// None: the default port is another process's, as where several members of a fleet share a machine.
/// It has room of its own: however many connections the portal has, probes are answered.
pub(super) async fn listen(loaded: &Loaded) -> Result<Option<Listener>> {
    let address = loaded.config.admin.listen;
    let connections = Registry::new(ConnectionLimits::admin(), TrustedProxies::none());
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
    house: &House,
    line: &Line,
    log_filter: LogFilter,
    stop: &Stop,
) -> impl Future<Output = ()> + use<> {
    let probed = Probed {
        store: Arc::clone(&house.store),
        line: line.clone(),
        draining: stop.draining.clone(),
        metrics: house.metrics.clone(),
        log_filter,
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/log-filter", get(log_filter_now).put(set_log_filter))
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
async fn set_log_filter(
    State(probed): State<Probed>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    directives: String,
) -> (StatusCode, String) {
    // Where the listener is open to Prometheus, nobody signs in.
    if !peer.ip().to_canonical().is_loopback() {
        return (StatusCode::FORBIDDEN, "the filter is changed from this machine alone\n".to_owned());
    }
    match probed.log_filter.set(directives.trim()) {
        Ok(()) => {
            let filter = probed.log_filter.get();
            tracing::warn!(filter, "the log's filter was changed");
            (StatusCode::OK, format!("{filter}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}

/// A line a part.
async fn ready(State(probed): State<Probed>) -> (StatusCode, String) {
    let store = match tokio::time::timeout(PATIENCE, probed.store.now()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it does not answer".to_owned()),
    };
    let stops = probed.draining.is_cancelled().then(|| "it stops".to_owned());
    let parts = [("store", store), ("queue", probed.line.trouble()), ("process", stops)];
    let troubled = parts.iter().any(|(_, trouble)| trouble.is_some());
    let lines = parts.map(|(part, trouble)| format!("{part}: {}\n", trouble.as_deref().unwrap_or("ok")));
    let status = if troubled { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, lines.concat())
}
