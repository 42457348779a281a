//! The embedded store: one SQLite file, its writes grouped by one thread.
//!
//! Other processes may read and write the same file at the same time.

mod accounts;
mod audit;
mod connection;
mod error;
mod fires;
mod fleet;
mod holds;
mod installation;
mod items;
mod leases;
mod lock;
mod logs;
mod migrate;
mod outbox;
mod readers;
mod retention;
mod rows;
mod runs;
mod secrets;
mod tasks;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

pub use lock::{DirLock, lock};

use crate::chain::AuditKey;
use crate::deferrals::Deferrals;
use crate::{Clock, Result};
use readers::Readers;
use writer::{Safety, Writer};

/// The database's name in the data directory.
const FILE: &str = "isochrone.db";

/// The embedded store. Dropping it waits for the writes that were begun.
pub struct SqliteStore {
    clock: Clock,
    writer: Writer,
    readers: Readers,
    audit_key: Arc<AuditKey>,
    deferrals: Arc<Deferrals>,
}

impl SqliteStore {
    /// Opens the store in a data directory; makes what is missing.
    ///
    /// [`crate::StoreError::Corrupt`]: a newer version of Isochrone, or another program, made the file.
    pub fn open(dir: &Path, clock: Clock) -> Result<SqliteStore> {
        SqliteStore::open_with(dir, clock, Arc::default())
    }

    /// The same, with a key for the audit log's digests.
    pub fn open_with(dir: &Path, clock: Clock, audit_key: Arc<AuditKey>) -> Result<SqliteStore> {
        let file = dir.join(FILE);
        connection::create(dir, &file)?;
        let mut db = connection::writable(&file)?;
        // Before anything is written: what is not ours stays as it is.
        migrate::check(&db)?;
        connection::use_wal(&db)?;
        audit::add_functions(&db, &audit_key)?;
        outbox::add_clock(&db, clock)?;
        migrate::migrate(&mut db)?;
        Ok(SqliteStore {
            clock,
            writer: Writer::start(db)?,
            readers: Readers::start(&file)?,
            audit_key,
            deferrals: Arc::default(),
        })
    }

    /// How many transactions it has committed since it was opened: each cost one sync of the disk,
    /// however many writes shared it.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(Safety::PowerLoss, work).await
    }

    /// For what speaks of processes, none of which survives a loss of power.
    async fn write_unsynced<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(Safety::Crash, work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(work).await
    }
}
