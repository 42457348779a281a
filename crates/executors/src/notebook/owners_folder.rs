//! `/arcgis/home`: where ArcGIS's notebooks keep files from one execution to the next. Each owner has a folder there.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use isochrone_domain::LogStream;
use isochrone_worker::Attempt;

use super::config::Config;
use super::isolation::Confinement;
use super::scratch::Scratch;
use crate::untrusted::UntrustedDir;

const HOME: &str = "/arcgis/home";

/// Puts the owner's folder at `/arcgis/home` where that is possible, and gives it. Otherwise that is the run's own, which
/// the log of a notebook that speaks of it says.
pub(super) async fn share(
    attempt: &Attempt,
    confinement: &Confinement,
    config: &Config,
    scratch: &mut Scratch,
    notebook: &[u8],
) -> Option<Arc<UntrustedDir>> {
    const UNSET: &str = "[notebook] homes is not set: it is the run's own folder, and goes with it";
    let why = match (&config.homes, confinement.no_shared_home()) {
        (None, Some(_)) if confinement.tier != super::Tier::Bwrap => {
            "it is not there without bubblewrap".to_owned()
        }
        (None, _) => UNSET.to_owned(),
        (Some(_), Some(why)) => format!("it is not the owner's folder, as {why}"),
        (Some(homes), None) => match open(homes, &attempt.task().owner) {
            Ok((path, folder)) => {
                scratch.share_home(path);
                return Some(Arc::new(folder));
            }
            Err(error) => format!("it is the run's own folder, as the owner's can't be opened: {error}"),
        },
    };
    if config.homes.is_some() || notebook.windows(HOME.len()).any(|window| window == HOME.as_bytes()) {
        attempt.log(LogStream::System, format!("{HOME}: {why}")).await;
    }
    None
}

/// The owner's folder, which is made where there is none.
fn open(homes: &Path, owner: &str) -> io::Result<(PathBuf, UntrustedDir)> {
    let path = std::path::absolute(homes.join(folder_name(owner)))?;
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    let folder = UntrustedDir::open(&path)?;
    Ok((path, folder))
}

/// An owner's name as a folder's: no two owners have the same, and none leads elsewhere.
fn folder_name(owner: &str) -> String {
    const LONGEST: usize = 200;
    if owner.is_empty() {
        return "%".to_owned();
    }
    let mut name = String::new();
    for byte in owner.to_ascii_lowercase().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'@' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            byte => name.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]),
        }
    }
    if name.len() > LONGEST {
        use sha2::{Digest, Sha256};
        return format!("%{}", hex::encode(Sha256::digest(name)));
    }
    name
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_owner_has_anothers_folder() {
        for (owner, name) in [
            ("anna", "anna"),
            ("Anna.Berg@example.com", "anna.berg@example.com"),
            ("DOMAIN\\anna", "domain%5canna"),
            ("..", "%2e."),
            (".hidden", "%2ehidden"),
            ("a/../b", "a%2f..%2fb"),
            ("a%2fb", "a%252fb"),
            ("\u{e9}", "%c3%a9"),
            ("", "%"),
        ] {
            assert_eq!(folder_name(owner), name);
        }
        let long = folder_name(&"x".repeat(300));
        assert!(long.len() < 100 && long != folder_name(&"x".repeat(301)));
    }
}
