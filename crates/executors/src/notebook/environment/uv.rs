//! The program uv, where the worker has it: it installs what pip would, and is quicker.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::config::Config;
use super::super::network;

/// Its name in a build's `input`.
const NAME: &str = "uv";

/// uv on the worker's search path, if it finds packages where pip would.
pub(super) fn find(config: &Config) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut files = env::split_paths(&path).map(|folder| folder.join(NAME));
    let found = files.find(|file| file.is_file())?;
    let only_pip = network::only_pip_finds_packages(&config.environment);
    found.canonicalize().ok().filter(|_| !only_pip)
}

/// Copies it to where a build can read it: the build may run as a user to whom the folders of the worker's are closed. Where
/// that fails, pip installs.
pub(super) fn copy_into(uv: &Path, input: &Path) -> Option<PathBuf> {
    let copy = input.join(NAME);
    match fs::copy(uv, &copy) {
        Ok(_) => Some(copy),
        Err(error) => {
            tracing::warn!(uv = %uv.display(), %error, "uv can't be read; pip installs packages");
            None
        }
    }
}
