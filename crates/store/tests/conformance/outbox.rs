//! What is to be published, and when there is something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isochrone_domain::{AttemptEnd, EpochMillis, RunId, RunStatus, TaskType, disable};
use isochrone_store::{Backlog, PublishedThrough};

use super::Fresh;
use super::world::{KIND, LONG, World, failed, fence, held, kept, succeeded};

pub(crate) async fn holds_a_run_until_it_is_claimed(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    assert_eq!(world.outbox().await, [run]);
    let published = world.published_all().await;
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.published_through(KIND).await.unwrap(), published);
    assert_eq!(world.unclaimed(KIND, &published).await.unwrap(), 1);
    assert_eq!(world.unclaimed(TaskType::GPService, &published).await.unwrap(), 0);
    world.claimed(run, LONG).await;
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.unclaimed(KIND, &published).await.unwrap(), 0);
}

/// A leader that died had published more than it said: that is published again, and nothing is left out.
pub(crate) async fn holds_what_was_not_said_to_be_published(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut runs = vec![world.some_run().await.id];
    let said = world.published_all().await;
    for _ in 0..3 {
        runs.push(world.some_run().await.id);
    }
    assert_eq!(world.published_through(KIND).await.unwrap(), said);
    // Those of one millisecond are in the order of their shards.
    let in_any_order = |runs: &[RunId]| runs.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(in_any_order(&world.outbox().await), in_any_order(&runs[1..]));
    assert_eq!(world.published_through(TaskType::GPService).await.unwrap(), PublishedThrough::default());
}

pub(crate) async fn holds_a_run_again_for_each_attempt(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    world.published_all().await;
    world.carried_out(run, AttemptEnd::GivenBack).await;
    let RunStatus::Queued { due } = world.read_run(run).await.status else { panic!("it was given back") };
    world.reach(due).await;
    world.queue_delayed(world.now().await.unwrap(), 10).await.unwrap();
    assert_eq!(world.outbox().await, [run]);
    world.published_all().await;
    world.lost(run).await;
    assert_eq!(world.outbox().await, [run]);
    world.carried_out(run, succeeded()).await;
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.unclaimed(KIND, &world.published_all().await).await.unwrap(), 0);
}

pub(crate) async fn holds_a_retry_until_it_is_due(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let task = world
        .add(|task| {
            task.policies.retry.max_retries = 1;
            task.policies.retry.backoff_ms = 60_000;
        })
        .await;
    let run = world.request(task.id).await.id;
    let RunStatus::Queued { due } = world.carried_out(run, failed()).await.status else {
        panic!("a retry is left");
    };
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.outbox_state().await.unwrap().delayed, Some(due));
    assert_eq!(world.queue_delayed(EpochMillis(due.0 - 1), 10).await.unwrap(), 0);
    assert_eq!(world.queue_delayed(due, 10).await.unwrap(), 1);
    assert_eq!(world.outbox().await, [run]);
    assert_eq!(world.outbox_state().await.unwrap().delayed, None);
    assert_eq!(world.queue_delayed(due, 10).await.unwrap(), 0);
}

pub(crate) async fn gives_the_longest_due_first(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        let run = world.some_run().await;
        made.push(run.id);
        // A due time of its own for each.
        world.reach(run.created + Duration::from_millis(1)).await;
    }
    let ids = async |limit| -> Vec<_> {
        let entries = world.unpublished(KIND, &PublishedThrough::default(), limit).await.unwrap();
        entries.iter().map(|entry| entry.run).collect()
    };
    assert_eq!(ids(100).await, made);
    assert_eq!(ids(2).await, made[..2]);
    assert_eq!(ids(0).await, []);
}

/// What a queue lost is published again, each in its turn.
pub(crate) async fn numbers_what_was_lost_anew(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let run = world.some_run().await;
        runs.push(run.id);
        world.reach(run.created + Duration::from_millis(1)).await;
    }
    let published = world.published_all().await;
    assert_eq!(world.requeue(KIND, &published, 1).await.unwrap(), 1);
    let sorted = async || {
        let mut outbox = world.outbox().await;
        outbox.sort_unstable();
        outbox
    };
    runs.sort_unstable();
    let first = world.outbox().await;
    assert_eq!(first.len(), 1);
    assert_eq!(world.unclaimed(KIND, &published).await.unwrap(), 2);
    let published = world.published_all().await;
    assert_eq!(world.requeue(KIND, &published, 2).await.unwrap(), 2, "the others have their turn");
    let others: Vec<_> = runs.iter().copied().filter(|run| *run != first[0]).collect();
    assert_eq!(sorted().await, others);
    let published = world.published_all().await;
    world.claimed(others[0], LONG).await;
    assert_eq!(world.requeue(KIND, &published, 10).await.unwrap(), 2, "no more than there are");
    assert_eq!(world.requeue(KIND, &published, 10).await.unwrap(), 0);
    assert_eq!(sorted().await, runs.into_iter().filter(|run| *run != others[0]).collect::<Vec<_>>());
}

/// Whoever looks learns that there is something new without reading it.
pub(crate) async fn tells_when_something_is_new(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let last = async || world.outbox_state().await.unwrap().last;
    let before = last().await;
    let run = world.some_run().await.id;
    let after = last().await;
    assert_ne!(before, after);
    world.published_all().await;
    world.claimed(run, LONG).await;
    assert_eq!(last().await, after, "what leaves is nothing new");
}

pub(crate) async fn counts_what_waits(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let backlog = async || world.backlog().await.unwrap();
    assert_eq!(backlog().await, Backlog::default());
    let (first, second) = (world.some_run().await, world.some_run().await);
    let RunStatus::Queued { due } = first.status else { panic!("{:?}", first.status) };
    let both = BTreeMap::from([(KIND, 2)]);
    let found = backlog().await;
    assert_eq!((&found.queued, found.unpublished), (&both, 2));
    assert!(
        found.oldest.is_some_and(|oldest| oldest >= due && oldest <= due + Duration::from_secs(1)),
        "{found:?}"
    );
    world.published_all().await;
    assert_eq!(backlog().await, Backlog { queued: both, ..Backlog::default() });
    world.claimed(first.id, LONG).await;
    assert_eq!(backlog().await.queued, BTreeMap::from([(KIND, 1)]));
    world.carried_out(second.id, succeeded()).await;
    assert_eq!(backlog().await, Backlog::default());
}

pub(crate) async fn knows_the_next_thing_to_do(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let fire = async || world.next_fire().await.unwrap();
    let expiry = async || world.next_expiry().await.unwrap();
    assert_eq!((fire().await, expiry().await), (None, None));
    world.add(|task| *task = disable(task, task.created)).await;
    assert_eq!(fire().await, None, "a paused task plans nothing");

    let far = EpochMillis(world.now().await.unwrap().0 + 1_000_000_000);
    let task = world.add(|task| task.next_fire = Some(far)).await;
    assert_eq!(fire().await, Some(far));
    world.add(|task| task.next_fire = Some(EpochMillis(far.0 + 1))).await;
    assert_eq!(fire().await, Some(far));

    let run = world.request(task.id).await;
    assert_eq!((fire().await, expiry().await), (Some(far), None));
    let ends = async |before: EpochMillis, lease| {
        let end = expiry().await.expect("the lease ends");
        assert!(end >= before + lease && end <= world.now().await.unwrap() + lease, "{before} {end}");
    };
    let before = world.now().await.unwrap();
    world.claimed(run.id, LONG / 2).await;
    ends(before, LONG / 2).await;
    let (held, before) = (held(run.id, 1), world.now().await.unwrap());
    world.renew("w1", &[held], LONG).await.unwrap();
    ends(before, LONG).await;
    kept(world.finish(run.id, fence(1), succeeded(), Vec::new()).await.unwrap());
    assert_eq!(expiry().await, None);
}
