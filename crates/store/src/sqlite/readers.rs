//! A few threads that only read, each with a connection of its own.
//!
//! Under load they go from one read to the next without being woken: a thread that is fetched for each read
//! costs more than most reads do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::connection;
use crate::{Result, StoreError};

/// Reads at one time at most.
const THREADS: usize = 3;

/// A read that waits for its turn, with the way to its caller; it gets a connection, or why there is none.
type Job = Box<dyn FnOnce(Result<&Connection>) + Send>;

/// The way to the threads that read. They end with it.
pub(super) struct Readers {
    line: Sender<Job>,
}

impl Readers {
    /// Starts the threads. Each opens its connection when it is needed.
    pub(super) fn start(file: &Path) -> Result<Readers> {
        let (line, jobs) = unbounded();
        for _ in 0..THREADS {
            let (jobs, file) = (jobs.clone(), file.to_owned());
            Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || serve(&jobs, &file))
                .map_err(|error| StoreError::Unavailable(format!("no thread to read: {error}")))?;
        }
        Ok(Readers { line })
    }

    /// Does `work`, all of it on one state of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (caller, answer) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            let result = db.and_then(|db| on_one_state(db, work));
            // A caller that went away needs no answer.
            drop(caller.send(result));
        });
        let gone = |what: &str| StoreError::Unavailable(format!("{what} has ended"));
        self.line.send(job).map_err(|_| gone("every thread that reads"))?;
        answer.await.map_err(|_| gone("a read that panicked"))?
    }
}

fn serve(jobs: &Receiver<Job>, file: &Path) {
    let mut db: Option<Connection> = None;
    for job in jobs {
        let opened = match db.take() {
            Some(db) => Ok(db),
            None => connection::read_only(file),
        };
        match opened {
            Ok(opened) => {
                let done = catch_unwind(AssertUnwindSafe(|| job(Ok(&opened))));
                // After a panic, nobody knows what the connection is in the middle of.
                db = done.is_ok().then_some(opened);
            }
            Err(error) => job(Err(error)),
        }
    }
}

fn on_one_state<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    // Rolled back when it is dropped: nothing was written.
    let transaction = db.unchecked_transaction()?;
    work(&transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_fails_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("db");
        Connection::open(&file).unwrap().execute_batch("CREATE TABLE t (text TEXT)").unwrap();
        let readers = Readers::start(&file).unwrap();
        for _ in 0..2 * THREADS {
            let panicked: Result<()> = readers.read(|_| panic!("expected by this test")).await;
            assert!(matches!(panicked, Err(StoreError::Unavailable(_))), "{panicked:?}");
        }
        let count =
            readers.read(|db| Ok(db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?));
        assert_eq!(count.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_file_that_can_t_be_opened_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let readers = Readers::start(&dir.path().join("missing")).unwrap();
        assert!(readers.read(|_| Ok(())).await.is_err());
    }
}
