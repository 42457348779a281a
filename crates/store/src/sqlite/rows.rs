//! Between the domain's types and columns, and lists in pages.

use isochrone_domain::{EpochMillis, Outcome, Reason, Record, TaskType, unknown};
use rusqlite::types::{Type, Value};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Page, Paged, Place, Result, Stretch};

/// What stands in a column is nothing that this version writes. Says no value: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("no {0} that this version can read")]
struct Unreadable(&'static str);

fn unreadable<T>(row_column: usize) -> rusqlite::Error {
    let what = Unreadable(std::any::type_name::<T>());
    rusqlite::Error::FromSqlConversionFailure(row_column, Type::Text, Box::new(what))
}

/// A value as it stands in a `body` column.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the domain's types have only text as keys")
}

/// The value in a `body` column.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|_| unreadable::<T>(column))
}

/// The value in a body that is the first column.
pub(super) fn body<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    from_json(row, 0)
}

/// The record in a body that is the first column, with what is unknown of it.
pub(super) fn record<T: Record>(row: &Row<'_>) -> rusqlite::Result<T> {
    unknown::from_json(row.get_ref(0)?.as_str()?.as_bytes()).map_err(|_| unreadable::<T>(0))
}

/// A value by its text, in the first column.
pub(super) fn parsed<T: std::str::FromStr>(row: &Row<'_>) -> rusqlite::Result<T> {
    row.get_ref(0)?.as_str()?.parse().map_err(|_| unreadable::<T>(0))
}

/// A value by its text, if there is one.
pub(super) fn maybe_parsed<T: std::str::FromStr>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(|text| text.parse().map_err(|_| unreadable::<T>(column))).transpose()
}

pub(super) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<EpochMillis> {
    row.get(column).map(EpochMillis)
}

pub(super) fn task_type(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskType> {
    row.get_ref(column)?.as_str()?.parse().map_err(|_| unreadable::<TaskType>(column))
}

pub(super) fn reason(row: &Row<'_>, column: usize) -> rusqlite::Result<Reason> {
    let code = row.get_ref(column)?.as_str()?;
    let known = Reason::ALL.iter().find(|reason| reason.code() == code);
    known.copied().ok_or_else(|| unreadable::<Reason>(column))
}

pub(super) fn outcome(row: &Row<'_>, column: usize) -> rusqlite::Result<Outcome> {
    let name = row.get_ref(column)?.as_str()?;
    [Outcome::Succeeded, Outcome::Failed, Outcome::SubmitFailed, Outcome::Skipped]
        .into_iter()
        .find(|outcome| outcome.name() == name)
        .ok_or_else(|| unreadable::<Outcome>(column))
}

/// A number that is never below 0.
pub(super) fn counted(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|number| number.max(0) as u64)
}

/// SQLite's integers are signed.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The one row that a query finds, if it does.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    Ok(db.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// The rows that a query finds.
pub(super) fn many<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    Ok(db.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<_>>()?)
}

/// What a row has, or nothing, with an error in the log, where it can't be read: one damaged record must not stop what
/// concerns all. `what`: the table or the record.
pub(super) fn readable<T>(read: rusqlite::Result<T>, what: &str) -> rusqlite::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(problem @ rusqlite::Error::FromSqlConversionFailure(..)) => {
            tracing::error!(what, %problem, "left out: it can't be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How many rows a write touched.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// Conditions that hold together. Their texts are constants; values are bound.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// One more; each `?` in it takes one of the values.
    pub(super) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
        self.values.extend(values);
    }
}

/// The bodies of the rows that meet the conditions, at most `limit`, with the last one's place: `places` are
/// the two columns that it is made of.
pub(super) fn stretch<T: Record>(
    db: &Connection,
    table: &str,
    conditions: Conditions,
    places: &str,
    order: &str,
    limit: u64,
) -> Result<Stretch<T>> {
    let Conditions { sql, mut values } = conditions;
    values.push(Value::Integer(signed(limit)));
    let sql = format!("SELECT body, {places} FROM {table}{sql} ORDER BY {order} LIMIT ?");
    let read = |row: &Row<'_>| {
        let then: i64 = row.get(2)?;
        let record = readable(record(row), table)?;
        Ok((record, Place { first: row.get(1)?, then: then.unsigned_abs().into() }))
    };
    let rows: Vec<(Option<T>, Place)> = many(db, &sql, params_from_iter(values), read)?;
    let next = rows.last().map(|(_, place)| *place).filter(|_| rows.len() as u64 == limit);
    Ok(Stretch { rows: rows.into_iter().filter_map(|(row, _)| row).collect(), next })
}

/// A part of the bodies of a table's rows that meet the conditions, and the number of them all.
pub(super) fn page<T: Record>(
    db: &Connection,
    table: &str,
    conditions: Conditions,
    order: &str,
    page: Page,
) -> Result<Paged<T>> {
    let Conditions { sql, mut values } = conditions;
    let mut count = db.prepare_cached(&format!("SELECT count(*) FROM {table}{sql}"))?;
    let total: i64 = count.query_row(params_from_iter(&values), |row| row.get(0))?;
    values.extend([Value::Integer(signed(page.limit)), Value::Integer(signed(page.offset))]);
    let mut list: CachedStatement<'_> =
        db.prepare_cached(&format!("SELECT body FROM {table}{sql} ORDER BY {order} LIMIT ? OFFSET ?"))?;
    let read = |row: &Row<'_>| readable(record(row), table);
    let rows: Vec<Option<T>> =
        list.query_map(params_from_iter(values), read)?.collect::<rusqlite::Result<_>>()?;
    Ok(Paged { rows: rows.into_iter().flatten().collect(), total: total as u64 })
}
