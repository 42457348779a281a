//! Puts runs that have become due into the outbox, and tells the publishers what is new there.

use std::time::Duration;

use isochrone_store::{OutboxState, StoreError};
use tokio::sync::watch;

use super::{Context, Duty, Look};

/// What other processes put into the outbox is seen so soon.
const LOOK: Duration = Duration::from_millis(1_250);
/// Runs in one step.
const BATCH: u64 = 256;

pub(super) struct QueueDelayed {
    context: Context,
    news: watch::Sender<()>,
    seen: OutboxState,
}

impl QueueDelayed {
    pub(super) fn new(context: Context, news: watch::Sender<()>) -> QueueDelayed {
        QueueDelayed { context, news, seen: OutboxState::default() }
    }
}

impl Duty for QueueDelayed {
    fn name(&self) -> &'static str {
        "queue_delayed"
    }

    async fn look(&mut self) -> Result<Look, StoreError> {
        let store = &self.context.store;
        let state = store.outbox_state().await?;
        let mut did = false;
        if state.delayed.is_some() {
            let now = store.now().await?;
            did = state.delayed.is_some_and(|due| due <= now) && store.queue_delayed(now, BATCH).await? > 0;
        }
        if did || state.last != self.seen.last {
            self.news.send_replace(());
        }
        let until = state.delayed;
        self.seen = state;
        Ok(Look { did, until, within: LOOK })
    }
}
