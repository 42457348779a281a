//! The worker: for each type it takes wake-ups while it has free slots, claims their runs and
//! carries them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use isochrone_domain::{Claimant, EpochMillis, RunId, TaskType};
use isochrone_queue::{Consumer, Delivery, Queue};
use isochrone_store::{Claim, Claimed, ItemSource, Store};
use isochrone_telemetry::Metrics;
use object_store::ObjectStore;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::carry::carry;
use crate::leases::{LeaseLength, Leases};
use crate::{BootTime, Executor, STOP_GRACE, StopReason, WorkerConfig};

/// How long the answer to a claim is waited for before the claim is repeated.
const CLAIM_ANSWER: Duration = Duration::from_secs(5);

/// How long a claim is repeated. A store that is away for less says afterwards whether the run is ours: an expired lease
/// of a run that never began counts as a crash.
const CLAIM_FOR: Duration = Duration::from_mins(1);

/// Between two tries at a claim.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// What a worker works with.
pub struct WorkerParts {
    /// The truth about runs.
    pub store: Arc<dyn Store>,
    /// The wake-up line.
    pub queue: Arc<dyn Queue>,
    /// Where runs leave their artifacts.
    pub artifacts: Arc<dyn ObjectStore>,
    /// Where the items are that tasks run.
    pub items: Arc<dyn ItemSource>,
    /// Where it counts what it does.
    pub metrics: Metrics,
    /// Called after each attempt: a retry or a waiting run may be due.
    pub on_finished: Box<dyn Fn() + Send + Sync>,
}

/// Takes a run, claims it, executes it, finishes it.
pub struct Worker {
    parts: WorkerParts,
    executors: BTreeMap<TaskType, Arc<dyn Executor>>,
    config: WorkerConfig,
    leases: Leases,
    attempts: TaskTracker,
    /// When the last heartbeat was sent that came here; 0: none did.
    heartbeat: AtomicI64,
}

impl Worker {
    /// A worker for the types of these executors.
    pub fn new(
        parts: WorkerParts,
        executors: impl IntoIterator<Item = Arc<dyn Executor>>,
        config: WorkerConfig,
    ) -> Arc<Worker> {
        let executors = executors.into_iter().map(|executor| (executor.kind(), executor)).collect();
        let length = LeaseLength {
            on_clock: parts.store.clock().of_real(config.lease),
            real: config.lease,
            trusted: config.trusted_lease(),
            longest_suspension: config.longest_suspension,
        };
        Arc::new(Worker {
            parts,
            executors,
            leases: Leases::new(config.name.clone(), length),
            config,
            attempts: TaskTracker::new(),
            heartbeat: AtomicI64::new(0),
        })
    }

    /// The runs that it carries at the moment.
    pub fn carries(&self) -> Vec<RunId> {
        self.leases.runs()
    }

    /// How many runs it can carry at a time, of each type that it takes.
    pub fn slots(&self) -> BTreeMap<TaskType, u64> {
        self.executors.keys().map(|kind| (*kind, self.config.slots_for(*kind) as u64)).collect()
    }

    /// When the last heartbeat was sent that reached it.
    pub fn heartbeat(&self) -> Option<EpochMillis> {
        let sent = self.heartbeat.load(Ordering::Relaxed);
        (sent > 0).then_some(EpochMillis(sent))
    }

    /// Works until `drain` is cancelled, then takes no new run, gives the running ones the grace time,
    /// tells those that are left to stop, and gives their runs back.
    pub async fn run(self: Arc<Self>, drain: CancellationToken) {
        let takers = TaskTracker::new();
        for kind in self.executors.keys().copied() {
            takers.spawn(Arc::clone(&self).take_all(kind, drain.clone()));
        }
        takers.close();
        let renewing = self.leases.keep_renewing(&self.parts, self.config.renew_every);
        tokio::select! {
            () = renewing => {}
            () = self.take_heartbeats() => {}
            () = self.drained(takers, drain) => {}
        }
    }

    async fn drained(&self, takers: TaskTracker, drain: CancellationToken) {
        drain.cancelled().await;
        takers.wait().await;
        self.attempts.close();
        if !self.attempts.is_empty() {
            tracing::info!(runs = self.attempts.len(), "draining: waiting for running work");
        }
        if tokio::time::timeout(self.config.drain_grace, self.attempts.wait()).await.is_err() {
            self.leases.drain();
            if tokio::time::timeout(STOP_GRACE * 2, self.attempts.wait()).await.is_err() {
                tracing::warn!(runs = self.attempts.len(), "work did not stop; its leases will lapse");
            }
        }
    }

    /// Takes heartbeats for ever; whoever tells of this worker tells of them, too.
    async fn take_heartbeats(&self) {
        loop {
            let taken = async {
                let mut heartbeats = self.parts.queue.heartbeats().await?;
                loop {
                    let sent = heartbeats.next().await?;
                    self.heartbeat.store(sent.0, Ordering::Relaxed);
                }
            };
            let ended: Result<(), isochrone_queue::QueueError> = taken.await;
            if let Err(error) = ended {
                tracing::debug!(%error, "no heartbeats can be taken");
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    /// Takes wake-ups of a type until drained. A consumer that is gone is made anew.
    async fn take_all(self: Arc<Self>, kind: TaskType, drain: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.config.slots_for(kind)));
        while !drain.is_cancelled() {
            let taken = tokio::select! {
                () = drain.cancelled() => return,
                taken = self.take_from_one_consumer(kind, &slots, &drain) => taken,
            };
            if let Err(error) = taken {
                tracing::warn!(%kind, %error, "the queue's consumer is gone; making another");
                tokio::select! {
                    () = drain.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(500)) => {}
                }
            }
        }
    }

    async fn take_from_one_consumer(
        self: &Arc<Self>,
        kind: TaskType,
        slots: &Arc<Semaphore>,
        drain: &CancellationToken,
    ) -> Result<(), isochrone_queue::QueueError> {
        let mut consumer: Box<dyn Consumer> =
            self.parts.queue.consume(kind, self.config.slots_for(kind)).await?;
        loop {
            let slot = Arc::clone(slots).acquire_owned().await.expect("the slots are never closed");
            let delivery = consumer.next().await?;
            if drain.is_cancelled() {
                return delivery.give_back().await;
            }
            self.attempts.spawn(Arc::clone(self).answer(delivery, slot));
        }
    }

    /// Claims a wake-up's run, acknowledges the message at once, and carries the run.
    async fn answer(self: Arc<Self>, delivery: Box<dyn Delivery>, _slot: OwnedSemaphorePermit) {
        let wake_up = delivery.wake_up();
        let Some((claim, trusted_until)) = self.claim(wake_up.run).await else {
            return acknowledged(delivery.give_back().await);
        };
        acknowledged(delivery.ack().await);
        let claimed = match claim {
            Claim::Granted(claimed) => *claimed,
            Claim::Refused(refusal) => {
                tracing::debug!(run_id = %wake_up.run, %refusal, "wake-up dropped");
                return;
            }
        };
        let Some(executor) = self.executors.get(&claimed.run.kind).cloned() else {
            // A message in the wrong line; the lease will lapse and the run goes to its own.
            tracing::error!(run_id = %wake_up.run, kind = %claimed.run.kind, "no executor for this type here");
            return;
        };
        // An error's level: no filter that shows a line of the attempt leaves out whose line it is.
        let span = tracing::error_span!("attempt", run_id = %claimed.run.id, task_id = %claimed.task.id,
            fire_id = %claimed.run.fire, attempt = claimed.run.attempt, worker = %self.config.name);
        self.carry(claimed, executor, trusted_until).instrument(span).await;
    }

    /// The answer to a claim, and until when a lease that it grants is trusted. A claim whose answer was lost may have
    /// been granted: it is repeated as the same one until the store answers. None: it did not for long.
    async fn claim(&self, run: RunId) -> Option<(Claim, BootTime)> {
        let by = Claimant::new(&self.config.name);
        let length = self.leases.length();
        let first = Instant::now();
        loop {
            let asked = BootTime::now();
            let problem = match timeout(CLAIM_ANSWER, self.parts.store.claim(run, &by, length.on_clock)).await
            {
                Ok(Ok(claim)) => return Some((claim, asked + length.trusted)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the store did not answer".to_owned(),
            };
            tracing::warn!(run_id = %run, problem, "the run could not be claimed");
            if first.elapsed() + CLAIM_PAUSE > CLAIM_FOR || self.leases.is_draining() {
                return None;
            }
            sleep(CLAIM_PAUSE).await;
        }
    }

    async fn carry(&self, claimed: Claimed, executor: Arc<dyn Executor>, trusted_until: BootTime) {
        tracing::info!(kind = %claimed.run.kind, "attempt begins");
        let held = self.leases.hold(&claimed.run, trusted_until).await;
        if claimed.run.cancel.is_some() {
            // It has a remote job that is to be told.
            self.leases.stop(claimed.run.id, claimed.run.fence(), StopReason::Cancelled);
        }
        carry(&self.parts, &self.leases, executor, claimed, held).await;
    }
}

fn acknowledged(answer: Result<(), isochrone_queue::QueueError>) {
    if let Err(error) = answer {
        // Redelivered, it is refused by its claim.
        tracing::debug!(%error, "a wake-up could not be acknowledged");
    }
}
