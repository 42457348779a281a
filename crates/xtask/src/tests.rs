//! `cargo xtask test`: every test, with all of its set-up.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs every test. What the tests need beside Rust and Python 3 is installed here, into a cache folder
/// outside of the checkout, and kept.
pub(crate) fn run() -> Result<()> {
    let cache = cache_dir()?;
    eprintln!("xtask: what the tests install is kept in {} (ISOCHRONE_TEST_CACHE)", cache.display());
    check_python()?;
    // Read by this process's children alone.
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let args = ["test", "--workspace", "--locked"];
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
    Ok(())
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

/// Installs a Debian package where that can be done, and says what to install where it can't.
fn install(packages: &str) -> Result<()> {
    eprintln!("xtask: installing {packages}");
    let command = format!("apt-get update && apt-get install -y --no-install-recommends {packages}");
    let done = Command::new("sh").args(["-c", &command]).env("DEBIAN_FRONTEND", "noninteractive").status();
    match done {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("the tests need {packages}: install it with `apt-get install {packages}` as root"),
    }
}
