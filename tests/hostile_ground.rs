//! A server that was killed while a notebook had set traps for it: the next one is ready at once, and the traps go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isochrone_testkit::{
    OtherUser, Server, ServerOptions, base_of_python, eventually, eventually_within, shared_python,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");
const TASKS: &str = "/sharing/rest/community/users/admin/tasks";
const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);
/// As it is promised, whatever a notebook left.
const READY: Duration = Duration::from_secs(2);
const SECRET: &str = "isochrone-test-canary";

/// Puts what blocks, misleads or takes long in its own folder and, where it can, in the folders around it.
const TRAPS: &str = r#"
import os, time
here = os.getcwd()
for folder in ["..", ".", "../..", "../../.."]:
    for name in ["lock", "output.ipynb", "run-trap", "run-other/lock"]:
        path = f"{folder}/{name}"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.lexists(path):
                os.remove(path)
            os.mkfifo(path)
        except OSError:
            pass
    for name, target in [("run-link", "/proc/self"), ("run-secret", SECRET), ("lock.link", SECRET)]:
        try:
            os.symlink(target, f"{folder}/{name}")
        except OSError:
            pass
os.makedirs("many")
for number in range(20_000):
    open(f"many/{number}", "w").close()
with open("sparse", "w") as file:
    file.truncate(1 << 30)
os.makedirs("closed/inner")
for folder in ["closed/inner", "closed", "many", "../home", "../tmp", "..", "."]:
    os.chmod(folder, 0)
print("traps are", "set", flush=True)
time.sleep(1000)
"#;

fn notebook(secret: &Path) -> String {
    let source = TRAPS.replace("SECRET", &format!("{:?}", secret.display().to_string()));
    let cell = json!({"cell_type": "code", "id": "c", "execution_count": null, "outputs": [], "metadata": {},
                      "source": source});
    let metadata = json!({"kernelspec": {"name": "python3", "display_name": "Python 3"}});
    json!({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).to_string()
}

/// What looks like a run's folder.
fn folders(options: &ServerOptions) -> Vec<PathBuf> {
    let found = std::fs::read_dir(options.data_dir.join("tmp")).into_iter().flatten().flatten();
    found
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("run-"))
        .map(|entry| entry.path())
        .collect()
}

/// Where a server is, and who runs it.
struct Ground {
    user: Option<OtherUser>,
    dir: tempfile::TempDir,
}

impl Ground {
    /// Run by whoever runs this test.
    fn own() -> Result<Ground> {
        Ok(Ground { user: None, dir: tempfile::tempdir()? })
    }

    /// Run by another user, where this test may become one: it has no right to anything but its own folder.
    fn of_another_user() -> Result<Ground> {
        let user = OtherUser::new(&[Path::new(BINARY), &shared_python(), &base_of_python()?])?;
        Ok(Ground { user, dir: tempfile::tempdir()? })
    }

    fn folder(&self) -> &Path {
        self.user.as_ref().map_or(self.dir.path(), OtherUser::folder)
    }

    fn options(&self) -> Result<ServerOptions> {
        let options = ServerOptions::new(BINARY, self.folder().join("data")).shared_python()?;
        let Some(user) = &self.user else { return Ok(options) };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(
            [base_of_python()?.join("bin")].into_iter().chain(std::env::split_paths(&path)),
        )?;
        let path = path.to_str().context("a search path of text")?;
        user.own(self.folder())?;
        // Who uses an environment locks it, and makes it where there is none.
        user.own(&shared_python())?;
        Ok(options.as_user(user).env("PATH", path).env("HOME", self.folder().display()))
    }

    /// A file that whoever runs the server can read.
    fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        std::fs::write(&path, content)?;
        self.user.as_ref().map_or(Ok(()), |user| user.own(&path))?;
        Ok(path)
    }
}

/// Whether a file below `folder` has this text in it.
fn is_below(folder: &Path, text: &str) -> Result<bool> {
    let status = std::process::Command::new("grep").args(["-rqF", text]).arg(folder).status()?;
    ensure!(status.code().is_some_and(|code| code < 2), "grep: {status}");
    Ok(status.success())
}

fn limits_that_the_doctor_tells(options: &ServerOptions) -> Result<String> {
    let checks = options.cli(&["--output", "json", "doctor"], "")?.stdout;
    let checks: Vec<Value> = serde_json::from_slice(&checks)?;
    let row = checks.iter().find(|check| check["what"] == "limits").context("no row on limits")?;
    let found = row["found"].as_str().context("no text")?;
    let (_, limits) = found.split_once("of notebooks started from here: ").context(found.to_owned())?;
    ensure!((row["verdict"] == "good") != limits.contains("not held"), "{row}");
    Ok(limits.to_owned())
}

/// Where the kernel counts what has a file of this data directory on its command line: in version 1, a folder for each
/// controller; none where its worker could make none. The last but one is the worker's.
fn cgroups_of_runs(data_dir: &Path) -> Vec<PathBuf> {
    let data_dir = data_dir.as_os_str().as_encoded_bytes();
    let mut found = std::collections::BTreeSet::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if !command.windows(data_dir.len()).any(|window| window == data_dir) {
            continue;
        }
        for line in std::fs::read_to_string(process.path().join("cgroup")).unwrap_or_default().lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let is_runs = path.rsplit('/').next().is_some_and(|name| name.starts_with("run-"));
            if let Some((worker, _)) = path.rsplit_once('/').filter(|_| is_runs) {
                found.insert(
                    Path::new("/sys/fs/cgroup").join(controllers).join(worker.trim_start_matches('/')),
                );
            }
        }
    }
    found.into_iter().collect()
}

async fn killed_and_started_again(isolation: &str, ground: &Ground) -> Result<()> {
    let options = ground
        .options()?
        .env("ISOCHRONE__NOTEBOOK__ISOLATION", isolation)
        .env("ISOCHRONE__WORKER__LEASE_SECONDS", 5);
    let secret = ground.file("secret", SECRET)?;
    let file = ground.file("traps.ipynb", &notebook(&secret))?;
    let file = file.to_str().context("a path of text")?;
    let added = options.cli(&["item", "add", file, "--id", ITEM, "--title", "Traps"], "")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));

    let server = Server::start(&options).await?.sign_in().await?;
    let form = [
        ("type", "ExecuteNotebook"),
        ("itemId", ITEM),
        ("minute", "0"),
        ("hour", "0"),
        ("dayOfMonth", "1"),
        ("month", "1"),
        ("dayOfWeek", "?"),
        // It does not begin again.
        ("crashPolicy", "atMostOnce"),
    ];
    let task = server.create_task(&form).await?;
    let run = server.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = run["runId"].as_str().with_context(|| format!("run now: {run}"))?.to_owned();
    let log = format!("{TASKS}/{task}/runs/{run}/log");
    eventually_within(WITH_PIP, "the traps to be set", async || {
        let text = server.get(&log, &[]).await?.to_string();
        Ok(text.contains("traps are set").then_some(()))
    })
    .await?;
    if let Some(user) = &ground.user {
        ensure!(user.runs(server.pid())?, "the server is the other user's");
    }
    let limits = limits_that_the_doctor_tells(&options)?;
    let told = server.get(&log, &[]).await?.to_string();
    ensure!(told.contains(&format!("limits: {limits}")), "the doctor: {limits}; the run: {told}");
    let cgroups = cgroups_of_runs(&options.data_dir);
    ensure!(cgroups.is_empty() != limits.contains("by cgroup"), "{limits}: {cgroups:?}");
    server.kill()?;
    ensure!(!folders(&options).is_empty(), "the dead run's folder is there");

    let server = Server::start(&options).await?.sign_in().await?;
    ensure!(server.ready_after < READY, "{isolation}: ready after {:?}", server.ready_after);
    eventually("the dead worker's cgroups to be removed", async || {
        Ok(cgroups.iter().all(|folder| !folder.exists()).then_some(()))
    })
    .await?;
    eventually_within(Duration::from_mins(1), "the dead run's folder to be removed", async || {
        Ok(folders(&options).is_empty().then_some(()))
    })
    .await?;
    let told = eventually("a line on the sweep", async || {
        let told = std::fs::read_to_string(options.data_dir.with_extension("log"))?;
        Ok(told.contains("folders of dead runs are swept").then_some(told))
    })
    .await?;
    ensure!(!told.contains(SECRET), "{told}");
    eventually("the dead worker's run to be given up", async || {
        let run = server.get(&format!("{TASKS}/{task}/runs/{run}"), &[]).await?.to_string();
        Ok(run.contains("worker_lost").then_some(()))
    })
    .await?;
    ensure!(!is_below(&options.data_dir, SECRET)?, "what lies outside stays there");
    ensure!(std::fs::read_to_string(&secret)? == SECRET, "what lies outside stays as it is");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_a_kill_is_quick_whatever_an_isolated_notebook_left() -> Result<()> {
    killed_and_started_again("auto", &Ground::own()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_a_kill_is_quick_whatever_an_unconfined_notebook_left() -> Result<()> {
    killed_and_started_again("none", &Ground::own()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_start_is_quick_whatever_an_isolated_notebook_left() -> Result<()> {
    killed_and_started_again("auto", &Ground::of_another_user()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_start_is_quick_whatever_an_unconfined_notebook_left() -> Result<()> {
    killed_and_started_again("none", &Ground::of_another_user()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_start_is_quick_whatever_a_notebook_under_landlock_left() -> Result<()> {
    killed_and_started_again("landlock", &Ground::of_another_user()?).await
}

/// A cgroup with a limit of memory around a command, where this test may make one; removed with this.
struct MemoryLimit(PathBuf);

impl MemoryLimit {
    fn new(mib: u64) -> Option<MemoryLimit> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = own.lines().find_map(|line| line.split_once(":memory:/"))?.1;
        let name = format!("isochrone-test-{}", std::process::id());
        let folder = Path::new("/sys/fs/cgroup/memory").join(path).join(name);
        std::fs::create_dir(&folder).ok()?;
        std::fs::write(folder.join("memory.limit_in_bytes"), (mib << 20).to_string()).ok()?;
        Some(MemoryLimit(folder))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}

/// Whoever starts a worker in a container sees whether its slots fit in there.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_compares_the_slots_with_the_memory_of_the_container() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = ServerOptions::new(BINARY, dir.path().join("data"))
        .shared_python()?
        .env("ISOCHRONE__WORKER__NOTEBOOK_SLOTS", 2)
        .env("ISOCHRONE__NOTEBOOK__MEMORY_MIB", 1_024);
    drop(Server::start(&options).await?);
    let row = |options: &ServerOptions| -> Result<Option<Value>> {
        let output = options.cli(&["--output", "json", "doctor"], "")?;
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        Ok(checks.into_iter().find(|check| check["what"] == "memory"))
    };
    for (mib, verdict) in [(2_048, "warning"), (4_096, "good")] {
        let Some(limit) = MemoryLimit::new(mib) else {
            // Without such a right there is what is around the tests.
            let told = row(&options)?.map(|row| row["found"].to_string());
            ensure!(told.is_none_or(|told| told.contains("2 notebook slots x 1024 MiB")));
            return Ok(());
        };
        let mut inside = options.clone();
        let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        inside.starter = ["sh", "-c", enter].map(str::to_owned).to_vec();
        inside.starter.push(limit.0.to_str().context("a path of text")?.to_owned());
        let row = row(&inside)?.context("no row on memory")?;
        ensure!(row["verdict"] == verdict, "{mib}: {row}");
        let found = row["found"].as_str().context("no text")?;
        ensure!(found.contains("2 notebook slots x 1024 MiB"), "{found}");
        ensure!(found.contains(&format!("2560 MiB of the {mib} MiB")), "{found}");
    }
    Ok(())
}
