//! How a simulated portal misbehaves.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use futures::stream::{self, Stream, StreamExt};
use serde_json::json;

const BETWEEN_DRIPS: Duration = Duration::from_millis(100);
const ENDLESS: usize = 10 << 30;
const NESTED: usize = 100_000;
/// JSON that has not begun yet.
static SPACES: [u8; 64 << 10] = [b' '; 64 << 10];

/// How a request is answered wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// HTTP 200 and error 498, whatever the token.
    InvalidToken,
    /// HTTP 200 and error 500.
    ErrorInBody,
    /// HTTP 500 and a page.
    Http500,
    /// HTTP 503, and when to ask again, in seconds.
    Busy(u16),
    /// HTTP 200 and a page.
    Page,
    /// The right answer, so much later.
    Slow(Duration),
    /// A redirect to the same path on `localhost` at this port: another server.
    Redirect(u16),
    /// A redirect to the same path, for ever.
    RedirectLoop,
    /// The connection ends within the answer.
    Cut,
    /// What was asked for is done, and the connection is reset before the answer.
    Reset,
    /// A byte now and then, for ever.
    SlowDrip,
    /// 10 GiB.
    Endless,
    /// JSON that lacks its end.
    Truncated,
    /// JSON in 100 000 levels.
    Nested,
    /// What was asked for is done, and HTTP 504 and a page are the answer.
    GatewayTimeout,
}

/// A fault that waits for its requests.
#[derive(Debug)]
pub(super) struct Planned {
    /// What their paths have in them.
    pub(super) path: String,
    /// Of these, so many are answered rightly before.
    pub(super) after: usize,
    /// So many are answered wrongly.
    pub(super) times: usize,
    pub(super) fault: Fault,
}

impl Planned {
    /// The fault, if this request is one of its own.
    fn strike(&mut self, path: &str) -> Option<Fault> {
        if !path.contains(&self.path) || self.times == 0 {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.fault)
    }
}

/// The fault that a request meets.
pub(super) fn strike(planned: &mut [Planned], path: &str) -> Option<Fault> {
    planned.iter_mut().find_map(|planned| planned.strike(path))
}

/// The answer to a request that may meet a fault; `right`: what it is without one.
pub(super) async fn answer(
    fault: Option<Fault>,
    path: &str,
    right: impl Future<Output = Response>,
) -> Response {
    let Some(fault) = fault else { return right.await };
    if fault == Fault::GatewayTimeout {
        drop(right.await);
        return (StatusCode::GATEWAY_TIMEOUT, Html("<html>Gateway Timeout</html>")).into_response();
    }
    match fault.answer(path).await {
        Some(wrong) => wrong,
        None => right.await,
    }
}

impl Fault {
    /// The wrong answer; none: it is the right one in the end.
    async fn answer(self, path: &str) -> Option<Response> {
        let error = |code: i32, message: &str| {
            axum::Json(json!({"error": {"code": code, "message": message, "details": []}})).into_response()
        };
        Some(match self {
            Fault::InvalidToken => error(498, "Invalid token."),
            Fault::ErrorInBody => error(500, "Unable to complete operation."),
            Fault::Http500 => {
                (StatusCode::INTERNAL_SERVER_ERROR, Html("<html>Server Error</html>")).into_response()
            }
            Fault::Busy(seconds) => {
                let wait = [(header::RETRY_AFTER, seconds.to_string())];
                (StatusCode::SERVICE_UNAVAILABLE, wait, Html("<html>Busy</html>")).into_response()
            }
            Fault::Page => Html("<html><title>Maintenance</title></html>").into_response(),
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                return None;
            }
            // The right answer is never written.
            Fault::GatewayTimeout | Fault::Reset => return None,
            Fault::Redirect(port) => {
                Redirect::temporary(&format!("http://localhost:{port}{path}")).into_response()
            }
            Fault::RedirectLoop => Redirect::temporary(path).into_response(),
            Fault::SlowDrip => streamed(stream::unfold((), async |()| {
                tokio::time::sleep(BETWEEN_DRIPS).await;
                Some((Bytes::from_static(b" "), ()))
            })),
            Fault::Endless => {
                streamed(stream::iter((0..ENDLESS / SPACES.len()).map(|_| Bytes::from_static(&SPACES))))
            }
            Fault::Truncated => Body::from("{\"jobId\": \"j1\", \"jobStatus\": \"esriJobSu").into_response(),
            Fault::Nested => Body::from(format!("{{\"error\": {}", "[".repeat(NESTED))).into_response(),
            Fault::Cut => {
                let begun = stream::iter([Ok(Bytes::from_static(b"{\"total\":"))]);
                let end = stream::once(async {
                    // What has begun is sent before.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(std::io::Error::other("cut"))
                });
                Response::new(Body::from_stream(begun.chain(end)))
            }
        })
    }
}

fn streamed(parts: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    Response::new(Body::from_stream(parts.map(Ok::<_, Infallible>)))
}
