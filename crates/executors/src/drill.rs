//! Rehearsals: executes nothing, and asks a server how each attempt goes on.
//!
//! To kill, stop and cut a fleet's parts on purpose and count what was begun in a place that has no part
//! in it. The server gets `POST <url>/begin` with [`Begin`] and answers a [`Script`]; it gets
//! `POST <url>/end` with [`End`] when the attempt has ended by itself or was told to stop.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use isochrone_domain::{AttemptEnd, Reason, RunId, TaskId, TaskType};
use isochrone_worker::{Attempt, Executor};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An attempt begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begin {
    /// The run.
    pub run: RunId,
    /// Its task.
    pub task: TaskId,
    /// The attempt's number.
    pub attempt: u32,
    /// The worker's process.
    pub worker: u32,
    /// A process that works for this attempt alone.
    pub child: u32,
}

/// How an attempt shall go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// How long it takes.
    pub hold_ms: u64,
    /// Whether it succeeds then.
    pub succeed: bool,
}

/// An attempt ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The run.
    pub run: RunId,
    /// The attempt's number.
    pub attempt: u32,
    /// Whether the worker told it to stop.
    pub stopped: bool,
}

/// Stands in for a type in a rehearsal.
#[derive(Clone, Debug)]
pub struct Drill {
    kind: TaskType,
    url: String,
    http: reqwest::Client,
}

impl Drill {
    /// For a type, with the server at `url`.
    pub fn new(kind: TaskType, url: &str) -> Drill {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap_or_default();
        Drill { kind, url: url.trim_end_matches('/').to_owned(), http }
    }

    async fn carry_out(&self, attempt: &Attempt) -> Result<AttemptEnd, String> {
        let (run, number) = (attempt.run().id, attempt.run().attempt);
        let mut child = child().map_err(|error| format!("no process for the attempt: {error}"))?;
        let begin = Begin {
            run,
            task: attempt.task().id,
            attempt: number,
            worker: std::process::id(),
            child: child.id().unwrap_or_default(),
        };
        let asked = self.http.post(format!("{}/begin", self.url)).json(&begin).send().await;
        let answered = asked.and_then(reqwest::Response::error_for_status).map_err(unanswered)?;
        let script: Script = answered.json().await.map_err(unanswered)?;
        let mut work = std::pin::pin!(async {
            tokio::time::sleep(Duration::from_millis(script.hold_ms)).await;
            attempt.trust().there().await;
        });
        let mut suspended = false;
        let stopped = loop {
            tokio::select! {
                biased;
                reason = attempt.stopped() => break Some(reason),
                () = attempt.trust().over(), if !suspended => {
                    signal(&child, Signal::STOP);
                    suspended = true;
                }
                () = attempt.trust().there(), if suspended => {
                    signal(&child, Signal::CONT);
                    suspended = false;
                }
                () = &mut work => break None,
            }
        };
        child.kill().await.map_err(|error| format!("the attempt's process can't be killed: {error}"))?;
        let end = End { run, attempt: number, stopped: stopped.is_some() };
        let told = self.http.post(format!("{}/end", self.url)).json(&end).send().await;
        told.and_then(reqwest::Response::error_for_status).map_err(unanswered)?;
        Ok(match (stopped, script.succeed) {
            (Some(reason), _) => failed(Reason::Cancelled, format!("the rehearsal was stopped ({reason:?})")),
            (None, true) => AttemptEnd::Succeeded { result: "rehearsed".to_owned() },
            (None, false) => failed(Reason::ExecutionError, "the rehearsal was to fail".to_owned()),
        })
    }
}

/// A process that does nothing and ends with this one.
fn child() -> std::io::Result<Child> {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

fn unanswered(error: reqwest::Error) -> String {
    format!("the rehearsal's server did not answer: {}", error.without_url())
}

fn failed(reason: Reason, result: String) -> AttemptEnd {
    AttemptEnd::Failed { reason, result }
}

#[async_trait]
impl Executor for Drill {
    fn kind(&self) -> TaskType {
        self.kind
    }

    fn default_timeout(&self) -> Duration {
        Duration::from_hours(24)
    }

    async fn execute(&self, attempt: &Attempt) -> AttemptEnd {
        self.carry_out(attempt).await.unwrap_or_else(|why| failed(Reason::Internal, why))
    }
}
