//! A task's line: the runs that wait, and those ahead of them.
//!
//! Open runs that do not wait are ahead. While there is one, the others wait; a commit that takes the
//! last one away lets the next go, and checks that the line is as it was read.

use isochrone_domain::{EpochMillis, Run, RunId, RunStatus, TaskId};

use super::RedisStore;
use super::batch::{Answers, Batch};
use super::commit::Commit;
use super::keys::{Keys, Shard};
use super::records::{StoredRun, id_of};
use crate::{Result, StoreError};

/// A task's line, as it was read.
#[derive(Clone, Debug)]
pub(super) struct Line {
    task: TaskId,
    pub(super) ahead: u64,
    pub(super) waiting: u64,
    /// The first that wait: one more than can leave at once.
    next: Vec<RunId>,
}

/// What [`take_line`] reads.
pub(super) fn ask_line(batch: &mut Batch, keys: &Keys, task: TaskId) {
    let shard = Shard::of_task(task);
    batch.add(shard, ["ZCARD", &keys.open_of(task)]);
    batch.add(shard, ["ZCARD", &keys.waiting_of(task)]);
    batch.add(shard, ["ZRANGE", &keys.waiting_of(task), "0", "1"]);
}

pub(super) fn take_line(answers: &mut Answers, task: TaskId) -> Result<Line> {
    let (open, waiting) = (answers.count()?, answers.count()?);
    let next = answers.members()?.iter().map(|member| id_of(member)).collect::<Result<_>>()?;
    Ok(Line { task, ahead: open.saturating_sub(waiting), waiting, next })
}

impl RedisStore {
    /// A run leaves the line because it ends. False: the line has changed meanwhile.
    pub(super) async fn leave(
        &self,
        commit: &mut Commit,
        line: &Line,
        leaving: &StoredRun,
        now: EpochMillis,
    ) -> Result<bool> {
        let (open, waiting) = (self.keys.open_of(line.task), self.keys.waiting_of(line.task));
        let waits = leaving.run.status == RunStatus::Waiting;
        let leaves_ahead = u64::from(!waits);
        if line.waiting == u64::from(waits) {
            commit.check_size(&waiting, line.waiting);
            return Ok(true);
        }
        if line.ahead > leaves_ahead {
            commit.check_ahead_at_least(&open, &waiting, 1 + leaves_ahead);
            return Ok(true);
        }
        commit.check_ahead(&open, &waiting, line.ahead);
        let next = line.next.iter().find(|next| **next != leaving.run.id);
        match next {
            Some(next) => self.let_go(commit, *next, now).await,
            None => Ok(false),
        }
    }

    /// New runs join the line; none of them waits for nothing. False: the line has changed meanwhile.
    pub(super) async fn join(
        &self,
        commit: &mut Commit,
        line: &Line,
        joining: &mut [Run],
        now: EpochMillis,
    ) -> Result<bool> {
        let any =
            |joining: &[Run], wanted: fn(&RunStatus) -> bool| joining.iter().any(|run| wanted(&run.status));
        let queued = any(joining, |status| matches!(status, RunStatus::Queued { .. }));
        if queued || !any(joining, |status| *status == RunStatus::Waiting) {
            return Ok(true);
        }
        if line.ahead > 0 {
            self.check_somebody_ahead(commit, line.task);
            return Ok(true);
        }
        commit.check_ahead(&self.keys.open_of(line.task), &self.keys.waiting_of(line.task), 0);
        if let Some(next) = line.next.first() {
            return self.let_go(commit, *next, now).await;
        }
        if let Some(first) = joining.iter_mut().find(|run| run.status == RunStatus::Waiting) {
            first.status = RunStatus::Queued { due: now };
        }
        Ok(true)
    }

    /// There is a run that others wait for.
    pub(super) fn check_somebody_ahead(&self, commit: &mut Commit, task: TaskId) {
        commit.check_ahead_at_least(&self.keys.open_of(task), &self.keys.waiting_of(task), 1);
    }

    async fn let_go(&self, commit: &mut Commit, id: RunId, now: EpochMillis) -> Result<bool> {
        let next = match self.find_run(id).await {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(false),
            // One that only a newer version can read is let go by that, and what lets go is not held up by it.
            Err(StoreError::Corrupt(problem)) => {
                tracing::error!(run_id = %id, problem, "its turn has come, and it can't be read; left as it is");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        if next.run.status != RunStatus::Waiting {
            return Ok(false);
        }
        let going = Run { status: RunStatus::Queued { due: now }, ..next.run.clone() };
        self.update_run(commit, &next, &going);
        Ok(true)
    }

    /// Everybody who waits goes: the task's runs may overlap now.
    pub(super) async fn let_all_go(&self, commit: &mut Commit, task: TaskId, now: EpochMillis) -> Result<()> {
        let waiting = self.keys.waiting_of(task);
        let mut batch = Batch::default();
        batch.add(Shard::of_task(task), ["ZRANGE", &waiting, "0", "-1"]);
        let members = self.ask(batch).await?.members()?;
        commit.check_size(&waiting, members.len() as u64);
        let ids = members.iter().map(|member| id_of(member)).collect::<Result<Vec<RunId>>>()?;
        for waits in self.find_runs(&ids).await? {
            let going = Run { status: RunStatus::Queued { due: now }, ..waits.run.clone() };
            self.update_run(commit, &waits, &going);
        }
        Ok(())
    }
}
