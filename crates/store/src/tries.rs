//! A step that is tried again because somebody else wrote in between.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::{Result, StoreError};

/// How often a step that others disturb is tried. Whoever loses has lost to somebody who wrote: of so many at
/// once each gets its turn.
const TRIES: u32 = 200;

/// The first tries follow at once; then they give way to each other.
const AT_ONCE: u32 = 4;

/// Counts the tries of one step.
#[derive(Debug, Default)]
pub struct Tries(u32);

impl Tries {
    /// To be called when others were faster: waits a little, or gives up.
    pub async fn again(&mut self) -> Result<()> {
        self.0 += 1;
        if self.0 >= TRIES {
            return Err(StoreError::Unavailable("too many others write the same".to_owned()));
        }
        if self.0 > AT_ONCE {
            let most = u64::from(self.0.min(50)) * 400;
            let micros = random_bits() % most;
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        Ok(())
    }
}

fn random_bits() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(bits) = crate::simulation::chance() {
        return bits;
    }
    RandomState::new().hash_one(0)
}
