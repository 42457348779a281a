//! What the processes of a simulated fleet share: time, chance, the store's server, the broker, and the witness.

use std::fmt::Display;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isochrone_domain::EpochMillis;
use isochrone_store::redis::model::Server;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::network::Weather;
use crate::planted::Bug;
use crate::trace::Trace;
use crate::work::Witness;

/// When every simulation begins: a Tuesday, at noon.
pub(crate) const BEGINS: EpochMillis = EpochMillis(1_893_499_200_000);

/// More than a store forgets that fails over, in milliseconds.
const FORGOTTEN_MS: i64 = 10_000;

/// After a failover so many milliseconds workers are given to renew their leases: a store that is down for some
/// seconds, and two renewals.
const RENEWED_MS: i64 = 20_000;

pub(crate) struct World {
    began: Instant,
    pub(crate) trace: Trace,
    /// Decides latencies and losses.
    chance: Mutex<fastrand::Rng>,
    server: Mutex<Server>,
    weather: Mutex<Weather>,
    pub(crate) broker: Broker,
    pub(crate) witness: Witness,
    /// A bug that all processes have.
    pub(crate) bug: Option<Bug>,
    violations: Mutex<Vec<String>>,
    /// When something went wrong that may cost a worker its runs.
    excuses: Mutex<Vec<Range<EpochMillis>>>,
    /// When the store forgot its last writes.
    failovers: Mutex<Vec<EpochMillis>>,
}

/// One process of the fleet.
pub(crate) struct Process {
    pub(crate) name: String,
    /// It was killed: whatever it still does reaches nobody.
    pub(crate) dead: CancellationToken,
    /// It shall end by itself.
    pub(crate) shutdown: CancellationToken,
}

impl Process {
    pub(crate) fn new(name: String) -> Arc<Process> {
        Arc::new(Process { name, dead: CancellationToken::new(), shutdown: CancellationToken::new() })
    }

    /// Never answers once the process is dead: what it was about to do does not happen.
    pub(crate) async fn alive(&self) {
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool, bug: Option<Bug>) -> Arc<World> {
        Arc::new(World {
            began: Instant::now(),
            trace: Trace::new(traced),
            chance: Mutex::new(fastrand::Rng::with_seed(seed ^ 0x6e65_7477_6f72_6b00)),
            server: Mutex::new(Server::new()),
            weather: Mutex::new(Weather::default()),
            broker: Broker::new(),
            witness: Witness::default(),
            bug,
            violations: Mutex::default(),
            excuses: Mutex::default(),
            failovers: Mutex::default(),
        })
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn chance(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.chance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, event: impl Display) {
        self.trace.add(self.elapsed().as_millis() as i64, event);
    }

    /// The world's time, which no fault changes.
    pub(crate) fn now(&self) -> EpochMillis {
        BEGINS + self.elapsed()
    }

    /// Until then a worker may lose runs.
    pub(crate) fn excuse(&self, lasts: Duration) {
        let span = self.now()..self.now() + lasts;
        self.excuses.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    /// Whether something went wrong in a span of time that may cost a worker its runs.
    pub(crate) fn is_excused(&self, from: EpochMillis, to: EpochMillis) -> bool {
        let excuses = self.excuses.lock().unwrap_or_else(PoisonError::into_inner);
        excuses.iter().any(|span| span.start <= to && from <= span.end)
    }

    /// The store forgets what was written within the last moments.
    pub(crate) fn failed_over(&self) {
        self.failovers.lock().unwrap_or_else(PoisonError::into_inner).push(self.now());
    }

    /// Whether workers have not had the time yet to renew what the store has forgotten.
    pub(crate) fn has_just_failed_over(&self) -> bool {
        let failovers = self.failovers.lock().unwrap_or_else(PoisonError::into_inner);
        failovers.last().is_some_and(|at| self.now().since(*at) < RENEWED_MS)
    }

    /// Whether the store may have forgotten what was written at this moment.
    pub(crate) fn may_have_forgotten(&self, written: EpochMillis) -> bool {
        let failovers = self.failovers.lock().unwrap_or_else(PoisonError::into_inner);
        failovers.iter().any(|at| *at >= written && at.since(written) < FORGOTTEN_MS)
    }

    /// A promise is broken.
    pub(crate) fn violated(&self, what: String) {
        self.note(format_args!("VIOLATED: {what}"));
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
