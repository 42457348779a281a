//! Tries to get out of a confinement: that its parts are there does not mean that it holds.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::super::network::{self, NetworkTier, Ports};
use super::super::scratch::Scratch;
use super::{Confined, Confinement};

const PROGRAM: &str = include_str!("probe.py");

const PATIENCE: Duration = Duration::from_secs(30);

/// What stands in the file that a probe must not read.
const CANARY: &str = "isochrone-canary";

/// The probe's last line where it tried everything.
const HELD: &str = "held";

/// Runs a probe with `python` in a folder below `parent`. The error says, for people, what it could do that it
/// must not, or why it could not run.
/// Otherwise, what its network lacks.
pub(super) async fn probe(
    confinement: &Confinement,
    python: &Path,
    parent: &Path,
) -> Result<Vec<String>, String> {
    let scratch = Scratch::new(parent).map_err(|error| format!("the probe's folder: {error}"))?;
    // As another run's.
    let outside = Scratch::new(parent).map_err(|error| format!("the probe's folder: {error}"))?;
    let canary = outside.input().join("canary");
    fs::write(&canary, CANARY).map_err(|error| format!("the probe's file: {error}"))?;
    let running = run(confinement, python, &scratch, &canary);
    let told = match tokio::time::timeout(PATIENCE, running).await {
        Ok(told) => told.map_err(|error| error.to_string()),
        Err(_) => Err(format!("a probe did not end within {} s", PATIENCE.as_secs())),
    };
    // In a view of its own it may write to what looks like the place outside.
    let changed = !fs::read_to_string(&canary).is_ok_and(|text| text == CANARY)
        || outside.input().join("canary.new").exists();
    scratch.remove().await;
    outside.remove().await;
    match told? {
        _ if changed => Err("a process in it can write to files outside".to_owned()),
        (told, missing) if told == HELD => Ok(missing),
        (told, _) => Err(told),
    }
}

async fn run(
    confinement: &Confinement,
    python: &Path,
    scratch: &Scratch,
    canary: &Path,
) -> io::Result<(String, Vec<String>)> {
    // As the store's, on the machine's loopback.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let closed = confinement.network != NetworkTier::Open;
    let ports = Ports { open: vec![80, 443], own: vec![port] };
    let program = scratch.input().join("probe.py");
    fs::write(&program, PROGRAM)?;
    let mut start = confinement.start(python, &program, scratch, ports)?;
    start
        .command
        .env_clear()
        .arg(canary)
        .arg(std::process::id().to_string())
        .arg(scratch.work())
        .arg(if closed { port } else { 0 }.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Confined { child, parent, handover, .. } = start.spawn().await?;
    let missing = match handover {
        Some(handover) => network::tried(handover).await,
        None => Ok(Vec::new()),
    };
    let output = child.wait_with_output().await?;
    drop(parent);
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim_end().lines().next_back().map(str::to_owned)
    };
    let told = last(&output.stdout).or_else(|| last(&output.stderr));
    let told = told.unwrap_or_else(|| format!("a probe ended without a word ({})", output.status));
    match missing {
        Err(error) if told == HELD => Err(error),
        missing => Ok((told, missing.unwrap_or_default())),
    }
}
