//! Whether secrets are sealed, and who may read the files that hold them.

use super::{Check, Verdict};
use crate::config::Loaded;
use crate::wiring::House;

/// Whether what is secret in the store is sealed.
pub(super) async fn sealing(loaded: &Loaded) -> Option<Check> {
    const WHAT: &str = "secrets";
    let config = &loaded.config;
    // What is wrong with the store is told elsewhere.
    if config.redis.url.is_none() && !config.data_dir.is_dir() {
        return None;
    }
    let house = House::open(config).await.ok()?;
    let sealed = &house.sealed;
    let Some(first) = sealed.ring().ids().next() else {
        let found = "task parameters, their URLs and handles of remote jobs are in the clear in the store";
        let advice = "isochrone keys generate > FILE (chmod 600), name it in secrets.key_file for every process, \
                      then isochrone keys rotate";
        return Some(Check::other(WHAT, Verdict::Warning, found, advice));
    };
    if sealed.seals_with() != Some(first) {
        let found = format!("the key {first} seals nothing yet: not every process has it");
        return Some(Check::other(WHAT, Verdict::Warning, found, "give it to every process"));
    }
    Some(match sealed.survey().await {
        Ok(survey) => {
            let all: u64 = survey.values().sum();
            match all - survey.get(&Some(first)).copied().unwrap_or_default() {
                0 => Check::good(WHAT, format!("{all} sealed with the key {first}")),
                others => {
                    let found = format!("{others} of {all} are in the clear or sealed with older keys");
                    Check::other(WHAT, Verdict::Warning, found, "isochrone keys rotate")
                }
            }
        }
        Err(error) => Check::other(WHAT, Verdict::Bad, error.to_string(), "look at the store"),
    })
}

/// Files with secrets that others may read, if there are any.
pub(super) fn files(loaded: &Loaded) -> Option<Check> {
    let warnings = loaded.readable_by_others();
    let found = warnings.join("; ");
    (!warnings.is_empty())
        .then(|| Check::other("secret files", Verdict::Warning, found, "chmod 600 each of them"))
}
