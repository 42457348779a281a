//! `isochrone fleet`: who is there, and what they do.

use std::process::ExitCode;

use anyhow::Result;
use isochrone_domain::EpochMillis;
use isochrone_store::{Present, Role};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::wiring::{House, artifacts};

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
    artifacts: Option<String>,
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
            artifacts: member.artifacts.map(|id| id.to_string()),
        }
    }
}

impl Row for Line {
    const COLUMNS: &'static [&'static str] =
        &["name", "roles", "version", "since", "last seen", "slots", "artifacts", "runs"];

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
            // Enough to tell folders apart.
            self.artifacts.as_ref().map_or_else(String::new, |id| id.chars().take(8).collect()),
            self.runs.join(", "),
        ]
    }
}

pub(crate) async fn run(loaded: &Loaded, format: OutputFormat) -> Result<ExitCode> {
    let house = House::open_existing(&loaded.config).await?;
    let members = house.store.members().await?;
    let folders = artifacts::folders_of(&members).len();
    let lines: Vec<Line> = members.into_iter().map(Line::from).collect();
    output::list(format, &lines)?;
    if folders > 1 {
        eprintln!(
            "isochrone: these processes keep artifacts in {folders} different folders (artifacts.dir): what a run leaves in \
             one of them is not found from the others"
        );
    }
    Ok(ExitCode::SUCCESS)
}
