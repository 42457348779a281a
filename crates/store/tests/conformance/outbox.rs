//! What is to be published, and when there is something to do.

use std::collections::BTreeMap;
use std::time::Duration;

use isochrone_domain::{AttemptEnd, EpochMillis, RunStatus, TaskType, disable};
use isochrone_store::{Backlog, Unclaimed};

use super::Fresh;
use super::world::{KIND, LONG, World, failed, fence, held, kept, succeeded};

const LATER: EpochMillis = EpochMillis::MAX;

pub(crate) async fn holds_a_run_until_it_is_published(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let message = Unclaimed { run, kind: KIND, attempt: 0 };
    assert_eq!(world.outbox().await, [message]);
    assert_eq!(world.unclaimed(KIND, LATER, 10).await.unwrap(), []);
    world.mark_published(&[message]).await.unwrap();
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.unclaimed(KIND, LATER, 10).await.unwrap(), [message]);
    world.claimed(run, LONG).await;
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.unclaimed(KIND, LATER, 10).await.unwrap(), []);
}

pub(crate) async fn holds_a_run_again_for_each_attempt(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let first = Unclaimed { run, kind: KIND, attempt: 0 };
    world.mark_published(&[first]).await.unwrap();
    world.carried_out(run, AttemptEnd::GivenBack).await;
    let second = Unclaimed { attempt: 1, ..first };
    assert_eq!(world.outbox().await, [second]);
    // The publisher of the first time is late.
    world.mark_published(&[first]).await.unwrap();
    assert_eq!(world.outbox().await, [second]);
    world.mark_published(&[second]).await.unwrap();
    assert_eq!(world.outbox().await, []);

    world.lost(run).await;
    assert_eq!(world.outbox().await, [Unclaimed { attempt: 2, ..first }]);
    world.carried_out(run, succeeded()).await;
    assert_eq!(world.outbox().await, []);
    world.mark_published(&[Unclaimed { attempt: 3, ..first }]).await.unwrap();
    assert_eq!(world.unclaimed(KIND, LATER, 10).await.unwrap(), []);
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
    let retry = Unclaimed { run, kind: KIND, attempt: 1 };
    assert_eq!(world.outbox().await, []);
    assert_eq!(world.unpublished(EpochMillis(due.0 - 1), 10).await.unwrap(), []);
    assert_eq!(world.unpublished(due, 10).await.unwrap(), [retry]);
}

pub(crate) async fn gives_the_longest_due_first(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let mut asked = Vec::new();
    for _ in 0..5 {
        let run = world.some_run().await;
        asked.push(run.id);
        // A due time of its own for each.
        world.reach(run.created + Duration::from_millis(1)).await;
    }
    let now = world.now().await.unwrap();
    let ids = async |limit| -> Vec<_> {
        world.unpublished(now, limit).await.unwrap().iter().map(|message| message.run).collect()
    };
    assert_eq!(ids(100).await, asked);
    assert_eq!(ids(2).await, asked[..2]);
}

pub(crate) async fn knows_what_nobody_claimed(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let run = world.some_run().await.id;
    let message = Unclaimed { run, kind: KIND, attempt: 0 };
    let before = world.now().await.unwrap();
    world.mark_published(&[message]).await.unwrap();
    assert_eq!(world.unclaimed(KIND, before, 10).await.unwrap(), [], "it was published later");
    assert_eq!(world.unclaimed(TaskType::GPService, LATER, 10).await.unwrap(), []);
    let published = EpochMillis(world.now().await.unwrap().0 + 1);
    assert_eq!(world.unclaimed(KIND, published, 10).await.unwrap(), [message]);
    // Published once more, it has its time again.
    world.reach(published).await;
    world.mark_published(&[message]).await.unwrap();
    assert_eq!(world.unclaimed(KIND, published, 10).await.unwrap(), []);
    assert_eq!(world.unclaimed(KIND, LATER, 0).await.unwrap(), []);
}

pub(crate) async fn counts_what_waits(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let backlog = async || world.backlog(world.now().await.unwrap()).await.unwrap();
    assert_eq!(backlog().await, Backlog::default());
    let (first, second) = (world.some_run().await, world.some_run().await);
    let RunStatus::Queued { due } = first.status else { panic!("{:?}", first.status) };
    let both = BTreeMap::from([(KIND, 2)]);
    assert_eq!(backlog().await, Backlog { queued: both.clone(), unpublished: 2, oldest: Some(due) });
    let message = |run| Unclaimed { run, kind: KIND, attempt: 0 };
    world.mark_published(&[message(first.id), message(second.id)]).await.unwrap();
    assert_eq!(backlog().await, Backlog { queued: both, ..Backlog::default() });
    world.claimed(first.id, LONG).await;
    assert_eq!(backlog().await.queued, BTreeMap::from([(KIND, 1)]));
    let earlier = EpochMillis(due.0 - 1);
    world.carried_out(second.id, AttemptEnd::GivenBack).await;
    assert_eq!(world.backlog(earlier).await.unwrap(), Backlog::default(), "it is due later");
}

pub(crate) async fn wakes_for_the_earliest_thing_to_do(fresh: &impl Fresh) {
    let world = World::new(fresh).await;
    let wake = async || world.next_wake().await.unwrap();
    assert_eq!(wake().await, None);
    world.add(|task| *task = disable(task, task.created)).await;
    assert_eq!(wake().await, None, "a paused task plans nothing");

    let far = EpochMillis(world.now().await.unwrap().0 + 1_000_000_000);
    let task = world.add(|task| task.next_fire = Some(far)).await;
    assert_eq!(wake().await, Some(far));
    world.add(|task| task.next_fire = Some(EpochMillis(far.0 + 1))).await;
    assert_eq!(wake().await, Some(far));

    let run = world.request(task.id).await;
    assert_eq!(run.status, RunStatus::Queued { due: wake().await.expect("the run is due") });
    world.mark_published(&[Unclaimed { run: run.id, kind: KIND, attempt: 0 }]).await.unwrap();
    assert_eq!(wake().await, Some(far), "a published run is the workers' matter");

    let ends = async |before: EpochMillis, lease| {
        let end = wake().await.expect("the lease lapses");
        assert!(end >= before + lease && end <= world.now().await.unwrap() + lease, "{before} {end}");
    };
    let before = world.now().await.unwrap();
    world.claimed(run.id, LONG / 2).await;
    ends(before, LONG / 2).await;
    let (held, before) = (held(run.id, 1), world.now().await.unwrap());
    world.renew("w1", &[held], LONG).await.unwrap();
    ends(before, LONG).await;
    kept(world.finish(run.id, fence(1), succeeded(), Vec::new()).await.unwrap());
    assert_eq!(wake().await, Some(far));
}
