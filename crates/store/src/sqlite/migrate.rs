//! The schema, one numbered file a version.

use rusqlite::{Connection, TransactionBehavior};

use crate::{Result, StoreError};

/// The n-th file (from 1) makes version n of version n-1. A released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_fleet.sql"),
    include_str!("migrations/0003_grants.sql"),
    include_str!("migrations/0004_keys.sql"),
    include_str!("migrations/0005_counts.sql"),
    include_str!("migrations/0006_holds.sql"),
    include_str!("migrations/0007_seal.sql"),
    include_str!("migrations/0008_audit_chain.sql"),
    include_str!("migrations/0009_installation.sql"),
    include_str!("migrations/0010_spent_tasks.sql"),
    include_str!("migrations/0011_nonces.sql"),
    include_str!("migrations/0012_outbox.sql"),
];

/// "Isoc": a database of another program is refused, not migrated.
const APPLICATION_ID: i32 = 0x4973_6f63;

/// Brings the schema to this program's version; refuses a newer one and another program's.
pub(super) fn migrate(db: &mut Connection) -> Result<()> {
    if check(db)? == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let from = check(&transaction)?;
    for (version, sql) in (1_u32..).zip(MIGRATIONS).skip(from) {
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()?;
    Ok(())
}

/// The version of the schema there is; 0: none yet.
pub(super) fn check(db: &Connection) -> Result<usize> {
    let (version, application, objects): (i64, i32, i64) = db.query_row(
        "SELECT (SELECT user_version FROM pragma_user_version),
                (SELECT application_id FROM pragma_application_id),
                (SELECT count(*) FROM sqlite_schema)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if application != APPLICATION_ID && (application, version, objects) != (0, 0, 0) {
        return Err(StoreError::Corrupt("the database was made by another program".to_owned()));
    }
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(StoreError::Corrupt(format!(
            "its schema has version {version}, this program knows versions up to {}: \
             start a newer isochrone",
            MIGRATIONS.len()
        ))),
    }
}
