//! Which of a notebook's limits hold here, and whether all slots together fit into the container.

use isochrone_executors::notebook::{Isolator, LimitsFound, PythonEnvironment};

use super::{Check, Verdict};
use crate::config::Config;

/// What a worker is itself, and Python while it starts.
const WORKERS_OWN_MIB: u64 = 512;

pub(super) async fn checks(config: &Config) -> Vec<Check> {
    let environment = PythonEnvironment::new(config.data_dir.join("python"), &config.notebook);
    // What isolates notebooks is told by another check.
    let Ok(python) = environment.at_hand().await else { return Vec::new() };
    let folders = Some(config.data_dir.join("tmp")).filter(|folder| folder.is_dir());
    let isolator = Isolator::new(folders.unwrap_or_else(std::env::temp_dir), &config.notebook);
    let Ok(found) = isolator.limits(&python).await else { return Vec::new() };
    [Some(held(&found)), container(config, found.memory_around)].into_iter().flatten().collect()
}

fn held(found: &LimitsFound) -> Check {
    const WHAT: &str = "limits";
    let words = found.to_string();
    if found.missing().is_none() {
        return Check::good(WHAT, format!("of notebooks started from here: {words}"));
    }
    let advice = match &found.no_cgroup {
        Some(why) => {
            format!("give the worker a cgroup of its own ({why}); docs/notebook-limits.md has the ways")
        }
        None => "docs/notebook-limits.md says what holds each".to_owned(),
    };
    Check::other(WHAT, Verdict::Warning, format!("of notebooks started from here: {words}"), advice)
}

/// A container has one limit for all in it, and its kernel kills whom it likes.
fn container(config: &Config, memory: Option<u64>) -> Option<Check> {
    const WHAT: &str = "memory";
    let limit = memory? >> 20;
    let slots = crate::serve::notebook_slots(config).min(config.worker.slots) as u64;
    let needed = slots.saturating_mul(config.notebook.memory_mib).saturating_add(WORKERS_OWN_MIB);
    let found = format!(
        "{slots} notebook slots x {} MiB and {WORKERS_OWN_MIB} MiB for the worker: {needed} MiB of the {limit} MiB \
         that this cgroup may have",
        config.notebook.memory_mib
    );
    Some(if needed <= limit {
        Check::good(WHAT, found)
    } else {
        let advice =
            "fewer notebook slots (worker.notebook_slots), a smaller notebook.memory_mib or more memory";
        Check::other(WHAT, Verdict::Warning, found, advice)
    })
}
