//! Licences, doubled crates and sources of what is linked in, by cargo-deny and `deny.toml`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use isochrone_testkit::PythonClient;

/// Its version and its hashes.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lint-requirements.txt");

/// Fails where something breaks the rules. Advisories are checked where their database is at hand: it is not fetched.
pub(crate) fn check() -> Result<()> {
    let install: &[&str] = &["--require-hashes", "--only-binary", ":all:", "-r", REQUIREMENTS];
    let program =
        PythonClient::install("cargo-deny", &[install]).context("cargo-deny")?.program("cargo-deny");
    run(&program, &["--locked"], &["licenses", "bans", "sources"])?;
    if has_advisories() {
        return run(&program, &["--locked", "--offline"], &["advisories"]);
    }
    eprintln!("xtask: no advisory database in $CARGO_HOME/advisory-dbs: advisories are not checked");
    Ok(())
}

fn run(program: &Path, how: &[&str], checks: &[&str]) -> Result<()> {
    eprintln!("xtask: cargo-deny check {}", checks.join(" "));
    let status = Command::new(program)
        .args(how)
        .args(["--log-level", "error", "check", "--hide-inclusion-graph"])
        .args(checks)
        .current_dir(crate::root())
        .status()
        .context("cargo-deny")?;
    if !status.success() {
        bail!("cargo-deny found what deny.toml does not allow");
    }
    Ok(())
}

fn has_advisories() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let databases = home.and_then(|home| std::fs::read_dir(home.join("advisory-dbs")).ok());
    databases.is_some_and(|mut databases| databases.next().is_some())
}
