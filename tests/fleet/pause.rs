//! SIGSTOP of a worker past its lease, then SIGCONT: a smoke of `cargo xtask chaos pause`.

use anyhow::Result;
use isochrone_testkit::chaos::pause::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_writes_past_its_lease_does_not_count() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
