//! What Isochrone wrote, by place, and the search for canaries in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use anyhow::Result;
use isochrone_testkit::ServerOptions;

use super::canaries::canaries;
use crate::places::holds;

/// What was written somewhere, by the place's name.
#[derive(Default)]
pub(super) struct Places(pub(super) BTreeMap<String, Vec<u8>>);

impl Places {
    pub(super) fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.entry(place.into()).or_default().extend(bytes.into());
    }

    /// A command's words to people.
    pub(super) fn said(&mut self, place: &str, output: &Output) {
        self.add(place, output.stdout.clone());
        self.add(place, output.stderr.clone());
    }

    /// Every file below a folder.
    pub(super) fn files(&mut self, dir: &Path) -> Result<()> {
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                match entry.file_type()? {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => {
                        self.add(entry.path().display().to_string(), std::fs::read(entry.path())?);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Looks for each canary in each place. `allowed`: the cells in which it may be, by the canary's name and a part
    /// of the place's.
    pub(super) fn check(&self, canaries: &[(&str, &str)], allowed: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (name, canary) in canaries {
            for (place, bytes) in &self.0 {
                let may = allowed.iter().any(|(of, part)| of == name && place.contains(part));
                if holds(bytes, canary) && !may {
                    let at = bytes.windows(canary.len()).position(|window| window == canary.as_bytes());
                    let at = at.unwrap_or_default();
                    let around = &bytes[at.saturating_sub(120)..(at + canary.len() + 40).min(bytes.len())];
                    wrong.push(format!("{name} in {place}: {}", String::from_utf8_lossy(around)));
                }
            }
        }
        assert!(wrong.is_empty(), "{} leaks:\n{}", wrong.len(), wrong.join("\n"));
        assert!(self.0.values().any(|bytes| !bytes.is_empty()), "nothing was looked at");
    }
}

/// What commands show of it all.
pub(super) fn ask_commands(places: &mut Places, options: &ServerOptions) -> Result<()> {
    for command in [
        &["config", "show"][..],
        &["doctor"],
        &["audit", "list"],
        &["audit", "verify"],
        &["keys", "status"],
        &["keys", "rotate"],
        &["run", "list"],
        &["user", "list"],
        &["user", "keys", "ann"],
        &["fleet"],
        &["export"],
        // Not a secret but the wrong command: what is said of it.
        &["task", "show", "0123456789abcdef0123456789abcdef"],
    ] {
        places.said(&format!("isochrone {}", command.join(" ")), &options.cli(command, "")?);
    }
    Ok(())
}

pub(super) async fn metrics(places: &mut Places, admin: SocketAddr) -> Result<()> {
    places.add("metrics", reqwest::get(format!("http://{admin}/metrics")).await?.bytes().await?);
    places.add("readyz", reqwest::get(format!("http://{admin}/readyz")).await?.bytes().await?);
    Ok(())
}

pub(super) fn check(places: &Places, made: &[(&'static str, String)], allowed: &[(&str, &str)]) {
    let canaries = canaries(made);
    let canaries: Vec<(&str, &str)> =
        canaries.iter().map(|(name, canary)| (*name, canary.as_str())).collect();
    places.check(&canaries, allowed);
}
