//! Due tasks, and the commits of their fires.

use std::sync::Arc;
use std::time::Duration;

use isochrone_domain::{Action, EpochMillis, MisfirePolicy, OverlapPolicy, Task, disable, plan_request};
use isochrone_store::{FireCommit, RunFilter, Saved};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::Fresh;
use super::ledger::EVER;
use super::world::{ALL, World, entry, plan, succeeded};

const MINUTE: Duration = Duration::from_mins(1);

pub(crate) async fn gives_due_tasks_the_earliest_first(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let now = world.now().await.unwrap();
    let second = world.add(|task| task.next_fire = Some(now - MINUTE)).await.id;
    let first = world.add(|task| task.next_fire = Some(now - MINUTE * 2)).await.id;
    let last = world.add(|task| task.next_fire = Some(now)).await.id;
    world.add(|task| task.next_fire = Some(EpochMillis(now.0 + 1))).await;
    world.add(|task| task.next_fire = None).await;
    world.add(|task| *task = disable(task, task.created)).await;

    let ids = async |limit| -> Vec<_> {
        let due = world.due_tasks(now, limit).await.unwrap();
        due.iter().map(|due| due.task.id).collect()
    };
    assert_eq!(ids(10).await, [first, second, last]);
    assert_eq!(ids(2).await, [first, second]);
}

/// A fire that was due when its task was disabled is still to be decided, for the ledger.
pub(crate) async fn keeps_a_disabled_tasks_fire_due(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let now = world.now().await.unwrap();
    let task = world.add(|task| *task = disable(task, now)).await;
    assert_eq!(world.next_fire().await.unwrap(), task.next_fire);
    let due = world.due_tasks(now, 10).await.unwrap();
    assert_eq!(due.iter().map(|due| due.task.id).collect::<Vec<_>>(), [task.id]);
    world.fire(task.id).await;
    assert_eq!(world.due_tasks(now, 10).await.unwrap(), []);
    assert_eq!(world.next_fire().await.unwrap(), None);
    assert!(!world.fires(Some(task.id), EVER).await.unwrap().is_empty());
}

pub(crate) async fn counts_what_has_not_ended(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let other = world.add_queueing().await.id;
    let run = world.request(task).await;
    world.request(task).await;
    let count = async |id| {
        let due = world.due_tasks(world.now().await.unwrap(), 10).await.unwrap();
        let due = due.into_iter().find(|due| due.task.id == id).expect("it is due");
        assert_eq!(due.unfinished, world.unfinished(id).await.unwrap());
        due.unfinished
    };
    assert_eq!((count(task).await, count(other).await), (2, 0));
    world.carried_out(run.id, succeeded()).await;
    assert_eq!((count(task).await, count(other).await), (1, 0));
}

pub(crate) async fn commits_a_fire_whole(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let now = world.now().await.unwrap();
    // Of four due minutes the last runs and the others are skipped.
    let task = world
        .add(|task| {
            let first = EpochMillis(now.0.div_euclid(60_000) * 60_000) - MINUTE * 3;
            task.next_fire = Some(first);
            task.policies.misfire = MisfirePolicy::RunLatest;
        })
        .await;
    let commit = plan(&task, 0, now);
    assert_eq!(commit.runs.len(), 4);
    assert_eq!(world.commit_fires(vec![commit.clone()]).await.unwrap(), [Saved::Done]);

    let stored = world.read_task(task.id).await;
    let expected = Task { version: stored.version, ..commit.task };
    assert!(stored.version > task.version);
    assert_eq!(stored, expected);
    assert_eq!(stored.occurrences, 1);
    assert!(stored.next_fire > Some(now));
    for run in &commit.runs {
        assert_eq!(world.read_run(run.id).await, *run);
    }
    let listed = world.runs(&RunFilter { task: Some(task.id), ..RunFilter::default() }, ALL).await.unwrap();
    let latest_first: Vec<_> = commit.runs.iter().rev().map(|run| run.id).collect();
    assert_eq!(listed.rows.iter().map(|run| run.id).collect::<Vec<_>>(), latest_first);
    let ended = RunFilter { ended: Some(true), owner: Some("Ann".to_owned()), ..RunFilter::default() };
    assert_eq!(world.runs(&ended, ALL).await.unwrap().total, 3);
    let fires = world.fires(Some(task.id), EVER).await.unwrap();
    assert_eq!(
        fires.iter().map(|row| (row.fire, row.planned, row.reason, row.run)).collect::<Vec<_>>(),
        commit
            .fires
            .iter()
            .map(|fire| (fire.id, fire.planned, fire.reason, fire.id.run()))
            .collect::<Vec<_>>()
    );
    assert_eq!(fires.iter().filter(|row| row.outcome.is_some()).count(), 3);
}

pub(crate) async fn commits_nothing_of_a_stale_fire(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|_| {}).await;
    let stale = world.plan(task.id).await;
    let paused = disable(&task, task.updated);
    assert_eq!(world.save_task(&paused, entry(Action::DisableTask, task.id)).await.unwrap(), Saved::Done);
    let before = world.read_task(task.id).await;

    assert_eq!(world.commit_fires(vec![stale.clone()]).await.unwrap(), [Saved::Stale]);
    assert_eq!(world.read_task(task.id).await, before);
    assert_eq!(world.run(stale.runs[0].id).await.unwrap(), None);
    assert_eq!(world.fires(None, EVER).await.unwrap(), []);
    assert_eq!(world.outbox().await, []);

    assert!(world.delete_task(task.id, entry(Action::DeleteTask, task.id)).await.unwrap());
    assert_eq!(world.commit_fires(vec![stale]).await.unwrap(), [Saved::Stale]);
    assert_eq!(world.fires(None, EVER).await.unwrap(), []);
}

pub(crate) async fn answers_each_commit_in_order(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut commits = Vec::new();
    for _ in 0..3 {
        let task = world.add(|_| {}).await;
        commits.push(world.plan(task.id).await);
    }
    let saved = world.commit_fires(vec![commits[0].clone()]).await.unwrap();
    assert_eq!(saved, [Saved::Done]);
    commits[1].task.version += 1;
    let saved = world.commit_fires(commits).await.unwrap();
    assert_eq!(saved, [Saved::Repeated, Saved::Stale, Saved::Done]);
    assert_eq!(world.fires(None, EVER).await.unwrap().len(), 2);
}

/// Many schedulers commit what they made of the same due task, at once: one wins, round for round.
pub(crate) async fn one_of_many_schedulers_wins(fresh: &impl Fresh) {
    const ROUNDS: u64 = 25;
    const SCHEDULERS: u32 = 4;
    let world = World::new(fresh).await;
    let first = EpochMillis(world.now().await.unwrap().0.div_euclid(60_000) * 60_000) - MINUTE * 150;
    let task = world
        .add(|task| {
            task.next_fire = Some(first);
            task.policies.overlap = OverlapPolicy::Allow;
        })
        .await
        .id;
    for round in 1..=ROUNDS {
        let read = world.read_task(task).await;
        let together = Arc::new(Barrier::new(SCHEDULERS as usize));
        let mut schedulers = JoinSet::new();
        for number in 0..SCHEDULERS {
            // Each sees the clock at another minute: their plans overlap and differ.
            let moment = read.next_fire.expect("many are left") + MINUTE * number;
            let commit = plan(&read, 0, moment);
            let (world, together) = (world.clone(), Arc::clone(&together));
            schedulers.spawn(async move {
                together.wait().await;
                world.commit_fires(vec![commit]).await.unwrap()[0]
            });
        }
        let answers = schedulers.join_all().await;
        let won = answers.iter().filter(|saved| **saved == Saved::Done).count();
        assert_eq!(won, 1, "round {round}: {answers:?}");
        assert_eq!(world.read_task(task).await.occurrences, round);
    }
    assert_eq!(world.unfinished(task).await.unwrap(), ROUNDS);
    assert_eq!(world.outbox().await.len() as u64, ROUNDS);
    let fired: Vec<_> = world.fires(Some(task), EVER).await.unwrap().iter().map(|row| row.planned).collect();
    let each_once: Vec<_> = (0..fired.len() as u32).map(|number| first + MINUTE * number).collect();
    assert_eq!(fired, each_once, "no minute is missing and none is doubled");
}

pub(crate) async fn counts_a_repeated_commit_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|_| {}).await.id;
    let commit = world.plan(task).await;
    let planned = commit.runs.len();
    assert_eq!(world.commit_fires(vec![commit.clone()]).await.unwrap(), [Saved::Done]);
    let before = world.read_task(task).await;
    assert_eq!(world.commit_fires(vec![commit.clone()]).await.unwrap(), [Saved::Repeated]);
    assert_eq!(world.commit_fires(vec![commit.clone(), commit]).await.unwrap(), [Saved::Repeated; 2]);
    assert_eq!(world.read_task(task).await, before);
    assert_eq!(world.fires(Some(task), EVER).await.unwrap().len(), planned);
}

pub(crate) async fn counts_a_repeated_request_once(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let read = world.add(|_| {}).await;
    let now = world.now().await.unwrap();
    let request = |task| plan_request(task, 0, "ann", [1; 16], now).expect("the limit is far");
    let asked = || entry(Action::RunTask, read.id);

    let (task, run) = request(&read);
    assert_eq!(world.commit_request(task.clone(), run.clone(), asked()).await.unwrap(), Saved::Done);
    assert_eq!(world.commit_request(task, run.clone(), asked()).await.unwrap(), Saved::Repeated);
    // And so when the task was read anew in between.
    let (task, run_again) = request(&world.read_task(read.id).await);
    assert_eq!(run_again.id, run.id);
    assert_eq!(world.commit_request(task, run_again, asked()).await.unwrap(), Saved::Repeated);

    assert_eq!(world.read_task(read.id).await.occurrences, 1);
    assert_eq!(world.read_run(run.id).await, run);
    assert_eq!(world.runs(&RunFilter::default(), ALL).await.unwrap().total, 1);
    let entries = world.audit(EVER).await.unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.action == Action::RunTask).count(), 1);
}

pub(crate) async fn refuses_a_stale_request(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let read = world.add(|_| {}).await;
    world.fire(read.id).await;
    let now = world.now().await.unwrap();
    let (task, run) = plan_request(&read, 0, "ann", [1; 16], now).expect("the limit is far");
    let saved = world.commit_request(task, run.clone(), entry(Action::RunTask, read.id)).await.unwrap();
    assert_eq!(saved, Saved::Stale);
    assert_eq!(world.run(run.id).await.unwrap(), None);
}

/// A task that was deleted and comes back as it was exported makes no second run of an old minute.
pub(crate) async fn fires_no_minute_again_after_an_import(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let exported = world.add(|_| {}).await;
    let commit = world.plan(exported.id).await;
    let runs = commit.runs.len();
    assert_eq!(world.commit_fires(vec![commit.clone()]).await.unwrap(), [Saved::Done]);
    assert!(world.delete_task(exported.id, entry(Action::DeleteTask, exported.id)).await.unwrap());
    let import = entry(Action::CreateTask, exported.id);
    assert_eq!(world.insert_task(&exported, import).await.unwrap(), Saved::Done);

    assert_eq!(world.commit_fires(vec![commit.clone()]).await.unwrap(), [Saved::Repeated]);
    assert_eq!(world.fires(None, EVER).await.unwrap().len(), runs);
    assert_eq!(world.unfinished(exported.id).await.unwrap(), 0);
    let moved_on = world.read_task(exported.id).await;
    assert_eq!(moved_on.next_fire, commit.task.next_fire, "it is not due for ever");
    assert_eq!(moved_on.occurrences, exported.occurrences, "what was not made is not counted");
}

pub(crate) async fn counts_of_an_import_only_what_it_makes(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let exported = world
        .add(|task| {
            task.max_occurrences = Some(2);
            task.policies.misfire = MisfirePolicy::RunAll { max: 10 };
            task.policies.overlap = OverlapPolicy::Allow;
            task.next_fire = task.next_fire.map(|next| next - Duration::from_mins(3));
        })
        .await;
    // The first two minutes ran; then the task was exported without its count, and came back.
    let first = world.plan(exported.id).await;
    assert_eq!((first.runs.len(), first.task.next_fire), (2, None));
    assert_eq!(world.commit_fires(vec![first.clone()]).await.unwrap(), [Saved::Done]);
    assert!(world.delete_task(exported.id, entry(Action::DeleteTask, exported.id)).await.unwrap());
    assert_eq!(
        world.insert_task(&exported, entry(Action::CreateTask, exported.id)).await.unwrap(),
        Saved::Done
    );
    assert_eq!(world.commit_fires(vec![first.clone()]).await.unwrap(), [Saved::Repeated]);
    let moved_on = world.read_task(exported.id).await;
    assert_eq!(moved_on.occurrences, 0);
    let last = first.runs.last().expect("two").planned;
    assert_eq!(moved_on.next_fire, Some(last + Duration::from_mins(1)), "its limit is not reached");

    // And of those that are partly known, the others are made and counted.
    let mut mixed = world.plan(exported.id).await;
    assert_eq!(mixed.runs.len(), 2);
    let again =
        FireCommit { fires: mixed.fires[..1].to_vec(), runs: mixed.runs[..1].to_vec(), ..mixed.clone() };
    assert_eq!(world.commit_fires(vec![again]).await.unwrap(), [Saved::Done]);
    assert!(world.delete_task(exported.id, entry(Action::DeleteTask, exported.id)).await.unwrap());
    let back = Task { next_fire: moved_on.next_fire, ..exported.clone() };
    assert_eq!(world.insert_task(&back, entry(Action::CreateTask, back.id)).await.unwrap(), Saved::Done);
    mixed.task.version = back.version;
    assert_eq!(world.commit_fires(vec![mixed]).await.unwrap(), [Saved::Done]);
    assert_eq!(
        (world.read_task(back.id).await.occurrences, world.unfinished(back.id).await.unwrap()),
        (1, 1)
    );
}
