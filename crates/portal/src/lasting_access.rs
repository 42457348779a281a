//! A long answer goes on for as long as its reader may have it, and not for as long as its connection lives.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use isochrone_domain::RunId;
use isochrone_scheduler::{Submissions, SubmitError};
use tokio::time::Instant;

use crate::serve::Served;
use crate::signin::SignIn;

/// Between two checks.
const EVERY: Duration = Duration::from_secs(3);

/// What a reader has shown of itself.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) token: String,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) referer: Option<String>,
}

/// A reader's access to what a run left, as it was checked last.
pub(crate) struct LastingAccess {
    sign_in: Arc<SignIn>,
    submissions: Arc<Submissions>,
    credentials: Credentials,
    run: RunId,
    next_check: Instant,
}

impl LastingAccess {
    /// Access that has just been checked.
    pub(crate) fn new(served: &Served, credentials: Credentials, run: RunId) -> LastingAccess {
        let (sign_in, submissions) = (Arc::clone(&served.sign_in), Arc::clone(&served.submissions));
        LastingAccess { sign_in, submissions, credentials, run, next_check: Instant::now() + EVERY }
    }

    /// Whether the reader still has access, checked anew every few seconds: the token has not ended, its user is there
    /// and may read the run. What can't be found out now is asked again.
    pub(crate) async fn holds(&mut self) -> bool {
        if Instant::now() < self.next_check {
            return true;
        }
        self.next_check = Instant::now() + EVERY;
        let Credentials { token, ip, referer } = &self.credentials;
        let refused = match self.sign_in.bearer(token, *ip, referer.as_deref()).await {
            Ok(caller) => match self.submissions.run(&caller, self.run).await {
                // A run that was deleted is no secret any more, and its reader is told of its end.
                Ok(_) | Err(SubmitError::NotFound { .. } | SubmitError::Store(_)) => false,
                Err(_) => true,
            },
            Err(failure) => failure.asks_for_token(),
        };
        if refused {
            tracing::info!(run_id = %self.run, "a long answer was ended: its reader has lost access");
        }
        !refused
    }

    /// A body of these bytes that breaks off when access is lost.
    pub(crate) fn body<E>(self, bytes: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Body
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let bytes = Box::pin(bytes);
        Body::from_stream(futures::stream::unfold(Some((self, bytes)), async |reading| {
            let (mut access, mut bytes) = reading?;
            if !access.holds().await {
                return Some((Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)), None));
            }
            let next = bytes.next().await?.map_err(std::io::Error::other);
            Some((next, Some((access, bytes))))
        }))
    }
}

#[cfg(test)]
mod tests {
    use futures::SinkExt;
    use futures::channel::mpsc;
    use isochrone_domain::Limits;
    use isochrone_scheduler::{Quotas, Wake};
    use isochrone_store::Clock;
    use isochrone_store::sqlite::SqliteStore;
    use isochrone_telemetry::Metrics;

    use super::*;

    #[tokio::test]
    async fn a_download_breaks_off_when_its_reader_loses_access() {
        let data = tempfile::TempDir::new().expect("a folder");
        let store: Arc<SqliteStore> =
            Arc::new(SqliteStore::open(data.path(), Clock::SYSTEM).expect("a store"));
        let (metrics, proxies) = (Metrics::new(), crate::client_address::TrustedProxies::none());
        let sign_in = SignIn::new(store.clone(), None, metrics, Arc::default(), proxies);
        let submissions = Submissions::new(store, Limits::default(), Quotas::default(), Wake::new());
        // Nobody has this token: as if it had been revoked since.
        let credentials = Credentials { token: "revoked".to_owned(), ip: None, referer: None };
        let mut access = LastingAccess {
            sign_in: Arc::new(sign_in),
            submissions: Arc::new(submissions),
            credentials,
            run: RunId::from_bytes([1; 16]),
            next_check: Instant::now() + Duration::from_hours(1),
        };
        assert!(access.holds().await, "it was checked just now");
        access.next_check = Instant::now() + Duration::from_millis(50);
        let (mut sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
        let mut body = access.body(receiver).into_data_stream();
        sender.send(Ok(Bytes::from_static(b"first"))).await.expect("it is read");
        assert_eq!(body.next().await.expect("not the end").expect("no error"), "first");
        tokio::time::sleep(Duration::from_millis(60)).await;
        sender.send(Ok(Bytes::from_static(b"secret"))).await.expect("it is read");
        assert!(body.next().await.expect("not a clean end").is_err());
        assert!(body.next().await.is_none());
    }
}
