//! The lines of runs' logs.

use isochrone_domain::{EpochMillis, Fence, LogLine, LogStream, RunId};
use rusqlite::{Connection, Row, params};

use super::leases;
use super::rows::{self, signed};
use crate::{Finished, Page, Paged, Result};

/// Adds an attempt's lines, numbered from `first`; a number that is there stays as it is.
pub(super) fn append(
    db: &Connection,
    run: RunId,
    fence: Fence,
    first: u64,
    lines: &[LogLine],
) -> Result<Finished> {
    let current = match leases::current(db, run, fence)? {
        Ok(run) => run,
        Err(refusal) => return Ok(Finished::Fenced(refusal)),
    };
    let sql = "INSERT INTO run_logs (run, attempt, line, at, stream, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT DO NOTHING";
    for (number, line) in (first..).zip(lines) {
        let stream = stream_name(line.stream);
        rows::execute(
            db,
            sql,
            params![run.as_bytes(), fence.attempt, signed(number), line.at.0, stream, line.text],
        )?;
    }
    Ok(Finished::Kept(Box::new(current)))
}

/// A part of a run's log, all attempts.
pub(super) fn list(db: &Connection, run: RunId, page: Page) -> Result<Paged<LogLine>> {
    let sql = "SELECT count(*) FROM run_logs WHERE run = ?1";
    let total = rows::one(db, sql, [run.as_bytes()], |row| row.get::<_, i64>(0))?;
    let sql =
        "SELECT at, stream, text FROM run_logs WHERE run = ?1 ORDER BY attempt, line LIMIT ?2 OFFSET ?3";
    let rows =
        rows::many(db, sql, params![run.as_bytes(), signed(page.limit), signed(page.offset)], read_line)?;
    Ok(Paged { rows, total: total.unwrap_or(0) as u64 })
}

fn read_line(row: &Row<'_>) -> rusqlite::Result<LogLine> {
    let stream = match row.get_ref(1)?.as_str()? {
        "stdout" => LogStream::Stdout,
        "stderr" => LogStream::Stderr,
        _ => LogStream::System,
    };
    Ok(LogLine { at: EpochMillis(row.get(0)?), stream, text: row.get(2)? })
}

fn stream_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::System => "system",
    }
}
