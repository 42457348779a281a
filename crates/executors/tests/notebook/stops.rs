//! Notebooks that the worker ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use isochrone_domain::Reason;
use isochrone_worker::{STOP_GRACE, StopReason};
use serde_json::Value;

use crate::bench::{Bench, alive, cell, notebook, tagged, unique};

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

/// Whatever the cell that was interrupted makes of it, and also where it is the last one.
#[tokio::test]
async fn no_cell_begins_after_a_stop() {
    let caught = "import time\ntry:\n    print('ready', flush=True); time.sleep(1000)\n\
                  except KeyboardInterrupt:\n    print('tidied up')";
    let suppressed = "import contextlib, time\nwith contextlib.suppress(BaseException):\n    \
                      print('ready', flush=True); time.sleep(1000)\nprint('tidied up')";
    let again_and_again = "import time\nprint('ready', flush=True)\nwhile True:\n    \
                           try: time.sleep(1000)\n    except KeyboardInterrupt: print('tidied up')";
    let tolerated = "import time\nprint('ready', flush=True)\ntry:\n    time.sleep(1000)\n\
                     finally:\n    print('tidied up')";
    let after = cell("print('after')");
    let mut given: Value = serde_json::from_slice(include_bytes!("cases/cancel_goes_on.ipynb")).unwrap();
    let Value::Array(mut given) = given["cells"].take() else { panic!("cells") };
    given.insert(0, cell("print('ready', flush=True)"));
    for (name, cells, stop) in [
        ("caught", vec![cell(caught), after.clone(), after.clone()], StopReason::Cancelled),
        ("last", vec![cell(caught)], StopReason::Deadline),
        ("suppressed", vec![cell(suppressed), after.clone()], StopReason::Deadline),
        ("again and again", vec![cell(again_and_again), after.clone()], StopReason::Cancelled),
        ("tolerated", vec![tagged(&["raises-exception"], tolerated), after], StopReason::Cancelled),
        ("given", given, StopReason::Cancelled),
    ] {
        let execution = Bench::new(notebook(&cells)).start();
        execution.printed("ready").await;
        let asked = Instant::now();
        execution.stop(stop);
        let outcome = execution.outcome().await;
        assert!(asked.elapsed() < STOP_GRACE, "{name}: {:?}", asked.elapsed());
        assert_eq!(outcome.failure().0, Reason::Cancelled, "{name}: {:?}", outcome.end);
        let begun =
            |line: &str| ["after", "NEXT CELL RAN", "AND THE NEXT"].iter().any(|text| line.contains(text));
        assert!(!outcome.log.iter().any(|(_, line)| begun(line)), "{name}: {:?}", outcome.log);
        assert!(!outcome.progress.contains(&format!("cell {0} of {0}", cells.len().max(2))), "{name}");
    }
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

const MARK_OF_THE_KILLED: &str = "ISOCHRONE_TEST_MARK";

#[tokio::test]
#[ignore = "stands in for a worker that the next test kills"]
async fn a_worker_to_be_killed() {
    let mark = std::env::var(MARK_OF_THE_KILLED).expect("the next test starts this one");
    let execution = Bench::cells(&[&stubborn(&mark)]).start();
    execution.printed("ready").await;
    println!("\nready");
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_worker_leaves_nothing() {
    let mark = unique();
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stops::a_worker_to_be_killed", "--ignored", "--nocapture"])
        .env(MARK_OF_THE_KILLED, &mark)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line == "ready");
    let left = alive(&mark);
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert!(ready && left.len() > 1, "its notebook ran: {left:?}");
    let until = Instant::now() + Duration::from_secs(20);
    while !alive(&mark).is_empty() {
        assert!(Instant::now() < until, "{:?}", alive(&mark));
        std::thread::sleep(Duration::from_millis(20));
    }
}
