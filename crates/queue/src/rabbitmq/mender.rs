//! Declares queues again that the broker has lost.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::rabbitmq::keeper::Keeper;
use crate::rabbitmq::topology::{Line, declare};

/// How long a queue stays deleted before it is declared again.
///
/// Its consumers learn of its end only if they are told before there is another of its name: RabbitMQ
/// 3.10 attaches those of a quorum queue to the new one, and then delivers nothing to them.
const SETTLE: Duration = Duration::from_secs(1);

const DECLARE: Duration = Duration::from_secs(10);

/// Declares queues again, each once at a time.
pub(super) struct Mender {
    keeper: Arc<Keeper>,
    pending: Mutex<HashSet<Line>>,
}

impl Mender {
    pub(super) fn new(keeper: Arc<Keeper>) -> Mender {
        Mender { keeper, pending: Mutex::default() }
    }

    /// These queues are gone. In a moment they are there again.
    pub(super) fn mend(self: &Arc<Self>, gone: impl IntoIterator<Item = Line>) {
        for line in gone {
            if self.pending().insert(line) {
                tracing::warn!(queue = %line, "the broker has lost a queue; it is declared again");
                let mender = Arc::clone(self);
                tokio::spawn(async move {
                    sleep(SETTLE).await;
                    mender.declare(line).await;
                    mender.pending().remove(&line);
                });
            }
        }
    }

    /// Declares all queues as soon as the broker can be reached.
    pub(super) async fn declare_once_connected(&self) {
        loop {
            let link = self.keeper.link().await;
            match timeout(DECLARE, declare(&link, Line::all())).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(%error, "the queues could not be declared"),
                Err(_) => link.abandon(),
            }
            sleep(SETTLE).await;
        }
    }

    /// If it fails, whoever misses the queue next tells again.
    async fn declare(&self, line: Line) {
        let Ok(link) = self.keeper.usable() else { return };
        match timeout(DECLARE, declare(&link, [line])).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(queue = %line, %error, "the queue could not be declared"),
            Err(_) => link.abandon(),
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashSet<Line>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
