//! Takes runs from workers that were lost.

use std::time::Duration;

use isochrone_domain::Run;
use isochrone_store::StoreError;
use isochrone_telemetry::AttemptResult;
use tokio::time::Instant;
use tracing::warn;

use super::answered_looks::AnsweredLooks;
use super::{Context, Duty, Look, SaidDeferred};
use crate::event::Event;

/// Short enough that an answered look is never long ago.
const LOOK: Duration = Duration::from_millis(3_500);
/// Attempts in one step.
const BATCH: u64 = 200;

pub(super) struct Expire {
    context: Context,
    looks: Option<AnsweredLooks>,
    deferred: SaidDeferred,
}

impl Expire {
    pub(super) fn new(context: Context) -> Expire {
        Expire { context, looks: None, deferred: SaidDeferred::default() }
    }

    /// The store has answered. Whether a worker that has not renewed its leases is dead.
    fn may_expire(&mut self) -> bool {
        let Some(lease) = self.context.lease else { return true };
        let now = Instant::now();
        let looks = self.looks.get_or_insert_with(|| AnsweredLooks::begin(lease, now));
        looks.answered(now);
        looks.may_expire()
    }
}

impl Duty for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    /// Settles attempts whose lease has ended: their runs go to another worker, by way of the outbox, or end.
    async fn look(&mut self) -> Result<Look, StoreError> {
        let store = self.context.store.clone();
        let until = store.next_expiry().await?;
        let now = store.now().await?;
        let may_expire = self.may_expire();
        if until.is_none_or(|until| until > now) {
            return Ok(Look { did: false, until, within: LOOK });
        }
        if !may_expire {
            return Ok(Look { did: false, until: None, within: LOOK });
        }
        let expired = store.reap(now, BATCH).await?;
        self.deferred.say(&self.context.metrics, "expire", store.deferred().expiries);
        for lost in &expired {
            self.context.metrics.attempt_ended(lost, AttemptResult::Lost);
            let Run { id: run, task, attempt, status, .. } = lost;
            warn!(task_id = %task, run_id = %run, attempt, status = status.wire(), "an attempt lost its lease");
            self.context.events.tell(Event::Reaped { run: *run, status: status.clone() });
        }
        if !expired.is_empty() {
            // They are in the outbox.
            self.context.wake.wake();
        }
        let until = store.next_expiry().await?;
        Ok(Look { did: !expired.is_empty(), until, within: LOOK })
    }
}
