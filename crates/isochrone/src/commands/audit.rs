//! `isochrone audit`: who did what, and whether that was changed since.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use isochrone_domain::{AuditEntry, EpochMillis};
use isochrone_store::chain::{AuditChain, Head, verify};
use serde::Serialize;

use crate::args::{AuditCommand, OutputFormat};
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::House;

impl Row for AuditEntry {
    const COLUMNS: &'static [&'static str] = &["at", "actor", "from", "action", "what", "id", "owner"];

    fn cells(&self) -> Vec<String> {
        let ids = [
            self.run.map(|id| id.to_string()),
            self.task.map(|id| id.to_string()),
            self.item.map(|id| id.to_string()),
        ];
        vec![
            self.at.to_string(),
            self.actor.clone(),
            self.ip.clone().unwrap_or_default(),
            self.action.name().to_owned(),
            self.title.clone(),
            ids.into_iter().flatten().next().unwrap_or_default(),
            self.owner.clone(),
        ]
    }
}

/// What is known of the log.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    whole: bool,
    /// Entries whose digests are right.
    entries: u64,
    /// Entries without a key.
    plain: u64,
    /// Entries that can't be checked, by the key that is not here.
    unchecked: BTreeMap<String, u64>,
    /// Entries that were there and are forgotten by now.
    forgotten: u64,
    head: String,
    /// What is wrong.
    problems: Vec<String>,
}

pub(crate) async fn run(loaded: &Loaded, command: AuditCommand, output: OutputFormat) -> Result<ExitCode> {
    let house = House::open_existing(&loaded.config).await?;
    match command {
        AuditCommand::List { from, to } => {
            let span = from.map_or(EpochMillis(0), EpochMillis)..to.map_or(EpochMillis::MAX, EpochMillis);
            output::list(output, &house.store.audit(span).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify { head } => {
            let report = check(&house, head).await?;
            match output {
                OutputFormat::Json => output::one(output, &report)?,
                OutputFormat::Text => print(&report),
            }
            Ok(if report.whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn check(house: &House, noted: Option<Head>) -> Result<Report> {
    let ends = house.store.audit_heads().await?;
    let mut report = Report { head: Head::of(&ends).to_string(), ..Report::default() };
    let mut chains: Vec<AuditChain> = Vec::with_capacity(ends.len());
    for index in 0..ends.len() {
        let chain = house.store.audit_chain(index).await?;
        report.forgotten += chain.checkpoint.map_or(0, |checkpoint| checkpoint.end.number);
        match verify(&chain, house.sealed.ring()) {
            Ok(verified) => {
                report.entries += verified.entries;
                report.plain += verified.plain;
                for (key, count) in verified.unchecked {
                    *report.unchecked.entry(key.to_string()).or_default() += count;
                }
            }
            Err(broken) => report.problems.push(format!("chain {index}: {broken}")),
        }
        chains.push(chain);
    }
    if let Some(Err(error)) = noted.map(|noted| noted.check(&chains)) {
        report.problems.push(error.to_string());
    }
    report.whole = report.problems.is_empty();
    Ok(report)
}

fn print(report: &Report) {
    for problem in &report.problems {
        println!("{}", output::printable(problem));
    }
    for (key, count) in &report.unchecked {
        println!("{count} entries can't be checked: their key {key} is not here (secrets.key_file)");
    }
    if report.plain > 0 {
        println!(
            "{} entries are without a key: only a noted head (--head) tells of a log that was made anew",
            report.plain
        );
    }
    let entries = report.entries;
    println!("{entries} entries, {}", if report.whole { "chain whole" } else { "chain BROKEN" });
    println!("head {}", report.head);
}
