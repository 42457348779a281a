//! Which packages notebooks have, and what their Python environments take of the disk.

use isochrone_executors::notebook::{EnvironmentState, EnvironmentStatus, PythonEnvironment};

use super::{Check, Verdict};
use crate::config::Config;

const WHAT: &str = "packages";

/// Longer lists of packages are cut.
const LONGEST: usize = 300;

pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let notebook = &config.notebook;
    if let Some(python) = &notebook.python {
        let found = format!("those of {} (notebook.python)", python.display());
        return vec![Check::good(WHAT, found)];
    }
    let environment = PythonEnvironment::new(config.data_dir.join("python"), notebook);
    let statuses = match environment.statuses().await {
        Ok(statuses) => statuses,
        // Without a Python, another check says so.
        Err(_) if !environment.has_packages() => return Vec::new(),
        Err(error) => {
            let advice = "mend notebook.packages or notebook.requirements (docs/notebook-packages.md)";
            return vec![Check::other(WHAT, Verdict::Bad, error.to_string(), advice)];
        }
    };
    let (own, others): (Vec<_>, Vec<_>) = statuses.iter().partition(|status| status.is_operators);
    let own = own.into_iter().map(|status| operators(status, notebook.item_requirements));
    own.chain(unused(&others, config)).collect()
}

fn operators(status: &EnvironmentStatus, item_requirements: bool) -> Check {
    let asked = match status.requirements.join(", ") {
        none if none.is_empty() => "Jupyter's alone".to_owned(),
        asked => asked.chars().take(LONGEST).collect(),
    };
    let items = if item_requirements {
        "; notebooks may ask for their own, which are built in the sandbox and network that these checks show"
    } else {
        ""
    };
    let folder = status.folder.display();
    match &status.state {
        EnvironmentState::Built { bytes, packages } => {
            let mib = bytes >> 20;
            Check::good(WHAT, format!("{asked}: built in {folder} ({packages} packages, {mib} MiB){items}"))
        }
        EnvironmentState::NotBuilt if status.requirements.is_empty() => {
            Check::good(WHAT, format!("{asked}: will be built in {folder} on first use{items}"))
        }
        EnvironmentState::NotBuilt => Check::good(
            WHAT,
            format!("{asked}: will be built in {folder} when a worker starts, which can take minutes{items}"),
        ),
        EnvironmentState::Failed { why } => Check::other(
            WHAT,
            Verdict::Bad,
            format!("{asked}: the last build in {folder} failed: {why}"),
            "notebooks are refused until it succeeds: change notebook.packages or notebook.requirements, or make the \
             package index reachable; the next run tries again (docs/notebook-packages.md)",
        ),
    }
}

/// Those that notebooks asked for, or that earlier settings wanted.
fn unused(others: &[&EnvironmentStatus], config: &Config) -> Option<Check> {
    const WHAT: &str = "environments";
    let built: Vec<(&EnvironmentStatus, u64)> = others
        .iter()
        .filter_map(|status| match status.state {
            EnvironmentState::Built { bytes, .. } => Some((*status, bytes)),
            EnvironmentState::Failed { .. } | EnvironmentState::NotBuilt => None,
        })
        .collect();
    let oldest = built.iter().map(|(status, _)| status.unused_for).max()?;
    let mib = built.iter().map(|(_, bytes)| bytes >> 20).sum::<u64>();
    let (days, kept) = (oldest.as_secs() / (24 * 60 * 60), config.notebook.environments_unused_days);
    Some(Check::good(
        WHAT,
        format!(
            "{} more with other packages, {mib} MiB together; the oldest was not used for {days} days, and after \
             {kept} it is removed (notebook.environments_unused_days)",
            built.len()
        ),
    ))
}
