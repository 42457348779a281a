//! Opening the database file.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{Result, StoreError};

/// How long a connection waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Page cache of the writer and of a reader, in KiB.
const WRITER_CACHE_KIB: i64 = 4_096;
const READER_CACHE_KIB: i64 = 1_024;

/// A WAL that grew is cut back to this when it starts anew.
const WAL_BYTES: i64 = 16 << 20;

/// Makes the data directory and an empty file, if they are missing, for their owner's eyes only.
/// SQLite gives its side files the rights of the file itself.
pub(super) fn create(dir: &Path, file: &Path) -> Result<()> {
    create_dir(dir)?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map(drop)
        .map_err(|error| cannot("open", file, &error))
}

pub(super) fn create_dir(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| cannot("make the directory", dir, &error))
}

pub(super) fn cannot(verb: &str, path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Unavailable(format!("can't {verb} {}: {error}", path.display())),
    }
}

/// The connection that writes. Each commit is on the disk when it returns.
pub(super) fn writable(file: &Path) -> Result<Connection> {
    let db = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB, 128)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES, |_| Ok(()))?;
    Ok(db)
}

/// A connection that only reads, and never waits for the one that writes.
pub(super) fn read_only(file: &Path) -> Result<Connection> {
    open(file, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB, 64)
}

fn open(file: &Path, flags: OpenFlags, cache_kib: i64, statements: usize) -> Result<Connection> {
    let db = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    // A prepared statement keeps its plan. Else SQLite plans anew for other values, many times a second.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "cache_size", -cache_kib)?;
    db.set_prepared_statement_cache_capacity(statements);
    Ok(db)
}

/// Turns the write-ahead log on. The file remembers it.
///
/// SQLite does not wait by itself where two processes do this at once.
pub(super) fn use_wal(db: &Connection) -> Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode =
            db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).and_then(|mode| {
                match mode.as_str() {
                    "wal" => Ok(mode),
                    _ => db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)),
                }
            });
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(StoreError::Unavailable(format!(
                    "the file system allows no write-ahead log (journal mode {mode})"
                )));
            }
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
