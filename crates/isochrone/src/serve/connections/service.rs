//! Tells a connection where its requests are: whose turn it is, the client's or the server's.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use axum_server::accept::Accept;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tower::Service;

use super::connection::Connection;
use super::stream::WatchedStream;

/// Follows the requests of each connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowRequests;

/// A connection's service.
#[derive(Clone, Debug)]
pub(super) struct Followed<S> {
    inner: S,
    connection: Arc<Connection>,
}

impl<S> Accept<WatchedStream, S> for FollowRequests {
    type Stream = WatchedStream;
    type Service = Followed<S>;
    type Future = Ready<io::Result<(WatchedStream, Followed<S>)>>;

    fn accept(&self, stream: WatchedStream, service: S) -> Self::Future {
        let connection = Arc::clone(stream.connection());
        ready(Ok((stream, Followed { inner: service, connection })))
    }
}

impl<S, B> Service<Request<B>> for Followed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.connection.request_began(Instant::now());
        // Made now: a request that is given up is over, too.
        let response = ResponseGuard(Arc::clone(&self.connection));
        let connection = Arc::clone(&self.connection);
        let request = request.map(|inner| Body::new(RequestBody { inner, connection }));
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            Ok(answer.map(|inner| Body::new(ResponseBody { inner, _guard: response })))
        })
    }
}

/// What a client sends: the connection is told while more of it is waited for.
struct RequestBody<B> {
    inner: B,
    connection: Arc<Connection>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.inner).poll_frame(cx);
        let more = match &frame {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(_))) => !this.inner.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => false,
        };
        this.connection.wants_body(more, Instant::now());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.connection.wants_body(false, Instant::now());
    }
}

/// What a client is sent: the connection is told when it is over.
struct ResponseBody {
    inner: Body,
    _guard: ResponseGuard,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Ends the answer when it is dropped.
struct ResponseGuard(Arc<Connection>);

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        self.0.response_ended(Instant::now());
    }
}
