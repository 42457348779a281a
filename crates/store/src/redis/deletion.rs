//! Deleting a task: in one step it is gone; then its runs are removed, some at a time.
//!
//! Until the last is removed the task is in its shard's `graves`, where the reaper finds it if the
//! process that deletes it dies.

use std::collections::BTreeMap;

use isochrone_domain::{AuditEntry, EpochMillis, Outcome, Reason, RunId, TaskId, TaskType};
use redis::cmd;

use super::RedisStore;
use super::audit::note_audit;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::{Index, Shard};
use super::lists::Span;
use super::records::{ENDED, StoredRun, ask_run, id_of, readable, take_run};
use crate::{Result, Tries};

/// Runs that are removed in one step.
const RUNS: usize = 100;

impl RedisStore {
    /// Forgets a task and its runs. False: it was not there.
    pub(super) async fn remove_task(&self, id: TaskId, entry: &AuditEntry) -> Result<bool> {
        let (shard, member) = (Shard::of_task(id), id.to_string());
        let mut tries = Tries::default();
        loop {
            let Some(stored) = self.find_task(id).await? else {
                self.confirm_shard(shard).await?;
                return Ok(false);
            };
            let mut commit = Commit::new(shard);
            commit.check_is(&self.keys.task(id), "v", stored.task.version);
            commit.delete(&self.keys.task(id));
            commit.take(&self.keys.index(shard, Index::Due), &member);
            commit.take(&self.keys.index(shard, Index::Tasks), &member);
            commit.take(&self.keys.tasks_of(shard, &stored.task.owner), &member);
            self.uncount_task(&mut commit, &stored.task);
            commit.set(&self.keys.graves(shard), &[(&member, b"1")]);
            note_audit(&mut commit, shard, entry);
            if self.commit(commit).await? {
                break;
            }
            tries.again().await?;
        }
        self.bury(id).await?;
        Ok(true)
    }

    /// No deletion of this task is under way.
    pub(super) fn check_not_buried(&self, commit: &mut Commit, id: TaskId) {
        commit.check_absent(&self.keys.graves(Shard::of_task(id)), &id.to_string());
    }

    /// Removes the runs of deleted tasks that are left. A task whose runs can't be removed is named in the log, and
    /// keeps nothing else from being done.
    pub(super) async fn go_on_deleting(&self) -> Result<()> {
        for task in self.unfinished_deletions().await? {
            if let Err(error) = self.bury(task).await {
                self.deferrals.deletions(1);
                tracing::error!(task_id = %task, %error, "the runs of a deleted task are not removed yet");
            }
        }
        Ok(())
    }

    /// Deleted tasks of which runs are left.
    async fn unfinished_deletions(&self) -> Result<Vec<TaskId>> {
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            batch.add(shard, ["HKEYS", &self.keys.graves(shard)]);
        }
        let mut answers = self.ask(batch).await?;
        let mut tasks = Vec::new();
        for _ in Shard::of_tasks() {
            tasks.extend(answers.members()?.iter().filter_map(|member| id_of::<TaskId>(member).ok()));
        }
        Ok(tasks)
    }

    /// Removes the runs of a deleted task.
    pub(super) async fn bury(&self, task: TaskId) -> Result<()> {
        let shard = Shard::of_task(task);
        let (open, ended) = (self.keys.open_of(task), self.keys.ended_of(task));
        let last = (RUNS - 1).to_string();
        let mut tries = Tries::default();
        loop {
            let mut batch = Batch::default();
            batch.add(shard, ["ZRANGE", &open, "0", &last]);
            batch.add(shard, ["ZRANGE", &ended, "0", &last]);
            batch.add_time(shard);
            let mut answers = self.ask(batch).await?;
            let ids = |members: Vec<Vec<u8>>| {
                members.iter().map(|member| id_of(member)).collect::<Result<Vec<_>>>()
            };
            let (unfinished, finished) = (ids(answers.members()?)?, ids(answers.members()?)?);
            let now = answers.now(self)?;
            let mut commit = Commit::new(shard);
            if unfinished.is_empty() && finished.is_empty() {
                // Nobody adds runs to a task that is gone.
                commit.unset(&self.keys.graves(shard), &[&task.to_string()]);
                self.commit(commit).await?;
                return Ok(());
            }
            self.bury_unfinished(&mut commit, task, &unfinished).await?;
            for (id, there) in finished.iter().zip(self.are_there(shard, &finished).await?) {
                if there {
                    self.remove_ended(&mut commit, task, *id, now);
                } else {
                    self.take_ended(&mut commit, task, *id);
                }
            }
            if !self.commit(commit).await? {
                tries.again().await?;
            }
        }
    }

    /// Takes runs that have not ended out of everything; the ledger says why.
    async fn bury_unfinished(&self, commit: &mut Commit, task: TaskId, ids: &[RunId]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let shard = Shard::of_task(task);
        let mut batch = Batch::default();
        for id in ids {
            ask_run(&mut batch, &self.keys, *id);
        }
        batch.add_time(shard);
        let mut answers = self.ask(batch).await?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(readable(take_run(&mut answers), "run", id)?.flatten());
        }
        let now = answers.now(self)?;
        for (id, found) in ids.iter().zip(found) {
            if let Some(stored) = &found {
                let outcome = if stored.run.started.is_some() { Outcome::Failed } else { Outcome::Skipped };
                self.check_run(commit, stored);
                self.note_end(commit, &stored.run, Some((outcome, Reason::TaskDeleted, now)));
            }
            self.take_open(commit, task, *id, found.as_ref(), now);
        }
        Ok(())
    }

    fn take_open(
        &self,
        commit: &mut Commit,
        task: TaskId,
        id: RunId,
        found: Option<&StoredRun>,
        now: EpochMillis,
    ) {
        let (keys, shard, member) = (&self.keys, Shard::of_task(task), id.to_string());
        for kind in TaskType::ALL {
            // Its own is not known if it can't be read.
            if found.is_none_or(|stored| stored.run.kind == kind) {
                commit.take(&keys.outbox(shard, kind), &member);
            }
        }
        for index in [Index::Delayed, Index::Leases, Index::Open] {
            commit.take(&keys.index(shard, index), &member);
        }
        commit.take(&keys.waiting_of(task), &member);
        commit.take(&keys.open_of(task), &member);
        commit.take_unless(&keys.busy(shard), &task.to_string(), &keys.open_of(task));
        self.delete_run(commit, id, now);
    }

    /// Removes a run, if it has ended and nobody made it begin again.
    pub(super) fn remove_ended(&self, commit: &mut Commit, task: TaskId, id: RunId, now: EpochMillis) {
        commit.check_is(&self.keys.run(id), "t", ENDED);
        self.take_ended(commit, task, id);
        self.delete_run(commit, id, now);
    }

    /// Takes an ended run out of the lists.
    fn take_ended(&self, commit: &mut Commit, task: TaskId, id: RunId) {
        let member = id.to_string();
        commit.take(&self.keys.index(Shard::of_task(task), Index::Ended), &member);
        commit.take(&self.keys.ended_of(task), &member);
    }

    /// Which of these runs have a record.
    async fn are_there(&self, shard: Shard, ids: &[RunId]) -> Result<Vec<bool>> {
        let mut batch = Batch::default();
        for id in ids {
            batch.add(shard, ["EXISTS", &self.keys.run(*id)]);
        }
        let mut answers = self.ask(batch).await?;
        ids.iter().map(|_| Ok(answers.int()? > 0)).collect()
    }

    fn delete_run(&self, commit: &mut Commit, id: RunId, now: EpochMillis) {
        commit.put(&self.keys.deleted_runs(Shard::of_run(id)), now.0, &id.to_string());
        commit.delete(&self.keys.run(id));
        commit.delete(&self.keys.log(id));
        commit.delete(&self.keys.log_order(id));
    }

    /// Runs that were deleted at `until` or before, those of long ago first.
    pub(super) async fn find_deleted_runs(&self, until: EpochMillis, limit: u64) -> Result<Vec<RunId>> {
        let Span { min, max } = Span::through(until.0);
        let mut batch = Batch::default();
        for shard in Shard::of_tasks() {
            let mut old = cmd("ZRANGEBYSCORE");
            old.arg(self.keys.deleted_runs(shard)).arg(&min).arg(&max);
            old.arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
            batch.push(shard, old);
        }
        let mut answers = self.ask(batch).await?;
        let mut found = Vec::new();
        for _ in Shard::of_tasks() {
            for (member, at) in answers.scored()? {
                found.push((at, id_of(&member)?));
            }
        }
        found.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// Nothing is left of them.
    pub(super) async fn take_deleted_runs(&self, runs: &[RunId]) -> Result<()> {
        let mut commits = BTreeMap::new();
        for run in runs {
            let shard = Shard::of_run(*run);
            let commit = commits.entry(shard).or_insert_with(|| Commit::new(shard));
            commit.take(&self.keys.deleted_runs(shard), &run.to_string());
        }
        for commit in commits.into_values() {
            self.commit(commit).await?;
        }
        Ok(())
    }
}
