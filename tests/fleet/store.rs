//! SIGKILL of Redis: a smoke of `cargo xtask chaos store`.

use anyhow::Result;
use isochrone_testkit::chaos::store::{Plan, run};

use crate::{BINARY, alone};

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_acknowledged_survives_its_death() -> Result<()> {
    let _alone = alone().await;
    println!("{}", run(BINARY.as_ref(), Plan::SMOKE).await?);
    Ok(())
}
