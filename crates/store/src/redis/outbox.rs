//! The outbox: the queued runs that are due, by numbers, a sorted set for each shard and type.
//!
//! A number tells when its run became due, so that all shards' runs can be put in one order. A run leaves the outbox
//! when it is claimed. How far a type is published stands beside it: no run has a mark of its own.

use std::collections::BTreeMap;

use isochrone_domain::{EpochMillis, RunId, TaskType};
use redis::cmd;

use super::RedisStore;
use super::batch::{Batch, parse};
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::{From, Source, Span};
use super::records::{LAST_NUMBER, id_of};
use crate::runs::due_of;
use crate::{Backlog, OutboxEntry, OutboxState, PublishedThrough, Result};

/// Runs that are read for one step of a change.
const STEP: u64 = 256;

impl RedisStore {
    pub(super) async fn read_outbox_state(&self) -> Result<OutboxState> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            batch.add(shard, ["HGET", &self.keys.outbox_state(shard), LAST_NUMBER]);
            batch.add(shard, ["ZRANGE", &self.keys.index(shard, Index::Delayed), "0", "0", "WITHSCORES"]);
        }
        let mut answers = self.ask(batch).await?;
        let mut state = OutboxState::default();
        for _ in Shard::of_tasks() {
            state.last.push(answers.bytes()?.as_deref().and_then(parse).unwrap_or(0));
            let first = answers.scored()?.first().map(|(_, due)| EpochMillis(*due as i64));
            state.delayed = [state.delayed, first].into_iter().flatten().min();
        }
        Ok(state)
    }

    /// Delayed runs that are due now go to the outbox.
    pub(super) async fn queue_due(&self, now: EpochMillis, limit: u64) -> Result<u64> {
        let delayed = self.everywhere(Index::Delayed);
        let due = self.first(&delayed, From::Lowest, &Span::through(now.0), limit).await?;
        let mut moments = BTreeMap::new();
        for entry in &due {
            moments.insert(id_of::<RunId>(&entry.member)?, EpochMillis(entry.score as i64));
        }
        let ids: Vec<RunId> = due.iter().map(|entry| id_of(&entry.member)).collect::<Result<_>>()?;
        self.renumber(&ids, |id| moments.get(&id).copied().unwrap_or(now)).await
    }

    /// A type's runs in the outbox of each shard whose numbers `numbers` tells of.
    async fn entries(
        &self,
        kind: TaskType,
        limit: u64,
        numbers: impl Fn(Shard) -> (String, String),
    ) -> Result<Vec<OutboxEntry>> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            let (min, max) = numbers(shard);
            let mut command = cmd("ZRANGEBYSCORE");
            command.arg(self.keys.outbox(shard, kind)).arg(min).arg(max);
            command.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
            batch.push(shard, command);
        }
        let mut answers = self.ask(batch).await?;
        let mut entries = Vec::new();
        for shard in Shard::of_tasks() {
            for (member, number) in answers.scored()? {
                let number = number as u64;
                entries.push(OutboxEntry { run: id_of(&member)?, shard: shard.place(), number });
            }
        }
        entries.sort_by_key(|entry| (entry.number, entry.shard));
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(entries)
    }

    pub(super) async fn read_unpublished(
        &self,
        kind: TaskType,
        published: &PublishedThrough,
        limit: u64,
    ) -> Result<Vec<OutboxEntry>> {
        let behind = |shard: Shard| (format!("({}", published.of(shard.place())), "+inf".to_owned());
        self.entries(kind, limit, behind).await
    }

    pub(super) async fn read_published_through(&self, kind: TaskType) -> Result<PublishedThrough> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            batch.add(shard, ["HGET", &self.keys.outbox_state(shard), &through(kind)]);
        }
        let mut answers = self.ask(batch).await?;
        let mut published = PublishedThrough::default();
        for shard in Shard::of_tasks() {
            if let Some(number) = answers.bytes()?.as_deref().and_then(parse) {
                published.0.insert(shard.place(), number);
            }
        }
        Ok(published)
    }

    pub(super) async fn keep_published_through(
        &self,
        kind: TaskType,
        published: &PublishedThrough,
    ) -> Result<()> {
        let commits: Vec<Commit> = Shard::of_tasks()
            .filter_map(|shard| Some((shard, published.0.get(&shard.place())?)))
            .map(|(shard, number)| {
                let mut commit = Commit::new(shard);
                let number = number.to_string();
                commit.set(&self.keys.outbox_state(shard), &[(&through(kind), number.as_bytes())]);
                commit
            })
            .collect();
        // If it is lost, runs are published twice, and claimed once.
        for done in self.commit_all_unreplicated(&commits).await? {
            done?;
        }
        Ok(())
    }

    pub(super) async fn count_unclaimed(&self, kind: TaskType, published: &PublishedThrough) -> Result<u64> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            let through = published.of(shard.place()).to_string();
            batch.add(shard, ["ZCOUNT", &self.keys.outbox(shard, kind), "-inf", &through]);
        }
        let mut answers = self.ask(batch).await?;
        let mut count = 0;
        for _ in Shard::of_tasks() {
            count += answers.count()?;
        }
        Ok(count)
    }

    pub(super) async fn requeue_published(
        &self,
        kind: TaskType,
        published: &PublishedThrough,
        count: u64,
    ) -> Result<u64> {
        let mut requeued = 0;
        while requeued < count {
            let step = STEP.min(count - requeued);
            let before = |shard: Shard| ("-inf".to_owned(), published.of(shard.place()).to_string());
            let ids: Vec<RunId> =
                self.entries(kind, step, before).await?.into_iter().map(|entry| entry.run).collect();
            if ids.is_empty() {
                break;
            }
            // By their new numbers they stand behind what is due now, in all shards.
            let now = self.followed_clock().now();
            self.renumber(&ids, |_| now).await?;
            requeued += ids.len() as u64;
        }
        Ok(requeued)
    }

    /// Puts queued runs into the outbox under new numbers. What is not queued any more is taken out of it. Answers how
    /// many are in it now.
    async fn renumber(&self, ids: &[RunId], due: impl Fn(RunId) -> EpochMillis) -> Result<u64> {
        let mut batch = Batch::default();
        for id in ids {
            batch.add(Shard::of_run(*id), ["HMGET", &self.keys.run(*id), "k", "t"]);
        }
        let mut answers = self.ask(batch).await?;
        let mut commits = Vec::with_capacity(ids.len());
        let mut queued = Vec::with_capacity(ids.len());
        for id in ids {
            let [kind, turn] = answers.fields()?;
            let (shard, member) = (Shard::of_run(*id), id.to_string());
            let mut commit = Commit::new(shard);
            // Not so: it was claimed meanwhile, or its task deleted.
            commit.check_same(&self.keys.run(*id), "t", turn.as_deref());
            commit.take(&self.keys.index(shard, Index::Delayed), &member);
            let waits = turn.is_some_and(|turn| turn.starts_with(b"q"));
            match kind.as_deref().and_then(parse) {
                Some(kind) if waits => self.put_into_outbox(&mut commit, *id, kind, due(*id)),
                // A type that only a newer version knows.
                None if waits => {
                    self.defer(shard, Index::Delayed, &member, self.followed_clock().now()).await?;
                    continue;
                }
                _ => {
                    for kind in TaskType::ALL {
                        commit.take(&self.keys.outbox(shard, kind), &member);
                    }
                }
            }
            commits.push(commit);
            queued.push(waits);
        }
        let mut count = 0;
        // If it is lost, it is done again.
        for (done, queued) in self.commit_all_unreplicated(&commits).await?.into_iter().zip(queued) {
            count += u64::from(done? && queued);
        }
        Ok(count)
    }

    pub(super) async fn count_backlog(&self) -> Result<Backlog> {
        let kinds: Vec<TaskType> = TaskType::ALL.into_iter().collect();
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            let mut state = cmd("HMGET");
            state.arg(self.keys.outbox_state(shard));
            for kind in &kinds {
                batch.add(shard, ["ZCARD", &self.keys.outbox(shard, *kind)]);
                state.arg(through(*kind));
            }
            batch.push(shard, state);
        }
        let mut answers = self.ask(batch).await?;
        let mut backlog = Backlog::default();
        let mut behind: Vec<(Source, u64)> = Vec::new();
        for shard in Shard::of_tasks() {
            let mut counts = Vec::with_capacity(kinds.len());
            for _ in &kinds {
                counts.push(answers.count()?);
            }
            for ((kind, count), published) in kinds.iter().zip(counts).zip(answers.texts()?) {
                if count > 0 {
                    *backlog.queued.entry(*kind).or_default() += count;
                    let published = published.as_deref().and_then(parse).unwrap_or(0);
                    behind.push(((shard, self.keys.outbox(shard, *kind)), published));
                }
            }
        }
        let mut batch = Batch::default();
        for ((shard, key), published) in &behind {
            let behind = format!("({published}");
            batch.add(*shard, ["ZCOUNT", key, &behind, "+inf"]);
            batch.add(*shard, ["ZRANGEBYSCORE", key, &behind, "+inf", "WITHSCORES", "LIMIT", "0", "1"]);
        }
        let mut answers = self.ask(batch).await?;
        for _ in &behind {
            backlog.unpublished += answers.count()?;
            let first = answers.scored()?.first().map(|(_, number)| due_of(*number as u64));
            backlog.oldest = [backlog.oldest, first].into_iter().flatten().min();
        }
        Ok(backlog)
    }
}

/// The field of a shard's outbox that says how far a type is published.
fn through(kind: TaskType) -> String {
    format!("through:{kind}")
}
