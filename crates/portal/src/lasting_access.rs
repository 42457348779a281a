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
