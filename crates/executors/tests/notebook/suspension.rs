//! Notebooks whose worker may not trust the attempt's lease for a while.

use std::time::Duration;

use isochrone_domain::Reason;
use isochrone_executors::notebook::Isolation;
use isochrone_worker::BootTime;

use crate::bench::{Bench, alive, unique};

/// A step each 20 ms, at which a moment of CLOCK_BOOTTIME is written, by the cell and by a process in a session of its own.
fn steps(seconds: u32, mark: &str) -> String {
    format!(
        "import subprocess, sys, time\n\
         now = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)\n\
         code = 'import time\\nwhile True:\\n    open(\"other.txt\", \"a\").write(str(time.clock_gettime(7)) + \"\\\\n\")\\n    time.sleep(.02); \"{mark}\"'\n\
         other = subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n\
         print('ready', flush=True)\n\
         for number in range({seconds} * 50):\n    \
             open('steps.txt', 'a').write(f'{{now()}}\\n')\n    \
             time.sleep(.02)\n\
         other.kill()"
    )
}

/// The longest time without a step.
fn longest_pause(steps: &[u8]) -> (f64, f64, f64) {
    let steps: Vec<f64> = String::from_utf8_lossy(steps).lines().map(|line| line.parse().unwrap()).collect();
    let pauses = steps.windows(2).map(|pair| (pair[1] - pair[0], pair[0], pair[1]));
    pauses.max_by(|one, other| one.0.total_cmp(&other.0)).expect("steps")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_stands_still_while_its_lease_is_not_trusted() {
    tokio::join!(
        stands_still(Isolation::Bwrap),
        stands_still(Isolation::Landlock),
        stands_still(Isolation::None),
    );
}

async fn stands_still(isolation: Isolation) {
    let mark = unique();
    let execution = Bench::cells(&[&steps(4, &mark), "print('after')"]).isolated(isolation).start();
    execution.printed("ready").await;
    let until = BootTime::now() + Duration::from_millis(500);
    execution.trust(until);
    until.reached().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let renewed = BootTime::now();
    execution.trust(renewed + Duration::from_mins(5));
    let outcome = execution.outcome().await;
    outcome.result();
    assert!(outcome.printed("after"), "{:?}", outcome.log);
    for name in ["steps.txt", "other.txt"] {
        let (pause, from, to) = longest_pause(&outcome.content(name).await);
        let seconds = |moment: BootTime| moment.since_boot().expect("a moment").as_secs_f64();
        let name = format!("{isolation:?}: {name}");
        assert!(
            from <= seconds(until) + 0.5,
            "{name}: it went on until {from}, and was trusted until {until:?}"
        );
        assert!(to >= seconds(renewed), "{name}: it went on at {to}, and was not trusted before {renewed:?}");
        assert!(pause > 2.4, "{name}: {pause}");
    }
    assert_eq!(alive(&mark), Vec::<String>::new());
}

#[tokio::test]
async fn a_notebook_is_killed_that_stands_still_for_too_long() {
    let mark = unique();
    let mut bench = Bench::cells(&[&steps(60, &mark)]);
    bench.longest_suspension = Duration::from_secs(1);
    let execution = bench.start();
    execution.printed("ready").await;
    execution.trust(BootTime::now());
    // Nobody but the driver ends it here.
    let outcome = execution.outcome().await;
    assert_eq!(outcome.failure().0, Reason::ProcessDied, "{:?}", outcome.end);
    assert!(outcome.took < Duration::from_secs(30), "{:?}", outcome.took);
    assert_eq!(alive(&mark), Vec::<String>::new());
}

/// What the notebook has stopped itself stays so.
#[tokio::test]
async fn what_a_notebook_stopped_is_not_resumed() {
    let source = "import os, signal, subprocess, time\n\
                  other = subprocess.Popen(['sleep', '1000'])\n\
                  os.kill(other.pid, signal.SIGSTOP)\n\
                  print('ready', flush=True)\n\
                  time.sleep(3)\n\
                  state = open(f'/proc/{other.pid}/stat').read().rpartition(')')[2].split()[0]\n\
                  other.kill()\n\
                  print('state', state)";
    let execution = Bench::cells(&[source]).start();
    execution.printed("ready").await;
    execution.trust(BootTime::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    execution.trust(BootTime::now() + Duration::from_mins(5));
    assert!(execution.outcome().await.printed("state T"));
}
