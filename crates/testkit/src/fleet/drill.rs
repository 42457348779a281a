//! The server that rehearsing workers ask; it counts what they begin.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use isochrone_domain::{RunId, TaskId};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// How an attempt shall go on.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// How long it takes, in milliseconds.
    pub hold_ms: u64,
    /// Whether it succeeds then.
    pub succeed: bool,
}

/// What a worker says when it begins an attempt.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begin {
    run: RunId,
    task: TaskId,
    attempt: u32,
    worker: u32,
    child: u32,
}

/// What a worker says when it ends one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct End {
    run: RunId,
    attempt: u32,
    stopped: bool,
}

/// An attempt that was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Its run's task.
    pub task: TaskId,
    /// Its run.
    pub run: RunId,
    /// Its number.
    pub attempt: u32,
    /// The worker's process.
    pub worker: u32,
    /// The process that works for this attempt alone.
    pub child: u32,
    /// When it began.
    pub at: Instant,
    /// When it ended, if it did so in peace, and whether it was told to stop.
    pub ended: Option<(Instant, bool)>,
}

#[derive(Default)]
struct Book {
    /// By run and attempt.
    begun: BTreeMap<(RunId, u32), Begun>,
    /// Beginnings of one attempt beyond its first.
    doubled: Vec<(RunId, u32)>,
    /// Attempts that began while an earlier one of their run still worked in a process that was not
    /// stopped: two with a valid lease at once.
    overlapped: Vec<(RunId, u32)>,
}

type Write = Box<dyn FnMut(&Begun) -> Script + Send>;

struct Shared {
    book: Mutex<Book>,
    script: Mutex<Write>,
}

/// The server that rehearsing workers ask. A clone is the same one.
#[derive(Clone)]
pub struct DrillServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl DrillServer {
    /// A server whose attempts succeed at once.
    pub async fn start() -> Result<DrillServer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let at_once = Box::new(|_: &Begun| Script { hold_ms: 0, succeed: true });
        let shared = Arc::new(Shared { book: Mutex::default(), script: Mutex::new(at_once) });
        let router = Router::new()
            .route("/begin", post(begin))
            .route("/end", post(end))
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(DrillServer { address, shared })
    }

    /// What workers are given as `worker.drill_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How attempts go on from now on.
    pub fn script(&self, write: impl FnMut(&Begun) -> Script + Send + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(write);
    }

    /// Every attempt that was begun, by run and number.
    pub fn begun(&self) -> Vec<Begun> {
        self.book().begun.values().cloned().collect()
    }

    /// How many attempts were begun.
    pub fn count(&self) -> usize {
        self.book().begun.len()
    }

    /// Attempts that were begun more than once.
    pub fn doubled(&self) -> Vec<(RunId, u32)> {
        self.book().doubled.clone()
    }

    /// Attempts that began while an earlier one of their run worked with a valid lease.
    pub fn overlapped(&self) -> Vec<(RunId, u32)> {
        self.book().overlapped.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book()
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn begin(State(shared): State<Arc<Shared>>, Json(begin): Json<Begin>) -> Json<Script> {
    let Begin { run, task, attempt, worker, child } = begin;
    let begun = Begun { task, run, attempt, worker, child, at: Instant::now(), ended: None };
    let mut book = shared.book();
    let earlier = book.begun.range((run, 0)..(run, attempt)).map(|(_, earlier)| earlier);
    if earlier.filter(|earlier| earlier.ended.is_none()).any(works) {
        book.overlapped.push((run, attempt));
    }
    if book.begun.insert((run, attempt), begun.clone()).is_some() {
        book.doubled.push((run, attempt));
    }
    drop(book);
    let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
    Json(script(&begun))
}

async fn end(State(shared): State<Arc<Shared>>, Json(end): Json<End>) {
    if let Some(begun) = shared.book().begun.get_mut(&(end.run, end.attempt)) {
        begun.ended = Some((Instant::now(), end.stopped));
    }
}

/// Whether the attempt's own process works, that is, is not suspended, and its worker can do something about that: one that
/// is stopped by a signal can't, and is fenced by the store.
fn works(attempt: &Begun) -> bool {
    lives(attempt.child)
        && state(attempt.child) != Some('T')
        && lives(attempt.worker)
        && state(attempt.worker) != Some('T')
}

/// Whether there is such a process, and it has not ended.
pub fn lives(pid: u32) -> bool {
    matches!(state(pid), Some(state) if state != 'Z' && state != 'X')
}

/// The process's state, as proc(5) has it: `T` where a signal has stopped it.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}
