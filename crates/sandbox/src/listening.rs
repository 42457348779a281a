//! How simulated servers listen: each on a free port, with a state that its handler and its owner share, and with
//! faults that its requests meet.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use std::io;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::connections::{Listener, Resetting};
use super::faults::{self, Fault, Planned};

/// What may be asked of every simulated server.
macro_rules! meets_faults {
    ($server:ty) => {
        impl $server {
            /// Answers requests wrongly whose paths have `path` in them: `times` of them, after `after` good ones.
            pub fn plan_fault(&self, path: &str, after: usize, times: usize, fault: crate::Fault) {
                self.0.plan_fault(path, after, times, fault);
            }

            /// Answers rightly from now on.
            pub fn heal(&self) {
                self.0.heal();
            }

            /// When requests came whose paths have this in them, in order.
            pub fn times(&self, path: &str) -> Vec<std::time::Instant> {
                self.0.times(path)
            }

            /// How many they were.
            pub fn asked(&self, path: &str) -> usize {
                self.0.times(path).len()
            }
        }
    };
}
pub(super) use meets_faults;

/// A server that listens. Dropped, it is gone.
pub(super) struct Listening<S> {
    pub(super) address: SocketAddr,
    pub(super) state: Arc<Mutex<S>>,
    traffic: Arc<Mutex<Traffic>>,
    router: Router,
    /// None: nobody answers there at the moment.
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Traffic {
    /// The paths that were asked for, and when.
    asked: Vec<(String, Instant)>,
    faults: Vec<Planned>,
}

impl<S: Default + Send + 'static> Listening<S> {
    /// A server that answers as `handle` does, but where a fault was planned.
    pub(super) async fn start<F>(
        handle: impl Fn(Arc<Mutex<S>>, Request) -> F + Clone + Send + Sync + 'static,
    ) -> io::Result<Listening<S>>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let (state, traffic) = (Arc::<Mutex<S>>::default(), Arc::<Mutex<Traffic>>::default());
        let (shared, seen) = (Arc::clone(&state), Arc::clone(&traffic));
        let router = Router::new().fallback(
            move |ConnectInfo(connection): ConnectInfo<Resetting>, request: Request| {
                let path = request.uri().path().to_owned();
                let fault = lock(&seen).meets(&path);
                if fault == Some(Fault::Reset) {
                    connection.reset();
                }
                let right = handle(Arc::clone(&shared), request);
                async move { faults::answer(fault, &path, right).await }
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut listening = Listening { address, state, traffic, router, serving: None };
        listening.serve(listener);
        Ok(listening)
    }
}

impl<S> Listening<S> {
    fn serve(&mut self, listener: TcpListener) {
        let service = self.router.clone().into_make_service_with_connect_info::<Resetting>();
        // It ends by being aborted.
        self.serving =
            Some(tokio::spawn(async move { drop(axum::serve(Listener(listener), service).await) }));
    }

    /// Nobody answers there any more.
    pub(super) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            drop(serving.await);
        }
    }

    /// Answers again at the same address, with all that it knew.
    pub(super) async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        self.serve(TcpListener::bind(self.address).await?);
        Ok(())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, S> {
        lock(&self.state)
    }

    /// Answers requests wrongly whose paths have `path` in them: `times` of them, after `after` good ones.
    pub(super) fn plan_fault(&self, path: &str, after: usize, times: usize, fault: Fault) {
        lock(&self.traffic).faults.push(Planned { path: path.to_owned(), after, times, fault });
    }

    /// Answers rightly from now on.
    pub(super) fn heal(&self) {
        lock(&self.traffic).faults.clear();
    }

    /// When requests came whose paths have this in them, in order.
    pub(super) fn times(&self, path: &str) -> Vec<Instant> {
        let traffic = lock(&self.traffic);
        traffic.asked.iter().filter(|(asked, _)| asked.contains(path)).map(|(_, when)| *when).collect()
    }
}

impl Traffic {
    fn meets(&mut self, path: &str) -> Option<Fault> {
        self.asked.push((path.to_owned(), Instant::now()));
        faults::strike(&mut self.faults, path)
    }
}

impl<S> Drop for Listening<S> {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// A state is good after a panic, too: its handler changes it in single steps.
pub(super) fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
