//! What a simulation replaces on its thread: the machine's clock, chance, and how many shards the store in Redis has.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static CURRENT: Cell<Option<Settings>> = const { Cell::new(None) };
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// How the thread's stores differ from a real process's.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What the machine's clock showed at `began`, in milliseconds since 1970 UTC.
    pub began_ms: i64,
    /// The moment at which it showed that. It goes on as Tokio's (paused) clock does.
    pub began: Instant,
    /// Shards that have tasks: a power of two, at most as many as there really are. Fewer cost less to look at.
    pub shards: u8,
}

/// Begins a simulation on this thread; none: ends it.
pub fn set(settings: Option<Settings>) {
    CURRENT.set(settings);
    DRAWN.set(0);
}

/// The simulated machine's clock, in milliseconds since 1970 UTC.
pub fn machine_ms() -> Option<i64> {
    let settings = CURRENT.get()?;
    Some(settings.began_ms + settings.began.elapsed().as_millis() as i64)
}

pub(crate) fn shards() -> Option<u8> {
    CURRENT.get().map(|settings| settings.shards)
}

/// Bits that look random and are the same in each simulation.
pub(crate) fn chance() -> Option<u64> {
    CURRENT.get()?;
    let drawn = DRAWN.get().wrapping_add(1);
    DRAWN.set(drawn);
    // The finalizer of MurmurHash3.
    let mut bits = drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    Some(bits ^ (bits >> 33))
}
