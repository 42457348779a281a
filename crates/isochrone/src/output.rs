//! Results for people and for programs.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::args::OutputFormat;

/// A row of a listing.
pub(crate) trait Row: Serialize {
    /// The columns' names.
    const COLUMNS: &'static [&'static str];

    /// The columns' texts.
    fn cells(&self) -> Vec<String>;
}

/// Writes a listing: a table, or a JSON array.
pub(crate) fn list<T: Row>(format: OutputFormat, rows: &[T]) -> Result<()> {
    match format {
        OutputFormat::Json => json(&rows),
        OutputFormat::Text => table(T::COLUMNS, rows.iter().map(Row::cells).collect()),
    }
}

/// Writes one thing: `name: value` lines, or a JSON object.
pub(crate) fn one<T: Serialize>(format: OutputFormat, thing: &T) -> Result<()> {
    match format {
        OutputFormat::Json => json(thing),
        OutputFormat::Text => {
            let serde_json::Value::Object(fields) = serde_json::to_value(thing)? else {
                return json(thing);
            };
            let width = fields.keys().map(String::len).max().unwrap_or(0);
            let mut out = std::io::stdout().lock();
            for (name, value) in fields {
                let text = match value {
                    serde_json::Value::Null => continue,
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                writeln!(out, "{name:width$}  {}", printable(&text))?;
            }
            Ok(())
        }
    }
}

fn json<T: Serialize>(thing: &T) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, thing)?;
    writeln!(out)?;
    Ok(())
}

fn table(columns: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0).max(columns[i].len()))
        .collect();
    let mut out = std::io::stdout().lock();
    let header: Vec<String> = columns.iter().map(|name| name.to_uppercase()).collect();
    for row in std::iter::once(&header).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Text that others wrote must not move a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
