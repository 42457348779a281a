//! How long the embedded store takes for what a busy minute asks of it: `cargo bench -p isochrone-store`.

#![allow(clippy::unwrap_used)] // A measurement that fails has nothing to tell.

mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use isochrone_domain::TaskType;
use isochrone_store::sqlite::SqliteStore;
use isochrone_store::{Clock, PublishedThrough, Store};
use work::{claim, finish, insert, plan, report, timed};

const TASKS: usize = 10_000;
const DUE: usize = 100;
const ROUNDS: usize = 30;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());

    let commits = sqlite.commits();
    let store: Arc<dyn Store> = Arc::<SqliteStore>::clone(&sqlite);
    let inserted = timed(insert(&store, TASKS)).await;
    let commits = sqlite.commits() - commits;
    println!("insert of {TASKS} tasks, each its own step: {inserted:?} in {commits} commits");
    drop((store, sqlite));

    let mut openings = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        drop(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());
        openings.push(start.elapsed());
    }
    report("open and close", openings);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path(), Clock::SYSTEM).unwrap());

    let mut published = PublishedThrough::default();
    let mut times: [Vec<Duration>; 7] = Default::default();
    for _ in 0..ROUNDS {
        let now = Clock::SYSTEM.now();
        times[0].push(timed(async { store.next_fire().await.unwrap() }).await);
        let start = Instant::now();
        let due = store.due_tasks(now, DUE as u64).await.unwrap();
        times[1].push(start.elapsed());
        assert_eq!(due.len(), DUE);
        let commits: Vec<_> = due.into_iter().map(|due| plan(&due.task, due.unfinished, now)).collect();
        let runs: Vec<_> = commits.iter().flat_map(|commit| commit.runs.iter().map(|run| run.id)).collect();
        times[2].push(timed(async { store.commit_fires(commits).await.unwrap() }).await);
        let start = Instant::now();
        let outbox = store.unpublished(TaskType::ExecuteReport, &published, DUE as u64).await.unwrap();
        times[3].push(start.elapsed());
        published.0.extend(outbox.iter().map(|entry| (entry.shard, entry.number)));
        times[4].push(
            timed(async { store.set_published_through(TaskType::ExecuteReport, &published).await.unwrap() })
                .await,
        );
        times[5].push(timed(claim(&store, &runs)).await);
        times[6].push(timed(finish(&store, &runs)).await);
    }
    let [wake, due, fired, outbox, marked, claimed, finished] = times;
    report(&format!("next_fire, {TASKS} tasks"), wake);
    report(&format!("due_tasks({DUE}), {TASKS} tasks"), due);
    report(&format!("commit_fires of {DUE} tasks in one call"), fired);
    report(&format!("unpublished({DUE})"), outbox);
    report("set_published_through", marked);
    report(&format!("{DUE} concurrent claims, all of them"), claimed);
    report(&format!("{DUE} concurrent finishes, all of them"), finished);
}
