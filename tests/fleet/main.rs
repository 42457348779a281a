//! The fleet: real schedulers and workers on a real Redis and a real RabbitMQ.

mod long_runs;
mod settings;
mod walk;

use anyhow::Result;
use isochrone_testkit::fleet::Fleet;

/// A fleet without processes yet, on a clock so many times as fast as the world's.
async fn fleet(speed: u32) -> Result<Fleet> {
    Fleet::start(env!("CARGO_BIN_EXE_isochrone"), speed).await
}
