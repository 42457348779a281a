//! The ledger of fires and the log of who did what.

use std::ops::Range;
use std::time::Duration;

use isochrone_domain::{Action, AuditEntry, EpochMillis, Outcome, Reason, TaskId};

use super::Fresh;
use super::world::{LONG, World, entry, fence, kept, succeeded};

/// All of time.
pub(crate) const EVER: Range<EpochMillis> = EpochMillis(0)..EpochMillis::MAX;

pub(crate) async fn shows_fires_of_a_span_and_a_task(fresh: &impl Fresh) {
    const MINUTE: Duration = Duration::from_mins(1);
    let world = World::new(fresh).await;
    let now = world.now().await.unwrap();
    let first = EpochMillis(now.0.div_euclid(60_000) * 60_000) - MINUTE * 5;
    let task = world.add(|task| task.next_fire = Some(first)).await.id;
    let other = world.add(|task| task.next_fire = Some(first + MINUTE)).await.id;
    world.fire(task).await;
    world.fire(other).await;

    let planned = async |task, span| -> Vec<(TaskId, EpochMillis)> {
        let rows = world.fires(task, span).await.unwrap();
        rows.iter().map(|row| (row.task, row.planned)).collect()
    };
    let span = first..first + MINUTE * 2;
    assert_eq!(planned(Some(task), span.clone()).await, [(task, first), (task, first + MINUTE)]);
    assert_eq!(planned(Some(other), span.clone()).await, [(other, first + MINUTE)]);
    assert_eq!(planned(None, span).await.len(), 3);
    assert_eq!(planned(Some(TaskId::random()), EVER).await, []);
    let all: Vec<_> = planned(None, EVER).await.iter().map(|(_, planned)| *planned).collect();
    assert!(all.is_sorted(), "the oldest first: {all:?}");
    assert!(all.len() >= 9, "five and four minutes have passed");
}

pub(crate) async fn follows_a_run_to_its_end(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world.add(|_| {}).await;
    let fired = world.fire(task.id).await;
    let run = fired.last().expect("a fire was due");
    let row = async || {
        let rows = world.fires(Some(task.id), EVER).await.unwrap();
        rows.into_iter().find(|row| row.fire == run.fire).expect("each fire has a row")
    };
    let decided = row().await;
    assert_eq!((decided.task, decided.run, decided.planned), (task.id, run.id, run.planned));
    assert_eq!((decided.kind, &decided.owner, &decided.title), (task.kind, &task.owner, &task.title));
    assert_eq!((decided.generation, decided.decided), (Some(task.generation), run.created));
    assert_eq!((decided.reason, decided.started, decided.outcome), (run.fired, None, None));

    let started = world.claimed(run.id, LONG).await.run.started;
    assert_eq!((row().await.started, row().await.outcome), (started, None));
    kept(world.finish(run.id, fence(1), succeeded(), Vec::new()).await.unwrap());
    let ended = row().await;
    let (outcome, reason, at) = ended.outcome.expect("it has ended");
    assert_eq!((outcome, reason, ended.started), (Outcome::Succeeded, Reason::Done, started));
    assert!(Some(at) >= started);

    let asked = world.request(task.id).await;
    let rows = world.fires(Some(task.id), EVER).await.unwrap();
    let row = rows.iter().find(|row| row.run == asked.id).expect("a request is in the ledger too");
    assert_eq!((row.generation, row.reason), (None, Reason::Requested));
}

pub(crate) async fn shows_what_was_done_in_a_span(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut entries = Vec::new();
    for at in [30, 10, 20, 20] {
        let entry = AuditEntry {
            at: EpochMillis(at),
            title: format!("number {}", entries.len()),
            ..entry(Action::SetUser, TaskId::random())
        };
        world.note(entry.clone()).await.unwrap();
        entries.push(entry);
    }
    let [thirty, ten, twenty, later] = <[AuditEntry; 4]>::try_from(entries).expect("four were made");
    let audit = async |from, to| world.audit(EpochMillis(from)..EpochMillis(to)).await.unwrap();
    assert_eq!(audit(0, 100).await, [ten.clone(), twenty.clone(), later.clone(), thirty.clone()]);
    assert_eq!(audit(20, 30).await, [twenty, later]);
    assert_eq!(audit(0, 11).await, [ten]);
    assert_eq!(audit(31, 100).await, []);
    assert_eq!(audit(30, 31).await, [thirty]);
}
