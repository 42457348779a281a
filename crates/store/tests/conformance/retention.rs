//! What is forgotten, and what is not.

use std::collections::BTreeSet;
use std::time::Duration;

use isochrone_domain::{Action, EpochMillis, LogLine, LogStream, Run, Task};
use isochrone_store::{Cancelled, Keep, RunFilter};

use super::Fresh;
use super::ledger::EVER;
use super::world::{ALL, LONG, World, entry, fence, kept, succeeded};

/// A task with so many ended runs, the earliest planned first, and one that has not ended.
async fn history(world: &World, ended: usize) -> (Task, Vec<Run>, Run) {
    let task = world.add(|_| {}).await;
    let mut runs = Vec::new();
    for _ in 0..ended {
        let run = world.request(task.id).await;
        let fence = world.claimed(run.id, LONG).await.run.fence();
        let line = LogLine { at: run.planned, stream: LogStream::Stdout, text: "a line".to_owned() };
        kept(world.append_log(run.id, fence, 0, &[line]).await.unwrap());
        runs.push(kept(world.finish(run.id, fence, succeeded(), Vec::new()).await.unwrap()));
        // The next one is planned later.
        world.reach(run.planned + Duration::from_millis(1)).await;
    }
    let open = world.request(task.id).await;
    (task, runs, open)
}

async fn listed(world: &World, task: &Task) -> Vec<isochrone_domain::RunId> {
    let filter = RunFilter { task: Some(task.id), ..RunFilter::default() };
    let page = world.runs(&filter, ALL).await.unwrap();
    assert_eq!(page.total, page.rows.len() as u64);
    page.rows.into_iter().map(|run| run.id).collect()
}

pub(crate) async fn keeps_the_latest_runs(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (task, runs, open) = history(&world, 5).await;
    let (other, others, _) = history(&world, 2).await;
    let keep = Keep { runs: 2, ended_from: EpochMillis(0) };
    let mut forgotten = BTreeSet::new();
    loop {
        let some = world.trim_runs(task.id, keep, 2).await.unwrap();
        if some.is_empty() {
            break;
        }
        forgotten.extend(some);
    }
    assert_eq!(forgotten, runs[..3].iter().map(|run| run.id).collect());
    assert_eq!(listed(&world, &task).await, [open.id, runs[4].id, runs[3].id]);
    assert_eq!(listed(&world, &other).await.len(), others.len() + 1);
    assert_eq!(world.run(runs[0].id).await.unwrap(), None);
    assert_eq!(world.log(runs[0].id, ALL).await.unwrap().total, 0);
    assert_eq!(world.log(runs[4].id, ALL).await.unwrap().total, 1);
    // The ledger knows them still.
    let fires = world.fires(Some(task.id), EVER).await.unwrap();
    assert_eq!(fires.len(), runs.len() + 1);
    assert_eq!(world.unfinished(task.id).await.unwrap(), 1);
}

pub(crate) async fn forgets_runs_by_their_age(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (task, runs, open) = history(&world, 2).await;
    let keep = |ended_from| Keep { runs: 100, ended_from };
    assert_eq!(world.trim_runs(task.id, keep(EpochMillis(0)), 10).await.unwrap(), []);
    // One that was planned first and ended last does not hide the others.
    world.carried_out(open.id, succeeded()).await;
    let again = world.retry_run(runs[0].id, entry(Action::RetryRun, task.id)).await.unwrap();
    assert!(matches!(again, Cancelled::Done(_)));
    let between = world.now().await.unwrap() + Duration::from_millis(1);
    world.reach(between + Duration::from_millis(1)).await;
    world.claimed(runs[0].id, LONG).await;
    kept(world.finish(runs[0].id, fence(2), succeeded(), Vec::new()).await.unwrap());
    assert_eq!(world.trim_runs(task.id, keep(between), 1).await.unwrap(), [runs[1].id]);
    assert_eq!(world.trim_runs(task.id, keep(between), 1).await.unwrap(), [open.id]);
    assert_eq!(world.trim_runs(task.id, keep(between), 1).await.unwrap(), []);
    let later = world.now().await.unwrap() + Duration::from_millis(1);
    let forgotten = world.trim_runs(task.id, keep(later), 10).await.unwrap();
    assert_eq!(forgotten, [runs[0].id]);
    assert_eq!(listed(&world, &task).await, []);
}

pub(crate) async fn forgets_records_of_forgotten_runs(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (task, runs, open) = history(&world, 3).await;
    let later = world.now().await.unwrap() + Duration::from_millis(1);
    let keep = Keep { runs: 1, ended_from: EpochMillis(0) };
    assert_eq!(world.trim_runs(task.id, keep, 10).await.unwrap().len(), 2);
    assert_eq!(world.trim_records(EpochMillis(0), 100).await.unwrap(), 0);
    assert!(!world.audit(EVER).await.unwrap().is_empty());
    while world.trim_records(later, 100).await.unwrap() > 0 {}
    let left = world.fires(None, EVER).await.unwrap();
    let left = left.into_iter().map(|fire| fire.run).collect::<BTreeSet<_>>();
    assert_eq!(left, BTreeSet::from([runs[2].id, open.id]), "what has its run, or is not over, stays");
    assert_eq!(world.fires(Some(task.id), EVER).await.unwrap().len(), 2);
    assert_eq!(world.audit(EpochMillis(0)..later).await.unwrap(), []);
}

pub(crate) async fn knows_which_runs_it_deleted(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let (task, runs, _) = history(&world, 3).await;
    let (other, others, open) = history(&world, 1).await;
    let before = world.now().await.unwrap();
    let deleted = async |until| world.deleted_runs(until, 100).await.unwrap();
    assert_eq!(deleted(before).await, []);
    world.reach(before + Duration::from_millis(1)).await;

    let keep = Keep { runs: 2, ended_from: EpochMillis(0) };
    assert_eq!(world.trim_runs(task.id, keep, 10).await.unwrap(), [runs[0].id]);
    let first = world.now().await.unwrap();
    world.reach(first + Duration::from_millis(1)).await;
    let gone = world.delete_run(runs[1].id, entry(Action::DeleteRun, task.id)).await.unwrap();
    assert!(matches!(gone, Cancelled::Done(_)));
    let second = world.now().await.unwrap();
    world.reach(second + Duration::from_millis(1)).await;
    assert!(world.delete_task(other.id, entry(Action::DeleteTask, other.id)).await.unwrap());
    let last = world.now().await.unwrap();

    assert_eq!(deleted(before).await, []);
    assert_eq!(deleted(first).await, [runs[0].id]);
    assert_eq!(deleted(second).await, [runs[0].id, runs[1].id]);
    let all: BTreeSet<_> = deleted(last).await.into_iter().collect();
    assert_eq!(all, BTreeSet::from([runs[0].id, runs[1].id, others[0].id, open.id]));
    assert_eq!(world.deleted_runs(last, 1).await.unwrap(), [runs[0].id]);
    world.forget_deleted_runs(&[runs[0].id, others[0].id, runs[2].id]).await.unwrap();
    let left: BTreeSet<_> = deleted(last).await.into_iter().collect();
    assert_eq!(left, BTreeSet::from([runs[1].id, open.id]));
    assert!(world.run(runs[2].id).await.unwrap().is_some());
}
