//! Whether all duties have nothing to do: for those who watch a scheduler.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use isochrone_domain::EpochMillis;

use crate::Wake;
use crate::event::{Event, Events};

/// Tells when the last of the duties has nothing more to do.
pub(super) struct Idle {
    wake: Wake,
    events: Events,
    duties: Mutex<BTreeMap<u64, State>>,
}

/// A duty's.
#[derive(Clone, Copy)]
enum State {
    Busy,
    /// Since a look after so many wakes.
    Idle {
        wakes: u64,
        until: Option<EpochMillis>,
    },
}

impl Idle {
    pub(super) fn new(wake: Wake, events: Events) -> Idle {
        Idle { wake, events, duties: Mutex::default() }
    }

    fn duties(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, State>> {
        // Each change is one step.
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more duty. It is busy at first.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let mut duties = self.duties();
        let id = duties.last_key_value().map_or(0, |(last, _)| last + 1);
        duties.insert(id, State::Busy);
        Place { idle: Arc::clone(self), id }
    }
}

/// One duty's place.
pub(super) struct Place {
    idle: Arc<Idle>,
    id: u64,
}

impl Place {
    pub(super) fn busy(&self) {
        self.idle.duties().insert(self.id, State::Busy);
    }

    /// The duty has nothing to do until then, as it saw after so many wakes.
    pub(super) fn idle(&self, wakes: u64, until: Option<EpochMillis>) {
        let mut duties = self.idle.duties();
        duties.insert(self.id, State::Idle { wakes, until });
        let now = self.idle.wake.count();
        let mut earliest: Option<EpochMillis> = None;
        for state in duties.values() {
            match state {
                State::Idle { wakes, until } if *wakes == now => {
                    earliest = [earliest, *until].into_iter().flatten().min();
                }
                State::Idle { .. } | State::Busy => return,
            }
        }
        self.idle.events.tell(Event::Idle { until: earliest });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.idle.duties().remove(&self.id);
    }
}
