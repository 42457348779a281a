//! A worker that stops or dies while its server works and has not answered: what its run's next attempt does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isochrone_domain::{AttemptEnd, CrashPolicy, Reason, Run, Task};
use isochrone_worker::{Attempt, Executor, Report, StopReason};
use object_store::memory::InMemory;
use tokio::sync::{mpsc, watch};

use crate::row::{Protocol, TIMEOUT, defaults, executor, run};
use crate::server::{Asked, Reply, Script, ScriptedServer, json, reply};

const SOON: Duration = Duration::from_secs(30);

/// A run whose server is at work for a minute the first time, and done at once afterwards.
struct Interrupted {
    server: ScriptedServer,
    executor: Arc<dyn Executor>,
    task: Task,
    run: Run,
}

/// What an attempt left.
#[derive(Default)]
struct Left {
    handle: Option<String>,
    log: Vec<String>,
}

impl Interrupted {
    async fn new(protocol: Protocol, crash: CrashPolicy, first: Reply) -> Interrupted {
        let mut script = Script::new();
        script.insert(Asked::Submit, vec![first, json(200, r#"{"value":7,"status":"ok"}"#)]);
        script.insert(Asked::Describe, vec![json(200, r#"{"jobControlOptions":["sync-execute"]}"#)]);
        let server = ScriptedServer::start(defaults(script)).await;
        let (executor, mut task) = executor(protocol, &server.url, TIMEOUT, None);
        task.policies.crash = crash;
        let run = run(executor.kind());
        Interrupted { server, executor: executor.into(), task, run }
    }

    /// Begins an attempt; what it leaves is in `left`.
    fn attempt(&self, stop: watch::Receiver<Option<StopReason>>, left: &Arc<Mutex<Left>>) -> Attempt {
        let (reports, mut received) = mpsc::channel(64);
        let left = Arc::clone(left);
        tokio::spawn(async move {
            while let Some(report) = received.recv().await {
                match report {
                    Report::Log(_, line) => left.lock().unwrap().log.push(line),
                    Report::Checkpoint(handle, answer) => {
                        left.lock().unwrap().handle = Some(handle);
                        drop(answer.send(Ok(())));
                    }
                    _ => {}
                }
            }
        });
        Attempt::new(self.task.clone(), self.run.clone(), Arc::new(InMemory::new()), reports, stop)
    }

    /// The first attempt, until the server has its submission; then its worker dies, or stops.
    async fn interrupt(&mut self, drained: bool) {
        let (stop, stopped) = watch::channel(None);
        let left = Arc::default();
        let (attempt, executor) = (self.attempt(stopped, &left), Arc::clone(&self.executor));
        let working = tokio::spawn(async move { executor.execute(&attempt).await });
        let submitted = async {
            while self.server.asked(Asked::Submit) == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, submitted).await.unwrap();
        if drained {
            stop.send(Some(StopReason::Draining)).unwrap();
            tokio::time::timeout(SOON, working).await.unwrap().unwrap();
        } else {
            working.abort();
            drop(working.await);
        }
        self.run.handle = left.lock().unwrap().handle.take();
        self.run.attempt = 2;
    }

    /// The second attempt: its end and its log.
    async fn goes_on(&self, stop: Option<StopReason>) -> (AttemptEnd, String) {
        let (_stop, stopped) = watch::channel(stop);
        let left = Arc::default();
        let attempt = self.attempt(stopped, &left);
        let end = tokio::time::timeout(SOON, self.executor.execute(&attempt)).await.unwrap();
        let log = left.lock().unwrap().log.join("\n");
        (end, log)
    }
}

fn at_work() -> Reply {
    Reply::Late(60_000, Box::new(json(200, r#"{"value":7}"#)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_process_is_not_begun_again_where_it_may_run_once() {
    for drained in [false, true] {
        let mut run = Interrupted::new(Protocol::Ogc, CrashPolicy::AtMostOnce, at_work()).await;
        run.interrupt(drained).await;
        let (end, _) = run.goes_on(None).await;
        let AttemptEnd::Failed { reason: Reason::SubmissionUnknown, result } = end else { panic!("{end:?}") };
        assert!(result.contains("nobody knows whether it was done"), "{result}");
        assert_eq!(run.server.asked(Asked::Submit), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_process_that_may_run_twice_is_begun_again_and_its_run_says_so() {
    let mut run = Interrupted::new(Protocol::Ogc, CrashPolicy::AtLeastOnce, at_work()).await;
    run.interrupt(false).await;
    let (end, log) = run.goes_on(Some(StopReason::Cancelled)).await;
    assert!(matches!(end, AttemptEnd::Failed { reason: Reason::Cancelled, .. }), "{end:?}: {log}");
    assert_eq!(run.server.asked(Asked::Submit), 1, "nobody wants it any more");
    let (end, log) = run.goes_on(None).await;
    assert!(matches!(end, AttemptEnd::Succeeded { .. }), "{end:?}");
    assert!(log.contains("it is submitted again, since the task's crashPolicy is atLeastOnce"), "{log}");
    assert_eq!(run.server.asked(Asked::Submit), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_turned_away_is_submitted_by_the_next_attempt() {
    let busy = reply(503, &["Retry-After: 60"], "");
    let mut run = Interrupted::new(Protocol::Ogc, CrashPolicy::AtMostOnce, busy).await;
    run.interrupt(true).await;
    let (end, log) = run.goes_on(None).await;
    assert!(matches!(end, AttemptEnd::Succeeded { .. }), "{end:?}: {log}");
    assert_eq!(run.server.asked(Asked::Submit), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_given_again_under_the_same_key() {
    let mut run = Interrupted::new(Protocol::Plain, CrashPolicy::AtLeastOnce, at_work()).await;
    run.interrupt(false).await;
    let (end, log) = run.goes_on(None).await;
    assert!(matches!(end, AttemptEnd::Succeeded { .. }), "{end:?}: {log}");
    let keys: Vec<String> = run.server.submissions().iter().filter_map(|head| key(head)).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1] && keys[0].contains(&run.run.id.to_string()), "{keys:?}");
}

fn key(head: &str) -> Option<String> {
    head.lines().map(str::to_ascii_lowercase).find(|line| line.starts_with("idempotency-key:"))
}
