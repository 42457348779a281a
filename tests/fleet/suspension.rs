//! Work whose lease the store does not renew stands still, and goes on if nobody else has its run.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use isochrone_domain::RunId;
use isochrone_store::RunStore;
use isochrone_testkit::fleet::{Begun, Fleet, Script, TASKS, never, state};
use isochrone_testkit::{Server, ServerOptions, eventually, eventually_within};
use serde_json::{Value, json};

use crate::{alone, fleet};

const LEASE: Duration = Duration::from_secs(3);
/// Longer than a lease, and than the store's clients wait.
const SILENCE: Duration = Duration::from_secs(12);
/// More than a run's work takes here, and less than that and the silence.
const TIMEOUT_SECONDS: &str = "14";
const ITEM: &str = "029b61ca770e428d9468a2a55f40b9fb";
const STEPS: &str = "steps.txt";
/// The first test that needs a kernel makes the Python environment.
const WITH_PIP: Duration = Duration::from_mins(5);

/// A fleet with short leases.
async fn hasty() -> Result<Fleet> {
    let mut fleet = fleet(1).await?;
    fleet.env("ISOCHRONE__WORKER__LEASE_SECONDS", LEASE.as_secs());
    Ok(fleet)
}

/// A worker's options that executes notebooks.
fn notebook_worker(fleet: &mut Fleet) -> Result<ServerOptions> {
    let mut options = fleet.options().command(&["worker", "--slots", "1"]).shared_python()?;
    options.environment.remove("ISOCHRONE__WORKER__DRILL_URL");
    Ok(options)
}

/// Adds a notebook that writes a moment of CLOCK_BOOTTIME into a file each 20 ms, and makes a task of it.
async fn counting(
    scheduler: &Server,
    options: &ServerOptions,
    seconds: u32,
    timeout: &str,
) -> Result<String> {
    let source = format!(
        "import time\nprint('begun', flush=True)\nfor step in range({seconds} * 50):\n    \
         open('{STEPS}', 'a').write(f'{{time.clock_gettime(time.CLOCK_BOOTTIME)}}\\n')\n    time.sleep(.02)"
    );
    let cell = json!({"cell_type": "code", "id": "c1", "execution_count": null, "outputs": [], "metadata": {},
                      "source": source});
    let kernel = json!({"kernelspec": {"name": "python3", "display_name": "Python 3"}});
    let notebook = json!({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5});
    let file = options.data_dir.with_extension("ipynb");
    std::fs::write(&file, notebook.to_string())?;
    let file = file.to_str().context("a path of text")?;
    let added = options.cli(&["item", "add", file, "--id", ITEM, "--title", "Counts"], "")?;
    ensure!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let mut form = never("counting");
    form.retain(|(name, _)| !["type", "parameters"].contains(name));
    form.extend([("type", "ExecuteNotebook"), ("itemId", ITEM), ("timeoutSeconds", timeout)]);
    scheduler.create_task(&form).await
}

/// Asks for a run; gives where it is.
async fn run_now(scheduler: &Server, task: &str) -> Result<String> {
    let asked = scheduler.post(&format!("{TASKS}/{task}/run"), &[]).await?;
    let run = asked["runId"].as_str().with_context(|| format!("run now: {asked}"))?;
    Ok(format!("{TASKS}/{task}/runs/{run}"))
}

async fn ended(scheduler: &Server, run: &str) -> Result<Value> {
    eventually_within(Duration::from_mins(1), "the run to end", async || {
        let run = scheduler.get(run, &[]).await?;
        Ok(run["endTime"].is_i64().then_some(run))
    })
    .await
}

async fn begun(scheduler: &Server, run: &str) -> Result<()> {
    eventually_within(WITH_PIP, "the notebook to begin", async || {
        let log = scheduler.get(&format!("{run}/log"), &[]).await?;
        Ok(log.to_string().contains("begun").then_some(()))
    })
    .await
}

fn moments(text: &str) -> Result<Vec<f64>> {
    text.lines().map(|line| Ok(line.parse()?)).collect()
}

fn boot_time() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_outlives_a_store_that_is_silent() -> Result<()> {
    let _alone = alone().await;
    let mut fleet = hasty().await?;
    let scheduler = fleet.scheduler().await?;
    let options = notebook_worker(&mut fleet)?;
    let _worker = Server::start(&options).await?;
    let task = counting(&scheduler, &options, 5, TIMEOUT_SECONDS).await?;
    let run = run_now(&scheduler, &task).await?;
    begun(&scheduler, &run).await?;
    fleet.redis.pause()?;
    let silent = boot_time();
    tokio::time::sleep(SILENCE).await;
    let back = boot_time();
    fleet.redis.resume()?;
    let ended = ended(&scheduler, &run).await?;
    assert_eq!((&ended["status"], &ended["attempt"]), (&"succeeded".into(), &1.into()), "{ended}");
    let steps = scheduler.bytes(&format!("{run}/artifacts/{STEPS}")).await?;
    let steps = moments(std::str::from_utf8(&steps)?)?;
    assert_eq!(steps.len(), 5 * 50, "no step is done twice");
    let trusted = silent + LEASE.as_secs_f64() * 0.8;
    let late = steps.iter().filter(|step| (trusted + 0.5..back).contains(*step));
    assert_eq!(late.count(), 0, "silent from {silent} to {back}: {steps:?}");
    ensure!(scheduler.terminate().await?);
    Ok(())
}

/// The first file of that name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.partition(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let found = files.iter().find(|file| file.file_name() == name).map(std::fs::DirEntry::path);
    found.or_else(|| folders.iter().find_map(|folder| find(&folder.path(), name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_stands_still_when_its_worker_does() -> Result<()> {
    let _alone = alone().await;
    let mut fleet = hasty().await?;
    let scheduler = fleet.scheduler().await?;
    let options = notebook_worker(&mut fleet)?;
    let worker = Server::start(&options).await?;
    let task = counting(&scheduler, &options, 8, "60").await?;
    let run = run_now(&scheduler, &task).await?;
    begun(&scheduler, &run).await?;
    let other = Server::start(&notebook_worker(&mut fleet)?).await?;
    worker.pause()?;
    let stopped = boot_time();
    let path = find(&options.data_dir.join("tmp"), STEPS).context("its steps")?;
    let mut file = File::open(path)?;
    let ended = ended(&scheduler, &run).await?;
    assert_eq!((&ended["status"], &ended["attempt"]), (&"succeeded".into(), &2.into()), "{ended}");
    let steps = scheduler.bytes(&format!("{run}/artifacts/{STEPS}")).await?;
    let steps = moments(std::str::from_utf8(&steps)?)?;
    assert_eq!(steps.len(), 8 * 50, "each step once");
    let mut written = String::new();
    file.read_to_string(&mut written)?;
    let last = *moments(&written)?.last().context("a step")?;
    let trusted = stopped + LEASE.as_secs_f64() * 0.8;
    assert!(last <= trusted + 0.5 && last < steps[0], "{stopped} {last} {}", steps[0]);
    // When the worker wakes, the late attempt does no further step and leaves nothing.
    worker.resume()?;
    eventually("the late attempt to end", async || {
        Ok(find(&options.data_dir.join("tmp"), STEPS).is_none().then_some(()))
    })
    .await?;
    file.rewind()?;
    let mut after = String::new();
    file.read_to_string(&mut after)?;
    assert_eq!(after.len(), written.len(), "a late step");
    assert_eq!(ended, scheduler.get(&run, &[]).await?);
    drop(other);
    ensure!(scheduler.terminate().await?);
    Ok(())
}

/// Its failure counts against nobody; where it must not run twice, it says why.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_after_it_was_suspended_is_tried_again() -> Result<()> {
    let _alone = alone().await;
    let mut fleet = hasty().await?;
    fleet.drill.script(|begun| Script {
        hold_ms: if begun.attempt == 1 { 3_500 } else { 0 },
        succeed: begun.attempt > 1,
    });
    let scheduler = fleet.scheduler().await?;
    let _worker = fleet.worker(4).await?;
    let mut runs = Vec::new();
    for crash in ["atLeastOnce", "atMostOnce"] {
        let mut form = never(crash);
        form.push(("crashPolicy", crash));
        let task = scheduler.create_task(&form).await?;
        runs.push(run_now(&scheduler, &task).await?);
    }
    eventually("both to begin", async || Ok((fleet.drill.count() == 2).then_some(()))).await?;
    fleet.redis.pause()?;
    let silent = Instant::now();
    tokio::time::sleep(SILENCE).await;
    assert!(fleet.drill.begun().iter().all(|begun| begun.ended.is_none()), "nothing is asked meanwhile");
    fleet.redis.resume()?;
    let again = ended(&scheduler, &runs[0]).await?;
    assert_eq!((&again["status"], &again["attempt"]), (&"succeeded".into(), &2.into()), "{again}");
    let once = ended(&scheduler, &runs[1]).await?;
    assert_eq!(
        (&once["status"], &once["attempt"], &once["reason"]),
        (&"failed".into(), &1.into(), &"suspended".into()),
        "{once} after {:?}",
        silent.elapsed()
    );
    assert!(fleet.drill.overlapped().is_empty() && fleet.drill.doubled().is_empty());
    ensure!(scheduler.terminate().await?);
    Ok(())
}

fn record_id(run: &str) -> Result<RunId> {
    Ok(run.rsplit('/').next().unwrap_or_default().parse()?)
}

/// The run's record in the store.
fn record(run: &str) -> Result<String> {
    let run = record_id(run)?;
    Ok(format!("isochrone:{{iso:{:02}}}:run:{run}", run.as_bytes()[0] & 63))
}

/// A store that does not know a run may have forgotten it: the work stands still for a lease, and then it ends.
#[tokio::test(flavor = "multi_thread")]
async fn work_waits_a_lease_for_a_run_that_the_store_does_not_know() -> Result<()> {
    let _alone = alone().await;
    let mut fleet = hasty().await?;
    fleet.drill.script(|_| Script { hold_ms: 6_000, succeed: true });
    let scheduler = fleet.scheduler().await?;
    let _worker = fleet.worker(4).await?;
    let mut runs = Vec::new();
    for title in ["comes back", "is gone"] {
        let task = scheduler.create_task(&never(title)).await?;
        runs.push(run_now(&scheduler, &task).await?);
    }
    eventually("both to begin", async || Ok((fleet.drill.count() == 2).then_some(()))).await?;
    for run in &runs {
        fleet.redis.command(&format!("RENAME {0} saved:{0}", record(run)?)).await?;
    }
    let gone = Instant::now();
    let is_suspended = |begun: &Begun| state(begun.child) == Some('T');
    eventually("both to stand still", async || {
        Ok(fleet.drill.begun().iter().all(is_suspended).then_some(()))
    })
    .await?;
    fleet.redis.command(&format!("RENAME saved:{0} {0}", record(&runs[0])?)).await?;
    let back = ended(&scheduler, &runs[0]).await?;
    assert_eq!((&back["status"], &back["attempt"]), (&"succeeded".into(), &1.into()), "{back}");
    let of_the_other = |begun: &Begun| runs[1].ends_with(&begun.run.to_string());
    let (at, stopped) = eventually("the other's work to end", async || {
        Ok(fleet.drill.begun().into_iter().find(of_the_other).and_then(|begun| begun.ended))
    })
    .await?;
    assert!(stopped && at.duration_since(gone) >= LEASE, "{stopped} {:?}", at.duration_since(gone));
    assert_eq!(fleet.drill.count(), 2);
    ensure!(scheduler.terminate().await?);
    Ok(())
}

/// A store that comes back without an end that it has acknowledged is told again.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_the_store_forgot_is_sent_again() -> Result<()> {
    let _alone = alone().await;
    let mut fleet = hasty().await?;
    fleet.drill.script(|_| Script { hold_ms: 1_500, succeed: true });
    let scheduler = fleet.scheduler().await?;
    let task = scheduler.create_task(&never("forgotten")).await?;
    let run = run_now(&scheduler, &task).await?;
    let _worker = fleet.worker(4).await?;
    eventually("it to begin", async || Ok((fleet.drill.count() == 1).then_some(()))).await?;
    let executing = fleet.redis.remember()?;
    let first = ended(&scheduler, &run).await?;
    fleet.redis.go_back_to(&executing).await?;
    let forgotten = fleet.store().await?.run(record_id(&run)?).await?.context("the run")?;
    assert!(!forgotten.status.ended(), "{forgotten:?}");
    let again = eventually("the store to know it again", async || {
        let run = scheduler.get(&run, &[]).await;
        Ok(run.ok().filter(|run| run["endTime"].is_i64()))
    })
    .await?;
    for end in [first, again] {
        assert_eq!((&end["status"], &end["attempt"]), (&"succeeded".into(), &1.into()), "{end}");
    }
    assert_eq!(fleet.drill.count(), 1, "it is not done again");
    ensure!(scheduler.terminate().await?);
    Ok(())
}
