//! The commits of fires: what a task's due fires became, and runs that a person asked for.

use isochrone_domain::{AuditEntry, Run, RunStatus, Task, without_runs};

use super::RedisStore;
use super::audit::note_audit;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::Shard;
use super::line::{ask_line, take_line};
use super::records::{ask_task, seq, take_task};
use crate::{FireCommit, Result, Saved, StoreError, Tries};

impl RedisStore {
    /// All tasks' commits together, each of them all or nothing.
    pub(super) async fn fire(&self, commits: Vec<FireCommit>) -> Result<Vec<Saved>> {
        let mut steps = Vec::with_capacity(commits.len());
        for fired in &commits {
            steps.push(self.as_planned(fired)?);
        }
        let done = self.commit_all(&steps).await?;
        let mut answers = Vec::with_capacity(commits.len());
        for (fired, done) in commits.into_iter().zip(done) {
            answers.push(if done? { Saved::Done } else { self.fire_anew(fired).await? });
        }
        Ok(answers)
    }

    /// The commit if nobody else was there meanwhile; it needs no look before.
    fn as_planned(&self, fired: &FireCommit) -> Result<Commit> {
        let FireCommit { task, fires, runs } = fired;
        if !fires.iter().map(|fire| fire.id).eq(runs.iter().map(|run| run.fire)) {
            return Err(StoreError::Unavailable(format!(
                "the runs of task {} are not those of its fires",
                task.id
            )));
        }
        let mut commit = Commit::new(Shard::of_task(task.id));
        self.advance_task(&mut commit, task);
        self.insert_runs(&mut commit, task, runs);
        let any = |wanted: fn(&RunStatus) -> bool| runs.iter().any(|run| wanted(&run.status));
        if any(|status| *status == RunStatus::Waiting)
            && !any(|status| matches!(status, RunStatus::Queued { .. }))
        {
            self.check_somebody_ahead(&mut commit, task.id);
        }
        Ok(commit)
    }

    /// Runs and their rows in the ledger, which must not be there yet.
    fn insert_runs(&self, commit: &mut Commit, task: &Task, runs: &[Run]) {
        for (nth, run) in runs.iter().enumerate() {
            self.insert_fire(commit, task, run);
            self.insert_run(commit, run, seq(task, nth));
        }
    }

    /// Looks at what has changed, and commits what is still to be committed.
    async fn fire_anew(&self, fired: FireCommit) -> Result<Saved> {
        let FireCommit { task, runs, .. } = fired;
        let shard = Shard::of_task(task.id);
        let mut tries = Tries::default();
        loop {
            let mut batch = Batch::default();
            for run in &runs {
                batch.add(shard, ["EXISTS", &self.keys.fire(run.fire)]);
            }
            ask_task(&mut batch, &self.keys, task.id);
            ask_line(&mut batch, &self.keys, task.id);
            batch.add_time(shard);
            let mut answers = self.ask(batch).await?;
            // A fire can be in the ledger already although the task is as it was read: the task was
            // deleted and imported again. It fires no second time, but the task moves past it.
            let (mut left, mut left_out) = (Vec::new(), 0);
            for run in &runs {
                if answers.int()? == 0 {
                    left.push(run.clone());
                } else if !run.status.ended() {
                    left_out += 1;
                }
            }
            let repeated = left.is_empty() && !runs.is_empty();
            let stored = take_task(&mut answers)?;
            let line = take_line(&mut answers, task.id)?;
            let now = answers.now(self)?;
            if stored.is_none_or(|stored| stored.task.version != task.version) {
                if repeated {
                    self.confirm_shard(shard).await?;
                    return Ok(Saved::Repeated);
                }
                return Ok(Saved::Stale);
            }
            let mut commit = Commit::new(shard);
            let task = without_runs(&task, left_out);
            self.advance_task(&mut commit, &task);
            if self.join(&mut commit, &line, &mut left, now).await? {
                self.insert_runs(&mut commit, &task, &left);
                if self.commit(commit).await? {
                    return Ok(if repeated { Saved::Repeated } else { Saved::Done });
                }
            }
            tries.again().await?;
        }
    }

    /// A run that a person asked for.
    pub(super) async fn fire_request(&self, task: &Task, run: &Run, audit: &AuditEntry) -> Result<Saved> {
        let shard = Shard::of_task(task.id);
        let mut tries = Tries::default();
        loop {
            let mut batch = Batch::default();
            batch.add(shard, ["EXISTS", &self.keys.fire(run.fire)]);
            ask_task(&mut batch, &self.keys, task.id);
            ask_line(&mut batch, &self.keys, task.id);
            batch.add_time(shard);
            let mut answers = self.ask(batch).await?;
            if answers.int()? > 0 {
                self.confirm_shard(shard).await?;
                return Ok(Saved::Repeated);
            }
            if take_task(&mut answers)?.is_none_or(|stored| stored.task.version != task.version) {
                return Ok(Saved::Stale);
            }
            let line = take_line(&mut answers, task.id)?;
            let now = answers.now(self)?;
            let mut commit = Commit::new(shard);
            self.advance_task(&mut commit, task);
            let mut joining = [run.clone()];
            if self.join(&mut commit, &line, &mut joining, now).await? {
                self.insert_runs(&mut commit, task, &joining);
                note_audit(&mut commit, shard, audit);
                if self.commit(commit).await? {
                    return Ok(Saved::Done);
                }
            }
            tries.again().await?;
        }
    }
}
