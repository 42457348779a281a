//! `cargo xtask test`: every test, with all of its set-up.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use isochrone_testkit::servers;

use crate::simulate;

/// Runs every test. What the tests need beside Rust and Python 3 is installed here, into a cache folder
/// outside of the checkout, and kept.
pub(crate) fn run() -> Result<()> {
    let cache = cache_dir()?;
    eprintln!("xtask: what the tests install is kept in {} (ISOCHRONE_TEST_CACHE)", cache.display());
    check_python()?;
    check_node()?;
    check_servers()?;
    check_bubblewrap()?;
    check_promtool()?;
    // Read by this process's children alone.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // The simulator's are run optimized.
    let simulated = simulate::test();
    // All that fails is told at once: a run takes most of an hour.
    let args = ["test", "--workspace", "--exclude", "isochrone-simulator", "--locked", "--no-fail-fast"];
    eprintln!("xtask: cargo {}", args.join(" "));
    let status = Command::new(cargo)
        .args(args)
        .env("ISOCHRONE_TEST_CACHE", &cache)
        .current_dir(crate::root())
        .status()
        .context("cargo test")?;
    if !status.success() {
        bail!("some test failed");
    }
    simulated
}

fn cache_dir() -> Result<PathBuf> {
    let dir = match (std::env::var_os("ISOCHRONE_TEST_CACHE"), std::env::var_os("XDG_CACHE_HOME")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(cache)) => PathBuf::from(cache).join("isochrone-test"),
        (None, None) => {
            PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/isochrone-test")
        }
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("the cache folder {}", dir.display()))?;
    Ok(dir)
}

/// Notebooks run on real Jupyter kernels: that needs Python 3 with its venv module.
fn check_python() -> Result<()> {
    let found = Command::new("python3").args(["-c", "import venv, ensurepip"]).output();
    match found {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => install("python3-venv"),
        Err(_) => install("python3 python3-venv"),
    }
}

/// Notebooks are isolated by it. Where it can't make namespaces, the tests fail and say so.
fn check_bubblewrap() -> Result<()> {
    match Command::new("bwrap").arg("--version").output() {
        Ok(told) if told.status.success() => Ok(()),
        _ => install("bubblewrap"),
    }
}

/// A client of ArcGIS in JavaScript is tried; the schemas of dashboards are packages of npm.
fn check_node() -> Result<()> {
    let there =
        |program| Command::new(program).arg("--version").output().is_ok_and(|told| told.status.success());
    if there("node") && there("npm") { Ok(()) } else { install("nodejs npm") }
}

/// The rules in deploy/prometheus are tested as Prometheus itself does.
fn check_promtool() -> Result<()> {
    let there = Command::new("promtool").arg("--version").output().is_ok_and(|told| told.status.success());
    if there { Ok(()) } else { install("prometheus") }
}

/// The stores and queues of a fleet are tested on real servers, which the tests start themselves.
fn check_servers() -> Result<()> {
    let missing = servers::missing();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing.join(" "))?;
    let missing = servers::missing();
    if !missing.is_empty() {
        bail!("{} was installed, and its programs are not where they are expected", missing.join(" and "));
    }
    Ok(())
}

/// Debian's packages start their services, at once and at each boot. Here they don't: what would start them is
/// covered up while apt runs, in a mount namespace that only apt sees. Where there can be no such namespace,
/// as in a container, there is no init that would start them either.
const INSTALL: &str = r#"
cover_up='for starter in /usr/sbin/invoke-rc.d /usr/bin/deb-systemd-invoke; do
    if [ -e $starter ]; then mount --bind /bin/true $starter; fi
done'
install='apt-get update && apt-get install -y --no-install-recommends "$@"'
if unshare --mount true 2>/dev/null; then
    unshare --mount sh -euc "$cover_up; $install" install "$@"
else
    sh -euc "$install" install "$@"
fi
for package in "$@"; do
    if [ -e "/etc/init.d/$package" ]; then update-rc.d "$package" disable; fi
done
"#;

/// Installs Debian packages (names with blanks between them) where that can be done, and says what to
/// install where it can't.
fn install(packages: &str) -> Result<()> {
    eprintln!("xtask: installing {packages}");
    let names = packages.split_whitespace();
    let command = Command::new("sh")
        .args(["-euc", INSTALL, "install"])
        .args(names)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status();
    match command {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("the tests need {packages}: install it with `apt-get install {packages}` as root"),
    }
}
