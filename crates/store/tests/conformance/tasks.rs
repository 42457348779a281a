//! Tasks: kept, changed, listed.

use std::time::Duration;

use isochrone_domain::{
    Action, CancelReason, Decision, ItemId, Outcome, Reason, RunStatus, Task, TaskId, TaskState, TaskType,
    disable,
};
use isochrone_store::{Cancelled, Page, RunFilter, Saved, Stretch, TaskFilter};

use super::Fresh;
use super::world::{ALL, KIND, World, entry, failed, new_task};

pub(crate) async fn keeps_a_task_whole(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|task| task.max_occurrences = Some(7)).await;
    assert_eq!(world.task(task.id).await.unwrap(), Some(task.clone()));

    let mut same_id = new_task(task.created);
    same_id.id = task.id;
    same_id.title = "Another".into();
    let again = world.insert_task(&same_id, entry(Action::CreateTask, task.id)).await.unwrap();
    assert_eq!(again, Saved::Repeated);
    assert_eq!(world.task(task.id).await.unwrap(), Some(task));
    assert_eq!(world.task(TaskId::random()).await.unwrap(), None);
}

pub(crate) async fn keeps_text_as_it_came(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world
        .add(|task| {
            task.title = "Ü'\"; DROP TABLE tasks; -- \u{1F30D}\u{202E}\n\\".into();
            task.parameters = Some(format!("{{ \"b\" : 1e400,\"a\":\"{}\"}}", "x".repeat(1 << 20)));
        })
        .await;
    assert_eq!(world.read_task(task.id).await, task);
}

pub(crate) async fn saves_only_over_what_was_read(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let read = world.add(|_| {}).await;
    let mut mine = read.clone();
    mine.title = "Mine".into();
    let mut theirs = read.clone();
    theirs.title = "Theirs".into();

    let update = || entry(Action::UpdateTask, read.id);
    assert_eq!(world.save_task(&mine, update()).await.unwrap(), Saved::Done);
    assert_eq!(world.save_task(&theirs, update()).await.unwrap(), Saved::Stale);
    let stored = world.read_task(read.id).await;
    assert_eq!(stored.title, "Mine");
    assert!(stored.version > read.version);

    let disabled = disable(&stored, stored.updated);
    assert_eq!(world.save_task(&disabled, update()).await.unwrap(), Saved::Done);
    let stored = world.read_task(read.id).await;
    assert_eq!((stored.state, stored.next_fire), (TaskState::Paused, None));

    let unknown = new_task(read.created);
    assert_eq!(world.save_task(&unknown, update()).await.unwrap(), Saved::Stale);
    assert_eq!(world.task(unknown.id).await.unwrap(), None);
}

pub(crate) async fn filters_tasks(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let item = ItemId::random();
    let ann = world.add(|task| task.item_id = Some(item)).await.id;
    let bob = world.add(|task| task.owner = "bob".into()).await.id;
    let notebook = world
        .add(|task| {
            task.kind = TaskType::ExecuteNotebook;
            task.item_id = Some(item);
        })
        .await
        .id;
    let paused = world.add(|task| *task = disable(task, task.created)).await.id;

    let owner = |name: &str| Some(name.to_owned());
    let every = TaskFilter::default();
    let cases = [
        (every.clone(), vec![ann, bob, notebook, paused]),
        (TaskFilter { owner: owner("BOB"), ..every.clone() }, vec![bob]),
        (TaskFilter { owner: owner("carl"), ..every.clone() }, vec![]),
        (TaskFilter { item: Some(item), ..every.clone() }, vec![ann, notebook]),
        (TaskFilter { active: Some(false), ..every.clone() }, vec![paused]),
        (TaskFilter { active: Some(true), owner: owner("ann"), ..every.clone() }, vec![ann, notebook]),
        (TaskFilter { kinds: vec![TaskType::ExecuteNotebook], ..every.clone() }, vec![notebook]),
        (
            TaskFilter { kinds: vec![TaskType::GPService, TaskType::ExecuteReport], ..every },
            vec![ann, bob, paused],
        ),
    ];
    for (filter, expected) in cases {
        let found = world.tasks(&filter, ALL).await.unwrap();
        let ids: Vec<_> = found.rows.iter().map(|task| task.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
        assert_eq!(found.total, expected.len() as u64, "{filter:?}");
    }
}

pub(crate) async fn counts_active_tasks(fresh: &impl Fresh) {
    use TaskType::{ExecuteNotebook, ExecuteReport, GPService};
    let world = World::new(fresh).await;
    let count = async |owner: Option<&str>| {
        let counts = world.count_active(owner, &[ExecuteNotebook, GPService]).await.unwrap();
        assert_eq!(counts.len(), 2, "types that nobody asked for are not told");
        (counts[&ExecuteNotebook], counts[&GPService])
    };
    assert_eq!(count(None).await, (0, 0));
    let notebook = |task: &mut Task| task.kind = ExecuteNotebook;
    let mut task = world.add(notebook).await;
    let bobs = world
        .add(|task| {
            task.kind = ExecuteNotebook;
            task.owner = "bob".into();
        })
        .await;
    world.add(|task| task.kind = ExecuteReport).await;
    world.add(|task| *task = Task { kind: ExecuteNotebook, ..disable(task, task.created) }).await;
    assert_eq!(
        (count(None).await, count(Some("ANN")).await, count(Some("bob")).await),
        ((2, 0), (1, 0), (1, 0))
    );

    let save = async |task: &mut Task, change: &dyn Fn(&mut Task)| {
        change(task);
        assert_eq!(world.save_task(task, entry(Action::UpdateTask, task.id)).await.unwrap(), Saved::Done);
        *task = world.read_task(task.id).await;
    };
    save(&mut task, &|task| task.kind = GPService).await;
    assert_eq!(count(Some("ann")).await, (0, 1));
    save(&mut task, &|task| *task = disable(task, task.created)).await;
    assert_eq!(count(Some("ann")).await, (0, 0));
    save(&mut task, &|task| (task.state, task.next_fire) = (TaskState::Active, Some(task.created))).await;
    save(&mut task, &|task| task.owner = "bob".into()).await;
    assert_eq!((count(Some("ann")).await, count(Some("bob")).await), ((0, 0), (1, 1)));

    // Failures disable one, a fire leaves it as it is.
    save(&mut task, &|task| task.policies.max_consecutive_failures = Some(1)).await;
    let run = world.request(task.id).await;
    assert_eq!(count(None).await, (1, 1));
    world.carried_out(run.id, failed()).await;
    assert_eq!(count(None).await, (1, 0));
    assert!(world.delete_task(bobs.id, entry(Action::DeleteTask, bobs.id)).await.unwrap());
    assert_eq!((count(None).await, count(Some("bob")).await), ((0, 0), (0, 0)));
}

pub(crate) async fn a_spent_task_is_active_as_long_as_it_has_an_open_run(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let agree = async |owner: &str, active: &[TaskId], not: &[TaskId]| {
        for (filter, expected) in [(true, active), (false, not)] {
            let filter =
                TaskFilter { active: Some(filter), owner: Some(owner.to_owned()), ..TaskFilter::default() };
            let found = world.tasks(&filter, ALL).await.unwrap();
            let ids: Vec<_> = found.rows.iter().map(|task| task.id).collect();
            assert_eq!((ids.as_slice(), found.total), (expected, expected.len() as u64), "{filter:?}");
            assert_eq!(world.tasks_from(&filter, None, 10).await.unwrap().rows, found.rows);
        }
        for owner in [None, Some(owner)] {
            assert_eq!(world.count_active(owner, &[KIND]).await.unwrap()[&KIND], active.len() as u64);
        }
    };
    // Its last planned fire, which runs; one whose last fire was skipped; one that never had any.
    let last = world.add(|task| task.max_occurrences = Some(1)).await.id;
    let skipped = world.add(|task| task.end = task.next_fire).await.id;
    let never = world.add(|task| task.next_fire = None).await.id;
    let both = [last, skipped];
    agree("ann", &both, &[never]).await;

    let mut commits = vec![world.plan(last).await, world.plan(skipped).await];
    for fire in &mut commits[1].fires {
        fire.decision = Decision::Skip;
    }
    let now = world.now().await.unwrap();
    for run in &mut commits[1].runs {
        run.status = RunStatus::Ended { outcome: Outcome::Skipped, reason: Reason::SkippedMisfire, at: now };
    }
    let run = commits[0].runs[0].id;
    assert_eq!(world.commit_fires(commits).await.unwrap(), [Saved::Done; 2]);
    agree("ann", &[last], &[skipped, never]).await;
    world.carried_out(run, failed()).await;
    agree("ann", &[], &[last, skipped, never]).await;

    // A retry opens it again, and a cancel ends it.
    assert!(matches!(world.retry_run(run, entry(Action::RetryRun, last)).await.unwrap(), Cancelled::Done(_)));
    agree("ann", &[last], &[skipped, never]).await;
    assert!(matches!(
        world.cancel_run(run, CancelReason::Requested, entry(Action::CancelRun, last)).await.unwrap(),
        Cancelled::Done(_)
    ));
    agree("ann", &[], &[last, skipped, never]).await;

    // Several runs: it is active until the last of them has ended. A loss of its worker ends none for good.
    let runs = [world.request(never).await.id, world.request(never).await.id];
    agree("ann", &[never], &both).await;
    world.carried_out(runs[0], failed()).await;
    world.lost(runs[1]).await;
    agree("ann", &[never], &both).await;

    // Another owner, another kind, disabled, deleted: it is counted where it is.
    let save = async |change: &dyn Fn(&mut Task)| {
        let mut task = world.read_task(never).await;
        change(&mut task);
        assert_eq!(world.save_task(&task, entry(Action::UpdateTask, never)).await.unwrap(), Saved::Done);
    };
    save(&|task| task.owner = "bob".into()).await;
    agree("bob", &[never], &[]).await;
    save(&|task| *task = disable(task, task.created)).await;
    agree("bob", &[], &[never]).await;
    save(&|task| task.state = TaskState::Active).await;
    agree("bob", &[never], &[]).await;
    assert!(world.delete_task(never, entry(Action::DeleteTask, never)).await.unwrap());
    agree("bob", &[], &[]).await;
    agree("ann", &[], &both).await;
}

pub(crate) async fn goes_on_behind_a_task(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut created = Vec::new();
    for number in 0..25 {
        created
            .push(world.add(|task| task.owner = if number % 5 == 4 { "bob" } else { "ann" }.into()).await.id);
    }
    let (mut seen, mut place) = (Vec::new(), None);
    let mut rounds = 0;
    loop {
        let found = world.tasks_from(&TaskFilter::default(), place, 4).await.unwrap();
        seen.extend(found.rows.iter().map(|task| task.id));
        rounds += 1;
        if rounds == 2 {
            // One that was seen, the very last that was, and one that is still to come.
            for gone in [created[1], created[7], created[12]] {
                assert!(world.delete_task(gone, entry(Action::DeleteTask, gone)).await.unwrap());
            }
            created.push(world.add(|_| {}).await.id);
        }
        place = found.next;
        if place.is_none() {
            break;
        }
    }
    let expected: Vec<_> = created.iter().copied().filter(|id| *id != created[12]).collect();
    assert_eq!(seen, expected, "each that stays is seen once");
    let bobs = TaskFilter { owner: Some("bob".to_owned()), ..TaskFilter::default() };
    let first = world.tasks_from(&bobs, None, 3).await.unwrap();
    let rest = world.tasks_from(&bobs, first.next, 3).await.unwrap();
    let ids: Vec<_> = first.rows.iter().chain(&rest.rows).map(|task| task.id).collect();
    assert_eq!((ids, rest.next), ([4, 9, 14, 19, 24].map(|n| created[n]).to_vec(), None));
    let active = TaskFilter { active: Some(false), ..TaskFilter::default() };
    assert_eq!(world.tasks_from(&active, None, 3).await.unwrap(), Stretch { rows: vec![], next: None });
}

pub(crate) async fn goes_on_behind_a_run(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add_queueing().await.id;
    let other = world.add_queueing().await.id;
    let mut all = Vec::new();
    for number in 0..13 {
        all.push(world.request(if number % 4 == 3 { other } else { task }).await);
    }
    let nobodys = RunFilter { owner: Some("nobody".to_owned()), ..RunFilter::default() };
    let none = Stretch { rows: vec![], next: None };
    assert_eq!(world.runs_from(&nobodys, None, 3).await.unwrap(), none, "an empty list is one, too");
    let of_task = RunFilter { task: Some(task), ..RunFilter::default() };
    for filter in [RunFilter::default(), of_task] {
        let expected = world.runs(&filter, ALL).await.unwrap().rows;
        let (mut seen, mut place) = (Vec::new(), None);
        loop {
            let found = world.runs_from(&filter, place, 3).await.unwrap();
            assert!(found.rows.len() <= 3);
            seen.extend(found.rows);
            place = found.next;
            if place.is_none() {
                break;
            }
            // Newer ones come before what is being read.
            world.reach(world.now().await.unwrap() + Duration::from_millis(2)).await;
            world.request(other).await;
        }
        assert_eq!(seen, expected);
    }
}

pub(crate) async fn pages_tasks_in_the_order_of_their_creation(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut created = Vec::new();
    for _ in 0..25 {
        created.push(world.add(|_| {}).await);
    }
    // A change moves no task to another page.
    let changed = &created[3];
    let saved = world.save_task(changed, entry(Action::UpdateTask, changed.id)).await.unwrap();
    assert_eq!(saved, Saved::Done);

    let mut seen = Vec::new();
    for offset in [0, 10, 20, 30] {
        let page = world.tasks(&TaskFilter::default(), Page { offset, limit: 10 }).await.unwrap();
        assert_eq!(page.total, 25);
        seen.extend(page.rows.iter().map(|task| task.id));
    }
    assert_eq!(seen, created.iter().map(|task| task.id).collect::<Vec<_>>());
}
