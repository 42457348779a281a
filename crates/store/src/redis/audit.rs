//! The ledger of fires, and the log of who did what.
//!
//! A fire is a hash: `b` the JSON of what does not change, `s` when its run began, `o` how it ended. An
//! entry of the log is a member of its shard's index, behind a stamp that orders those of one moment.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use isochrone_domain::{
    AuditEntry, EpochMillis, FireId, Generation, Outcome, Reason, Run, RunId, RunStatus, Task, TaskId,
    TaskType, Trigger,
};
use serde::{Deserialize, Serialize};

use super::RedisStore;
use super::batch::{Answers, Batch, parse};
use super::chain::{self, Noted};
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::Span;
use super::records::{from_json, id_of, json, readable, unreadable};
use crate::chain::{AuditChain, ChainEnd};
use crate::clock::machine_ms;
use crate::{AuditStore, FireRecord, Result};

/// What does not change of a fire.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    fire: FireId,
    task: TaskId,
    kind: TaskType,
    owner: String,
    title: String,
    generation: Option<Generation>,
    planned: EpochMillis,
    decided: EpochMillis,
    reason: Reason,
    run: RunId,
}

#[async_trait]
impl AuditStore for RedisStore {
    async fn audit(&self, span: Range<EpochMillis>) -> Result<Vec<AuditEntry>> {
        let Span { min, max } = Span::within(&span);
        let shards: Vec<Shard> = Shard::of_tasks().chain([Shard::COMMON]).collect();
        let mut batch = Batch::default();
        for shard in &shards {
            batch.add(*shard, ["ZRANGEBYSCORE", &self.keys.index(*shard, Index::Audit), &min, &max]);
        }
        let mut answers = self.ask(batch).await?;
        let mut found = Vec::new();
        for _ in shards {
            for member in answers.members()? {
                let (stamp, kept) = chain::read(&member);
                let entry = readable(from_json::<AuditEntry>(kept.text.as_bytes()), "audit entry", &"")?;
                found.extend(entry.map(|entry| (entry.at, stamp.to_vec(), entry)));
            }
        }
        found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Ok(found.into_iter().map(|(_, _, entry)| entry).collect())
    }

    async fn audit_heads(&self) -> Result<Vec<ChainEnd>> {
        self.chain_ends().await
    }

    async fn audit_chain(&self, chain: usize) -> Result<AuditChain> {
        self.chain(chain).await
    }

    async fn fires(&self, task: Option<TaskId>, span: Range<EpochMillis>) -> Result<Vec<FireRecord>> {
        let sources = match task {
            Some(task) => vec![(Shard::of_task(task), self.keys.fires_of(task))],
            None => self.everywhere(Index::Fires),
        };
        let Span { min, max } = Span::within(&span);
        let mut batch = Batch::default();
        for (shard, key) in &sources {
            batch.add(*shard, ["ZRANGEBYSCORE", key, &min, &max]);
        }
        let mut answers = self.ask(batch).await?;
        let mut ids = Vec::new();
        for _ in &sources {
            for member in answers.members()? {
                ids.push(id_of(&member)?);
            }
        }
        let mut records = self.find_fires(&ids).await?;
        records.sort_by_key(|record| (record.planned, record.decided, record.fire));
        Ok(records)
    }

    async fn note(&self, entry: AuditEntry) -> Result<()> {
        let mut commit = Commit::new(Shard::COMMON);
        note_audit(&mut commit, Shard::COMMON, &entry);
        // Without a check it is done.
        self.commit(commit).await.map(drop)
    }

    async fn trim_records(&self, before: EpochMillis, limit: u64) -> Result<u64> {
        Ok(self.trim_fires(before, limit).await? + self.trim_chains(before.0, limit).await?)
    }
}

impl RedisStore {
    /// Rows of the ledger in this order, without those that are gone or can't be read.
    pub(super) async fn find_fires(&self, ids: &[FireId]) -> Result<Vec<FireRecord>> {
        let mut records = Vec::with_capacity(ids.len());
        for ids in ids.chunks(1_000) {
            let mut batch = Batch::default();
            for id in ids {
                batch.add(Shard::of_fire(*id), ["HMGET", &self.keys.fire(*id), "b", "s", "o"]);
            }
            let mut answers = self.ask(batch).await?;
            for id in ids {
                records.extend(readable(take_fire(&mut answers), "fire", id)?.flatten());
            }
        }
        Ok(records)
    }

    /// A new row of the ledger.
    pub(super) fn insert_fire(&self, commit: &mut Commit, task: &Task, run: &Run) {
        let (key, shard) = (self.keys.fire(run.fire), Shard::of_fire(run.fire));
        commit.check_absent(&key, "b");
        let row = Row {
            fire: run.fire,
            task: task.id,
            kind: run.kind,
            owner: task.owner.clone(),
            title: task.title.clone(),
            generation: match run.trigger {
                Trigger::Schedule { generation } => Some(generation),
                Trigger::Request { .. } => None,
            },
            planned: run.planned,
            decided: run.created,
            reason: run.fired,
            run: run.id,
        };
        commit.set(&key, &[("b", &json(&row))]);
        if run.status.ended() {
            self.note_run(commit, run);
        }
        let id = run.fire.to_string();
        commit.put(&self.keys.index(shard, Index::Fires), run.planned.0, &id);
        commit.put(&self.keys.fires_of(task.id), run.planned.0, &id);
    }

    /// Writes into the ledger when the run began and how it ended, as the run has it now.
    pub(super) fn note_run(&self, commit: &mut Commit, run: &Run) {
        let end = match run.status {
            RunStatus::Ended { outcome, reason, at } => Some((outcome, reason, at)),
            _ => None,
        };
        self.note_end(commit, run, end);
    }

    /// Writes into the ledger when the run began, and this end. A run that began once has begun for ever;
    /// its end can be taken back.
    pub(super) fn note_end(
        &self,
        commit: &mut Commit,
        run: &Run,
        end: Option<(Outcome, Reason, EpochMillis)>,
    ) {
        let key = self.keys.fire(run.fire);
        let started = run.started.map(|at| at.0.to_string());
        let ended = end.map(|end| json(&end));
        let started = started.as_ref().map(|at| ("s", at.as_bytes()));
        let ended_field = ended.as_ref().map(|end| ("o", end.as_slice()));
        let fields: Vec<(&str, &[u8])> = started.into_iter().chain(ended_field).collect();
        commit.set(&key, &fields);
        if ended.is_none() {
            commit.unset(&key, &["o"]);
        }
    }

    /// Writes into the ledger that the run's first attempt has begun.
    pub(super) fn note_start(&self, commit: &mut Commit, run: &Run, at: EpochMillis) {
        commit.set(&self.keys.fire(run.fire), &[("s", at.0.to_string().as_bytes())]);
    }
}

/// Adds an entry to the log, within the step that it tells of.
pub(super) fn note_audit(commit: &mut Commit, shard: Shard, entry: &AuditEntry) {
    debug_assert_eq!(commit.shard(), shard, "an entry is written in the step that it tells of");
    let text = serde_json::to_string(entry).expect("an entry has only text as keys");
    commit.note(Noted { at: entry.at.0, stamp: stamp(), text });
}

fn take_fire(answers: &mut Answers) -> Result<Option<FireRecord>> {
    let [body, started, outcome] = answers.fields()?;
    let Some(body) = body else { return Ok(None) };
    let row: Row = from_json(&body)?;
    let started = started.map(|at| parse(&at).map(EpochMillis).ok_or_else(unreadable::<EpochMillis>));
    Ok(Some(FireRecord {
        fire: row.fire,
        task: row.task,
        kind: row.kind,
        owner: row.owner,
        title: row.title,
        generation: row.generation,
        planned: row.planned,
        decided: row.decided,
        reason: row.reason,
        run: row.run,
        started: started.transpose()?,
        outcome: outcome.map(|end| from_json(&end)).transpose()?,
    }))
}

/// Orders what this process does, and tells it from what others do: 16 hex digits of time, 4 of chance.
fn stamp() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let micros = machine_ms().max(0) as u64 * 1_000;
    let before = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(micros.max(last + 1)));
    let unique = before.map_or(micros, |last| micros.max(last + 1));
    let chance = TaskId::random();
    format!("{unique:016x}{:02x}{:02x}", chance.as_bytes()[0], chance.as_bytes()[1])
}
