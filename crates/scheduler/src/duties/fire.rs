//! Decides what is due, and keeps it.

use std::time::Duration;

use futures::TryStreamExt;
use isochrone_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::hand_over::{HandOver, Handed};
use super::{Context, Duty, Look, SaidDeferred};
use crate::firing::fire_due;

/// Another process may have made a task, and clocks jump.
const LOOK: Duration = Duration::from_millis(800);

pub(super) struct Fire {
    context: Context,
    hand_over: HandOver,
    shutdown: CancellationToken,
    deferred: SaidDeferred,
}

impl Fire {
    pub(super) fn new(context: Context, hand_over: HandOver, shutdown: CancellationToken) -> Fire {
        Fire { context, hand_over, shutdown, deferred: SaidDeferred::default() }
    }
}

impl Duty for Fire {
    fn name(&self) -> &'static str {
        "fire"
    }

    async fn look(&mut self) -> Result<Look, StoreError> {
        let Context { store, events, metrics, .. } = &self.context;
        let until = store.next_fire().await?;
        if until.is_none_or(|until| store.clock().until(until) > Duration::ZERO) {
            return Ok(Look { did: false, until, within: LOOK });
        }
        let mut kept = Vec::new();
        let fired = async {
            let mut batches = std::pin::pin!(fire_due(&**store, &self.shutdown));
            while let Some(fired) = batches.try_next().await? {
                for event in fired.events() {
                    events.tell(event);
                }
                for (kind, run) in fired.runs() {
                    self.hand_over.hand(kind, Handed { run, due: fired.decided() });
                }
                kept.push(fired);
            }
            Ok::<_, StoreError>(())
        };
        let fired = fired.await;
        let did = kept.iter().any(crate::firing::Fired::any);
        // A line a fire takes a while where there are many: the work comes first.
        for fired in kept {
            fired.tell(metrics);
            tokio::task::yield_now().await;
        }
        self.deferred.say(metrics, self.name(), store.deferred().fires);
        fired?;
        let until = store.next_fire().await?;
        Ok(Look { did, until, within: LOOK })
    }
}
