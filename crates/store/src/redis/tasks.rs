//! Tasks and their due index.

use std::collections::BTreeMap;

use async_trait::async_trait;
use isochrone_domain::{AuditEntry, EpochMillis, OverlapPolicy, Run, Task, TaskId, TaskType};

use super::RedisStore;
use super::audit::note_audit;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::{Entry, From, Source, Span};
use super::records::{PLANS, SPENT, ask_task, id_of, readable, take_task};
use crate::{
    Clock, Deferred, DueTask, FireCommit, Page, Paged, Place, Result, Saved, Stretch, TaskFilter, TaskStore,
    Tries,
};

#[async_trait]
impl TaskStore for RedisStore {
    fn clock(&self) -> Clock {
        self.followed_clock()
    }

    fn deferred(&self) -> Deferred {
        self.deferrals.so_far()
    }

    async fn now(&self) -> Result<EpochMillis> {
        self.now_at(Shard::COMMON).await
    }

    async fn server_times(&self) -> Result<Vec<i64>> {
        let mut batch = Batch::default();
        // In a cluster each shard's own server decides when its leases end.
        let mut asked = vec![Shard::COMMON];
        if !self.link.is_one_server() {
            asked.extend(Shard::of_tasks());
        }
        for shard in &asked {
            batch.add_time(*shard);
        }
        let mut answers = self.ask(batch).await?;
        let mut times = vec![answers.compared_time(self)?];
        for _ in &asked[1..] {
            times.push(answers.time()?);
        }
        Ok(times)
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
            note_audit(&mut commit, Shard::of_task(task.id), &audit);
            if self.commit(commit).await? {
                return Ok(Saved::Done);
            }
            if self.exists(task.id).await? {
                self.confirm_shard(Shard::of_task(task.id)).await?;
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
        let narrow = is_narrow(filter);
        let until = if narrow { total } else { page.offset.saturating_add(page.limit).min(total) };
        let mut ids = ids(&self.first(&sources, From::Lowest, &Span::all(), until).await?)?;
        ids = self.passing(ids, filter).await?;
        let total = if narrow { ids.len() as u64 } else { total };
        let ids: Vec<TaskId> =
            ids.into_iter().skip(as_usize(page.offset)).take(as_usize(page.limit)).collect();
        Ok(Paged { rows: self.find_tasks(&ids).await?, total })
    }

    async fn tasks_from(
        &self,
        filter: &TaskFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Task>> {
        let sources = self.creations(filter);
        let (most, mut found, mut last) = (as_usize(limit), Vec::new(), after);
        loop {
            let span = last.map_or_else(Span::all, |place| Span::after(place.first));
            let entries = self.first(&sources, From::Lowest, &span, limit).await?;
            let places = entries.iter().map(|entry| Place { first: entry.score as i64, then: 0 });
            let read: Vec<(TaskId, Place)> = ids(&entries)?.into_iter().zip(places).collect();
            last = read.last().map(|(_, place)| *place);
            let passing = self.passing(read.iter().map(|(id, _)| *id).collect(), filter).await?;
            found.extend(read.into_iter().filter(|(id, _)| passing.contains(id)));
            if entries.len() < most || found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        let next = found.last().map(|(_, place)| *place).filter(|_| found.len() == most);
        let ids: Vec<TaskId> = found.into_iter().map(|(id, _)| id).collect();
        Ok(Stretch { rows: self.find_tasks(&ids).await?, next })
    }

    async fn count_active(&self, owner: Option<&str>, kinds: &[TaskType]) -> Result<BTreeMap<TaskType, u64>> {
        let mut batch = Batch::default();
        for kind in kinds {
            for shard in Shard::of_tasks() {
                batch.add(shard, ["ZCARD", &self.keys.active(shard, *kind, owner)]);
                let (spent, busy) = (self.keys.spent(shard, *kind, owner), self.keys.busy(shard));
                batch.add(shard, ["ZINTER", "2", &spent, &busy]);
            }
        }
        let mut answers = self.ask(batch).await?;
        let mut counts = BTreeMap::new();
        for kind in kinds {
            for _ in Shard::of_tasks() {
                *counts.entry(*kind).or_default() += answers.count()? + answers.members()?.len() as u64;
            }
        }
        Ok(counts)
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
            self.update_task(&mut commit, &stored, task);
            if task.policies.overlap == OverlapPolicy::Allow {
                self.let_all_go(&mut commit, task.id, now).await?;
            }
            note_audit(&mut commit, Shard::of_task(task.id), &audit);
            if self.commit(commit).await? {
                return Ok(Saved::Done);
            }
            tries.again().await?;
        }
    }

    async fn delete_task(&self, id: TaskId, audit: AuditEntry) -> Result<bool> {
        self.remove_task(id, &audit).await
    }

    async fn finish_deletions(&self) -> Result<()> {
        self.go_on_deleting().await
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

    async fn next_fire(&self) -> Result<Option<EpochMillis>> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            batch.add(shard, ["ZRANGE", &self.keys.index(shard, Index::Due), "0", "0", "WITHSCORES"]);
        }
        let mut answers = self.ask(batch).await?;
        let mut earliest = None;
        for _ in Shard::of_tasks() {
            let first = answers.scored()?.first().map(|(_, due)| EpochMillis(*due as i64));
            earliest = [earliest, first].into_iter().flatten().min();
        }
        Ok(earliest)
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

    /// Those that pass what the filter says beside the owner.
    async fn passing(&self, ids: Vec<TaskId>, filter: &TaskFilter) -> Result<Vec<TaskId>> {
        if !is_narrow(filter) {
            return Ok(ids);
        }
        let mut batch = Batch::default();
        for id in &ids {
            let shard = Shard::of_task(*id);
            batch.add(shard, ["HMGET", &self.keys.task(*id), "k", "i", "a"]);
            batch.add(shard, ["ZCARD", &self.keys.open_of(*id)]);
        }
        let mut answers = self.ask(batch).await?;
        let item = filter.item.map(|item| item.to_string().into_bytes());
        let kinds: Vec<&[u8]> = filter.kinds.iter().copied().map(TaskType::name).map(str::as_bytes).collect();
        let mut passing = Vec::new();
        for id in ids {
            let [kind, of_item, enabled] = answers.fields()?;
            let open = answers.count()?;
            let is_active = match enabled.as_deref() {
                Some(enabled) if enabled == PLANS.as_bytes() => true,
                Some(enabled) if enabled == SPENT.as_bytes() => open > 0,
                _ => false,
            };
            let passes = (item.is_none() || item == of_item)
                && filter.active.is_none_or(|active| active == is_active)
                && (kinds.is_empty() || kind.is_some_and(|kind| kinds.contains(&kind.as_slice())));
            if passes {
                passing.push(id);
            }
        }
        Ok(passing)
    }
}

/// Whether the filter says more than an owner.
fn is_narrow(filter: &TaskFilter) -> bool {
    filter.item.is_some() || filter.active.is_some() || !filter.kinds.is_empty()
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
