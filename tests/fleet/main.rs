//! The fleet: real schedulers and workers on a real Redis and a real RabbitMQ.

mod broker;
mod clocks;
mod confirm;
mod doctor;
mod leader;
mod long_runs;
mod mix;
mod pause;
mod readiness;
mod replicas;
mod settings;
mod store;
mod suspension;
mod upgrade;
mod walk;
mod worker;

use anyhow::Result;
use isochrone_testkit::fleet::Fleet;
use tokio::sync::{Mutex, MutexGuard};

const BINARY: &str = env!("CARGO_BIN_EXE_isochrone");

/// A fleet without processes yet, on a clock so many times as fast as the world's.
async fn fleet(speed: u32) -> Result<Fleet> {
    Fleet::start(BINARY, speed).await
}

/// Faults are rehearsed one after the other: what must be over within some seconds is measured.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}
