//! Notebooks that the worker ends.

use std::time::{Duration, Instant};

use isochrone_worker::{STOP_GRACE, StopReason};

use crate::bench::{Bench, alive, unique};

/// Ignores what can be ignored, and so does a child in a session of its own with an empty environment.
fn stubborn(mark: &str) -> String {
    format!(
        "import os, signal, subprocess, sys, time\n\
         for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)\n\
         print('result so far')\n\
         code = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000); \"{mark}\"'\n\
         subprocess.Popen([sys.executable, '-c', code], start_new_session=True, env={{}})\n\
         print('ready', flush=True)\n\
         while True:\n    time.sleep(1)"
    )
}

#[tokio::test]
async fn a_deadline_ends_even_what_ignores_signals() {
    let mark = unique();
    let execution = Bench::cells(&[&stubborn(&mark)]).start();
    execution.printed("ready").await;
    let asked = Instant::now();
    execution.stop(StopReason::Deadline);
    let outcome = execution.outcome().await;
    assert!(asked.elapsed() < STOP_GRACE, "{:?}", asked.elapsed());
    outcome.failure();
    assert_eq!(alive(&mark), Vec::<String>::new());
    assert!(outcome.executed().await.to_string().contains("result so far"));
}

#[tokio::test]
async fn a_cancelled_cell_may_clean_up() {
    let source = "import time\nprint('ready', flush=True)\n\
                  try:\n    time.sleep(1000)\nfinally:\n    print('cleaned up')";
    let execution = Bench::cells(&[source, "print('after')"]).start();
    execution.printed("ready").await;
    let asked = Instant::now();
    execution.stop(StopReason::Cancelled);
    let outcome = execution.outcome().await;
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    outcome.failure();
    assert!(outcome.printed("cleaned up") && !outcome.printed("after"), "{:?}", outcome.log);
}

#[tokio::test]
async fn a_lost_lease_kills_at_once_and_keeps_nothing() {
    let mark = unique();
    let execution = Bench::cells(&[&stubborn(&mark)]).start();
    execution.printed("ready").await;
    let asked = Instant::now();
    execution.stop(StopReason::LeaseLost);
    let outcome = execution.outcome().await;
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(outcome.artifacts, []);
    assert_eq!(alive(&mark), Vec::<String>::new());
}

#[tokio::test]
async fn a_dropped_execution_leaves_nothing() {
    let mark = unique();
    let execution = Bench::cells(&[&stubborn(&mark)]).start();
    execution.printed("ready").await;
    execution.abandon().await;
    assert_eq!(alive(&mark), Vec::<String>::new());
}
