//! What an execution means for its run.

use std::time::Duration;

use isochrone_domain::{AttemptEnd, NotebookTextError, Reason, read_notebook_as};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::config::Config;
use super::environment::EnvironmentError;
use super::limits::Excess;
use super::missing_module;
use super::supervise::{Seen, Verdict};

/// Whether there is an executed notebook with the run.
#[derive(Debug)]
pub(super) enum Kept {
    /// Under this name.
    As(String),
    /// For this reason.
    No(String),
}

impl Kept {
    /// The artifact's name.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Kept::As(name) => Some(name.clone()),
            Kept::No(_) => None,
        }
    }
}

/// Why these bytes are no notebook, if that is plain to see.
pub(crate) fn no_notebook(content: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Notebook {
        #[serde(rename = "nbformat")]
        _nbformat: IgnoredAny,
    }
    /// An error of the form repeats a text that stands in the wrong place.
    const LONGEST: usize = 300;
    let why = match read_notebook_as::<Notebook>(content) {
        Ok(_) => return None,
        Err(NotebookTextError::OtherForm(error)) => format!("the item is not a notebook: {error}"),
        Err(NotebookTextError::NotJson(error) | NotebookTextError::NotUtf8(error)) => {
            format!("the item is not a notebook, as it is not JSON: {error}")
        }
    };
    Some(why.chars().take(LONGEST).collect())
}

/// How the attempt ended.
pub(super) fn ending(seen: &Seen, kept: &Kept, took: Duration, config: &Config) -> AttemptEnd {
    if let Some(excess) = seen.excess.or_else(|| refused(seen, config)) {
        return failed(excess.reason(), excess.sentence(config));
    }
    if let (Some(reason), false) = (seen.stopped, seen.verdict == Some(Verdict::Done)) {
        return failed(Reason::Cancelled, format!("the notebook was stopped ({reason:?})"));
    }
    match &seen.verdict {
        Some(Verdict::Done) => AttemptEnd::Succeeded { result: success(seen, kept, took) },
        Some(Verdict::Refused { message }) => failed(Reason::BadInput, message.clone()),
        Some(Verdict::CellFailed { ename, evalue, cell }) => {
            let colon = if evalue.trim().is_empty() { "" } else { ": " };
            let evalue = evalue.trim_end();
            let advice = missing_module::advice(ename, evalue, config);
            let advice = advice.map_or_else(String::new, |advice| format!(": {advice}"));
            let told = format!("{ename}{colon}{evalue} (cell {cell} of {}){advice}", seen.cells);
            failed(Reason::ExecutionError, told)
        }
        Some(Verdict::Stopped { cell }) => failed(
            Reason::ProcessDied,
            format!("a process told the notebook's driver to stop (cell {cell} of {})", seen.cells),
        ),
        Some(Verdict::KernelDied { message, cell: 0 }) => {
            failed(Reason::ProcessDied, format!("the notebook's kernel died as it started: {message}"))
        }
        Some(Verdict::KernelDied { message, cell }) => failed(
            Reason::ProcessDied,
            format!("the notebook's kernel died: {message} (cell {cell} of {})", seen.cells),
        ),
        Some(Verdict::DriverFailed { message }) => {
            failed(Reason::Internal, format!("the notebook's driver failed: {message}"))
        }
        None => failed(
            Reason::ProcessDied,
            format!("the notebook's driver died ({}); the run's log may tell why", seen.exit),
        ),
    }
}

/// What the operating system refuses is no more than an error to the process that asked for it.
fn refused(seen: &Seen, config: &Config) -> Option<Excess> {
    match &seen.verdict {
        // One process alone is refused memory before all together are seen to have too much: it raises Python's
        // MemoryError, or dies of it. NumPy's is called _ArrayMemoryError.
        Some(Verdict::CellFailed { ename, .. }) if ename.ends_with("MemoryError") => Some(Excess::Memory),
        // Python's words where the limit on the user's threads holds.
        Some(Verdict::CellFailed { ename, evalue, .. })
            if ename == "RuntimeError" && evalue.starts_with("can't start new thread") =>
        {
            Some(Excess::Processes)
        }
        Some(Verdict::KernelDied { .. }) | None
            if seen.stopped.is_none() && seen.peak_memory > config.memory_bytes() / 10 * 9 =>
        {
            Some(Excess::Memory)
        }
        _ => None,
    }
}

/// A run without a Python environment.
pub(super) fn no_environment(error: &EnvironmentError) -> AttemptEnd {
    let result = error.to_string();
    match error {
        EnvironmentError::Requirement(_) => failed(Reason::BadInput, result),
        EnvironmentError::NotAllowed { .. } => {
            AttemptEnd::SubmitFailed { reason: Reason::NotAllowed, result }
        }
        EnvironmentError::NoSandbox(_) => {
            AttemptEnd::SubmitFailed { reason: Reason::BackendNotConfigured, result }
        }
        _ => AttemptEnd::SubmitFailed { reason: Reason::Internal, result },
    }
}

fn failed(reason: Reason, result: String) -> AttemptEnd {
    AttemptEnd::Failed { reason, result }
}

fn success(seen: &Seen, kept: &Kept, took: Duration) -> String {
    let mut result = json!({
        "backend": "local",
        "status": "succeeded",
        "executedCells": seen.executed,
        "totalCells": seen.cells,
        "durationMs": took.as_millis() as u64,
    });
    match kept {
        Kept::As(name) => result["outputNotebook"] = json!(name),
        Kept::No(why) => result["outputNotebookMissing"] = json!(why),
    }
    if !seen.results.is_empty() {
        result["outputs"] = json!(seen.results);
    }
    result.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_notebook_from_other_bytes() {
        assert_eq!(no_notebook(br#"{"cells": [], "nbformat": 4}"#), None);
        assert_eq!(no_notebook(b"\xef\xbb\xbf{\"nbformat\": 4}"), None);
        let with_nan =
            br#"{"x": "NaN \" Infinity", "y": [NaN, -Infinity, Infinity, {"a":NaN}], "nbformat": 4}"#;
        assert_eq!(no_notebook(with_nan), None);
        let deep = "[".repeat(10_000);
        for (bytes, word) in [
            (&b"print(1)"[..], "not JSON"),
            (b"", "not JSON"),
            (b"\xff\xfe", "not JSON"),
            (br#"{"nbformat": 4"#, "not JSON"),
            (br#"{"type": "FeatureCollection"}"#, "nbformat"),
            (b"[1, 2]", "not a notebook"),
            (br#"{"nbformat": NaN5}"#, "not JSON"),
            (br#"{"nbformat": "NaN\"#, "not JSON"),
            (deep.as_bytes(), "not a notebook"),
        ] {
            let why = no_notebook(bytes).expect("no notebook");
            assert!(why.contains(word), "{why}");
        }
    }
}
