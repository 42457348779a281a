//! The program bubblewrap: a process in namespaces of its own.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::super::network::{HOSTS, NetworkTier, RESOLV_CONF};
use super::super::processes;
use super::super::scratch::Scratch;
use super::syscalls::{self, Calls, sealed_file};
use super::view::View;

const PROGRAM: &str = "bwrap";

/// Where ArcGIS's notebooks have the files that stay from one execution to the next.
const ARCGIS_HOME: &str = "/arcgis/home";

/// How long bubblewrap may take to make the program's process.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_WORDS: u64 = 1_000;
const LOOK: Duration = Duration::from_millis(2);

/// The program is the first process of its namespace:
/// with it all others end, and none of them can signal it.
const NAMESPACES: [&str; 10] = [
    "--unshare-user-try",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--as-pid-1",
    "--die-with-parent",
    "--new-session",
    "--cap-drop",
    "ALL",
];

/// What the first program of a guarded network namespace needs to set it up; it gives them up before the notebook.
const TO_SET_UP_A_NETWORK: [&str; 4] =
    ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETPCAP"];

/// What bounds a view, beside what is in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViewLimits {
    /// The size of `/dev/shm`, in bytes.
    pub(super) shared_memory: u64,
    pub(super) calls: Calls,
}

/// Starts `program` where nothing is but `view` and its own folder, with filters on its system calls. It inherits
/// the files that are added to `inherited`.
pub(super) fn command(
    program: &Path,
    view: &View,
    scratch: &Scratch,
    network: NetworkTier,
    limits: ViewLimits,
    inherited: &mut Vec<OwnedFd>,
) -> io::Result<Command> {
    let mut command = Command::new(installed()?);
    command.args(NAMESPACES);
    if matches!(network, NetworkTier::Guarded | NetworkTier::None) {
        command.arg("--unshare-net");
    }
    if network == NetworkTier::Guarded {
        command.args(TO_SET_UP_A_NETWORK.iter().flat_map(|capability| ["--cap-add", capability]));
        if has_user_namespaces() {
            // Any other number would be given in a second user namespace, whose privileges do not hold for the network,
            // which is the first one's.
            command.args(["--uid", "0", "--gid", "0"]);
        }
    }
    for filter in syscalls::filters_in_files(limits.calls)? {
        command.arg("--add-seccomp-fd").arg(filter.as_raw_fd().to_string());
        inherited.push(filter);
    }
    // Root's number is enough to write to much of the kernel there, without any privilege.
    command.args(["--proc", "/proc", "--remount-ro", "/proc"]);
    command.args(["--dev", "/dev", "--size", &limits.shared_memory.to_string(), "--tmpfs", "/dev/shm"]);
    command.args(["--remount-ro", "/dev"]);
    // On the disk, as all that it writes: memory would be nobody's.
    command.arg("--bind").arg(scratch.temporary()).arg("/tmp");
    for path in &view.readable {
        match fs::read_link(path) {
            // As /bin -> usr/bin.
            Ok(target) if path.parent() == Some(Path::new("/")) => {
                command.arg("--symlink").args([&target, path]);
            }
            _ => {
                private_mount_point(&mut command, path);
                command.arg("--ro-bind-try").args([path, path]);
            }
        }
    }
    for path in &view.writable {
        private_mount_point(&mut command, path);
        command.arg("--bind-try").args([path, path]);
    }
    if network == NetworkTier::Guarded {
        for (path, text) in [("/etc/resolv.conf", RESOLV_CONF), ("/etc/hosts", HOSTS)] {
            let file = sealed_file(text.as_bytes())?;
            command.arg("--ro-bind-data").args([&file.as_raw_fd().to_string(), path]);
            inherited.push(file);
        }
    }
    private_mount_point(&mut command, &scratch.input());
    private_mount_point(&mut command, Path::new(scratch.own().as_ref()));
    command.arg("--ro-bind").args([scratch.input(), scratch.input()]);
    command.arg("--bind").args([scratch.own(), scratch.own()]);
    command.arg("--bind").arg(scratch.arcgis_home()).arg(ARCGIS_HOME);
    // The way to it may lead through links that are not there.
    command.arg("--chdir").arg(scratch.work());
    command.args(["--remount-ro", "/", "--"]).arg(program);
    Ok(command)
}

/// A folder below /tmp is mounted in the run's own /tmp, which is on the disk: bubblewrap would make it there with
/// 0755, whatever the mask.
fn private_mount_point(command: &mut Command, path: &Path) {
    if path.starts_with("/tmp") && path.is_dir() {
        command.args(["--perms", "0700", "--dir"]).arg(path);
    }
}

/// Whether bubblewrap makes one: as it looks itself.
fn has_user_namespaces() -> bool {
    fs::read_to_string("/proc/sys/user/max_user_namespaces").is_ok_and(|most| most.trim() != "0")
}

fn installed() -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/bin".into()]);
    let found = places.map(|folder| folder.join(PROGRAM)).find(|file| file.is_file());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "bubblewrap is not installed"))
}

/// The process that becomes the program: bubblewrap's only child.
pub(super) async fn program_of(bwrap: &mut Child, pid: Pid) -> io::Result<Pid> {
    let until = Instant::now() + PATIENCE;
    loop {
        let child = processes::all().find(|process| process.parent == pid.as_raw_pid() && !process.zombie);
        if let Some(child) = child.and_then(|child| Pid::from_raw(child.pid)) {
            return Ok(child);
        }
        if let Some(status) = bwrap.try_wait()? {
            return Err(io::Error::other(format!(
                "bubblewrap ended ({status}): {}",
                last_words(bwrap).await
            )));
        }
        if Instant::now() >= until {
            return Err(io::Error::other("bubblewrap takes too long"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn last_words(bwrap: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(errors) = &mut bwrap.stderr {
        drop(errors.take(LONGEST_WORDS).read_to_end(&mut words).await);
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}
