//! Tasks and their due index.

use std::collections::BTreeMap;

use async_trait::async_trait;
use isochrone_domain::unknown::to_json;
use isochrone_domain::{AuditEntry, EpochMillis, OverlapPolicy, Run, Task, TaskId, TaskState, TaskType};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::rows::{self, Conditions, signed};
use super::{SqliteStore, audit, fires, retention, runs};
use crate::clock::machine_ms;
use crate::runs::PUT_OFF;
use crate::{
    Clock, Deferred, DueTask, FireCommit, Page, Paged, Place, Result, Saved, Stretch, TaskFilter, TaskStore,
};

/// Column `active` of an enabled task that plans a fire.
const PLANS: i64 = 1;
/// Of an enabled task that plans none: it is active as long as it has an open run.
const SPENT: i64 = 2;

const ACTIVE: &str = "(active = 1 OR (active = 2 AND EXISTS
    (SELECT 1 FROM runs WHERE runs.task = tasks.id AND runs.status <> 'ended')))";
const NOT_ACTIVE: &str = "(active = 0 OR (active = 2 AND NOT EXISTS
    (SELECT 1 FROM runs WHERE runs.task = tasks.id AND runs.status <> 'ended')))";

#[async_trait]
impl TaskStore for SqliteStore {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn deferred(&self) -> Deferred {
        self.deferrals.so_far()
    }

    async fn now(&self) -> Result<EpochMillis> {
        Ok(self.clock.now())
    }

    async fn server_times(&self) -> Result<Vec<i64>> {
        Ok(vec![machine_ms()])
    }

    async fn insert_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
        let task = task.clone();
        self.write(move |db| insert(db, &task, &audit)).await
    }

    async fn task(&self, id: TaskId) -> Result<Option<Task>> {
        self.read(move |db| find(db, id)).await
    }

    async fn tasks(&self, filter: &TaskFilter, page: Page) -> Result<Paged<Task>> {
        let conditions = conditions(filter);
        self.read(move |db| rows::page(db, "tasks", conditions, "seq", page)).await
    }

    async fn tasks_from(
        &self,
        filter: &TaskFilter,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Stretch<Task>> {
        let mut conditions = conditions(filter);
        if let Some(after) = after {
            conditions.and("seq > ?", [Value::Integer(after.first)]);
        }
        self.read(move |db| rows::stretch(db, "tasks", conditions, "seq, 0", "seq", limit)).await
    }

    async fn count_active(&self, owner: Option<&str>, kinds: &[TaskType]) -> Result<BTreeMap<TaskType, u64>> {
        let (owner, kinds) = (owner.map(str::to_owned), kinds.to_vec());
        self.read(move |db| {
            let mut counts = BTreeMap::new();
            for kind in kinds {
                counts.insert(kind, count_active(db, owner.as_deref(), kind)?);
            }
            Ok(counts)
        })
        .await
    }

    async fn unfinished(&self, task: TaskId) -> Result<u64> {
        self.read(move |db| runs::unfinished(db, task)).await
    }

    async fn save_task(&self, task: &Task, audit: AuditEntry) -> Result<Saved> {
        let (task, clock) = (task.clone(), self.clock);
        self.write(move |db| save(db, &task, &audit, clock.now())).await
    }

    async fn delete_task(&self, id: TaskId, audit: AuditEntry) -> Result<bool> {
        let clock = self.clock;
        self.write(move |db| delete(db, id, &audit, clock.now())).await
    }

    /// A deletion is one transaction here.
    async fn finish_deletions(&self) -> Result<()> {
        Ok(())
    }

    async fn due_tasks(&self, now: EpochMillis, limit: u64) -> Result<Vec<DueTask>> {
        let (due, unreadable) = self.read(move |db| due(db, now, limit)).await?;
        if !unreadable.is_empty() {
            self.deferrals.fires(unreadable.len());
            let later = now + self.clock.of_real(PUT_OFF);
            self.write_unsynced(move |db| put_off(db, &unreadable, later)).await?;
        }
        Ok(due)
    }

    async fn commit_fires(&self, commits: Vec<FireCommit>) -> Result<Vec<Saved>> {
        let clock = self.clock;
        self.write(move |db| {
            let now = clock.now();
            commits.into_iter().map(|commit| fires::commit(db, commit, now)).collect()
        })
        .await
    }

    async fn commit_request(&self, task: Task, run: Run, audit: AuditEntry) -> Result<Saved> {
        let clock = self.clock;
        self.write(move |db| fires::commit_request(db, &task, &run, &audit, clock.now())).await
    }

    async fn next_fire(&self) -> Result<Option<EpochMillis>> {
        self.read(next_fire).await
    }
}

/// The task with this id.
pub(super) fn find(db: &Connection, id: TaskId) -> Result<Option<Task>> {
    rows::one(db, "SELECT body FROM tasks WHERE id = ?1", [id.as_bytes()], rows::record)
}

/// The stored version; none: there is no such task.
pub(super) fn version(db: &Connection, id: TaskId) -> Result<Option<u64>> {
    let version = rows::one(db, "SELECT version FROM tasks WHERE id = ?1", [id.as_bytes()], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(version.map(|version| version as u64))
}

/// Writes a task over the stored one, as its next version.
pub(super) fn update(db: &Connection, task: &Task) -> Result<()> {
    let mut task = task.clone();
    task.version += 1;
    let sql = "UPDATE tasks SET owner = ?2, kind = ?3, item = ?4, active = ?5, next_fire = ?6, version = ?7,
                                body = ?8
               WHERE id = ?1";
    write(db, sql, &task).map(drop)
}

fn insert(db: &Connection, task: &Task, entry: &AuditEntry) -> Result<Saved> {
    let sql = "INSERT INTO tasks (id, owner, kind, item, active, next_fire, version, body)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";
    if write(db, sql, task)? == 0 {
        return Ok(Saved::Repeated);
    }
    audit::insert(db, entry)?;
    Ok(Saved::Done)
}

fn write(db: &Connection, sql: &str, task: &Task) -> Result<usize> {
    rows::execute(
        db,
        sql,
        params![
            task.id.as_bytes(),
            task.owner,
            task.kind.name(),
            task.item_id.as_ref().map(isochrone_domain::ItemId::as_bytes),
            match (task.state, task.next_fire) {
                (TaskState::Active, Some(_)) => PLANS,
                (TaskState::Active, None) => SPENT,
                (TaskState::Paused | TaskState::Disabled, _) => 0,
            },
            task.next_fire.map(|at| at.0),
            signed(task.version),
            to_json(task),
        ],
    )
}

fn save(db: &Connection, task: &Task, entry: &AuditEntry, now: EpochMillis) -> Result<Saved> {
    let sql = "SELECT version, owner <> ?2 FROM tasks WHERE id = ?1";
    let stored = rows::one(db, sql, params![task.id.as_bytes(), task.owner], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
    })?;
    let Some((version, owner_changed)) = stored else {
        return Ok(Saved::Stale);
    };
    if version != signed(task.version) {
        return Ok(Saved::Stale);
    }
    update(db, task)?;
    // It reads all that the task ever ran.
    if owner_changed {
        let sql = "UPDATE runs SET owner = ?2 WHERE task = ?1";
        rows::execute(db, sql, params![task.id.as_bytes(), task.owner])?;
    }
    if task.policies.overlap == OverlapPolicy::Allow {
        runs::release_all_waiting(db, task.id, now)?;
    }
    audit::insert(db, entry)?;
    Ok(Saved::Done)
}

fn delete(db: &Connection, id: TaskId, entry: &AuditEntry, now: EpochMillis) -> Result<bool> {
    retention::note_deletion(db, id, now)?;
    if rows::execute(db, "DELETE FROM tasks WHERE id = ?1", [id.as_bytes()])? == 0 {
        return Ok(false);
    }
    fires::note_deletion(db, id, now)?;
    audit::insert(db, entry)?;
    Ok(true)
}

fn count_active(db: &Connection, owner: Option<&str>, kind: TaskType) -> Result<u64> {
    // Spent tasks pile up, open runs do not: those are looked through, in this order.
    let counts = [
        "SELECT count(*) FROM tasks WHERE kind = ?1 AND active = 1",
        "SELECT count(DISTINCT runs.task) FROM runs CROSS JOIN tasks ON tasks.id = runs.task
         WHERE runs.status <> 'ended' AND tasks.kind = ?1 AND tasks.active = 2",
    ];
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let mut active = 0;
    for sql in counts {
        let counted = match owner {
            Some(owner) => {
                rows::one(db, &format!("{sql} AND tasks.owner = ?2"), [kind.name(), owner], count)?
            }
            None => rows::one(db, sql, [kind.name()], count)?,
        };
        active += counted.unwrap_or_default() as u64;
    }
    Ok(active)
}

fn conditions(filter: &TaskFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some(owner) = &filter.owner {
        conditions.and("owner = ?", [Value::Text(owner.clone())]);
    }
    if let Some(item) = filter.item {
        conditions.and("item = ?", [Value::Blob(item.as_bytes().to_vec())]);
    }
    if let Some(active) = filter.active {
        conditions.and(if active { ACTIVE } else { NOT_ACTIVE }, []);
    }
    if !filter.kinds.is_empty() {
        let places = vec!["?"; filter.kinds.len()].join(", ");
        let names = filter.kinds.iter().map(|kind| Value::Text(kind.name().to_owned()));
        conditions.and(&format!("kind IN ({places})"), names);
    }
    conditions
}

/// The tasks that are due, and the ids of those that can't be read.
fn due(db: &Connection, now: EpochMillis, limit: u64) -> Result<(Vec<DueTask>, Vec<Vec<u8>>)> {
    let sql = "SELECT body, (SELECT count(*) FROM runs WHERE task = tasks.id AND status <> 'ended'), id
               FROM tasks WHERE next_fire <= ?1 ORDER BY next_fire, seq LIMIT ?2";
    let found = rows::many(db, sql, [now.0, signed(limit)], |row| {
        let id: Vec<u8> = row.get(2)?;
        let task = rows::readable(rows::record(row), &format!("task {}", hex::encode(&id)))?;
        let unfinished = row.get::<_, i64>(1)? as u64;
        Ok(task.map(|task| DueTask { task, unfinished }).ok_or(id))
    })?;
    let (mut due, mut unreadable) = (Vec::with_capacity(found.len()), Vec::new());
    for found in found {
        match found {
            Ok(task) => due.push(task),
            Err(id) => unreadable.push(id),
        }
    }
    Ok((due, unreadable))
}

/// Looks at these tasks later: else they would be looked at all the time.
fn put_off(db: &Connection, tasks: &[Vec<u8>], later: EpochMillis) -> Result<()> {
    for task in tasks {
        rows::execute(db, "UPDATE tasks SET next_fire = ?2 WHERE id = ?1", params![task, later.0])?;
    }
    Ok(())
}

fn next_fire(db: &Connection) -> Result<Option<EpochMillis>> {
    let sql = "SELECT min(next_fire) FROM tasks WHERE next_fire IS NOT NULL";
    let next = rows::one(db, sql, [], |row| row.get::<_, Option<i64>>(0))?.flatten();
    Ok(next.map(EpochMillis))
}
