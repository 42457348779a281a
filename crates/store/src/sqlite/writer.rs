//! The one thread that writes.
//!
//! Steps wait in a channel while a commit is being synced to the disk; then all that wait share the
//! next transaction and its one sync. Each step has a savepoint of its own, so that an error undoes
//! that step only, and each is answered after the commit, so that what was answered is on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{Result, StoreError};

/// Steps that share a transaction at most.
const GROUP: usize = 256;

/// Steps that wait at most; further callers wait to get in line.
const LINE: usize = 1_024;

/// The way to the thread that writes.
pub(super) struct Writer {
    /// None only while it is dropped.
    line: Option<mpsc::Sender<Box<dyn Step>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread, which owns `db` from now on.
    pub(super) fn start(db: Connection) -> Result<Writer> {
        let (line, steps) = mpsc::channel(LINE);
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        let thread = Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || serve(&db, steps, &counted))
            .map_err(|error| StoreError::Unavailable(format!("no thread to write: {error}")))?;
        Ok(Writer { line: Some(line), thread: Some(thread), commits })
    }

    /// Does `work` and answers once it is as safe as `safety` says. It may be done even if the caller goes
    /// away.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        safety: Safety,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (caller, answer) = oneshot::channel();
        let step = Pending { work: Some(work), result: None, safety, caller };
        let gone = || StoreError::Unavailable("the thread that writes has ended".to_owned());
        let line = self.line.as_ref().ok_or_else(gone)?;
        line.send(Box::new(step)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Transactions committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// Waits until what is in line is done and the file is closed.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.line.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes has panicked");
        }
    }
}

/// What a write survives once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Safety {
    /// The death of any process; not a loss of power, unless a later write survives that. It costs no
    /// sync: for what means nothing after a loss of power, since it speaks of processes.
    Crash,
    /// A loss of power, too.
    PowerLoss,
}

/// A write that waits for its turn, and then for the commit.
trait Step: Send {
    /// What it must survive.
    fn safety(&self) -> Safety;

    /// Does it, within a savepoint. An error: undo it.
    fn run(&mut self, db: &Connection) -> Result<()>;

    /// Tells the caller what came of it, now that the transaction is committed or undone.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Pending<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    safety: Safety,
    caller: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T> + Send> Step for Pending<T, F> {
    fn safety(&self) -> Safety {
        self.safety
    }

    fn run(&mut self, db: &Connection) -> Result<()> {
        let work = self.work.take().expect("a step runs once");
        // What the closure leaves half done in the database is undone with its savepoint.
        let result = catch_unwind(AssertUnwindSafe(|| work(db))).unwrap_or_else(|_| {
            Err(StoreError::Unavailable("a step on the store panicked; it was undone".to_owned()))
        });
        let verdict = result.as_ref().map(|_| ()).map_err(StoreError::clone);
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let result = match (self.result, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(error),
            (Some(result), Ok(())) => result,
            (None, Ok(())) => unreachable!("a group is committed after all of its steps ran"),
        };
        // A caller that went away needs no answer.
        drop(self.caller.send(result));
    }
}

fn serve(db: &Connection, mut steps: mpsc::Receiver<Box<dyn Step>>, commits: &AtomicU64) {
    let mut group = Vec::with_capacity(GROUP);
    let mut safety = None;
    while steps.blocking_recv_many(&mut group, GROUP) > 0 {
        let committed = set_safety(db, &mut safety, &group).and_then(|()| commit_together(db, &mut group));
        if committed.is_ok() {
            commits.fetch_add(1, Ordering::Relaxed);
        } else if !db.is_autocommit()
            && let Err(error) = execute(db, "ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be undone");
        }
        for step in group.drain(..) {
            step.answer(committed.clone());
        }
    }
}

/// Makes the next transaction as safe as the most demanding step of its group needs.
fn set_safety(db: &Connection, current: &mut Option<Safety>, group: &[Box<dyn Step>]) -> Result<()> {
    let needed = group.iter().map(|step| step.safety()).max();
    if needed != *current {
        // In a write-ahead log NORMAL leaves out the sync at each commit, no more.
        let synchronous = if needed == Some(Safety::Crash) { "NORMAL" } else { "FULL" };
        db.pragma_update(None, "synchronous", synchronous)?;
        *current = needed;
    }
    Ok(())
}

fn commit_together(db: &Connection, group: &mut [Box<dyn Step>]) -> Result<()> {
    execute(db, "BEGIN IMMEDIATE")?;
    for step in group {
        execute(db, "SAVEPOINT step")?;
        if let Err(error) = step.run(db) {
            // A full disk and the like undo the whole transaction, and with it the steps before.
            if db.is_autocommit() {
                return Err(error);
            }
            execute(db, "ROLLBACK TO step")?;
        }
        execute(db, "RELEASE step")?;
    }
    execute(db, "COMMIT")
}

fn execute(db: &Connection, sql: &str) -> Result<()> {
    db.prepare_cached(sql)?.execute([])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (tempfile::TempDir, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("db")).unwrap();
        db.execute_batch("CREATE TABLE t (text TEXT)").unwrap();
        (dir, db)
    }

    async fn put(writer: &Writer, text: String) -> Result<()> {
        let sql = "INSERT INTO t (text) VALUES (?1)";
        writer.write(Safety::PowerLoss, move |db| Ok(db.execute(sql, [text]).map(drop)?)).await
    }

    async fn count(writer: &Writer) -> i64 {
        writer
            .write(Safety::PowerLoss, |db| Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_panic_undoes_its_step_and_the_thread_lives_on() {
        let (_dir, db) = table();
        let writer = Writer::start(db).unwrap();
        let panicked: Result<()> = writer
            .write(Safety::PowerLoss, |db| {
                db.execute("INSERT INTO t (text) VALUES ('half')", [])?;
                panic!("expected by this test")
            })
            .await;
        assert!(matches!(panicked, Err(StoreError::Unavailable(_))), "{panicked:?}");
        put(&writer, "whole".to_owned()).await.unwrap();
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_group_and_passes() {
        let (_dir, db) = table();
        db.pragma_update_and_check(None, "max_page_count", 4, |_| Ok(())).unwrap();
        let writer = Writer::start(db).unwrap();
        let full = put(&writer, "x".repeat(1 << 20)).await;
        assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
        assert_eq!(count(&writer).await, 0);
        put(&writer, "small".to_owned()).await.unwrap();
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn what_was_begun_is_done_when_the_writer_goes() {
        let (dir, db) = table();
        let writer = Writer::start(db).unwrap();
        for _ in 0..50 {
            let begun = put(&writer, "x".to_owned());
            // Polled once, it is in line; its caller does not wait for the answer.
            drop(tokio::time::timeout(std::time::Duration::ZERO, begun).await);
        }
        drop(writer);
        let db = Connection::open(dir.path().join("db")).unwrap();
        let count: i64 = db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 50);
    }
}
