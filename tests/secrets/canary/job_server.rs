//! A server of tasks' work that knows secrets.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;

use super::canaries::{HANDLE, JOBS_TOKEN};

/// A server that takes jobs, and whose jobs' addresses hold a secret; it repeats a token that it refuses.
pub(super) struct JobServer {
    pub(super) url: String,
    pub(super) orders: Arc<Mutex<Vec<Value>>>,
}

impl JobServer {
    pub(super) async fn start() -> Result<JobServer> {
        let orders: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taken = Arc::clone(&orders);
        let take = async move |request: Request| {
            let token = request.headers().get("authorization").map(|value| value.as_bytes().to_vec());
            let token = String::from_utf8_lossy(&token.unwrap_or_default()).into_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            let order: Value = serde_json::from_slice(&body).unwrap_or_default();
            let refused = order["parameters"]["refused"] == true;
            taken.lock().expect("no test panics with it").push(order);
            if refused || token != format!("Bearer {JOBS_TOKEN}") {
                return (StatusCode::FORBIDDEN, format!("bad token {token}")).into_response();
            }
            (StatusCode::ACCEPTED, [("location", format!("/jobs/1?sig={HANDLE}"))]).into_response()
        };
        let look = async || axum::Json(serde_json::json!({"status": "succeeded", "result": {"pages": 3}}));
        let router = axum::Router::new().route("/jobs", post(take)).route("/jobs/1", get(look));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/jobs", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(JobServer { url, orders })
    }
}
