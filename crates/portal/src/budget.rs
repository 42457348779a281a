//! How much memory the bodies of all requests may take together.
//!
//! What counts is what is held, not what is announced. The first bytes of each body are free: they are bounded by the
//! number of connections, so that a sign-in never waits for somebody's large body. Users have a share that nobody
//! without an account can take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::header;
use axum::response::Response;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of each body, in bytes.
pub(crate) const FREE: usize = 16 << 10;

/// For all who have not shown a good token, in bytes.
const STRANGERS: usize = 8 << 20;

/// For users, in bytes.
const USERS: usize = 64 << 20;

/// For items' data on its way to users, in bytes: it is read into memory, and written as fast as its reader reads.
const DOWNLOADS: usize = 256 << 20;

/// The unit in which it is counted, in bytes.
const UNIT: usize = 1 << 10;

/// How long a body waits for others to be done, in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose bodies share a part of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    Strangers,
    Users,
    Downloads,
}

/// Others hold so much that there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// The budget of a portal.
#[derive(Debug)]
pub(crate) struct Budget {
    strangers: Arc<Semaphore>,
    users: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    patience: Duration,
}

/// Bytes that are held, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    permit: Option<OwnedSemaphorePermit>,
    /// How long they were waited for.
    waited: Duration,
}

impl Default for Budget {
    fn default() -> Budget {
        let share = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Budget {
            strangers: share(STRANGERS),
            users: share(USERS),
            downloads: share(DOWNLOADS),
            patience: PATIENCE,
        }
    }
}

impl Budget {
    /// Adds bytes to what is held. Waits a while for room.
    pub(crate) async fn hold(&self, held: &mut Held, share: Share, bytes: usize) -> Result<(), Exhausted> {
        // Whatever is larger than all of it has it for itself.
        let bytes = if share == Share::Downloads { bytes.min(DOWNLOADS) } else { bytes };
        let units = u32::try_from(bytes.div_ceil(UNIT)).map_err(|_| Exhausted)?;
        let semaphore = match share {
            Share::Strangers => &self.strangers,
            Share::Users => &self.users,
            Share::Downloads => &self.downloads,
        };
        let more = Arc::clone(semaphore).acquire_many_owned(units);
        let began = Instant::now();
        let more = tokio::time::timeout(self.patience.saturating_sub(held.waited), more).await;
        held.waited += began.elapsed();
        let more = more.map_err(|_| Exhausted)?.map_err(|_| Exhausted)?;
        match &mut held.permit {
            Some(permit) => permit.merge(more),
            empty => *empty = Some(more),
        }
        Ok(())
    }
}

impl Held {
    /// A large answer to a large request repeats some of it: the bytes count until its reader has taken them.
    pub(crate) fn by(self, mut response: Response) -> Response {
        if self.permit.is_none() || response.body().size_hint().lower() <= FREE as u64 {
            return response;
        }
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
        }
        response.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |_| {
                let _until_here = &self;
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn strangers_leave_users_their_share() {
        let budget = Budget { patience: Duration::from_millis(20), ..Budget::default() };
        let mut all = Held::default();
        budget.hold(&mut all, Share::Strangers, STRANGERS / 2).await.expect("room");
        budget.hold(&mut all, Share::Strangers, STRANGERS / 2).await.expect("room");
        let mut more = Held::default();
        assert_eq!(budget.hold(&mut more, Share::Strangers, 1).await, Err(Exhausted));
        budget.hold(&mut Held::default(), Share::Users, 1 << 20).await.expect("theirs");
        drop(all);
        budget.hold(&mut more, Share::Strangers, STRANGERS).await.expect("all of it is free again");
    }
}
