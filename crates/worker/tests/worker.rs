//! What the users of a worker rely on, with a real store and queue.

mod house;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use house::{House, audit, does, ended, executing};
use isochrone_domain::{
    Action, AttemptEnd, CancelReason, Claimant, CrashPolicy, LogStream, Outcome, Policies, Reason, Refusal,
    RetryPolicy, RunStatus,
};
use isochrone_store::{Claim, RunStore, TaskStore};
use isochrone_worker::{Attempt, Executor};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::sync::Notify;

const LONG: Duration = Duration::from_mins(10);

/// Counts what works at the same time.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_more(now: &Arc<AtomicUsize>, most: &AtomicUsize) -> Counted {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Counted(now.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Stands for work that must be dead when its attempt is dropped.
struct TellsWhenDropped(Arc<Notify>);

impl Drop for TellsWhenDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn succeeded(result: &str) -> AttemptEnd {
    AttemptEnd::Succeeded { result: result.to_owned() }
}

fn outcome(run: &isochrone_domain::Run) -> (Outcome, Reason) {
    match run.status {
        RunStatus::Ended { outcome, reason, .. } => (outcome, reason),
        _ => panic!("the run has not ended: {run:?}"),
    }
}

#[tokio::test]
async fn a_run_is_carried_to_its_end_with_log_and_artifact() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let working = house.work(
        does(|attempt: &Attempt| {
            Box::pin(async move {
                attempt.log(LogStream::Stdout, "first").await;
                attempt.log(LogStream::Stderr, "second").await;
                attempt.keep("answer.txt", "text/plain", "42".into()).await.expect("it is kept");
                attempt.checkpoint(r#"{"job":1}"#).await.expect("it is kept");
                succeeded("fine")
            })
        }),
        House::config(),
    );
    let run = house.until(run.id, ended).await;
    assert_eq!(outcome(&run), (Outcome::Succeeded, Reason::Done));
    assert_eq!((run.attempt, run.result.as_deref()), (1, Some("fine")));
    assert_eq!(run.handle.as_deref(), Some(r#"{"job":1}"#));
    assert_eq!(house.log(run.id).await, ["first", "second"]);
    let artifact = &run.artifacts[0];
    assert_eq!((artifact.name.as_str(), artifact.size), ("answer.txt", 2));
    let kept = house.artifacts.get(&Path::from(artifact.location.as_str())).await.expect("it is there");
    assert_eq!(kept.bytes().await.expect("its bytes"), "42");
    working.drain.cancel();
    working.ended.await.expect("the worker ends");
}

#[tokio::test]
async fn a_wake_up_that_comes_twice_runs_once() {
    let house = House::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let run = house.run(Policies::default()).await;
    for _ in 0..20 {
        house.wake(&run).await;
    }
    let count = runs.clone();
    let _working = house.work(
        does(move |_: &Attempt| {
            count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { succeeded("") })
        }),
        House::config(),
    );
    house.until(run.id, ended).await;
    // All twenty were answered: the line is empty, and none of them made a second attempt.
    let end = std::time::Instant::now() + LONG;
    while isochrone_queue::Queue::depth(&*house.queue, run.kind).await.expect("the depth") > 0 {
        assert!(std::time::Instant::now() < end);
        tokio::task::yield_now().await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_runs_at_a_time_than_slots() {
    let house = House::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut runs = Vec::new();
    for _ in 0..12 {
        let run = house.run(Policies::default()).await;
        house.wake(&run).await;
        runs.push(run.id);
    }
    let seen = most.clone();
    let mut config = House::config();
    config.slots = 3;
    let _working = house.work(
        does(move |_: &Attempt| {
            let counted = Counted::one_more(&now, &most);
            Box::pin(async move {
                let _counted = counted;
                tokio::time::sleep(Duration::from_millis(30)).await;
                succeeded("")
            })
        }),
        config,
    );
    for run in runs {
        house.until(run, ended).await;
    }
    assert_eq!(seen.load(Ordering::SeqCst), 3);
}

/// Works until told to stop, and says in its log why.
fn until_stopped() -> impl Executor {
    does(|attempt: &Attempt| {
        Box::pin(async move {
            let reason = attempt.stopped().await;
            attempt.log(LogStream::System, format!("{reason:?}")).await;
            AttemptEnd::Failed { reason: Reason::ProcessDied, result: "killed".into() }
        })
    })
}

#[tokio::test]
async fn a_cancelled_run_is_stopped_and_says_so() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let _working = house.work(until_stopped(), House::config());
    house.until(run.id, executing).await;
    house
        .store
        .cancel_run(run.id, CancelReason::Requested, audit(Action::CancelRun))
        .await
        .expect("it is asked");
    let run = house.until(run.id, ended).await;
    assert_eq!(outcome(&run), (Outcome::Failed, Reason::Cancelled));
    assert_eq!(house.log(run.id).await, ["Cancelled"]);
}

#[tokio::test]
async fn a_run_past_its_deadline_is_stopped_and_says_so() {
    let house = House::new();
    let policies = Policies { timeout_ms: Some(200), ..Policies::default() };
    let run = house.run(policies).await;
    house.wake(&run).await;
    let _working = house.work(until_stopped(), House::config());
    let run = house.until(run.id, ended).await;
    assert_eq!(outcome(&run), (Outcome::Failed, Reason::Timeout));
    assert!(run.result.expect("a result").contains("0.2 s"));
}

#[tokio::test]
async fn a_failed_run_is_tried_again_after_its_wait() {
    let house = House::new();
    let retry = RetryPolicy { max_retries: 1, backoff_ms: 50 };
    let run = house.run(Policies { retry, ..Policies::default() }).await;
    house.wake(&run).await;
    let _working = house.work(
        does(|attempt: &Attempt| {
            let first = attempt.run().attempt == 1;
            Box::pin(async move {
                if first {
                    let reason = Reason::ExecutionError;
                    AttemptEnd::Failed { reason, result: "no".into() }
                } else {
                    succeeded("at last")
                }
            })
        }),
        House::config(),
    );
    let queued = house.until(run.id, |run| run.failures == 1).await;
    let RunStatus::Queued { due } = queued.status else { panic!("{queued:?}") };
    let end = std::time::Instant::now() + LONG;
    while house.store.now().await.expect("the time") < due {
        assert!(std::time::Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.wake(&run).await;
    let run = house.until(run.id, ended).await;
    assert_eq!((outcome(&run).0, run.attempt), (Outcome::Succeeded, 2));
}

#[tokio::test]
async fn a_panic_of_an_executor_fails_the_run_and_the_worker_lives_on() {
    let house = House::new();
    let bad = house.run(Policies::default()).await;
    let good = house.run(Policies::default()).await;
    let bad_id = bad.id;
    house.wake(&bad).await;
    house.wake(&good).await;
    let _working = house.work(
        does(move |attempt: &Attempt| {
            let bad = attempt.run().id == bad_id;
            Box::pin(async move {
                assert!(!bad, "a bug");
                succeeded("")
            })
        }),
        House::config(),
    );
    assert_eq!(outcome(&house.until(bad.id, ended).await), (Outcome::Failed, Reason::Internal));
    assert_eq!(outcome(&house.until(good.id, ended).await).0, Outcome::Succeeded);
}

#[tokio::test]
async fn a_drained_worker_lets_work_end_and_gives_the_rest_back() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    let once = house.run(Policies { crash: CrashPolicy::AtMostOnce, ..Policies::default() }).await;
    house.wake(&run).await;
    house.wake(&once).await;
    let working = house.work(until_stopped(), House::config());
    house.until(run.id, executing).await;
    house.until(once.id, executing).await;
    working.drain.cancel();
    working.ended.await.expect("the worker ends");
    let run = house.until(run.id, |_| true).await;
    assert!(matches!(run.status, RunStatus::Queued { .. }), "{run:?}");
    let once = house.until(once.id, |_| true).await;
    assert_eq!(outcome(&once), (Outcome::Failed, Reason::Drained), "it must not be done twice");
    // What is published now waits for the next worker.
    house.wake(&run).await;
    let _second = house.work(does(|_: &Attempt| Box::pin(async { succeeded("") })), House::config());
    assert_eq!(house.until(run.id, ended).await.attempt, 2);
}

#[tokio::test]
async fn an_attempt_whose_run_was_taken_away_is_dropped_and_writes_nothing() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let told = Arc::new(Notify::new());
    let tells = told.clone();
    let _working = house.work(
        does(move |_: &Attempt| {
            let guard = TellsWhenDropped(tells.clone());
            Box::pin(async move {
                let _guard = guard;
                // Deaf to every request to stop.
                std::future::pending::<()>().await;
                succeeded("too late")
            })
        }),
        House::config(),
    );
    let ours = house.until(run.id, executing).await.fence();
    // As the reaper does when a lease has lapsed, only earlier.
    let far = isochrone_domain::EpochMillis(house.store.now().await.expect("the time").0 + 3_600_000);
    assert_eq!(house.store.reap(far, 10).await.expect("it is reaped").len(), 1);
    tokio::time::timeout(Duration::from_secs(30), told.notified()).await.expect("the work is dropped");
    let run = house.until(run.id, |_| true).await;
    assert!(matches!(run.status, RunStatus::Queued { .. }), "{run:?}");
    assert_eq!(run.result, None);
    let late = house.store.finish(run.id, ours, succeeded("late"), Vec::new()).await.expect("an answer");
    assert_eq!(late, isochrone_store::Finished::Fenced(Refusal::NotDue));
}

#[tokio::test]
async fn a_run_that_comes_again_waits_until_its_earlier_attempt_here_is_dead() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let mut config = House::config();
    // No renewal comes in time to tell the first attempt.
    config.renew_every = Duration::from_mins(10);
    config.lease = Duration::from_mins(10);
    let _working = house.work(
        does(move |attempt: &Attempt| {
            let first = attempt.run().attempt == 1;
            let counted = Counted::one_more(&now, &most);
            Box::pin(async move {
                let _counted = counted;
                if first {
                    std::future::pending::<()>().await;
                }
                succeeded("the second attempt")
            })
        }),
        config,
    );
    let first = house.until(run.id, executing).await.fence();
    // The store takes the run back and the worker does not hear of it, as after a laptop's sleep: the
    // store's clock has passed the lease, the worker's has not.
    let _ = house.store.finish(run.id, first, AttemptEnd::GivenBack, Vec::new()).await.expect("taken back");
    house.wake(&run).await;
    let run = house.until(run.id, ended).await;
    assert_eq!((run.attempt, run.result.as_deref()), (2, Some("the second attempt")));
    assert_eq!(seen.load(Ordering::SeqCst), 1, "never two at a time");
}

#[tokio::test]
async fn a_deleted_tasks_attempt_is_dropped() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let stopped = Arc::new(Notify::new());
    let dropped = stopped.clone();
    let _working = house.work(
        does(move |_: &Attempt| {
            let guard = TellsWhenDropped(dropped.clone());
            Box::pin(async move {
                let _guard = guard;
                std::future::pending::<AttemptEnd>().await
            })
        }),
        House::config(),
    );
    house.until(run.id, executing).await;
    assert!(house.store.delete_task(run.task, audit(Action::DeleteTask)).await.expect("deleted"));
    tokio::time::timeout(Duration::from_secs(30), stopped.notified()).await.expect("the work is dropped");
    let claim =
        house.store.claim(run.id, &Claimant::new("w"), Duration::from_secs(1)).await.expect("an answer");
    assert_eq!(claim, Claim::Refused(Refusal::Deleted));
}

#[tokio::test]
async fn a_long_log_is_capped_in_the_store_and_kept_whole_as_an_artifact() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let _working = house.work(
        does(|attempt: &Attempt| {
            Box::pin(async move {
                for n in 0..12_000 {
                    attempt.log(LogStream::Stdout, format!("{n:5} {}", "x".repeat(1_000))).await;
                }
                succeeded("")
            })
        }),
        House::config(),
    );
    let run = house.until(run.id, ended).await;
    let log = house.log(run.id).await;
    let bytes: usize = log.iter().map(String::len).sum();
    assert!((60_000..70_000).contains(&bytes), "{bytes} bytes in the store");
    assert!(log.last().expect("lines").contains("further lines were dropped"), "{:?}", log.last());
    let whole = run.artifacts.iter().find(|artifact| artifact.name == "log.txt").expect("the whole log");
    assert!((8_000_000..9_500_000).contains(&whole.size), "{} bytes as an artifact", whole.size);
}

/// The end says why work failed. What is missing is said in its place.
#[tokio::test]
async fn a_long_log_keeps_its_beginning_and_its_end() {
    for (lines, is_long) in [(500, false), (3_000, true)] {
        let house = House::new();
        let run = house.run(Policies::default()).await;
        house.wake(&run).await;
        let _working = house.work(
            does(move |attempt: &Attempt| {
                Box::pin(async move {
                    for n in 0..lines {
                        attempt
                            .log(LogStream::Stdout, format!("processing feature {n:6} of layer parcels, ok"))
                            .await;
                    }
                    attempt.log(LogStream::Stderr, "Traceback (most recent call last)").await;
                    attempt.log(LogStream::Stderr, "RuntimeError: disk full").await;
                    succeeded("")
                })
            }),
            House::config(),
        );
        let run = house.until(run.id, ended).await;
        let log = house.log(run.id).await;
        assert!(log[0].contains("feature      0"), "{}", log[0]);
        assert_eq!(log.last().expect("lines"), "RuntimeError: disk full");
        assert_eq!(log[log.len() - 3], format!("processing feature {:6} of layer parcels, ok", lines - 1));
        let gap = log
            .iter()
            .find_map(|line| line.strip_suffix(" lines are left out here; log.txt has the whole log"));
        let shown = log.iter().filter(|line| line.contains("of layer parcels")).count();
        assert_eq!(gap.map(|gap| gap.parse().expect("a number")), is_long.then_some(lines - shown));
        let whole = run.artifacts.iter().find(|artifact| artifact.name == "log.txt");
        assert_eq!(whole.is_some(), is_long);
    }
}

#[tokio::test]
async fn empty_lines_fill_the_log_too() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let _working = house.work(
        does(|attempt: &Attempt| {
            Box::pin(async move {
                for _ in 0..300_000 {
                    attempt.log(LogStream::Stdout, "").await;
                }
                succeeded("")
            })
        }),
        House::config(),
    );
    let run = house.until(run.id, ended).await;
    assert!(house.log(run.id).await.len() < 2_000);
    assert!(run.artifacts[0].size < 10_000_000, "{:?}", run.artifacts);
}

#[tokio::test]
async fn progress_is_seen_while_the_work_goes_on() {
    let house = House::new();
    let run = house.run(Policies::default()).await;
    house.wake(&run).await;
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let _working = house.work(
        does(move |attempt: &Attempt| {
            let wait = wait.clone();
            Box::pin(async move {
                attempt.progress(Some(40), "cell 2 of 5").await;
                wait.notified().await;
                succeeded("")
            })
        }),
        House::config(),
    );
    let seen = house.until(run.id, |run| run.progress.is_some()).await.progress.expect("progress");
    assert_eq!((seen.percent, seen.message.as_str()), (Some(40), "cell 2 of 5"));
    go_on.notify_one();
    assert_eq!(house.until(run.id, ended).await.progress, None);
}
