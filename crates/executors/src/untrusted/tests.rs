#![allow(clippy::unwrap_used)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::mkdirat;
use tempfile::TempDir;

use super::*;

const SECRET: &str = "isochrone-test-secret";
const MOST: u64 = 1 << 20;

/// A stranger's folder, and beside it a secret that is none of it.
struct Ground {
    base: TempDir,
}

impl Ground {
    fn new() -> Ground {
        let ground = Ground { base: tempfile::tempdir().unwrap() };
        fs::create_dir(ground.path("own")).unwrap();
        fs::create_dir(ground.path("outside")).unwrap();
        fs::write(ground.secret(), SECRET).unwrap();
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.path("own").join(name)
    }

    fn secret(&self) -> PathBuf {
        self.path("outside/secret")
    }

    fn open(&self) -> UntrustedDir {
        UntrustedDir::open(&self.path("own")).unwrap()
    }

    fn remove(&self) -> Result<(), Left> {
        remove(&UntrustedDir::open(self.base.path()).unwrap(), OsStr::new("own"))
    }

    fn outside_is_whole(&self) {
        assert_eq!(fs::read_to_string(self.secret()).unwrap(), SECRET);
        assert_eq!(fs::metadata(self.path("outside")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    fn fifo(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.own(name)).status().unwrap().success());
    }
}

fn read(mut file: UntrustedFile) -> io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn reads_plain_files_below() {
    let ground = Ground::new();
    fs::create_dir_all(ground.own("a/b")).unwrap();
    fs::write(ground.own("a/b/table.csv"), "x,y").unwrap();
    let file = ground.open().file_below(Path::new("a/b/table.csv"), MOST).unwrap();
    assert_eq!(file.size(), 3);
    assert_eq!(read(file).unwrap(), "x,y");
}

#[test]
fn refuses_all_but_plain_files_and_waits_for_nothing() {
    let ground = Ground::new();
    symlink(ground.secret(), ground.own("link")).unwrap();
    symlink("/proc/self/environ", ground.own("environ")).unwrap();
    symlink("/dev/zero", ground.own("zero")).unwrap();
    symlink(ground.path("outside"), ground.own("folder-link")).unwrap();
    symlink("loop", ground.own("loop")).unwrap();
    fs::hard_link(ground.secret(), ground.own("hard")).unwrap();
    fs::create_dir(ground.own("folder")).unwrap();
    ground.fifo("fifo");
    let _socket = UnixListener::bind(ground.own("socket")).unwrap();
    File::create(ground.own("sparse")).unwrap().set_len(1 << 40).unwrap();
    let own = ground.open();
    let text = |path: &str| match own.file_below(Path::new(path), MOST) {
        Err(refused) => refused.to_string(),
        Ok(file) => panic!("{path} is read: {:?}", read(file)),
    };
    for (path, says) in [
        ("link", "a link"),
        ("environ", "a link"),
        ("zero", "a link"),
        ("loop", "a link"),
        ("folder-link/secret", "no folder"),
        ("folder-link", "a link"),
        ("hard", "2 links"),
        ("folder", "a folder"),
        ("fifo", "a FIFO"),
        ("fifo/x", "no folder"),
        ("socket", "a socket"),
        ("sparse", "more than"),
        ("../outside/secret", "leads elsewhere"),
        ("folder/../../outside/secret", "leads elsewhere"),
        ("", "leads elsewhere"),
        ("nothing", "No such file"),
    ] {
        assert!(text(path).contains(says), "{path}: {}", text(path));
    }
    let absolute = ground.secret();
    assert!(matches!(own.file_below(&absolute, MOST), Err(Refused::Name)));
    for name in ["..", ".", "", "a/b", "/etc/passwd"] {
        assert!(matches!(own.file(OsStr::new(name), MOST), Err(Refused::Name)), "{name}");
        assert!(matches!(own.dir(OsStr::new(name)), Err(Refused::Name)), "{name}");
        assert!(own.new_file(OsStr::new(name)).is_err(), "{name}");
    }
    assert!(own.new_file(OsStr::new("link")).is_err());
    for name in ["link", "zero", "fifo", "hard", "socket", "folder"] {
        assert!(own.lock_file(OsStr::new(name)).is_err(), "{name}");
    }
    let lock = own.lock_file(OsStr::new("lock")).unwrap();
    lock.try_lock().unwrap();
    assert!(own.lock_file(OsStr::new("lock")).unwrap().try_lock().is_err());
    ground.outside_is_whole();
}

#[test]
fn refuses_other_file_systems() {
    let own = UntrustedDir::open(Path::new("/")).unwrap();
    assert!(matches!(own.dir(OsStr::new("proc")), Err(Refused::Device)));
}

#[test]
fn reads_no_more_than_it_may() {
    let ground = Ground::new();
    fs::write(ground.own("grows"), "0123456789").unwrap();
    let own = ground.open();
    assert!(matches!(own.file(OsStr::new("grows"), 9), Err(Refused::Size(9))));
    let file = own.file(OsStr::new("grows"), 10).unwrap();
    fs::write(ground.own("grows"), "0123456789a").unwrap();
    assert!(read(file).unwrap_err().to_string().contains("more than 10 bytes"));
}

#[test]
fn walks_through_what_is_there_and_no_further() {
    let ground = Ground::new();
    for folder in ["a/b", "cache", "empty"] {
        fs::create_dir_all(ground.own(folder)).unwrap();
    }
    for file in ["z.txt", "a/one.csv", "a/b/two.csv", "cache/three"] {
        fs::write(ground.own(file), file).unwrap();
    }
    symlink(ground.path("outside"), ground.own("a/link")).unwrap();
    ground.fifo("pipe");
    let bounds = Bounds { names: 100, depth: 8 };
    let mut walk = Walk::new(ground.open(), bounds, |path, _| path != Path::new("cache"));
    let found: Vec<_> = walk.by_ref().collect();
    assert!(!walk.cut());
    let paths: Vec<_> = found.iter().map(|found| found.path().to_str().unwrap()).collect();
    assert_eq!(paths, ["a/b/two.csv", "a/link", "a/one.csv", "pipe", "z.txt"]);
    let readable: Vec<_> = found.iter().filter_map(|found| read(found.open(MOST).ok()?).ok()).collect();
    assert_eq!(readable, ["a/b/two.csv", "a/one.csv", "z.txt"]);
    for bounds in [Bounds { names: 3, depth: 8 }, Bounds { names: 100, depth: 2 }] {
        let mut walk = Walk::new(ground.open(), bounds, |_, _| true);
        assert!(walk.by_ref().count() < 6);
        assert!(walk.cut(), "{bounds:?}");
    }
}

#[test]
fn removes_whatever_is_there_and_nothing_else() {
    let ground = Ground::new();
    fs::create_dir_all(ground.own("closed/inner/innermost")).unwrap();
    fs::write(ground.own("closed/inner/file"), "").unwrap();
    symlink(ground.path("outside"), ground.own("closed/link")).unwrap();
    symlink(ground.secret(), ground.own("link")).unwrap();
    fs::hard_link(ground.secret(), ground.own("hard")).unwrap();
    ground.fifo("fifo");
    let _socket = UnixListener::bind(ground.own("socket")).unwrap();
    fs::create_dir(ground.own("many")).unwrap();
    for n in 0..3_000 {
        File::create(ground.own(&format!("many/{n}"))).unwrap();
    }
    for name in ["closed/inner/innermost", "closed/inner", "closed", "many"] {
        fs::set_permissions(ground.own(name), Permissions::from_mode(0o000)).unwrap();
    }
    fs::set_permissions(ground.path("own"), Permissions::from_mode(0o500)).unwrap();
    ground.remove().unwrap();
    assert!(!ground.path("own").exists());
    ground.outside_is_whole();
}

#[test]
fn removes_a_link_and_not_where_it_leads() {
    let ground = Ground::new();
    fs::remove_dir(ground.path("own")).unwrap();
    symlink(ground.path("outside"), ground.path("own")).unwrap();
    assert!(UntrustedDir::open(&ground.path("own")).is_err());
    ground.remove().unwrap();
    ground.outside_is_whole();
    ground.remove().unwrap();
}

/// Deeper than any path may be long, and than a process may have files open.
#[test]
fn removes_a_tree_deeper_than_any_path() {
    let ground = Ground::new();
    let mut folder = ground.open();
    for _ in 0..5_000 {
        folder.new_file(OsStr::new("f")).unwrap();
        mkdirat(&folder, "d", Mode::RWXU).unwrap();
        folder = folder.dir(OsStr::new("d")).unwrap();
    }
    drop(folder);
    ground.remove().unwrap();
    assert!(!ground.path("own").exists());
}

/// Root may do without rights: so another user removes the same.
#[test]
fn removes_as_a_user_without_rights() {
    if !rustix::process::geteuid().is_root() {
        // The others did so.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    // Where it lies, others may not come.
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let names = ["removes_whatever_is_there_and_nothing_else", "removes_a_tree_deeper_than_any_path"];
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .arg("--exact")
        .args(names.map(|name| format!("untrusted::tests::{name}")))
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("2 passed"), "{told}");
}

#[test]
fn says_what_it_could_not_remove() {
    // In /proc nobody can remove anything.
    let process = UntrustedDir::open(&Path::new("/proc").join(std::process::id().to_string())).unwrap();
    let left = remove(&process, OsStr::new("task")).unwrap_err();
    assert!(left.path.starts_with("task"), "{left}");
    assert!(left.to_string().contains("can't be removed"), "{left}");
}
