//! What happened, in order: a digest of it always, its lines if somebody wants to read them.

use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Display, Write};
use std::hash::Hasher;
use std::sync::{Mutex, PoisonError};

/// What happened so far.
pub(crate) struct Trace(Mutex<State>);

struct State {
    digest: DefaultHasher,
    events: u64,
    lines: Option<Vec<String>>,
}

/// Feeds text to a hash without keeping it.
struct Digested<'a>(&'a mut DefaultHasher);

impl Write for Digested<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl Trace {
    /// `kept`: its lines can be read at the end.
    pub(crate) fn new(kept: bool) -> Trace {
        let lines = kept.then(Vec::new);
        Trace(Mutex::new(State { digest: DefaultHasher::new(), events: 0, lines }))
    }

    /// Adds an event.
    pub(crate) fn add(&self, at_ms: i64, event: impl Display) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.events += 1;
        let State { digest, lines, .. } = &mut *state;
        digest.write_i64(at_ms);
        // A hash takes every text.
        let _ = write!(Digested(digest), "{event}");
        if let Some(lines) = lines {
            let (minutes, ms) = (at_ms.div_euclid(60_000), at_ms.rem_euclid(60_000));
            lines.push(format!("{minutes:>4}:{:02}.{:03} {event}", ms / 1_000, ms % 1_000));
        }
    }

    /// Adds something that happens too often to have a line.
    pub(crate) fn add_number(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).digest.write_u64(number);
    }

    /// The digest of all, how many events there were, and their lines.
    pub(crate) fn end(&self) -> (u64, u64, Vec<String>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (state.digest.finish(), state.events, state.lines.take().unwrap_or_default())
    }
}
