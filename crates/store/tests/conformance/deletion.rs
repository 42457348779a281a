//! Deleting a task, whatever its runs are doing.

use isochrone_domain::{Action, CancelReason, LogLine, LogStream, Outcome, Reason, Refusal, TaskId};
use isochrone_store::{Cancelled, Finished, Renewal, RunFilter};

use super::Fresh;
use super::ledger::EVER;
use super::world::{ALL, LONG, World, entry, fence, held, succeeded};

async fn delete(world: &World, task: TaskId) -> bool {
    world.delete_task(task, entry(Action::DeleteTask, task)).await.unwrap()
}

pub(crate) async fn forgets_a_task_and_its_runs(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let ended = world.request(task).await;
    world.claimed(ended.id, LONG).await;
    let line = LogLine { at: ended.created, stream: LogStream::Stdout, text: "one".to_owned() };
    assert!(matches!(world.append_log(ended.id, fence(1), 0, &[line]).await.unwrap(), Finished::Kept(_)));
    assert!(matches!(
        world.finish(ended.id, fence(1), succeeded(), Vec::new()).await.unwrap(),
        Finished::Kept(_)
    ));
    let queued = world.request(task).await;
    world.request(task).await;
    let other = world.some_run().await;

    assert!(delete(&world, task).await);
    assert!(!delete(&world, task).await);
    assert_eq!(world.task(task).await.unwrap(), None);
    assert_eq!(world.run(ended.id).await.unwrap(), None);
    assert_eq!(world.log(ended.id, ALL).await.unwrap().total, 0);
    assert_eq!(world.unfinished(task).await.unwrap(), 0);
    let left = world.runs(&RunFilter::default(), ALL).await.unwrap();
    assert_eq!(left.rows.iter().map(|run| run.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(world.outbox().await, [other.id]);
    let cancelled =
        world.cancel_run(queued.id, CancelReason::Requested, entry(Action::CancelRun, task)).await.unwrap();
    assert_eq!(cancelled, Cancelled::Missing);
}

pub(crate) async fn takes_the_run_from_its_worker(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await;
    world.claimed(run.id, LONG).await;
    assert!(delete(&world, run.task).await);
    let fenced = Finished::Fenced(Refusal::Deleted);
    let held = held(run.id, 1);
    assert_eq!(world.renew("w1", &[held], LONG).await.unwrap(), [Renewal::Lost(Refusal::Deleted)]);
    assert_eq!(world.append_log(run.id, fence(1), 0, &[]).await.unwrap(), fenced);
    assert_eq!(world.checkpoint(run.id, fence(1), "{}").await.unwrap(), fenced);
    assert_eq!(world.finish(run.id, fence(1), succeeded(), Vec::new()).await.unwrap(), fenced);
    assert_eq!(world.next_expiry().await.unwrap(), None, "nobody waits for its lease");
}

pub(crate) async fn keeps_ledger_and_audit_of_the_deleted(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let runs = [world.request(task).await, world.request(task).await, world.request(task).await];
    world.carried_out(runs[0].id, succeeded()).await;
    world.claimed(runs[1].id, LONG).await;
    assert!(delete(&world, task).await);

    let fires = world.fires(Some(task), EVER).await.unwrap();
    for (run, expected) in runs.iter().zip([
        (Outcome::Succeeded, Reason::Done),
        (Outcome::Failed, Reason::TaskDeleted),
        (Outcome::Skipped, Reason::TaskDeleted),
    ]) {
        let row = fires.iter().find(|row| row.run == run.id).expect("each fire is in the ledger");
        let (outcome, reason, _) = row.outcome.expect("each fire has an outcome");
        assert_eq!((outcome, reason), expected);
        assert_eq!((row.title.as_str(), row.owner.as_str()), ("Every minute", "ann"));
    }
    let actions: Vec<_> = world.audit(EVER).await.unwrap().iter().map(|entry| entry.action).collect();
    assert_eq!(actions.first(), Some(&Action::CreateTask));
    assert_eq!(actions.iter().filter(|action| **action == Action::DeleteTask).count(), 1);
}

/// A worker goes on for a while with a run that the store may only have forgotten.
pub(crate) async fn tells_the_deleted_from_the_unknown(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (known, unknown) = (world.some_run().await, isochrone_domain::RunId::random());
    world.claimed(known.id, LONG).await;
    assert!(delete(&world, known.task).await);
    for (run, word) in [(known.id, Refusal::Deleted), (unknown, Refusal::Unknown)] {
        let fenced = Finished::Fenced(word);
        assert_eq!(world.renew("w1", &[held(run, 1)], LONG).await.unwrap(), [Renewal::Lost(word)]);
        assert_eq!(world.append_log(run, fence(1), 0, &[]).await.unwrap(), fenced);
        assert_eq!(world.checkpoint(run, fence(1), "{}").await.unwrap(), fenced);
        assert_eq!(world.finish(run, fence(1), succeeded(), Vec::new()).await.unwrap(), fenced);
    }
}
