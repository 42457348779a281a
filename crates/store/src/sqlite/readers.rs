//! A few connections that only read, off the executor's threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::connection;
use crate::{Result, StoreError};

/// Reads at one time at most.
const PLACES: usize = 3;

/// The connections that read, opened as they are needed.
pub(super) struct Readers {
    places: Arc<Semaphore>,
    idle: Arc<Idle>,
}

struct Idle {
    file: PathBuf,
    connections: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Readers {
        let idle = Idle { file, connections: Mutex::default() };
        Readers { places: Arc::new(Semaphore::new(PLACES)), idle: Arc::new(idle) }
    }

    /// Does `work`, all of it on one state of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let idle = Arc::clone(&self.idle);
        let read = spawn_blocking(move || {
            let _place = place;
            // A panic drops the connection; the next read opens another.
            let db = idle.take()?;
            let result = on_one_state(&db, work);
            idle.put(db);
            result
        });
        read.await.map_err(|error| StoreError::Unavailable(format!("a read did not end: {error}")))?
    }
}

fn on_one_state<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    // Rolled back when it is dropped: nothing was written.
    let transaction = db.unchecked_transaction()?;
    work(&transaction)
}

impl Idle {
    fn take(&self) -> Result<Connection> {
        let idle = self.lock().pop();
        idle.map_or_else(|| connection::read_only(&self.file), Ok)
    }

    fn put(&self, db: Connection) {
        self.lock().push(db);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
