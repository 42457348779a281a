//! What is accepted, what is refused and how, and what each request leaves behind.
#![allow(clippy::unwrap_used, reason = "what is unwrapped in vain fails the test")]

mod world;

use std::sync::Arc;

use isochrone_domain::{
    Action, Change, ItemId, MisfirePolicy, OverlapPolicy, Policies, Problem, Reason, Role, Run, RunStatus,
    Submission, Task, TaskId, TaskType,
};
use isochrone_scheduler::{Caller, LeftOut, Quota, Quotas, SubmitError};
use isochrone_store::{Page, RunFilter, TaskFilter};
use world::{
    KIND, LEASE, MINUTE, NOON, World, caller, clock_at, cron, every_minute, slow_clock_at, submission,
};

const ALL: Page = Page { offset: 0, limit: 100 };

fn pia() -> Caller {
    caller("pia", Role::Publisher)
}

fn ada() -> Caller {
    caller("ada", Role::Admin)
}

async fn world() -> World {
    World::new(slow_clock_at(isochrone_domain::EpochMillis(NOON.0 + 1_000))).await
}

fn daily() -> Submission {
    submission(cron("0", "0"), Policies::default())
}

#[tokio::test]
async fn a_task_is_kept_as_it_was_accepted() {
    let world = world().await;
    let task = world.submissions.create(&pia(), "PIA", daily()).await.unwrap().task;
    assert_eq!(task.owner, "pia", "the owner's name is spelled as the user's");
    assert_eq!(world.task(task.id).await, task);
    assert_eq!(world.submissions.task(&pia(), task.id).await.unwrap(), task);
    assert_eq!(task.next_fire.map(|at| at.0), Some(NOON.0 + 12 * 3_600_000));
    let entry = world.audit().await.pop().unwrap();
    assert_eq!((entry.action, entry.task), (Action::CreateTask, Some(task.id)));
    assert_eq!((entry.actor.as_str(), entry.ip.as_deref()), ("pia", Some("192.0.2.7")));
    assert_eq!((entry.owner.as_str(), entry.title.as_str()), ("pia", "a test"));
}

#[tokio::test]
async fn an_administrator_creates_for_others_who_exist() {
    let world = world().await;
    let task = world.submissions.create(&ada(), "paul", daily()).await.unwrap().task;
    assert_eq!(task.owner, "paul");
    assert_eq!(world.audit().await.pop().unwrap().actor, "ada");
    let missing = world.submissions.create(&ada(), "nobody", daily()).await;
    assert!(matches!(missing, Err(SubmitError::NotFound { what: "user" })), "{missing:?}");
}

#[tokio::test]
async fn what_is_refused_is_not_kept() {
    let world = world().await;
    let before = world.audit().await.len();
    for (parameter, bad) in [
        ("minute", submission(cron("61", "*"), Policies::default())),
        ("hour", submission(cron("0", ""), Policies::default())),
        ("itemId", Submission { item_id: None, ..daily() }),
        ("maxOccurrences", Submission { max_occurrences: Some(0), ..daily() }),
        ("parameters", Submission { parameters: Some("[".repeat(10_000)), ..daily() }),
    ] {
        match world.submissions.create(&pia(), "pia", bad).await {
            Err(SubmitError::Invalid(Problem { parameter: named, .. })) => assert_eq!(named, parameter),
            other => panic!("{parameter}: {other:?}"),
        }
    }
    let mut never = daily();
    (never.cron.day_of_month, never.cron.month) = ("31".to_owned(), "2".to_owned());
    assert!(matches!(world.submissions.create(&pia(), "pia", never).await, Err(SubmitError::Invalid(_))));
    assert_eq!(world.submissions.tasks(&ada(), &TaskFilter::default(), ALL).await.unwrap().total, 0);
    assert_eq!(world.audit().await.len(), before);
}

#[tokio::test]
async fn what_does_not_exist_is_said_to_be_missing() {
    let world = world().await;
    let (task, nonce) = (TaskId::random(), [0; 16]);
    let run = isochrone_domain::FireId::requested(task, nonce).run();
    let s = &world.submissions;
    for missing in [
        s.task(&pia(), task).await.err(),
        s.update(&pia(), task, Change::default()).await.err(),
        s.enable(&pia(), task).await.err(),
        s.disable(&pia(), task).await.err(),
        s.delete(&pia(), task).await.err(),
        s.run_now(&pia(), task, nonce).await.err(),
        s.runs(&pia(), &RunFilter { task: Some(task), ..RunFilter::default() }, ALL).await.err(),
    ] {
        assert!(matches!(missing, Some(SubmitError::NotFound { what: "task" })), "{missing:?}");
    }
    for missing in [
        s.run(&pia(), run).await.err(),
        s.cancel_run(&pia(), run).await.err(),
        s.retry_run(&pia(), run).await.err(),
    ] {
        assert!(matches!(missing, Some(SubmitError::NotFound { what: "run" })), "{missing:?}");
    }
}

#[tokio::test]
async fn each_change_leaves_an_entry_and_no_change_leaves_none() {
    let world = world().await;
    let s = &world.submissions;
    let task = world.create(daily()).await;
    let before = world.audit().await.len();
    s.enable(&pia(), task.id).await.unwrap();
    s.update(&pia(), task.id, Change::default()).await.unwrap();
    assert_eq!(world.task(task.id).await, task);
    assert_eq!(world.audit().await.len(), before, "nothing changed");

    let title = Change { title: Some("another".to_owned()), ..Change::default() };
    let updated = s.update(&pia(), task.id, title).await.unwrap().task;
    assert_eq!((updated.title.as_str(), updated.generation), ("another", task.generation));
    s.disable(&pia(), task.id).await.unwrap();
    s.disable(&pia(), task.id).await.unwrap();
    s.enable(&pia(), task.id).await.unwrap();
    let run = s.run_now(&pia(), task.id, [1; 16]).await.unwrap();
    s.cancel_run(&pia(), run.id).await.unwrap();
    s.delete(&pia(), task.id).await.unwrap();
    let entries = world.audit().await.split_off(before);
    assert_eq!(
        entries.iter().map(|entry| entry.action).collect::<Vec<_>>(),
        [
            Action::UpdateTask,
            Action::DisableTask,
            Action::EnableTask,
            Action::RunTask,
            Action::CancelRun,
            Action::DeleteTask
        ]
    );
    assert!(entries.iter().all(|entry| entry.task == Some(task.id) && entry.actor == "pia"));
    assert_eq!(entries[3].run, Some(run.id));
    assert_eq!(entries[4].run, Some(run.id));
}

#[tokio::test]
async fn the_same_nonce_asks_for_the_same_run() {
    let world = world().await;
    let task = world.create(Submission { max_occurrences: Some(2), ..daily() }).await;
    let s = &world.submissions;
    let run = s.run_now(&pia(), task.id, [1; 16]).await.unwrap();
    assert_eq!(run.fired, Reason::Requested);
    assert_eq!(s.run_now(&pia(), task.id, [1; 16]).await.unwrap(), run);
    assert_eq!(world.task(task.id).await.occurrences, 1);
    let second = s.run_now(&pia(), task.id, [2; 16]).await.unwrap();
    assert_eq!(second.status, RunStatus::Waiting, "runs of the task do not overlap");

    let third = s.run_now(&pia(), task.id, [3; 16]).await;
    let Err(SubmitError::Conflict(text)) = third else { panic!("{third:?}") };
    assert!(text.contains('2') && text.contains("maxOccurrences"), "{text}");
    assert_eq!(s.run_now(&pia(), task.id, [1; 16]).await.unwrap().id, run.id, "not even then another");
    let task = world.task(task.id).await;
    assert_eq!((task.occurrences, task.next_fire), (2, None));
    let filter = RunFilter { task: Some(task.id), ..RunFilter::default() };
    assert_eq!(s.runs(&pia(), &filter, ALL).await.unwrap().total, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_nonce_at_the_same_moment_is_one_run() {
    let world = Arc::new(world().await);
    let task = world.create(daily()).await.id;
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.submissions.run_now(&pia(), task, [7; 16]).await.unwrap().id })
        })
        .collect();
    let mut ids = Vec::new();
    for asked in asking {
        ids.push(asked.await.unwrap());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(world.task(task).await.occurrences, 1);
}

#[tokio::test]
async fn cancel_and_retry_say_what_they_can_not_do() {
    let world = world().await;
    let s = &world.submissions;
    let task = world.create(submission(cron("0", "0"), allow())).await;
    let run = s.run_now(&pia(), task.id, [1; 16]).await.unwrap();
    assert!(matches!(s.retry_run(&pia(), run.id).await, Err(SubmitError::Conflict(_))));
    let cancelled = s.cancel_run(&pia(), run.id).await.unwrap();
    assert_eq!(cancelled.status.wire(), "skipped");
    let again = s.cancel_run(&pia(), run.id).await;
    let Err(SubmitError::Conflict(text)) = again else { panic!("{again:?}") };
    assert!(text.contains("skipped"), "{text}");
    assert!(matches!(s.retry_run(&pia(), run.id).await, Err(SubmitError::Conflict(_))));

    // One that was carried out can be retried, and goes to the queue again.
    let mut running = world.start();
    let run = s.run_now(&pia(), task.id, [2; 16]).await.unwrap();
    assert_eq!(running.published().await, run.id);
    let claimed = world.take("w", LEASE).await;
    world.succeed(&claimed).await;
    let retried = s.retry_run(&pia(), run.id).await.unwrap();
    assert!(matches!(retried.status, RunStatus::Queued { .. }));
    assert_eq!(running.published().await, run.id);
    running.stop().await;
    let second = world.take("w", LEASE).await;
    assert_eq!((second.run.id, second.run.attempt), (run.id, 2));
    let asked = s.cancel_run(&pia(), run.id).await.unwrap();
    assert!(matches!(asked.status, RunStatus::Executing { .. }) && asked.cancel.is_some());
    assert_eq!(world.task(task.id).await.occurrences, 2, "a retry is no occurrence");
}

fn allow() -> Policies {
    Policies { overlap: OverlapPolicy::Allow, ..Policies::default() }
}

#[tokio::test]
async fn quotas_count_active_tasks_of_a_type() {
    let quota = Quota { per_user: Some(2), per_organization: Some(3) };
    let quotas = Quotas::default().with(KIND, quota);
    let world = World::with_quotas(slow_clock_at(NOON), quotas).await;
    let s = &world.submissions;
    let first = world.create(daily()).await;
    world.create(daily()).await;
    let refused = s.create(&pia(), "pia", daily()).await;
    let Err(SubmitError::Quota(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("pia") && text.contains('2') && text.contains("ExecuteNotebook"), "{text}");

    let report = Submission { kind: TaskType::ExecuteReport, parameters: Some("{}".to_owned()), ..daily() };
    s.create(&pia(), "pia", report).await.expect("another type has no quota");
    s.create(&caller("paul", Role::Publisher), "paul", daily()).await.expect("paul has none yet");
    let refused = s.create(&caller("paul", Role::Publisher), "paul", daily()).await;
    let Err(SubmitError::Quota(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("organization") && text.contains('3'), "{text}");

    s.disable(&pia(), first.id).await.unwrap();
    let third = world.create(daily()).await;
    let refused = s.enable(&pia(), first.id).await;
    assert!(matches!(refused, Err(SubmitError::Quota(_))), "{refused:?}");
    let title = Change { title: Some("no more than before".to_owned()), ..Change::default() };
    s.update(&pia(), third.id, title).await.expect("an active task may change");
}

#[tokio::test]
async fn by_default_there_are_no_quotas_and_arcgis_has_its_own() {
    let world = world().await;
    for _ in 0..25 {
        world.create(daily()).await;
    }
    let world = World::with_quotas(slow_clock_at(NOON), Quotas::arcgis()).await;
    for _ in 0..20 {
        world.create(daily()).await;
    }
    assert!(matches!(world.submissions.create(&pia(), "pia", daily()).await, Err(SubmitError::Quota(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_the_same_moment_as_fires_are_all_kept() {
    let world = Arc::new(World::new(clock_at(NOON, 1_000)).await);
    let running = world.start();
    let task = world.create(every_minute(allow())).await.id;
    let changing: Vec<_> = (0..6_u64)
        .map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for _ in 0..5 {
                    let change = match number {
                        0 => Change { title: Some("title".to_owned()), ..Change::default() },
                        1 => Change { item_id: Some(ItemId::from_bytes([9; 16])), ..Change::default() },
                        _ => Change { max_occurrences: Some(Some(100_000 + number)), ..Change::default() },
                    };
                    loop {
                        match world.submissions.update(&pia(), task, change.clone()).await {
                            Ok(_) => break,
                            Err(SubmitError::Conflict(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for changed in changing {
        changed.await.unwrap();
    }
    running.stop().await;
    let Task { title, item_id, max_occurrences, occurrences, .. } = world.task(task).await;
    assert_eq!((title.as_str(), item_id), ("title", Some(ItemId::from_bytes([9; 16]))));
    assert!(max_occurrences >= Some(100_002));
    let ran = world.ledger(task).await.iter().filter(|row| row.reason != Reason::SkippedMisfire).count();
    assert_eq!(occurrences, ran as u64, "no fire was lost or counted twice by a change");
}

#[tokio::test]
async fn what_is_due_is_decided_before_a_change_or_a_deletion_can_forget_it() {
    let now = isochrone_domain::EpochMillis(NOON.0 + 20_000);
    let overdue = async || {
        let world = World::new(slow_clock_at(now)).await;
        // Nobody fires it: no scheduler runs.
        let task = world.insert(every_minute(allow()), NOON).await.id;
        (world, task)
    };
    let (world, task) = overdue().await;
    let change = Change { minute: Some("0".to_owned()), ..Change::default() };
    world.submissions.update(&pia(), task, change).await.unwrap();
    assert_eq!(world.ledger(task).await.len(), 1);

    let (world, task) = overdue().await;
    world.submissions.disable(&pia(), task).await.unwrap();
    assert_eq!(world.ledger(task).await.len(), 1);

    let (world, task) = overdue().await;
    world.submissions.delete(&pia(), task).await.unwrap();
    let rows = world.ledger(task).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].outcome.map(|(_, reason, _)| reason), Some(Reason::TaskDeleted));
}

#[tokio::test]
async fn the_last_run_asked_for_forgets_no_fire_that_is_due() {
    let now = isochrone_domain::EpochMillis(NOON.0 + 20_000);
    let hour_back = isochrone_domain::EpochMillis(NOON.0 - 60 * MINUTE);
    let overdue = async |misfire| {
        let world = World::new(slow_clock_at(now)).await;
        let once = Submission { max_occurrences: Some(1), ..every_minute(Policies { misfire, ..allow() }) };
        let task = world.insert(once, hour_back).await.id;
        (world, task)
    };
    let (world, task) = overdue(MisfirePolicy::Skip { grace_ms: 0 }).await;
    let run = world.submissions.run_now(&pia(), task, [1; 16]).await.unwrap();
    assert_eq!(world.ledger(task).await.len(), 62, "an hour's fires, both ends included, and the request");
    assert_eq!(world.submissions.run_now(&pia(), task, [1; 16]).await.unwrap().id, run.id);

    let (world, task) = overdue(MisfirePolicy::RunLatest).await;
    let late = world.submissions.run_now(&pia(), task, [1; 16]).await;
    assert!(matches!(late, Err(SubmitError::Conflict(_))), "a due fire had the last one: {late:?}");
    assert_eq!(world.ledger(task).await.len(), 61);
}

#[tokio::test]
async fn a_backfill_goes_on_behind_what_is_forgotten_and_fills_again_what_was_cancelled() {
    let now = isochrone_domain::EpochMillis(NOON.0 + 20_000);
    let world = World::new(slow_clock_at(now)).await;
    let from = isochrone_domain::EpochMillis(NOON.0 - 3 * MINUTE);
    let task = world.insert(every_minute(allow()), from).await.id;
    let s = &world.submissions;
    let made = s.backfill(&pia(), task, from..=now).await.unwrap();
    assert_eq!(made.runs.len(), 3);
    assert_eq!(made.left_out, [(NOON, LeftOut::UnderWay)], "the latest ran by the misfire policy");
    // The first and the second are cancelled, and the first is forgotten.
    for run in &made.runs[..2] {
        s.cancel_run(&pia(), run.id).await.unwrap();
    }
    s.delete_run(&pia(), made.runs[0].id).await.unwrap();
    let again = s.backfill(&pia(), task, from..=now).await.unwrap();
    let minutes = |runs: &[Run]| runs.iter().map(|run| run.planned).collect::<Vec<_>>();
    assert_eq!(minutes(&again.runs), minutes(&made.runs[..2]));
    assert_eq!(again.left_out, [(made.runs[2].planned, LeftOut::UnderWay), (NOON, LeftOut::UnderWay)]);
    let third = s.backfill(&pia(), task, from..=now).await.unwrap();
    assert_eq!((third.runs.len(), third.left_out.len()), (0, 4), "nothing is made twice");
}

#[tokio::test]
async fn a_backfill_says_what_it_leaves_out() {
    let now = isochrone_domain::EpochMillis(NOON.0 + 20_000);
    let world = World::new(slow_clock_at(now)).await;
    let from = isochrone_domain::EpochMillis(NOON.0 - 3 * MINUTE);
    let thrice = Submission { max_occurrences: Some(3), ..every_minute(allow()) };
    let task = world.insert(thrice, from).await.id;
    let made = world.submissions.backfill(&pia(), task, from..=now).await.unwrap();
    assert_eq!(made.runs.len(), 2);
    let third = isochrone_domain::EpochMillis(NOON.0 - MINUTE);
    assert_eq!(made.left_out, [(third, LeftOut::LimitReached), (NOON, LeftOut::UnderWay)]);
}

#[tokio::test]
async fn a_request_whose_run_is_gone_is_told_so() {
    let world = world().await;
    let task = world.create(daily()).await.id;
    let s = &world.submissions;
    let run = s.run_now(&pia(), task, [1; 16]).await.unwrap().id;
    s.cancel_run(&pia(), run).await.unwrap();
    s.delete_run(&pia(), run).await.unwrap();
    let gone = s.run_now(&pia(), task, [1; 16]).await;
    let Err(SubmitError::Conflict(text)) = gone else { panic!("{gone:?}") };
    assert!(text.contains("no longer kept") && text.contains("requestId"), "{text}");
    s.run_now(&pia(), task, [2; 16]).await.expect("another request makes another run");
}

#[tokio::test]
async fn what_is_overdue_is_skipped_by_whoever_disables_excludes_or_deletes_it() {
    let now = isochrone_domain::EpochMillis(NOON.0 + 20_000);
    let before = isochrone_domain::EpochMillis(NOON.0 - 2 * MINUTE);
    for policy in [MisfirePolicy::RunLatest, MisfirePolicy::RunAll { max: 10 }] {
        let off = Change { active: Some(false), ..Change::default() };
        let ended = Change { end: Some(Some(before)), start: Some(Some(before)), ..Change::default() };
        for (change, reason, ran) in [
            (None, Reason::SkippedDisabled, 0),
            (Some(off), Reason::SkippedDisabled, 0),
            (Some(ended), Reason::SkippedExcluded, 1),
        ] {
            let world = World::new(slow_clock_at(now)).await;
            let task = world.insert(every_minute(Policies { misfire: policy, ..allow() }), before).await.id;
            match change {
                None => world.submissions.disable(&pia(), task).await.unwrap(),
                Some(change) => world.submissions.update(&pia(), task, change).await.unwrap().task,
            };
            let rows = world.ledger(task).await;
            assert_eq!(rows.len(), 3, "each is recorded");
            assert_eq!(rows.iter().filter(|row| row.reason == reason).count(), 3 - ran, "{rows:?}");
            assert_eq!(world.task(task).await.occurrences, ran as u64);
        }
        let world = World::new(slow_clock_at(now)).await;
        let task = world.insert(every_minute(Policies { misfire: policy, ..allow() }), before).await.id;
        world.submissions.delete(&pia(), task).await.unwrap();
        assert!(world.ledger(task).await.iter().all(|row| row.reason == Reason::TaskDeleted));
    }
}

#[tokio::test]
async fn finished_tasks_leave_room_for_others() {
    let quota = Quota { per_user: Some(2), per_organization: Some(2) };
    let world = World::with_quotas(slow_clock_at(NOON), Quotas::default().with(KIND, quota)).await;
    let s = &world.submissions;
    let room = async || s.room(&pia(), "pia", &[KIND]).await.unwrap();
    let past = isochrone_domain::EpochMillis(NOON.0 - MINUTE);
    for _ in 0..5 {
        world.create(Submission { start: Some(past), end: Some(past), ..daily() }).await;
    }
    assert_eq!(room().await, Some(2), "they plan no fire and have no run");
    // One that has made its only run counts until that has ended.
    let once = world.create(Submission { max_occurrences: Some(1), ..daily() }).await.id;
    let run = s.run_now(&pia(), once, [1; 16]).await.unwrap().id;
    world.create(daily()).await;
    assert_eq!(room().await, Some(0));
    assert!(matches!(s.create(&pia(), "pia", daily()).await, Err(SubmitError::Quota(_))));
    s.cancel_run(&pia(), run).await.unwrap();
    assert_eq!(room().await, Some(1));
    world.create(daily()).await;
    let filter = TaskFilter { active: Some(true), ..TaskFilter::default() };
    assert_eq!(s.tasks(&ada(), &filter, Page { offset: 0, limit: 10 }).await.unwrap().total, 2);
}

#[tokio::test]
async fn a_backfill_runs_what_was_not_run_and_once() {
    let now = isochrone_domain::EpochMillis(NOON.0 + 20_000);
    let world = World::new(slow_clock_at(now)).await;
    let task =
        world.insert(every_minute(allow()), isochrone_domain::EpochMillis(NOON.0 - 5 * MINUTE)).await.id;
    let span = || isochrone_domain::EpochMillis(NOON.0 - 5 * MINUTE)..=now;
    let made = world.submissions.backfill(&pia(), task, span()).await.unwrap();
    assert_eq!(made.runs.len(), 5, "the latest of the six ran by the misfire policy");
    assert!(made.runs.iter().all(|run| run.planned < NOON));
    assert_eq!(world.submissions.backfill(&pia(), task, span()).await.unwrap().runs, []);
    assert_eq!(world.task(task).await.occurrences, 6);

    let paul = caller("paul", Role::Publisher);
    let refused = world.submissions.backfill(&paul, task, span()).await;
    assert!(matches!(refused, Err(SubmitError::Forbidden)), "{refused:?}");
}
