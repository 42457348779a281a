//! The embedded store: the conformance suite, and what only it promises.

#![allow(clippy::unwrap_used)] // Tests, and what they share.

mod conformance;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use conformance::Fresh;
use conformance::ledger::EVER;
use conformance::upgrade::{Bodies, Stored};
use conformance::world::{ALL, LONG, SHORT, World, entry, fence, held, kept, new_task, succeeded};
use isochrone_domain::{Action, EpochMillis, LogLine, LogStream};
use isochrone_store::sqlite::{self, SqliteStore};
use isochrone_store::{
    AuditStore, Clock, Renewal, RunFilter, Saved, Store, StoreError, TaskFilter, TaskStore,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// Each store has a folder of its own; they go with this.
#[derive(Default)]
struct Sqlite {
    folders: Mutex<Vec<TempDir>>,
}

impl Fresh for Sqlite {
    async fn store(&self, clock: Clock) -> Arc<dyn Store> {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path(), clock).unwrap();
        self.folders.lock().unwrap().push(folder);
        Arc::new(store)
    }
}

store_conformance!(Sqlite::default());

/// A folder of its own, whose records are read and written beside the store.
struct Bare(TempDir);

impl Bare {
    fn open() -> (World, Bare) {
        let folder = tempfile::tempdir().unwrap();
        (World(Arc::new(open(folder.path()))), Bare(folder))
    }
}

fn place(of: Stored) -> (&'static str, rusqlite::types::Value) {
    match of {
        Stored::Task(id) => ("tasks WHERE id = ?1", id.as_bytes().to_vec().into()),
        Stored::Run(id) => ("runs WHERE id = ?1", id.as_bytes().to_vec().into()),
        Stored::Ann => ("users WHERE name = ?1", "Ann".to_owned().into()),
        Stored::Item(id) => ("items WHERE id = ?1", id.as_bytes().to_vec().into()),
        Stored::Grant(hash) => ("grants WHERE hash = ?1", hash.0.to_vec().into()),
    }
}

impl Bodies for Bare {
    async fn body(&self, of: Stored) -> String {
        let (place, key) = place(of);
        raw(self.0.path()).query_row(&format!("SELECT body FROM {place}"), [key], |row| row.get(0)).unwrap()
    }

    async fn put_body(&self, of: Stored, body: String) {
        let (place, key) = place(of);
        let sql = format!("UPDATE {}", place.replacen("WHERE", "SET body = ?2 WHERE", 1));
        assert_eq!(raw(self.0.path()).execute(&sql, rusqlite::params![key, body]).unwrap(), 1);
    }
}

upgrade_conformance!(async { Bare::open() });

/// The same suite where secrets are sealed.
mod sealed {
    use isochrone_store::seal::{Keyring, SealedStore};

    use super::*;

    #[derive(Default)]
    struct Sealed(Sqlite);

    impl Fresh for Sealed {
        async fn store(&self, clock: Clock) -> Arc<dyn Store> {
            let ring = Keyring::parse(&"5eed".repeat(16)).unwrap();
            let sealed = SealedStore::new(self.0.store(clock).await, Arc::new(ring));
            assert!(sealed.admit().await.unwrap().sealing.is_some());
            Arc::new(sealed)
        }
    }

    store_conformance!(Sealed::default());
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, Clock::SYSTEM).unwrap()
}

fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join("isochrone.db")).unwrap()
}

/// The error of an opening that must not succeed.
fn refusal(dir: &Path) -> StoreError {
    match SqliteStore::open(dir, Clock::SYSTEM) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn keeps_everything_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = World(Arc::new(open(dir.path())));
    let task = world.add(|_| {}).await.id;
    let run = world.fire(task).await.pop().expect("a fire was due").id;
    world.claimed(run, LONG).await;
    let line = LogLine { at: EpochMillis(1), stream: LogStream::Stdout, text: "hello".to_owned() };
    kept(world.append_log(run, fence(1), 0, std::slice::from_ref(&line)).await.unwrap());
    let before =
        (world.read_task(task).await, world.read_run(run).await, world.fires(None, EVER).await.unwrap());
    drop(world);

    let world = World(Arc::new(open(dir.path())));
    let after =
        (world.read_task(task).await, world.read_run(run).await, world.fires(None, EVER).await.unwrap());
    assert_eq!(after, before);
    assert_eq!(world.log(run, ALL).await.unwrap().rows, [line]);
    kept(world.finish(run, fence(1), succeeded(), Vec::new()).await.unwrap());
}

/// The command line opens the file beside the server.
#[tokio::test]
async fn two_stores_on_one_file_see_each_others_writes() {
    let dir = tempfile::tempdir().unwrap();
    let server = World(Arc::new(open(dir.path())));
    let command = World(Arc::new(open(dir.path())));
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (one, two) = tokio::join!(server.add(|_| {}), command.add(|_| {}));
        assert_eq!(server.read_task(two.id).await, two);
        assert_eq!(command.read_task(one.id).await, one);
        tasks.push(one);
    }
    for task in tasks {
        let (mut mine, mut theirs) = (task.clone(), task.clone());
        mine.title = "server".into();
        theirs.title = "command".into();
        let update = || entry(Action::UpdateTask, task.id);
        let (one, two) =
            tokio::join!(server.save_task(&mine, update()), command.save_task(&theirs, update()));
        let answers = [one.unwrap(), two.unwrap()];
        assert!(answers == [Saved::Done, Saved::Stale] || answers == [Saved::Stale, Saved::Done]);
        let winner = if answers[0] == Saved::Done { "server" } else { "command" };
        assert_eq!(server.read_task(task.id).await.title, winner);
    }
}

/// Writers that wait while the disk is busy share one commit.
#[tokio::test(flavor = "current_thread")]
async fn groups_the_writes_that_wait() {
    const WRITERS: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let before = store.commits();
    // As long as somebody else writes, ours wait.
    let other = raw(dir.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (store, asked) = (Arc::clone(&store), Arc::clone(&asked));
        writers.spawn(async move {
            let task = new_task(EpochMillis(0));
            asked.fetch_add(1, Ordering::Relaxed);
            store.insert_task(&task, entry(Action::CreateTask, task.id)).await.unwrap()
        });
    }
    // On this one thread a writer that has counted itself has put its write in line as well.
    while asked.load(Ordering::Relaxed) < WRITERS {
        tokio::task::yield_now().await;
    }
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(writers.join_all().await, [Saved::Done; WRITERS]);
    assert_eq!(store.tasks(&TaskFilter::default(), ALL).await.unwrap().total, WRITERS as u64);
    let commits = store.commits() - before;
    assert!(commits <= 2, "one for the first in line and one for the others, not {commits}");
}

/// A step that fails in the midst of a group takes no other with it.
#[tokio::test(flavor = "current_thread")]
async fn an_error_undoes_its_own_step_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let other = raw(dir.path());
    // Fails after its first statement: the task's row is written by then, the audit entry is not.
    other
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON audit WHEN NEW.body LIKE '%poison%'
             BEGIN SELECT raise(FAIL, 'poisoned'); END;
             BEGIN IMMEDIATE",
        )
        .unwrap();
    let mut writers = tokio::task::JoinSet::new();
    let asked = Arc::new(AtomicUsize::new(0));
    for number in 0..9 {
        let (store, asked) = (Arc::clone(&store), Arc::clone(&asked));
        writers.spawn(async move {
            let task = new_task(EpochMillis(0));
            let mut entry = entry(Action::CreateTask, task.id);
            if number % 3 == 1 {
                entry.title = "poison".into();
            }
            asked.fetch_add(1, Ordering::Relaxed);
            (number, task.id, store.insert_task(&task, entry).await)
        });
    }
    while asked.load(Ordering::Relaxed) < 9 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("COMMIT").unwrap();
    for (number, task, answer) in writers.join_all().await {
        let stored = store.task(task).await.unwrap().is_some();
        if number % 3 == 1 {
            let Err(StoreError::Unavailable(problem)) = answer else { panic!("{answer:?}") };
            assert!(problem.contains("poisoned"), "{problem}");
            assert!(!stored, "nothing of a failed step stays");
        } else {
            assert_eq!(answer.unwrap(), Saved::Done);
            assert!(stored);
        }
    }
    assert_eq!(store.audit(EVER).await.unwrap().len(), 6);
}

#[test]
fn refuses_a_newer_schema_and_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    raw(dir.path()).pragma_update(None, "user_version", 4_711).unwrap();
    let before = std::fs::read(dir.path().join("isochrone.db")).unwrap();
    let error = refusal(dir.path());
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("version 4711"), "{error}");
    assert!(error.to_string().contains("newer isochrone"), "{error}");
    assert_eq!(std::fs::read(dir.path().join("isochrone.db")).unwrap(), before);
}

#[test]
fn refuses_what_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    raw(dir.path()).execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    assert!(refusal(dir.path()).to_string().contains("another program"));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("isochrone.db"), "no database at all, but long enough".repeat(100))
        .unwrap();
    assert!(matches!(refusal(dir.path()), StoreError::Corrupt(_)));
}

#[test]
fn many_may_open_a_new_folder_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/there/yet");
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path))).collect();
        for store in opening {
            drop(store.join().unwrap());
        }
    });
}

#[tokio::test]
async fn its_files_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let world = World(Arc::new(open(&path)));
    world.add(|_| {}).await;
    let _lock = sqlite::lock(&path).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.len() >= 3, "the database, its log and the lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn one_server_has_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let held = sqlite::lock(dir.path()).unwrap();
    let Err(StoreError::InUse(problem)) = sqlite::lock(dir.path()) else { panic!("a second one has it") };
    assert!(problem.contains(&format!("process {}", std::process::id())), "{problem}");
    drop(open(dir.path()));
    drop(held);
    drop(sqlite::lock(dir.path()).unwrap());
}

/// A lease given before the clock was set back must not let the scheduler sleep until it ends.
#[tokio::test]
async fn wakes_now_for_a_lease_that_ends_too_late() {
    let dir = tempfile::tempdir().unwrap();
    let world = World(Arc::new(open(dir.path())));
    let far = EpochMillis(Clock::SYSTEM.now().0 + 1_000_000_000);
    let task = world.add(|task| task.next_fire = Some(far)).await.id;
    let run = world.request(task).await.id;
    world.claimed(run, LONG).await;
    assert!(world.next_expiry().await.unwrap() > Some(world.now().await.unwrap()));
    raw(dir.path()).execute("UPDATE runs SET lease_until = ?1", [far.0]).unwrap();
    assert!(world.next_expiry().await.unwrap() <= Some(world.now().await.unwrap()));
    assert_eq!(world.reap(world.now().await.unwrap(), 10).await.unwrap(), []);
    let now = world.now().await.unwrap();
    let wake = world.next_expiry().await.unwrap().expect("the lease lapses");
    assert!(wake > now && wake <= now + std::time::Duration::from_mins(1), "{wake}");
}

/// A task and a run that can't be read: everything else fires, expires and is listed.
#[tokio::test]
async fn what_is_damaged_keeps_nothing_else_from_being_done() {
    let dir = tempfile::tempdir().unwrap();
    let world = World(Arc::new(open(dir.path())));
    let (bad, good, other) = (world.add(|_| {}).await, world.add(|_| {}).await, world.add(|_| {}).await);
    let mut lost = Vec::new();
    for task in [bad.id, good.id, other.id] {
        let run = world.request(task).await.id;
        world.claimed(run, SHORT).await;
        lost.push(run);
    }
    let damage = |sql, id: &[u8]| assert_eq!(raw(dir.path()).execute(sql, [id]).unwrap(), 1);
    damage("UPDATE tasks SET body = '{}' WHERE id = ?1", bad.id.as_bytes());
    damage("UPDATE runs SET body = '{}' WHERE id = ?1", lost[1].as_bytes());
    let renewed = world.renew("w1", &[held(lost[1], 1), held(lost[2], 1)], SHORT).await.unwrap();
    assert_eq!(renewed, [Renewal::Unreadable, Renewal::Held { cancel: None }]);
    let now = world.now().await.unwrap() + SHORT * 2;
    world.reach(now).await;
    let due = async || -> Vec<_> {
        world.due_tasks(now, 10).await.unwrap().iter().map(|due| due.task.id).collect()
    };
    assert_eq!(due().await, [good.id, other.id]);
    let reaped = world.reap(now, 10).await.unwrap();
    assert_eq!(reaped.iter().map(|run| run.id).collect::<Vec<_>>(), [lost[2]]);
    assert_eq!(world.reap(now, 10).await.unwrap(), []);
    world.fire(good.id).await;
    world.fire(other.id).await;
    let (fire, expiry) = (world.next_fire().await.unwrap(), world.next_expiry().await.unwrap());
    assert!(fire > Some(now) && expiry > Some(now), "they are put off, not looked at all the time");
    let listed = world.tasks(&TaskFilter::default(), ALL).await.unwrap();
    assert_eq!(listed.rows.iter().map(|task| task.id).collect::<Vec<_>>(), [good.id, other.id]);
    let runs = world.runs(&RunFilter::default(), ALL).await.unwrap().rows;
    assert!(runs.iter().all(|run| run.id != lost[1]) && runs.iter().any(|run| run.id == lost[2]), "{runs:?}");
}

/// Lists stay quick when there are a million rows: no scan, no sort.
#[test]
fn lists_follow_an_index() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = raw(dir.path());
    let plan = |sql: &str| -> String {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    };
    for (sql, index) in [
        ("SELECT body FROM tasks WHERE next_fire <= 1 ORDER BY next_fire, seq", "tasks_due"),
        ("SELECT count(*) FROM runs WHERE task = x'00' AND status <> 'ended'", "runs_unfinished"),
        (
            "SELECT id FROM runs WHERE status = 'queued' AND number IS NULL AND due <= 1 ORDER BY due, seq",
            "runs_delayed",
        ),
        (
            "SELECT id FROM runs WHERE kind = 'x' AND number IS NOT NULL AND number > 1 ORDER BY number",
            "runs_outbox",
        ),
        ("SELECT body FROM runs WHERE status = 'executing' AND lease_until <= 1", "runs_leased"),
        ("SELECT max(lease_until) FROM runs WHERE status = 'executing'", "runs_leased"),
        ("SELECT body FROM runs WHERE owner = 'ann' ORDER BY planned DESC, seq DESC", "runs_of_owner"),
        ("SELECT body FROM runs WHERE task = x'00' ORDER BY planned DESC, seq DESC", "runs_of_task"),
        ("SELECT body FROM runs ORDER BY planned DESC, seq DESC", "runs_planned"),
    ] {
        let plan = plan(sql);
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}
