//! Where environments are built in tests: what packages there are, and other workers that build, too.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use isochrone_executors::notebook::{Config, Lookup};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::{Bench, Outcome, cell, environment_folder, notebook};
use crate::stages::is_on_a_stage;

/// Makes a wheel; its arguments are the folder, the name, the version, what it requires, and its module's text.
const MAKE_WHEEL: &str = "import sys, zipfile\n\
    folder, name, version, requires, text = sys.argv[1:]\n\
    info = f'{name}-{version}.dist-info/'\n\
    with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as wheel:\n    \
        wheel.writestr(f'{name}.py', text)\n    \
        needs = f'Requires-Dist: {requires}\\n' if requires else ''\n    \
        wheel.writestr(info + 'METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{needs}')\n    \
        wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
        wheel.writestr(info + 'entry_points.txt', f'[console_scripts]\\n{name}-program = {name}:main\\n')\n    \
        wheel.writestr(info + 'RECORD', '')\n";

/// Makes a source distribution; its arguments are the folder, its name, and the text of what builds it.
const MAKE_SOURCES: &str = "import io, sys, tarfile\n\
    folder, name, backend = sys.argv[1:]\n\
    project = '[build-system]\\nrequires = []\\nbuild-backend = \"backend\"\\nbackend-path = [\".\"]\\n'\n\
    info = f'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n'\n\
    with tarfile.open(f'{folder}/{name}-1.tar.gz', 'w:gz') as archive:\n    \
        for file, text in (('pyproject.toml', project), ('PKG-INFO', info), ('backend.py', backend)):\n        \
            member = tarfile.TarInfo(f'{name}-1/{file}')\n        \
            member.size = len(text.encode())\n        \
            archive.addfile(member, io.BytesIO(text.encode()))\n";

/// The pinned packages' wheels, kept from one test run to the next: environments are built without the network.
pub(super) fn pinned_wheels() -> PathBuf {
    static WHEELS: OnceLock<PathBuf> = OnceLock::new();
    let download = || {
        let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/notebook/requirements.txt");
        let cache = environment_folder().parent().unwrap().join("wheels");
        if is_on_a_stage() {
            // Whoever started this has downloaded them.
            return cache;
        }
        fs::create_dir_all(&cache).unwrap();
        let status = Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--requirement"])
            .arg(&pins)
            .arg("--dest")
            .arg(&cache)
            .stdin(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "the pinned packages can be downloaded");
        cache
    };
    WHEELS.get_or_init(download).clone()
}

/// The program uv, kept from one test run to the next.
pub(super) fn uv() -> PathBuf {
    const VERSION: &str = "0.13.9";
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let install = || {
        let cache = environment_folder().parent().unwrap().to_owned();
        let folder = cache.join(format!("uv-{VERSION}"));
        if !folder.exists() {
            fs::create_dir_all(&cache).unwrap();
            let new = tempfile::tempdir_in(&cache).unwrap();
            let status = Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
                .args(["--only-binary", ":all:", &format!("uv=={VERSION}"), "--target"])
                .arg(new.path())
                .stdin(Stdio::null())
                .status();
            assert!(status.unwrap().success(), "uv can be installed");
            // Another test run may have been quicker.
            let _ = fs::rename(new.keep(), &folder);
        }
        folder
    };
    FOLDER.get_or_init(install).join("bin/uv")
}

/// Where environments are built, and what packages there are.
pub(super) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub(super) fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        for name in ["wheels", "environments"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        // A run may have a user of its own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Fixture { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn wheel(&self, name: &str, version: &str, requires: &str, text: &str) {
        self.wheel_in("wheels", name, version, requires, text);
    }

    pub(super) fn wheel_in(&self, folder: &str, name: &str, version: &str, requires: &str, text: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        let made = Command::new("python3")
            .args(["-c", MAKE_WHEEL])
            .arg(self.path(folder))
            .args([name, version, requires, text])
            .status();
        assert!(made.unwrap().success());
    }

    /// Version 1 of a package that only `backend`, in Python, can build.
    pub(super) fn sources(&self, name: &str, backend: &str) {
        let made = Command::new("python3")
            .args(["-c", MAKE_SOURCES])
            .arg(self.path("wheels"))
            .args([name, backend])
            .status();
        assert!(made.unwrap().success());
    }

    /// Of notebooks that find packages here and nowhere else.
    pub(super) fn config(&self) -> Config {
        let links = format!("{} {}", pinned_wheels().display(), self.path("wheels").display());
        let environment = [("PIP_FIND_LINKS", links), ("PIP_NO_INDEX", "1".to_owned())];
        Config {
            environments_dir: Some(self.path("environments")),
            environment: BTreeMap::from(environment.map(|(name, value)| (name.to_owned(), value))),
            ..Config::default()
        }
    }

    /// The environments that are complete.
    pub(super) fn environments(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.path("environments")).unwrap().flatten().map(|entry| entry.path());
        all.filter(|folder| folder.join("environment.json").exists()).collect()
    }

    /// Folders of builds that go on, or that were left.
    pub(super) fn builds(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.path("environments")).unwrap().flatten();
        all.filter(|entry| entry.file_name().to_string_lossy().starts_with("run-"))
            .map(|entry| entry.path())
            .collect()
    }
}

pub(super) fn bench(config: &Config, notebook: Vec<u8>) -> Bench {
    let mut bench = Bench::new(notebook);
    bench.config = config.clone();
    bench
}

pub(super) fn cells(sources: &[&str]) -> Vec<u8> {
    notebook(&sources.iter().map(|source| cell(source)).collect::<Vec<_>>())
}

pub(super) fn with_requirements(requirements: &Value, sources: &[&str]) -> Vec<u8> {
    let mut notebook: Value = serde_json::from_slice(&cells(sources)).unwrap();
    notebook["metadata"]["isochrone"] = json!({ "requirements": requirements });
    notebook.to_string().into_bytes()
}

pub(super) fn logged(outcome: &Outcome, words: &[&str]) -> bool {
    outcome.log.iter().any(|(_, line)| words.iter().all(|word| line.contains(word)))
}

/// What the process that a test starts executes: the configuration, and a notebook's cell.
const OTHER_WORKER: &str = "TEST_OTHER_WORKER";

/// Names of this machine's loopback, for servers that tests have started there.
pub(super) const LOOPBACK: &str = "packages.example.test";

struct NamesOfLoopback;

#[async_trait]
impl Lookup for NamesOfLoopback {
    async fn addresses(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match name {
            LOOPBACK => Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]),
            _ => Err(io::Error::other("no such name")),
        }
    }
}

/// A worker in a process of its own, with this search path, that executes a cell; its log is its output.
pub(super) fn other_worker(config: &Config, cell: &str, path: Option<&str>) -> Child {
    let work = json!({ "config": config, "cell": cell }).to_string();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "packages::fixture::another_worker_executes", "--ignored", "--nocapture"])
        .env(OTHER_WORKER, work)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.spawn().unwrap()
}

/// What it has said, when it has ended.
pub(super) fn output(worker: Child) -> String {
    String::from_utf8_lossy(&worker.wait_with_output().unwrap().stdout).into_owned()
}

#[tokio::test]
#[ignore = "is what `other_worker` starts"]
async fn another_worker_executes() {
    let Ok(work) = std::env::var(OTHER_WORKER) else { return };
    let work: Value = serde_json::from_str(&work).unwrap();
    let config: Config = serde_json::from_value(work["config"].clone()).unwrap();
    let mut bench = bench(&config, cells(&[work["cell"].as_str().unwrap()]));
    bench.lookup = Some(Arc::new(NamesOfLoopback));
    let outcome = bench.run().await;
    for (_, line) in &outcome.log {
        println!("{line}");
    }
    println!("ended: {:?}", outcome.end);
}

pub(super) async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
