//! What is recorded, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use isochrone_domain::{Decision, EpochMillis, Reason, Run, RunStatus, TaskType};
use prometheus::IntGauge;

use crate::labels::{DEFERRING, DUTIES, FIRES, OUTCOMES, fire_outcome};
use crate::{AttemptResult, AuthFailure, ConnectionLimit, Metrics, Published};

/// The label of what belongs to no role.
const NONE: &[&str] = &[];

/// What became of a connection for which there was no room, or of another one in its place.
const REFUSED: &str = "refused";
const EVICTED: &str = "evicted";

/// A run that this worker carries, until it is dropped.
#[must_use]
pub struct InProgress(IntGauge);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What a role begins with: counters that are 0 before anything has happened.
impl Metrics {
    /// A process of this version begins.
    pub fn begin(&self, version: &str) {
        self.0.build_info.with_label_values(&[version]).set(1);
    }

    /// It is a scheduler.
    pub fn begin_scheduler(&self) {
        self.begin_runs();
        for kind in TaskType::ALL.map(TaskType::name) {
            for (outcome, reason) in FIRES {
                self.0.fires.with_label_values(&[kind, outcome, reason.code()]);
            }
            self.0.fire_lateness.with_label_values(&[kind]);
        }
        for result in Published::ALL {
            self.0.publishes.with_label_values(&[result.name()]);
        }
        for duty in DUTIES {
            self.0.duties_failed.with_label_values(&[duty]);
        }
        for duty in DEFERRING {
            self.0.items_deferred.with_label_values(&[duty]);
        }
        self.0.publish_confirm.with_label_values(NONE);
    }

    /// It is a worker with so many slots for these types.
    pub fn begin_worker(&self, slots: &BTreeMap<TaskType, u64>) {
        self.begin_runs();
        for (kind, slots) in slots {
            self.0.worker_slots.with_label_values(&[kind.name()]).set(*slots as i64);
            self.0.in_progress.with_label_values(&[kind.name()]);
            self.0.queue_wait.with_label_values(&[kind.name()]);
            self.0.redelivered.with_label_values(&[kind.name()]);
            self.0.dead_letters.with_label_values(&[kind.name()]);
        }
        self.0.leases_lost.with_label_values(NONE);
        self.0.fenced_writes.with_label_values(NONE);
        self.0.lease_renew.with_label_values(NONE);
    }

    /// It is a portal.
    pub fn begin_portal(&self) {
        for kind in AuthFailure::ALL {
            self.0.auth_failures.with_label_values(&[kind.name()]);
        }
        for limit in ConnectionLimit::ALL {
            for result in [EVICTED, REFUSED] {
                self.0.connections_refused.with_label_values(&[limit.name(), result]);
            }
        }
    }

    /// It asks servers of these kinds.
    pub fn begin_upstream(&self, kinds: &[&str]) {
        for kind in kinds {
            for class in ["2xx", "3xx", "4xx", "5xx", "none"] {
                self.0.upstream_requests.with_label_values(&[*kind, class]);
            }
        }
    }

    /// It speaks to a broker, or has its queue inside.
    pub fn begin_queue(&self) {
        self.0.reconnects.with_label_values(NONE);
    }

    fn begin_runs(&self) {
        for kind in TaskType::ALL.map(TaskType::name) {
            for outcome in OUTCOMES {
                self.0.runs.with_label_values(&[kind, outcome.name()]);
            }
            for result in AttemptResult::ALL {
                self.0.attempts.with_label_values(&[kind, result.name()]);
            }
            self.0.retries.with_label_values(&[kind]);
        }
    }
}

/// Fires and runs.
impl Metrics {
    /// A planned fire was decided, so long after its minute on the store's clock.
    pub fn fire_decided(&self, kind: TaskType, decision: Decision, reason: Reason, late_ms: i64) {
        let outcome = fire_outcome(decision, reason);
        self.0.fires.with_label_values(&[kind.name(), outcome, reason.code()]).inc();
        if decision == Decision::Skip {
            // Its run ended with it.
            self.0.runs.with_label_values(&[kind.name(), "skipped"]).inc();
        } else {
            self.0.fire_lateness.with_label_values(&[kind.name()]).observe(seconds(late_ms));
        }
    }

    /// A worker begins its first attempt at a run.
    pub fn run_started(&self, run: &Run) {
        if let Some(started) = run.started.filter(|_| run.attempt == 1) {
            let waited = seconds(started.since(run.created));
            self.0.queue_wait.with_label_values(&[run.kind.name()]).observe(waited);
        }
    }

    /// A worker carries a run.
    pub fn run_in_progress(&self, kind: TaskType) -> InProgress {
        let gauge = self.0.in_progress.with_label_values(&[kind.name()]);
        gauge.inc();
        InProgress(gauge)
    }

    /// An attempt ended and left its run like this.
    pub fn attempt_ended(&self, run: &Run, result: AttemptResult) {
        let kind = run.kind.name();
        self.0.attempts.with_label_values(&[kind, result.name()]).inc();
        if result == AttemptResult::Failed && !run.status.ended() {
            self.0.retries.with_label_values(&[kind]).inc();
        }
        self.run_ended(run);
    }

    /// A run is like this now, and was not ended before.
    pub fn run_ended(&self, run: &Run) {
        let RunStatus::Ended { outcome, at, .. } = run.status else { return };
        let labels = [run.kind.name(), outcome.name()];
        self.0.runs.with_label_values(&labels).inc();
        if let Some(started) = run.started {
            self.0.run_duration.with_label_values(&labels).observe(seconds(at.since(started)));
        }
        if outcome == isochrone_domain::Outcome::Succeeded {
            self.0.last_success.with_label_values(&[run.kind.name()]).set(moment(at));
        }
    }

    /// An attempt was abandoned, because its lease was lost.
    pub fn lease_lost(&self) {
        self.0.leases_lost.with_label_values(NONE).inc();
    }

    /// The store refused a write of an attempt that had lost its run.
    pub fn write_fenced(&self) {
        self.0.fenced_writes.with_label_values(NONE).inc();
    }

    /// A look of this duty of the scheduler failed.
    pub fn duty_failed(&self, duty: &str) {
        self.0.duties_failed.with_label_values(&[duty]).inc();
    }

    /// So many records could not be read where this was to be done, and were put off.
    pub fn items_deferred(&self, duty: &str, count: u64) {
        self.0.items_deferred.with_label_values(&[duty]).inc_by(count);
    }

    /// All leases were renewed, or not, in this time.
    pub fn leases_renewed(&self, took: Duration) {
        self.0.lease_renew.with_label_values(NONE).observe(took.as_secs_f64());
    }
}

/// What the leader sees.
impl Metrics {
    /// Whether this scheduler leads. What only a leader knows is forgotten with the lead.
    pub fn leads(&self, leads: bool) {
        self.0.leader.with_label_values(NONE).set(leads.into());
        if !leads {
            self.0.runs_queued.reset();
            self.0.outbox_pending.reset();
            self.0.outbox_oldest.reset();
            self.0.heartbeat_age.reset();
        }
    }

    /// So many runs are queued, by type.
    pub fn runs_queued(&self, queued: &BTreeMap<TaskType, u64>) {
        for kind in TaskType::ALL {
            let queued = queued.get(&kind).copied().unwrap_or_default();
            self.0.runs_queued.with_label_values(&[kind.name()]).set(queued as i64);
        }
    }

    /// So many due runs are not published, the first of them since so long on the store's clock.
    pub fn outbox(&self, pending: u64, oldest_ms: i64) {
        self.0.outbox_pending.with_label_values(NONE).set(pending as i64);
        self.0.outbox_oldest.with_label_values(NONE).set(seconds(oldest_ms));
    }

    /// How long ago the last heartbeat was sent that came back.
    pub fn heartbeat_age(&self, age: Duration) {
        self.0.heartbeat_age.with_label_values(NONE).set(age.as_secs_f64());
    }
}

/// The queue.
impl Metrics {
    /// A batch of wake-ups was answered in this time.
    pub fn published(&self, answers: impl IntoIterator<Item = Published>, took: Duration) {
        for answer in answers {
            self.0.publishes.with_label_values(&[answer.name()]).inc();
        }
        self.0.publish_confirm.with_label_values(NONE).observe(took.as_secs_f64());
    }

    /// A connection that was lost is there again.
    pub fn broker_reconnected(&self) {
        self.0.reconnects.with_label_values(NONE).inc();
    }

    /// A wake-up came once more.
    pub fn redelivered(&self, kind: TaskType) {
        self.0.redelivered.with_label_values(&[kind.name()]).inc();
    }

    /// A message in the line of this type was no wake-up.
    pub fn dead_lettered(&self, kind: TaskType) {
        self.0.dead_letters.with_label_values(&[kind.name()]).inc();
    }

    /// How the connection to the broker is.
    pub fn broker(&self, connected: bool, blocked: bool) {
        self.0.broker_connected.with_label_values(NONE).set(connected.into());
        self.0.broker_blocked.with_label_values(NONE).set(blocked.into());
    }

    /// So many consumers of a type can take.
    pub fn consumers(&self, kind: TaskType, able: u64) {
        self.0.consumers.with_label_values(&[kind.name()]).set(able as i64);
    }
}

/// The store, the portal and other servers.
impl Metrics {
    /// The store did a step, or failed at it, in this time.
    pub fn store_operation(&self, operation: &str, took: Duration) {
        self.0.store_operation.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    /// Whether the store answers.
    pub fn store_up(&self, up: bool) {
        self.0.store_up.with_label_values(NONE).set(up.into());
    }

    /// Whether the store's settings and replicas are such that the loss of a server loses nothing acknowledged.
    pub fn store_durable(&self, durable: bool) {
        self.0.store_durable.with_label_values(NONE).set(durable.into());
    }

    /// Where the audit log ends: how many entries it has had, and 48 bits of its digest.
    pub fn audit_head(&self, entries: u64, bits: u64) {
        self.0.audit_entries.with_label_values(NONE).set(entries as i64);
        self.0.audit_head.with_label_values(NONE).set(bits as i64);
    }

    /// Whether this machine's clock and the store's can be relied on.
    pub fn clocks_agree(&self, agree: bool) {
        self.0.clocks_agree.with_label_values(NONE).set(agree.into());
    }

    /// This machine's time less the store's, in milliseconds.
    pub fn clock_offset(&self, offset_ms: i64) {
        self.0.clock_offset.with_label_values(NONE).set(seconds(offset_ms));
    }

    /// A request was answered. `route`: the path with its variable parts replaced. `code`: the status, or that of
    /// the error in the answer.
    pub fn request_answered(&self, route: &str, method: &str, code: u16, took: Duration) {
        self.0.http_requests.with_label_values(&[route, method, &code.to_string()]).inc();
        self.0.http_duration.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// There was no room for a connection.
    pub fn connection_refused(&self, limit: ConnectionLimit) {
        self.0.connections_refused.with_label_values(&[limit.name(), REFUSED]).inc();
    }

    /// A connection that did nothing was closed, so that there is room for another.
    pub fn connection_evicted(&self, limit: ConnectionLimit) {
        self.0.connections_refused.with_label_values(&[limit.name(), EVICTED]).inc();
    }

    /// Somebody could not sign in.
    pub fn auth_failed(&self, kind: AuthFailure) {
        self.0.auth_failures.with_label_values(&[kind.name()]).inc();
    }

    /// Another server answered with this status. None: it did not answer.
    pub fn upstream_answered(&self, kind: &str, status: Option<u16>) {
        let class = match status.map(|status| status / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(_) => "5xx",
            None => "none",
        };
        self.0.upstream_requests.with_label_values(&[kind, class]).inc();
    }

    /// When the HTTPS certificate ends, in seconds since 1970 UTC.
    pub fn certificate_expires(&self, at: i64) {
        self.0.certificate_expiry.with_label_values(NONE).set(at as f64);
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

fn moment(at: EpochMillis) -> f64 {
    seconds(at.0)
}
