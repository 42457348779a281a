//! What people want of runs: that they end, or begin again.

use isochrone_domain::{
    Action, Amendment, AuditEntry, CancelReason, Outcome, OverlapPolicy, Reason, Run, RunId, RunStatus,
    TaskState,
};
use isochrone_store::{Cancelled, Page, Renewal, RunFilter, Saved};

use super::Fresh;
use super::ledger::EVER;
use super::world::{LONG, World, entry, failed, fence, held, kept, succeeded};

fn asks(action: Action, run: &Run) -> AuditEntry {
    AuditEntry { actor: "bob".to_owned(), run: Some(run.id), ..entry(action, run.task) }
}

async fn done(world: &World, cancelled: Cancelled) -> Run {
    let Cancelled::Done(run) = cancelled else { panic!("{cancelled:?}") };
    assert_eq!(world.read_run(run.id).await, *run);
    *run
}

async fn noted(world: &World, action: Action) -> usize {
    world.audit(EVER).await.unwrap().iter().filter(|entry| entry.action == action).count()
}

fn is_cancelled(run: &Run, with: Outcome) -> bool {
    matches!(run.status, RunStatus::Ended { outcome, reason: Reason::Cancelled, .. } if outcome == with)
}

pub(crate) async fn cancels_what_waits(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    world.request(task).await;
    let waiting = world.request(task).await;
    let cancelled = world
        .cancel_run(waiting.id, CancelReason::Requested, asks(Action::CancelRun, &waiting))
        .await
        .unwrap();
    let run = done(&world, cancelled).await;
    assert!(is_cancelled(&run, Outcome::Skipped), "{:?}", run.status);
    assert_eq!(run.cancel.map(|cancel| cancel.by).as_deref(), Some("bob"));
}

pub(crate) async fn cancels_what_is_queued(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let cancelled =
        world.cancel_run(run.id, CancelReason::Requested, asks(Action::CancelRun, &run)).await.unwrap();
    assert!(is_cancelled(&done(&world, cancelled).await, Outcome::Skipped));
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.read_task(run.task).await.consecutive_failures, 0);
    assert_eq!(noted(&world, Action::CancelRun).await, 1);
}

pub(crate) async fn tells_an_attempt_of_its_cancel(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    world.claimed(run.id, LONG).await;
    let cancelled =
        world.cancel_run(run.id, CancelReason::Requested, asks(Action::CancelRun, &run)).await.unwrap();
    let wish = done(&world, cancelled).await.cancel.expect("the wish is kept");
    let held = held(run.id, 1);
    let renewed = world.renew("w1", &[held], LONG).await.unwrap();
    assert_eq!(renewed, [Renewal::Held { cancel: Some(wish) }]);
    // Given back, it is not for another worker.
    let given =
        world.finish(run.id, fence(1), isochrone_domain::AttemptEnd::GivenBack, Vec::new()).await.unwrap();
    assert!(is_cancelled(&kept(given), Outcome::Failed));
}

pub(crate) async fn cancels_no_ended_run(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let ended = world.carried_out(run.id, succeeded()).await;
    let again =
        world.cancel_run(run.id, CancelReason::Requested, asks(Action::CancelRun, &run)).await.unwrap();
    assert_eq!(again, Cancelled::Refused(Box::new(ended.clone())));
    assert_eq!(world.read_run(run.id).await, ended);
    let unknown = world
        .cancel_run(RunId::random(), CancelReason::Requested, asks(Action::CancelRun, &run))
        .await
        .unwrap();
    assert_eq!(unknown, Cancelled::Missing);
    assert_eq!(noted(&world, Action::CancelRun).await, 0, "nothing was done");
}

pub(crate) async fn retries_an_ended_run(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    world.carried_out(run.id, failed()).await;
    let occurrences = world.read_task(run.task).await.occurrences;
    let read_before = world.plan(run.task).await;
    let again = world.retry_run(run.id, asks(Action::RetryRun, &run)).await.unwrap();
    let again = done(&world, again).await;
    assert!(matches!(again.status, RunStatus::Queued { .. }), "{:?}", again.status);
    assert_eq!(world.outbox().await, [run.id]);
    assert_eq!(world.fires(None, EVER).await.unwrap()[0].outcome, None);
    assert_eq!(world.read_task(run.task).await.occurrences, occurrences, "it is no further occurrence");
    assert_eq!(noted(&world, Action::RetryRun).await, 1);
    // Who decided while nothing was unfinished decides anew.
    assert_eq!(world.commit_fires(vec![read_before]).await.unwrap(), [Saved::Stale]);

    let ended = world.carried_out(run.id, succeeded()).await;
    assert_eq!(ended.attempt, 2);
    let outcome = world.fires(None, EVER).await.unwrap()[0].outcome.expect("it has ended again");
    assert_eq!(outcome.0, Outcome::Succeeded);
}

pub(crate) async fn retries_nothing_else(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let retry = async || world.retry_run(run.id, asks(Action::RetryRun, &run)).await.unwrap();
    assert_eq!(retry().await, Cancelled::Refused(Box::new(run.clone())));
    let executing = world.claimed(run.id, LONG).await.run;
    assert_eq!(retry().await, Cancelled::Refused(Box::new(executing)));
    let skipped = world.some_run().await;
    let cancelled = world
        .cancel_run(skipped.id, CancelReason::Requested, asks(Action::CancelRun, &skipped))
        .await
        .unwrap();
    let cancelled = done(&world, cancelled).await;
    let again = world.retry_run(skipped.id, asks(Action::RetryRun, &skipped)).await.unwrap();
    assert_eq!(again, Cancelled::Refused(Box::new(cancelled)));
    let unknown = world.retry_run(RunId::random(), asks(Action::RetryRun, &run)).await.unwrap();
    assert_eq!(unknown, Cancelled::Missing);
}

pub(crate) async fn retries_behind_the_run_that_is_ahead(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let ended = world.request(task).await;
    world.carried_out(ended.id, failed()).await;
    let ahead = world.request(task).await;
    world.claimed(ahead.id, LONG).await;
    let again = world.retry_run(ended.id, asks(Action::RetryRun, &ended)).await.unwrap();
    assert_eq!(done(&world, again).await.status, RunStatus::Waiting);
    assert_eq!(world.outbox().await, []);
    kept(world.finish(ahead.id, fence(1), succeeded(), Vec::new()).await.unwrap());
    world.carried_out(ended.id, succeeded()).await;

    // Where runs may overlap it goes at once.
    let task = world.add(|task| task.policies.overlap = OverlapPolicy::Allow).await.id;
    let ended = world.request(task).await;
    world.carried_out(ended.id, failed()).await;
    world.request(task).await;
    let again = world.retry_run(ended.id, asks(Action::RetryRun, &ended)).await.unwrap();
    let status = done(&world, again).await.status;
    assert!(matches!(status, RunStatus::Queued { .. }), "{status:?}");
}

pub(crate) async fn amends_what_has_ended(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let said = Amendment { outcome: Some(Outcome::Succeeded), result: Some("looked at".to_owned()) };
    let amend = async |said: &Amendment| {
        world.amend_run(run.id, said.clone(), asks(Action::UpdateRun, &run)).await.unwrap()
    };
    let refused = amend(&said).await;
    assert_eq!(refused, Cancelled::Refused(Box::new(world.read_run(run.id).await)));
    let only_text = Amendment { outcome: None, result: Some("soon".to_owned()) };
    assert_eq!(done(&world, amend(&only_text).await).await.result.as_deref(), Some("soon"));
    let ended = world.carried_out(run.id, failed()).await;
    let amended = done(&world, amend(&said).await).await;
    let RunStatus::Ended { at, .. } = ended.status else { panic!("{ended:?}") };
    let status = RunStatus::Ended { outcome: Outcome::Succeeded, reason: Reason::Amended, at };
    assert_eq!(amended, Run { status, result: said.result.clone(), ..ended });
    let fires = world.fires(Some(run.task), EVER).await.unwrap();
    assert_eq!(fires[0].outcome, Some((Outcome::Succeeded, Reason::Amended, at)), "the ledger says it too");
    assert_eq!(noted(&world, Action::UpdateRun).await, 2);
    let unknown = world.amend_run(RunId::random(), said, asks(Action::UpdateRun, &run)).await.unwrap();
    assert_eq!(unknown, Cancelled::Missing);
}

pub(crate) async fn amended_runs_count_as_they_stand(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let count = async || world.read_task(task).await.consecutive_failures;
    let ended = async |end| {
        let run = world.request(task).await;
        world.carried_out(run.id, end).await
    };
    let amend = async |run: &Run, outcome| {
        let said = Amendment { outcome: Some(outcome), result: None };
        done(&world, world.amend_run(run.id, said, asks(Action::UpdateRun, run)).await.unwrap()).await
    };
    let mut failures = Vec::new();
    for _ in 0..3 {
        failures.push(ended(failed()).await);
        // Two runs that end in one millisecond have no order.
        let now = world.now().await.unwrap();
        world.reach(now + std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(count().await, 3);
    amend(&failures[1], Outcome::Succeeded).await;
    assert_eq!(count().await, 1, "one has failed since");
    amend(&failures[1], Outcome::Failed).await;
    assert_eq!(count().await, 3);
    amend(&failures[0], Outcome::Skipped).await;
    assert_eq!(count().await, 2);
    amend(&failures[2], Outcome::Succeeded).await;
    assert_eq!(count().await, 0);
    amend(&failures[1], Outcome::Succeeded).await;
    amend(&failures[1], Outcome::SubmitFailed).await;
    assert_eq!(count().await, 0, "a later success has forgiven it");

    // As many failures in a row as the policy bears disable the task, whoever says so.
    let mut strict = world.read_task(task).await;
    strict.policies.max_consecutive_failures = Some(2);
    assert_eq!(world.save_task(&strict, entry(Action::UpdateTask, task)).await.unwrap(), Saved::Done);
    amend(&failures[2], Outcome::Failed).await;
    let disabled = world.read_task(task).await;
    assert_eq!((disabled.consecutive_failures, disabled.state), (2, TaskState::Disabled));
}

pub(crate) async fn deletes_what_has_ended(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    let delete = async || world.delete_run(run.id, asks(Action::DeleteRun, &run)).await.unwrap();
    assert_eq!(delete().await, Cancelled::Refused(Box::new(world.read_run(run.id).await)));
    let ended = world.carried_out(run.id, succeeded()).await;
    assert_eq!(delete().await, Cancelled::Done(Box::new(ended)));
    assert_eq!(world.run(run.id).await.unwrap(), None);
    assert_eq!(delete().await, Cancelled::Missing);
    let of_task = RunFilter { task: Some(run.task), ..RunFilter::default() };
    assert_eq!(world.runs(&of_task, Page { offset: 0, limit: 10 }).await.unwrap().total, 0);
    assert_eq!(world.fires(Some(run.task), EVER).await.unwrap().len(), 1, "it was fired");
    assert_eq!(noted(&world, Action::DeleteRun).await, 1);
}
