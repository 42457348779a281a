//! A collector of traces. Needs `--features otlp`.

use std::sync::{Arc, Mutex};

use anyhow::Result;

/// Its address, and what it was sent.
pub(super) async fn collector() -> Result<(String, Arc<Mutex<Vec<u8>>>)> {
    let got: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keep = Arc::clone(&got);
    let take = async move |body: axum::body::Bytes| {
        keep.lock().expect("no test panics with it").extend_from_slice(&body);
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let router = axum::Router::new().route("/v1/traces", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, got))
}
