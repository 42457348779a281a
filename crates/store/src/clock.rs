//! The clock that decides leases and due times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use isochrone_domain::EpochMillis;

/// The store's clock. It may run faster than the world's, so that a test sees many minutes in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    speed: u32,
    origin_ms: i64,
    /// How far the world's time, as the store has it, is ahead of this machine's.
    ahead_ms: i64,
}

impl Clock {
    /// The system's clock.
    pub const SYSTEM: Clock = Clock { speed: 1, origin_ms: 0, ahead_ms: 0 };

    /// A clock that was right at `origin` and runs `speed` times as fast since. It goes on where it
    /// was after a restart with the same arguments.
    pub fn faster(speed: u32, origin: EpochMillis) -> Clock {
        Clock { speed: speed.max(1), origin_ms: origin.0, ahead_ms: 0 }
    }

    /// This clock for a machine whose time is not the store's: the store's is `ahead_ms` milliseconds
    /// ahead of it (behind, if negative).
    pub fn ahead(self, ahead_ms: i64) -> Clock {
        Clock { ahead_ms, ..self }
    }

    /// How many milliseconds the store's time is ahead of this machine's (behind, if negative).
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms
    }

    /// What it shows.
    pub fn now(&self) -> EpochMillis {
        self.at_real(machine_ms() + self.ahead_ms)
    }

    /// What it shows when the store's machine has this time (milliseconds since 1970 UTC).
    pub fn at_real(&self, real_ms: i64) -> EpochMillis {
        EpochMillis(self.origin_ms + (real_ms - self.origin_ms) * i64::from(self.speed))
    }

    /// How long the world waits until it shows `moment`; zero if it has.
    pub fn until(&self, moment: EpochMillis) -> Duration {
        let ms = u64::try_from(moment.since(self.now())).unwrap_or(0);
        Duration::from_micros(ms.saturating_mul(1_000).div_ceil(u64::from(self.speed)))
    }

    /// How far this clock moves while the world takes `real`.
    pub fn of_real(&self, real: Duration) -> Duration {
        real.saturating_mul(self.speed)
    }
}

/// This machine's time, in milliseconds since 1970 UTC.
pub(crate) fn machine_ms() -> i64 {
    #[cfg(feature = "simulation")]
    if let Some(ms) = crate::simulation::machine_ms() {
        return ms;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
