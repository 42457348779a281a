//! Where tests run that could fill the machine: in a cgroup that bounds them, as root or as another user, with
//! cgroups for the worker or with none in sight.

use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::bench::{PYTHON, environment, environment_folder, unique};

/// Whatever a test does, it gets no more than this.
const MEMORY: u64 = 4 << 30;
const PROCESSES: u64 = 6_000;
const SHARED_MEMORY: u64 = 3 << 30;
const SECONDS: u32 = 600;

const OTHER_USER: u32 = 65_532;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) root: bool,
    pub(crate) cgroups: bool,
}

const STAGE: &str = "ISOCHRONE_TEST_STAGE";

impl Stage {
    /// The stage that this process runs on.
    pub(crate) fn of_this_process() -> Stage {
        let text = env::var(STAGE).expect("another test starts this one");
        Stage { root: text.contains("root"), cgroups: text.contains("cgroups") }
    }

    fn name(self) -> String {
        let user = if self.root { "root" } else { "another user" };
        format!("{user}{}", if self.cgroups { " with cgroups" } else { "" })
    }

    /// Runs the ignored test `test` there, and fails as it does.
    pub(crate) fn run(self, test: &str) {
        self.run_with(test, &[]);
    }

    /// The same, with folders that are to be seen there, too, and whose programs are found.
    pub(crate) fn run_with(self, test: &str, shown: &[&Path]) {
        assert!(rustix::process::geteuid().is_root(), "who runs this must be root: it plays several users");
        // Nothing is made there.
        let python = tokio::runtime::Runtime::new().unwrap().block_on(environment().ready()).unwrap();
        // One at a time: two fork bombs at once starve each other's workers, and are nobody's use.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = Guard::new(self);
        let mut command = Command::new("sh");
        let join = guard.folders.iter().map(|folder| folder.join("cgroup.procs"));
        command.args([
            "-c",
            "while [ \"$1\" != -- ]; do echo $$ > \"$1\" || exit 9; shift; done; shift; exec \"$@\"",
            "sh",
        ]);
        command.args(join).arg("--").args(["timeout", "--signal=KILL", &SECONDS.to_string()]);
        command.args(["bwrap", "--dev-bind", "/", "/", "--cap-add", "ALL", "--die-with-parent"]);
        // What notebooks leave in the machine's shared memory goes with the stage.
        command.args(["--perms", "1777", "--size", &SHARED_MEMORY.to_string(), "--tmpfs", "/dev/shm"]);
        let (exe, base) = (env::current_exe().unwrap(), base_of_python());
        let folder = environment_folder();
        let own: [&Path; 3] = [&exe, &folder, &base];
        for (hidden, shown) in opened(&[&own[..], shown].concat()) {
            command.args(["--perms", "0755", "--tmpfs"]).arg(&hidden);
            for path in shown {
                let mut on_the_way: Vec<&Path> =
                    path.ancestors().skip(1).take_while(|at| *at != hidden).collect();
                on_the_way.reverse();
                for folder in on_the_way {
                    command.args(["--perms", "0755", "--dir"]).arg(folder);
                }
                command.arg("--ro-bind").args([&path, &path]);
            }
        }
        if !self.cgroups {
            command.args(["--tmpfs", "/sys/fs/cgroup", "--remount-ro", "/sys/fs/cgroup"]);
        }
        command.arg("--");
        if !self.root {
            let user = OTHER_USER.to_string();
            command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.args(["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]);
        }
        command.arg(exe).args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
        let path = env::join_paths(
            [base.join("bin")]
                .into_iter()
                .chain(shown.iter().map(|folder| folder.to_path_buf()))
                .chain(env::split_paths(&env::var_os("PATH").unwrap())),
        );
        command.env(STAGE, self.name()).env("PATH", path.unwrap()).env(PYTHON, python);
        let status = command.status().unwrap();
        assert!(status.success(), "as {}: {status}", self.name());
    }
}

/// Whether another test has started this process.
pub(crate) fn is_on_a_stage() -> bool {
    env::var_os(STAGE).is_some()
}

/// Folders on the way to these paths that others may not enter, each with what is to be seen of it.
fn opened(paths: &[&Path]) -> Vec<(PathBuf, Vec<PathBuf>)> {
    let mut found: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
    for path in paths {
        let mut ancestors: Vec<&Path> = path.ancestors().collect();
        ancestors.reverse();
        let closed = |folder: &&&Path| fs::metadata(folder).unwrap().permissions().mode() & 0o001 == 0;
        let Some(closed) = ancestors.iter().find(closed) else { continue };
        match found.iter_mut().find(|(hidden, _)| hidden == closed) {
            Some((_, shown)) => shown.push(path.to_path_buf()),
            None => found.push((closed.to_path_buf(), vec![path.to_path_buf()])),
        }
    }
    found
}

fn base_of_python() -> PathBuf {
    let code = "import sys; print(sys.base_prefix)";
    let output = Command::new("python3").args(["-c", code]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The cgroups around a test; removed with it.
struct Guard {
    folders: Vec<PathBuf>,
}

impl Guard {
    fn new(stage: Stage) -> Guard {
        let name = format!("guard-{}", unique());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = |kind: &str, option: &str| {
            let line = mounts.lines().find(|line| {
                let (_, end) = line.split_once(" - ").unwrap();
                let mut end = end.split(' ');
                end.next() == Some(kind)
                    && (option.is_empty() || end.nth(1).unwrap().split(',').any(|o| o == option))
            })?;
            Some(PathBuf::from(line.split(' ').nth(4).unwrap()))
        };
        let path = |controller: &str| {
            let line =
                own.lines().find(|line| line.split(':').nth(1).unwrap().split(',').any(|c| c == controller));
            line.map(|line| line.split(':').nth(2).unwrap().trim_start_matches('/').to_owned())
        };
        let mut guard = Guard { folders: Vec::new() };
        if let (Some(mount), Some(path)) = (mount("cgroup", "memory"), path("memory")) {
            let folder = guard.folder(mount.join(path).join(&name));
            fs::write(folder.join("memory.limit_in_bytes"), MEMORY.to_string()).unwrap();
        }
        if let (Some(mount), Some(path)) = (mount("cgroup", "pids"), path("pids")) {
            let folder = guard.folder(mount.join(path).join(&name));
            fs::write(folder.join("pids.max"), PROCESSES.to_string()).unwrap();
        }
        if guard.folders.is_empty() {
            let base = mount("cgroup2", "").expect("cgroups").join(path("").expect("a cgroup of its own"));
            fs::write(base.join("cgroup.subtree_control"), "+memory +pids").expect("cgroups to divide");
            let folder = guard.folder(base.join(&name));
            fs::write(folder.join("memory.max"), MEMORY.to_string()).unwrap();
            fs::write(folder.join("pids.max"), PROCESSES.to_string()).unwrap();
        }
        if !stage.root && stage.cgroups {
            for folder in &guard.folders {
                let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
                for path in files.chain([folder.clone()]) {
                    chown(&path, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
                }
            }
        }
        guard
    }

    fn folder(&mut self, folder: PathBuf) -> PathBuf {
        fs::create_dir(&folder).unwrap();
        self.folders.push(folder.clone());
        folder
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for folder in &self.folders {
            for _ in 0..500 {
                for pid in fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default().lines() {
                    drop(Command::new("kill").args(["-9", pid]).status());
                }
                let inner = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
                for worker in inner.filter(|path| path.is_dir()) {
                    let runs =
                        fs::read_dir(&worker).into_iter().flatten().flatten().map(|entry| entry.path());
                    runs.filter(|path| path.is_dir()).for_each(|run| drop(fs::remove_dir(run)));
                    drop(fs::remove_dir(worker));
                }
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}
