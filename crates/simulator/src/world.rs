//! What the processes of a simulated fleet share: time, chance, the store's server, the broker, and the witness.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isochrone_domain::EpochMillis;
use isochrone_store::redis::model::Server;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::network::Weather;
use crate::trace::Trace;
use crate::work::Witness;

/// When every simulation begins: a Tuesday, at noon.
pub(crate) const BEGINS: EpochMillis = EpochMillis(1_893_499_200_000);

pub(crate) struct World {
    began: Instant,
    pub(crate) trace: Trace,
    /// Decides latencies and losses.
    chance: Mutex<fastrand::Rng>,
    server: Mutex<Server>,
    weather: Mutex<Weather>,
    pub(crate) broker: Broker,
    pub(crate) witness: Witness,
    violations: Mutex<Vec<String>>,
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
    pub(crate) fn new(seed: u64, traced: bool) -> Arc<World> {
        Arc::new(World {
            began: Instant::now(),
            trace: Trace::new(traced),
            chance: Mutex::new(fastrand::Rng::with_seed(seed ^ 0x6e65_7477_6f72_6b00)),
            server: Mutex::new(Server::new()),
            weather: Mutex::new(Weather::default()),
            broker: Broker::new(),
            witness: Witness::default(),
            violations: Mutex::default(),
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

    /// A promise is broken.
    pub(crate) fn violated(&self, what: String) {
        self.note(format_args!("VIOLATED: {what}"));
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
