//! What people want of runs: that they end, or begin again.

use isochrone_domain::{
    Amendment, AuditEntry, CancelReason, OverlapPolicy, Run, RunId, RunStatus, amend, cancel, recount, retry,
};

use super::RedisStore;
use super::audit::note_audit;
use super::batch::Batch;
use super::commit::Commit;
use super::keys::Shard;
use super::line::{ask_line, take_line};
use super::records::{ask_task, id_of, take_task};
use crate::runs::RECOUNTED;
use crate::{Cancelled, Result, Tries};

impl RedisStore {
    /// Asks a run to end.
    pub(super) async fn cancel(&self, id: RunId, why: CancelReason, entry: &AuditEntry) -> Result<Cancelled> {
        let shard = Shard::of_run(id);
        let mut tries = Tries::default();
        loop {
            let Some(stored) = self.find_run(id).await? else { return Ok(Cancelled::Missing) };
            let task = stored.run.task;
            let mut batch = Batch::default();
            batch.add(shard, ["EXISTS", &self.keys.task(task)]);
            ask_line(&mut batch, &self.keys, task);
            batch.add_time(shard);
            let mut answers = self.ask(batch).await?;
            if answers.int()? == 0 {
                return Ok(Cancelled::Missing);
            }
            let line = take_line(&mut answers, task)?;
            let now = answers.now(self)?;
            let Some(cancelled) = cancel(&stored.run, &entry.actor, why, now) else {
                return Ok(Cancelled::Refused(Box::new(stored.run)));
            };
            let mut commit = Commit::new(shard);
            self.update_run(&mut commit, &stored, &cancelled);
            let mut ready = true;
            if cancelled.status.ended() {
                self.note_run(&mut commit, &cancelled);
                ready = self.leave(&mut commit, &line, &stored, now).await?;
            }
            note_audit(&mut commit, shard, entry);
            if ready && self.commit(commit).await? {
                return Ok(Cancelled::Done(Box::new(cancelled)));
            }
            tries.again().await?;
        }
    }

    /// Keeps what a person says of a run.
    pub(super) async fn amend(
        &self,
        id: RunId,
        amendment: &Amendment,
        entry: &AuditEntry,
    ) -> Result<Cancelled> {
        let mut tries = Tries::default();
        loop {
            let Some(stored) = self.find_run(id).await? else { return Ok(Cancelled::Missing) };
            let Some(amended) = amend(&stored.run, amendment.clone()) else {
                return Ok(Cancelled::Refused(Box::new(stored.run)));
            };
            let mut commit = Commit::new(Shard::of_run(id));
            self.update_run(&mut commit, &stored, &amended);
            self.note_run(&mut commit, &amended);
            self.recount_failures(&mut commit, &stored.run, &amended).await?;
            note_audit(&mut commit, Shard::of_run(id), entry);
            if self.commit(commit).await? {
                return Ok(Cancelled::Done(Box::new(amended)));
            }
            tries.again().await?;
        }
    }

    /// Counts the failures of an amended run's task as its runs stand now.
    async fn recount_failures(&self, commit: &mut Commit, old: &Run, amended: &Run) -> Result<()> {
        let (shard, task) = (Shard::of_run(old.id), old.task);
        let mut batch = Batch::default();
        ask_task(&mut batch, &self.keys, task);
        let last = (RECOUNTED - 1).to_string();
        batch.add(shard, ["ZREVRANGE", &self.keys.ended_of(task), "0", &last]);
        batch.add_time(shard);
        let mut answers = self.ask(batch).await?;
        let found = take_task(&mut answers)?;
        let ids = answers.members()?.iter().map(|member| id_of(member)).collect::<Result<Vec<RunId>>>()?;
        let now = answers.now(self)?;
        let Some(found) = found else { return Ok(()) };
        let others = self.find_runs(&ids).await?.into_iter().map(|stored| stored.run);
        let others: Vec<Run> = others.filter(|run| run.id != old.id).collect();
        let recounted = recount(&found.task, old, amended, &others, now);
        if recounted != found.task {
            self.advance_task(commit, &recounted);
        }
        Ok(())
    }

    /// Forgets an ended run.
    pub(super) async fn delete(&self, id: RunId, entry: &AuditEntry) -> Result<Cancelled> {
        let mut tries = Tries::default();
        loop {
            let Some(stored) = self.find_run(id).await? else { return Ok(Cancelled::Missing) };
            if !stored.run.status.ended() {
                return Ok(Cancelled::Refused(Box::new(stored.run)));
            }
            let now = self.now_at(Shard::of_run(id)).await?;
            let mut commit = Commit::new(Shard::of_run(id));
            self.check_run(&mut commit, &stored);
            self.remove_ended(&mut commit, stored.run.task, id, now);
            note_audit(&mut commit, Shard::of_run(id), entry);
            if self.commit(commit).await? {
                return Ok(Cancelled::Done(Box::new(stored.run)));
            }
            tries.again().await?;
        }
    }

    /// Asks for an ended run once more.
    pub(super) async fn retry(&self, id: RunId, entry: &AuditEntry) -> Result<Cancelled> {
        let shard = Shard::of_run(id);
        let mut tries = Tries::default();
        loop {
            let Some(stored) = self.find_run(id).await? else { return Ok(Cancelled::Missing) };
            let task = stored.run.task;
            let mut batch = Batch::default();
            ask_task(&mut batch, &self.keys, task);
            ask_line(&mut batch, &self.keys, task);
            batch.add_time(shard);
            let mut answers = self.ask(batch).await?;
            let Some(found) = take_task(&mut answers)? else { return Ok(Cancelled::Missing) };
            let line = take_line(&mut answers, task)?;
            let Some(mut again) = retry(&stored.run, answers.now(self)?) else {
                return Ok(Cancelled::Refused(Box::new(stored.run)));
            };
            let mut commit = Commit::new(shard);
            if found.task.policies.overlap != OverlapPolicy::Allow && line.ahead + line.waiting > 0 {
                again.status = RunStatus::Waiting;
                self.check_somebody_ahead(&mut commit, task);
            }
            self.update_run(&mut commit, &stored, &again);
            self.note_run(&mut commit, &again);
            // A fire that was decided while nothing was unfinished has to be decided anew.
            self.advance_task(&mut commit, &found.task);
            note_audit(&mut commit, shard, entry);
            if self.commit(commit).await? {
                return Ok(Cancelled::Done(Box::new(again)));
            }
            tries.again().await?;
        }
    }
}
