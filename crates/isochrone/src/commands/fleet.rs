//! `isochrone fleet`: who is there, and what they do.

use std::process::ExitCode;

use anyhow::Result;
use isochrone_domain::EpochMillis;
use isochrone_store::{Present, Role};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::House;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    roles: Vec<Role>,
    leads: bool,
    host: String,
    pid: u32,
    version: String,
    since: EpochMillis,
    seen: EpochMillis,
    slots: std::collections::BTreeMap<String, u64>,
    runs: Vec<String>,
}

impl From<Present> for Line {
    fn from(present: Present) -> Line {
        let Present { member, seen, leads } = present;
        Line {
            name: member.name,
            roles: member.roles,
            leads,
            host: member.host,
            pid: member.pid,
            version: member.version,
            since: member.since,
            seen,
            slots: member.slots.iter().map(|(kind, slots)| (kind.to_string(), *slots)).collect(),
            runs: member.runs.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] =
        &["name", "roles", "version", "since", "last seen", "slots", "runs"];

    fn cells(&self) -> Vec<String> {
        let roles = self.roles.iter().map(|role| match role {
            Role::Scheduler if self.leads => "scheduler (leads)",
            Role::Scheduler => "scheduler",
            Role::Worker => "worker",
            Role::Portal => "portal",
        });
        let slots = self.slots.iter().map(|(kind, slots)| format!("{kind} {slots}"));
        vec![
            self.name.clone(),
            roles.collect::<Vec<_>>().join(", "),
            self.version.clone(),
            self.since.to_string(),
            self.seen.to_string(),
            slots.collect::<Vec<_>>().join(", "),
            self.runs.join(", "),
        ]
    }
}

pub(crate) async fn run(loaded: &Loaded, format: OutputFormat) -> Result<ExitCode> {
    let house = House::open_existing(&loaded.config).await?;
    let lines: Vec<Line> = house.store.members().await?.into_iter().map(Line::from).collect();
    output::list(format, &lines)?;
    Ok(ExitCode::SUCCESS)
}
