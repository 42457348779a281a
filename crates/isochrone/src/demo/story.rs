//! Tells what happens, as it happens.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use isochrone_domain::{Outcome, Run, RunId, RunStatus, Task, TaskType};
use isochrone_executors::notebook::PythonEnvironment;
use isochrone_store::{Page, RunFilter};
use tokio_util::sync::CancellationToken;

use crate::output::printable;
use crate::wiring::House;

/// How often the story looks at the store.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Runs that it looks at: more than can change between two looks.
const RUNS_WATCHED: u64 = 50;

/// Makes the Python environment, with progress on a terminal and plain lines elsewhere.
pub(crate) async fn prepare_python(python: &PythonEnvironment) -> Result<()> {
    if python.is_made().await {
        return Ok(());
    }
    let terminal = std::io::stdout().is_terminal();
    let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")?);
    bar.enable_steady_tick(Duration::from_millis(100));
    let say = |text: String| {
        if terminal {
            bar.set_message(text);
        } else {
            println!("{text}");
        }
    };
    say("Making the Python environment for notebooks (once) ...".to_owned());
    let mut lines = python.progress();
    let mut ready = std::pin::pin!(python.ready());
    let made = loop {
        tokio::select! {
            biased;
            Ok(line) = lines.recv() => say(printable(&line)),
            made = &mut ready => break made,
        }
    };
    bar.finish_and_clear();
    made?;
    println!("The Python environment is ready.\n");
    Ok(())
}

/// Tells of every run's steps until `stop`.
pub(crate) async fn tell(
    house: &House,
    address: SocketAddr,
    tasks: &[Task],
    first: &[RunId],
    stop: &CancellationToken,
) -> Result<()> {
    println!("A task of each type is scheduled, and runs once right now:");
    for task in tasks {
        let next = task.next_fire.map_or_else(String::new, |next| format!("next at {next}"));
        println!("  {:55} {next}", task.title);
    }
    println!("  http://{address}/sharing/rest/community/users/admin/tasks\n");
    let mut told: HashMap<RunId, String> = HashMap::new();
    // What ended before this start is no news.
    for run in watched(house).await? {
        if run.status.ended() && !first.contains(&run.id) {
            told.insert(run.id, step(&run));
        }
    }
    let mut explained = false;
    while !stop.is_cancelled() {
        for run in watched(house).await?.into_iter().rev() {
            let step = step(&run);
            if told.insert(run.id, step.clone()).as_ref() == Some(&step) {
                continue;
            }
            say(&run, &step);
            if !explained
                && run.kind == TaskType::ExecuteNotebook
                && matches!(run.status, RunStatus::Ended { outcome: Outcome::Succeeded, .. })
            {
                explained = true;
                explain(house, address, &run);
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    println!("\nStopping. Everything stays in {}; start again to go on.", house.data_dir.display());
    Ok(())
}

async fn watched(house: &House) -> Result<Vec<Run>> {
    let page = Page { offset: 0, limit: RUNS_WATCHED };
    Ok(house.store.runs(&RunFilter::default(), page).await?.rows)
}

/// The run's step as a sentence; another step, another sentence.
fn step(run: &Run) -> String {
    match &run.status {
        RunStatus::Waiting => "waits for the run before it".to_owned(),
        RunStatus::Queued { .. } => format!("is queued ({})", run.fired.code()),
        RunStatus::Executing { .. } => match &run.progress {
            Some(progress) if !progress.message.is_empty() => {
                format!("executes: {}", printable(&progress.message))
            }
            _ => format!("executes (attempt {})", run.attempt),
        },
        RunStatus::Ended { outcome, reason, at } => {
            let took = run.started.map_or_else(String::new, |started| {
                format!(" after {:.1} s", at.since(started) as f64 / 1_000.0)
            });
            if *outcome == Outcome::Succeeded {
                return format!("succeeded{took}");
            }
            let more = run.result.as_deref().filter(|result| *result != reason.sentence());
            format!("{outcome}{took}: {} {}", reason.sentence(), short(more))
        }
    }
}

fn short(result: Option<&str>) -> String {
    printable(&result.unwrap_or("").chars().take(300).collect::<String>())
}

fn say(run: &Run, step: &str) {
    let (_, _, _, hour, minute, ..) = run.planned.civil();
    println!("{hour:02}:{minute:02} UTC  {:22}  {}  {step}", run.kind.name(), &run.id.to_string()[..8]);
}

/// Where to look at what the first good run left.
fn explain(house: &House, address: SocketAddr, run: &Run) {
    println!("\nA real notebook ran. Look at it:");
    for artifact in &run.artifacts {
        println!("  {}", house.data_dir.join("artifacts").join(&artifact.location).display());
    }
    let dir = house.data_dir.display();
    println!("  isochrone --data-dir {dir} run logs {}", run.id);
    println!("  isochrone --data-dir {dir} task explain {}", run.task);
    println!("  http://{address}/sharing/rest/community/users/admin/tasks/{}/runs\n", run.task);
}
