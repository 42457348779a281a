//! Whether the clocks can be relied on by which tasks fire: the store's servers', this machine's, and the one that counts
//! since the machine started, which nobody sets.

mod guard;
mod rule;

pub use guard::ClockGuard;
pub use rule::{ClockRule, Disagreement, Sample};
