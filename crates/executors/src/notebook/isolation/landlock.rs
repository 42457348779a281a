//! Linux's Landlock: which files a thread and all that it starts may touch.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::view::View;
use crate::untrusted::UntrustedDir;

/// What the kernel does not know of this is left out; the probe tells whether the rest is enough.
const NEWEST: ABI = ABI::V10;

/// Devices that are no way out, and the folder of shared memory, without which Python's multiprocessing has
/// no locks.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm"];

/// The kernel shows every process its own; of others' secrets it shows a restricted one nothing.
const PROCESSES: &str = "/proc";

/// From here on the thread may write in `own` only, read `input` and what `view` has besides, and has no privileges.
pub(super) fn restrict_thread(view: &View, input: &Path, own: &UntrustedDir) -> io::Result<()> {
    rules(view, input, own).map_err(io::Error::other)?;
    // Root's, too: they would open /proc/kcore, or a way around the rules.
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

fn rules(view: &View, input: &Path, own: &UntrustedDir) -> Result<(), RulesetError> {
    let (read, all) = (AccessFs::from_read(NEWEST), AccessFs::from_all(NEWEST));
    let seen = view.readable.iter().map(PathBuf::as_path).chain([Path::new(PROCESSES), input]);
    let writable = view.writable.iter().map(PathBuf::as_path).chain(DEVICES.map(Path::new));
    Ruleset::default()
        .handle_access(all)?
        // Signals to the worker and to other runs are theirs to send.
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(seen, read))?
        .add_rules(path_beneath_rules(writable, all))?
        .add_rule(PathBeneath::new(own, all))?
        .restrict_self()?;
    Ok(())
}
