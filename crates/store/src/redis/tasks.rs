//! Tasks and their due index.

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, OverlapPolicy, Run, TaskId, TaskType};

use super::RedisStore;
use super::batch::Batch;
use super::commit::{Commit, Tries};
use super::keys::{Index, Shard};
use super::lists::{Entry, From, Source, Span};
use super::records::{ask_task, id_of, readable, take_task};
use crate::{Clock, DueTask, FireCommit, Page, Paged, Place, Result, Saved, Stretch, TaskFilter, TaskStore};
use isochrone_domain::Task;

#[async_trait]
impl TaskStore for RedisStore {
    fn clock(&self) -> Clock {
        self.followed_clock()
    }

    async fn now(&self) -> Result<EpochMillis> {
        self.now_at(Shard::COMMON).await
    }

    async fn insert_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
        let mut batch = Batch::default();
        batch.add(Shard::COMMON, ["INCR", &self.keys.named(Shard::COMMON, "seq")]);
        let seq = self.ask(batch).await?.count()?;
        let mut tries = Tries::default();
        loop {
            let mut commit = Commit::new(Shard::of_task(task.id));
            self.insert_task_record(&mut commit, task, seq);
            self.check_not_buried(&mut commit, task.id);
            self.note_audit(&mut commit, Shard::of_task(task.id), &audit);
            if self.commit(commit).await? {
                return Ok(Saved::Done);
            }
            if self.exists(task.id).await? {
                return Ok(Saved::Repeated);
            }
            // One of this id was deleted, and the deletion was cut short.
            self.bury(task.id).await?;
            tries.again().await?;
        }
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>> {
        Ok(self.find_task(id).await?.map(|stored| stored.task))
    }

    async fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Paged<Task>> {
        let sources = self.creations(filter);
        let total = self.total(&sources).await?;
        let narrow = filter.item.is_some() || filter.active.is_some() || !filter.kinds.is_empty();
        let until = if narrow { total } else { page.offset.saturating_add(page.limit).min(total) };
        let mut ids = ids(&self.first(&sources, From::Lowest, &Span::all(), until).await?)?;
        let total = if narrow {
            ids = self.passing(ids, filter).await?;
            ids.len() as u64
        } else {
            total
        };
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let ids: Vec<TaskId> = ids.into_iter().skip(skip).take(take).collect();
        Ok(Paged { rows: self.find_tasks(&ids).await?, total })
    }

    async fn tasks_from(
        &self,
        filter: &TaskFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Task>> {
        let sources = self.creations(filter);
        let mut rows = Vec::new();
        let mut place = after;
        loop {
            let wanted = limit.saturating_sub(rows.len() as u64);
            let span = place.map_or_else(Span::all, |place| Span::after(place.first));
            let entries = self.first(&sources, From::Lowest, &span, wanted).await?;
            let last = entries.last().map(|entry| Place { first: entry.score as i64, then: 0 });
            let ids = self.passing(ids(&entries)?, filter).await?;
            rows.extend(self.find_tasks(&ids).await?);
            if (entries.len() as u64) < wanted || wanted == 0 {
                return Ok(Stretch { rows, next: None });
            }
            place = last;
            if rows.len() as u64 >= limit {
                return Ok(Stretch { rows, next: place });
            }
        }
    }

    async fn unfinished(&self, task: TaskId) -> Result<u64> {
        let mut batch = Batch::default();
        batch.add(Shard::of_task(task), ["ZCARD", &self.keys.open_of(task)]);
        self.ask(batch).await?.count()
    }

    async fn save_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
        let mut tries = Tries::default();
        loop {
            let mut batch = Batch::default();
            ask_task(&mut batch, &self.keys, task.id);
            batch.add_time(Shard::of_task(task.id));
            let mut answers = self.ask(batch).await?;
            let stored = take_task(&mut answers)?;
            let now = answers.now(self)?;
            let Some(stored) = stored.filter(|stored| stored.task.version == task.version) else {
                return Ok(Saved::Stale);
            };
            let mut commit = Commit::new(Shard::of_task(task.id));
            self.update_task(&mut commit, task);
            self.move_task(&mut commit, &stored, &task.owner);
            if task.policies.overlap == OverlapPolicy::Allow {
                self.let_all_go(&mut commit, task.id, now).await?;
            }
            self.note_audit(&mut commit, Shard::of_task(task.id), &audit);
            if self.commit(commit).await? {
                return Ok(Saved::Done);
            }
            tries.again().await?;
        }
    }

    async fn delete_task(&self, id: TaskId, audit: AuditEntry) -> Result<bool> {
        self.remove_task(id, &audit).await
    }

    async fn due_tasks(&self, now: EpochMillis, limit: u64) -> Result<Vec<DueTask>> {
        let due =
            self.first(&self.everywhere(Index::Due), From::Lowest, &Span::through(now.0), limit).await?;
        let ids = ids(&due)?;
        let mut batch = Batch::default();
        for id in &ids {
            // The count comes after the task: a run that is made in between changes the task's version.
            ask_task(&mut batch, &self.keys, *id);
            batch.add(Shard::of_task(*id), ["ZCARD", &self.keys.open_of(*id)]);
        }
        let mut answers = self.ask(batch).await?;
        let mut tasks = Vec::with_capacity(ids.len());
        for id in &ids {
            let found = readable(take_task(&mut answers), "task", id)?;
            let unfinished = answers.count()?;
            match found {
                Some(Some(stored)) => tasks.push(DueTask { task: stored.task, unfinished }),
                // Deleted a moment ago.
                Some(None) => {}
                None => self.defer(Shard::of_task(*id), Index::Due, &id.to_string(), now).await?,
            }
        }
        Ok(tasks)
    }

    async fn commit_fires(&self, commits: Vec<FireCommit>) -> Result<Vec<Saved>> {
        self.fire(commits).await
    }

    async fn commit_request(&self, task: Task, run: Run, audit: AuditEntry) -> Result<Saved> {
        self.fire_request(&task, &run, &audit).await
    }

    async fn next_wake(&self) -> Result<Option<EpochMillis>> {
        let mut batch = Batch::default();
        batch.add_time(Shard::COMMON);
        for shard in Shard::of_tasks() {
            for index in [Index::Due, Index::Outbox, Index::Leases] {
                batch.add(shard, ["ZRANGE", &self.keys.index(shard, index), "0", "0", "WITHSCORES"]);
            }
            batch.add(shard, ["ZREVRANGE", &self.keys.index(shard, Index::Leases), "0", "0", "WITHSCORES"]);
        }
        let mut answers = self.ask(batch).await?;
        let now = answers.now(self)?;
        let latest = self.latest_lease_end(now).0 as f64;
        let mut earliest = f64::INFINITY;
        for _ in Shard::of_tasks() {
            for _ in 0..3 {
                earliest = answers.scored()?.iter().fold(earliest, |min, (_, score)| min.min(*score));
            }
            if answers.scored()?.iter().any(|(_, until)| *until > latest) {
                return Ok(Some(now));
            }
        }
        Ok(earliest.is_finite().then(|| EpochMillis(earliest.floor() as i64)))
    }
}

fn ids(entries: &[Entry]) -> Result<Vec<TaskId>> {
    entries.iter().map(|entry| id_of(&entry.member)).collect()
}

impl RedisStore {
    pub(super) async fn exists(&self, id: TaskId) -> Result<bool> {
        let mut batch = Batch::default();
        batch.add(Shard::of_task(id), ["EXISTS", &self.keys.task(id)]);
        Ok(self.ask(batch).await?.int()? > 0)
    }

    /// Those of the tasks that pass the filter.
    /// The indexes of the tasks that the filter's owner has, in the order of their creation.
    fn creations(&self, filter: &TaskFilter) -> Vec<Source> {
        match &filter.owner {
            Some(owner) => Shard::of_tasks().map(|shard| (shard, self.keys.tasks_of(shard, owner))).collect(),
            None => self.everywhere(Index::Tasks),
        }
    }

    /// Tasks in this order, without those that are gone or can't be read.
    async fn find_tasks(&self, ids: &[TaskId]) -> Result<Vec<Task>> {
        let mut batch = Batch::default();
        for id in ids {
            ask_task(&mut batch, &self.keys, *id);
        }
        let mut answers = self.ask(batch).await?;
        let mut tasks = Vec::with_capacity(ids.len());
        for id in ids {
            let found = readable(take_task(&mut answers), "task", id)?.flatten();
            tasks.extend(found.map(|stored| stored.task));
        }
        Ok(tasks)
    }

    async fn passing(&self, ids: Vec<TaskId>, filter: &TaskFilter) -> Result<Vec<TaskId>> {
        let mut batch = Batch::default();
        for id in &ids {
            batch.add(Shard::of_task(*id), ["HMGET", &self.keys.task(*id), "k", "i", "a"]);
        }
        let mut answers = self.ask(batch).await?;
        let item = filter.item.map(|item| item.to_string().into_bytes());
        let active = filter.active.map(|active| if active { b"1".to_vec() } else { b"0".to_vec() });
        let kinds: Vec<&[u8]> = filter.kinds.iter().copied().map(TaskType::name).map(str::as_bytes).collect();
        let mut passing = Vec::new();
        for id in ids {
            let [kind, of_item, is_active] = answers.fields()?;
            let passes = (item.is_none() || item == of_item)
                && (active.is_none() || active == is_active)
                && (kinds.is_empty() || kind.is_some_and(|kind| kinds.contains(&kind.as_slice())));
            if passes {
                passing.push(id);
            }
        }
        Ok(passing)
    }
}
