//! What became of the tasks that were to be imported.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use isochrone_domain::{TaskId, Transfer};
use isochrone_scheduler::{Adopted, SubmitError, Taken};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::output;
use crate::wiring::House;

/// What became of the tasks that were to be imported.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    /// Here now.
    imported: usize,
    /// Here before.
    unchanged: usize,
    /// Here instead of another one.
    replaced: usize,
    /// Disabled where they came from.
    pub(super) disabled_there: usize,
    /// Not here, or active in both places, and why.
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    /// Which one: `line 3`, or `task 5a6d...`.
    what: String,
    problem: String,
}

impl Tally {
    /// Takes a task over, or notes why that can't be. An error: no further task can be taken over either.
    /// Gives the task's id if it is here now.
    pub(super) async fn adopt(
        &mut self,
        house: &House,
        what: &str,
        transfer: Transfer,
        taken: Taken,
    ) -> Result<Option<TaskId>> {
        let (id, owner) = (transfer.id, transfer.owner.clone());
        match house.submissions.adopt(&House::operator(), transfer, taken).await {
            Ok(Adopted::New) => self.imported += 1,
            Ok(Adopted::Same) => self.unchanged += 1,
            Ok(Adopted::Replaced) => self.replaced += 1,
            Err(SubmitError::Store(error)) => bail!("{what}: {error}; {}", self.so_far()),
            Err(SubmitError::NotFound { .. }) => {
                let owner = output::printable(&owner);
                self.refuse(
                    what,
                    format!(
                        "'userId': there is no user '{owner}' here (isochrone user add, or --add-owners)"
                    ),
                );
                return Ok(None);
            }
            Err(error) => {
                self.refuse(what, error.to_string());
                return Ok(None);
            }
        }
        Ok(Some(id))
    }

    /// Notes a task that can't be taken over.
    pub(super) fn refuse(&mut self, what: &str, problem: String) {
        eprintln!("{what}: {}", output::printable(&problem));
        self.refused.push(Refused { what: what.to_owned(), problem });
    }

    fn so_far(&self) -> String {
        let Tally { imported, unchanged, replaced, disabled_there, refused } = self;
        let refused = refused.len();
        let there = match disabled_there {
            0 => String::new(),
            disabled => format!(", {disabled} disabled there"),
        };
        format!("{imported} imported, {unchanged} unchanged, {replaced} replaced{there}, {refused} refused")
    }

    /// Tells of them all. It is a failure if one was refused.
    pub(super) fn tell(&self, format: OutputFormat) -> Result<ExitCode> {
        match format {
            OutputFormat::Json => output::one(format, self)?,
            OutputFormat::Text => writeln!(std::io::stdout(), "{}", self.so_far())?,
        }
        Ok(if self.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
