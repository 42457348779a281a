//! Where probes ask: `/livez`, does the process live; `/readyz`, can it do its work.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use isochrone_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::stop::Stop;
use crate::config::Loaded;
use crate::wiring::{House, Line};

/// How long the store may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Probed {
    store: Arc<dyn Store>,
    line: Line,
    draining: CancellationToken,
}

/// None: the default port is another process's, as where several members of a fleet share a machine.
pub(super) async fn listen(loaded: &Loaded) -> Result<Option<TcpListener>> {
    let address = loaded.config.admin.listen;
    match TcpListener::bind(address).await {
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
    listener: TcpListener,
    house: &House,
    line: &Line,
    stop: &Stop,
) -> impl Future<Output = ()> + use<> {
    let probed =
        Probed { store: Arc::clone(&house.store), line: line.clone(), draining: stop.draining.clone() };
    let router =
        Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready)).with_state(probed);
    let stopped = stop.stopped.clone();
    async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the admin listener failed");
        }
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
