//! `isochrone export`: every task as a line of JSON.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::process::ExitCode;

use anyhow::{Context, Result};
use isochrone_portal::transfer;
use isochrone_store::TaskFilter;

use crate::args::Export;
use crate::config::Loaded;
use crate::wiring::House;

/// Tasks that are read at once.
const TASKS_A_PAGE: u64 = 500;

pub(crate) async fn run(loaded: &Loaded, export: Export) -> Result<ExitCode> {
    let house = House::open_existing(&loaded.config).await?;
    let caller = &House::operator();
    let mut out: Box<dyn Write> = match &export.file {
        Some(path) => {
            // Parameters may hold what only their owners shall read.
            let file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            let file = file.with_context(|| path.display().to_string())?;
            keep_private(&file).with_context(|| path.display().to_string())?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    if !export.plain && house.sealed.seals_with().is_none() {
        eprintln!("There is no key (secrets.key_file): parameters are written in the clear.");
    }
    let filter = TaskFilter { owner: export.owner, ..TaskFilter::default() };
    let mut place = None;
    loop {
        let tasks = house.submissions.tasks_from(caller, &filter, place, TASKS_A_PAGE).await?;
        for task in tasks.rows {
            let task = if export.plain { task } else { house.sealed.seal_task(task)? };
            writeln!(out, "{}", transfer::to_line(task))?;
        }
        place = tasks.next;
        if place.is_none() {
            break;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A file that was there already may have been everybody's to read.
fn keep_private(file: &File) -> std::io::Result<()> {
    let about = file.metadata()?;
    if about.is_file() && about.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}
