//! `isochrone fleet`: who is there, and what they do.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use isochrone_domain::EpochMillis;
use isochrone_store::{Member, Present, Role};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::config::Loaded;
use crate::output::{self, Row};
use crate::serve::host;
use crate::wiring::{House, artifacts};

/// Members announce themselves each 3 s: one that was heard of within this is there.
const UP: Duration = Duration::from_secs(4);
/// One that was not heard of for longer may be dead.
const SILENT: Duration = Duration::from_secs(7);

/// Whether a member is there.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// It was heard of lately.
    Up,
    /// It has missed an announcement.
    Silent,
    /// It was on this machine, and its process has ended.
    Ended,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    state: State,
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

impl Line {
    fn new(present: Present, state: State) -> Line {
        let Present { member, seen, leads } = present;
        Line {
            name: member.name,
            state,
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
        &["name", "state", "roles", "version", "since", "last seen", "slots", "artifacts", "runs"];

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
            match self.state {
                State::Up => "up",
                State::Silent => "silent",
                State::Ended => "ended",
            }
            .to_owned(),
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

/// `older`: whether what the member said last is older than this.
fn state(member: &Member, older: impl Fn(Duration) -> bool) -> State {
    // A container may have the machine's name, and processes of its own.
    if older(UP) && member.host == host() && !process_is_there(member.pid) {
        State::Ended
    } else if older(SILENT) {
        State::Silent
    } else {
        State::Up
    }
}

/// Of another user's process we may not know more than that it is there.
fn process_is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

pub(crate) async fn run(loaded: &Loaded, format: OutputFormat) -> Result<ExitCode> {
    let house = House::open_existing(&loaded.config).await?;
    let (now, clock) = (house.store.now().await?, house.store.clock());
    let older = |seen: EpochMillis, than: Duration| now.0 - seen.0 > clock.of_real(than).as_millis() as i64;
    let members = house.store.members().await?;
    let folders = artifacts::folders_of(&members).len();
    let lines: Vec<Line> = members
        .into_iter()
        .map(|present| {
            let state = state(&present.member, |than| older(present.seen, than));
            Line::new(present, state)
        })
        .collect();
    output::list(format, &lines)?;
    if folders > 1 {
        eprintln!(
            "isochrone: these processes keep artifacts in {folders} different folders (artifacts.dir): what a run leaves in \
             one of them is not found from the others"
        );
    }
    Ok(ExitCode::SUCCESS)
}
