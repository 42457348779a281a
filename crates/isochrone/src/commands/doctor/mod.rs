//! `isochrone doctor`: checks what Isochrone needs here, and says what to do about what is missing.

mod fleet;
mod limits;
mod notebooks;
mod packages;
mod secrets;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use isochrone_domain::TaskType;
use isochrone_store::sqlite;
use rustix::fs::{Access, AtFlags, CWD};
use serde::Serialize;

use crate::args::OutputFormat;
use crate::config::{Config, Loaded};
use crate::output::{self, Row};
use crate::wiring::House;

/// Space below which the disk is told of, in MiB.
const LITTLE_SPACE: u64 = 1_024;

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    advice: String,
}

impl Row for Check {
    const COLUMNS: &'static [&'static str] = &["check", "verdict", "found", "what to do"];

    fn cells(&self) -> Vec<String> {
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Warning => "warning",
            Verdict::Bad => "BAD",
        };
        vec![self.what.to_owned(), verdict.to_owned(), self.found.clone(), self.advice.clone()]
    }
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Check {
        Check { what, verdict: Verdict::Good, found: found.into(), advice: String::new() }
    }

    fn other(
        what: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Check {
        Check { what, verdict, found: found.into(), advice: advice.into() }
    }
}

pub(crate) async fn run(loaded: &Loaded, format: OutputFormat) -> Result<ExitCode> {
    let config = &loaded.config;
    let mut checks = match config.redis.url {
        None => vec![data_directory(config).await, server(config)],
        Some(_) => fleet::checks(config).await,
    };
    checks.extend(secrets::sealing(loaded).await);
    checks.extend(secrets::files(loaded));
    checks.extend(real_portal(config).await);
    checks.extend([disk(config), clock(), notebooks::python(config).await]);
    checks.extend(packages::checks(config).await);
    checks.extend(notebooks::isolation(config).await);
    checks.extend(limits::checks(config).await);
    checks.push(backends(config));
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    output::list(format, &checks)?;
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn data_directory(config: &Config) -> Check {
    const WHAT: &str = "store";
    let dir = config.data_dir.display();
    const ANOTHER: &str = "name a folder of this user's with --data-dir, or make it this user's with chown";
    if config.data_dir.exists() && !config.data_dir.is_dir() {
        let advice = "name a folder with --data-dir";
        return Check::other(WHAT, Verdict::Bad, format!("{dir} is no folder"), advice);
    }
    if let Some(barred) = barred(&config.data_dir) {
        return Check::other(WHAT, Verdict::Bad, barred, ANOTHER);
    }
    if !config.data_dir.is_dir() {
        return Check::other(
            WHAT,
            Verdict::Warning,
            format!("no data directory at {dir} yet"),
            "`isochrone up` makes it; or name another with --data-dir",
        );
    }
    match House::open(config).await {
        Ok(_) => Check::good(WHAT, format!("SQLite in {dir}: every acknowledged write is synced to disk")),
        Err(error) => Check::other(
            WHAT,
            Verdict::Bad,
            format!("{error:#}"),
            "check the directory's owner and free space; restore it from a backup if it is damaged",
        ),
    }
}

/// Why this user can't write in the folder, or make it, if that is so.
fn barred(dir: &Path) -> Option<String> {
    let there = dir.ancestors().find(|dir| dir.exists())?;
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    let error = rustix::fs::accessat(CWD, there, needed, AtFlags::EACCESS).err()?;
    let user = rustix::process::geteuid().as_raw();
    Some(if there == dir {
        format!("user {user} can't write in {}: {error}", dir.display())
    } else {
        format!("user {user} can't make {}: {}: {error}", dir.display(), there.display())
    })
}

/// The portal that this one stands in front of, if it does.
async fn real_portal(config: &Config) -> Option<Check> {
    const WHAT: &str = "portal";
    let advice = "look at the [portal] section: url, user and password (or client_id and client_secret, or api_key), ca_file";
    let bad = |found: String| Check::other(WHAT, Verdict::Bad, found, advice);
    let portal = match config.arcgis() {
        Ok(portal) => portal?,
        Err(error) => return Some(bad(format!("{error:#}"))),
    };
    let url = portal.portal().url().to_owned();
    if let Some(app) = &config.portal.client_id {
        // An app is no user.
        return Some(match portal.ask(async |portal, bearer| portal.portal_self(&bearer).await).await {
            Ok(()) => {
                let found = format!("workers ask {url} as the app {app}, which sees what is shared with it");
                Check::other(WHAT, Verdict::Warning, found, "notebooks of everybody need portal.user")
            }
            Err(error) => bad(format!("{url}: {error}")),
        });
    }
    Some(match portal.ask(async |portal, bearer| portal.community_self(&bearer).await).await {
        Ok(user) if user.role.as_deref() == Some("org_admin") => Check::good(
            WHAT,
            format!("users and items are those of {url}; workers read items as {}", user.username),
        ),
        Ok(user) => {
            bad(format!("{} is no administrator of {url}: not every item can be read", user.username))
        }
        Err(error) => bad(format!("{url}: {error}")),
    })
}

fn server(config: &Config) -> Check {
    const WHAT: &str = "server";
    if !config.data_dir.is_dir() {
        return Check::good(WHAT, "none runs on this data directory");
    }
    match sqlite::lock(&config.data_dir) {
        Ok(_lock) => Check::other(
            WHAT,
            Verdict::Warning,
            "none runs on this data directory: nothing fires",
            "start `isochrone up`",
        ),
        Err(isochrone_store::StoreError::InUse(_)) => Check::good(WHAT, "one runs on this data directory"),
        Err(error) => Check::other(
            WHAT,
            Verdict::Bad,
            error.to_string(),
            "the data directory must be writable for the user that runs Isochrone",
        ),
    }
}

fn disk(config: &Config) -> Check {
    const WHAT: &str = "disk";
    let existing = config.data_dir.ancestors().find(|dir| dir.is_dir());
    let dir = existing.unwrap_or(Path::new("."));
    match rustix::fs::statvfs(dir) {
        Ok(space) => {
            let mib = space.f_bavail.saturating_mul(space.f_frsize) >> 20;
            let found = format!("{mib} MiB free");
            if mib < LITTLE_SPACE {
                let advice = "make room: a full disk stops new tasks and runs from being kept";
                Check::other(WHAT, Verdict::Warning, found, advice)
            } else {
                Check::good(WHAT, found)
            }
        }
        Err(error) => Check::other(WHAT, Verdict::Warning, error.to_string(), "look at the file system"),
    }
}

/// One process, one clock: only a clock that was never set can be told.
fn clock() -> Check {
    const WHAT: &str = "clock";
    let now = isochrone_store::Clock::SYSTEM.now();
    if now.civil().0 < 2024 {
        let advice = "set the clock (NTP): schedules fire by it";
        return Check::other(WHAT, Verdict::Bad, format!("it is {now}?"), advice);
    }
    Check::good(WHAT, format!("{now}; schedules are in UTC"))
}

fn backends(config: &Config) -> Check {
    const WHAT: &str = "task types";
    let servers = match (config.egress.servers.len(), config.egress.open) {
        (_, true) => "every public server".to_owned(),
        (0, false) => "no server".to_owned(),
        (1, false) => "one server".to_owned(),
        (listed, false) => format!("{listed} servers"),
    };
    let has_server = |kind: &TaskType| config.http_jobs.contains_key(kind);
    let missing: Vec<&str> = [
        (
            TaskType::ExecuteWorkflowManager,
            config.workflow_manager.server.is_some(),
            "workflow_manager.server",
        ),
        (TaskType::UpdateInsightsWorkbook, false, "http_jobs.UpdateInsightsWorkbook"),
        (TaskType::RunDataPipeline, false, "http_jobs.RunDataPipeline"),
    ]
    .into_iter()
    .filter_map(|(kind, there, setting)| (!there && !has_server(&kind)).then_some(setting))
    .collect();
    let found = format!("geoprocessing and scene cooking reach {servers} (egress)");
    if missing.is_empty() {
        return Check::good(WHAT, found);
    }
    let found = format!("{found}; {} types have no backend and end submitfailed", missing.len());
    Check::other(WHAT, Verdict::Warning, found, format!("set {}, if they are used", missing.join(", ")))
}
