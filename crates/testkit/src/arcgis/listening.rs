//! How simulated servers listen: each on a free port, with a state that its handler and its owner share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that listens. Dropped, it is gone.
pub(super) struct Listening<S> {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<S>>,
    serving: JoinHandle<()>,
}

impl<S: Default + Send + 'static> Listening<S> {
    /// A server that answers as `handle` does.
    pub(super) async fn start<F>(
        handle: impl Fn(Arc<Mutex<S>>, Request) -> F + Clone + Send + Sync + 'static,
    ) -> Result<Listening<S>>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, state) = (listener.local_addr()?, Arc::<Mutex<S>>::default());
        let answer = move |State(state): State<Arc<Mutex<S>>>, request: Request| handle(state, request);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        // It ends by being aborted.
        let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Listening { address, state, serving })
    }
}

impl<S> Listening<S> {
    pub(super) fn state(&self) -> MutexGuard<'_, S> {
        lock(&self.state)
    }
}

impl<S> Drop for Listening<S> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A state is good after a panic, too: its handler changes it in single steps.
pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
