//! Linux's Landlock: which files a thread and all that it starts may touch.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::super::network::Ports;
use super::view::View;
use crate::untrusted::UntrustedDir;

/// What the kernel does not know of this is left out; the probe tells whether the rest is enough.
const NEWEST: ABI = ABI::V10;

/// Devices that are no way out.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Without it, Python's multiprocessing has no locks. It is the machine's: what others have there can't be listed,
/// and Python's own names of what is in it can't be guessed.
const SHARED_MEMORY: &str = "/dev/shm";

/// The kernel shows every process its own; of others' secrets it shows a restricted one nothing.
const PROCESSES: &str = "/proc";

/// From here on the thread may write in `own` only, read `input` and what `view` has besides, and has no privileges.
/// `ports`: those that TCP may connect to, where it is not the kernel's choice.
pub(super) fn restrict_thread(
    view: &View,
    input: &Path,
    own: &UntrustedDir,
    ports: Option<&Ports>,
    becomes_another_user: bool,
) -> io::Result<()> {
    rules(view, input, own, ports).map_err(io::Error::other)?;
    // Root's, too: they would open /proc/kcore, or a way around the rules.
    // Becoming another user takes the rest away.
    let kept = if becomes_another_user {
        CapabilitySet::SETUID | CapabilitySet::SETGID
    } else {
        CapabilitySet::empty()
    };
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    Ok(())
}

fn rules(view: &View, input: &Path, own: &UntrustedDir, ports: Option<&Ports>) -> Result<(), RulesetError> {
    let (read, all) = (AccessFs::from_read(NEWEST), AccessFs::from_all(NEWEST));
    let seen = view.readable.iter().map(PathBuf::as_path).chain([Path::new(PROCESSES), input]);
    let writable = view.writable.iter().map(PathBuf::as_path).chain(DEVICES.map(Path::new));
    // Signals to the worker and to other runs are theirs to send.
    let mut rules = Ruleset::default().handle_access(all)?.scope(Scope::from_all(NEWEST))?;
    if ports.is_some() {
        // Linux 6.7 has it; where it is not, the probe is to hear of it.
        let required = rules.set_compatibility(CompatLevel::HardRequirement);
        rules = required.handle_access(AccessNet::ConnectTcp)?.set_compatibility(CompatLevel::BestEffort);
    }
    let connections = ports.into_iter().flat_map(connections);
    rules
        .create()?
        .add_rules(path_beneath_rules(seen, read))?
        .add_rules(path_beneath_rules(writable, all))?
        .add_rules(path_beneath_rules([SHARED_MEMORY], all & !AccessFs::ReadDir))?
        .add_rule(PathBeneath::new(own, all))?
        .add_rules(connections)?
        .restrict_self()?;
    Ok(())
}

/// Where connections of TCP may go.
fn connections(ports: &Ports) -> impl Iterator<Item = Result<NetPort, RulesetError>> {
    let allowed = ports.open.iter().copied().chain(ephemeral()).filter(|port| !ports.own.contains(port));
    allowed.map(|port| Ok(NetPort::new(port, AccessNet::ConnectTcp)))
}

/// The ports of whoever asks for any: a notebook's own servers.
fn ephemeral() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().filter_map(|end| end.parse().ok());
    match (ends.next(), ends.next()) {
        (Some(first), Some(last)) => first..=last,
        _ => 32_768..=60_999,
    }
}
