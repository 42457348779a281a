//! Runs, their leases and their logs.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{
    Amendment, Artifact, AttemptEnd, AuditEntry, Cancel, CancelReason, Claimant, EpochMillis, Fence, Held,
    ItemSnapshot, LogLine, Refusal, Run, RunId, Task, TaskId, TaskType,
};

use crate::{Page, Paged, Place, Result, Stretch};

/// No lease is longer, in the world's time. One that ends further ahead was given before the clock was
/// set back, and would hold up its run for as long.
pub const LONGEST_LEASE: Duration = Duration::from_hours(1);

/// What a lease is cut to when the clock was set back: some times the 15 s that leases are usually long.
/// Settled at once, the work of workers that live would be done twice.
pub(crate) const TO_RENEW: Duration = Duration::from_mins(1);

/// How far what can't be read is put off, in real time: else it would be looked at all the time.
pub(crate) const PUT_OFF: Duration = Duration::from_mins(1);

/// Which runs a list shows; the latest planned first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this task.
    pub task: Option<TaskId>,
    /// Of this owner's tasks.
    pub owner: Option<String>,
    /// Ended ones, or ones that have not.
    pub ended: Option<bool>,
}

/// How much of a task's history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many ended runs, the latest planned ones.
    pub runs: u64,
    /// Of those, the ones that ended at this moment or later.
    pub ended_from: EpochMillis,
}

/// A queued run in the outbox: it is due, and no worker has claimed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The run.
    pub run: RunId,
    /// Its part of the outbox: numbers are compared within one.
    pub shard: u8,
    /// Its number there. What becomes due later has a higher one.
    pub number: u64,
}

impl OutboxEntry {
    /// When it became due, or a moment later.
    pub fn due(&self) -> EpochMillis {
        due_of(self.number)
    }
}

/// How far the outbox of a type is published: the last published number of each shard that has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedThrough(pub BTreeMap<u8, u64>);

impl PublishedThrough {
    /// The last published number of a shard; 0: nothing was.
    pub fn of(&self, shard: u8) -> u64 {
        self.0.get(&shard).copied().unwrap_or(0)
    }
}

/// What tells whether anything is to be published, without reading the outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxState {
    /// The last number of each shard: it changes whenever a run becomes due.
    pub last: Vec<u64>,
    /// When the first of the runs that are due later is due.
    pub delayed: Option<EpochMillis>,
}

/// The runs that wait for a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Runs in the outbox, by type.
    pub queued: BTreeMap<TaskType, u64>,
    /// Those that are not published.
    pub unpublished: u64,
    /// When the first of those was due, or a moment later.
    pub oldest: Option<EpochMillis>,
}

/// Numbers of the outbox for each millisecond: a number tells when its run became due, and what several shards have
/// can be put in one order.
const NUMBERS_A_MS: u64 = 1 << 11;

/// The least number of a run that is due then.
pub(crate) fn least_number(due: EpochMillis) -> u64 {
    u64::try_from(due.0).unwrap_or(0).saturating_mul(NUMBERS_A_MS)
}

/// When a run with this number became due, about.
pub(crate) fn due_of(number: u64) -> EpochMillis {
    EpochMillis(i64::try_from(number / NUMBERS_A_MS).unwrap_or(i64::MAX))
}

/// A run that a worker has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its `fence()` is the fencing token of all that the worker writes.
    pub run: Run,
    /// Its task, as it is at this moment.
    pub task: Task,
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The run is the worker's until its lease ends.
    Granted(Box<Claimed>),
    /// It is not.
    Refused(Refusal),
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease runs anew; a person may want the run to end.
    Held {
        /// That wish.
        cancel: Option<Cancel>,
    },
    /// The attempt may write no more.
    Lost(Refusal),
    /// What the store has of the run can't be read: the lease is as it was.
    Unreadable,
}

/// The answer to a write of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Finished {
    /// It is kept (or was, the first time it was sent); the run is like this now.
    Kept(Box<Run>),
    /// The attempt had lost the run: nothing is kept.
    Fenced(Refusal),
}

/// The answer to what a person wants of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The run is like this now; or was, if it was deleted.
    Done(Box<Run>),
    /// Its state does not allow it.
    Refused(Box<Run>),
    /// There is no such run.
    Missing,
}

/// How many of a task's latest ended runs are looked at when an amended one changes how many failed in a row.
pub(crate) const RECOUNTED: i64 = 1_000;

/// Runs, their leases and their logs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// The run with this id.
    async fn run(&self, id: RunId) -> Result<Option<Run>>;

    /// The runs that pass the filter.
    async fn runs(&self, filter: &RunFilter, page: Page) -> Result<Paged<Run>>;

    /// The same, at most `limit` of those behind `after`.
    async fn runs_from(&self, filter: &RunFilter, after: Option<Place>, limit: u64) -> Result<Stretch<Run>>;

    /// Whether there is something new in the outbox, and when there will be.
    async fn outbox_state(&self) -> Result<OutboxState>;

    /// Puts queued runs that have become due at `now` into the outbox, the longest due first. Answers how many.
    async fn queue_delayed(&self, now: EpochMillis, limit: u64) -> Result<u64>;

    /// The outbox of a type behind what is published, the longest due first.
    async fn unpublished(
        &self,
        kind: TaskType,
        published: &PublishedThrough,
        limit: u64,
    ) -> Result<Vec<OutboxEntry>>;

    /// How far the outbox of a type is published, as it was said last.
    async fn published_through(&self, kind: TaskType) -> Result<PublishedThrough>;

    /// Keeps how far it is published. What is not said here is published again by the next leader: harmless, as the
    /// claim decides.
    async fn set_published_through(&self, kind: TaskType, published: &PublishedThrough) -> Result<()>;

    /// How many of a type's runs are published up to there and claimed by nobody.
    async fn unclaimed(&self, kind: TaskType, published: &PublishedThrough) -> Result<u64>;

    /// Gives that many of them new numbers, so that they are published again; those with the lowest numbers come first,
    /// and stand last then. Answers how many.
    async fn requeue(&self, kind: TaskType, published: &PublishedThrough, count: u64) -> Result<u64>;

    /// How much waits for workers.
    async fn backlog(&self) -> Result<Backlog>;

    /// When the first lease ends. Now, if one ends later than it can.
    async fn next_expiry(&self) -> Result<Option<EpochMillis>>;

    /// Gives a worker a queued run as its next attempt, with a lease of this length, or of
    /// [`LONGEST_LEASE`]. Repeated with the same nonce it is granted again, as the same attempt. A
    /// run that is not due yet is refused, and is queued for then: its wake-up is used up.
    async fn claim(&self, run: RunId, by: &Claimant, lease: Duration) -> Result<Claim>;

    /// Renews the leases of a worker's attempts and keeps their progress, as `domain::renew` has it: an attempt whose
    /// claim the store has forgotten has its run again. One answer each, in order.
    async fn renew(&self, worker: &str, held: &[Held], lease: Duration) -> Result<Vec<Renewal>>;

    /// Keeps a remote job's handle (JSON) for the attempts to come.
    async fn checkpoint(&self, run: RunId, fence: Fence, handle: &str) -> Result<Finished>;

    /// Keeps which version of its item the attempt found.
    async fn note_item(&self, run: RunId, fence: Fence, item: &ItemSnapshot) -> Result<Finished>;

    /// Adds lines to the run's log. They are numbered from `first` within the attempt: lines whose
    /// number is there already are not kept twice.
    async fn append_log(&self, run: RunId, fence: Fence, first: u64, lines: &[LogLine]) -> Result<Finished>;

    /// The run's log, all attempts, from the `offset`th line on.
    async fn log(&self, run: RunId, page: Page) -> Result<Paged<LogLine>>;

    /// One commit: outcome or next try, failure counter, and the task's next waiting run, as
    /// `domain::settle` has it. Repeated, it answers as it did at first.
    async fn finish(
        &self,
        run: RunId,
        fence: Fence,
        end: AttemptEnd,
        artifacts: Vec<Artifact>,
    ) -> Result<Finished>;

    /// Settles the attempts whose lease has lapsed at `now`, and gives them as they are then. A lease
    /// that ends later than any given at `now` can is cut to a minute, in the world's time: enough for
    /// a worker that lives to renew it.
    async fn reap(&self, now: EpochMillis, limit: u64) -> Result<Vec<Run>>;

    /// Forgets ended runs of a task that are not to be kept, with their logs, at most about `limit` of
    /// them; the ledger keeps their rows. Answers which; none: nothing is left to forget.
    async fn trim_runs(&self, task: TaskId, keep: Keep, limit: u64) -> Result<Vec<RunId>>;

    /// Runs that were deleted or forgotten at `until` or before, of which something may be left in the artifact store;
    /// those of long ago first, at most `limit`. Only what this store itself deleted is among them.
    async fn deleted_runs(&self, until: EpochMillis, limit: u64) -> Result<Vec<RunId>>;

    /// Nothing is left of these: they are among the deleted runs no more.
    async fn forget_deleted_runs(&self, runs: &[RunId]) -> Result<()>;

    /// A person's wish that the run end, or what follows from one.
    async fn cancel_run(&self, run: RunId, why: CancelReason, audit: AuditEntry) -> Result<Cancelled>;

    /// A person's wish that an ended run be tried again. It waits for the task's other runs, unless
    /// they may overlap.
    async fn retry_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled>;

    /// What a person says of a run: the ledger says so too. Refused: it has not ended, as `domain::amend`
    /// has it.
    async fn amend_run(&self, run: RunId, amendment: Amendment, audit: AuditEntry) -> Result<Cancelled>;

    /// Forgets an ended run and its log; the ledger keeps its row. Refused: it has not ended.
    async fn delete_run(&self, run: RunId, audit: AuditEntry) -> Result<Cancelled>;
}
