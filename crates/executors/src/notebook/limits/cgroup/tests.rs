//! What the kernel does with a run's cgroup. Where this process can't make any (not root, nothing delegated) the reason
//! is all that there is to be seen.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::*;

const PATIENCE: Duration = Duration::from_mins(1);
const MEMORY: u64 = 64 << 20;

/// Starts a script that has done nothing before it is in the cgroup.
fn started(group: &Group, script: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    group.admit(rustix::process::Pid::from_child(&child)).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn a_runs_cgroup_counts_refuses_and_ends() {
    let cgroups = match Cgroups::of_this_process() {
        Ok(cgroups) => cgroups,
        Err(why) => {
            println!("no cgroups here: {why}");
            assert!(!why.is_empty());
            return;
        }
    };
    println!("processes by {:?}, memory by {:?}", cgroups.counts_processes(), cgroups.counts_memory());
    let new = || cgroups.group(&Ceilings { threads: 20, memory: MEMORY }).unwrap();

    if cgroups.counts_processes().is_some() {
        let group = new();
        let mut child = started(&group, "for n in $(seq 40); do sleep 100 & done; wait");
        wait_for("a process that is refused", || group.counts().refused_forks > 0);
        assert!(group.counts().processes <= 20 && !group.processes().is_empty());
        assert!(group.kill(&[], PATIENCE), "all are killed");
        child.wait().unwrap();
        wait_for("nobody is left", || group.processes().is_empty());
        drop(group);
        let left = cgroups.pids.as_ref().map(|worker| folders(&worker.folder)).unwrap_or_default();
        assert!(!left.iter().any(|folder| folder.ends_with("run-0")), "{left:?}");
    }

    if let Some(version) = cgroups.counts_memory() {
        let group = new();
        let script = "(head -c 256000000 /dev/zero | tail -c 256000000); sleep 100";
        let mut child = started(&group, script);
        wait_for("somebody who is killed for memory", || group.counts().oom_kills > 0);
        if version == "cgroup v2" {
            // All at once, by memory.oom.group.
            child.wait().unwrap();
            wait_for("nobody is left", || group.processes().is_empty());
        }
        assert!(group.kill(&[], PATIENCE));
        child.wait().unwrap();

        let group = new();
        // Where the build is: a folder for temporary files may be in memory.
        let folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where");
        let file = tempfile::NamedTempFile::new_in(folder).unwrap();
        let path = file.path().display();
        let copy = format!("dd if=/dev/zero of={path} bs=1M count=160 && cat {path} > /dev/null");
        assert!(started(&group, &copy).wait().unwrap().success(), "what is kept from the disk is no excess");
        assert_eq!(group.counts().oom_kills, 0);
    }
}
