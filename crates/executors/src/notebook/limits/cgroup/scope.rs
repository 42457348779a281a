//! A scope of systemd: a cgroup that the user's service manager (root's: the system's) gives to a process.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Whether there is a manager to ask.
pub(super) fn manager_is_there() -> bool {
    let user = rustix::process::geteuid();
    let socket = if user.is_root() {
        "/run/systemd/private".to_owned()
    } else {
        format!("/run/user/{}/bus", user.as_raw())
    };
    Path::new(&socket).exists()
}

/// Asks for a scope with this process in it and a cgroup that it may divide, and waits until it is there.
pub(super) fn enter() -> io::Result<()> {
    let before = own_cgroup()?;
    let pid = std::process::id().to_string();
    let unit = format!("isochrone-{pid}.scope");
    let mut command = Command::new("busctl");
    if !rustix::process::geteuid().is_root() {
        command.arg("--user");
    }
    // StartTransientUnit of org.freedesktop.systemd1(5).
    command
        .args(["--timeout=3", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"])
        .args(["org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", &unit, "fail"])
        .args(["2", "PIDs", "au", "1", &pid, "Delegate", "b", "true", "0"])
        .stdin(Stdio::null());
    let output = command.output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(words.trim().to_owned()));
    }
    let until = Instant::now() + PATIENCE;
    while own_cgroup()? == before {
        if Instant::now() >= until {
            return Err(io::Error::other("the service manager made none in time"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn own_cgroup() -> io::Result<String> {
    fs::read_to_string("/proc/self/cgroup")
}
