//! The ledger of fires and the log of who did what.

use std::ops::Range;

use async_trait::async_trait;
use isochrone_domain::{
    AuditEntry, EpochMillis, FireId, Generation, Outcome, Reason, RunId, TaskId, TaskType,
};

use crate::Result;
use crate::chain::{AuditChain, ChainEnd};

/// A row of the ledger: a planned fire, and what came of it. It outlives its run and its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireRecord {
    /// The fire.
    pub fire: FireId,
    /// Its task.
    pub task: TaskId,
    /// The task's type at that time.
    pub kind: TaskType,
    /// The task's owner at that time.
    pub owner: String,
    /// The task's title at that time.
    pub title: String,
    /// Which of the task's schedules planned it; none: a person asked.
    pub generation: Option<Generation>,
    /// Its minute.
    pub planned: EpochMillis,
    /// When it was decided.
    pub decided: EpochMillis,
    /// Why it was decided so.
    pub reason: Reason,
    /// Its run.
    pub run: RunId,
    /// When the run's first attempt began.
    pub started: Option<EpochMillis>,
    /// How the run ended, why and when.
    pub outcome: Option<(Outcome, Reason, EpochMillis)>,
}

/// The ledger of fires and the log of who did what.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// What was done in a span of time, the oldest first.
    async fn audit(&self, span: Range<EpochMillis>) -> Result<Vec<AuditEntry>>;

    /// Where the chains of the log end: as many as this store has, in their order.
    async fn audit_heads(&self) -> Result<Vec<ChainEnd>>;

    /// One of the chains as it is kept, to be verified.
    async fn audit_chain(&self, chain: usize) -> Result<AuditChain>;

    /// The fires planned in a span of time, of one task or of all, the oldest first.
    async fn fires(&self, task: Option<TaskId>, span: Range<EpochMillis>) -> Result<Vec<FireRecord>>;

    /// Adds an entry about something that changes nothing else.
    async fn note(&self, entry: AuditEntry) -> Result<()>;

    /// Forgets what the ledger and the log have from before a moment, at most about `limit` of it:
    /// fires planned before it that are over and whose runs are forgotten, and what was done before
    /// it, from the beginning of each chain up to the first entry that is to be kept. Answers how much; 0: nothing
    /// is left to forget.
    async fn trim_records(&self, before: EpochMillis, limit: u64) -> Result<u64>;
}
