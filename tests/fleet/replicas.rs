//! Redis's master dies while its replicas lag: a smoke of `cargo xtask chaos replicas`.

use anyhow::Result;
use isochrone_testkit::chaos::replicas::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_master_whose_replica_lags() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
