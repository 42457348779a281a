//! Many notebooks, each with how it ends.

use std::sync::Arc;

use isochrone_domain::{AttemptEnd, Reason};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bench::{Bench, Outcome, cell, notebook};

/// So many are executed at once.
const AT_ONCE: usize = 3;

/// How a notebook ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Succeeds,
    /// For this reason, with words in which this stands.
    Fails(Reason, &'static str),
}

/// A notebook and what comes of it.
pub(crate) struct Row {
    name: String,
    bench: Bench,
    end: End,
    logged: Vec<&'static str>,
    never_logged: Vec<&'static str>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, bench: Bench, end: End) -> Row {
        Row { name: name.into(), bench, end, logged: Vec::new(), never_logged: Vec::new() }
    }

    /// One of these cells.
    pub(crate) fn cells(name: &str, sources: &[&str], end: End) -> Row {
        let cells: Vec<_> = sources.iter().map(|source| cell(source)).collect();
        Row::new(name, Bench::new(notebook(&cells)), end)
    }

    /// A line of the log has this.
    pub(crate) fn logs(mut self, text: &'static str) -> Row {
        self.logged.push(text);
        self
    }

    /// No line of the log has this.
    pub(crate) fn never_logs(mut self, text: &'static str) -> Row {
        self.never_logged.push(text);
        self
    }

    async fn problems(self) -> Vec<String> {
        let outcome = self.bench.run().await;
        let mut problems = Vec::new();
        match (self.end, &outcome.end) {
            (End::Succeeds, AttemptEnd::Succeeded { .. }) => {}
            (End::Fails(expected, words), AttemptEnd::Failed { reason, result })
                if expected == *reason && result.contains(words) && !result.contains('\x1b') => {}
            (expected, end) => problems.push(format!("expected {expected:?}, but: {end:?}")),
        }
        let has = |text: &str| outcome.log.iter().any(|(_, line)| line.contains(text));
        problems.extend(
            self.logged.iter().filter(|text| !has(text)).map(|text| format!("{text:?} is not logged")),
        );
        problems.extend(
            self.never_logged.iter().filter(|text| has(text)).map(|text| format!("{text:?} is logged")),
        );
        if !problems.is_empty() {
            problems.push(format!("log: {:?}", shortened(&outcome)));
        }
        problems.iter().map(|problem| format!("{}: {problem}", self.name)).collect()
    }
}

fn shortened(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.log.iter().map(|(_, line)| line.chars().take(200).collect());
    lines.take(30).collect()
}

/// Executes them all, some at once, and fails with everything that is not as it should be.
pub(crate) async fn check(rows: Vec<Row>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for row in rows {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            row.problems().await
        });
    }
    let problems: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
