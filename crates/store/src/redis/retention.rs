//! Forgetting what is old.

use isochrone_domain::{EpochMillis, FireId, RunId, TaskId};
use redis::cmd;

use super::RedisStore;
use super::batch::{Batch, parse};
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::Span;
use super::records::id_of;
use crate::{Keep, Result, Tries};

/// What is looked at in one go.
const GO: usize = 500;

impl RedisStore {
    /// Forgets ended runs of a task, and their logs.
    pub(super) async fn forget_runs(&self, task: TaskId, keep: Keep, limit: u64) -> Result<Vec<RunId>> {
        let limit = limit.min(GO as u64);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let shard = Shard::of_task(task);
        let mut tries = Tries::default();
        loop {
            let mut forgotten = self.beyond(task, keep.runs, limit).await?;
            if forgotten.is_empty() {
                forgotten = self.ended_before(task, keep.ended_from, limit).await?;
            }
            if forgotten.is_empty() {
                return Ok(forgotten);
            }
            let now = self.now_at(shard).await?;
            let mut commit = Commit::new(shard);
            for id in &forgotten {
                self.remove_ended(&mut commit, task, *id, now);
            }
            if self.commit(commit).await? {
                return Ok(forgotten);
            }
            tries.again().await?;
        }
    }

    /// Ended runs beyond the latest planned ones.
    async fn beyond(&self, task: TaskId, kept: u64, limit: u64) -> Result<Vec<RunId>> {
        let Ok(first) = i64::try_from(kept) else { return Ok(Vec::new()) };
        let (first, last) = (first.to_string(), first.saturating_add(limit as i64 - 1).to_string());
        let mut batch = Batch::default();
        batch.add(Shard::of_task(task), ["ZREVRANGE", &self.keys.ended_of(task), &first, &last]);
        self.ask(batch).await?.members()?.iter().map(|member| id_of(member)).collect()
    }

    /// Runs that ended before a moment. No run ends before its minute: only those planned before that
    /// moment are looked at.
    async fn ended_before(&self, task: TaskId, moment: EpochMillis, limit: u64) -> Result<Vec<RunId>> {
        let shard = Shard::of_task(task);
        let Span { min, max } = Span::before(moment.0);
        let (mut old, mut offset) = (Vec::new(), 0);
        loop {
            let mut planned = cmd("ZRANGEBYSCORE");
            planned.arg(self.keys.ended_of(task)).arg(&min).arg(&max).arg("LIMIT").arg(offset).arg(GO);
            let mut batch = Batch::default();
            batch.push(shard, planned);
            let members = self.ask(batch).await?.members()?;
            let ids = members.iter().map(|member| id_of(member)).collect::<Result<Vec<RunId>>>()?;
            let mut batch = Batch::default();
            for id in &ids {
                batch.add(shard, ["HGET", &self.keys.run(*id), "x"]);
            }
            let mut answers = self.ask(batch).await?;
            for id in &ids {
                let ended: Option<i64> = answers.bytes()?.as_deref().and_then(parse);
                if ended.is_some_and(|at| at < moment.0) && (old.len() as u64) < limit {
                    old.push(*id);
                }
            }
            if ids.len() < GO || old.len() as u64 >= limit {
                return Ok(old);
            }
            offset += ids.len();
        }
    }

    /// Forgets rows of the ledger that are over and whose runs are forgotten.
    pub(super) async fn trim_fires(&self, before: EpochMillis, limit: u64) -> Result<u64> {
        let mut forgotten = 0;
        for shard in Shard::of_tasks() {
            let mut offset = 0;
            while forgotten < limit {
                let (seen, removed) = self.trim_some_fires(shard, before, offset, limit - forgotten).await?;
                forgotten += removed;
                // What stays is passed over.
                offset += seen - removed;
                if seen < GO as u64 {
                    break;
                }
            }
        }
        Ok(forgotten)
    }

    /// How many rows were looked at, and how many of them are forgotten.
    async fn trim_some_fires(
        &self,
        shard: Shard,
        before: EpochMillis,
        offset: u64,
        limit: u64,
    ) -> Result<(u64, u64)> {
        let Span { min, max } = Span::before(before.0);
        let index = self.keys.index(shard, Index::Fires);
        let mut planned = cmd("ZRANGEBYSCORE");
        planned.arg(&index).arg(&min).arg(&max).arg("LIMIT").arg(offset).arg(GO);
        let mut batch = Batch::default();
        batch.push(shard, planned);
        let members = self.ask(batch).await?.members()?;
        let ids = members.iter().map(|member| id_of(member)).collect::<Result<Vec<FireId>>>()?;
        let mut batch = Batch::default();
        for id in &ids {
            batch.add(shard, ["EXISTS", &self.keys.run(id.run())]);
        }
        let mut answers = self.ask(batch).await?;
        let mut runless = Vec::new();
        for id in &ids {
            if answers.int()? == 0 {
                runless.push(*id);
            }
        }
        let mut removed = 0;
        let mut commit = Commit::new(shard);
        for record in self.find_fires(&runless).await? {
            if record.outcome.is_some() && removed < limit {
                let member = record.fire.to_string();
                commit.take(&index, &member);
                commit.take(&self.keys.fires_of(record.task), &member);
                commit.delete(&self.keys.fire(record.fire));
                removed += 1;
            }
        }
        if removed > 0 {
            self.commit(commit).await?;
        }
        Ok((ids.len() as u64, removed))
    }
}
