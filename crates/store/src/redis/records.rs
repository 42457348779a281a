//! Tasks and runs as they are kept: hashes of a version, the JSON of the domain's type, and what must be
//! seen without reading that; with the indexes that follow from them.
//!
//! | field | of a task | of a run |
//! |---|---|---|
//! | `v` | its version | grows with each write |
//! | `b` | the JSON, without its parameters | the JSON |
//! | `p` | its parameters | |
//! | `s` | its place in the order of creation | its place in its task's line |
//! | `k` | its type | its type |
//! | `i`, `a` | its item; 1 if it plans a fire, `s` if it is enabled and plans none, else 0 | |
//! | `t` | | its turn: `q` and the attempts begun while it is queued, `e` and the fence while it executes, `w`, `x` |
//! | `x` | | when it ended |
//! | `g` | | how far its attempt is |
//!
//! When a run's lease ends is its score in the index of leases, and nowhere else.

use std::time::Duration;

use isochrone_domain::{
    EpochMillis, Fence, Progress, Record, Run, RunId, RunStatus, Task, TaskId, TaskState, TaskType, unknown,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RedisStore;
use super::batch::{Answers, Batch, parse};
use super::commit::Commit;
use super::keys::{Index, Keys, Shard, folded};
use crate::runs::least_number;
use crate::{Result, StoreError};

/// A task and what is kept beside it.
#[derive(Clone, Debug)]
pub(super) struct StoredTask {
    pub(super) task: Task,
    /// Its place in the order of creation.
    pub(super) seq: u64,
}

/// A run and what is kept beside it.
#[derive(Clone, Debug)]
pub(super) struct StoredRun {
    pub(super) run: Run,
    pub(super) version: u64,
    /// Its place in its task's line.
    pub(super) seq: u64,
}

/// How well the server's clock is known here.
const CLOCK_ERROR: Duration = Duration::from_millis(100);

/// The field of a shard's outbox that has its last number.
pub(super) const LAST_NUMBER: &str = "last";

/// Places in a task's line for each version of the task: a commit makes fewer runs.
const SEQS: u64 = 4_096;

/// The place of a commit's nth run, by the task's version that it is based on.
pub(super) fn seq(task: &Task, nth: usize) -> u64 {
    task.version * SEQS + nth as u64
}

/// A value as it stands in a field.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("the domain's types have only text as keys")
}

/// The value in a field. The error says no value: it may be a secret.
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|_| unreadable::<T>())
}

/// A record as it stands in a field, with what is unknown of it.
pub(super) fn record_json<T: Record>(record: &T) -> Vec<u8> {
    unknown::to_json(record).into_bytes()
}

/// The record in a field, with what is unknown of it.
pub(super) fn from_record<T: Record>(bytes: &[u8]) -> Result<T> {
    unknown::from_json(bytes).map_err(|_| unreadable::<T>())
}

pub(super) fn unreadable<T>() -> StoreError {
    StoreError::Corrupt(format!("no {} that this version can read", std::any::type_name::<T>()))
}

/// The fields of a task that [`take_task`] reads.
pub(super) fn ask_task(batch: &mut Batch, keys: &Keys, id: TaskId) {
    batch.add(Shard::of_task(id), ["HMGET", &keys.task(id), "b", "s", "p"]);
}

pub(super) fn take_task(answers: &mut Answers) -> Result<Option<StoredTask>> {
    let [body, seq, parameters] = answers.fields()?;
    let Some(body) = body else { return Ok(None) };
    let seq = seq.as_deref().and_then(parse).ok_or_else(unreadable::<Task>)?;
    let parameters = parameters.map(String::from_utf8).transpose().map_err(|_| unreadable::<Task>())?;
    Ok(Some(StoredTask { task: Task { parameters, ..from_record(&body)? }, seq }))
}

/// The fields of a run that [`take_run`] reads.
pub(super) fn ask_run(batch: &mut Batch, keys: &Keys, id: RunId) {
    batch.add(Shard::of_run(id), ["HMGET", &keys.run(id), "b", "v", "s", "g"]);
}

pub(super) fn take_run(answers: &mut Answers) -> Result<Option<StoredRun>> {
    let [body, version, seq, progress] = answers.fields()?;
    let Some(body) = body else { return Ok(None) };
    let progress = progress.as_deref().map(from_json).transpose()?;
    let number = |field: Option<Vec<u8>>| field.as_deref().and_then(parse).ok_or_else(unreadable::<Run>);
    let run = Run { progress, ..from_record(&body)? };
    Ok(Some(StoredRun { run, version: number(version)?, seq: number(seq)? }))
}

impl RedisStore {
    pub(super) async fn find_task(&self, id: TaskId) -> Result<Option<StoredTask>> {
        let mut batch = Batch::default();
        ask_task(&mut batch, &self.keys, id);
        take_task(&mut self.ask(batch).await?)
    }

    pub(super) async fn find_run(&self, id: RunId) -> Result<Option<StoredRun>> {
        let mut batch = Batch::default();
        ask_run(&mut batch, &self.keys, id);
        take_run(&mut self.ask(batch).await?)
    }

    /// Runs in this order; one that is gone is left out, and so is, with an error in the log, one that
    /// can't be read.
    pub(super) async fn find_runs(&self, ids: &[RunId]) -> Result<Vec<StoredRun>> {
        let mut batch = Batch::default();
        for id in ids {
            ask_run(&mut batch, &self.keys, *id);
        }
        let mut answers = self.ask(batch).await?;
        let mut runs = Vec::with_capacity(ids.len());
        for id in ids {
            runs.extend(readable(take_run(&mut answers), "run", id)?.flatten());
        }
        Ok(runs)
    }

    /// Writes a task that is new.
    pub(super) fn insert_task_record(&self, commit: &mut Commit, task: &Task, seq: u64) {
        let (keys, shard, id) = (&self.keys, Shard::of_task(task.id), task.id.to_string());
        commit.check_absent(&keys.task(task.id), "v");
        self.set_task(commit, task, task.version);
        self.set_parameters(commit, task);
        commit.set(&keys.task(task.id), &[("s", seq.to_string().as_bytes())]);
        commit.put(&keys.index(shard, Index::Tasks), seq, &id);
        commit.put(&keys.tasks_of(shard, &task.owner), seq, &id);
        self.count_task(commit, task, seq);
    }

    /// Writes a task over the stored one, if that has its version, as the next one.
    pub(super) fn update_task(&self, commit: &mut Commit, old: &StoredTask, task: &Task) {
        self.uncount_task(commit, &old.task);
        self.advance_task(commit, task);
        self.set_parameters(commit, task);
        self.move_task(commit, old, &task.owner);
        self.count_task(commit, task, old.seq);
    }

    /// The same where its owner, type and parameters are as they were: they may be long, and it fires often.
    /// It may stop planning fires.
    pub(super) fn advance_task(&self, commit: &mut Commit, task: &Task) {
        commit.check_is(&self.keys.task(task.id), "v", task.version);
        self.set_task(commit, task, task.version + 1);
        if task.state != TaskState::Active {
            self.uncount_task(commit, task);
        } else if task.next_fire.is_none() {
            self.uncount_task(commit, task);
            self.count_task(commit, task, 0);
        }
    }

    /// Counts a task among those that plan fires, or among those that are active as long as they have an open run.
    fn count_task(&self, commit: &mut Commit, task: &Task, seq: u64) {
        let keys = match (task.state, task.next_fire) {
            (TaskState::Active, Some(_)) => self.planning(task),
            (TaskState::Active, None) => self.spent(task),
            (TaskState::Paused | TaskState::Disabled, _) => return,
        };
        for key in keys {
            commit.put(&key, seq, &task.id.to_string());
        }
    }

    /// Counts it no longer.
    pub(super) fn uncount_task(&self, commit: &mut Commit, task: &Task) {
        for key in self.planning(task).into_iter().chain(self.spent(task)) {
            commit.take(&key, &task.id.to_string());
        }
    }

    fn planning(&self, task: &Task) -> [String; 2] {
        let shard = Shard::of_task(task.id);
        [None, Some(task.owner.as_str())].map(|owner| self.keys.active(shard, task.kind, owner))
    }

    fn spent(&self, task: &Task) -> [String; 2] {
        let shard = Shard::of_task(task.id);
        [None, Some(task.owner.as_str())].map(|owner| self.keys.spent(shard, task.kind, owner))
    }

    /// Moves a task from one owner's tasks to another's.
    fn move_task(&self, commit: &mut Commit, old: &StoredTask, owner: &str) {
        if folded(&old.task.owner) != folded(owner) {
            let (shard, id) = (Shard::of_task(old.task.id), old.task.id.to_string());
            commit.take(&self.keys.tasks_of(shard, &old.task.owner), &id);
            commit.put(&self.keys.tasks_of(shard, owner), old.seq, &id);
        }
    }

    fn set_parameters(&self, commit: &mut Commit, task: &Task) {
        let key = self.keys.task(task.id);
        match &task.parameters {
            Some(parameters) => commit.set(&key, &[("p", parameters.as_bytes())]),
            None => commit.unset(&key, &["p"]),
        }
    }

    fn set_task(&self, commit: &mut Commit, task: &Task, version: u64) {
        let item = task.item_id.map(|item| item.to_string()).unwrap_or_default();
        let active = match (task.state, task.next_fire) {
            (TaskState::Active, Some(_)) => PLANS,
            (TaskState::Active, None) => SPENT,
            (TaskState::Paused | TaskState::Disabled, _) => "0",
        };
        let body = record_json(&Task { parameters: None, version, ..task.clone() });
        let version = version.to_string();
        let fields: [(&str, &[u8]); 5] = [
            ("v", version.as_bytes()),
            ("k", task.kind.name().as_bytes()),
            ("i", item.as_bytes()),
            ("a", active.as_bytes()),
            ("b", &body),
        ];
        commit.set(&self.keys.task(task.id), &fields);
        let due = self.keys.index(Shard::of_task(task.id), Index::Due);
        match task.next_fire {
            Some(at) => commit.put(&due, at.0, &task.id.to_string()),
            None => commit.take(&due, &task.id.to_string()),
        }
    }

    /// Writes a run that is new.
    pub(super) fn insert_run(&self, commit: &mut Commit, run: &Run, seq: u64) {
        let (keys, shard, id) = (&self.keys, Shard::of_run(run.id), run.id.to_string());
        let (all, of_task) = self.history(run);
        commit.put(&keys.index(shard, all), run.planned.0, &id);
        commit.put(&of_task, run.planned.0, &id);
        if !run.status.ended() {
            commit.put(&keys.busy(shard), 0, &run.task.to_string());
        }
        let seq_text = seq.to_string();
        let fields: [(&str, &[u8]); 2] = [("s", seq_text.as_bytes()), ("k", run.kind.name().as_bytes())];
        self.set_run(commit, run, 1, seq, &fields);
    }

    /// Writes a run over the stored one, if that is as it was read. If it is queued, it is so anew, to be published.
    pub(super) fn update_run(&self, commit: &mut Commit, old: &StoredRun, run: &Run) {
        let (keys, shard, id) = (&self.keys, Shard::of_run(run.id), run.id.to_string());
        self.check_run(commit, old);
        match old.run.status {
            RunStatus::Queued { .. } => {
                commit.take(&keys.outbox(shard, run.kind), &id);
                commit.take(&keys.index(shard, Index::Delayed), &id);
            }
            RunStatus::Waiting => commit.take(&keys.waiting_of(run.task), &id),
            RunStatus::Executing { .. } if !matches!(run.status, RunStatus::Executing { .. }) => {
                commit.take(&keys.index(shard, Index::Leases), &id);
                // Renewals write it without a new version.
                commit.unset(&keys.run(run.id), &["g"]);
            }
            RunStatus::Executing { .. } => {}
            RunStatus::Ended { .. } => commit.unset(&keys.run(run.id), &["x"]),
        }
        if old.run.status.ended() != run.status.ended() {
            let (before, before_of_task) = self.history(&old.run);
            let (now, now_of_task) = self.history(run);
            commit.take(&keys.index(shard, before), &id);
            commit.take(&before_of_task, &id);
            commit.put(&keys.index(shard, now), run.planned.0, &id);
            commit.put(&now_of_task, run.planned.0, &id);
            let task = run.task.to_string();
            if run.status.ended() {
                commit.take_unless(&keys.busy(shard), &task, &before_of_task);
            } else {
                commit.put(&keys.busy(shard), 0, &task);
            }
        }
        self.set_run(commit, run, old.version + 1, old.seq, &[]);
        if let Some(progress) = run.progress.as_ref().filter(|_| run.progress != old.run.progress) {
            self.set_progress(commit, run.id, progress);
        }
    }

    /// Moves the end of a run's lease.
    pub(super) fn set_lease(&self, commit: &mut Commit, run: RunId, until: EpochMillis) {
        commit.put(&self.keys.index(Shard::of_run(run), Index::Leases), until.0, &run.to_string());
    }

    /// Notes how far a run's attempt is.
    pub(super) fn set_progress(&self, commit: &mut Commit, run: RunId, progress: &Progress) {
        commit.set(&self.keys.run(run), &[("g", &json(progress))]);
    }

    /// Puts a queued run into the outbox, or, if it is due later, among those that are delayed.
    ///
    /// What is due in a moment may go to the outbox too early: the clock that decides is the server's, and that is known
    /// here about. The claim of such a run is refused, and it is delayed then.
    pub(super) fn queue(&self, commit: &mut Commit, run: &Run, due: EpochMillis) {
        let (shard, id) = (Shard::of_run(run.id), run.id.to_string());
        if due <= self.followed_clock().now() + self.clock.of_real(CLOCK_ERROR) {
            self.put_into_outbox(commit, run.id, run.kind, due);
        } else {
            commit.put(&self.keys.index(shard, Index::Delayed), due.0, &id);
        }
    }

    /// Puts a run that is due into the outbox of its type, with the next number.
    pub(super) fn put_into_outbox(&self, commit: &mut Commit, run: RunId, kind: TaskType, due: EpochMillis) {
        let shard = Shard::of_run(run);
        let (outbox, state) = (self.keys.outbox(shard, kind), self.keys.outbox_state(shard));
        commit.put_next(&outbox, &run.to_string(), (&state, LAST_NUMBER), least_number(due));
    }

    /// The run is as it was read.
    pub(super) fn check_run(&self, commit: &mut Commit, read: &StoredRun) {
        commit.check_is(&self.keys.run(read.run.id), "v", read.version);
    }

    /// Which of the two histories has the run: its shard's and its task's.
    fn history(&self, run: &Run) -> (Index, String) {
        if run.status.ended() {
            (Index::Ended, self.keys.ended_of(run.task))
        } else {
            (Index::Open, self.keys.open_of(run.task))
        }
    }

    fn set_run(&self, commit: &mut Commit, run: &Run, version: u64, seq: u64, more: &[(&str, &[u8])]) {
        let (keys, id) = (&self.keys, run.id.to_string());
        let body = record_json(&Run { progress: None, ..run.clone() });
        let (version, turn) = (version.to_string(), turn(run));
        let mut fields: Vec<(&str, &[u8])> =
            vec![("v", version.as_bytes()), ("t", turn.as_bytes()), ("b", &body)];
        fields.extend(more);
        let ended = match run.status {
            RunStatus::Ended { at, .. } => Some(at.0.to_string()),
            _ => None,
        };
        if let Some(at) = &ended {
            fields.push(("x", at.as_bytes()));
        }
        commit.set(&keys.run(run.id), &fields);
        match &run.status {
            RunStatus::Queued { due } => self.queue(commit, run, *due),
            RunStatus::Waiting => commit.put(&keys.waiting_of(run.task), seq, &id),
            RunStatus::Executing { .. } | RunStatus::Ended { .. } => {}
        }
    }
}

/// What a run's field `t` is.
fn turn(run: &Run) -> String {
    match run.status {
        RunStatus::Queued { .. } => queued(run.attempt),
        RunStatus::Executing { .. } => executing(run.fence()),
        RunStatus::Waiting => "w".to_owned(),
        RunStatus::Ended { .. } => ENDED.to_owned(),
    }
}

/// Field `a` of an enabled task that plans a fire.
pub(super) const PLANS: &str = "1";

/// Field `a` of an enabled task that plans none.
pub(super) const SPENT: &str = "s";

/// The turn of a run that has ended.
pub(super) const ENDED: &str = "x";

/// The turn of a run that is queued after so many attempts.
pub(super) fn queued(attempt: u32) -> String {
    format!("q{attempt}")
}

/// The turn of a run that this attempt has.
pub(super) fn executing(fence: Fence) -> String {
    format!("e{fence}")
}

/// What was read, or nothing, with an error in the log, where it can't be read: one damaged record must
/// not stop what concerns all.
pub(super) fn readable<T>(read: Result<T>, what: &str, id: &impl std::fmt::Display) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::Corrupt(problem)) => {
            tracing::error!(what, %id, problem, "left out: it can't be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The id that a member of an index is.
pub(super) fn id_of<T: std::str::FromStr>(member: &[u8]) -> Result<T> {
    parse(member).ok_or_else(unreadable::<T>)
}
